package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"galaxy/data"
	"galaxy/labels"
	"galaxy/train/metric"
)

// Predictor predicts logits and probabilities, float32 [N, Outputs] in
// row-major order, for images, uint8 [N, Size, Size, channels]. Logits may be nil if
// no loss is computed.
type Predictor interface {
	Predict(images []byte) (logits, probabilities []float32, err error)
}

// EvalBatch is the default batch size for prediction.
const EvalBatch = 64

// Evaluation holds what to evaluate, and how.
type Evaluation struct {
	Cache *data.Cache
	Split data.Split
	Batch int // images predicted at a time; 0 is EvalBatch
	// Target is what the predictor predicts: the cache's schema (or nil), or its classes.
	// Loss is its training loss; nil if unknown.
	Target *labels.Schema
	Loss   metric.Loss
	// Full adds metrics that are not needed during a run: intervals, the
	// constant predictor, fitted to the train split, and slices by size and
	// brightness, measured in the images.
	Full bool
	// Progress, if set, is called with the number of finished images.
	Progress func(done, total int)
}

// Evaluate scores a predictor on every example of a split.
func Evaluate(ctx context.Context, p Predictor, e Evaluation) (_ metric.Result, err error) {
	if e.Batch == 0 {
		e.Batch = EvalBatch
	}
	e.Target = cmp.Or(e.Target, e.Cache.Schema())
	defer func() {
		if err != nil {
			err = fmt.Errorf("evaluate the %v split: %w", e.Split, err)
		}
	}()
	var constant *metric.Constant
	var traits *traits
	if e.Full {
		if constant, err = fitConstant(e.Cache, e.Target); err != nil {
			return metric.Result{}, err
		}
		traits = newTraits(e.Cache.Manifest())
	}
	loader, err := data.NewLoader(e.Cache, data.LoaderConfig{Split: e.Split, Target: e.Target, Batch: e.Batch, Once: true})
	if err != nil {
		return metric.Result{}, err
	}
	defer loader.Close()
	evaluation := metric.New(e.Target, e.Loss, constant)
	for done, total := 0, len(e.Cache.Labelled(e.Split, e.Target)); ; {
		batch, err := loader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return metric.Result{}, err
		}
		// Runs at the same time as the network, which has the other cores or a GPU.
		var measuring sync.WaitGroup
		if traits != nil {
			measuring.Go(func() { traits.measure(batch.Images, batch.Len()) })
		}
		logits, probabilities, err := p.Predict(batch.Images)
		measuring.Wait()
		if err != nil {
			return metric.Result{}, err
		}
		if err := evaluation.Add(logits, probabilities, batch.Labels); err != nil {
			return metric.Result{}, err
		}
		if done += batch.Len(); e.Progress != nil {
			e.Progress(done, total)
		}
	}
	if !e.Full {
		scores, err := evaluation.Scores()
		return metric.Result{Scores: scores}, err
	}
	return evaluation.Result(traits.size, traits.brightness)
}

// fitConstant fits the constant predictor to the labels of the train split.
func fitConstant(cache *data.Cache, target *labels.Schema) (*metric.Constant, error) {
	label := make([]float32, target.Width())
	return metric.FitConstant(target, func(yield func([]float32) bool) {
		for _, i := range cache.Labelled(data.Train, target) {
			if target.Label(label, cache.Labels(i)); !yield(label) {
				return
			}
		}
	})
}

// traits holds properties measured in the images, by which metrics are sliced.
type traits struct {
	photometer       *data.Photometer
	size, brightness metric.Trait
}

func newTraits(m data.Manifest) *traits {
	return &traits{
		photometer: data.NewPhotometer(m),
		size:       metric.Trait{Name: "size", Unit: "px"},
		brightness: metric.Trait{Name: "brightness", Unit: "levels"},
	}
}

func (t *traits) measure(images []byte, n int) {
	for image := range slices.Chunk(images, len(images)/n) {
		p := t.photometer.Measure(image)
		t.size.Values = append(t.size.Values, p.Radius)
		t.brightness.Values = append(t.brightness.Values, p.Brightness)
	}
}
