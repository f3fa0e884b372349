package labels

import "fmt"

var galaxyZoo = register(defineGalaxyZoo())

// GalaxyZoo returns the schema of the Kaggle competition "Galaxy Zoo - The Galaxy
// Challenge" (2014): the question tree of Galaxy Zoo 2 (Willett et al. 2013,
// MNRAS 435, 2835, table 2) as the competition numbers it, with the columns "Class1.1"
// to "Class11.6", and the five clean classes of Zhu, Dai et al. 2019 (arXiv 1807.10406).
//
// A question's columns need not sum to the answer clicked on just before: questions 3,
// 4 and 5 share 2.2, because both answers of question 3 lead to question 4. Question 6
// is asked of all but those who answer 1.3. Its columns, and the columns of question 8
// below it, are fractions of those who reached it.
func GalaxyZoo() *Schema { return galaxyZoo }

func defineGalaxyZoo() Definition {
	const (
		ofAll   = false
		ofAsked = true
	)
	after := func(columns ...string) []string { return columns }
	var d Definition
	d.Name = "Galaxy Zoo challenge"
	for i, q := range []struct {
		text    string
		after   []string
		ofAsked bool
		answers []string
	}{
		{"Is the galaxy simply smooth and rounded, with no sign of a disk?", nil, ofAll,
			[]string{"smooth", "features or disk", "star or artifact"}},
		{"Could this be a disk viewed edge-on?", after("Class1.2"), ofAll,
			[]string{"yes", "no"}},
		{"Is there a sign of a bar feature through the centre of the galaxy?", after("Class2.2"), ofAll,
			[]string{"yes", "no"}},
		{"Is there any sign of a spiral arm pattern?", after("Class2.2"), ofAll,
			[]string{"yes", "no"}},
		{"How prominent is the central bulge, compared with the rest of the galaxy?", after("Class2.2"), ofAll,
			[]string{"no bulge", "just noticeable", "obvious", "dominant"}},
		{"Is there anything odd?", after("Class1.1", "Class1.2"), ofAsked,
			[]string{"yes", "no"}},
		{"How rounded is it?", after("Class1.1"), ofAll,
			[]string{"completely round", "in between", "cigar-shaped"}},
		{"Is the odd feature a ring, or is the galaxy disturbed or irregular?", after("Class6.1"), ofAll,
			[]string{"ring", "lens or arc", "disturbed", "irregular", "other", "merger", "dust lane"}},
		{"Does the galaxy have a bulge at its centre, and what shape is it?", after("Class2.1"), ofAll,
			[]string{"rounded", "boxy", "no bulge"}},
		{"How tightly wound do the spiral arms appear?", after("Class4.1"), ofAll,
			[]string{"tight", "medium", "loose"}},
		{"How many spiral arms are there?", after("Class4.1"), ofAll,
			[]string{"one", "two", "three", "four", "more than four", "can't tell"}},
	} {
		question := Question{Text: q.text, After: q.after, OfAsked: q.ofAsked}
		for j, text := range q.answers {
			question.Answers = append(question.Answers, Answer{Name: fmt.Sprintf("Class%d.%d", i+1, j+1), Text: text})
		}
		d.Questions = append(d.Questions, question)
	}
	d.Classes = []Class{
		{"round", []Threshold{{"Class1.1", .469}, {"Class7.1", .50}}},
		{"in-between", []Threshold{{"Class1.1", .469}, {"Class7.2", .50}}},
		{"cigar", []Threshold{{"Class1.1", .469}, {"Class7.3", .50}}},
		{"edge-on", []Threshold{{"Class1.2", .430}, {"Class2.1", .602}}},
		{"spiral", []Threshold{{"Class1.2", .430}, {"Class2.2", .715}, {"Class4.1", .619}}},
	}
	return d
}
