package graph

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"galaxy/graph/graphtest"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// workerTask is the work of one process of TestCluster: train as one of several
// workers or, if Worker is nil, on two devices.
type workerTask struct {
	Worker session.Worker
	Steps  int64
	Die    int64 // at this step, as by kill -9; 0 is never
	Stop   int64 // hang from this step on, as by kill -STOP; 0 is never
	Hurry  int64 // receive a stop request at this step, after which it waits half a minute for others; 0 is never
	Out    string
}

// workerResult is what the process reports at its end.
type workerResult struct {
	Gathered [][]string
	Losses   []float64
	Weights  map[string]string // XXH3 of each
	Exposed  bool              // also listens on an address that it should not
	Err      string
}

const workerVariable = "GALAXY_TEST_WORKER"

func TestMain(m *testing.M) {
	flag.Parse()
	text := os.Getenv(workerVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var task workerTask
	err := json.Unmarshal([]byte(text), &task)
	if err == nil {
		var raw []byte
		if raw, err = json.Marshal(task.run()); err == nil {
			err = os.WriteFile(task.Out, raw, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (task workerTask) run() (r workerResult) {
	cfg := testTrainerConfig(32, 8)
	cfg.Model.Dropout, cfg.Augment, cfg.Average, cfg.Devices = .2, images.Augment{Rotate: 180, Flip: true}, .9, cpus(2)
	cfg.Session.Threads = 1
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := func() (err error) {
		if task.Worker.Cluster != nil {
			cfg.Devices = cpus(1)
			if cfg.Cluster, err = task.join(ctx, cfg, &r); err != nil {
				return err
			}
		}
		c := cfg.Cluster
		tr, err := NewTrainer(cfg)
		if err != nil {
			return err
		}
		if c.Index() == 0 { // the others have no values before Broadcast
			if err := tr.Init(1); err != nil {
				return err
			}
		}
		if err := tr.Broadcast(); err != nil {
			return err
		}
		for i := range task.Steps {
			images, labels := testBatch(cfg, uint64(i))
			n, m := len(images)/c.Workers(), len(labels)/c.Workers()
			if i == task.Hurry-1 {
				stop()
			}
			if i == task.Die-1 {
				os.Exit(0) // without notifying the others
			}
			if i == task.Stop-1 {
				if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
					return err
				}
			}
			out, err := tr.Step(StepInput{
				Batch: Batch{Images: images[c.Index()*n:][:n], Labels: labels[c.Index()*m:][:m]}, Step: i, Seed: 3, LearningRate: 2e-5 * float64(i+1),
				Stop: c.Index() == 1 && i == task.Steps-1,
			})
			if err != nil {
				return err
			}
			if out.Stop != (c != nil && i == task.Steps-1) {
				return fmt.Errorf("stop is %v after step %d", out.Stop, i)
			}
			r.Losses = append(r.Losses, out.Loss)
		}
		w, err := tr.Weights()
		r.Weights = sums(w)
		return err
	}()
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// join joins the cluster and checks the addresses it listens on.
func (task workerTask) join(ctx context.Context, cfg TrainerConfig, r *workerResult) (*session.Cluster, error) {
	c, err := session.JoinCluster(ctx, task.Worker, cfg.Devices, cfg.Session)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(task.Worker.Cluster[task.Worker.Index])
	if err != nil {
		return nil, err
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", port)); err == nil {
		r.Exposed = true
		conn.Close()
	}
	for _, payload := range []string{"", strings.Repeat("ab\x00\n", 100*(c.Index()+1)), strconv.Itoa(c.Index()), ""} {
		all, err := c.Gather([]byte(payload))
		if err != nil {
			return nil, err
		}
		var told []string
		for _, b := range all {
			told = append(told, string(b))
		}
		r.Gathered = append(r.Gathered, told)
	}
	return c, nil
}

func sums(w network.Weights) map[string]string {
	out := map[string]string{}
	for name, values := range w {
		h := xxh3.New()
		for _, x := range values {
			_ = binary.Write(h, binary.LittleEndian, x)
		}
		out[name] = fmt.Sprintf("%016x", h.Sum64())
	}
	return out
}

// runTasks runs each task in its own process. The result of a task that dies is empty.
func runTasks(t *testing.T, tasks ...workerTask) []workerResult {
	t.Helper()
	dir := t.TempDir()
	results, logs := make([]workerResult, len(tasks)), make([]bytes.Buffer, len(tasks))
	var processes []*exec.Cmd
	for i, task := range tasks {
		task.Out = filepath.Join(dir, strconv.Itoa(i))
		raw, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		p := exec.CommandContext(t.Context(), os.Args[0])
		// Workers must reach each other without the environment's proxy.
		p.Env = append(os.Environ(), workerVariable+"="+string(raw), "http_proxy=http://127.0.0.1:9")
		p.Stdout, p.Stderr = &logs[i], &logs[i]
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, p)
	}
	for i, p := range processes {
		if tasks[i].Stop > 0 { // the tasks before it have ended
			if err := errors.Join(p.Process.Kill(), ignoreExit(p.Wait())); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := p.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, &logs[i])
		}
		if tasks[i].Die > 0 {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if err == nil {
			err = json.Unmarshal(raw, &results[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return results
}

// ignoreExit returns err, or nil if the process was killed.
func ignoreExit(err error) error {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil
	}
	return err
}

// twoWorkers are the tasks of two workers; the second dies at a step.
func twoWorkers(t *testing.T, steps, die int64) (tasks []workerTask) {
	var addresses []string
	for _, port := range graphtest.FreePorts(t, 2) {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	for i := range addresses {
		tasks = append(tasks, workerTask{Worker: session.Worker{Cluster: addresses, Index: i, Timeout: 10 * time.Minute}, Steps: steps})
	}
	tasks[1].Die = die
	return tasks
}

// Two processes compute the same bits as one process on two devices: a sum of two
// has only one order.
func TestCluster(t *testing.T) {
	t.Parallel()
	const steps = 10
	alone := runTasks(t, workerTask{Steps: steps})[0]
	if alone.Err != "" {
		t.Fatal(alone.Err)
	}
	long := strings.Repeat("ab\x00\n", 100)
	gathered := [][]string{{"", ""}, {long, long + long}, {"0", "1"}, {"", ""}}
	for i, r := range runTasks(t, twoWorkers(t, steps, 0)...) {
		if r.Err != "" {
			t.Fatalf("worker %d: %s", i, r.Err)
		}
		if r.Exposed {
			t.Errorf("worker %d listens on more than 127.0.0.1", i)
		}
		if !slices.EqualFunc(r.Gathered, gathered, slices.Equal) {
			t.Errorf("worker %d gathered %q, expected %q", i, r.Gathered, gathered)
		}
		if !slices.Equal(r.Losses, alone.Losses) {
			t.Errorf("worker %d has the losses %v, one process has %v", i, r.Losses, alone.Losses)
		}
		if len(r.Weights) == 0 || !maps.Equal(r.Weights, alone.Weights) {
			t.Errorf("worker %d ends with other weights than one process", i)
		}
	}
}

// If a worker dies, the others' step ends with an error that names it, also before the
// replicas have ever communicated.
func TestClusterLosesWorker(t *testing.T) {
	skipUnderRace(t, "TestCluster goes the same ways")
	t.Parallel()
	testLosesWorker(t, 1)
	if !testing.Short() {
		testLosesWorker(t, 4)
	}
}

func testLosesWorker(t *testing.T, die int64) {
	t.Helper()
	r := runTasks(t, twoWorkers(t, 6, die)...)[0]
	if int64(len(r.Losses)) != die-1 || !strings.Contains(r.Err, "worker 1 (127.0.0.1:") || !strings.Contains(r.Err, "does not answer") || strings.Contains(r.Err, "waited for") {
		t.Errorf("worker 0 made %d steps and ended with %q, expected %d steps and an error that names worker 1, and not that it waited in vain", len(r.Losses), r.Err, die-1)
	}
}

// If a worker hangs, the others wait and then name it, although its operating
// system still accepts connections.
func TestClusterLosesStoppedWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for half a minute for a worker that says nothing")
	}
	t.Parallel()
	tasks := twoWorkers(t, 6, 0)
	tasks[0].Hurry, tasks[1].Stop = 4, 4
	r := runTasks(t, tasks...)[0]
	if len(r.Losses) != 3 || !strings.Contains(r.Err, "worker 1 (127.0.0.1:") || !strings.Contains(r.Err, "it takes connections and says nothing") {
		t.Errorf("worker 0 made %d steps and ended with %q, expected 3 steps and an error that names worker 1 as stopped", len(r.Losses), r.Err)
	}
}
