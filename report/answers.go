package report

import (
	"cmp"
	"math"
	"slices"

	"galaxy/labels"
)

// A choice is the question by which the report says that a galaxy is predicted right or wrong: its class or, in a
// catalogue without classes, the most frequent answer to the first question.
type choice struct {
	text  string
	names []string // of the classes, or the texts of the answers
	// truth, predicted and scores are of every galaxy of the evaluation. truth is -1 for a galaxy that has no
	// class, or no votes for the question.
	truth, predicted []int
	scores           [][]float64 // [galaxy][name]: what is predicted for each, adding up to 1
	raw              [][]float32 // the same as it is predicted, by which curves sort galaxies
	votes            [][]float64 // [galaxy][name]: the same of the label
}

// newChoice returns the choices of all galaxies. source returns the labels of an example in the cache.
func newChoice(e *Evaluation, source func(i int) []float32) *choice {
	classes := e.Target.Classes()
	c := &choice{text: "class", names: classes.Columns()}
	scores := func(dst, row []float32) { e.Target.Predicted().ClassScores(dst, row) }
	truth := func(i int, _ []float64) int { return e.Target.ClassOf(source(i)) }
	voted := func(dst, row []float32) {
		row = slices.Clone(row)
		if e.Target.Values() == labels.Counts {
			e.Target.Conditional(row, row)
		}
		scores(dst, row)
	}
	if len(c.names) == 0 {
		q := e.Target.Questions()[0]
		c.text, c.names = q.Text, texts(q)
		scores = func(dst, row []float32) { copy(dst, row[:len(dst)]) }
		voted = scores
		truth = func(_ int, votes []float64) int { return largest(votes) }
	}
	one := make([]float32, len(c.names))
	for k, i := range e.Examples {
		scores(one, e.prediction(k))
		predicted := fractionsOf(one)
		c.raw = append(c.raw, slices.Clone(one))
		voted(one, e.label(k))
		votes := fractionsOf(one)
		c.scores, c.votes = append(c.scores, predicted), append(c.votes, votes)
		c.predicted, c.truth = append(c.predicted, largest(predicted)), append(c.truth, truth(i, votes))
	}
	return c
}

// texts returns the texts of a question's answers.
func texts(q labels.Question) []string {
	var all []string
	for _, a := range q.Answers {
		all = append(all, cmp.Or(a.Text, a.Name))
	}
	return all
}

// fractionsOf returns values divided by their sum. Values that are not above 0, and NaN, count as 0; if all do, all
// results are 0.
func fractionsOf(values []float32) []float64 {
	out, sum := make([]float64, len(values)), 0.0
	for k, v := range values {
		if v > 0 {
			out[k] = float64(v)
		}
		sum += out[k]
	}
	if sum > 0 {
		for k := range out {
			out[k] /= sum
		}
	}
	return out
}

// largest returns the index of the largest value, the first of equals; -1 if none is above 0.
func largest(values []float64) int {
	best, most := -1, 0.0
	for k, v := range values {
		if v > most {
			best, most = k, v
		}
	}
	return best
}

// confidence returns the fraction predicted for the predicted answer.
func (c *choice) confidence(k int) float64 {
	if c.predicted[k] < 0 {
		return 0
	}
	return c.scores[k][c.predicted[k]]
}

// surprise returns how much more is predicted for the predicted answer than was voted for it.
func (c *choice) surprise(k int) float64 {
	if c.predicted[k] < 0 {
		return 0
	}
	return c.scores[k][c.predicted[k]] - c.votes[k][c.predicted[k]]
}

// margin returns the distance between the two largest predicted fractions.
func (c *choice) margin(k int) float64 {
	sorted := slices.Sorted(slices.Values(c.scores[k]))
	return sorted[len(sorted)-1] - sorted[len(sorted)-2]
}

func (c *choice) right(k int) bool { return c.truth[k] >= 0 && c.truth[k] == c.predicted[k] }
func (c *choice) wrong(k int) bool { return c.truth[k] >= 0 && c.truth[k] != c.predicted[k] }

// best returns up to n galaxies among those that are chosen, with the largest score first, and of equals the first.
func (c *choice) best(n int, chosen func(k int) bool, score func(k int) float64) []int {
	all := c.all(chosen)
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(score(b), score(a)) })
	return all[:min(n, len(all))]
}

// all returns the galaxies that are chosen.
func (c *choice) all(chosen func(k int) bool) (all []int) {
	for k := range c.truth {
		if chosen(k) {
			all = append(all, k)
		}
	}
	return all
}

// typical returns up to n galaxies that are predicted right as answer a, those whose predictions are the nearest to
// the mean of all of them first.
func (c *choice) typical(n, a int) []int {
	member := func(k int) bool { return c.right(k) && c.truth[k] == a }
	members := c.all(member)
	mean := make([]float64, len(c.names))
	for _, k := range members {
		for j, v := range c.scores[k] {
			mean[j] += v / float64(len(members))
		}
	}
	return c.best(n, member, func(k int) float64 {
		distance := 0.0
		for j, v := range c.scores[k] {
			distance += (v - mean[j]) * (v - mean[j])
		}
		return -distance
	})
}

