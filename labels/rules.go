package labels

import (
	"errors"
	"fmt"
	"slices"

	"galaxy/internal/usage"
)

// A Class is a set of galaxies on which the volunteers agree: those that reach all of
// its thresholds, and none of the classes before it.
type Class struct {
	Name string `json:"name" toml:"name"`
	// AtLeast are the thresholds along the path of the class. The last is on the
	// answer that ends it: of predictions, which reach thresholds only if they are
	// sure, the class whose last column is the largest is taken.
	AtLeast []Threshold `json:"at_least" toml:"at_least"`
}

// A Threshold is the least fraction that a column must have: of counts, of those who answered
// its question.
type Threshold struct {
	Column   string  `json:"column" toml:"column"`
	Fraction float32 `json:"fraction" toml:"fraction"` // above 0, up to 1
}

const (
	// NoClass is the class of a galaxy on which the volunteers do not agree.
	NoClass = -1
	// Unclear is its name.
	Unclear = "unclear"

	classesName = "clean classes"
	plainName   = "classes" // of catalogues in which no volunteer had to agree
)

// rule is what decides whether a row is of a class.
type rule struct {
	atLeast []least
	last    int // column that stands for the class
}

type least struct {
	column   int
	fraction float32
}

// derive makes the schema of the definition's classes.
func (s *Schema) derive() error {
	c := &Schema{source: s, definition: Definition{Name: classesName}}
	if s.OfClasses() {
		c.definition.Name = plainName
	}
	c.classes, s.classes, c.predicted = c, c, c
	for _, class := range s.definition.Classes {
		r, err := s.rule(class)
		if err == nil && (class.Name == "" || class.Name == Unclear || slices.Contains(c.columns, class.Name)) {
			err = fmt.Errorf("expected a name that no other class has, and not %q", Unclear)
		}
		if err != nil {
			return fmt.Errorf("class %q: %w", class.Name, err)
		}
		c.rules, c.columns = append(c.rules, r), append(c.columns, class.Name)
	}
	switch len(c.columns) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("one class, %s: expected none or several", c.columns[0])
	}
	q := Question{Text: "Which class is it?", Number: 1}
	for _, name := range c.columns {
		q.Answers, c.question = append(q.Answers, Answer{Name: name, Text: name}), append(c.question, 0)
	}
	c.definition.Questions = []Question{q}
	c.of, c.asked = []int{everybody}, []asked{{}}
	return nil
}

func (s *Schema) rule(class Class) (r rule, err error) {
	if len(class.AtLeast) == 0 {
		return r, errors.New("expected at least one threshold")
	}
	for _, t := range class.AtLeast {
		if r.last = slices.Index(s.columns, t.Column); r.last < 0 {
			return r, fmt.Errorf("there is no column %q: %s", t.Column, usage.DidYouMean(t.Column, s.columns, "expected the column of an answer"))
		}
		if !(t.Fraction > 0 && t.Fraction <= 1) {
			return r, fmt.Errorf("threshold %v of %s: expected 0 < fraction ≤ 1", t.Fraction, t.Column)
		}
		r.atLeast = append(r.atLeast, least{r.last, t.Fraction})
	}
	return r, nil
}

// Classes returns the schema of the classes that are derived from s by the rules of its
// definition: one question, with a column for each class. It has no columns if there are
// no rules. The classes of a schema of classes are itself.
func (s *Schema) Classes() *Schema { return s.classes }

// Derived reports whether s is a schema of classes that Classes returned; otherwise it is one
// of fractions or counts.
func (s *Schema) Derived() bool { return s.source != nil }

// Source returns the schema whose rows Has, Label and ClassOf take: s itself unless it is
// derived.
func (s *Schema) Source() *Schema {
	if s.source != nil {
		return s.source
	}
	return s
}

// ClassOf returns the first class whose thresholds a row reaches, an index into the
// columns of Classes, or NoClass. row is one of Source. An answer to a question that nobody
// answered reaches no threshold.
func (s *Schema) ClassOf(row []float32) int {
	source := s.Source()
	value := func(column int) float32 {
		if source.Values() == Counts {
			return float32(float64(row[column]) / source.Votes(row, source.question[column]))
		}
		return row[column]
	}
	return slices.IndexFunc(s.classes.rules, func(r rule) bool {
		// Written so that a NaN reaches nothing.
		return !slices.ContainsFunc(r.atLeast, func(t least) bool { return !(value(t.column) >= t.fraction) })
	})
}

// ClassName returns the name of a class that ClassOf returns, Unclear for NoClass.
func (s *Schema) ClassName(class int) string {
	if class == NoClass {
		return Unclear
	}
	return s.classes.columns[class]
}

