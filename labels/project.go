package labels

import (
	"fmt"
	"math"
	"strings"
)

// SumTolerance is how far the sum of one question's answers may lie from what it should
// be before CheckSums calls a row inconsistent. Kaggle's file is rounded to six decimals
// and satisfies the rules to 1e-4; ten times that leaves room for catalogues rounded to
// four.
const SumTolerance = 1e-3

// sumRounding is more than the rounding of a question's labels to float32 changes the sum of its answers by: a row
// that misses its sum by exactly the tolerance, such as 0.999 of a catalogue with three decimals, is within it.
const sumRounding = 1e-6

// CheckSums reports the first question whose answers do not sum to the sum of its
// Parents, or to 1, to within tolerance (SumTolerance is the usual one). In a row of counts that
// is the first question with more votes than the answers that lead to it; fewer are allowed,
// because volunteers stop when they like. row is float32 [Width].
func (s *Schema) CheckSums(row []float32, tolerance float64) error {
	if len(row) != s.Width() {
		return fmt.Errorf("check sum rules: expected %d %s, got %d", s.Width(), s.Values(), len(row))
	}
	if s.Values() == Counts {
		return s.checkVotes(row)
	}
	for i := range s.definition.Questions {
		q := &s.definition.Questions[i]
		sum := s.Votes(row, i)
		// Written so that a NaN fails.
		if want := s.total(row, i); !(math.Abs(sum-want) <= tolerance+sumRounding) {
			of := ""
			if len(q.Parents()) > 0 {
				of = " (" + names(q.After) + ")"
			}
			return fmt.Errorf("the answers of question %d sum to %.6g: expected %.6g%s to within %g", q.Number, sum, want, of, tolerance)
		}
	}
	return nil
}

// names lists columns that are added up.
func names(columns []string) string { return strings.Join(columns, " + ") }

// Project changes a row of predicted fractions, float32 [Width], in place into one that
// satisfies the sum rules of CheckSums: the answers of each question are divided by
// their sum and multiplied by the sum, already projected, of its Parents. Predictions of counts
// are fractions of those who were asked: their answers sum to 1. Values below 0
// and NaN count as 0. If no answer of a question is above 0, all get the same share. A
// row of another length and an infinite value are errors, and the row is then as it was.
func (s *Schema) Project(row []float32) error {
	if len(row) != s.Width() {
		return fmt.Errorf("project onto the sum rules: expected %d fractions, got %d", s.Width(), len(row))
	}
	projected := make([]float64, len(row))
	for i := range s.definition.Questions { // parents come before their questions
		q := &s.definition.Questions[i]
		share, sum := 1.0, 0.0
		if parents := q.Parents(); len(parents) > 0 {
			share = 0
			for _, column := range parents {
				share += projected[column]
			}
		}
		answers := projected[q.First : q.First+len(q.Answers)]
		for j, v := range row[q.First : q.First+len(q.Answers)] {
			if v > 0 {
				answers[j] = float64(v)
				sum += answers[j]
			}
		}
		if sum > maxSum {
			return fmt.Errorf("project onto the sum rules: the answers of question %d sum to %v", q.Number, sum)
		}
		for j := range answers {
			if sum > 0 {
				answers[j] *= share / sum
			} else {
				answers[j] = share / float64(len(answers))
			}
		}
	}
	for j, v := range projected {
		row[j] = float32(v)
	}
	return nil
}

// maxSum is above every sum of finite float32 values, for rows of up to a trillion columns.
const maxSum = 1e52
