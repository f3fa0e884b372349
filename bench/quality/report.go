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
		d := compared{comparison: c, RMSE: differ(results, c, score), Accuracy: differ(results, c, right)}
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

// report returns the complete comparison as Markdown.
func report(f figures, systems []system) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%d train, %d validation and %d test galaxies at %d px; %v minutes of training a run\n\n",
		f.Counts.Train, f.Counts.Validation, f.Counts.Test, f.Size, f.Plan.Minutes)
	t.WriteString("| system | seed | RMSE | argmax accuracy | RMSE, 8 views | argmax accuracy, 8 views | steps | best step | epochs | training, s | in all, s |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, sys := range systems {
		for _, r := range f.Results {
			if r.System == sys.Name {
				fmt.Fprintf(&t, "| %s | %d | %s | %s | %s | %s | %d | %d | %.1f | %.0f | %.0f |\n", r.System, r.Seed, cell(rmse(r)), cell(accuracy(r)),
					cell(viewRMSE(r)), cell(viewAccuracy(r)), r.Steps, r.BestStep, r.Epochs, r.TrainSeconds, r.WallSeconds)
			}
		}
	}
	t.WriteString("\n| mean ± 2 standard errors | RMSE | argmax accuracy | RMSE, 8 views | argmax accuracy, 8 views | training, s |\n|---|---|---|---|---|---|\n")
	for _, sys := range systems {
		fmt.Fprintf(&t, "| %s |", sys.Name)
		for _, of := range []column{rmse, accuracy, viewRMSE, viewAccuracy} {
			fmt.Fprintf(&t, " %s |", mean(f.Results, sys.Name, of).format("%.4f"))
		}
		fmt.Fprintf(&t, " %.0f |\n", mean(f.Results, sys.Name, func(r result) float64 { return r.TrainSeconds }).Mean)
	}
	for _, r := range f.Results {
		if r.Constant != nil {
			fmt.Fprintf(&t, "| constant predictor | %s | %s | – | – | – |\n", cell(r.Constant.RMSE), cell(r.Constant.Accuracy))
			break
		}
	}
	if len(f.Comparisons) > 0 {
		t.WriteString("\n| difference seed by seed, mean ± 2 standard errors | RMSE | argmax accuracy | RMSE, relative | 0 within 2 standard errors |\n|---|---|---|---|---|\n")
	}
	for _, c := range f.Comparisons {
		fmt.Fprintf(&t, "| %s | %s | %s | %+.1f %% | %s |\n", c.title(), c.RMSE.format("%+.4f"), c.Accuracy.format("%+.4f"), 100*(c.Ratio-1), c.verdict())
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
	return fmt.Sprintf("RMSE %s, accuracy %s", word[c.RMSE.within()], word[c.Accuracy.within()])
}
