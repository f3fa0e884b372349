package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"galaxy/data"
	"galaxy/internal/usage"
	"galaxy/train/metric"
)

// figuresCSV returns one row per metric: its name, its value, the ends of its 95
// % interval and the constant predictor's value. Undefined values are empty.
func figuresCSV(figures []metric.Figure) ([]byte, error) {
	number := func(x float64) string {
		if math.IsNaN(x) {
			return ""
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	rows := [][]string{{"name", "value", "low", "high", "constant"}}
	for _, f := range figures {
		low, high := math.NaN(), math.NaN()
		if f.Interval != nil {
			low, high = f.Interval[0], f.Interval[1]
		}
		rows = append(rows, []string{f.Name, number(f.Value), number(low), number(high), number(f.Constant)})
	}
	if err := errors.Join(w.WriteAll(rows), w.Error()); err != nil {
		return nil, fmt.Errorf("write figures as CSV: %w", err)
	}
	return out.Bytes(), nil
}

// printEvaluation prints metrics as tables, the main ones first.
func printEvaluation(w io.Writer, r evaluated, brief bool) {
	how := ""
	if r.Views > 1 {
		how = fmt.Sprintf(", %d views of each", r.Views)
	}
	if r.Projected {
		how += ", projected onto the question tree"
	}
	split := r.Split + " split"
	if r.Split == data.All.String() {
		split = "all splits"
	}
	fmt.Fprintf(w, "%s, %s, %s%s (%.0f img/s)\n", r.Model, split, usage.Count(r.Examples, "galaxy"), how, r.ImagesPerSecond)
	figures := r.ByName()
	printMain(w, figures, r)
	if r.Symmetry != nil {
		printSymmetry(w, r.Symmetry.Views, figures)
	}
	if brief {
		return
	}
	if r.Questions != nil && !r.schema.OfClasses() { // there the one question is the class
		printQuestions(w, r, figures)
	}
	if r.Votes != nil {
		printVotes(w, r, figures)
	}
	if r.CleanClasses != nil {
		printClasses(w, r.CleanClasses, figures)
	}
	printReliability(w, r)
	printSlices(w, r, figures)
}

// table prints rows of cells in columns, all but the first aligned to the right.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table {
	fmt.Fprintln(w)
	return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

func (t table) row(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }

// cells returns a metric's value, its interval, and the constant predictor's value.
func cells(f metric.Figure, digits int) []string {
	number := func(x float64) string {
		if math.IsNaN(x) {
			return "–"
		}
		return strconv.FormatFloat(x, 'f', digits, 64)
	}
	between := ""
	if f.Interval != nil {
		between = number(f.Interval[0]) + " to " + number(f.Interval[1])
	}
	return []string{number(f.Value), between, number(f.Constant)}
}

// printMain prints the main metrics.
func printMain(w io.Writer, figures map[string]metric.Figure, r evaluated) {
	t := newTable(w)
	t.row("", "value", "95 % interval", "constant")
	for _, line := range metric.Headlines(r.schema) {
		if f, ok := figures[line.Name]; ok && !math.IsNaN(f.Value) {
			t.row(append([]string{line.Text}, cells(f, 4)...)...)
		}
	}
	t.Flush()
}

func printQuestions(w io.Writer, r evaluated, figures map[string]metric.Figure) {
	t := newTable(w)
	t.row("question", "asked of", "accuracy", "95 % interval", "constant", "RMSE", "95 % interval", "constant")
	questions := r.schema.Questions()
	for i, q := range r.Questions {
		name := "question." + strconv.Itoa(q.Question)
		line := []string{strconv.Itoa(q.Question), fmt.Sprintf("%.1f %%", 100*q.Reached)}
		line = append(line, cells(figures[name+".accuracy"], 3)...)
		line = append(line, cells(figures[name+".rmse"], 4)...)
		fmt.Fprintln(t, strings.Join(line, "\t")+"\t  "+questions[i].Text)
	}
	t.Flush()
}

func printVotes(w io.Writer, r evaluated, figures map[string]metric.Figure) {
	t := newTable(w)
	t.row("question", "votes", "RMSE of noise", "log-likelihood", "95 % interval", "constant", "inside 50 %", "inside 90 %", "95 % interval", "constant")
	for _, q := range r.Questions {
		name := "question." + strconv.Itoa(q.Question) + ".votes."
		line := []string{strconv.Itoa(q.Question), fmt.Sprintf("%.1f", q.Votes.Votes), cells(figures[name+"noise_rmse"], 4)[0]}
		line = append(line, cells(figures[name+"log_likelihood"], 3)...)
		line = append(line, cells(figures[name+"coverage_50"], 3)[0])
		t.row(append(line, cells(figures[name+"coverage_90"], 3)...)...)
	}
	t.Flush()
}

func printClasses(w io.Writer, f *metric.CleanClassScores, figures map[string]metric.Figure) {
	t := newTable(w)
	head := []string{fmt.Sprintf("%d of a class, taken for", f.Examples)}
	for _, c := range f.Classes {
		head = append(head, c.Class)
	}
	t.row(append(head, "precision", "95 % interval", "recall", "95 % interval", "F1", "95 % interval", "ROC-AUC", "95 % interval")...)
	for k, c := range f.Classes {
		line := []string{c.Class}
		for _, n := range f.Confusion[k] {
			line = append(line, strconv.Itoa(n))
		}
		for _, figure := range []string{"precision", "recall", "f1", "roc_auc"} {
			line = append(line, cells(figures["five_class."+c.Class+"."+figure], 3)[:2]...)
		}
		t.row(line...)
	}
	t.Flush()
}

// printReliability prints the two reliability tables side by side: they have the
// same bins.
func printReliability(w io.Writer, r evaluated) {
	t := newTable(w)
	head := []string{"predicted share"}
	var tables [][]metric.ReliabilityBin
	if c := r.FractionCalibration; c != nil && !r.schema.OfClasses() {
		head, tables = append(head, "fractions", "predicted", "observed"), append(tables, c.Bins)
	}
	if f := r.CleanClasses; f != nil {
		head, tables = append(head, "classes", "predicted", "observed"), append(tables, f.Calibration.Bins)
	}
	t.row(head...)
	ends := map[float64]float64{} // the ends of the bins in a table, by their start
	for _, b := range slices.Concat(tables...) {
		ends[b.From] = b.To
	}
	for _, from := range slices.Sorted(maps.Keys(ends)) {
		line := []string{fmt.Sprintf("%.3f to %.3f", from, ends[from])}
		for _, bins := range tables {
			three := []string{"", "", ""}
			for _, b := range bins {
				if b.From == from {
					three = []string{strconv.Itoa(b.Count), fmt.Sprintf("%.3f", b.Predicted), fmt.Sprintf("%.3f", b.Observed)}
				}
			}
			line = append(line, three...)
		}
		t.row(line...)
	}
	t.Flush()
}

func printSlices(w io.Writer, r evaluated, figures map[string]metric.Figure) {
	if len(r.Slices) == 0 {
		return
	}
	t := newTable(w)
	head, rmse := []string{"quarter of the galaxies by", "number"}, !r.schema.OfClasses()
	if rmse {
		head = append(head, "RMSE", "95 % interval", "constant")
	}
	t.row(append(head, "accuracy", "95 % interval", "constant")...)
	for _, s := range r.Slices {
		name := fmt.Sprintf("slice.%s.%d", s.By, s.Quartile)
		line := []string{fmt.Sprintf("%s, %.1f to %.1f %s", s.By, s.From, s.To, s.Unit), strconv.Itoa(s.Examples)}
		if rmse {
			line = append(line, cells(figures[name+".rmse"], 4)...)
		}
		t.row(append(line, cells(figures[name+".accuracy"], 3)...)...)
	}
	t.Flush()
}

// printSymmetry prints how far predictions and features move when images are rotated and mirrored.
func printSymmetry(w io.Writer, views int, figures map[string]metric.Figure) {
	t := newTable(w)
	t.row(fmt.Sprintf("changes over %d views of each galaxy", views), "mean", "95 % interval", "of all")
	for _, line := range []struct {
		text, name, most string
		digits           int
	}{
		{"answers, percentage points", "mean_change", "", 2},
		{"the answer that changes most", "largest_change", "largest_of_all", 2},
		{"predicted class", "class_mean_change", "", 2},
		{"predicted class, where it changes most", "class_largest_change", "class_largest_of_all", 2},
		{"fraction with another largest answer", "answer_changes", "", 4},
		{"fraction with another predicted class", "class_changes", "", 4},
		{"cosine of the features, smallest", "feature_cosine", "feature_cosine_smallest", 4},
	} {
		f := figures["symmetry."+line.name]
		if math.IsNaN(f.Value) {
			continue
		}
		most := ""
		if line.most != "" {
			most = cells(figures["symmetry."+line.most], line.digits)[0]
		}
		t.row(append(append([]string{line.text}, cells(f, line.digits)[:2]...), most)...)
	}
	t.Flush()
}
