package labels_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

func TestValue(t *testing.T) {
	nan := math.NaN()
	const fraction, count = "a vote fraction lies from 0 to 1", "a count of votes is a whole number from 0 to 16777216"
	for _, c := range []struct {
		schema *labels.Schema
		in     float64
		want   float32
		err    string
	}{
		{zoo, 0.25, 0.25, ""},
		{zoo, -1e-6, 0, ""},
		{zoo, 1 + 1e-6, 1, ""},
		{zoo, 1.5, 0, fraction},
		{zoo, -0.1, 0, fraction},
		{zoo, nan, 0, fraction},
		{counts, 0, 0, ""},
		{counts, 18, 18, ""},
		{counts, 1 << 24, 1 << 24, ""},
		{counts, 1<<24 + 1, 0, count},
		{counts, 18.5, 0, count},
		{counts, -1, 0, count},
		{counts, nan, 0, count},
		{counts, math.Inf(1), 0, count},
	} {
		got, err := c.schema.Value(c.in)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v of %v: %v, %v; expected %v, %s", c.schema.Values(), c.in, got, err, c.want, c.err)
		}
		if values := c.schema.Values(); !values.Holds(got) || err != nil && values.Holds(float32(c.in)) && c.in != 1<<24+1 { // which float32 rounds
			t.Errorf("whether a row of %v can hold %v and %v", values, got, c.in)
		}
	}
}

func TestCheckTotal(t *testing.T) {
	row := []float32{4, 6, 0, 3, 2, 1, 1, 1}
	for _, c := range []struct {
		total float64
		want  string
	}{
		{5, ""},
		{7, ""}, // two skipped the question
		{4, "question 2 has the total 4: expected at least 5, the sum of its answers"},
		{5.5, "question 2 has the total 5.5: expected a whole number"},
		{-1, "question 2 has the total -1: expected a whole number"},
		{math.NaN(), "question 2 has the total NaN: expected a whole number"},
	} {
		err := counts.CheckTotal(row, 1, c.total)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, expected %q", c.total, err, c.want)
		}
	}
	// Fractions have no sum that a total could be compared with.
	if err := small.CheckTotal([]float32{0.5, 0.5, 0, 0.25, 0.25, 0, 0, 0.75}, 0, 0); err != nil {
		t.Error(err)
	}
}

// By hand, with a question that nobody was asked and one that all skipped.
func TestCounts(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		row, conditional, ofAll []float32
		reached                 []float64
	}{
		{
			[]float32{12, 6, 2, 3, 1, 4, 0, 4},
			[]float32{0.6, 0.3, 0.1, 0.75, 0.25, 0.5, 0, 0.5},
			// Half of 0.6 + 0.3 / 4.
			[]float32{0.6, 0.3, 0.1, 0.225, 0.075, 0.3375, 0, 0.3375},
			[]float64{1, 0.2, 0.4},
		},
		{
			[]float32{0, 0, 5, 0, 0, 0, 0, 0},
			[]float32{0, 0, 1, nan, nan, nan, nan, nan},
			[]float32{0, 0, 1, 0, 0, 0, 0, 0},
			[]float64{1, 0, 0},
		},
		{
			[]float32{5, 5, 0, 0, 0, 2, 2, 0}, // nobody said whether it is edge-on
			[]float32{0.5, 0.5, 0, nan, nan, 0.5, 0.5, 0},
			[]float32{0.5, 0.5, 0, nan, nan, nan, nan, nan},
			[]float64{1, 0, 0.4},
		},
		{
			make([]float32, 8),
			slices.Repeat([]float32{nan}, 8),
			slices.Repeat([]float32{nan}, 8),
			[]float64{0, 0, 0},
		},
	} {
		conditional, ofAll := make([]float32, 8), slices.Clone(c.row)
		counts.Conditional(conditional, c.row)
		counts.OfAll(ofAll, ofAll) // in place
		if !near(conditional, c.conditional) || !near(ofAll, c.ofAll) {
			t.Errorf("%v: conditional %v, of all %v; expected %v, %v", c.row, conditional, ofAll, c.conditional, c.ofAll)
		}
		for i, want := range c.reached {
			if got := counts.Reached(c.row, i); math.Abs(got-want) > 1e-12 {
				t.Errorf("%v: question %d is reached by %v, expected %v", c.row, i+1, got, want)
			}
		}
	}
	want := "question 3 has 6 votes: expected at most 5, the votes for smooth + face-on"
	if err := counts.CheckSums([]float32{4, 2, 0, 1, 1, 6, 0, 0}, 0); err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
	if err := counts.CheckSums(make([]float32, 7), 0); err == nil || err.Error() != "check sum rules: expected 8 counts, got 7" {
		t.Errorf("a row without its last column: %v", err)
	}
}

// near compares floats; NaN is near NaN.
func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return x != x && y != y || math.Abs(float64(x-y)) < 1e-6
	})
}

// slowOfAll multiplies down the paths by recursion.
func slowOfAll(s *labels.Schema, row []float32, column int) float64 {
	for _, q := range s.Questions() {
		if column < q.First || column >= q.First+len(q.Answers) {
			continue
		}
		asked := 0.0
		for _, parent := range q.AfterColumns {
			asked += slowOfAll(s, row, parent)
		}
		if len(q.AfterColumns) == 0 {
			asked = 1
		}
		if asked == 0 {
			return 0
		}
		n := 0.0
		for j := range q.Answers {
			n += float64(row[q.First+j])
		}
		return float64(row[column]) / n * asked
	}
	panic("no such column")
}

// For any counts under any schema: fractions of those who were asked and of all agree with a
// recursion, the former satisfy the sum rules of what a network predicts, and that schema
// multiplies them down to the latter.
func TestCountsAgainstTwin(t *testing.T) {
	all := []*labels.Schema{counts}
	for _, b := range labels.Builtin() {
		if b.Schema.Values() == labels.Counts {
			all = append(all, b.Schema)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "schema")
		row := labelstest.Rows(s, 1, rapid.Uint64().Draw(t, "seed"))
		for _, v := range row {
			if _, err := s.Value(float64(v)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CheckSums(row, 0); err != nil {
			t.Fatal(err)
		}
		conditional, ofAll, again := slices.Clone(row), slices.Clone(row), slices.Clone(row)
		s.Conditional(conditional, row)
		s.OfAll(ofAll, row)
		for j := range row {
			if want := float32(slowOfAll(s, row, j)); !near(ofAll[j:j+1], []float32{want}) {
				t.Fatalf("column %d: %v of all, expected %v", j, ofAll[j], want)
			}
		}
		if slices.ContainsFunc(conditional, func(v float32) bool { return v != v }) {
			return
		}
		predicted := s.Predicted()
		if err := predicted.CheckSums(conditional, 1e-5); err != nil {
			t.Fatal(err)
		}
		if predicted.OfAll(again, conditional); !near(again, ofAll) {
			t.Fatalf("of all %v, expected %v", again, ofAll)
		}
	})
}

func ExampleSchema_Conditional() {
	gz2, _ := labels.Named("gz2")
	s := gz2.Schema
	row := make([]float32, s.Width())
	copy(row, []float32{5, 10, 1, 2, 8}) // smooth, featured, artifact; edge-on or not
	conditional, ofAll := make([]float32, s.Width()), make([]float32, s.Width())
	s.Conditional(conditional, row)
	s.OfAll(ofAll, row)
	fmt.Println(conditional[:6])
	fmt.Println(ofAll[:5])
	// Output:
	// [0.3125 0.625 0.0625 0.2 0.8 NaN]
	// [0.3125 0.625 0.0625 0.125 0.5]
}
