package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// LargestBatch returns about the largest batch for which a training step and an
// evaluation fit into the memory of the devices. It tries batches, with o.Config
// except Batch and Schedule, up to the size of the train split. tried, if set, is
// called with every batch that was tried.
func LargestBatch(ctx context.Context, o Options, tried func(batch int, fits bool)) (int, error) {
	p := &setup{Options: o}
	if err := p.resolve(); err != nil {
		return 0, err
	}
	return p.largestBatch(ctx, firstTrial, len(p.examples()), tried)
}

// firstTrial is the batch that LargestBatch tries first.
const firstTrial = 32

func (p *setup) largestBatch(ctx context.Context, first, limit int, tried func(batch int, fits bool)) (int, error) {
	return searchBatch(len(p.devices)*max(1, p.Config.Accumulate), first, limit, func(batch int) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		err := p.try(batch)
		fits := err == nil
		if err != nil && !session.IsOutOfMemory(err) {
			return false, fmt.Errorf("try a batch of %d: %w", batch, err)
		}
		if tried != nil {
			tried(batch, fits)
		}
		return fits, nil
	})
}

// searchBatch returns the largest multiple of unit up to limit that fits, to within
// a sixteenth of it; first is tried first.
func searchBatch(unit, first, limit int, fits func(batch int) (bool, error)) (int, error) {
	// In units: low fits; high does not fit or exceeds limit.
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

// try runs two steps and a prediction with a batch of zeros, with the same setup as
// a run.
func (p *setup) try(batch int) (err error) {
	cfg := p.Config
	trainer, err := p.newTrainer(batch, func(t *graph.Trainer) error { return t.Init(cfg.Seed) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	pixels := cfg.Model.Shape().Bytes()
	b := graph.Batch{Images: make([]byte, batch*pixels), Labels: make([]float32, batch*cfg.Target().Width())}
	if cfg.holds() {
		b.Images, b.Rows = nil, make([]int64, batch)
	}
	for step := range int64(2) {
		// The next batch is on the device while a step runs.
		for range 2 - step {
			if err := trainer.Stage(b); err != nil {
				return err
			}
		}
		if _, err := trainer.Step(graph.StepInput{Step: step}); err != nil {
			return err
		}
	}
	return p.predict(trainer, make([]byte, EvalBatch*pixels))
}

// explainMemory adds advice to an out-of-memory error and returns other errors
// unchanged. It calls release to free the devices, then searches for a batch that
// fits.
func (p *setup) explainMemory(ctx context.Context, err error, release func() error) error {
	if err == nil || !session.IsOutOfMemory(err) || len(p.devices) == 0 {
		return err
	}
	batch, less := p.Config.Batch, "a smaller {batch}"
	// TensorFlow's CPU kernels may crash for want of memory.
	if p.Cluster == nil && session.IsGPU(p.devices[0]) {
		fit, e := 0, release()
		if e == nil {
			fit, e = p.largestBatch(ctx, batch/2, batch-1, nil)
		}
		if e == nil {
			less = fmt.Sprintf("{batch=%d}, about the largest that fits ({batch=auto} finds it)", fit)
		} else {
			less += " (which one fits could not be found: " + strings.ReplaceAll(session.FirstLine(e), "%", "%%") + ")"
		}
	}
	if p.Config.HoldOnDevice {
		less += ", or {hold_on_device=host}"
	}
	smaller := fmt.Sprintf("{accumulate=%d}, which sees the same batch in smaller parts", 2*max(1, p.Config.Accumulate))
	return usage.Errorf("out of memory with a batch of %d on %s: take "+less+", or "+smaller+" (%s)", batch, strings.Join(p.devices, ", "), session.FirstLine(err))
}
