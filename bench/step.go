package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// timing is what one process showed: when its first step ended, counted from the
// start of the process, and how long each measured step took, in seconds.
type timing struct {
	first float64
	steps []float64
	wait  float64 // share of the steps that waited for data; ours only
}

// stepFigures compare one precision. Step seconds are spreads of the turns'
// medians; ratios are spreads of the turns' ratios, Keras' time over ours, with
// the faster of a side's ways in each turn.
type stepFigures struct {
	Precision string            `json:"precision"`
	Size      int               `json:"size"`
	Batch     int               `json:"batch"`
	Step      map[string]spread `json:"step_seconds"`
	First     map[string]spread `json:"first_step_seconds"`
	Faster    spread            `json:"speed_over_keras"`
	Start     spread            `json:"first_step_over_keras"`
	DataWait  spread            `json:"data_wait_share"`
}

const ours, oursXLA, kerasPlain, kerasJIT = "galaxy", "galaxy, XLA", "Keras", "Keras, XLA"

func (f stepFigures) print() {
	fmt.Printf("| %s, %d px, batch %d | step, s | img/s | first step after, s |\n|---|---|---|---|\n", f.Precision, f.Size, f.Batch)
	for _, name := range []string{ours, oursXLA, kerasPlain, kerasJIT} {
		if step, ok := f.Step[name]; ok {
			fmt.Printf("| %s | %v | %.1f | %v |\n", name, step, float64(f.Batch)/step.Median, f.First[name])
		}
	}
	fmt.Printf("\n%s: speed %v × Keras' best; first step after %v of Keras' time; data wait %.2g %% of a step\n\n",
		f.Precision, f.Faster, f.Start, 100*f.DataWait.Median)
}

// trainingSteps lets galaxy and Keras take turns.
func (s settings) trainingSteps(ctx context.Context, precision string) (stepFigures, error) {
	f := stepFigures{Precision: precision, Size: s.size, Batch: s.batch, Step: map[string]spread{}, First: map[string]spread{}}
	steps, firsts := map[string][]float64{}, map[string][]float64{}
	type way struct {
		name string
		time func(round int) (timing, error)
	}
	ways := []way{
		{ours, func(round int) (timing, error) { return s.timeOurs(ctx, precision, round, s.batch) }},
		{kerasPlain, func(int) (timing, error) { return s.timeKeras(ctx, precision, false) }},
	}
	if s.xla {
		ways = append(ways, way{oursXLA, func(round int) (timing, error) { return s.timeOurs(ctx, precision, round, s.batch, "--xla") }})
	}
	if s.jit {
		ways = append(ways, way{kerasJIT, func(int) (timing, error) { return s.timeKeras(ctx, precision, true) }})
	}
	var faster, start, wait []float64
	for round := range s.rounds {
		for _, w := range ways {
			t, err := w.time(round)
			if err != nil {
				return f, err
			}
			steps[w.name], firsts[w.name] = append(steps[w.name], median(t.steps)), append(firsts[w.name], t.first)
			if w.name == ours {
				wait = append(wait, t.wait)
			}
		}
		least := func(of map[string][]float64, plain, compiled string) float64 {
			if x, ok := of[compiled]; ok {
				return min(of[plain][round], x[round])
			}
			return of[plain][round]
		}
		faster = append(faster, least(steps, kerasPlain, kerasJIT)/least(steps, ours, oursXLA))
		start = append(start, least(firsts, ours, oursXLA)/least(firsts, kerasPlain, kerasJIT))
	}
	for name := range steps {
		f.Step[name], f.First[name] = spreadOf(steps[name]), spreadOf(firsts[name])
	}
	f.Faster, f.Start, f.DataWait = spreadOf(faster), spreadOf(start), spreadOf(wait)
	return f, nil
}

func (s settings) timeOurs(ctx context.Context, precision string, round, batch int, flags ...string) (timing, error) {
	run := filepath.Join(s.work, fmt.Sprintf("run-%s-%d", precision, round))
	defer func() { _ = os.RemoveAll(run) }() // or else with the folder of all runs
	begin := time.Now()
	if _, err := output(ctx, s.galaxy, s.trainArgs(run, precision, batch, flags)...); err != nil {
		return timing{}, err
	}
	lines, err := readSteps(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return timing{}, err
	}
	if len(lines) != s.steps {
		return timing{}, fmt.Errorf("%s: %d steps in metrics.jsonl, want %d", run, len(lines), s.steps)
	}
	t := timing{first: lines[0].Time.Sub(begin).Seconds()}
	waited, total := 0.0, 0.0
	for i := warm; i < len(lines); i++ {
		// From the end of the step before: whatever a loop does between two
		// steps counts, on both sides.
		t.steps = append(t.steps, lines[i].Time.Sub(lines[i-1].Time).Seconds())
		waited, total = waited+lines[i].Wait, total+t.steps[len(t.steps)-1]
	}
	t.wait = waited / total
	return t, nil
}

func (s settings) trainArgs(run, precision string, batch int, flags []string) []string {
	return append([]string{"train", "--data", s.cache(s.size), "--out", run, "--steps", strconv.Itoa(s.steps),
		"--batch", strconv.Itoa(batch), "--precision", precision, "--eval-every", "0", "--checkpoint-every", "0"}, flags...)
}

func (s settings) timeKeras(ctx context.Context, precision string, jit bool) (timing, error) {
	args := []string{s.peer, "--cache", s.cache(s.size), "--batch", strconv.Itoa(s.batch), "--steps", strconv.Itoa(s.steps), "--precision", precision}
	if jit {
		args = append(args, "--jit")
	}
	begin := time.Now()
	raw, err := output(ctx, s.python, args...)
	if err != nil {
		return timing{}, err
	}
	var answer struct {
		Ends []float64 `json:"ends"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return timing{}, fmt.Errorf("read the answer of %s: %w", s.peer, err)
	}
	if len(answer.Ends) != s.steps {
		return timing{}, fmt.Errorf("%s: %d steps, want %d", s.peer, len(answer.Ends), s.steps)
	}
	t := timing{first: answer.Ends[0] - float64(begin.UnixNano())/1e9}
	for i := warm; i < len(answer.Ends); i++ {
		t.steps = append(t.steps, answer.Ends[i]-answer.Ends[i-1])
	}
	return t, nil
}

// stepLine is a line of metrics.jsonl that tells of a training step.
type stepLine struct {
	Kind string    `json:"kind"`
	Step int64     `json:"step"`
	Wait float64   `json:"data_wait_seconds"`
	Time time.Time `json:"time"`
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
