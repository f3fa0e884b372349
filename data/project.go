package data

import "fmt"

// ProjectTree changes a row of 37 predicted fractions in place into one that
// obeys the sum rules of CheckSums: the answers of each question are divided by
// their sum and multiplied by the share, already projected, of the column they
// hang on. Values below 0 and NaN count as 0. A question of which nothing is
// above 0 tells nothing: its answers share alike. A row of another length and
// an infinite value are errors, and the row is then as it was.
func ProjectTree(row []float32) error {
	if len(row) != Answers {
		return fmt.Errorf("project onto the tree: want %d fractions, got %d", Answers, len(row))
	}
	var projected [Answers]float64
	for i := range tree { // parents come before their questions
		q := &tree[i]
		share, sum := 1.0, 0.0
		if q.Parent != Root {
			share = projected[q.Parent]
		}
		answers := projected[q.First : q.First+len(q.Answers)]
		for j, v := range row[q.First : q.First+len(q.Answers)] {
			if v > 0 {
				answers[j] = float64(v)
				sum += answers[j]
			}
		}
		if sum > maxSum {
			return fmt.Errorf("project onto the tree: the answers of question %d sum to %v", q.Number, sum)
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

// maxSum is above every sum of finite float32 values.
const maxSum = 1e40
