package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"galaxy/data"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/report/chart"
	"galaxy/train"
	"galaxy/train/metric"
)

// A Curve is a chart over the steps of a run.
type Curve struct {
	ID   string // of its figure
	HTML template.HTML
}

// Curves returns the charts of what a run has measured while it trained, those that have points. Several runs lie over
// each other. What happened to the run is marked if there is one.
func Curves(runs []*Run) []Curve {
	if !slices.ContainsFunc(runs, func(run *Run) bool { return len(run.Steps)+len(run.Evaluations) > 0 }) {
		return nil
	}
	last := func(s chart.Series) string {
		for i := len(s.Y) - 1; i >= 0; i-- {
			if !math.IsNaN(s.Y[i]) {
				return fmt.Sprintf("%s: from %.4g to %.4g", s.Name, s.Y[0], s.Y[i])
			}
		}
		return ""
	}
	var all []Curve
	for _, c := range []struct {
		id, title   string
		log, pct    bool
		step        func(*Step) Number
		evaluations []evaluationCurve
		marked      bool
	}{
		{"loss", "Loss", false, false, func(s *Step) Number { return s.Loss },
			[]evaluationCurve{{"train, mean since the last evaluation", func(v Validation) Number { return v.TrainLoss }}, {"validation", func(v Validation) Number { return v.Loss }}}, true},
		{"rmse", "RMSE of the validation split", false, false, nil, []evaluationCurve{{"validation", func(v Validation) Number { return v.RMSE }}}, true},
		{"accuracy", "Accuracy on the validation split", false, true, nil, []evaluationCurve{
			{"over questions", func(v Validation) Number { return v.QuestionAccuracy }},
			{"largest column", func(v Validation) Number { return v.ArgmaxAccuracy }},
			{"classes", func(v Validation) Number { return v.ClassAccuracy }}}, true},
		{"spread", "Standard deviation of the embeddings", false, false, nil, []evaluationCurve{{"validation", func(v Validation) Number { return v.EmbeddingStd }}}, true},
		{"rank", "Effective rank of the embeddings", false, false, nil, []evaluationCurve{{"validation", func(v Validation) Number { return v.EmbeddingRank }}}, true},
		{"rate", "Learning rate", false, false, func(s *Step) Number { return s.LearningRate }, nil, false},
		{"speed", "Speed, images per second", false, false, func(s *Step) Number { return s.Speed }, nil, false},
		{"norm", "Norm of the gradients", true, false, func(s *Step) Number { return s.GradientNorm }, nil, false},
	} {
		line := chart.Lines{
			Meta: chart.Meta{ID: "curve-" + c.id, Title: c.title},
			X:    chart.Axis{Label: "step", Whole: true}, Y: chart.Axis{Label: strings.ToLower(c.title[:1]) + c.title[1:], Log: c.log, Percent: c.pct},
		}
		if c.id == "loss" && slices.ContainsFunc(runs, func(r *Run) bool { return r.Config.Objective.Loss != runs[0].Config.Objective.Loss }) {
			line.Title = "Loss: the runs have different losses, so compare shapes, not values"
		}
		if c.id == "rmse" {
			line.Y.Label = "RMSE"
		}
		var texts []string
		for k, run := range runs {
			for _, s := range run.series(c.step, c.evaluations) {
				if len(runs) > 1 {
					s.Name, s.Color = run.Name()+": "+s.Name, k+1
				}
				line.Series = append(line.Series, s)
				texts = append(texts, last(s))
			}
			if c.marked && len(runs) == 1 {
				line.Events = run.events()
			}
		}
		if line.Text = strings.Join(texts, "; "); len(line.Series) > 0 {
			all = append(all, Curve{line.ID, line.HTML()})
		}
	}
	return all
}

// An evaluationCurve is a metric of the lines of evaluations.
type evaluationCurve struct {
	name string
	of   func(Validation) Number
}

// series returns the curves of a run that have a number.
func (r *Run) series(step func(*Step) Number, evaluations []evaluationCurve) []chart.Series {
	var all []chart.Series
	add := func(s chart.Series) {
		if slices.ContainsFunc(s.Y, func(y float64) bool { return !math.IsNaN(y) }) {
			all = append(all, s)
		}
	}
	if step != nil {
		s := chart.Series{Name: "train, each step", Dash: 1, X: make([]float64, len(r.Steps)), Y: make([]float64, len(r.Steps))}
		for i := range r.Steps {
			s.X[i], s.Y[i] = float64(r.Steps[i].Step), float64(step(&r.Steps[i]))
		}
		add(s)
	}
	for k, c := range evaluations {
		s := chart.Series{Name: c.name, Dash: k + 2}
		for _, line := range r.Evaluations {
			s.X, s.Y = append(s.X, float64(line.Step)), append(s.Y, float64(c.of(line)))
		}
		add(s)
	}
	return all
}

