package report

import (
	"context"
	"fmt"
	"html/template"
	"os"
	"slices"
	"strings"

	"galaxy/data"
	"galaxy/internal/usage"
	"galaxy/report/chart"
	"galaxy/train"
	"galaxy/train/metric"
)

// Compared is a run that is compared with the first one.
type Compared struct {
	*Run
	Evaluation *Evaluation // nil if there is none on the same galaxies
	// Differences are those of its metrics from the first run's, with paired intervals.
	Differences []metric.Difference
}

// compare evaluates the other runs on the galaxies of the first.
func (r *Report) compare(ctx context.Context, cache *data.Cache) error {
	for _, o := range r.Others {
		if sameFolder(o.Dir, r.Dir) {
			o.missing("the same run was given twice, so there is nothing to compare.")
			continue
		}
		if o.Config.Cache.Checksum != r.Config.Cache.Checksum {
			o.missing("it was trained on another cache, so its scores are not compared.")
			continue
		}
		var err error
		if o.Evaluation, err = r.score(ctx, o.Dir, o.Config, cache, nil); err == nil {
			err = o.differ(r.Evaluation)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			o.missing("there are no scores to compare: %v.", err)
		}
	}
	return nil
}

// sameFolder reports whether two paths lead to the same folder.
func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// differ compares with the evaluation of the first run.
func (o *Compared) differ(first *Evaluation) error {
	if first == nil {
		return fmt.Errorf("the first run has none")
	}
	if !first.Target.Equal(o.Evaluation.Target) || !slices.Equal(first.Examples, o.Evaluation.Examples) {
		return fmt.Errorf("it predicts the %v, and the first run the %v", o.Evaluation.Target, first.Target)
	}
	of := func(e *Evaluation) (*metric.Evaluation, error) {
		m := metric.New(e.Target, nil, nil)
		return m, m.Add(nil, e.Probabilities, e.Labels)
	}
	a, err := of(first)
	if err != nil {
		return err
	}
	b, err := of(o.Evaluation)
	if err != nil {
		return err
	}
	o.Differences, err = metric.Differences(a, b)
	return err
}

// comparisonView is what the template comparison shows of a run.
type comparisonView struct {
	Title                string
	Sentences            []string
	Changes, Differences template.HTML
}

func (r *Report) comparisonViews() []comparisonView {
	var all []comparisonView
	for _, o := range r.Others {
		v := comparisonView{Title: fmt.Sprintf("%s compared with %s", o.Name(), r.Name()), Sentences: o.Missing}
		changes := chart.Table{Caption: "What differs in the configuration", Columns: []string{"setting", r.Name(), o.Name()}}
		for _, c := range train.Changes(r.Config, o.Config) {
			if !ofOneLoss(c, r.Config, o.Config) {
				changes.Rows = append(changes.Rows, []any{c.Field, c.Was, c.Now})
			}
		}
		if len(changes.Rows) == 0 {
			v.Sentences = append(v.Sentences, "The two configurations do not differ in anything that decides what is computed.")
		} else {
			v.Changes = changes.HTML()
		}
		if r.Config.Objective.Loss != o.Config.Objective.Loss {
			v.Sentences = append(v.Sentences, "The two runs were trained with different losses, so the values of one loss curve say nothing about the other's.")
		}
		if o.Evaluation != nil && o.Differences != nil {
			v.Sentences = append(v.Sentences, o.verdict(r))
			v.Differences = o.differences(r)
		}
		all = append(all, v)
	}
	return all
}

// ofOneLoss reports whether a change is that of a constant which only one of two different losses has.
func ofOneLoss(c train.Change, a, b train.Config) bool {
	return a.Objective.Loss != b.Objective.Loss && (c.Field == "objective.alpha" || c.Field == "objective.gamma" || strings.HasPrefix(c.Field, "objective.constants.")) && (c.Was == "0" || c.Now == "0")
}

// verdict says which run is better.
func (o *Compared) verdict(r *Report) string {
	h := o.Evaluation.headlines()
	if len(h) == 0 {
		return "No metric is defined for both."
	}
	i := slices.IndexFunc(o.Differences, func(d metric.Difference) bool { return d.Name == h[0].Name })
	d := o.Differences[i]
	if !d.Interval.Varies() && d.A != d.B {
		return fmt.Sprintf("On the same %s, nobody can tell which run is better: all resamples of the galaxies give the same difference.", usage.Count(len(o.Evaluation.Examples), "galaxy"))
	}
	if d.Interval == nil || d.Interval[0] <= 0 && d.Interval[1] >= 0 {
		return fmt.Sprintf("On the same %s, the %s of %s and of %s may be equal: the interval of the difference contains 0.", usage.Count(len(o.Evaluation.Examples), "galaxy"), h[0].Text, o.Name(), r.Name())
	}
	better := o.Name()
	if (d.B > d.A) == (h[0].Better == lowerIsBetter) {
		better = r.Name()
	}
	return fmt.Sprintf("On the same %s, the %s of %s is better, and the interval of the difference does not contain 0.", usage.Count(len(o.Evaluation.Examples), "galaxy"), h[0].Text, better)
}

// differences returns the main metrics of both runs, with the paired intervals of the differences.
func (o *Compared) differences(r *Report) template.HTML {
	t := chart.Table{Caption: fmt.Sprintf("Metrics of the same %s, with paired 95 %% intervals of the differences%s", usage.Count(len(o.Evaluation.Examples), "galaxy"), o.Evaluation.aboutNames()), Columns: []string{"metric", r.Name(), o.Name(), "difference", "95 % interval"}}
	for _, d := range o.Differences {
		if d.Interval == nil {
			continue
		}
		interval := ""
		if d.Interval.Varies() || d.A == d.B {
			interval = fmt.Sprintf("%+.4f to %+.4f", d.Interval[0], d.Interval[1])
		}
		t.Rows = append(t.Rows, []any{d.Name, chart.Number(formatted(d.A, false)), chart.Number(formatted(d.B, false)), chart.Number(fmt.Sprintf("%+.4f", d.B-d.A)), chart.Number(interval)})
	}
	return r.room.table(t)
}
