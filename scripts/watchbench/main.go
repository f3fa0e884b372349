// Command watchbench measures what the live page costs a run: it trains one run, lets two clients follow the page for
// every second turn of some seconds, and compares the steps of each pair of turns: the time and, on Linux, the CPU time of the process
// that a step takes, the page included. A machine whose speed drifts hides small costs there. So it also compares the steps during which
// the page was drawn and sent with those just before and after, of the same turn: what they take longer, over the time from one drawing to
// the next, is what the page costs, with what the steps lose while threads wait for a core. With -apart the page comes from a galaxy
// watch beside the run, whose CPU time it also prints as a fraction of the run's.
//
//	watchbench [-galaxy bin/galaxy] [-pairs 8] [-turn 15s] [-apart] -- --data CACHE --out RUN --steps 100000 …
//
// What follows the -- are flags of galaxy train. The run is stopped after the last turn; it must not end before. Run it on an
// idle machine.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"galaxy/report"
)

const clients = 2

// A turn is a time with or without clients.
type turn struct {
	watched  bool
	from, to time.Time
	// Seconds of CPU time between them, of the run and of what serves the page apart from it; NaN if that is not known.
	run, page float64
	// When the first client received something, from before the turn on.
	drawn []time.Time
}

// cpuTime returns the seconds of CPU time that a process has used (proc_pid_stat(5)), NaN on other systems than Linux.
func cpuTime(pid int) float64 {
	const perSecond = 100 // clock ticks, on all of Linux's common architectures
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if err != nil || len(fields) < 13 {
		return math.NaN()
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return math.NaN()
	}
	return (user + system) / perSecond
}

func main() {
	galaxy := flag.String("galaxy", "bin/galaxy", "our program")
	pairs := flag.Int("pairs", 8, "number of pairs of turns")
	length := flag.Duration("turn", 15*time.Second, "length of a turn")
	apart := flag.Bool("apart", false, "serve the page by galaxy watch instead of train --live")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, *galaxy, flag.Args(), *pairs, *length, *apart); err != nil {
		fmt.Fprintln(os.Stderr, "watchbench:", err)
		os.Exit(1)
	}
}

// measure trains the run and prints the comparison.
func measure(ctx context.Context, galaxy string, args []string, pairs int, length time.Duration, apart bool) error {
	k := slices.Index(args, "--out")
	if k < 0 || k+1 == len(args) {
		return fmt.Errorf("expected flags of galaxy train with --out RUN after --, got %q", args)
	}
	train := command(ctx, galaxy, slices.Concat([]string{"train", "--live", "127.0.0.1:0", "--log-every", "1", "--eval-every", "0", "--checkpoint-every", "0", "--report=false"}, args))
	stderr, err := train.StderrPipe()
	if err != nil {
		return err
	}
	if err := train.Start(); err != nil {
		return err
	}
	turns, watchErr := func() ([]turn, error) {
		address, err := started(stderr)
		if err != nil {
			return nil, err
		}
		pids := []int{train.Process.Pid}
		if apart {
			watch := command(ctx, galaxy, []string{"watch", "--listen", "127.0.0.1:0", args[k+1]})
			stdout, err := watch.StdoutPipe()
			if err != nil {
				return nil, err
			}
			if err := watch.Start(); err != nil {
				return nil, err
			}
			defer end(watch)
			said, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				return nil, fmt.Errorf("galaxy watch did not start: %w", err)
			}
			address = strings.TrimSpace(said[strings.LastIndexByte(said, ' ')+1:])
			pids = append(pids, watch.Process.Pid)
		}
		return alternate(ctx, pids, address, pairs, length)
	}()
	end(train) // it saves a checkpoint, and ends with an exit code that says so
	if watchErr != nil {
		return watchErr
	}
	run, err := report.ReadRun(args[k+1])
	if err != nil {
		return err
	}
	return compare(run.Steps, turns, apart)
}

func command(ctx context.Context, name string, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	return c
}

func end(c *exec.Cmd) {
	_ = c.Process.Signal(os.Interrupt)
	_ = c.Wait()
}

