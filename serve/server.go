package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// A Server answers requests for the predictions of a model. Its methods may be called
// concurrently.
type Server struct {
	cfg      Config
	versions versions
	metrics  *metrics
	// queued is the number of images of Config.MaxQueue, and bodies the number of bytes of requests.
	queued, bodies atomic.Int64
	// arriving is the number of requests that are read or decoded.
	arriving atomic.Int64
	// decoding has room for an element of each file that is decoded.
	decoding chan struct{}
	stopping atomic.Bool
}

// New opens the newest version of the model and runs its warm-up requests.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, decoding: make(chan struct{}, cfg.workers())}
	s.metrics = newMetrics(s)
	if err := s.versions.refresh(s); err != nil {
		return nil, fmt.Errorf("serve %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// Version returns the number of the version in use, 0 for none.
func (s *Server) Version() int64 {
	if v := s.versions.inUse(); v != nil {
		return v.number
	}
	return 0
}

func (s *Server) notice(format string, args ...any) {
	if s.cfg.Notice != nil {
		s.cfg.Notice(format, args...)
	}
}

// Serve answers REST requests on rest and, if it is not nil, gRPC requests on rpc, until ctx ends.
// Then it accepts no more of them, and returns once those under way are answered, at the latest
// after Config.Timeout. It closes the listeners and the model.
func (s *Server) Serve(ctx context.Context, rest, rpc net.Listener) error {
	web := &http.Server{
		Handler: s.Handler(), MaxHeaderBytes: 64 << 10, IdleTimeout: 2 * time.Minute,
		// A client that sends or takes a byte now and then must not keep its connection for ever.
		ReadTimeout: s.cfg.Timeout, WriteTimeout: 3 * s.cfg.Timeout,
	}
	var remote *grpc.Server
	group, within := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := web.Serve(rest); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve REST: %w", err)
		}
		return nil
	})
	if rpc != nil {
		remote = s.grpcServer()
		group.Go(func() error {
			if err := remote.Serve(rpc); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // so it answers if ctx ended first
				return fmt.Errorf("serve gRPC: %w", err)
			}
			return nil
		})
	}
	group.Go(func() error {
		s.follow(within)
		return nil
	})
	group.Go(func() error {
		<-within.Done()
		s.stopping.Store(true)
		late, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
		defer cancel()
		return s.shutdown(late, web, remote)
	})
	err := group.Wait()
	return errors.Join(err, s.versions.closeAll())
}

// shutdown ends the servers once their requests are answered, or when ctx ends.
func (s *Server) shutdown(ctx context.Context, web *http.Server, remote *grpc.Server) error {
	var group errgroup.Group
	group.Go(func() error {
		if err := web.Shutdown(ctx); err != nil {
			return fmt.Errorf("some requests were cut off after the time of a request: %w", errors.Join(err, web.Close()))
		}
		return nil
	})
	if remote != nil {
		group.Go(func() error {
			done := make(chan struct{})
			go func() {
				defer close(done)
				remote.GracefulStop()
			}()
			select {
			case <-done:
			case <-ctx.Done():
				remote.Stop()
				<-done
			}
			return nil
		})
	}
	return group.Wait()
}

// input is the images of a request: files, or images as uint8 [n, Size, Size, Channels].
type input struct {
	files  [][]byte
	images []byte
	n      int
}

// arrive counts a request that may bring images, until the function that it returns is called, for
// the first time.
func (s *Server) arrive(v *version) (arrived func()) {
	s.arriving.Add(1)
	var once atomic.Bool
	return func() {
		if once.CompareAndSwap(false, true) {
			s.arriving.Add(-1)
			v.batcher.signal()
		}
	}
}

// predict returns the predictions of a version for the images of a request, in order. arrived
// is called once the images are in the queue. Files that cannot be decoded are errors of their own
// items, unless there are no others.
func (s *Server) predict(ctx context.Context, v *version, in input, arrived func()) (answers, error) {
	if err := s.admit(in.n); err != nil {
		return answers{}, err
	}
	defer s.queued.Add(-int64(in.n))
	images, errs := in.images, []error(nil)
	if in.files != nil {
		var err error
		if images, errs, err = s.decode(ctx, v.model, in.files); err != nil {
			return answers{}, err
		}
		for i, err := range errs {
			if err != nil {
				errs[i] = invalid("image %d: %s", i, message(err))
			}
		}
	}
	n := len(images) / v.model.Shape.Bytes()
	s.metrics.images.WithLabelValues("good").Add(float64(n))
	s.metrics.images.WithLabelValues("broken").Add(float64(in.n - n))
	if n == 0 {
		return answers{}, errs[0]
	}
	a, err := s.network(ctx, v, images, arrived)
	if err != nil {
		return answers{}, err
	}
	return a.spread(errs, v.model), nil
}

// network returns the predictions of a version for images that are in the queue. arrived is called once they
// wait for their batch.
func (s *Server) network(ctx context.Context, v *version, images []byte, arrived func()) (answers, error) {
	n := len(images) / v.model.Shape.Bytes()
	j := &job{ctx: ctx, images: images, n: n, left: n, done: make(chan struct{})}
	v.batcher.add(j)
	arrived()
	select {
	case <-j.done:
		return j.answers, j.err
	case <-ctx.Done():
		return answers{}, ctx.Err()
	}
}

// admit counts n images, if there is room in the queue.
func (s *Server) admit(n int) error {
	if s.queued.Add(int64(n)) > int64(s.cfg.MaxQueue) {
		s.queued.Add(-int64(n))
		return fail(codes.ResourceExhausted, "the queue is full: it has room for %d images; try again in a moment (the service's max-queue sets this)", s.cfg.MaxQueue)
	}
	return nil
}

// decode makes the images of files, several at a time. errs holds an error for each broken file,
// and is nil if there is none; images has the good ones in order.
func (s *Server) decode(ctx context.Context, m *Model, files [][]byte) (images []byte, errs []error, err error) {
	image := m.Shape.Bytes()
	images, errs = make([]byte, len(files)*image), make([]error, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cap(s.decoding))
	for i, file := range files {
		group.Go(func() error {
			select {
			case s.decoding <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			defer func() { <-s.decoding }()
			if err := m.decode(images[i*image:(i+1)*image], file, s.cfg.MaxPixels); err != nil {
				errs[i] = invalid("%v", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	good := 0
	for i, err := range errs {
		if err == nil {
			copy(images[good*image:], images[i*image:(i+1)*image])
			good++
		}
	}
	if good == len(files) {
		errs = nil
	}
	return images[:good*image], errs, nil
}

// spread puts the answers, to the files without an error, in their places among all files. The
// others get NaN.
func (a *answers) spread(errs []error, m *Model) answers {
	if errs == nil {
		return *a
	}
	var all answers
	row, n, width := 0, len(errs), m.width()
	for i, err := range errs {
		if err == nil {
			all.put(i, n, *a, row, 1, width)
			row++
		}
	}
	for i, err := range errs {
		if err != nil {
			all.fail(i, n, width, err)
		}
	}
	return all
}
