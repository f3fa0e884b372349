package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// comparison compares the scores of systems A and B.
type comparison struct {
	A     string `json:"a"`
	B     string `json:"b"`
	Views bool   `json:"views"` // compares the scores over 8 views
}

// compared is the result of a comparison over the seeds that both systems have.
type compared struct {
	comparison
	// Ratio is the mean RMSE of A divided by the mean RMSE of B.
	Ratio    float64  `json:"rmse_ratio"`
	RMSE     estimate `json:"rmse_difference"`
	Accuracy estimate `json:"accuracy_difference"`
	MacroF1  estimate `json:"macro_f1_difference,omitzero"` // of classes
}

// estimate is a mean over N seeds; its standard error is NaN for fewer than
// two, null in JSON.
type estimate struct {
	N             int     `json:"seeds"`
	Mean          float64 `json:"mean"`
	StandardError number  `json:"standard_error"`
}

// number is a float64 that is null in JSON if it is NaN or infinite.
type number float64

// MarshalJSON writes null for NaN and infinities.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%g", float64(n)), nil
}

func estimateOf(x []float64) estimate {
	e := estimate{N: len(x)}
	n := float64(e.N)
	for _, v := range x {
		e.Mean += v / n
	}
	var squares float64
	for _, v := range x {
		squares += (v - e.Mean) * (v - e.Mean)
	}
	e.StandardError = number(math.Sqrt(squares / (n - 1) / n))
	return e
}

// within reports whether 0 is within two standard errors of the mean.
func (e estimate) within() bool { return math.Abs(e.Mean) <= 2*float64(e.StandardError) }

// format prints the mean with verb, ± two standard errors.
func (e estimate) format(verb string) string {
	switch e.N {
	case 0:
		return "–"
	case 1:
		return fmt.Sprintf(verb, e.Mean)
	}
	return fmt.Sprintf(verb+" ± %.4f", e.Mean, 2*float64(e.StandardError))
}

// column returns a metric of a result, NaN if there is none.
type column func(result) float64

func rmse(r result) float64     { return r.Test.RMSE }
func accuracy(r result) float64 { return r.Test.Accuracy }

func macroF1(r result) float64 {
	if r.Test.MacroF1 == 0 { // of vote fractions
		return math.NaN()
	}
	return r.Test.MacroF1
}

func viewRMSE(r result) float64 {
	if r.Views == nil {
		return math.NaN()
	}
	return r.Views.RMSE
}

func viewAccuracy(r result) float64 {
	if r.Views == nil {
		return math.NaN()
	}
	return r.Views.Accuracy
}

// bySeed returns a column of a system: seed to metric.
func bySeed(results []result, name string, of column) map[int64]float64 {
	values := map[int64]float64{}
	for _, r := range results {
		if v := of(r); r.System == name && !math.IsNaN(v) {
			values[r.Seed] = v
		}
	}
	return values
}

func mean(results []result, name string, of column) estimate {
	var x []float64
	for _, v := range bySeed(results, name, of) {
		x = append(x, v)
	}
	slices.Sort(x) // a map has no order, and a sum depends on it
	return estimateOf(x)
}

// compareAll makes the comparisons whose two systems have a seed in common.
func compareAll(asked []comparison, results []result) []compared {
	var all []compared
	for _, c := range asked {
		score, right := column(rmse), column(accuracy)
		if c.Views {
			score, right = viewRMSE, viewAccuracy
		}
		d := compared{comparison: c, RMSE: differ(results, c, score), Accuracy: differ(results, c, right), MacroF1: differ(results, c, macroF1)}
		if d.RMSE.N == 0 {
			continue
		}
		d.Ratio = mean(results, c.A, score).Mean / mean(results, c.B, score).Mean
		all = append(all, d)
	}
	return all
}

// differ computes the differences paired by seed. If the runs of a seed share initial
// weights and order, this removes the effect of those two; if they share nothing, it does
// no harm.
func differ(results []result, c comparison, of column) estimate {
	a, b := bySeed(results, c.A, of), bySeed(results, c.B, of)
	var x []float64
	for seed, v := range a {
		if w, ok := b[seed]; ok {
			x = append(x, v-w)
		}
	}
	slices.Sort(x)
	return estimateOf(x)
}

// titled is a column of the report.
type titled struct {
	title string
	of    column
}

