package labels

import (
	"errors"
	"fmt"
	"slices"
)

// A Class is a set of galaxies on which the volunteers agree: those that reach all of
// its thresholds, and none of the classes before it.
type Class struct {
	Name string `json:"name"`
	// AtLeast are the thresholds along the path of the class. The last is on the
	// answer that ends it: of predictions, which reach thresholds only if they are
	// sure, the class whose last column is the largest is taken.
	AtLeast []Threshold `json:"at_least"`
}

// A Threshold is the least fraction that a column must have.
type Threshold struct {
	Column   string  `json:"column"`
	Fraction float32 `json:"fraction"` // above 0, up to 1
}

const (
	// NoClass is the class of a galaxy on which the volunteers do not agree.
	NoClass = -1
	// Unclear is its name.
	Unclear = "unclear"

	classesName = "clean classes"
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
	c.classes, s.classes = c, c
	for _, class := range s.definition.Classes {
		r, err := s.rule(class)
		if err == nil && (class.Name == "" || class.Name == Unclear || slices.Contains(c.columns, class.Name)) {
			err = fmt.Errorf("expected a name that no other class has, and not %q", Unclear)
		}
		if err == nil && len(c.rules) > 0 && s.of[s.questionOf(r.last)] != s.of[s.questionOf(c.rules[0].last)] {
			err = fmt.Errorf("%s and %s, which end the paths of classes, are fractions of different volunteers: expected columns that can be compared", s.columns[r.last], s.columns[c.rules[0].last])
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
		q.Answers = append(q.Answers, Answer{Name: name, Text: name})
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
			return r, fmt.Errorf("there is no column %q", t.Column)
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

// Derived reports whether s is a schema of classes; otherwise it is one of vote fractions.
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
// columns of Classes, or NoClass. fractions is a row of Source.
func (s *Schema) ClassOf(fractions []float32) int {
	return slices.IndexFunc(s.classes.rules, func(r rule) bool {
		// Written so that a NaN reaches nothing.
		return !slices.ContainsFunc(r.atLeast, func(t least) bool { return !(fractions[t.column] >= t.fraction) })
	})
}

// ClassName returns the name of a class that ClassOf returns, Unclear for NoClass.
func (s *Schema) ClassName(class int) string {
	if class == NoClass {
		return Unclear
	}
	return s.classes.columns[class]
}

// LastColumns returns for each class the column of Source that ends its path. They
// are fractions of the same volunteers, so that predictions of them can be compared.
func (s *Schema) LastColumns() []int {
	var last []int
	for _, r := range s.classes.rules {
		last = append(last, r.last)
	}
	return last
}

// Has reports whether a galaxy has a label of s: every galaxy has fractions, and some have
// a class. fractions is a row of Source.
func (s *Schema) Has(fractions []float32) bool {
	return !s.Derived() || s.ClassOf(fractions) != NoClass
}

// Label fills dst, float32 [Width], with the label of a galaxy that has one: its
// fractions, or 1 for its class and 0 for the others. fractions is a row of Source.
func (s *Schema) Label(dst, fractions []float32) {
	if !s.Derived() {
		copy(dst, fractions)
		return
	}
	clear(dst)
	dst[s.ClassOf(fractions)] = 1
}