// ClassScores fills dst, float32 [number of classes], with what stands for each class in a row of
// predictions, so that the largest is the class that is predicted: of a schema of classes the row itself,
// and otherwise the fraction of all volunteers (OfAll) in the column that ends the class's path.
// predictions is a row of s, and of fractions.
func (s *Schema) ClassScores(dst, predictions []float32) {
	if s.Derived() {
		copy(dst, predictions)
		return
	}
	rules := s.classes.rules
	of := func(r rule) int { return s.of[s.question[r.last]] }
	var volunteers []float64
	if slices.ContainsFunc(rules, func(r rule) bool { return of(r) != everybody }) {
		volunteers = s.volunteers(predictions, len(s.of))
	}
	for k, r := range rules {
		dst[k] = predictions[r.last]
		if i := of(r); i != everybody {
			dst[k] *= float32(volunteers[i])
		}
	}
}

// ClassColumns returns the column that stands for each class in a row of predictions (ClassScores): of a schema of
// classes its own, and otherwise the one that ends the class's path.
func (s *Schema) ClassColumns() []int {
	columns := make([]int, len(s.classes.rules))
	for k, r := range s.classes.rules {
		if columns[k] = r.last; s.Derived() {
			columns[k] = k
		}
	}
	return columns
}

// Has reports whether a galaxy has a label of s: every galaxy has fractions or counts, and some
// have a class. row is one of Source.
func (s *Schema) Has(row []float32) bool {
	return !s.Derived() || s.ClassOf(row) != NoClass
}

// Label fills dst, float32 [Width], with the label of a galaxy that has one: its row
// as it is, or 1 for its class and 0 for the others. row is one of Source.
func (s *Schema) Label(dst, row []float32) {
	if !s.Derived() {
		copy(dst, row)
		return
	}
	clear(dst)
	dst[s.ClassOf(row)] = 1
}

// FromClasses returns the schema of a catalogue that has one class for each galaxy: a question
// whose answers are the names, each a column and a class. A galaxy's row is 1 for its class and 0
// for the others.
//
// That is a row of fractions of one volunteer, so it is a schema of Fractions and no third kind
// of values; OfClasses recognises it. RMSE, the constant predictor and calibration are what
// they are for fractions; the rules of the classes (at least half) give the scores by class. As
// counts, with N = 1, the same numbers would only promise a spread of votes that one vote
// does not have.
//
// Fewer than two names, an empty one, one that comes twice and "unclear", the name of no class,
// are errors.
func FromClasses(names []string) (*Schema, error) {
	d := Definition{Name: plainName, Questions: []Question{{Text: "Which class is it?"}}}
	for _, name := range names {
		d.Questions[0].Answers = append(d.Questions[0].Answers, Answer{Name: name, Text: name})
	}
	return newOfClasses(d)
}

// newOfClasses makes a schema of one question, with a class for each answer.
func newOfClasses(d Definition) (*Schema, error) {
	d.Classes = nil
	for _, a := range d.Questions[0].Answers {
		d.Classes = append(d.Classes, Class{a.Name, []Threshold{{a.Name, half}}})
	}
	return New(d)
}

// half of the votes make a class of FromClasses: rows have 1 and 0 only, and predictions are compared
// by their largest value.
const half = 0.5

// WithClasses returns the schema of a catalogue that has one class for each galaxy, as FromClasses
// does, with the texts and the order of s: each answer of its one question is a class, called as
// the answer's column. Counts, several questions and other classes are errors.
func (s *Schema) WithClasses() (*Schema, error) {
	switch d := s.definition; {
	case s.OfClasses():
		return s, nil
	case s.Derived() || d.Values != Fractions || len(d.Questions) != 1:
		return nil, fmt.Errorf("the schema %v has %d questions with %s: expected one question with fractions, whose answers are the classes", s, len(d.Questions), d.Values)
	case len(d.Classes) > 0:
		return nil, fmt.Errorf("the schema %v has rules for classes: expected none, because its answers are the classes", s)
	}
	return newOfClasses(s.definition)
}

// OfClasses reports whether the rows of s are those of FromClasses: 1 for the galaxy's class and 0 for the
// others. Its one question of fractions has a class for each answer, in their order.
func (s *Schema) OfClasses() bool {
	d := s.definition
	if d.Values != Fractions || len(d.Questions) != 1 || len(d.Classes) != len(d.Questions[0].Answers) {
		return false
	}
	for k, a := range d.Questions[0].Answers {
		if c := d.Classes[k]; c.Name != a.Name || !slices.Equal(c.AtLeast, []Threshold{{a.Name, half}}) {
			return false
		}
	}
	return true
}