// started waits until the run has started, and returns the address of its page.
func started(stderr io.Reader) (address string, err error) {
	lines := bufio.NewScanner(stderr)
	lines.Split(func(data []byte, end bool) (int, []byte, error) { // the progress bar ends its lines by \r
		if i := strings.IndexAny(string(data), "\r\n"); i >= 0 {
			return i + 1, data[:i], nil
		}
		return bufio.ScanLines(data, end)
	})
	said := ""
	for lines.Scan() && !strings.Contains(lines.Text(), "step 1 of") && !strings.Contains(lines.Text(), "train: ") {
		said += lines.Text() + "\n"
		if _, url, ok := strings.Cut(lines.Text(), "live: "); ok {
			address = url
		}
	}
	if address == "" {
		return "", fmt.Errorf("the run did not start:\n%s", said)
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return address, nil
}

// alternate takes the turns: without clients and with, with and without, and so on. pids are the run's process and the page's, if that is
// another.
func alternate(ctx context.Context, pids []int, address string, pairs int, length time.Duration) (turns []turn, err error) {
	used := func() (run, page float64) {
		if len(pids) > 1 {
			page = cpuTime(pids[1])
		}
		return cpuTime(pids[0]), page
	}
	pause(ctx, length) // the first steps are slower
	for n := range 2 * pairs {
		t := turn{watched: n%4 == 1 || n%4 == 2}
		following, leave := context.WithCancel(ctx)
		failed := make(chan error, clients)
		received := make([]arrivals, clients)
		for k := range received {
			if t.watched {
				go func() { failed <- follow(following, address+"events", &received[k]) }()
			}
		}
		pause(ctx, length/10)
		run, page := used()
		t.from = time.Now()
		pause(ctx, length)
		t.to = time.Now()
		t.run, t.page = used()
		t.run, t.page = t.run-run, t.page-page
		select {
		case err := <-failed:
			leave()
			return nil, fmt.Errorf("a client could not follow the run: %w", err)
		default:
		}
		leave()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if t.watched {
			for range clients {
				if err := <-failed; err != nil {
					return nil, fmt.Errorf("a client could not follow the run to the end: %w", err)
				}
			}
			t.drawn = received[0]
		}
		turns = append(turns, t)
	}
	return turns, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// arrivals are the times at which something came that did not belong to what came just before.
type arrivals []time.Time

func (a *arrivals) Write(p []byte) (int, error) {
	if now := time.Now(); len(*a) == 0 || now.Sub((*a)[len(*a)-1]) > 500*time.Millisecond {
		*a = append(*a, now)
	}
	return len(p), nil
}

// follow reads events, as a page does, until ctx ends.
func follow(ctx context.Context, address string, received *arrivals) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	if n, err := io.Copy(received, answer.Body); ctx.Err() == nil {
		return fmt.Errorf("the server ended after %d bytes: %w", n, err)
	}
	return nil
}

// compare prints by how much steps are slower in the turns with clients.
func compare(steps []report.Step, turns []turn, apart bool) error {
	var times, cpu []float64 // with clients relative to without, less 1; of each pair
	total, run, served := 0, 0.0, 0.0
	for k := 0; k+1 < len(turns); k += 2 {
		var seconds, used [2]float64 // of a step, without clients and with
		for _, t := range turns[k : k+2] {
			n, sum := 0, 0.0
			for _, s := range steps {
				if s.Time.After(t.from) && s.Time.Before(t.to) {
					n, sum = n+1, sum+float64(s.Seconds)
				}
			}
			if n == 0 {
				return fmt.Errorf("a turn has no step: give longer turns, or more steps than the turns take")
			}
			with := map[bool]int{true: 1}[t.watched]
			seconds[with], used[with] = sum/float64(n), (t.run+t.page)/float64(n)
			total += n
			if t.watched {
				run, served = run+t.run, served+t.page
			}
		}
		times, cpu = append(times, seconds[1]/seconds[0]-1), append(cpu, used[1]/used[0]-1)
	}
	fmt.Printf("%d steps in %d pairs of turns. With %d clients a step takes\n  %s more time\n  %s more CPU time\n", total, len(times), clients, interval(times), interval(cpu))
	if err := whileDrawn(steps, turns); err != nil {
		return err
	}
	if apart {
		fmt.Printf("While they follow it, the process of the page takes %.2f s of CPU time and the run %.2f s: %.2f %%\n", served, run, 100*served/run)
	}
	return nil
}

// whileDrawn prints how much longer steps take while the page is drawn and sent.
func whileDrawn(steps []report.Step, turns []turn) error {
	const drawing = 50 * time.Millisecond // more than it takes, from reading the run to the client's last byte
	// A step during which the page was drawn, or two, is compared with the two before and the two after.
	const beside = 2
	var longer []float64 // seconds
	watched := 0.0
	for _, t := range turns {
		if t.watched {
			watched += t.to.Sub(t.from).Seconds()
		}
		for _, at := range t.drawn {
			if at.Before(t.from) || at.After(t.to) {
				continue // the first drawing, for a client that has just come
			}
			from := slices.IndexFunc(steps, func(s report.Step) bool { return s.Time.After(at.Add(-drawing)) })
			to := slices.IndexFunc(steps, func(s report.Step) bool { return s.Time.After(at.Add(drawing)) }) + 1
			if from < beside || to == 0 || to+beside > len(steps) {
				continue
			}
			usual, sum := 0.0, 0.0
			for k := range beside {
				usual += float64(steps[from-1-k].Seconds+steps[to+k].Seconds) / (2 * beside)
			}
			for _, s := range steps[from:to] {
				sum += float64(s.Seconds) - usual
			}
			longer = append(longer, sum)
		}
	}
	if len(longer) == 0 {
		return fmt.Errorf("the page was never drawn: give longer turns")
	}
	for k := range longer {
		longer[k] *= float64(len(longer)) / watched // as a fraction of the time
	}
	fmt.Printf("While the page is drawn and sent, %d times, steps take longer by what is\n  %s of the time\n", len(longer), interval(longer))
	return nil
}

// interval describes the mean of fractions with its 95 % interval, and their median.
func interval(all []float64) string {
	slices.Sort(all)
	n, mean, squares := float64(len(all)), 0.0, 0.0
	for _, r := range all {
		mean += r / n
	}
	for _, r := range all {
		squares += (r - mean) * (r - mean)
	}
	half := 1.96 * math.Sqrt(squares/max(n-1, 1)/n)
	return fmt.Sprintf("%.2f %% (95 %% interval %.2f to %.2f %%, median %.2f %%)", 100*mean, 100*(mean-half), 100*(mean+half), 100*all[len(all)/2])
}
