package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	memoryWarm   = 500 // steps before the first stretch
	memoryWindow = 200 // steps of the first and of the last stretch
)

// memoryFigures are medians of the anonymous resident memory, MiB, over the
// first stretch of steps after the warm-up and over the last.
type memoryFigures struct {
	Steps  int     `json:"steps"`
	Size   int     `json:"size"` // image side, pixels
	Batch  int     `json:"batch"`
	First  float64 `json:"first_mib"`
	Last   float64 `json:"last_mib"`
	Growth float64 `json:"growth"` // last over first, less 1
}

func (f memoryFigures) print() {
	fmt.Printf("| memory, %d px, batch %d | RssAnon, MiB |\n|---|---|\n| steps %d to %d | %.0f |\n| steps %d to %d | %.0f |\n\ngrowth %+.2f %%\n\n",
		f.Size, f.Batch, memoryWarm, memoryWarm+memoryWindow, f.First, f.Steps-memoryWindow, f.Steps, f.Last, 100*f.Growth)
}

// memory watches a long run, with its evaluations and checkpoints, from outside.
func (s settings) memory(ctx context.Context) (memoryFigures, error) {
	f := memoryFigures{Steps: s.memorySteps, Size: s.memorySize, Batch: s.memoryBatch}
	run := filepath.Join(s.work, "run-memory")
	cmd := exec.CommandContext(ctx, s.galaxy, "train", "--data", s.cache(s.memorySize), "--out", run,
		"--steps", strconv.Itoa(s.memorySteps), "--batch", strconv.Itoa(s.memoryBatch))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	fmt.Fprintln(os.Stderr, "+", cmd)
	if err := cmd.Start(); err != nil {
		return f, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var first, last []float64
	metrics := follower{path: filepath.Join(run, "metrics.jsonl")}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return f, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.Bytes())
			}
			if len(first) == 0 || len(last) == 0 {
				return f, errors.New("the memory of the run could not be watched: this part needs Linux")
			}
			f.First, f.Last = median(first), median(last)
			f.Growth = f.Last/f.First - 1
			return f, nil
		case <-tick.C:
		}
		step := metrics.steps()
		inFirst := step > memoryWarm && step <= memoryWarm+memoryWindow
		inLast := step > s.memorySteps-memoryWindow
		if !inFirst && !inLast {
			continue
		}
		rss, err := anonymousMiB(cmd.Process.Pid)
		if err != nil {
			continue // it has just ended, or this is no Linux
		}
		if inFirst {
			first = append(first, rss)
		}
		if inLast {
			last = append(last, rss)
		}
	}
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
		return f.count // not there yet
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
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no RssAnon")
}
