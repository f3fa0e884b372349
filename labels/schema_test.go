package labels_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// definition returns the small schema's, the caller's to change.
func definition() labels.Definition {
	text, err := json.Marshal(small)
	if err != nil {
		panic(err)
	}
	var d labels.Definition
	if err := json.Unmarshal(text, &d); err != nil {
		panic(err)
	}
	return d
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*labels.Definition)
		want   string
	}{
		{"no name", func(d *labels.Definition) { d.Name = "" }, "expected a name"},
		{"no questions", func(d *labels.Definition) { d.Questions = nil }, "at least one question"},
		{"one answer", func(d *labels.Definition) { d.Questions[1].Answers = d.Questions[1].Answers[:1] }, "question 2: 1 answers: expected at least 2"},
		{"no column name", func(d *labels.Definition) { d.Questions[1].Answers[0].Name = "" }, `question 2: column ""`},
		{"a name twice", func(d *labels.Definition) { d.Questions[1].Answers[0].Name = "smooth" }, `question 2: column "smooth": expected a name that no other column has`},
		{"after nothing known", func(d *labels.Definition) { d.Questions[1].After[0] = "x" }, `question 2: it is asked after "x"`},
		{"after itself", func(d *labels.Definition) { d.Questions[1].After[0] = "edge-on" }, `asked after "edge-on": expected different columns of earlier questions`},
		{"after one twice", func(d *labels.Definition) { d.Questions[2].After[1] = "smooth" }, `asked after "smooth": expected different`},
		{"of asked, after none", func(d *labels.Definition) { d.Questions[0].OfAsked = true }, "leave of_asked out"},
		{"of asked, after two questions", func(d *labels.Definition) { d.Questions[2].OfAsked = true }, "question 3: its columns are fractions of those who are asked it: expected After to be answers of one question"},
		{"of different volunteers", func(d *labels.Definition) { d.Questions[1].OfAsked = true }, "question 3: it is asked after smooth and face-on, which are fractions of different volunteers"},
		{"a class without name", func(d *labels.Definition) { d.Classes[0].Name = "" }, `class ""`},
		{"a class called unclear", func(d *labels.Definition) { d.Classes[0].Name = "unclear" }, `not "unclear"`},
		{"a class twice", func(d *labels.Definition) { d.Classes[1].Name = "loner" }, `class "loner": expected a name that no other class has`},
		{"one class", func(d *labels.Definition) { d.Classes = d.Classes[:1] }, "one class, loner: expected none or several"},
		{"a class of all", func(d *labels.Definition) { d.Classes[1].AtLeast = nil }, `class "blade": expected at least one threshold`},
		{"a class of no column", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Column = "x" }, `class "blade": there is no column "x"`},
		{"a threshold above 1", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Fraction = 1.5 }, "threshold 1.5 of featured"},
		{"a threshold of NaN", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Fraction = float32(math.NaN()) }, "threshold NaN of featured"},
		{"classes that cannot be compared", func(d *labels.Definition) {
			d.Questions[2].After = []string{"smooth", "featured"}
			d.Questions[2].OfAsked = true
		}, `class "blade": edge-on and alone, which end the paths of classes, are fractions of different volunteers`},
	} {
		d := definition()
		test.change(&d)
		if _, err := labels.New(d); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", test.name, err, test.want)
		}
	}
}

