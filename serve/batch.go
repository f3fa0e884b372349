package serve

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// A job is the images of one request on their way through the network.
type job struct {
	ctx    context.Context
	images []byte // uint8 [n, Size, Size, Channels]
	n      int
	taken  int // images in batches so far

	// The batches write the rest; done is closed after the last one, and nobody reads it before.
	answers answers
	left    int // images without an answer
	err     error
	done    chan struct{}
}

// A batcher gathers the images of many requests into batches for one version of the model. The
// network runs one batch at a time, on all cores, while the next one gathers.
type batcher struct {
	model *Model
	most  int           // images in a batch
	wait  time.Duration // longest wait of the first image of a batch for others
	// observe is called after each batch.
	observe func(images int, took time.Duration)
	// coming returns how many requests have arrived and may still bring images: no batch waits
	// for others if there are none.
	coming func() int64

	mu      sync.Mutex
	changed chan struct{} // has one element after a change of what follows, or of coming
	jobs    []*job
	images  int // in jobs, not taken yet
	closed  bool
	ended   chan struct{}
}

func newBatcher(m *Model, cfg Config, coming func() int64, observe func(int, time.Duration)) *batcher {
	b := &batcher{
		model: m, most: cfg.MaxBatch, wait: cfg.MaxWait, observe: observe, coming: coming,
		changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go b.run()
	return b
}

// add hands a job over. The caller waits for its done.
func (b *batcher) add(j *job) {
	b.mu.Lock()
	b.jobs, b.images = append(b.jobs, j), b.images+j.n
	b.mu.Unlock()
	b.signal()
}

// signal makes the batcher look again whether to start a batch.
func (b *batcher) signal() {
	select {
	case b.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// close ends the batcher after the jobs that were added, and waits for that. No job may be added
// any more.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.signal()
	<-b.ended
}

func (b *batcher) run() {
	defer close(b.ended)
	buf := make([]byte, 0, b.most*b.model.Shape.Bytes())
	for b.gather() {
		buf = b.batch(buf[:0])
	}
}

// gather waits until a batch should start: there are images for a full one, or no request is coming
// that could bring more, or the first image has waited for long enough. It returns false at the end.
func (b *batcher) gather() bool {
	var late <-chan time.Time
	for {
		b.mu.Lock()
		images, closed := b.images, b.closed
		b.mu.Unlock()
		switch {
		case images == 0 && closed:
			return false
		case images == 0:
			late = nil
		case images >= b.most || closed || b.coming() == 0:
			return true
		case late == nil:
			timer := time.NewTimer(b.wait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-b.changed:
		case <-late:
			return true
		}
	}
}

// A part is the images of one job in a batch.
type part struct {
	job      *job
	first, n int
}

// batch predicts the next images. It uses buf, and returns it, or a larger one.
func (b *batcher) batch(buf []byte) []byte {
	parts, buf := b.take(buf)
	if len(parts) == 0 {
		return buf
	}
	begin := time.Now()
	got, err := b.model.predict(buf)
	b.observe(len(buf)/b.model.Shape.Bytes(), time.Since(begin))
	width, row := b.model.width(), 0
	for _, p := range parts {
		p.job.set(p, got, err, row, width)
		row += p.n
	}
	return buf
}

// take removes the images of a batch from the queue, first come first served, and copies them to
// buf. Jobs whose clients no longer wait are dropped.
func (b *batcher) take(buf []byte) (parts []part, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	image, room := b.model.Shape.Bytes(), b.most
	for room > 0 && len(b.jobs) > 0 {
		j := b.jobs[0]
		if err := context.Cause(j.ctx); err != nil {
			b.images -= j.n - j.taken
			b.jobs = b.jobs[1:]
			j.end(j.n-j.taken, err)
			continue
		}
		n := min(room, j.n-j.taken)
		buf = append(buf, j.images[j.taken*image:(j.taken+n)*image]...)
		parts = append(parts, part{j, j.taken, n})
		j.taken, b.images, room = j.taken+n, b.images-n, room-n
		if j.taken == j.n {
			b.jobs[0], b.jobs = nil, b.jobs[1:]
		}
	}
	return parts, buf
}

// set stores the answers to a part of the job, which start at a row of got.
func (j *job) set(p part, got answers, err error, row, width int) {
	if err == nil {
		j.answers.put(p.first, j.n, got, row, p.n, width)
	}
	if err != nil {
		err = fail(codes.Internal, "%v", err)
	}
	j.end(p.n, err)
}

// end counts n images as done. One goroutine, the batcher's, calls it.
func (j *job) end(n int, err error) {
	if err != nil && j.err == nil {
		j.err = err
	}
	if j.left -= n; j.left == 0 {
		close(j.done)
	}
}

// put copies n rows of got, from row on, to the rows of a from first on; a is for total images.
func (a *answers) put(first, total int, got answers, row, n, width int) {
	copyRows := func(dst *[]float32, src []float32) {
		if src == nil {
			return
		}
		if *dst == nil {
			*dst = make([]float32, total*width)
		}
		copy((*dst)[first*width:], src[row*width:(row+n)*width])
	}
	copyRows(&a.logits, got.logits)
	copyRows(&a.probabilities, got.probabilities)
	copyRows(&a.concentrations, got.concentrations)
	if got.errs == nil {
		return
	}
	for i := range n {
		if err := got.errs[row+i]; err != nil {
			a.fail(first+i, total, width, err)
		}
	}
}
