package report

import (
	"cmp"
	_ "embed" // the templates
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/modelcard"
	"galaxy/report/chart"
	"galaxy/report/page"
	"galaxy/train"
)

// FileName is the name of the report in the folder of its run.
const FileName = "report.html"

//go:embed report.html
var source string

var parts = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.0f\u00a0%%", 100*v) },
	"branches": func(labelled string, all []branch) any {
		return struct {
			Labelled string
			Branches []branch
		}{labelled, all}
	},
}).Parse(source))

// A fact is a name and a value.
type fact struct{ Name, Text string }

// html returns the page, with what r.room has room for.
func (r *Report) html() ([]byte, error) {
	p := page.Page{Title: "Report of " + r.Name(), Lead: template.HTML(template.HTMLEscapeString(fmt.Sprintf("Made by galaxy %s, %s", r.Version, r.Now.UTC().Format("2 January 2006, 15:04 UTC"))))}
	var failed error
	add := func(id, title, name string, view any) {
		var b strings.Builder
		if err := parts.ExecuteTemplate(&b, name, view); err != nil && failed == nil {
			failed = fmt.Errorf("write section %q: %w", title, err)
		}
		p.Sections = append(p.Sections, page.Section{ID: id, Title: title, Body: template.HTML(b.String())})
	}
	add("result", "Result", "result", r.resultView())
	add("run", "Run", "run", r.runView())
	runs := []*Run{r.Run}
	for _, o := range r.Others {
		runs = append(runs, o.Run)
	}
	if c := Curves(runs); c != nil {
		add("curves", "Curves", "curves", c)
	}
	if len(r.Others) > 0 {
		add("comparison", "Comparison", "comparison", r.comparisonViews())
	}
	if e := r.Evaluation; e != nil {
		if q := r.questionViews(); len(q) > 0 {
			more := ""
			if n := len(e.Target.Questions()); n > len(q) {
				more = fmt.Sprintf("The first %d of %d questions are drawn. The metrics of all are in the last table.", len(q), n)
			}
			add("questions", "Questions", "questions", struct {
				Split, More string
				Questions   []questionView
			}{e.Split.String(), more, q})
		}
		if c := r.classCharts(r.choice); c != nil {
			add("classes", "Classes", "charts", c)
		}
		if c := e.calibration(); c != nil {
			add("calibration", "Calibration", "charts", c)
		}
		if c := e.sliceCharts(); c != nil {
			add("slices", "Size and brightness", "charts", c)
		}
		if len(r.galleries) > 0 && r.room.images > 0 {
			add("galaxies", "Galaxies", "galleries", struct {
				About     string
				Note      template.HTML
				Galleries []galleryView
			}{r.aboutGalleries(), r.brightened, r.galleryViews()})
		}
	}
	if r.Cache != nil {
		add("data", "Data", "data", r.dataView())
	}
	if r.leaks != nil {
		add("leaks", "Leak audit", "leaks", r.leaksView())
	}
	if e := r.Evaluation; e != nil {
		add("metrics", "All metrics", "metrics", e.table(r.room))
	}
	add("card", "Model card", "card", r.card())
	if failed != nil {
		return nil, failed
	}
	return p.HTML()
}

// AllMissing returns a sentence about everything that is missing, of all runs.
func (r *Report) AllMissing() []string {
	all := slices.Concat(r.Run.Missing, r.Missing)
	if r.crowded != "" {
		all = append(all, r.crowded)
	}
	for _, o := range r.Others {
		for _, m := range o.Missing {
			all = append(all, o.Name()+": "+m)
		}
	}
	return all
}

// resultView is what the template result shows.
type resultView struct {
	Verdict   string
	Missing   []string
	Headlines []headlineView
	Galaxies  string // how many
	Split     string
	Step      int64
	Note      string // about missing intervals
}

type headlineView struct {
	Text, Name, Shown, Interval, Constant, Better string
	Value                                         float64
}

func (r *Report) resultView() resultView {
	v := resultView{Verdict: r.Verdict(), Missing: r.AllMissing()}
	e := r.Evaluation
	if e == nil {
		return v
	}
	if r.leaks != nil && r.leaks.Leaked.Test+r.leaks.Leaked.Validation > 0 {
		v.Missing = append(v.Missing, fmt.Sprintf("These scores are too good: %d galaxies of the test and %d of the validation split have a copy in the train split.", r.leaks.Leaked.Test, r.leaks.Leaked.Validation))
	}
	v.Galaxies, v.Split, v.Step, v.Note = usage.Count(len(e.Examples), "galaxy"), e.Split.String(), e.Step, e.noInterval()
	for _, h := range e.headlines() {
		v.Headlines = append(v.Headlines, headlineView{h.Text, h.Name, h.value(h.Value), h.interval(), h.value(h.Constant), h.Better, h.Value})
	}
	return v
}

