package labels

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// A Definition is a schema as it is written down: in Go for the built-in one, and as
// JSON in the files that hold another.
type Definition struct {
	Name      string     `json:"name"`
	Questions []Question `json:"questions"`         // in the order of their columns
	Classes   []Class    `json:"classes,omitempty"` // by rules, see Schema.Classes
}

// A Question is a group of answers of which every volunteer who is asked it picks one.
type Question struct {
	Text    string   `json:"text"` // what the volunteer is asked
	Answers []Answer `json:"answers"`
	// After names the columns of the answers after which the question is asked. They are
	// answers to earlier questions, and no volunteer gives two of them. If it is empty,
	// everybody is asked.
	After []string `json:"after,omitempty"`
	// OfAsked is true if the columns are fractions of the volunteers who were asked
	// this question: they sum to 1. Otherwise they are fractions of the same
	// volunteers as the columns in After, and sum to the sum of these columns.
	OfAsked bool `json:"of_asked,omitempty"`

	// New sets the fields below.

	Number       int   `json:"-"` // from 1
	First        int   `json:"-"` // column of the first answer; the others follow it
	AfterColumns []int `json:"-"` // the columns that After names
}

// Parents returns the columns whose values, added up, the answers sum to: none if they
// sum to 1. The slice is q's.
func (q *Question) Parents() []int {
	if q.OfAsked {
		return nil
	}
	return q.AfterColumns
}

// An Answer is one column.
type Answer struct {
	Name string `json:"name"` // of the column, "Class7.2"
	Text string `json:"text"` // what the volunteer clicks on
}

// A Schema defines the columns of a row of labels. See the package comment.
type Schema struct {
	definition Definition
	columns    []string
	// of holds for each question the index of the OfAsked one whose volunteers its
	// columns are fractions of; everybody for all volunteers.
	of []int
	// asked holds for each OfAsked question the question whose answers it is asked
	// after, and the other answers to that question.
	asked []asked

	classes *Schema // itself, of a schema of classes
	source  *Schema // what a schema of classes is derived from, else nil
	rules   []rule  // of each class
}

const everybody = -1

type asked struct {
	after  int   // index of a question
	except []int // columns
}

// New checks a definition and makes a schema of it. Errors name the question, answer
// or class, what was expected and what came.
func New(d Definition) (*Schema, error) {
	s := &Schema{definition: d}
	if err := s.build(); err != nil {
		return nil, fmt.Errorf("label schema %q: %w", d.Name, err)
	}
	return s, nil
}

// register makes a built-in schema of a definition in this package. A wrong one is a mistake
// of whoever wrote it, and every test shows it.
func register(d Definition) *Schema {
	s, err := New(d)
	if err != nil {
		panic(err)
	}
	builtin = append(builtin, s)
	return s
}

var builtin []*Schema

// Builtin returns the built-in schemas.
func Builtin() []*Schema { return slices.Clone(builtin) }

func (s *Schema) build() error {
	d := &s.definition
	switch {
	case d.Name == "":
		return errors.New("expected a name")
	case len(d.Questions) == 0:
		return errors.New("expected at least one question")
	}
	d.Questions, d.Classes = slices.Clone(d.Questions), append([]Class(nil), d.Classes...)
	for i := range d.Questions {
		q := &d.Questions[i]
		q.Number, q.First = i+1, len(s.columns)
		if err := s.resolve(q); err != nil {
			return fmt.Errorf("question %d: %w", q.Number, err)
		}
		if len(q.Answers) < 2 {
			return fmt.Errorf("question %d: %d answers: expected at least 2", q.Number, len(q.Answers))
		}
		q.Answers = slices.Clone(q.Answers)
		for _, a := range q.Answers {
			if a.Name == "" || slices.Contains(s.columns, a.Name) {
				return fmt.Errorf("question %d: column %q: expected a name that no other column has", q.Number, a.Name)
			}
			s.columns = append(s.columns, a.Name)
		}
	}
	return s.derive()
}