// events returns what happened in the run, for the curves.
func (r *Run) events() []chart.Event {
	var all []chart.Event
	if v := r.BestEvaluation(); v != nil {
		all = append(all, chart.Event{Kind: chart.Best, X: float64(v.Step), Text: fmt.Sprintf("best evaluation, after step %d", v.Step)})
	}
	// What a later entry has cut off happened to steps that are no longer there.
	kept := func(step int64, since time.Time) bool {
		return !slices.ContainsFunc(r.History, func(e train.HistoryEntry) bool { return e.Time.After(since) && e.Step < step })
	}
	for _, p := range r.Resumes() {
		if p.Start == nil || kept(p.Step, p.Start.Time) {
			all = append(all, chart.Event{Kind: chart.Resume, X: float64(p.Step), Text: fmt.Sprintf("resumed after step %d and a pause of %v", p.Step, p.Pause.Round(time.Second))})
		}
	}
	rollbacks := len(all)
	for _, e := range r.History {
		if e.Kind == train.RolledBack && kept(e.Step, e.Time) {
			all = append(all, chart.Event{Kind: chart.Rollback, X: float64(e.Step), Text: fmt.Sprintf("rolled back from step %d to step %d", e.From, e.Step)})
		}
	}
	if s := r.State; s != nil && s.Rollbacks > 0 && len(all) == rollbacks { // an older version has recorded the last one only
		all = append(all, chart.Event{Kind: chart.Rollback, X: float64(s.RolledBackTo), Text: fmt.Sprintf("rolled back %d times, at last to step %d", s.Rollbacks, s.RolledBackTo)})
	}
	return all
}

// valueOf returns a metric with its interval for a chart.
func valueOf(v float64, in *metric.Interval) chart.Value {
	if !in.Varies() {
		return chart.Exact(v)
	}
	return chart.Value{Value: v, Low: in[0], High: in[1]}
}

// A questionView is a question with its charts.
type questionView struct {
	Title, About string
	Bars, Matrix template.HTML
}

// questionViews returns the questions of the schema. For a network of classes there are none: its one question is in
// classViews.
func (r *Report) questionViews() []questionView {
	e := r.Evaluation
	if e == nil || e.ofClasses() {
		return nil
	}
	figures := e.ByName()
	var all []questionView
	of := "mean fraction of all volunteers"
	if e.Target.Values() == labels.Counts {
		of = "fraction of all votes for the question"
	}
	questions := newQuestions(e)
	for _, q := range questions[:min(len(questions), r.room.questions)] {
		f := figures[fmt.Sprintf("question.%d.accuracy", q.Number)]
		id := fmt.Sprintf("question-%d", q.Number)
		bars := chart.Bars{
			Meta: chart.Meta{ID: id, Title: "Predicted and voted", Text: fmt.Sprintf("For each answer to %q, the %s: as predicted and as voted.", q.Text, of)},
			Axis: chart.Axis{Label: of, Percent: true}, Names: []string{"predicted", "voted"},
		}
		for a, text := range texts(q.Question) {
			bars.Rows = append(bars.Rows, chart.Row{Label: text, Values: []chart.Value{chart.Exact(q.predicted[a]), chart.Exact(q.voted[a])}})
		}
		v := questionView{Title: fmt.Sprintf("%d. %s", q.Number, q.Text), Bars: bars.HTML()}
		h := headline{Percent: true, Figure: f}
		v.About = "Accuracy " + h.value(f.Value)
		if f.Interval.Varies() {
			v.About += " (95 % interval " + h.interval() + ")"
		}
		if !math.IsNaN(f.Constant) {
			v.About += ", of the constant predictor " + h.value(f.Constant)
		}
		v.About += fmt.Sprintf(", over all %s, each weighted by how many volunteers were asked. The matrix counts those for which at least half of the volunteers were asked: %d.", usage.Count(len(e.Examples), "galaxy"), q.asked)
		if q.asked > 0 {
			v.Matrix = chart.Matrix{
				Meta:    chart.Meta{ID: id + "-confusion", Title: "Most frequent answer", Text: fmt.Sprintf("How often the most frequent answer to %q (row) was predicted as each answer (column), for %s.", q.Text, usage.Count(q.asked, "galaxy"))},
				Classes: texts(q.Question), Counts: q.confusion,
			}.HTML()
		}
		all = append(all, v)
	}
	return all
}