// runView is what the template run shows.
type runView struct {
	Facts   []fact
	Command string
	Parts   template.HTML
	History template.HTML // "" of one start alone
	Config  string
}

func (r *Report) runView() runView {
	c := r.Config
	v := runView{Command: r.Command}
	add := func(name, format string, args ...any) {
		v.Facts = append(v.Facts, fact{name, fmt.Sprintf(format, args...)})
	}
	add("Run", "%s", r.Name())
	add("Network", "%s, images of %v, %s", c.Model.Arch, c.Model.Shape(), c.Model.Precision)
	add("Trained for", "%v", c.Objective)
	add("Length", "%s", r.length())
	add("Optimizer", "%s, %s rate from %.3g, batch of %d", c.Optimizer.Kind, c.Schedule.Kind, c.Schedule.Rate, c.Batch)
	add("Augmentation", "%v", c.Augment)
	if c.Recipe != "" {
		add("Recipe", "%s", c.Recipe)
	}
	add("Data", "%s, checksum %s", c.Cache.Path, c.Cache.Checksum)
	from, to, parts := r.Times()
	if !from.IsZero() {
		when := fmt.Sprintf("%s to %s, %v", from.UTC().Format("2 January 2006, 15:04"), to.UTC().Format("2 January 2006, 15:04 UTC"), to.Sub(from).Round(time.Second))
		if resumes := r.Resumes(); len(resumes) > 0 {
			var pauses time.Duration
			for _, p := range resumes {
				pauses += p.Pause
			}
			when += fmt.Sprintf(". It was resumed %s, and %v of that time are pauses and steps that were lost", times(len(resumes)), pauses.Round(time.Second))
		}
		add("When", "%s", when)
	}
	if len(r.History) > 0 && r.History[0].Host != "" {
		add("Host", "%s", r.History[0].Host)
	}
	if c.Machine != "" {
		add("Machine", "%s", c.Machine)
	}
	if s := r.State; s != nil {
		if s.Machine != "" && s.Machine != c.Machine {
			add("Resumed on", "%s", s.Machine)
		}
		if s.Best != nil {
			add("Best checkpoint", "step %d, validation RMSE %.4f", s.Best.Step, s.Best.RMSE)
		}
		if s.Rollbacks > 0 {
			add("Rollbacks", "%d, the last to step %d", s.Rollbacks, s.RolledBackTo)
		}
	}
	v.History = r.historyTable()
	if len(parts) > 0 {
		total := to.Sub(from).Seconds()
		t := chart.Bars{
			By: "part of the time", Meta: chart.Meta{ID: "time", Title: "Time of the run", Text: "The parts of the run's time. Each line of the metrics stands for the steps since the line before."},
			Axis: chart.Axis{Label: "fraction of the time", Percent: true}, Names: []string{"time"},
		}
		for _, part := range parts {
			t.Rows = append(t.Rows, chart.Row{Label: fmt.Sprintf("%s, %v", part.Name, part.Time.Round(time.Second/10)), Values: []chart.Value{chart.Exact(part.Time.Seconds() / math.Max(total, 1e-9))}})
		}
		v.Parts = t.HTML()
	}
	if raw, err := json.MarshalIndent(c, "", "  "); err == nil {
		v.Config = string(raw)
	}
	return v
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// historyTable returns the starts and rollbacks that the run has recorded; "" if that is one start.
func (r *Report) historyTable() template.HTML {
	if len(r.History) < 2 {
		return ""
	}
	pauses := map[*train.HistoryEntry]string{}
	for _, p := range r.Resumes() {
		pauses[p.Start] = p.Pause.Round(time.Second).String()
	}
	t := chart.Table{
		Caption: "What happened to the run. A pause is the time since the last line of the metrics that was kept",
		Columns: []string{"time (UTC)", "what", "after step", "pause", "host and machine", "command or reason"},
	}
	for k := range r.History {
		e := &r.History[k]
		what, where, why := "started", strings.Trim(e.Host+", "+e.Machine, ", "), strings.Join(e.Command, " ")
		switch {
		case e.Kind == train.RolledBack:
			what, why = fmt.Sprintf("rolled back from step %d", e.From), e.Reason
		case k > 0 || e.Step > 0:
			what = "resumed"
		}
		t.Rows = append(t.Rows, []any{e.Time.UTC().Format("2006-01-02 15:04:05"), what, int(e.Step), chart.Number(pauses[e]), where, why})
	}
	return r.room.table(t)
}

// length says how long the run is and how much of it is done.
func (r *Report) length() string {
	total := r.Config.Schedule.Total
	text := fmt.Sprintf("%d steps of %d galaxies", total, r.Config.Batch)
	if r.Cache != nil && r.Cache.Counts.Train > 0 {
		text += fmt.Sprintf(", %.1f epochs", float64(total)*float64(r.Config.Batch)/float64(r.Cache.Counts.Train))
	}
	switch {
	case r.State == nil:
	case r.Early():
		text += fmt.Sprintf("; ended early after step %d, because the validation RMSE had stopped falling", r.State.Step)
	case !r.Finished():
		text += fmt.Sprintf("; %d of them are done", r.State.Step)
	}
	return text
}

// aboutGalleries says what right and wrong mean.
func (r *Report) aboutGalleries() string {
	text := "A galaxy is predicted right if its class is."
	if len(r.Evaluation.Target.Classes().Columns()) == 0 {
		text = fmt.Sprintf("A galaxy is predicted right if its most frequent answer to %q is.", r.choice.text)
	} else if !r.Evaluation.ofClasses() {
		text = "A galaxy is predicted right if its clean class is. Galaxies on which the volunteers do not agree have no class; they are neither right nor wrong."
	}
	if n := len(r.choice.names); n > answersShown {
		text += fmt.Sprintf(" Typical galaxies are shown of the first %d of %d.", answersShown, n)
	}
	label := "votes"
	if r.Evaluation.ofClasses() {
		label = "label"
	}
	return text + " Open a galaxy for its " + label + " next to the prediction." + r.aboutNeighbours
}

// galleryView is what the template galleries shows of a gallery.
type galleryView struct {
	Title, About string
	HTML         template.HTML
}

func (r *Report) galleryViews() (all []galleryView) {
	for _, g := range r.galleries {
		out := page.Gallery{Label: g.Title, Items: g.items[:r.room.of(len(g.items))]}
		all = append(all, galleryView{g.Title, g.About, out.HTML()})
	}
	return all
}

// dataView is what the template data shows.
type dataView struct {
	Facts                           []fact
	Classes, Columns, Broken, Sheet template.HTML
}

// absentShown is the number of classes that are listed as missing in a split.
const absentShown = 8

// firstOf lists the first n names, and how many more there are.
func firstOf(names []string, n int) string {
	text := strings.Join(names[:min(n, len(names))], ", ")
	if more := len(names) - n; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// brokenShown is the number of broken files that are listed.
const brokenShown = 50

func (r *Report) dataView() dataView {
	d := r.Cache
	v := dataView{Classes: d.classChart(), Columns: d.columnTable(r.room), Sheet: r.sheet.html(r.room)}
	add := func(name, format string, args ...any) {
		v.Facts = append(v.Facts, fact{name, fmt.Sprintf(format, args...)})
	}
	add("Galaxies", "%d: %d train, %d validation, %d test", d.Examples, d.Counts.Train, d.Counts.Validation, d.Counts.Test)
	add("Images", "%v px, bands %v, %s of each original", d.Shape(), d.Bands, d.Crop.Middle())
	add("Labels", "%s: %s, %s", d.Schema, usage.Count(len(d.Schema.Questions()), "question"), usage.Count(d.Schema.Width(), "column"))
	if d.Schema.Values() == labels.Counts {
		add("Kind of labels", "counts of votes")
	}
	add("Made from", "%s and %s", cmp.Or(d.Sources.Labels, "the folders"), d.Sources.Images)
	add("Split", "%s, seed %d", cmp.Or(d.SplitText(), "80 % train, 10 % validation, 10 % test, by id"), d.SplitSeed)
	if d.SumRuleBreaks > 0 {
		add("Contradicting votes", "%s of which the votes break the rules of the question tree", usage.Count(d.SumRuleBreaks, "galaxy"))
	}
	if n := d.ImagesWithoutRow + d.RowsWithoutImage + d.RowsWithoutClass + d.RowsWithoutSplit; n > 0 {
		add("Skipped", "%s without a row, %s without an image, %d without a class, %d without a split", usage.Count(d.ImagesWithoutRow, "image"), usage.Count(d.RowsWithoutImage, "row"), d.RowsWithoutClass, d.RowsWithoutSplit)
	}
	add("Broken files", "%s", usage.Count(len(d.Broken), "file"))
	if b := d.Balance; b != nil {
		add("Imbalance", "the largest class has %.1f times the train galaxies of the smallest", b.Imbalance)
		if len(b.Absent) > 0 {
			add("Absent", "missing in a split: %s", firstOf(b.Absent, absentShown))
		}
		if n := len(b.Contradictions); n > 0 {
			add("Contradictions", "%s of the same image with different classes, such as %s and %s", usage.Count(n, "pair"), b.Contradictions[0][0], b.Contradictions[0][1])
		}
	}
	if broken := d.Broken; len(broken) > 0 {
		t := chart.Table{Caption: "Files that were left out", Columns: []string{"galaxy", "reason"}}
		if len(broken) > brokenShown {
			t.Caption = fmt.Sprintf("The first %d of %d files that were left out", brokenShown, len(broken))
		}
		for _, b := range broken[:min(len(broken), brokenShown)] {
			t.Rows = append(t.Rows, []any{string(b.ID), b.Reason})
		}
		v.Broken = t.HTML()
	}
	return v
}

// leaksView is what the template leaks shows.
type leaksView struct {
	Sentences    []string
	Pairs, Alike template.HTML
}

func (r *Report) leaksView() leaksView {
	l := r.leaks
	v := leaksView{Pairs: l.Pairs, Alike: l.Alike}
	add := func(format string, args ...any) { v.Sentences = append(v.Sentences, fmt.Sprintf(format, args...)) }
	kind := "the same image"
	if l.Near {
		kind = "the same or nearly the same image, also rotated by quarter turns or mirrored"
	}
	if l.Groups == 0 {
		add("No two galaxies have %s.", kind)
	} else {
		add("%d galaxies have %s as another: %s, of which %d are in several splits.", l.Galaxies, kind, usage.Count(l.Groups, "group"), l.Crossing)
	}
	if l.NotCompared > 0 {
		add("%s of %d show too little detail for that, such as a source on a black sky: they were compared for equality only.", usage.Count(l.NotCompared, "image"), r.Cache.Examples)
	}
	if n := l.Leaked; n.Test+n.Validation > 0 {
		add("%d galaxies of the test split and %d of the validation split have a copy in the train split, so their scores are too good. Remove the copies from the table of labels, or keep them in one split with galaxy prepare --split-by-group.", n.Test, n.Validation)
	}
	if l.alike > 0 {
		add("For %s of the %v split, the network's last features nearly equal those of a galaxy of the train split: their cosine is %v or more. Galaxies without structure look alike to the network, so most of these are different galaxies. The pairs below are the most similar: look whether both are the same galaxy, shifted or rotated.", usage.Count(l.alike, "galaxy"), r.Evaluation.Split, alike)
	}
	if l.damaged != nil {
		add("Nearly equal images were not searched for: %v.", l.damaged)
	}
	if l.Skipped {
		add("Nearly equal images were not searched for, because there are more than %d images: galaxy inspect --near does it.", nearImages)
	}
	return v
}

// cardView is what the template card shows of a section of the model card.
type cardView struct {
	modelcard.Section
	Table template.HTML
}

// card returns the sections of the model card.
func (r *Report) card() []cardView {
	c := modelcard.Card{Name: r.Name(), Galaxy: r.Version, Config: r.Config}
	if e := r.Evaluation; e != nil {
		c.Step, c.Evaluation = e.Step, &modelcard.Evaluation{Split: e.Split, Result: e.Result}
	}
	if r.Cache != nil {
		c.Counts = &r.Cache.Counts
	}
	var all []cardView
	for _, section := range c.Sections() {
		v := cardView{Section: section}
		if rows := section.Table; len(rows) > 0 {
			t := chart.Table{Caption: section.Title, Columns: rows[0]}
			for _, row := range rows[1:] {
				cells := make([]any, len(row))
				for k, cell := range row {
					cells[k] = cell
				}
				t.Rows = append(t.Rows, cells)
			}
			v.Table = t.HTML()
		}
		all = append(all, v)
	}
	return all
}

// aboutNames explains the names of metrics that count other classes than there are.
func (e *Evaluation) aboutNames() string {
	if e.CleanClasses == nil || len(e.CleanClasses.Classes) == 5 {
		return ""
	}
	return fmt.Sprintf("; five_class is the name for any number of classes, here %d", len(e.CleanClasses.Classes))
}

// table returns every metric with its interval.
func (e *Evaluation) table(f room) template.HTML {
	t := chart.Table{Caption: "Every metric, by its name in galaxy eval --json" + e.aboutNames(), Columns: []string{"metric", "value", "95 % interval", "constant predictor"}}
	for _, m := range e.Figures() {
		if math.IsNaN(m.Value) {
			continue
		}
		interval := ""
		if m.Interval.Varies() {
			interval = fmt.Sprintf("%.4f to %.4f", m.Interval[0], m.Interval[1])
		}
		t.Rows = append(t.Rows, []any{m.Name, template.HTML(fmt.Sprintf(`<data value="%v" data-metric="%s">%.4f</data>`, m.Value, template.HTMLEscapeString(m.Name), m.Value)), chart.Number(interval), chart.Number(formatted(m.Constant, false))})
	}
	return f.table(t)
}
