package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const lengthSize, lengthBatch = 32, 8

// lengthFigures hold the measurements of one long run, with its evaluations and checkpoints,
// over stretches of its steps.
type lengthFigures struct {
	Steps     int       `json:"steps"`
	Size      int       `json:"size"` // image side, pixels
	Batch     int       `json:"batch"`
	Stretches []stretch `json:"stretches"`
	Growth    float64   `json:"memory_growth"` // of the last relative to the first, minus 1
	Slower    float64   `json:"step_growth"`
}

// stretch has medians over the steps after from, up to to.
type stretch struct {
	From   int     `json:"from"`
	To     int     `json:"to"`
	Step   float64 `json:"step_seconds"`
	Memory float64 `json:"rss_anon_mib"`
}

func (f lengthFigures) print() {
	fmt.Printf("| a long run, %d px, batch %d | step, ms | RssAnon, MiB |\n|---|---|---|\n", f.Size, f.Batch)
	for _, s := range f.Stretches {
		fmt.Printf("| steps %d to %d | %.3g | %.1f |\n", s.From+1, s.To, 1000*s.Step, s.Memory)
	}
	fmt.Printf("\nthe last relative to the first: step time %+.2f %%, memory %+.2f %%\n\n", 100*f.Slower, 100*f.Growth)
}

// stretches returns the measured parts of a run of the given number of steps: early, a
// little later, in the middle and at the end. For 10,000 steps the first is from 100 to
// 600.
func stretches(steps int) (all []stretch) {
	wide := steps / 20
	for _, from := range []int{steps / 100, steps / 10, steps/2 - wide, steps - wide} {
		all = append(all, stretch{From: from, To: from + wide})
	}
	return all
}

// length watches a long run from outside.
func (s settings) length(ctx context.Context) (lengthFigures, error) {
	f := lengthFigures{Steps: s.growth.steps, Size: lengthSize, Batch: lengthBatch, Stretches: stretches(s.growth.steps)}
	cache, err := s.prepared(ctx, lengthSize)
	if err != nil {
		return f, err
	}
	run := filepath.Join(s.work, "run-length")
	if err := os.RemoveAll(run); err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(run) }() // or else with the folder of all runs
	memory := make([][]float64, len(f.Stretches))
	metrics := follower{path: filepath.Join(run, "metrics.jsonl")}
	_, _, err = watched(ctx, func(rss float64) bool {
		step := metrics.steps()
		for i, s := range f.Stretches {
			if step > s.From && step <= s.To {
				memory[i] = append(memory[i], rss)
			}
		}
		return false
	}, s.galaxy, "train", "--data", cache, "--out", run, "--steps", strconv.Itoa(s.growth.steps), "--batch", strconv.Itoa(lengthBatch))
	if err != nil {
		return f, err
	}
	lines, err := readSteps(metrics.path)
	if err != nil {
		return f, err
	}
	for i := range f.Stretches {
		s := &f.Stretches[i]
		var took []float64
		for step := max(s.From, 1); step < min(s.To, len(lines)); step++ {
			took = append(took, lines[step].Time.Sub(lines[step-1].Time).Seconds())
		}
		if len(took) == 0 || len(memory[i]) == 0 {
			return f, fmt.Errorf("the run could not be watched in its steps %d to %d: this needs Linux, and a run that is long enough", s.From, s.To)
		}
		s.Step, s.Memory = median(took), median(memory[i])
	}
	first, last := f.Stretches[0], f.Stretches[len(f.Stretches)-1]
	f.Growth, f.Slower = last.Memory/first.Memory-1, last.Step/first.Step-1
	return f, nil
}

// follower counts the steps of a growing metrics.jsonl.
type follower struct {
	path   string
	offset int64
	count  int
}

func (f *follower) steps() int {
	file, err := os.Open(f.path)
	if err != nil {
		return f.count // does not exist yet
	}
	defer func() { _ = file.Close() }() // only read
	if _, err := file.Seek(f.offset, 0); err != nil {
		return f.count
	}
	for r := bufio.NewReader(file); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return f.count // half a line is read again next time
		}
		f.offset += int64(len(line))
		if strings.Contains(line, `"kind":"step"`) {
			f.count++
		}
	}
}

func anonymousMiB(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return mebibytes(string(raw), "RssAnon")
}
