package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/metric"
)

// Model is the best checkpoint of a run, opened to predict with.
type Model struct {
	train.Predictor
	// Target is what it predicts, and Loss what it was trained with.
	Target *labels.Schema
	Loss   metric.Loss
	// Network is the same network, for what explains its predictions; nil if that is not known.
	Network *graph.Predictor
	// Step is the step of the checkpoint.
	Step  int64
	Close func() error
}

// Evaluation holds the scores of a model on a split, and what it predicts for every galaxy of it.
type Evaluation struct {
	metric.Result
	Split  data.Split
	Target *labels.Schema
	Step   int64 // of the checkpoint
	// Examples are the scored galaxies, [n], by their index in the cache.
	Examples []int
	// Labels are those of the target, and Probabilities the predictions, float32 [n, Target.Width()].
	Labels, Probabilities []float32
	Time                  time.Duration
}

// evaluate scores a model on the test split of a cache or, if that has no galaxy with a label, on the validation
// split. progress may be nil.
func evaluate(ctx context.Context, m Model, cache *data.Cache, progress func(done, total int)) (*Evaluation, error) {
	e := &Evaluation{Split: data.Test, Target: m.Target, Step: m.Step}
	if len(cache.Labelled(e.Split, e.Target)) == 0 {
		e.Split = data.Validation
	}
	if e.Examples = cache.Labelled(e.Split, e.Target); len(e.Examples) == 0 {
		return nil, errors.New("neither the test nor the validation split has a galaxy with a label")
	}
	start := time.Now()
	kept := &keeper{Predictor: m.Predictor}
	var err error
	e.Result, err = train.Evaluate(ctx, kept, train.Evaluation{
		Cache: cache, Split: e.Split, Target: m.Target, Loss: m.Loss, Full: true, Progress: progress,
	})
	if err != nil {
		return nil, err
	}
	e.Time, e.Probabilities = time.Since(start), kept.probabilities
	e.Labels = make([]float32, len(e.Probabilities))
	width := e.Target.Width()
	if len(e.Probabilities) != width*len(e.Examples) {
		return nil, fmt.Errorf("%d predictions for %d galaxies: expected %d for each", len(e.Probabilities), len(e.Examples), width)
	}
	for k, i := range e.Examples {
		e.Target.Label(e.label(k), cache.Labels(i))
	}
	return e, nil
}

// label returns the label of the k-th galaxy, and prediction what was predicted for it, float32 [Target.Width()].
func (e *Evaluation) label(k int) []float32 { return row(e.Labels, e.Target, k) }

func (e *Evaluation) prediction(k int) []float32 { return row(e.Probabilities, e.Target, k) }

func row(rows []float32, schema *labels.Schema, k int) []float32 {
	width := schema.Width()
	return rows[k*width : (k+1)*width : (k+1)*width]
}

// keeper is a Predictor that keeps the probabilities that it has predicted, in order.
type keeper struct {
	train.Predictor
	probabilities []float32
}

func (p *keeper) Predict(images []byte) (logits, probabilities []float32, err error) {
	logits, probabilities, err = p.Predictor.Predict(images)
	p.probabilities = append(p.probabilities, probabilities...)
	return logits, probabilities, err
}
