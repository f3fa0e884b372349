package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// serveClients is how many clients ask a service at the same time.
const serveClients = 64

const fastAPI = "FastAPI and Keras, one worker per core"

// serveFigures compare galaxy serve with galaxy predict on the same JPEGs, and with a service of Keras. The
// times are of galaxy serve, in milliseconds.
type serveFigures struct {
	rateFigures
	Clients int    `json:"clients"`
	P50     spread `json:"p50_ms"`
	P99     spread `json:"p99_ms"`
	Batch   spread `json:"full_batch_ms"` // 64 images, by the requests of one client
	Alone   spread `json:"alone_p50_ms"`  // one client with one image
}

// serve compares services, and galaxy predict, on the same files.
func (s settings) serve(ctx context.Context, to *figures) error {
	run, err := s.shortRun(ctx, s.size())
	if err != nil {
		return err
	}
	bodies, err := s.requests()
	if err != nil {
		return err
	}
	out := filepath.Join(s.work, "predicted.csv")
	var p50, p99, batch, alone []float64
	f, err := s.compareRates(ctx, rateFigures{Galaxies: s.galaxies, Size: s.size(), Batch: predictBatch}, []side[rateTurn]{
		{ours, false, func(ctx context.Context, _ int) (t rateTurn, err error) {
			err = service(ctx, func(address string) *exec.Cmd {
				return exec.CommandContext(ctx, s.galaxy, "serve", "--model", run, "--listen", address, "--max-batch", strconv.Itoa(predictBatch))
			}, func(url string) error {
				var times []float64
				if t, times, err = load(ctx, url, bodies, serveClients); err != nil {
					return err
				}
				p50, p99 = append(p50, 1e3*quantile(times, .5)), append(p99, 1e3*quantile(times, .99))
				if _, times, err = load(ctx, url, bodies[:min(200, len(bodies))], 1); err != nil {
					return err
				}
				alone = append(alone, 1e3*quantile(times, .5))
				if _, times, err = load(ctx, url, together(bodies, predictBatch), 1); err == nil {
					batch = append(batch, 1e3*quantile(times, .5))
				}
				return err
			})
			return t, err
		}},
		{"galaxy predict", true, func(ctx context.Context, _ int) (rateTurn, error) {
			if err := os.RemoveAll(out); err != nil {
				return rateTurn{}, err
			}
			return clock(ctx, s.galaxies, s.galaxy, "predict", "--json", "--model", run, "--images", images(s.data()), "--out", out, "--batch", strconv.Itoa(predictBatch))
		}},
		{fastAPI, true, func(ctx context.Context, _ int) (t rateTurn, err error) {
			err = service(ctx, func(address string) *exec.Cmd {
				host, port, _ := net.SplitHostPort(address)
				c := exec.CommandContext(ctx, s.python, "-m", "uvicorn", "serve:app", "--app-dir", filepath.Dir(script("serve.py")),
					"--host", host, "--port", port, "--workers", strconv.Itoa(runtime.NumCPU()), "--log-level", "warning")
				c.Env = append(os.Environ(), "GALAXY_RUN="+run)
				return c
			}, func(url string) error {
				t, _, err = load(ctx, url, bodies, serveClients)
				return err
			})
			return t, err
		}},
	})
	if err != nil {
		return err
	}
	f.Process, f.Whole = nil, nil // predict's alone
	f.print(fmt.Sprintf("serve, %d requests of a JPEG, %d clients, %d px", s.galaxies, serveClients, s.size()))
	to.Serve = &serveFigures{f, serveClients, spreadOf(p50), spreadOf(p99), spreadOf(batch), spreadOf(alone)}
	fmt.Printf("galaxy serve: p50 %v ms, p99 %v ms; a request of %d images alone %v ms, one of an image alone %v ms\n\n",
		to.Serve.P50, to.Serve.P99, predictBatch, to.Serve.Batch, to.Serve.Alone)
	return nil
}

// requests returns a request for each galaxy.
func (s settings) requests() (bodies [][]byte, err error) {
	files, err := filepath.Glob(filepath.Join(images(s.data()), "*.jpg"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, []byte(`{"signature_name":"serving_jpeg","instances":[{"b64":"`+base64.StdEncoding.EncodeToString(file)+`"}]}`))
	}
	return bodies, nil
}

// together makes a few requests of n images of requests of one.
func together(bodies [][]byte, n int) (all [][]byte) {
	const head, tail = `{"signature_name":"serving_jpeg","instances":[`, `]}`
	for some := range slices.Chunk(bodies[:min(len(bodies), 5*n)], n) {
		var one [][]byte
		for _, b := range some {
			one = append(one, b[len(head):len(b)-len(tail)])
		}
		all = append(all, []byte(head+string(bytes.Join(one, []byte(",")))+tail))
	}
	return all
}

// service starts a service on a free port, waits until it is ready, uses it, and ends it.
func service(ctx context.Context, command func(address string) *exec.Cmd, use func(url string) error) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	var log bytes.Buffer
	c := command(address)
	c.Stdout, c.Stderr, c.WaitDelay = &log, &log, waitDelay
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	fmt.Fprintln(os.Stderr, "+", c)
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait() // a signal ends it, or its log says what did
		close(ended)
	}()
	defer func() {
		_ = c.Process.Signal(syscall.SIGTERM) // which may have ended
		<-ended
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", c, err, log.Bytes())
		}
	}()
	for {
		if r, err := http.Get("http://" + address + "/readyz"); err == nil {
			_ = r.Body.Close() // nothing is read of it
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-ended:
			return errors.New("it ended before it was ready")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return use("http://" + address + "/v1/models/galaxy:predict")
}

// load sends the requests, each once, from so many clients, after an eighth of them that is not measured. times are
// the seconds of each.
func load(ctx context.Context, url string, bodies [][]byte, clients int) (t rateTurn, times []float64, err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	send := func(bodies [][]byte) error {
		var next atomic.Int64
		var mu sync.Mutex
		var group sync.WaitGroup
		var errs []error
		for range clients {
			group.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(bodies)) && ctx.Err() == nil; i = next.Add(1) - 1 {
					begin := time.Now()
					err := ask(ctx, client, url, bodies[i])
					mu.Lock()
					times = append(times, time.Since(begin).Seconds())
					if err != nil {
						errs = append(errs, err)
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		return errors.Join(append(errs[:min(len(errs), 3)], ctx.Err())...)
	}
	if err := send(bodies[:(len(bodies)+7)/8]); err != nil {
		return t, nil, err
	}
	times = nil
	begin := time.Now()
	err = send(bodies)
	t.own = float64(len(bodies)) / time.Since(begin).Seconds()
	return t, times, err
}

// ask sends a request and checks that its answer has predictions.
func ask(ctx context.Context, client *http.Client, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	r, err := client.Do(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	var answer struct{ Predictions []json.RawMessage }
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || len(answer.Predictions) == 0 {
		return fmt.Errorf("status %d: %w %.300s", r.StatusCode, err, text)
	}
	return nil
}

// quantile returns a quantile of some values.
func quantile(x []float64, q float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[min(int(q*float64(len(x))), len(x)-1)]
}
