package labels

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"galaxy/internal/usage"
)

// A Definition is a schema as it is written down: as TOML in a schema file (Read), and as JSON
// in the manifest of a cache, the config.json of a run and the metadata of a SavedModel.
type Definition struct {
	Name      string     `json:"name" toml:"name"`
	Values    Values     `json:"values,omitempty" toml:"values"`
	Questions []Question `json:"questions" toml:"questions"`       // in the order of their columns
	Classes   []Class    `json:"classes,omitempty" toml:"classes"` // by rules, see Schema.Classes
}

// A Question is a group of answers of which every volunteer who is asked it picks one.
type Question struct {
	Text    string   `json:"text" toml:"text"` // what the volunteer is asked
	Answers []Answer `json:"answers" toml:"answers"`
	// After names the columns of the answers after which the question is asked. They are
	// answers to earlier questions, and no volunteer gives two of them. If it is empty,
	// everybody is asked.
	After []string `json:"after,omitempty" toml:"after"`
	// OfAsked is true if the columns are fractions of the volunteers who were asked
	// this question: they sum to 1. Otherwise they are fractions of the same
	// volunteers as the columns in After, and sum to the sum of these columns. New sets it
	// for counts, which are always of those who were asked.
	OfAsked bool `json:"of_asked,omitempty" toml:"of_asked"`
	// Total names the column of a label table that has the number of volunteers who
	// were asked, or is empty. It is no column of a row: see Schema.CheckTotal.
	Total string `json:"total,omitempty" toml:"total"`

	// New sets the fields below.

	Number       int   `json:"-" toml:"-"` // from 1
	First        int   `json:"-" toml:"-"` // column of the first answer; the others follow it
	AfterColumns []int `json:"-" toml:"-"` // the columns that After names
}

// Parents returns the columns whose values, added up, the answers sum to: none if they
// sum to 1, as those of counts do once they are fractions (Schema.Conditional). The slice
// is q's.
func (q *Question) Parents() []int {
	if q.OfAsked {
		return nil
	}
	return q.AfterColumns
}

// An Answer is one column.
type Answer struct {
	Name string `json:"name" toml:"column"` // of the column, "Class7.2"
	Text string `json:"text" toml:"text"`   // what the volunteer clicks on
}

// A Schema defines the columns of a row of labels. See the package comment.
type Schema struct {
	definition Definition
	columns    []string
	question   []int // of each column, an index
	// of holds for each question the index of the OfAsked one whose volunteers its
	// columns are fractions of; everybody for all volunteers.
	of []int
	// asked holds for each OfAsked question whose After are answers to one question that
	// question, and its other answers.
	asked []asked

	predicted *Schema // itself, unless of counts

	classes *Schema // itself, of a schema of classes
	source  *Schema // what a schema of classes is derived from, else nil
	rules   []rule  // of each class
}

const (
	everybody = -1
	several   = -1
)

type asked struct {
	after  int   // index of a question; none for several
	except []int // columns
}

// New checks a definition and makes a schema of it. Errors name the question, answer
// or class, what was expected and what came.
func New(d Definition) (*Schema, error) {
	s, err := newSchema(d)
	if err == nil {
		err = s.checkExclusive()
	}
	if err != nil {
		return nil, fmt.Errorf("label schema %q: %w", d.Name, err)
	}
	return s, nil
}

// newSchema is New for definitions that were checked when they were recorded, by an older version too.
func newSchema(d Definition) (*Schema, error) {
	s := &Schema{definition: d}
	return s, s.build()
}

// maxColumns bounds the number of answers: checks of a schema go over all pairs of columns.
const maxColumns = 4096

func (s *Schema) build() error {
	d := &s.definition
	switch {
	case d.Name == "":
		return errors.New("expected a name")
	case d.Values == fractionsName:
		d.Values = Fractions
	case d.Values != Fractions && d.Values != Counts:
		return fmt.Errorf("its values are %q: expected %s or %s", string(d.Values), Fractions, Counts)
	}
	if len(d.Questions) == 0 && d.Name != unlabelled {
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
		if len(s.columns)+len(q.Answers) > maxColumns {
			return fmt.Errorf("question %d: expected at most %d answers to all questions together", q.Number, maxColumns)
		}
		q.Answers = slices.Clone(q.Answers)
		for _, a := range q.Answers {
			if a.Name == "" || slices.Contains(s.columns, a.Name) {
				return fmt.Errorf("question %d: column %q: expected a name that no other column has", q.Number, a.Name)
			}
			s.columns, s.question = append(s.columns, a.Name), append(s.question, i)
		}
	}
	if err := s.checkTotals(); err != nil {
		return err
	}
	s.predicted = s
	if d.Values == Counts {
		s.predicted = &Schema{definition: *d} // not With, whose errors have the schema's name a second time
		s.predicted.definition.Values = Fractions
		if err := s.predicted.build(); err != nil {
			return err
		}
	}
	return s.derive()
}

// checkTotals reports a column of totals that is another column too.
func (s *Schema) checkTotals() error {
	totals := map[string]bool{}
	for _, q := range s.definition.Questions {
		if q.Total == "" {
			continue
		}
		if totals[q.Total] || slices.Contains(s.columns, q.Total) {
			return fmt.Errorf("question %d: total %q: expected a name that no other column has", q.Number, q.Total)
		}
		totals[q.Total] = true
	}
	return nil
}

