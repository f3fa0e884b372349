package train

import (
	"context"
	"errors"
	"fmt"
	"io"

	"galaxy/data"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// Predictor gives the answers of a network to images, uint8 [N, Size, Size, 3]:
// logits and probabilities, float32 [N, 37] in row-major order.
type Predictor interface {
	Predict(images []byte) (logits, probabilities []float32, err error)
}

// EvalBatch is the number of images predicted at a time where nothing else is
// asked for.
const EvalBatch = 64

// Evaluation says what is evaluated, and how.
type Evaluation struct {
	Cache *data.Cache
	Split data.Split
	Batch int // images predicted at a time; 0 is EvalBatch
	// Objective is what the predictor was trained for.
	Objective *objective.Objective
	// Baseline adds the scores of the constant predictor, which is fitted to
	// the train split.
	Baseline bool
	// Progress, when set, is told how many of the images are done.
	Progress func(done, total int)
}

// Evaluate scores a predictor on every example of a split.
func Evaluate(ctx context.Context, p Predictor, e Evaluation) (_ metric.Result, err error) {
	if e.Batch == 0 {
		e.Batch = EvalBatch
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("evaluate the %v split: %w", e.Split, err)
		}
	}()
	target := e.Objective.Config().Target()
	var constant *metric.Constant
	if e.Baseline {
		constant, err = metric.FitConstant(func(yield func([]float32) bool) {
			for _, i := range e.Cache.Indices(data.Train) {
				if !yield(e.Cache.Labels(i)) {
					return
				}
			}
		})
		if err != nil {
			return metric.Result{}, err
		}
	}
	loader, err := data.NewLoader(e.Cache, data.LoaderConfig{Split: e.Split, Target: target, Batch: e.Batch, Once: true})
	if err != nil {
		return metric.Result{}, err
	}
	defer loader.Close()
	scores := metric.New(e.Objective, constant)
	for done, total := 0, len(e.Cache.Labelled(e.Split, target)); ; {
		batch, err := loader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return scores.Result()
		}
		if err != nil {
			return metric.Result{}, err
		}
		logits, probabilities, err := p.Predict(batch.Images)
		if err != nil {
			return metric.Result{}, err
		}
		if err := scores.Add(logits, probabilities, batch.Labels); err != nil {
			return metric.Result{}, err
		}
		if done += batch.Len(); e.Progress != nil {
			e.Progress(done, total)
		}
	}
}