// A question compares what is predicted for a question with the votes for it, over all galaxies of an evaluation.
type question struct {
	labels.Question
	// predicted and voted are the mean fraction of all volunteers, or of counts the fraction of all votes, [answers].
	predicted, voted []float64
	// confusion counts galaxies by the most frequent answer (row) and the predicted one (column): those galaxies
	// for which at least half of the volunteers were asked the question.
	confusion [][]int
	asked     int // number of galaxies in confusion
}

// askedShare is the least fraction of the volunteers who reached a question, for the galaxy to count in its confusion
// matrix and for the question to be shown for it.
const askedShare = 0.5

func newQuestions(e *Evaluation) []question {
	all := make([]question, 0, len(e.Target.Questions()))
	for i, q := range e.Target.Questions() {
		n := len(q.Answers)
		out := question{Question: q, predicted: make([]float64, n), voted: make([]float64, n), confusion: make([][]int, n)}
		for a := range out.confusion {
			out.confusion[a] = make([]int, n)
		}
		total := 0.0
		for k := range e.Examples {
			label, predicted := e.label(k), e.prediction(k)
			weight := 1.0
			if e.Target.Values() == labels.Counts {
				weight = e.Target.Votes(label, i)
			}
			total += weight
			p, y := predicted[q.First:q.First+n], label[q.First:q.First+n]
			for a := range n {
				out.predicted[a] += weight * float64(p[a])
				out.voted[a] += float64(y[a])
			}
			truth, answer := largest(fractionsOf(y)), largest(fractionsOf(p))
			if e.Target.Reached(label, i) >= askedShare && truth >= 0 && answer >= 0 {
				out.confusion[truth][answer]++
				out.asked++
			}
		}
		for a := range n {
			out.predicted[a] /= math.Max(total, 1)
			out.voted[a] /= math.Max(total, 1)
		}
		all = append(all, out)
	}
	return all
}

// A node is a question that a galaxy's volunteers, or the prediction, lead to.
type node struct {
	Number  int
	Text    string
	Answers []branch
}

// A branch is an answer: the fractions of those who were asked the question, and of counts the number of votes.
type branch struct {
	Text             string
	Predicted, Voted float64
	Votes            float64 // -1 unless of counts
	Chosen, Largest  bool    // predicted most, voted most
}

// walk returns the questions that at least half of a galaxy's volunteers were asked, or would be by the prediction, in
// the order of the schema, float32 [Width] each.
func walk(target *labels.Schema, label, predicted []float32) []node {
	var path []node
	for i, q := range target.Questions() {
		if target.Reached(label, i) < askedShare && target.Predicted().Reached(predicted, i) < askedShare {
			continue
		}
		p := fractionsOf(predicted[q.First : q.First+len(q.Answers)])
		y := fractionsOf(label[q.First : q.First+len(q.Answers)])
		n := node{Number: q.Number, Text: q.Text}
		for a, text := range texts(q) {
			b := branch{Text: text, Predicted: p[a], Voted: y[a], Votes: -1, Chosen: a == largest(p), Largest: a == largest(y)}
			if target.Values() == labels.Counts {
				b.Votes = float64(label[q.First+a])
			}
			n.Answers = append(n.Answers, b)
		}
		path = append(path, n)
	}
	return path
}

// A curvePoint is a threshold of a class: the class is predicted for all galaxies whose score is at least as large.
type curvePoint struct{ FalsePositive, Recall, Precision float64 }

// curve returns the ROC and the precision-recall curve of answer a against all others, from the strictest threshold
// on, over the galaxies that have a class; nil if all or none of them have this one (Fawcett 2006, "An Introduction
// to ROC Analysis"). Scores that are equal share a point.
func (c *choice) curve(a int) []curvePoint {
	order := c.best(len(c.truth), func(k int) bool { return c.truth[k] >= 0 }, func(k int) float64 { return float64(c.raw[k][a]) })
	positives := 0
	for _, k := range order {
		if c.truth[k] == a {
			positives++
		}
	}
	if positives == 0 || positives == len(order) {
		return nil
	}
	points := []curvePoint{{0, 0, 1}}
	hits := 0
	for n, k := range order {
		if c.truth[k] == a {
			hits++
		}
		if n+1 < len(order) && c.raw[order[n+1]][a] == c.raw[k][a] {
			continue
		}
		points = append(points, curvePoint{
			FalsePositive: float64(n+1-hits) / float64(len(order)-positives),
			Recall:        float64(hits) / float64(positives), Precision: float64(hits) / float64(n+1),
		})
	}
	return points
}
