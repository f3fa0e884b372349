package train

import (
	"context"
	"slices"
	"time"

	"galaxy/data"
	"galaxy/graph"
)

// feeder sends the batches of a loader to the devices, each while the previous
// step runs.
type feeder struct {
	ready chan staged
	stop  context.CancelFunc
	done  chan struct{}
}

// staged is a batch on the devices, ready for the next step.
type staged struct {
	ids      []data.ID
	epoch    int
	position int64         // of the loader, after the batch
	copied   time.Duration // how long the copy took
	err      error         // replaces a batch; nothing follows it

	dataWait, copyWait time.Duration // of the step, see Times
}

func newFeeder(loader *data.Loader, trainer *graph.Trainer) *feeder {
	ctx, stop := context.WithCancel(context.Background())
	f := &feeder{ready: make(chan staged), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for {
			s := stage(ctx, loader, trainer)
			select {
			case f.ready <- s: // the previous step is done
			case <-ctx.Done():
				return
			}
			if s.err != nil {
				return
			}
		}
	}()
	return f
}

func stage(ctx context.Context, loader *data.Loader, trainer *graph.Trainer) staged {
	b, err := loader.Next(ctx)
	if err != nil {
		return staged{err: err}
	}
	begin := time.Now()
	batch := graph.Batch{Images: b.Images, Labels: b.Labels}
	if b.Images == nil {
		batch.Rows = b.Rows
	}
	err = trainer.Stage(batch)
	return staged{ids: slices.Clone(b.IDs), epoch: b.Epoch, position: loader.Position(), copied: time.Since(begin), err: err}
}

// next returns the next batch, to be used by Trainer.Step. If ctx ends first,
// next returns ctx's error and may be called again.
func (f *feeder) next(ctx context.Context) (s staged, err error) {
	if err := ctx.Err(); err != nil {
		return s, err
	}
	select {
	case s = <-f.ready: // no wait: leave the clock alone
		return s, s.err
	default:
	}
	begin := time.Now()
	select {
	case s = <-f.ready:
	case <-ctx.Done():
		return s, ctx.Err()
	}
	// The copy is the last work on a batch.
	wait := time.Since(begin)
	s.copyWait = min(wait, s.copied)
	s.dataWait = wait - s.copyWait
	return s, s.err
}

// close ends the goroutine and waits for it.
func (f *feeder) close() {
	f.stop()
	<-f.done
}
