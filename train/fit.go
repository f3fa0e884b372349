package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train/objective"
)

// LargestBatch returns about the largest batch whose training step, and an
// evaluation, fit into the memory of the devices: it tries them, on o.Config but for
// Batch and Schedule, up to the size of the train split. told, when set, hears of
// every batch that is tried.
func LargestBatch(ctx context.Context, o Options, told func(batch int, fits bool)) (int, error) {
	r := &run{Options: o}
	var err error
	if r.objective, err = objective.New(o.Config.Objective); err != nil {
		return 0, err
	}
	if r.devices, err = o.Config.Devices.Resolve(r.session()); err != nil {
		return 0, err
	}
	return r.largestBatch(ctx, firstTrial, len(r.examples()), told)
}

// firstTrial is the batch that LargestBatch begins with.
const firstTrial = 32

func (r *run) largestBatch(ctx context.Context, first, limit int, told func(batch int, fits bool)) (int, error) {
	return searchBatch(len(r.devices)*max(1, r.Config.Accumulate), first, limit, func(batch int) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		err := r.try(batch)
		fits := err == nil
		if err != nil && !graph.IsOutOfMemory(err) {
			return false, fmt.Errorf("try a batch of %d: %w", batch, err)
		}
		if told != nil {
			told(batch, fits)
		}
		return fits, nil
	})
}

// searchBatch returns the largest multiple of unit up to limit that fits, to within
// a sixteenth of it; first is tried first.
func searchBatch(unit, first, limit int, fits func(batch int) (bool, error)) (int, error) {
	// In units: low fits, and high does not or is too many.
	low, high := 0, limit/unit+1
	for next := max(1, first/unit); high-low > max(1, low/16); {
		next = min(next, high-1)
		ok, err := fits(next * unit)
		if err != nil {
			return 0, err
		}
		if ok {
			low, next = next, 2*next
		} else {
			high = next
		}
		if high <= limit/unit || next >= high {
			next = (low + high) / 2
		}
	}
	if low == 0 {
		return 0, fmt.Errorf("no batch fits, not even %d examples: take smaller images, or a device with more memory", unit)
	}
	return low * unit, nil
}

// try makes what a run makes, with a batch of so many examples that are all zeros.
func (r *run) try(batch int) (err error) {
	cfg := r.Config
	cfg.Batch = batch
	trainer, err := graph.NewTrainer(r.trainerConfig(cfg))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	if err := trainer.Init(cfg.Seed); err != nil {
		return err
	}
	pixels := cfg.Model.Size * cfg.Model.Size * 3
	b := graph.Batch{Images: make([]byte, batch*pixels), Labels: make([]float32, batch*cfg.Model.Outputs)}
	if cfg.HoldOnDevice {
		b.Images, b.Rows = nil, make([]int64, batch)
		if err := trainer.Hold(r.Cache.Images(r.examples())); err != nil {
			return err
		}
	}
	for step := range int64(2) {
		// The next batch is there while a step is made.
		for range 2 - step {
			if err := trainer.Stage(b); err != nil {
				return err
			}
		}
		if _, err := trainer.Step(graph.StepInput{Step: step}); err != nil {
			return err
		}
	}
	_, _, err = trainer.Predict(make([]byte, EvalBatch*pixels))
	return err
}

// examples are those of the train split.
func (r *run) examples() []int { return r.Cache.Labelled(data.Train, r.Config.Objective.Target()) }

// explainMemory says what to do about an error for want of memory: other errors are
// returned as they are.
func (r *run) explainMemory(ctx context.Context, err error) error {
	if err == nil || !graph.IsOutOfMemory(err) {
		return err
	}
	batch, less := r.Config.Batch, "a smaller --batch"
	// TensorFlow's CPU kernels may crash for want of memory.
	if r.Cluster == nil && graph.IsGPU(r.devices[0]) {
		fit, e := 0, r.release()
		if e == nil {
			fit, e = r.largestBatch(ctx, batch/2, batch-1, nil)
		}
		if e == nil {
			less = fmt.Sprintf("--batch %d, about the largest that fits (--batch auto finds it)", fit)
		} else {
			why, _, _ := strings.Cut(e.Error(), "\n")
			less += fmt.Sprintf(" (which one fits could not be found: %s)", why)
		}
	}
	if r.Config.HoldOnDevice {
		less += ", or --cache host"
	}
	what, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("out of memory with a batch of %d on %s: take %s, or --accumulate %d, which sees the same batch in smaller parts (%s)",
		batch, strings.Join(r.devices, ", "), less, 2*max(1, r.Config.Accumulate), what)
}
