package metric

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"galaxy/labels"
	"galaxy/train/votes"
)

// Constant is the predictor that gives every image the same prediction: the
// baseline for any model.
type Constant struct {
	// Means are the column means of the rows it was fitted to: the constant
	// with the smallest RMSE on them. Of counts they are fractions of a question's votes in
	// all rows.
	Means []float64

	target  *target
	least   []float64 // of each column: the fraction of half an example, or of half a vote
	spread  []float64 // of each question's votes (votes.Distribution); nil unless of counts
	choices choices
}

// FitConstant fits the constant predictor to label rows, each of schema.Width()
// values, which should be the train split's. It does not keep the rows. No rows,
// rows of another length, and values that are no fractions or no counts are errors.
func FitConstant(schema *labels.Schema, rows iter.Seq[[]float32]) (*Constant, error) {
	t := newTarget(schema)
	c := &Constant{target: t, Means: make([]float64, t.width), choices: t.newChoices()}
	examples := 0
	moments := make([]moments, len(t.questions))
	largest := make([]float64, t.width)        // how often a column is the row's largest
	within := make([]float64, t.width)         // how often it is its question's largest, weighted by who reached the question
	classes := make([]float64, len(t.classes)) // how often each clean class occurs
	truth := t.newChoices()
	for row := range rows {
		if len(row) != t.width {
			return nil, fmt.Errorf("fit constant predictor: row %d has %d labels; expected %d", examples, len(row), t.width)
		}
		for j, y := range row {
			if v := schema.Values(); !v.Holds(y) {
				return nil, fmt.Errorf("fit constant predictor: row %d has the label %v in %s; expected a number %s", examples, y, schema.Columns()[j], v.Range())
			}
			c.Means[j] += float64(y)
		}
		t.readTruth(&truth, row)
		if truth.column >= 0 { // not of counts without a vote
			largest[truth.column]++
		}
		for i, column := range truth.question {
			within[column] += schema.Reached(row, i)
			if q := &t.questions[i]; t.counts {
				moments[i].add(row[q.First : q.First+len(q.Answers)])
			}
		}
		if truth.class != none {
			classes[truth.class]++
		}
		examples++
	}
	if examples == 0 {
		return nil, errors.New("fit constant predictor: no rows")
	}
	c.setMeans(float64(examples), moments)
	c.choices.column = first(largest)
	for i := range t.questions {
		q := &t.questions[i]
		c.choices.question[i] = q.First + first(within[q.First:q.First+len(q.Answers)])
	}
	c.choices.class = none
	clean := 0.0
	for _, n := range classes {
		clean += n
	}
	if clean > 0 {
		c.choices.class = first(classes)
		c.choices.confidence = classes[c.choices.class] / clean
		for k, n := range classes { // like inside, so that a class that does not occur has no infinite loss
			c.choices.scores[k] = float32(max(n, 0.5) / clean)
		}
	}
	return c, nil
}

// setMeans makes means of the sums over the rows.
func (c *Constant) setMeans(examples float64, moments []moments) {
	if !c.target.counts {
		for j := range c.Means {
			c.Means[j] /= examples
		}
		c.least = slices.Repeat([]float64{0.5 / examples}, len(c.Means))
		return
	}
	for i, m := range moments {
		q := &c.target.questions[i]
		means := c.Means[q.First : q.First+len(q.Answers)]
		for j := range means {
			if means[j] /= m.votes; m.votes == 0 {
				means[j] = 1 / float64(len(means))
			}
			c.least = append(c.least, 0.5/max(m.votes, 1))
		}
		c.spread = append(c.spread, m.spread(means))
	}
}

// inside returns the means, with the least fraction for a column that nobody chose.
func (c *Constant) inside() []float64 {
	var inside []float64
	for j, m := range c.Means {
		inside = append(inside, math.Min(math.Max(m, c.least[j]), 1-c.least[j]))
	}
	return inside
}

// predict returns, as its probabilities, the column means and, where there is a
// loss, the logits with the smallest loss on the rows the constant was fitted to.
// A column that nobody chose would have an infinite logit, and an infinite loss
// as soon as somebody chooses it, so it gets the fraction of half an example, of counts of
// half a vote.
func (c *Constant) predict(loss Loss) (logits, means []float32) {
	for _, m := range c.Means {
		means = append(means, float32(m))
	}
	if loss == nil {
		return nil, means
	}
	at := c.inside()
	for i, s := range c.spread { // concentrations
		q := &c.target.questions[i]
		for j := q.First; j < q.First+len(q.Answers); j++ {
			at[j] /= math.Max(s, leastSpread)
		}
	}
	for _, x := range loss.LogitsFor(at) {
		logits = append(logits, float32(x))
	}
	return logits, means
}

// leastSpread is that of concentrations beyond all that a loss has.
const leastSpread = 1e-6

// distributions are those of the votes, nil unless of counts.
func (c *Constant) distributions() []votes.Distribution {
	if !c.target.counts {
		return nil
	}
	var row []float32
	for _, p := range c.inside() {
		row = append(row, float32(p))
	}
	return c.target.distributions(row, c.spread)
}

// first returns the index of the largest value, the first of equals.
func first(values []float64) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}
