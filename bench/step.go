package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// training is the work of a turn: steps on a cache.
type training struct {
	cache, precision   string
	size, batch, steps int
}

// timing is the result of one process: when its first step ended, counted from the
// start of the process, and how long each measured step took, in seconds.
type timing struct {
	first float64
	steps []float64
	peak  float64 // of the anonymous memory, MiB; 0 if it cannot be watched
	// galaxy only: the fraction of the steps that waited for data, and medians of the
	// steps' last parts, in seconds.
	wait, allReduce, update float64
}

func (t timing) step() float64 { return median(t.steps) }

// stepFigures compare one size and precision. The first three maps are by the ways below,
// and hold spreads over the turns. The others are by peer, and hold spreads of the turns'
// ratios: if a side has two ways, the faster way counts in each turn.
type stepFigures struct {
	Precision   string            `json:"precision"`
	Size        int               `json:"size"`
	Batch       int               `json:"batch"`
	Step        map[string]spread `json:"step_seconds"`
	First       map[string]spread `json:"first_step_seconds"`
	Peak        map[string]spread `json:"peak_rss_anon_mib"`
	Faster      map[string]spread `json:"speed_over"`
	Start       map[string]spread `json:"first_step_share_of"`
	Memory      map[string]spread `json:"peak_rss_anon_share_of"`
	DataWait    spread            `json:"data_wait_share"`
	NotMeasured map[string]string `json:"not_measured,omitempty"`
}

var ways = []string{ours, ours + compiled, keras, keras + compiled, kerasEigen, kerasEigen + compiled, torch, torch + compiled}

func (f stepFigures) print() {
	fmt.Printf("| %s, %d px, batch %d | step, s | img/s | time to first step, s | peak RssAnon, MiB |\n|---|---|---|---|---|\n", f.Precision, f.Size, f.Batch)
	for _, name := range ways {
		if step, ok := f.Step[name]; ok {
			fmt.Printf("| %s | %v | %.1f | %v | %v |\n", name, step, float64(f.Batch)/step.Median, f.First[name], f.Peak[name])
		} else if _, ok := f.NotMeasured[name]; ok {
			fmt.Printf("| %s | not measured | | | |\n", name)
		}
	}
	fmt.Println()
	for _, peer := range []string{keras, kerasEigen, torch} {
		if faster, ok := f.Faster[peer]; ok {
			fmt.Printf("- %s, galaxy relative to %s: speed %v ×, time to first step %v ×, peak memory %v ×\n", f.Precision, peer, faster, f.Start[peer], f.Memory[peer])
		}
	}
	fmt.Printf("- data wait: %.2g %% of a step\n\n", 100*f.DataWait.Median)
}

// step measures training steps of every size and precision.
func (s settings) step(ctx context.Context, to *figures) error {
	for _, size := range s.sizes {
		cache, err := s.prepared(ctx, size)
		if err != nil {
			return err
		}
		t := training{cache: cache, size: size, batch: s.batch, steps: s.steps}
		if size > 128 {
			t.steps = max(warm+2, s.steps*2/3) // each step takes long
		}
		for _, t.precision = range s.precisions {
			f, err := s.trainingSteps(ctx, t)
			if err != nil {
				return err
			}
			f.print()
			to.Steps = append(to.Steps, f)
		}
	}
	return nil
}

// trainingSteps measures galaxy and its peers alternately.
func (s settings) trainingSteps(ctx context.Context, t training) (stepFigures, error) {
	sides := []side[timing]{{ours, false, func(ctx context.Context, _ int) (timing, error) { return s.timeOurs(ctx, t) }}}
	if s.xla {
		sides = append(sides, side[timing]{ours + compiled, false, func(ctx context.Context, _ int) (timing, error) { return s.timeOurs(ctx, t, "--xla") }})
	}
	for _, peer := range s.peers {
		sides = append(sides, side[timing]{peer, true, func(ctx context.Context, _ int) (timing, error) { return s.timePeer(ctx, peer, t) }})
		if s.jit {
			sides = append(sides, side[timing]{peer + compiled, true, func(ctx context.Context, _ int) (timing, error) { return s.timePeer(ctx, peer, t, "--jit") }})
		}
	}
	f := stepFigures{
		Precision: t.precision, Size: t.size, Batch: t.batch,
		Step: map[string]spread{}, First: map[string]spread{}, Peak: map[string]spread{},
		Faster: map[string]spread{}, Start: map[string]spread{}, Memory: map[string]spread{},
	}
	all, err := takeTurns(ctx, s.rounds, s.turnLimit, sides)
	if err != nil {
		return f, err
	}
	first, peak := func(t timing) float64 { return t.first }, func(t timing) float64 { return t.peak }
	for name, taken := range all.taken {
		f.Step[name], f.First[name], f.Peak[name] = over(taken, timing.step), over(taken, first), over(taken, peak)
	}
	we := fastest(all.taken[ours], all.taken[ours+compiled])
	for _, peer := range s.peers {
		they := fastest(all.taken[peer], all.taken[peer+compiled])
		if len(they) == 0 {
			continue
		}
		f.Faster[peer], f.Start[peer] = ratio(they, we, timing.step), ratio(we, they, first)
		if they[0].peak > 0 {
			f.Memory[peer] = ratio(we, they, peak)
		}
	}
	f.DataWait, f.NotMeasured = over(all.taken[ours], func(t timing) float64 { return t.wait }), all.missing
	return f, nil
}