// classCharts returns confusion matrix, scores and curves of the classes; nil if there are none.
func (r *Report) classCharts(c *choice) []template.HTML {
	e := r.Evaluation
	if e == nil || e.CleanClasses == nil {
		return nil
	}
	s := e.CleanClasses
	var names []string
	scores := chart.Table{Caption: fmt.Sprintf("Scores of the classes, of %s", usage.Count(s.Examples, "galaxy")), Columns: []string{"class", "galaxies", "predicted", "precision", "recall", "F1", "ROC-AUC"}}
	withInterval := func(v metric.Value, in *metric.Interval) template.HTML {
		text := fmt.Sprintf(`<data value="%v">%s</data>`, float64(v), formatted3(float64(v)))
		if in.Varies() {
			text += fmt.Sprintf(` <span class="interval">%s to %s</span>`, formatted3(in[0]), formatted3(in[1]))
		}
		return template.HTML(text)
	}
	roc := chart.Curve{Meta: chart.Meta{ID: "roc", Title: "ROC curves"}, X: "false positives, fraction", Y: "true positives, fraction", Diagonal: true}
	pr := chart.Curve{Meta: chart.Meta{ID: "precision-recall", Title: "Precision and recall"}, X: "recall", Y: "precision"}
	var areas []string
	for k, class := range s.Classes {
		names = append(names, class.Class)
		scores.Rows = append(scores.Rows, []any{
			class.Class, class.Examples, class.Predicted, withInterval(class.Precision, class.PrecisionInterval),
			withInterval(class.Recall, class.RecallInterval), withInterval(class.F1, class.F1Interval), withInterval(class.ROCAUC, class.ROCAUCInterval),
		})
		one, other := chart.Series{Name: class.Class}, chart.Series{Name: class.Class}
		for _, p := range c.curve(k) {
			one.X, one.Y = append(one.X, p.FalsePositive), append(one.Y, p.Recall)
			other.X, other.Y = append(other.X, p.Recall), append(other.Y, p.Precision)
		}
		if len(one.X) > 0 && k < maxCurves {
			roc.Series, pr.Series = append(roc.Series, one), append(pr.Series, other)
			areas = append(areas, fmt.Sprintf("%s: area %s", class.Class, formatted3(float64(class.ROCAUC))))
		}
	}
	which := "each class"
	if n := len(s.Classes); n > maxCurves {
		which = fmt.Sprintf("the first %d of %d classes", maxCurves, n)
		roc.Title, pr.Title = "ROC curves of "+which, "Precision and recall of "+which
	}
	roc.Text, pr.Text = "The ROC curves of "+which+" against all others. "+strings.Join(areas, "; "), "For "+which+", the precision at every recall."
	all := []template.HTML{
		chart.Matrix{Meta: chart.Meta{ID: "classes-confusion", Title: "Confusion of the classes", Text: fmt.Sprintf("How often each class (row) was predicted as each class (column), for %s.", usage.Count(s.Examples, "galaxy"))}, Classes: names, Counts: s.Confusion, Truth: e.labelled()}.HTML(),
		r.room.table(scores),
	}
	if len(roc.Series) > 0 {
		all = append(all, roc.HTML(), pr.HTML())
	}
	return all
}

// maxCurves is the number of classes whose curves are drawn: more cannot be told apart.
const maxCurves = 12

