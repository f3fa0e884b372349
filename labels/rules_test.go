package labels_test

import (
	"fmt"
	"slices"
	"strings"
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
	scores := make([]float32, 2)
	if got := small.ClassColumns(); !slices.Equal(got, []int{7, 3}) {
		t.Errorf("columns of the classes %v, expected 7 and 3", got)
	}
	if got := classes.ClassColumns(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("columns of a schema of classes %v, expected 0 and 1", got)
	}
	if small.ClassScores(scores, []float32{0, 1, 2, 3, 4, 5, 6, 7}); !slices.Equal(scores, []float32{7, 3}) {
		t.Errorf("the classes' columns are %v", scores)
	}
	if classes.ClassScores(scores, []float32{0.75, 0.25}); !slices.Equal(scores, []float32{0.75, 0.25}) {
		t.Errorf("predictions of classes are %v", scores)
	}
	// Fractions of those who were asked are compared as fractions of all: edge-on is asked of a
	// quarter, and alone of 3/4 + 1/4 · 1/8.
	row := []float32{0.75, 0.25, 0, 0.875, 0.125, 0, 0.5, 0.5}
	if counts.Predicted().ClassScores(scores, row); !slices.Equal(scores, []float32{0.390625, 0.21875}) {
		t.Errorf("the classes' columns of conditional fractions are %v", scores)
	}
	row = []float32{0.5, 0.5, 0, 0.5, 0, 0, 0, 0.5}
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

// Thresholds on counts are on fractions of those who answered the question.
func TestClassesOfCounts(t *testing.T) {
	for _, c := range []struct {
		row  []float32
		want string
	}{
		{[]float32{4, 6, 0, 3, 3, 1, 4, 5}, "loner"}, // 5 of 10, at the threshold
		{[]float32{4, 6, 0, 3, 3, 1, 5, 5}, "blade"}, // 6 of 10 and 3 of 6
		{[]float32{4, 6, 0, 2, 3, 1, 5, 5}, "unclear"},
		{[]float32{0, 6, 0, 0, 0, 0, 0, 0}, "unclear"}, // nobody answered
	} {
		if got := counts.ClassName(counts.ClassOf(c.row)); got != c.want {
			t.Errorf("%v is %v, expected %s", c.row, got, c.want)
		}
		if k := counts.ClassOf(c.row); k >= 0 {
			label := make([]float32, 2)
			if counts.Classes().Label(label, c.row); label[k] != 1 || label[1-k] != 0 {
				t.Errorf("%v has the label %v", c.row, label)
			}
		}
	}
}

// A schema of plain classes is a question, and each answer is a class.
func TestFromClasses(t *testing.T) {
	s, err := labels.FromClasses([]string{"spiral", "elliptical", "ring, bright"})
	if err != nil {
		t.Fatal(err)
	}
	for k, name := range s.Columns() {
		row := make([]float32, 3)
		row[k] = 1
		if err := s.CheckSums(row, 0); err != nil || s.ClassOf(row) != k || s.ClassName(k) != name || s.Reached(row, 0) != 1 {
			t.Errorf("%s: class %v (%v)", name, s.ClassName(s.ClassOf(row)), err)
		}
	}
	if s.ClassOf(make([]float32, 3)) != labels.NoClass || s.Classes().Width() != 3 || s.Predicted() != s {
		t.Error("a galaxy without a class has one")
	}
	for want, names := range map[string][]string{
		"0 answers: expected at least 2":                          nil,
		"1 answers: expected at least 2":                          {"a"},
		`column "a": expected a name that no other column has`:    {"a", "b", "a"},
		`column "": expected a name that no other column has`:     {"a", ""},
		`expected a name that no other class has, and not "uncle`: {"a", "unclear"},
	} {
		if _, err := labels.FromClasses(names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected an error with %q", names, err, want)
		}
	}
}

// A user's schema of one question is one of classes, and keeps its order and texts.
func TestWithClasses(t *testing.T) {
	galaxy10 := `
name = "galaxy10"
[[questions]]
text = "What is it?"
answers = [{column = "9", text = "edge-on"}, {column = "0", text = "disturbed"}]
`
	s, err := read(galaxy10)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.WithClasses()
	if err != nil {
		t.Fatal(err)
	}
	if s.OfClasses() || !c.OfClasses() || !slices.Equal(c.Classes().Columns(), []string{"9", "0"}) || c.Questions()[0].Answers[0].Text != "edge-on" {
		t.Errorf("the classes are %q of %+v", c.Classes().Columns(), c.Questions())
	}
	if again, err := c.WithClasses(); err != nil || again != c {
		t.Errorf("with classes twice: %v", err)
	}
	plain, err := labels.FromClasses([]string{"9", "0"})
	if err != nil || !plain.OfClasses() || plain.Classes().OfClasses() || zoo.OfClasses() || small.OfClasses() {
		t.Errorf("schemas of classes are not recognised: %v", err)
	}
	rule := "[[classes]]\nname = %q\nat_least = [{column = %q, fraction = %v}]\n"
	for want, text := range map[string]string{
		"expected one question with fractions": galaxy10 + "[[questions]]\ntext = \"Again?\"\nanswers = [{column = \"yes\"}, {column = \"no\"}]\n",
		"1 questions with counts":              "values = \"counts\"" + galaxy10,
		"has rules for classes":                galaxy10 + fmt.Sprintf(rule, "a", "9", 0.5) + fmt.Sprintf(rule, "b", "0", 0.7),
	} {
		s, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WithClasses(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected an error with %q", err, want)
		}
	}
	if _, err := zoo.Classes().WithClasses(); err == nil {
		t.Error("derived classes are those of a catalogue")
	}
}

// OfClasses is true of FromClasses, whatever texts it has, and of no schema in which volunteers voted
// or in which a class is not an answer from half on.
func TestOfClasses(t *testing.T) {
	plain := func(change func(d *labels.Definition)) bool {
		t.Helper()
		d := labels.Definition{Name: "radio", Questions: []labels.Question{{Text: "Which?", Answers: []labels.Answer{{"FRI", "one"}, {"FRII", "two"}}}},
			Classes: []labels.Class{{"FRI", []labels.Threshold{{"FRI", 0.5}}}, {"FRII", []labels.Threshold{{"FRII", 0.5}}}}}
		change(&d)
		s, err := labels.New(d)
		if err != nil {
			t.Fatal(err)
		}
		if name := s.Classes().Name(); s.OfClasses() != (name == "classes") || s.Classes().OfClasses() {
			t.Errorf("plain %v: the classes are called %s, and are plain %v", s.OfClasses(), name, s.Classes().OfClasses())
		}
		return s.OfClasses()
	}
	if s, err := labels.FromClasses([]string{"FRI", "FRII"}); err != nil || !s.OfClasses() || !plain(func(*labels.Definition) {}) {
		t.Errorf("classes are not plain (%v)", err)
	}
	for name, change := range map[string]func(d *labels.Definition){
		"counts":            func(d *labels.Definition) { d.Values = labels.Counts },
		"no classes":        func(d *labels.Definition) { d.Classes = nil },
		"other order":       func(d *labels.Definition) { slices.Reverse(d.Classes) },
		"other names":       func(d *labels.Definition) { d.Classes[0].Name = "first" },
		"another threshold": func(d *labels.Definition) { d.Classes[0].AtLeast[0].Fraction = 0.8 },
		"a class is missing": func(d *labels.Definition) {
			d.Questions[0].Answers = append(d.Questions[0].Answers, labels.Answer{Name: "Bent"})
		},
		"a class of another": func(d *labels.Definition) { d.Classes[0].AtLeast[0].Column = "FRII" },
		"a question after it": func(d *labels.Definition) {
			d.Questions = append(d.Questions, labels.Question{Answers: []labels.Answer{{Name: "a"}, {Name: "b"}}, After: []string{"FRI"}})
		},
	} {
		if plain(change) {
			t.Errorf("%s: plain classes", name)
		}
	}
	if zoo.OfClasses() {
		t.Error("the challenge has plain classes")
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