// titles returns the report's columns of metrics.
func (f figures) titles() []titled {
	all := []titled{{"RMSE", rmse}, {"argmax accuracy", accuracy}}
	if f.ofClasses() {
		return append(all, titled{"macro F1", macroF1})
	}
	return append(all, titled{"RMSE, 8 views", viewRMSE}, titled{"argmax accuracy, 8 views", viewAccuracy})
}

// ofClasses reports whether the systems were trained on classes.
func (f figures) ofClasses() bool {
	return slices.ContainsFunc(f.Results, func(r result) bool { return !math.IsNaN(macroF1(r)) })
}

// report returns the complete comparison as Markdown.
func report(f figures, systems []system) string {
	var t strings.Builder
	titles, head := f.titles(), ""
	for _, c := range titles {
		head += " " + c.title + " |"
	}
	rule := strings.Repeat("---|", len(titles))
	fmt.Fprintf(&t, "%d train, %d validation and %d test galaxies at %d px; %v minutes of training a run\n\n",
		f.Counts.Train, f.Counts.Validation, f.Counts.Test, f.Size, f.Plan.Minutes)
	t.WriteString("| system | seed |" + head + " steps | best step | epochs | training, s | in all, s |\n|---|---|" + rule + "---|---|---|---|---|\n")
	for _, sys := range systems {
		for _, r := range f.Results {
			if r.System == sys.Name {
				fmt.Fprintf(&t, "| %s | %d |", r.System, r.Seed)
				for _, c := range titles {
					fmt.Fprintf(&t, " %s |", cell(c.of(r)))
				}
				fmt.Fprintf(&t, " %d | %d | %.1f | %.0f | %.0f |\n", r.Steps, r.BestStep, r.Epochs, r.TrainSeconds, r.WallSeconds)
			}
		}
	}
	t.WriteString("\n| mean ± 2 standard errors |" + head + " training, s |\n|---|" + rule + "---|\n")
	for _, sys := range systems {
		fmt.Fprintf(&t, "| %s |", sys.Name)
		for _, c := range titles {
			fmt.Fprintf(&t, " %s |", mean(f.Results, sys.Name, c.of).format("%.4f"))
		}
		fmt.Fprintf(&t, " %.0f |\n", mean(f.Results, sys.Name, func(r result) float64 { return r.TrainSeconds }).Mean)
	}
	for _, r := range f.Results {
		if r.Constant != nil {
			constant := result{Test: *r.Constant}
			t.WriteString("| constant predictor |")
			for _, c := range titles {
				fmt.Fprintf(&t, " %s |", cell(c.of(constant)))
			}
			t.WriteString(" – |\n")
			break
		}
	}
	if len(f.Comparisons) > 0 {
		more := map[bool]string{true: " macro F1 |"}[f.ofClasses()]
		t.WriteString("\n| difference seed by seed, mean ± 2 standard errors | RMSE | argmax accuracy |" + more + " RMSE, relative | 0 within 2 standard errors |\n|---|---|---|---|---|" +
			strings.Repeat("---|", strings.Count(more, "|")) + "\n")
	}
	for _, c := range f.Comparisons {
		fmt.Fprintf(&t, "| %s | %s | %s |", c.title(), c.RMSE.format("%+.4f"), c.Accuracy.format("%+.4f"))
		if f.ofClasses() {
			fmt.Fprintf(&t, " %s |", c.MacroF1.format("%+.4f"))
		}
		fmt.Fprintf(&t, " %+.1f %% | %s |\n", 100*(c.Ratio-1), c.verdict())
	}
	return t.String()
}

func cell(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf("%.4f", x)
}

func (c comparison) title() string {
	if c.Views {
		return fmt.Sprintf("%s − %s, 8 views", c.A, c.B)
	}
	return fmt.Sprintf("%s − %s", c.A, c.B)
}

func (c compared) verdict() string {
	if c.RMSE.N < 2 {
		return "one seed says nothing about the spread"
	}
	word := map[bool]string{true: "yes", false: "no"}
	text := fmt.Sprintf("RMSE %s, accuracy %s", word[c.RMSE.within()], word[c.Accuracy.within()])
	if c.MacroF1.N > 0 {
		text += ", macro F1 " + word[c.MacroF1.within()]
	}
	return text
}