// resolve finds the columns in q.After among the columns of earlier questions.
func (s *Schema) resolve(q *Question) error {
	q.After = append([]string(nil), q.After...) // nil if empty, as Equal compares
	var after []int
	for _, name := range q.After {
		column := slices.Index(s.columns, name)
		if column < 0 || slices.Contains(after, column) {
			return s.wrongAfter(q, name)
		}
		after = append(after, column)
	}
	q.AfterColumns = after
	if s.definition.Values == Counts {
		q.OfAsked = len(after) > 0
	}
	if q.OfAsked {
		if len(after) == 0 {
			return errors.New("its columns are fractions of those who are asked it, and everybody is: leave of_asked out")
		}
		s.of, s.asked = append(s.of, q.Number-1), append(s.asked, s.askedAfter(after))
		return nil
	}
	of := everybody
	for k, column := range after {
		this := s.of[s.question[column]]
		if k > 0 && this != of {
			return fmt.Errorf("it is asked after %s and %s, which are fractions of different volunteers: expected columns that can be added up, or of_asked", q.After[0], q.After[k])
		}
		of = this
	}
	s.of, s.asked = append(s.of, of), append(s.asked, asked{})
	return nil
}

// wrongAfter says why a question cannot be asked after the answer of a name.
func (s *Schema) wrongAfter(q *Question, name string) error {
	if slices.Contains(s.columns, name) {
		return fmt.Errorf("it is asked after %q twice: expected different columns", name)
	}
	var all []string
	for i, other := range s.definition.Questions {
		for _, a := range other.Answers {
			if all = append(all, a.Name); a.Name == name {
				return fmt.Errorf("it is asked after %q, an answer to question %d: expected an answer to an earlier question; put questions behind those that lead to them (there is no such order if they lead to each other in a circle)", name, i+1)
			}
		}
	}
	return fmt.Errorf("it is asked after %q: there is no such column: %s", name, usage.DidYouMean(name, all, "expected the column of an answer"))
}

// askedAfter looks at the question whose answers are all of after.
func (s *Schema) askedAfter(after []int) asked {
	a := asked{after: s.question[after[0]]}
	parent := s.definition.Questions[a.after]
	for k := range parent.Answers {
		if column := parent.First + k; !slices.Contains(after, column) {
			a.except = append(a.except, column)
		}
	}
	if len(a.except)+len(after) != len(parent.Answers) {
		return asked{after: several}
	}
	return a
}

// Name returns the definition's name; of Classes "clean classes", or "classes" of a schema OfClasses.
func (s *Schema) Name() string { return s.definition.Name }

// Values returns the kind of number that the schema's rows hold.
func (s *Schema) Values() Values { return s.definition.Values }

// With returns the schema of the same questions with rows of other values. A schema of fractions
// that is made of one of counts has fractions of those who were asked.
func (s *Schema) With(values Values) (*Schema, error) {
	d := s.definition
	d.Values = values
	other, err := newSchema(d)
	if err != nil {
		return nil, fmt.Errorf("label schema %q: %w", d.Name, err)
	}
	return other, nil
}

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

// Reached returns the fraction of all volunteers who were asked question i (from 0).
//
// For a row of fractions that is the value that its answers sum to, times the fraction of
// the volunteers that its columns are fractions of. The latter is what the answers after which an
// OfAsked question is not asked leave over of those that it is asked after; if it is asked after
// answers to several questions, it is the fraction who gave these.
//
// For a row of counts it is the number of its votes over the largest number of votes of a
// question that is asked of everybody, at most 1; 0 if nobody voted.
func (s *Schema) Reached(row []float32, i int) float64 {
	if s.Values() == Counts {
		everybody := 0.0
		for k, q := range s.definition.Questions {
			if len(q.After) == 0 {
				everybody = max(everybody, s.Votes(row, k))
			}
		}
		if everybody == 0 {
			return 0
		}
		return min(s.Votes(row, i)/everybody, 1)
	}
	if s.of[i] == everybody {
		return s.total(row, i)
	}
	return s.total(row, i) * s.volunteers(row, i+1)[i]
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

// volunteers returns for each of the first n questions the fraction of all volunteers that the
// question's columns are fractions of.
func (s *Schema) volunteers(fractions []float32, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		a := s.asked[i]
		switch {
		case s.of[i] == everybody:
			out[i] = 1
		case s.of[i] != i:
			out[i] = out[s.of[i]]
		case a.after == several:
			for _, column := range s.definition.Questions[i].AfterColumns {
				out[i] += float64(fractions[column]) * out[s.question[column]]
			}
		default:
			left := s.total(fractions, a.after)
			for _, column := range a.except {
				left -= float64(fractions[column])
			}
			out[i] = max(left, 0) * out[a.after]
		}
	}
	return out
}

// IsZero reports whether files leave s out: it is nil, or what a file without
// a schema is about, GalaxyZoo.
func (s *Schema) IsZero() bool { return s == nil || s.Equal(GalaxyZoo()) }

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
