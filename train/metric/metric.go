package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"galaxy/labels"
	"galaxy/train/votes"
)

// Loss is the loss a network was trained with. objective.Objective is one.
type Loss interface {
	// LossOf returns the loss of one example, of
	// logits against labels in [0, 1] or counts.
	LossOf(logits, labels []float32) float64
	// Spread returns the spread of the predicted distribution of each question's votes
	// (votes.Distribution), float64 [questions]; nil for none.
	Spread(logits []float32) []float64
	// LogitsFor returns the logits that minimize the mean loss over examples
	// whose labels have these means. It need be finite only if all means are
	// inside (0, 1). For counts they are concentrations, with which the votes are drawn.
	LogitsFor(means []float64) []float64
}

// ErrNotFinite is the error of a logit, a probability or a label that is not finite.
var ErrNotFinite = errors.New("not finite")

// Evaluation accumulates examples. It is not safe for concurrent use.
type Evaluation struct {
	target   *target
	loss     Loss
	constant *Constant
	// The choices of the current example.
	truth, answer choices
	// The constant's prediction, as add takes it.
	logits, means []float32
	distributions []votes.Distribution
	model, base   scored
}

// New returns an empty evaluation of predictions of the schema's columns: of vote
// fractions, of counts (whose predictions are fractions, schema.Predicted), or of classes.
// loss may be nil: then the loss is undefined. constant may be nil: then Result has no baseline.
// constant must have been fitted to labels of the same schema.
func New(schema *labels.Schema, loss Loss, constant *Constant) *Evaluation {
	t := newTarget(schema)
	return &Evaluation{
		target: t, loss: loss, constant: constant, truth: t.newChoices(), answer: t.newChoices(),
		model: newScored(t), base: newScored(t),
	}
}

// Add adds n examples: probabilities and labels are [n, schema.Width()], and so are
// logits if there is a loss; otherwise they may be nil. The slices are not kept. Other
// sizes and non-finite values (ErrNotFinite) are errors; the batch is then not
// counted.
func (e *Evaluation) Add(logits, probabilities, labels []float32) error {
	width := e.target.width
	if e.loss == nil {
		logits = nil
	}
	if len(labels) == 0 || len(labels)%width != 0 || len(probabilities) != len(labels) || e.loss != nil && len(logits) != len(labels) {
		return fmt.Errorf("score examples: %d logits, %d probabilities and %d labels; expected the same multiple of %d of each",
			len(logits), len(probabilities), len(labels), width)
	}
	for _, a := range []struct {
		name   string
		values []float32
	}{{"logit", logits}, {"probability", probabilities}, {"label", labels}} {
		for i, v := range a.values {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("score examples: the %s of example %d, %s, is %v: %w", a.name,
					len(e.model.examples)+i/width, e.target.schema.Columns()[i%width], v, ErrNotFinite)
			}
		}
	}
	if e.constant != nil && e.means == nil {
		e.logits, e.means = e.constant.predict(e.loss)
		e.distributions = e.constant.distributions()
	}
	for i := 0; i < len(labels); i += width {
		p, y := probabilities[i:i+width], labels[i:i+width]
		e.target.readTruth(&e.truth, y)
		e.target.readAnswer(&e.answer, p)
		e.model.add(p, y, &e.truth, &e.answer, e.lossOf(logits, i, y))
		if e.constant != nil {
			e.base.add(e.means, y, &e.truth, &e.constant.choices, e.lossOf(e.logits, 0, y))
		}
		if !e.target.counts {
			continue
		}
		var spread []float64
		if e.loss != nil {
			spread = e.loss.Spread(logits[i : i+width])
		}
		e.model.addVotes(e.target.distributions(p, spread), y)
		if e.constant != nil {
			e.base.addVotes(e.distributions, y)
		}
	}
	return nil
}

// lossOf returns the loss of the logits from column i on, NaN without a loss.
func (e *Evaluation) lossOf(logits []float32, i int, labels []float32) float64 {
	if e.loss == nil {
		return math.NaN()
	}
	return e.loss.LossOf(logits[i:i+len(labels)], labels)
}

// Scores returns the scores of all examples added so far, without intervals. No
// examples is an error.
func (e *Evaluation) Scores() (Scores, error) {
	if err := e.check(); err != nil {
		return Scores{}, err
	}
	return e.model.scores(nil), nil
}

// check returns an error if there is nothing to score.
func (e *Evaluation) check() error {
	if len(e.model.examples) == 0 {
		return errors.New("score examples: there are none")
	}
	if !slices.ContainsFunc(e.model.examples, func(x example) bool { return x.weight > 0 }) {
		return fmt.Errorf("score examples: none of the %d has a vote", len(e.model.examples))
	}
	return nil
}

// Result returns the scores of all examples added so far, with intervals, and the
// baseline. No examples is an error, and so are counts without a vote. traits divide the
// examples into slices that are scored separately. It takes about 12 µs per example on 2
// cores, 70 ms for 6,158 (BenchmarkResult), and 6 µs per example and class
// (BenchmarkClassResult).
func (e *Evaluation) Result(traits ...Trait) (Result, error) {
	if err := e.check(); err != nil {
		return Result{}, err
	}
	s, err := cut(traits, len(e.model.examples))
	if err != nil {
		return Result{}, fmt.Errorf("score examples: %w", err)
	}
	result := Result{Scores: e.model.scores(s)}
	e.model.bootstrap(&result.Scores, s)
	if e.constant != nil {
		base := e.base.scores(s)
		result.Baseline = &base
	}
	return result, nil
}
