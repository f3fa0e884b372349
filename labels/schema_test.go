package labels_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"galaxy/labels"
	"galaxy/labels/labelstest"

	"pgregory.net/rapid"
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
		{"values of another kind", func(d *labels.Definition) { d.Values = "votes" }, `its values are "votes": expected fractions or counts`},
		{"after nothing known", func(d *labels.Definition) { d.Questions[1].After[0] = "feature" }, `question 2: it is asked after "feature": there is no such column: did you mean featured?`},
		{"after itself", func(d *labels.Definition) { d.Questions[1].After[0] = "edge-on" }, `asked after "edge-on", an answer to question 2: expected an answer to an earlier question`},
		{"in a circle", func(d *labels.Definition) { d.Questions[1].After[0] = "alone" }, `question 2: it is asked after "alone", an answer to question 3: expected an answer to an earlier question`},
		{"after one twice", func(d *labels.Definition) { d.Questions[2].After[1] = "smooth" }, `asked after "smooth" twice: expected different`},
		{"a total that is an answer", func(d *labels.Definition) { d.Questions[1].Total = "alone" }, `question 2: total "alone": expected a name`},
		{"a total twice", func(d *labels.Definition) { d.Questions[0].Total, d.Questions[1].Total = "n", "n" }, `question 2: total "n": expected a name`},
		{"too many columns", func(d *labels.Definition) {
			for i := range 4096 {
				d.Questions[0].Answers = append(d.Questions[0].Answers, labels.Answer{Name: fmt.Sprint(i)})
			}
		}, "question 1: expected at most 4096 answers"},
		{"of asked, after none", func(d *labels.Definition) { d.Questions[0].OfAsked = true }, "leave of_asked out"},
		{"of different volunteers", func(d *labels.Definition) { d.Questions[1].OfAsked = true }, "question 3: it is asked after smooth and face-on, which are fractions of different volunteers"},
		{"a class without name", func(d *labels.Definition) { d.Classes[0].Name = "" }, `class ""`},
		{"a class called unclear", func(d *labels.Definition) { d.Classes[0].Name = "unclear" }, `not "unclear"`},
		{"a class twice", func(d *labels.Definition) { d.Classes[1].Name = "loner" }, `class "loner": expected a name that no other class has`},
		{"one class", func(d *labels.Definition) { d.Classes = d.Classes[:1] }, "one class, loner: expected none or several"},
		{"a class of all", func(d *labels.Definition) { d.Classes[1].AtLeast = nil }, `class "blade": expected at least one threshold`},
		{"a class of no column", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Column = "x" }, `class "blade": there is no column "x": expected the column of an answer`},
		{"a threshold above 1", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Fraction = 1.5 }, "threshold 1.5 of featured"},
		{"a threshold of NaN", func(d *labels.Definition) { d.Classes[1].AtLeast[0].Fraction = float32(math.NaN()) }, "threshold NaN of featured"},
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
	of := make([]float32, len(row))
	if s.OfAll(of, row); !slices.Equal(of, []float32{0.5, 0.5, 0.375, 0.125, 0.0625, 0.0625, 0.03125, 0.03125}) {
		t.Errorf("fractions of all are %v", of)
	}
	// Asked after answers to two questions: half, and a quarter of the other half.
	row = []float32{0.5, 0.5, 0, 0.75, 0.25, 0.5, 0.25, 0.25}
	if got := counts.Predicted().Reached(row, 2); got != 0.625 {
		t.Errorf("question 3 is reached by %v, expected 0.625", got)
	}
}

// A schema written to a file and read again is the same, down to what New works out.
func TestJSON(t *testing.T) {
	row := labelstest.Rows(small, 1, 3)
	all := []*labels.Schema{small, counts}
	for _, b := range labels.Builtin() {
		all = append(all, b.Schema)
	}
	for _, s := range all {
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
	if text, err := json.Marshal(file{counts}); err != nil || !strings.HasPrefix(string(text), `{"schema":{"name":"small","values":"counts"`) {
		t.Errorf("%s is written (%v)", text, err)
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
	if other.Equal(small) || other.Classes().Equal(small.Classes()) || small.Equal(small.Classes()) || small.Classes().Equal(small) || small.Equal(nil) || zoo.Equal(small) || counts.Equal(small) {
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
	if !s.Equal(small) || !slices.Equal(s.Columns(), small.Columns()) {
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
	for _, s := range append(labelstest.Schemas(), counts) {
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
		use(t, s)
	})
}

// use calls what takes a row of labels.
func use(t *testing.T, s *labels.Schema) {
	for _, s := range []*labels.Schema{s, s.Predicted()} {
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
		s.ClassScores(make([]float32, s.Classes().Width()), row)
		s.Conditional(slices.Clone(row), row)
		s.OfAll(row, row)
	}
}

// Whether one volunteer can give two answers is found as by trying all ways through the questions.
func TestExclusive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d labels.Definition
		var answers []string
		d.Name, d.Values = "random", labels.Counts
		for i := range rapid.IntRange(1, 5).Draw(t, "questions") {
			q := labels.Question{Text: "?"}
			if len(answers) > 0 {
				q.After = rapid.SliceOfNDistinct(rapid.SampledFrom(answers), 0, 3, rapid.ID).Draw(t, "after")
			}
			for k := range rapid.IntRange(2, 3).Draw(t, "answers") {
				q.Answers = append(q.Answers, labels.Answer{Name: fmt.Sprintf("q%d_a%d", i, k), Text: "x"})
				answers = append(answers, q.Answers[k].Name)
			}
			d.Questions = append(d.Questions, q)
		}
		given := map[string]bool{}
		twice := false
		var ask func(i int)
		ask = func(i int) {
			if i == len(d.Questions) {
				return
			}
			came := 0
			for _, name := range d.Questions[i].After {
				if given[name] {
					came++
				}
			}
			twice = twice || came > 1
			if came == 0 && len(d.Questions[i].After) > 0 {
				ask(i + 1)
				return
			}
			for _, a := range d.Questions[i].Answers {
				given[a.Name] = true
				ask(i + 1)
				delete(given, a.Name)
			}
		}
		ask(0)
		if _, err := labels.New(d); (err != nil) != twice || err != nil && !strings.Contains(err.Error(), "one volunteer can give both") {
			t.Errorf("%v, and a volunteer can give two: %t", err, twice)
		}
	})
}