// fastest takes the faster of a side's two ways in each round. Either may have no turns.
func fastest(a, b []timing) []timing {
	best := slices.Clone(a)
	for round, t := range b {
		if len(a) == 0 {
			best = append(best, t)
		} else if t.step() < best[round].step() {
			best[round] = t
		}
	}
	return best
}

// peaked is output with the peak of the program's anonymous memory, MiB.
func peaked(ctx context.Context, name string, args ...string) (stdout []byte, peak float64, err error) {
	stdout, _, err = watched(ctx, func(rss float64) bool {
		peak = max(peak, rss)
		return false
	}, name, args...)
	return stdout, peak, err
}

func (s settings) timeOurs(ctx context.Context, t training, flags ...string) (took timing, err error) {
	run := filepath.Join(s.work, "run")
	if err := os.RemoveAll(run); err != nil {
		return took, err
	}
	defer func() { _ = os.RemoveAll(run) }() // or else with the folder of all runs
	begin := time.Now()
	_, took.peak, err = peaked(ctx, s.galaxy, t.args(run, flags)...)
	if err != nil {
		return took, err
	}
	lines, err := readSteps(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return took, err
	}
	if len(lines) != t.steps {
		return took, fmt.Errorf("%s: %d steps in metrics.jsonl, expected %d", run, len(lines), t.steps)
	}
	var waited, total float64
	var ends, allReduce, update []float64
	for i, line := range lines {
		ends = append(ends, line.Time.Sub(begin).Seconds())
		if i >= warm {
			waited, total = waited+line.Wait, total+ends[i]-ends[i-1]
			allReduce, update = append(allReduce, line.AllReduce), append(update, line.Update)
		}
	}
	took.first, took.steps = ends[0], between(ends)
	took.wait, took.allReduce, took.update = waited/total, median(allReduce), median(update)
	return took, nil
}

// between returns the time of each measured step, from the end of the previous step:
// whatever a loop does between two steps is included, for all programs.
func between(ends []float64) (steps []float64) {
	for i := warm; i < len(ends); i++ {
		steps = append(steps, ends[i]-ends[i-1])
	}
	return steps
}

// args returns the arguments of galaxy train, followed by flags, which may set when checkpoints are saved.
func (t training) args(run string, flags []string) []string {
	args := []string{"train", "--data", t.cache, "--out", run, "--steps", strconv.Itoa(t.steps),
		"--batch", strconv.Itoa(t.batch), "--precision", t.precision, "--eval-every", "0"}
	if !slices.Contains(flags, "--checkpoint-every") {
		args = append(args, "--checkpoint-every", "0")
	}
	return append(args, flags...)
}

func (s settings) timePeer(ctx context.Context, peer string, t training, flags ...string) (took timing, err error) {
	python, program := s.python, script("step.py")
	if peer == torch {
		python, program = s.torchPython, script("torch_step.py")
	}
	args := []string{python, program, "--cache", t.cache, "--batch", strconv.Itoa(t.batch), "--steps", strconv.Itoa(t.steps), "--precision", t.precision}
	if peer == kerasEigen {
		args = append([]string{"env", "TF_ENABLE_ONEDNN_OPTS=0"}, args...)
	}
	args = append(args, flags...)
	begin := float64(time.Now().UnixNano()) / 1e9
	raw, peak, err := peaked(ctx, args[0], args[1:]...)
	if err != nil {
		return took, err
	}
	var answer struct {
		Ends []float64 `json:"ends"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return took, fmt.Errorf("read the answer of %s: %w", program, err)
	}
	if len(answer.Ends) != t.steps {
		return took, fmt.Errorf("%s: %d steps, expected %d", program, len(answer.Ends), t.steps)
	}
	return timing{first: answer.Ends[0] - begin, steps: between(answer.Ends), peak: peak}, nil
}

// stepLine is a line of metrics.jsonl about a training step.
type stepLine struct {
	Kind string    `json:"kind"`
	Step int64     `json:"step"`
	Wait float64   `json:"data_wait_seconds"`
	Time time.Time `json:"time"`
	// The last parts of a step.
	AllReduce float64 `json:"all_reduce_seconds"`
	Update    float64 `json:"update_seconds"`
}

func readSteps(path string) ([]stepLine, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []stepLine
	for scanner := bufio.NewScanner(bytes.NewReader(raw)); scanner.Scan(); {
		var line stepLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if line.Kind == "step" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
