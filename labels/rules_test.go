package labels_test

import (
	"slices"
	"testing"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		name string
		row  map[string]float32
		want string
	}{
		{"at the thresholds", map[string]float32{"Class1.1": .469, "Class7.1": .5}, "round"},
		{"one just below", map[string]float32{"Class1.1": .468, "Class7.1": .5}, "unclear"},
		{"the other just below", map[string]float32{"Class1.1": .9, "Class7.1": .499}, "unclear"},
		{"in between", map[string]float32{"Class1.1": .6, "Class7.2": .5}, "in-between"},
		{"cigar", map[string]float32{"Class1.1": .6, "Class7.3": .5}, "cigar"},
		{"the first wins", map[string]float32{"Class1.1": 1, "Class7.1": .5, "Class7.2": .5, "Class7.3": .5}, "round"},
		{"edge-on", map[string]float32{"Class1.2": .43, "Class2.1": .602}, "edge-on"},
		{"spiral", map[string]float32{"Class1.2": .43, "Class2.2": .715, "Class4.1": .619}, "spiral"},
		{"no arms", map[string]float32{"Class1.2": .8, "Class2.2": .8, "Class4.1": .618}, "unclear"},
		{"nothing", nil, "unclear"},
	} {
		row := make([]float32, zoo.Width())
		for j, name := range zoo.Columns() {
			row[j] = c.row[name]
		}
		if got := zoo.ClassName(zoo.ClassOf(row)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The small schema's classes: the first of two that both fit, and the column that ends
// each path.
func TestSmallClasses(t *testing.T) {
	classes := small.Classes()
	if got := classes.Columns(); !slices.Equal(got, []string{"loner", "blade"}) {
		t.Errorf("classes are %q", got)
	}
	if got := small.LastColumns(); !slices.Equal(got, []int{7, 3}) {
		t.Errorf("last columns are %v", got)
	}
	row := []float32{0.5, 0.5, 0, 0.5, 0, 0, 0, 0.5}
	if got := small.ClassOf(row); got != 0 {
		t.Errorf("a galaxy of both classes is %v", small.ClassName(got))
	}
	row[7] = 0.25
	if got := small.ClassOf(row); got != 1 {
		t.Errorf("a blade is %v", small.ClassName(got))
	}
	if classes.Classes() != classes || classes.Source() != small || !classes.Derived() || small.Derived() {
		t.Error("the classes are not derived from their schema")
	}
}

func TestLabel(t *testing.T) {
	classes := zoo.Classes()
	fractions := make([]float32, zoo.Width())
	fractions[0], fractions[17] = 0.6, 0.5 // smooth, cigar-shaped
	label := make([]float32, classes.Width())
	for _, stale := range []float32{0, 1} { // a loader fills the same row again
		for i := range label {
			label[i] = stale
		}
		classes.Label(label, fractions)
		if !slices.Equal(label, []float32{0, 0, 1, 0, 0}) {
			t.Errorf("the label is %v", label)
		}
	}
	if !classes.Has(fractions) {
		t.Error("a cigar has no class")
	}
	fractions[17] = 0.4
	if classes.Has(fractions) || !zoo.Has(fractions) {
		t.Error("an unclear galaxy has a class, or no fractions")
	}
	row := make([]float32, zoo.Width())
	if zoo.Label(row, fractions); !slices.Equal(row, fractions) {
		t.Errorf("the fractions are %v", row)
	}
}

// A schema without rules has a schema of classes without columns, of which no galaxy has a
// label.
func TestNoClasses(t *testing.T) {
	d := definition()
	d.Classes = nil
	s, err := labels.New(d)
	if err != nil {
		t.Fatal(err)
	}
	row := labelstest.Rows(s, 1, 1)
	if c := s.Classes(); c.Width() != 0 || len(c.Questions()) != 0 || c.Has(row) || s.ClassOf(row) != labels.NoClass {
		t.Errorf("classes %q of no rules", c.Columns())
	}
}