// resolve finds the columns in q.After among the columns of earlier questions.
func (s *Schema) resolve(q *Question) error {
	q.After = append([]string(nil), q.After...) // nil if empty, as Equal compares
	var after []int
	for _, name := range q.After {
		column := slices.Index(s.columns, name)
		if column < 0 || slices.Contains(after, column) {
			return fmt.Errorf("it is asked after %q: expected different columns of earlier questions", name)
		}
		after = append(after, column)
	}
	of := everybody
	for k, column := range after {
		this := s.of[s.questionOf(column)]
		if k > 0 && this != of {
			return fmt.Errorf("it is asked after %s and %s, which are fractions of different volunteers: expected columns that can be added up", q.After[0], q.After[k])
		}
		of = this
	}
	var a asked
	q.AfterColumns = after
	if q.OfAsked {
		of = q.Number - 1
		if len(after) == 0 {
			return errors.New("its columns are fractions of those who are asked it, and everybody is: leave of_asked out")
		}
		a.after = s.questionOf(after[0])
		parent := s.definition.Questions[a.after]
		for k := range parent.Answers {
			if column := parent.First + k; !slices.Contains(after, column) {
				a.except = append(a.except, column)
			}
		}
		if len(a.except)+len(after) != len(parent.Answers) {
			return fmt.Errorf("its columns are fractions of those who are asked it: expected After to be answers of one question, not %q", q.After)
		}
	}
	s.of, s.asked = append(s.of, of), append(s.asked, a)
	return nil
}

// questionOf returns the index of the question that a column is an answer to.
func (s *Schema) questionOf(column int) int {
	return slices.IndexFunc(s.definition.Questions, func(q Question) bool {
		return column >= q.First && column < q.First+len(q.Answers)
	})
}

// Name returns the definition's name, or "clean classes".
func (s *Schema) Name() string { return s.definition.Name }

// String returns Name.
func (s *Schema) String() string { return s.Name() }

// Width returns the number of columns.
func (s *Schema) Width() int { return len(s.columns) }

// Columns returns the names of the columns in their order. The caller owns the slice.
func (s *Schema) Columns() []string { return slices.Clone(s.columns) }

// Questions returns the questions; element i has the number i+1. The caller owns the
// slices.
func (s *Schema) Questions() []Question {
	out := slices.Clone(s.definition.Questions)
	for i := range out {
		q := &out[i]
		q.Answers, q.After, q.AfterColumns = slices.Clone(q.Answers), slices.Clone(q.After), slices.Clone(q.AfterColumns)
	}
	return out
}

// Equal reports whether the rows of both mean the same.
func (s *Schema) Equal(o *Schema) bool {
	switch {
	case s == o:
		return true
	case s == nil || o == nil || s.Derived() != o.Derived():
		return false
	case s.Derived():
		return s.source.Equal(o.source)
	}
	return reflect.DeepEqual(s.definition, o.definition)
}

// Reached returns the fraction of all volunteers who were asked question i (from 0),
// for a row: the value that its answers sum to, times the fraction of the volunteers
// that its columns are fractions of. The latter is what the answers after which an
// OfAsked question is not asked leave over of those that it is asked after.
func (s *Schema) Reached(fractions []float32, i int) float64 {
	return s.total(fractions, i) * s.volunteers(fractions, i)
}

// total is what the answers of question i sum to.
func (s *Schema) total(fractions []float32, i int) float64 {
	parents := s.definition.Questions[i].Parents()
	if len(parents) == 0 {
		return 1
	}
	sum := 0.0
	for _, column := range parents {
		sum += float64(fractions[column])
	}
	return sum
}

// volunteers is the fraction of all volunteers that the columns of question i are
// fractions of.
func (s *Schema) volunteers(fractions []float32, i int) float64 {
	if s.of[i] == everybody {
		return 1
	}
	a := s.asked[s.of[i]]
	left := s.total(fractions, a.after)
	for _, column := range a.except {
		left -= float64(fractions[column])
	}
	return max(left, 0) * s.volunteers(fractions, a.after)
}

// IsZero reports whether files leave s out: it is nil, or what a file without
// a schema is about, GalaxyZoo.
func (s *Schema) IsZero() bool { return s == nil || s.Equal(galaxyZoo) }

// MarshalJSON writes the definition.
func (s *Schema) MarshalJSON() ([]byte, error) { return json.Marshal(s.definition) }

// UnmarshalJSON reads a definition. A field that it does not know is an error: it would
// silently not count.
func (s *Schema) UnmarshalJSON(text []byte) error {
	var d Definition
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("label schema: %w", err)
	}
	*s = Schema{definition: d}
	if err := s.build(); err != nil {
		return fmt.Errorf("label schema %q: %w", d.Name, err)
	}
	return nil
}

// Largest returns the column of the largest value, the first of equals. It
// returns -1 for an empty row. A NaN is never the largest.
func Largest(fractions []float32) int {
	best := -1
	for i, v := range fractions {
		if v == v && (best < 0 || v > fractions[best]) {
			best = i
		}
	}
	return best
}