func formatted3(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

// labelled names what the predictions are compared with.
func (e *Evaluation) labelled() string {
	if e.ofClasses() {
		return "label"
	}
	return "voted"
}

// calibration returns the reliability diagrams.
func (e *Evaluation) calibration() []template.HTML {
	var all []template.HTML
	add := func(id, title, text string, c *metric.Calibration) {
		d := chart.Reliability{Meta: chart.Meta{ID: id, Title: title, Text: text}}
		for _, b := range c.Bins {
			bin := chart.Bin{From: b.From, To: b.To, Count: b.Count, Predicted: b.Predicted, Observed: chart.Exact(b.Observed)}
			bin.Observed.Low, bin.Observed.High = wilson(b.Observed, b.Count)
			d.Bins = append(d.Bins, bin)
		}
		all = append(all, d.HTML())
	}
	if c := e.FractionCalibration; c != nil && !e.ofClasses() {
		add("calibration-fractions", "Calibration of the fractions", "For predictions of similar size, over all answers, the mean of what was voted.", c)
	}
	if c := e.CleanClasses; c != nil {
		add("calibration-classes", "Calibration of the classes", "For predictions of similar confidence, how often the predicted class is right.", &c.Calibration)
	}
	return all
}

// wilson returns the 95 % interval of a fraction of n cases (Wilson 1927, "Probable Inference, the Law of
// Succession, and Statistical Inference"), which lies in [0, 1]. For means of fractions of volunteers, which vary less
// than cases do, it is too wide.
func wilson(p float64, n int) (low, high float64) {
	const z = 1.959964
	m := float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(middle-half, 0), min(middle+half, 1)
}

// slices returns the scores by the size and the brightness of the galaxies.
func (e *Evaluation) sliceCharts() []template.HTML {
	var all []template.HTML
	by := map[string][]metric.SliceScores{}
	var order []string
	for _, s := range e.Slices {
		if by[s.By] == nil {
			order = append(order, s.By)
		}
		by[s.By] = append(by[s.By], s)
	}
	figures := e.ByName()
	for _, trait := range order {
		rmse := chart.Slices{Meta: chart.Meta{ID: "rmse-by-" + trait, Title: "RMSE by " + trait}, Axis: chart.Axis{Label: "RMSE"}, Reference: figures["rmse"].Value}
		name := "accuracy_argmax37"
		if e.ofClasses() {
			name = "five_class.accuracy"
		}
		accuracy := chart.Slices{Meta: chart.Meta{ID: "accuracy-by-" + trait, Title: "Accuracy by " + trait}, Axis: chart.Axis{Label: "accuracy", Percent: true}, Reference: cmp.Or(figures[name].Value, math.NaN())}
		for _, s := range by[trait] {
			label := fmt.Sprintf("%.1f to %.1f", s.From, s.To)
			rmse.Slices = append(rmse.Slices, chart.Slice{Label: label, Count: s.Examples, Value: valueOf(float64(s.RMSE), s.RMSEInterval)})
			accuracy.Slices = append(accuracy.Slices, chart.Slice{Label: label, Count: s.Examples, Value: valueOf(float64(s.Accuracy), s.AccuracyInterval)})
			rmse.By, accuracy.By = trait+" ("+s.Unit+")", trait+" ("+s.Unit+")"
		}
		text := "For the quarters of the galaxies by " + trait + ", with 95 % intervals and, as a line, that of all galaxies."
		rmse.Text, accuracy.Text = text, text
		if !e.ofClasses() {
			all = append(all, rmse.HTML())
		}
		all = append(all, accuracy.HTML())
	}
	return all
}

// classChart returns the number of galaxies of each class; "" if the schema has none.
func (d *Data) classChart() template.HTML {
	if len(d.Classes) < 2 { // there is always one for those without a class
		return ""
	}
	b := chart.Bars{
		Meta: chart.Meta{ID: "class-counts", Title: "Galaxies of each class", Text: "The number of galaxies of each class in the three splits."},
		Axis: chart.Axis{Label: "galaxies"}, Names: []string{"train", "validation", "test"},
	}
	for _, c := range d.Classes {
		if c.Counts != (data.Counts{}) {
			b.Rows = append(b.Rows, chart.Row{Label: c.Name, Values: []chart.Value{chart.Exact(float64(c.Counts.Train)), chart.Exact(float64(c.Counts.Validation)), chart.Exact(float64(c.Counts.Test))}})
		}
	}
	return b.HTML()
}

// columnTable returns the means of the labels.
func (d *Data) columnTable(f room) template.HTML {
	t := chart.Table{Caption: "Labels of all galaxies", Columns: []string{"answer", "question", "mean", "standard deviation", fmt.Sprintf("largest of %d", len(d.Columns))}}
	for _, q := range d.Schema.Questions() {
		for a, text := range texts(q) {
			c := d.Columns[q.First+a]
			t.Rows = append(t.Rows, []any{text, fmt.Sprintf("%d. %s", q.Number, q.Text), c.Mean, c.Std, c.Largest})
		}
	}
	return f.table(t)
}
