package data

import (
	"fmt"
	"math"
)

const (
	// Answers is the number of answers in the question tree: the columns of a
	// label row and the outputs of a model.
	Answers = 37
	// Questions is the number of questions in the tree.
	Questions = 11

	// Root is the Parent of a question whose answers sum to 1.
	Root = -1
	// End is the Next of an answer after which the volunteer is done.
	End = 0

	// SumTolerance is how far the sum of one question's answers may lie from
	// its parent's share before CheckSums calls a row inconsistent. Kaggle's
	// file is rounded to six decimals and obeys the rules to 1e-4; ten times
	// that leaves room for catalogues rounded to four.
	SumTolerance = 1e-3
)

// An Answer is one column of the catalogue.
type Answer struct {
	Name   string // column name in Kaggle's files, "Class7.2"
	Text   string // what the volunteer clicks on
	Column int    // index into a label row, 0 to Answers-1
	Next   int    // number of the question asked next, End for none
}

// A Question is a group of answers of which every volunteer who reaches it
// picks one.
type Question struct {
	Number  int    // 1 to Questions
	Text    string // what the volunteer is asked
	First   int    // column of the first answer; the others follow it
	Answers []Answer

	// Parent is the column whose value the answers of this question sum to,
	// or Root where they sum to 1: the columns are already multiplied down the
	// path. It is not always the answer clicked on just before: questions 3, 4
	// and 5 share 2.2, because both answers of question 3 lead to question 4.
	// Question 6 is Root although those who answer 1.3 never reach it; it is
	// taken over those who did.
	Parent int
}

var tree, columns = buildTree()

// Tree returns the Galaxy Zoo 2 question tree (Willett et al. 2013, table 2),
// as the Galaxy Challenge numbers it; element i is question i+1. The caller
// owns the slice.
func Tree() []Question {
	out := make([]Question, len(tree))
	for i, q := range tree {
		q.Answers = append([]Answer(nil), q.Answers...)
		out[i] = q
	}
	return out
}

// Columns returns the names of the 37 answer columns in file order,
// "Class1.1" to "Class11.6". The caller owns the slice.
func Columns() []string { return append([]string(nil), columns[:]...) }

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

// CheckSums reports the first question whose answers do not sum to their
// parent's share to within tolerance (SumTolerance is the usual one).
// fractions holds the 37 columns of one row, as they stand in the catalogue.
func CheckSums(fractions []float32, tolerance float64) error {
	if len(fractions) != Answers {
		return fmt.Errorf("check sum rules: want %d fractions, got %d", Answers, len(fractions))
	}
	for i := range tree {
		q := &tree[i]
		sum, want := 0.0, 1.0
		for j := range q.Answers {
			sum += float64(fractions[q.First+j])
		}
		name := "1"
		if q.Parent != Root {
			want, name = float64(fractions[q.Parent]), columns[q.Parent]
		}
		// Written so that a NaN fails.
		if !(math.Abs(sum-want) <= tolerance) {
			return fmt.Errorf("the answers of question %d sum to %.6g; want %.6g (%s) to within %g", q.Number, sum, want, name, tolerance)
		}
	}
	return nil
}

func buildTree() ([Questions]Question, [Answers]string) {
	type answer struct {
		text string
		next int
	}
	// Columns that other questions hang on, by the name of their answer.
	const (
		a11 = 0
		a12 = 1
		a21 = 3
		a22 = 4
		a41 = 7
		a61 = 13
	)
	spec := [Questions]struct {
		text    string
		parent  int
		answers []answer
	}{
		{"Is the galaxy simply smooth and rounded, with no sign of a disk?", Root,
			[]answer{{"smooth", 7}, {"features or disk", 2}, {"star or artifact", End}}},
		{"Could this be a disk viewed edge-on?", a12,
			[]answer{{"yes", 9}, {"no", 3}}},
		{"Is there a sign of a bar feature through the centre of the galaxy?", a22,
			[]answer{{"yes", 4}, {"no", 4}}},
		{"Is there any sign of a spiral arm pattern?", a22,
			[]answer{{"yes", 10}, {"no", 5}}},
		{"How prominent is the central bulge, compared with the rest of the galaxy?", a22,
			[]answer{{"no bulge", 6}, {"just noticeable", 6}, {"obvious", 6}, {"dominant", 6}}},
		{"Is there anything odd?", Root,
			[]answer{{"yes", 8}, {"no", End}}},
		{"How rounded is it?", a11,
			[]answer{{"completely round", 6}, {"in between", 6}, {"cigar-shaped", 6}}},
		{"Is the odd feature a ring, or is the galaxy disturbed or irregular?", a61,
			[]answer{{"ring", End}, {"lens or arc", End}, {"disturbed", End}, {"irregular", End}, {"other", End}, {"merger", End}, {"dust lane", End}}},
		{"Does the galaxy have a bulge at its centre, and what shape is it?", a21,
			[]answer{{"rounded", 6}, {"boxy", 6}, {"no bulge", 6}}},
		{"How tightly wound do the spiral arms appear?", a41,
			[]answer{{"tight", 11}, {"medium", 11}, {"loose", 11}}},
		{"How many spiral arms are there?", a41,
			[]answer{{"one", 5}, {"two", 5}, {"three", 5}, {"four", 5}, {"more than four", 5}, {"can't tell", 5}}},
	}

	var questions [Questions]Question
	var names [Answers]string
	column := 0
	for i, s := range spec {
		q := Question{Number: i + 1, Text: s.text, First: column, Parent: s.parent}
		for j, a := range s.answers {
			names[column] = fmt.Sprintf("Class%d.%d", i+1, j+1)
			q.Answers = append(q.Answers, Answer{Name: names[column], Text: a.text, Column: column, Next: a.next})
			column++
		}
		questions[i] = q
	}
	return questions, names
}
