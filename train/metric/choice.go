package metric

import "galaxy/data"

// tree is the question tree; read only.
var tree = data.Tree()

// none stands for no clean class.
const none = -1

// choices are what a row of columns says when it has to decide.
type choices struct {
	column   int                 // the largest of all
	question [data.Questions]int // the largest within each question
	// class is the clean class, or none; confidence is its share of the five.
	class      int
	confidence float64
}

// truthOf is what a row of labels says.
func truthOf(target data.Target, labels []float32) choices {
	c := answerOf(target, labels)
	if target == data.Fractions {
		if c.class = int(data.CleanClassOf(labels)); c.class == int(data.Unclear) {
			c.class = none
		}
	}
	return c
}

// answerOf is what a row of predictions says. Its clean class is the one with
// the largest of the five shares.
func answerOf(target data.Target, row []float32) choices {
	c := choices{column: data.Largest(row)}
	five := row
	if target == data.Fractions {
		for i := range tree {
			q := &tree[i]
			c.question[i] = q.First + data.Largest(row[q.First:q.First+len(q.Answers)])
		}
		var shares [data.CleanClasses]float32
		for class, column := range classColumns {
			shares[class] = row[column]
		}
		five = shares[:]
	}
	c.class = data.Largest(five)
	sum := 0.0
	for _, v := range five {
		sum += max(float64(v), 0)
	}
	if sum > 0 {
		c.confidence = max(float64(five[c.class]), 0) / sum
	} else {
		c.confidence = 1 / float64(data.CleanClasses)
	}
	return c
}

// classColumns are the columns that decide a clean class: the last answer on the
// way to it. The columns are shares of all volunteers, so they can be compared.
var classColumns = func() (columns [data.CleanClasses]int) {
	names := data.Columns()
	for class, name := range map[data.CleanClass]string{
		data.Round: "Class7.1", data.InBetween: "Class7.2", data.Cigar: "Class7.3", data.EdgeOn: "Class2.1", data.Spiral: "Class4.1",
	} {
		for j, n := range names {
			if n == name {
				columns[class] = j
			}
		}
	}
	return columns
}()

// roots holds for each question the one that starts its path: question 1, or
// question 6 for itself and question 8. Its columns and those below are shares
// of the volunteers who were asked it.
var roots = func() (roots [data.Questions]int) {
	var of [data.Answers]int // the question of a column
	for i := range tree {
		for _, a := range tree[i].Answers {
			of[a.Column] = i
		}
	}
	for i := range tree {
		root := i
		for tree[root].Parent != data.Root {
			root = of[tree[root].Parent]
		}
		roots[i] = root
	}
	return roots
}()

// reached returns the share of volunteers who were asked question i.
func reached(labels []float32, i int) float64 {
	share := 1.0
	if parent := tree[i].Parent; parent != data.Root {
		share = float64(labels[parent])
	}
	if roots[i] > 0 {
		// A later root is asked of all whom the first question did not send home.
		asked := 1.0
		for _, a := range tree[0].Answers {
			if a.Next == data.End {
				asked -= float64(labels[a.Column])
			}
		}
		share *= max(asked, 0)
	}
	return share
}
