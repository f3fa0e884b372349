package labels

import (
	"errors"
	"fmt"
	"math"
)

// Values is the kind of number that a row of labels holds.
type Values string

const (
	// Fractions are the fractions of the volunteers who gave each answer, 0 to 1. In files they
	// are called "fractions"; files that say nothing have them.
	Fractions Values = ""
	// Counts are the numbers of volunteers who gave each answer.
	Counts Values = "counts"

	fractionsName = "fractions"

	// maxCount is the largest count that float32 holds exactly, with all below it.
	maxCount = 1 << 24

	// rangeTolerance is how far outside [0, 1] rounding may push a fraction. Within it values
	// are moved to the border.
	rangeTolerance = 1e-5
)

// String returns the name that a schema file has, "fractions" or "counts".
func (v Values) String() string {
	if v == Fractions {
		return fractionsName
	}
	return string(v)
}

// Range describes the numbers for messages, after "expected a number".
func (v Values) Range() string {
	if v == Counts {
		return "of votes, 0 or more and whole"
	}
	return "from 0 to 1"
}

var (
	errFraction = errors.New("a vote fraction lies from 0 to 1: correct the row or delete it; counts of votes need their own schema")
	errCount    = fmt.Errorf("a count of votes is a whole number from 0 to %d: correct the row or delete it, or use columns of unweighted votes", maxCount)
)

// Holds reports whether a row can hold x: a fraction from 0 to 1, or a whole number up to 2²⁴.
func (v Values) Holds(x float32) bool {
	if v == Counts {
		return x >= 0 && x <= maxCount && x == float32(int32(x))
	}
	return x >= 0 && x <= 1
}

// Value returns v, read from a table, as a row of the schema holds it. A fraction that rounding
// has pushed out of [0, 1] by up to 1e-5 is moved to the border. Anything else that a row cannot hold is
// an error: a fraction out of range, a count that is negative, not whole (18.5) or above 2²⁴, NaN. Its
// text does not hold v, so equal mistakes have equal texts.
func (s *Schema) Value(v float64) (float32, error) {
	if s.Values() == Counts {
		if x := float32(v); Counts.Holds(x) && float64(x) == v {
			return x, nil
		}
		return 0, errCount
	}
	// Written so that a NaN fails.
	if !(v >= -rangeTolerance && v <= 1+rangeTolerance) {
		return 0, errFraction
	}
	return float32(math.Max(0, math.Min(1, v))), nil
}

// CheckTotal returns an error if total, from the column Total of question i (from 0), cannot be
// the question's number of volunteers: it is no count, or, for a row of counts, smaller than the
// sum of the answers. A total above the sum is none: some volunteers skip a question. row is
// float32 [Width].
func (s *Schema) CheckTotal(row []float32, i int, total float64) error {
	if !(total >= 0 && total <= maxCount && total == math.Trunc(total)) {
		return fmt.Errorf("question %d has the total %v: expected a whole number from 0 to %d", i+1, total, maxCount)
	}
	if n := s.Votes(row, i); s.Values() == Counts && total < n {
		return fmt.Errorf("question %d has the total %v: expected at least %v, the sum of its answers", i+1, total, n)
	}
	return nil
}

// Votes returns the sum of the answers to question i (from 0): of a row of counts, the number N of
// volunteers who answered it. row is float32 [Width].
func (s *Schema) Votes(row []float32, i int) float64 {
	q := &s.definition.Questions[i]
	n := 0.0
	for _, v := range row[q.First : q.First+len(q.Answers)] {
		n += float64(v)
	}
	return n
}

// Conditional fills dst with the fractions of those who answered each question, k/N for counts:
// every question's answers sum to 1. Answers to a question that nobody answered (N = 0) are NaN,
// since nothing is known about them; a loss or a score gives them no weight. dst and row are
// float32 [Width], and may be the same slice.
func (s *Schema) Conditional(dst, row []float32) {
	for i := range s.definition.Questions {
		q := &s.definition.Questions[i]
		n := s.Votes(row, i)
		for j := q.First; j < q.First+len(q.Answers); j++ {
			dst[j] = float32(float64(row[j]) / n)
		}
	}
}

// OfAll fills dst with the fractions of all volunteers who gave each answer: of counts, the
// fraction of those who answered the question, multiplied down the path that leads to it. An answer that no
// volunteer could give is 0. If volunteers were sent to a question and none of them answered it,
// its answers are NaN, and so are those of the questions after it. dst and row are
// float32 [Width], and may be the same slice.
func (s *Schema) OfAll(dst, row []float32) {
	if s.Values() == Fractions {
		for i, of := range s.volunteers(row, len(s.definition.Questions)) {
			q := &s.definition.Questions[i]
			for j := q.First; j < q.First+len(q.Answers); j++ {
				dst[j] = float32(float64(row[j]) * of)
			}
		}
		return
	}
	all := make([]float64, s.Width())
	for i := range s.definition.Questions { // parents come before their questions
		q := &s.definition.Questions[i]
		asked := 1.0
		if len(q.AfterColumns) > 0 {
			asked = 0
		}
		for _, column := range q.AfterColumns {
			asked += all[column]
		}
		n := s.Votes(row, i)
		for j := q.First; j < q.First+len(q.Answers); j++ {
			if asked != 0 {
				all[j] = float64(row[j]) / n * asked
			}
		}
	}
	for j, v := range all {
		dst[j] = float32(v)
	}
}

// Predicted returns the schema of what a network predicts of s. For counts that is a schema of
// the same questions whose rows are fractions of those who were asked each question
// (Conditional), and for all others s itself.
func (s *Schema) Predicted() *Schema { return s.predicted }

// checkVotes reports the first question that more volunteers answered than gave the answers that
// lead to it.
func (s *Schema) checkVotes(counts []float32) error {
	for i := range s.definition.Questions {
		q := &s.definition.Questions[i]
		if len(q.After) == 0 {
			continue
		}
		asked := 0.0
		for _, column := range q.AfterColumns {
			asked += float64(counts[column])
		}
		// Written so that a NaN fails.
		if n := s.Votes(counts, i); !(n <= asked) {
			return fmt.Errorf("question %d has %v votes: expected at most %v, the votes for %s", q.Number, n, asked, names(q.After))
		}
	}
	return nil
}
