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
	peak  float64 // of the anonymous memory, MiB; 0 where it cannot be watched
}

// stepFigures compare one precision. The first three maps are by the ways below, and
// spreads of the turns' figures. The others are by peer, and spreads of the turns'
// ratios: of a side that has two ways, the faster one counts in each turn.
type stepFigures struct {
	Precision string            `json:"precision"`
	Size      int               `json:"size"`
	Batch     int               `json:"batch"`
	Step      map[string]spread `json:"step_seconds"`
	First     map[string]spread `json:"first_step_seconds"`
	Peak      map[string]spread `json:"peak_rss_anon_mib"`
	Faster    map[string]spread `json:"speed_over"`
	Start     map[string]spread `json:"first_step_share_of"`
	Memory    map[string]spread `json:"peak_rss_anon_share_of"`
	DataWait  spread            `json:"data_wait_share"`
}

// The sides; a way is a side as it is, or compiled.
const (
	ours, keras, torch = "galaxy", "Keras", "PyTorch"
	compiled           = ", compiled"
)

var ways = []string{ours, ours + compiled, keras, keras + compiled, torch, torch + compiled}

func (f stepFigures) print() {
	fmt.Printf("| %s, %d px, batch %d | step, s | img/s | first step after, s | peak RssAnon, MiB |\n|---|---|---|---|---|\n", f.Precision, f.Size, f.Batch)
	for _, name := range ways {
		if step, ok := f.Step[name]; ok {
			fmt.Printf("| %s | %v | %.1f | %v | %v |\n", name, step, float64(f.Batch)/step.Median, f.First[name], f.Peak[name])
		}
	}
	fmt.Println()
	for _, peer := range []string{keras, torch} {
		if faster, ok := f.Faster[peer]; ok {
			fmt.Printf("%s beside %s: speed %v ×; first step after %v of its time; peak memory %v of its\n", f.Precision, peer, faster, f.Start[peer], f.Memory[peer])
		}
	}
	fmt.Printf("data wait %.2g %% of a step\n\n", 100*f.DataWait.Median)
}

// trainingSteps lets galaxy and its peers take turns.
func (s settings) trainingSteps(ctx context.Context, precision string) (stepFigures, error) {
	type way struct {
		side, name string
		time       func(round int) (timing, error)
	}
	all := []way{{ours, ours, func(round int) (timing, error) { return s.timeOurs(ctx, precision, round, s.batch) }}}
	if s.xla {
		all = append(all, way{ours, ours + compiled, func(round int) (timing, error) { return s.timeOurs(ctx, precision, round, s.batch, "--xla") }})
	}
	for _, peer := range s.peers {
		python, script := s.python, s.peer
		if peer == torch {
			python, script = s.torchPython, s.torchPeer
		}
		all = append(all, way{peer, peer, func(int) (timing, error) { return s.timePeer(ctx, python, script, precision) }})
		if s.jit {
			all = append(all, way{peer, peer + compiled, func(int) (timing, error) { return s.timePeer(ctx, python, script, precision, "--jit") }})
		}
	}
	type turn struct{ step, first, peak float64 }
	turns := map[string][]turn{}        // by way
	best := map[string][]turn{}         // by side: the faster of its ways
	ratios := map[string][3][]float64{} // by peer
	var wait []float64
	for round := range s.rounds {
		for _, w := range all {
			t, err := w.time(round)
			if err != nil {
				return stepFigures{}, err
			}
			now := turn{median(t.steps), t.first, t.peak}
			turns[w.name] = append(turns[w.name], now)
			if of := best[w.side]; len(of) <= round {
				best[w.side] = append(of, now)
			} else if now.step < of[round].step {
				of[round] = now
			}
			if w.name == ours {
				wait = append(wait, t.wait)
			}
		}
		for _, peer := range s.peers {
			we, they, r := best[ours][round], best[peer][round], ratios[peer]
			for i, x := range []float64{they.step / we.step, we.first / they.first, we.peak / they.peak} {
				r[i] = append(r[i], x)
			}
			ratios[peer] = r
		}
	}
	f := stepFigures{
		Precision: precision, Size: s.size, Batch: s.batch, DataWait: spreadOf(wait),
		Step: map[string]spread{}, First: map[string]spread{}, Peak: map[string]spread{},
		Faster: map[string]spread{}, Start: map[string]spread{}, Memory: map[string]spread{},
	}
	for name, of := range turns {
		var steps, firsts, peaks []float64
		for _, t := range of {
			steps, firsts, peaks = append(steps, t.step), append(firsts, t.first), append(peaks, t.peak)
		}
		f.Step[name], f.First[name], f.Peak[name] = spreadOf(steps), spreadOf(firsts), spreadOf(peaks)
	}
	for peer, r := range ratios {
		f.Faster[peer], f.Start[peer], f.Memory[peer] = spreadOf(r[0]), spreadOf(r[1]), spreadOf(r[2])
	}
	return f, nil
}

// peaked is output with the peak of the program's anonymous memory, MiB.
func peaked(ctx context.Context, name string, args ...string) (stdout []byte, peak float64, err error) {
	stdout, _, err = watched(ctx, func(rss float64) bool {
		peak = max(peak, rss)
		return false
	}, name, args...)
	return stdout, peak, err
}

func (s settings) timeOurs(ctx context.Context, precision string, round, batch int, flags ...string) (timing, error) {
	run := filepath.Join(s.work, fmt.Sprintf("run-%s-%d", precision, round))
	defer func() { _ = os.RemoveAll(run) }() // or else with the folder of all runs
	begin := time.Now()
	_, peak, err := peaked(ctx, s.galaxy, s.trainArgs(run, precision, batch, flags)...)
	if err != nil {
		return timing{}, err
	}
	lines, err := readSteps(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return timing{}, err
	}
	if len(lines) != s.steps {
		return timing{}, fmt.Errorf("%s: %d steps in metrics.jsonl, want %d", run, len(lines), s.steps)
	}
	t := timing{first: lines[0].Time.Sub(begin).Seconds(), peak: peak}
	waited, total := 0.0, 0.0
	for i := warm; i < len(lines); i++ {
		// From the end of the step before: whatever a loop does between two
		// steps counts, on all sides.
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

func (s settings) timePeer(ctx context.Context, python, script, precision string, flags ...string) (timing, error) {
	args := append([]string{script, "--cache", s.cache(s.size), "--batch", strconv.Itoa(s.batch), "--steps", strconv.Itoa(s.steps), "--precision", precision}, flags...)
	begin := time.Now()
	raw, peak, err := peaked(ctx, python, args...)
	if err != nil {
		return timing{}, err
	}
	var answer struct {
		Ends []float64 `json:"ends"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return timing{}, fmt.Errorf("read the answer of %s: %w", script, err)
	}
	if len(answer.Ends) != s.steps {
		return timing{}, fmt.Errorf("%s: %d steps, want %d", script, len(answer.Ends), s.steps)
	}
	t := timing{first: answer.Ends[0] - float64(begin.UnixNano())/1e9, peak: peak}
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
