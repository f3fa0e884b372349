package train

import (
	"context"
	"errors"
	"fmt"
	"io"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// A run without labels (Config.Pretrain) is a run like the others: its graph sees two views of each image, and its
// evaluation, in this file, is of embeddings.

// pairsSeed is the first number of the key of the views in an evaluation; the second is the batch's. It does not
// depend on the run: evaluations of one run, and of runs with other seeds, see the same views.
const pairsSeed = 0x67616c617879

// leastPairs is the least number of examples of a micro-batch: a covariance needs two.
const leastPairs = 2

// predict runs a prediction of the kind that the run's evaluation consists of.
func (p *setup) predict(t *graph.Trainer, images []byte) (err error) {
	if p.Config.Pretrain.IsSet() {
		_, _, err = t.PredictPairs(images, [2]int64{pairsSeed, 0})
	} else {
		_, _, err = t.Predict(images)
	}
	return err
}

// evaluatePairs computes the embeddings of two views of every image of the validation split, and what their loss is as
// one batch. before is called before each batch of images, and its error ends the evaluation.
func (r *run) evaluatePairs(ctx context.Context, before func() error, progress func(done, total int)) (e objective.EmbeddingScores, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("evaluate the %v split: %w", data.Validation, err)
		}
	}()
	loader, err := data.NewLoader(r.Cache, data.LoaderConfig{Split: data.Validation, Target: r.Config.Target(), Batch: EvalBatch, Once: true})
	if err != nil {
		return e, err
	}
	defer loader.Close()
	var first, second []float32
	total := len(r.Cache.Labelled(data.Validation, r.Config.Target()))
	for done, number := 0, int64(0); ; number++ {
		batch, err := loader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = before()
		}
		if err != nil {
			return e, err
		}
		a, b, err := r.trainer.PredictPairs(batch.Images, [2]int64{pairsSeed, number})
		if err != nil {
			return e, err
		}
		first, second = append(first, a...), append(second, b...)
		done += batch.Len()
		progress(done, total)
	}
	if e, err = r.Config.Pretrain.Scores(first, second, r.Config.Model.Outputs); err == nil && !isFinite(e.Loss) {
		err = fmt.Errorf("%w: the loss of the embeddings is %v", metric.ErrNotFinite, e.Loss)
	}
	return e, err
}
