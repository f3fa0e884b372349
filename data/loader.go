package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"galaxy/labels"
)

// LoaderConfig sets which batches a Loader returns.
type LoaderConfig struct {
	Split Split
	// Target says which labels: the cache's schema, which nil stands for, its classes, or labels.None.
	// Galaxies of the split that have no label are skipped.
	Target *labels.Schema
	Batch  int   // examples per batch, at least 1
	Seed   int64 // of the order of examples in each epoch

	// Parts is the number of equal parts of a batch, one for each process that trains
	// together, and Part is the index of the part that the loader returns; 0 of 0 is the
	// complete batch. Together the parts are the batches that one loader would return.
	Part, Parts int

	// Held omits Batch.Images, for a caller that has the images already.
	Held bool

	// Position is the number of batches already consumed since the start of
	// training, as returned by Loader.Position: the loader continues after them
	// without reading them again. 0 starts from the beginning.
	Position int64

	// Once makes one pass in cache order, for evaluation: every example
	// exactly once, a smaller last batch, then io.EOF. Seed has no meaning.
	// Without it the loader returns batches for ever, every epoch in another
	// order, and skips the last len mod Batch examples of each epoch's
	// order. So all steps have the same shape and weight, and every epoch skips
	// other examples.
	Once bool
}

// A Batch holds examples that are processed together. Its slices are valid until the next
// call of Next.
type Batch struct {
	Images []byte    // uint8 [n, Size, Size, Channels]; nil with LoaderConfig.Held
	Rows   []int64   // [n], of Cache.Labelled(LoaderConfig.Split, LoaderConfig.Target)
	Labels []float32 // [n, width of the target]
	IDs    []ID      // [n] of the galaxies

	Epoch int // number of completed epochs before this batch
}

// Len returns n, the number of examples.
func (b *Batch) Len() int { return len(b.IDs) }

// prefetch is the number of batches that exist: one with the caller, one ready, one being
// filled.
const prefetch = 3

// A Loader reads batches from a Cache in advance, in a goroutine of its own. Its methods
// are for one goroutine. The batches depend only on the cache, the config and the
// position.
type Loader struct {
	cache    *Cache
	config   LoaderConfig
	indices  []int
	which    []int // examples of the batch that is being filled
	steps    int
	position int64
	wait     time.Duration

	current *Batch // with the caller
	err     error  // what ended the stream
	free    chan *Batch
	ready   chan loaded
	stop    context.CancelFunc
	done    sync.WaitGroup
}

type loaded struct {
	batch *Batch
	err   error // the last of the stream
}

// NewLoader starts a loader. It is an error if the split has fewer examples than a batch,
// or none at all with Once. Close it when done, before the cache.
func NewLoader(cache *Cache, config LoaderConfig) (*Loader, error) {
	if config.Split > All {
		return nil, fmt.Errorf("load: unknown %v", config.Split)
	}
	config.Parts = max(1, config.Parts)
	config.Target = cmp.Or(config.Target, cache.Schema())
	indices := cache.Labelled(config.Split, config.Target)
	n := len(indices)
	switch {
	case config.Batch < 1:
		return nil, fmt.Errorf("load: batch is %d examples; expected at least 1", config.Batch)
	case config.Part < 0 || config.Part >= config.Parts || config.Batch%config.Parts != 0 || config.Once && config.Parts > 1:
		return nil, fmt.Errorf("load: part %d of %d of a batch of %d; expected an existing part, a batch divisible by the number of parts, and only 1 part with Once", config.Part, config.Parts, config.Batch)
	case config.Position < 0:
		return nil, fmt.Errorf("load: position is %d; expected 0 or more", config.Position)
	case !config.Target.IsNone() && !config.Target.Source().Equal(cache.Schema()):
		return nil, fmt.Errorf("load: %s has labels of the schema %v; expected those of %v: prepare a cache of that", cache.Dir(), cache.Schema(), config.Target.Source())
	case n == 0:
		return nil, fmt.Errorf("load: the %v split of %s is empty: no galaxy has a label of the %v; prepare a cache with more galaxies", config.Split, cache.Dir(), config.Target)
	case n < config.Batch && !config.Once:
		return nil, fmt.Errorf("load: the %v split of %s has %d examples, fewer than a batch of %d; use a smaller batch or more galaxies",
			config.Split, cache.Dir(), n, config.Batch)
	}
	l := &Loader{
		cache:    cache,
		config:   config,
		indices:  indices,
		steps:    n / config.Batch,
		position: config.Position,
		free:     make(chan *Batch, prefetch),
		ready:    make(chan loaded, prefetch+1), // every batch and the last error
	}
	if config.Once {
		l.steps = (n + config.Batch - 1) / config.Batch
	}
	room := min(config.Batch/config.Parts, n)
	for range prefetch {
		var images []byte
		if !config.Held {
			images = make([]byte, room*cache.row)
		}
		l.free <- &Batch{
			Images: images,
			Rows:   make([]int64, room),
			Labels: make([]float32, room*config.Target.Width()),
			IDs:    make([]ID, room),
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.fill(ctx) })
	return l, nil
}

