package acquisition

import "fmt"

// parts are the numbers of a question in a row, before those of its answers.
const parts = 3

// Columns returns the names of the numbers of a row: of each question, then of each answer.
func (s *Scorer) Columns() (names []string) {
	for _, q := range s.questions {
		for _, what := range []string{"reached", "draws", "fractions"} {
			names = append(names, fmt.Sprintf("question%d_%s", q.Number, what))
		}
		for _, a := range q.Answers {
			names = append(names, a.Name+"_mean", a.Name+"_least", a.Name+"_most")
		}
	}
	return names
}

// AppendRow appends the numbers of a galaxy to a row, which Read reads.
func (s *Scorer) AppendRow(row []float32, questions []Question) []float32 {
	for _, q := range questions {
		row = append(row, float32(q.Reached), float32(q.Draws), float32(q.Fractions))
		for j := range q.Mean {
			row = append(row, float32(q.Mean[j]), float32(q.Least[j]), float32(q.Most[j]))
		}
	}
	return row
}

// Read returns the questions of a row of Columns.
func (s *Scorer) Read(row []float32) []Question {
	all := make([]Question, len(s.questions))
	for i := range all {
		q := &all[i]
		q.Reached, q.Draws, q.Fractions = float64(row[0]), float64(row[1]), float64(row[2])
		row = row[parts:]
		for range s.questions[i].Answers {
			q.Mean, q.Least, q.Most = append(q.Mean, float64(row[0])), append(q.Least, float64(row[1])), append(q.Most, float64(row[2]))
			row = row[3:]
		}
	}
	return all
}
