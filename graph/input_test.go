package graph

import (
	"bytes"
	"strings"
	"testing"
)

// Training on held images and on staged batches equals training on images fed with every
// step.
func TestHeldAndStaged(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	cfg.Devices, cfg.Accumulate, cfg.Model.Dropout = cpus(2), 2, .2
	const steps = 3
	// Batch i is rows i, i + 3, i + 6 … of all examples.
	row := cfg.Model.Size * cfg.Model.Size * 3
	all := make([]byte, steps*cfg.Batch*row)
	var batches [steps]Batch
	for i := range batches {
		b := &batches[i]
		b.Images, b.Labels = testBatch(cfg, uint64(i))
		for k := range cfg.Batch {
			b.Rows = append(b.Rows, int64(i+steps*k))
			copy(all[(i+steps*k)*row:], b.Images[k*row:][:row])
		}
	}
	losses := func(tr *Trainer, batch func(i int) Batch) (losses [steps]float64) {
		for i := range losses {
			out, err := tr.Step(StepInput{Batch: batch(i), Step: int64(i), Seed: 3, LearningRate: 1e-3})
			if err != nil {
				t.Fatal(err)
			}
			losses[i] = out.Loss
			if out.Compute <= 0 || out.AllReduce <= 0 || out.Update <= 0 {
				t.Errorf("step %d: compute %v, all-reduce %v, update %v: expected more than none of each", i, out.Compute, out.AllReduce, out.Update)
			}
		}
		return losses
	}
	fed := newTestTrainer(t, cfg)
	want := losses(fed, func(i int) Batch { return Batch{Images: batches[i].Images, Labels: batches[i].Labels} })

	staged := newTestTrainer(t, cfg)
	for _, b := range batches {
		if err := staged.Stage(Batch{Images: b.Images, Labels: b.Labels}); err != nil {
			t.Fatal(err)
		}
	}
	if got := losses(staged, func(int) Batch { return Batch{} }); got != want {
		t.Errorf("losses of staged batches are %v, of those that are fed %v", got, want)
	}
	_, err := staged.Step(StepInput{Step: steps, LearningRate: 1e-3})
	if err == nil || !strings.Contains(err.Error(), "there is no batch") {
		t.Errorf("a step without a batch: error %v", err)
	}
	if err := staged.Hold(bytes.NewReader(all)); err == nil {
		t.Error("a trainer that is fed with images took some to hold")
	}

	cfg.Held = steps * cfg.Batch
	held := newTestTrainer(t, cfg)
	if err := held.Hold(bytes.NewReader(all[1:])); err == nil {
		t.Error("too few images to hold were taken")
	}
	if err := held.Hold(bytes.NewReader(all)); err != nil {
		t.Fatal(err)
	}
	if got := losses(held, func(i int) Batch { return Batch{Rows: batches[i].Rows, Labels: batches[i].Labels} }); got != want {
		t.Errorf("losses of held images are %v, of those that are fed %v", got, want)
	}
	for _, b := range []Batch{
		{Images: batches[0].Images, Labels: batches[0].Labels},
		{Rows: batches[0].Rows[1:], Labels: batches[0].Labels},
		{Rows: []int64{0, 1, 2, 3, 4, 5, 6, int64(cfg.Held)}, Labels: batches[0].Labels},
		{Rows: []int64{0, 1, 2, 3, 4, 5, 6, -1}, Labels: batches[0].Labels},
	} {
		if err := held.Stage(b); err == nil {
			t.Errorf("%d bytes of images, rows %v were taken", len(b.Images), b.Rows)
		}
	}
}
