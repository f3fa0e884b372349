package metric

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"galaxy/labels"
)

// Constant is the predictor that gives every image the same prediction: the
// baseline for any model.
type Constant struct {
	// Means are the column means of the rows it was fitted to: the constant
	// with the smallest RMSE on them.
	Means []float64

	examples int
	choices  choices
}

// FitConstant fits the constant predictor to label rows, each of schema.Width()
// values, which should be the train split's. It does not keep the rows. No rows,
// rows of another length and values outside [0, 1] are errors.
func FitConstant(schema *labels.Schema, rows iter.Seq[[]float32]) (*Constant, error) {
	t := newTarget(schema)
	c := &Constant{Means: make([]float64, t.width), choices: t.newChoices()}
	largest := make([]float64, t.width)        // how often a column is the row's largest
	within := make([]float64, t.width)         // how often it is its question's largest, weighted by who reached the question
	classes := make([]float64, len(t.classes)) // how often each clean class occurs
	truth := t.newChoices()
	for row := range rows {
		if len(row) != t.width {
			return nil, fmt.Errorf("fit constant predictor: row %d has %d labels; expected %d", c.examples, len(row), t.width)
		}
		for j, y := range row {
			if !(y >= 0 && y <= 1) {
				return nil, fmt.Errorf("fit constant predictor: row %d has the label %v in %s; expected a fraction from 0 to 1", c.examples, y, schema.Columns()[j])
			}
			c.Means[j] += float64(y)
		}
		t.readTruth(&truth, row)
		largest[truth.column]++
		for i, column := range truth.question {
			within[column] += schema.Reached(row, i)
		}
		if truth.class != none {
			classes[truth.class]++
		}
		c.examples++
	}
	if c.examples == 0 {
		return nil, errors.New("fit constant predictor: no rows")
	}
	for j := range c.Means {
		c.Means[j] /= float64(c.examples)
	}
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
	}
	return c, nil
}

// predict returns, as its probabilities, the column means and, where there is a
// loss, the logits with the smallest loss on the rows the constant was fitted to.
// A column that nobody chose would have an infinite logit, and an infinite loss
// as soon as somebody chooses it, so it gets the fraction of half an example.
func (c *Constant) predict(loss Loss) (logits, means []float32) {
	least := 0.5 / float64(c.examples)
	var inside []float64
	for _, m := range c.Means {
		means = append(means, float32(m))
		inside = append(inside, math.Min(math.Max(m, least), 1-least))
	}
	if loss == nil {
		return nil, means
	}
	for _, x := range loss.LogitsFor(inside) {
		logits = append(logits, float32(x))
	}
	return logits, means
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