// Fractions of the volunteers who were asked stay so further down, question by question.
func TestOfAskedTwice(t *testing.T) {
	two := func(names ...string) (all []labels.Answer) {
		for _, name := range names {
			all = append(all, labels.Answer{Name: name, Text: name})
		}
		return all
	}
	s, err := labels.New(labels.Definition{Name: "nested", Questions: []labels.Question{
		{Answers: two("a", "b")},
		{Answers: two("c", "d"), After: []string{"b"}, OfAsked: true},
		{Answers: two("e", "f"), After: []string{"d"}, OfAsked: true},
		{Answers: two("g", "h"), After: []string{"e"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	row := []float32{0.5, 0.5, 0.75, 0.25, 0.5, 0.5, 0.25, 0.25}
	for i, want := range []float64{1, 0.5, 0.125, 0.0625} {
		if got := s.Reached(row, i); got != want {
			t.Errorf("question %d is reached by %v, want %v", i+1, got, want)
		}
	}
	if err := s.CheckSums(row, 1e-6); err != nil {
		t.Error(err)
	}
}

// A schema written to a file and read again is the same, down to what New works out.
func TestJSON(t *testing.T) {
	row := labelstest.Rows(small, 1, 3)
	for _, s := range labelstest.Schemas() {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		read := new(labels.Schema)
		if err := json.Unmarshal(text, read); err != nil {
			t.Fatal(err)
		}
		if !read.Equal(s) || !read.Classes().Equal(s.Classes()) || read.Classes().Source() != read {
			t.Errorf("%v was read as %s", s, text)
		}
		if again, err := json.Marshal(read); err != nil || string(again) != string(text) {
			t.Errorf("written again %s (%v), first %s", again, err, text)
		}
		if s == small && (read.ClassOf(row) != s.ClassOf(row) || read.Reached(row, 2) != s.Reached(row, 2)) {
			t.Error("what was read gives other figures")
		}
	}
	for _, text := range []string{`{}`, `[]`, `{"name":"x","question":[]}`, `{"name":"x","questions":[{"text":"?","answers":[{"name":"a"},{"name":"b"}],"before":["a"]}]}`} {
		if err := json.Unmarshal([]byte(text), new(labels.Schema)); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: got %v, want an error about the schema", text, err)
		}
	}
}

// Files about the built-in schema say nothing of it, so that older programs can read
// them.
func TestOmitted(t *testing.T) {
	type file struct {
		Schema *labels.Schema `json:"schema,omitzero"`
	}
	copied := new(labels.Schema)
	text, err := json.Marshal(zoo)
	if err != nil || json.Unmarshal(text, copied) != nil {
		t.Fatal(err)
	}
	for _, s := range []*labels.Schema{nil, zoo, copied} {
		if text, err := json.Marshal(file{s}); err != nil || string(text) != "{}" {
			t.Errorf("%s is written (%v)", text, err)
		}
	}
	if text, err := json.Marshal(file{small}); err != nil || !strings.HasPrefix(string(text), `{"schema":{"name":"small"`) {
		t.Errorf("%s is written (%v)", text, err)
	}
}

func TestEqual(t *testing.T) {
	d := definition()
	d.Classes[0].AtLeast[0].Fraction = 0.25
	other, err := labels.New(d)
	if err != nil {
		t.Fatal(err)
	}
	if other.Equal(small) || other.Classes().Equal(small.Classes()) || small.Equal(small.Classes()) || small.Classes().Equal(small) || small.Equal(nil) || zoo.Equal(small) {
		t.Error("different schemas are equal")
	}
}

// Nobody can change a schema.
func TestSchemaIsItsOwn(t *testing.T) {
	d := definition()
	s, err := labels.New(d)
	if err != nil {
		t.Fatal(err)
	}
	d.Questions[0].Answers[0].Name, d.Questions[2].After[0], d.Classes[0].Name = "x", "x", "x"
	q := s.Questions()
	q[0].Answers[0].Name, q[2].After[0], q[2].AfterColumns[0] = "x", "x", 7
	s.Columns()[0] = "x"
	s.LastColumns()[0] = 0
	if !s.Equal(small) || !slices.Equal(s.Columns(), small.Columns()) || !slices.Equal(s.LastColumns(), small.LastColumns()) {
		t.Error("a caller has changed it")
	}
}

func TestLargest(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		in   []float32
		want int
	}{
		{nil, -1},
		{[]float32{nan}, -1},
		{[]float32{0.2, 0.5, 0.5}, 1},
		{[]float32{nan, 0, nan}, 1},
		{[]float32{1}, 0},
	} {
		if got := labels.Largest(c.in); got != c.want {
			t.Errorf("Largest(%v) = %d, want %d", c.in, got, c.want)
		}
	}
}

// Whatever a file holds, there is a schema that can be used or an error.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range labelstest.Schemas() {
		text, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := new(labels.Schema)
		if json.Unmarshal(text, s) != nil {
			return
		}
		row := evenRow(s)
		if err := s.Project(row); err != nil {
			t.Error(err)
		}
		for i := range s.Questions() {
			s.Reached(row, i)
		}
		if s.Classes().Has(row) {
			s.Classes().Label(make([]float32, s.Classes().Width()), row)
		}
	})
}