// StepsPerEpoch returns the number of batches of one epoch.
func (l *Loader) StepsPerEpoch() int { return l.steps }

// Position returns the number of batches consumed since the start of training:
// the batches that Next has returned, and those before LoaderConfig.Position. A loader
// started at this position returns the batch that Next would return now.
func (l *Loader) Position() int64 { return l.position }

// DataWait returns how long Next has waited for data so far, in total: what a
// faster loader could save.
func (l *Loader) DataWait() time.Duration { return l.wait }

// Next returns the next batch and takes the previous one back. It returns
// io.EOF at the end with Once, and ctx's error if that comes first, after
// which it may be called again. A damaged cache ends the stream with an error
// that names the galaxy.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	if l.err != nil {
		return nil, l.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.current != nil {
		l.free <- l.current // has room for every batch
		l.current = nil
	}
	var got loaded
	select {
	case got = <-l.ready: // no wait to measure
	default:
		start := time.Now()
		select {
		case got = <-l.ready:
			l.wait += time.Since(start)
		case <-ctx.Done():
			l.wait += time.Since(start)
			return nil, ctx.Err()
		}
	}
	if got.err != nil {
		l.err = got.err
		return nil, got.err
	}
	l.current = got.batch
	l.position++
	return got.batch, nil
}

// Close ends the goroutine and waits for it. Next then returns an error. It may
// be called twice.
func (l *Loader) Close() {
	l.stop()
	l.done.Wait()
	l.err = errors.New("load: the loader is closed")
}

// fill sends batches until the loader is closed, the epoch of Once ends or reading
// fails. Its sends never block: ready has room for everything.
func (l *Loader) fill(ctx context.Context) {
	order := make([]int32, len(l.indices))
	shuffled := int64(-1) // the epoch that order is of
	for position := l.config.Position; ; position++ {
		var b *Batch
		select {
		case b = <-l.free:
		case <-ctx.Done():
			return
		}
		epoch, step := position/int64(l.steps), int(position%int64(l.steps))
		first := step * l.config.Batch
		b.Rows = b.Rows[:0]
		if l.config.Once {
			if epoch > 0 {
				l.ready <- loaded{err: io.EOF}
				return
			}
			for row := first; row < min(first+l.config.Batch, len(l.indices)); row++ {
				b.Rows = append(b.Rows, int64(row))
			}
		} else {
			if epoch != shuffled {
				permutation(order, l.config.Seed, epoch)
				shuffled = epoch
			}
			share := l.config.Batch / l.config.Parts
			first += l.config.Part * share
			for _, row := range order[first : first+share] {
				b.Rows = append(b.Rows, int64(row))
			}
		}
		b.Epoch = int(epoch)
		if err := l.gather(b); err != nil {
			l.ready <- loaded{err: fmt.Errorf("load: %w", err)}
			return
		}
		l.ready <- loaded{batch: b}
	}
}

// gather fills b with the examples of its rows.
func (l *Loader) gather(b *Batch) error {
	n, width := len(b.Rows), l.config.Target.Width()
	b.Labels, b.IDs = b.Labels[:n*width], b.IDs[:n]
	l.which = l.which[:0]
	for k, row := range b.Rows {
		i := l.indices[row]
		l.which = append(l.which, i)
		l.config.Target.Label(b.Labels[k*width:(k+1)*width], l.cache.Labels(i))
		b.IDs[k] = l.cache.ID(i)
	}
	if l.config.Held {
		return nil
	}
	b.Images = b.Images[:n*l.cache.row]
	return l.cache.copyImages(b.Images, l.which)
}
