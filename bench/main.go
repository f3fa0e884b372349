// Command bench measures galaxy, and Keras beside it, on the machine it runs
// on: a training step, the time to the first one, prediction, prepare, synth, the
// loader's wait and the memory of a long run. It prints Markdown and writes JSON.
//
// A ratio counts only when both sides did the same work on the same machine in
// the same run, so the two take turns, round by round.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// warm is the number of steps of every process that are not measured: they
// allocate, and Keras traces.
const warm = 3

type settings struct {
	galaxy, python, peer string
	torchPython          string
	torchPeer            string
	peers                []string
	predictPeer          string
	work                 string // folder for data and runs
	galaxies             int
	submission           int // rows of the submission
	size, batch          int
	rounds, steps        int
	memorySteps          int
	memorySize           int
	memoryBatch          int
	jit, xla             bool
	alone, devices       string // whose steps the part mirror compares
	mirrorBatch, workers int
	only, precisions     []string
}

func main() {
	var s settings
	var only, precisions, peers, jsonPath string
	flag.StringVar(&s.galaxy, "galaxy", "bin/galaxy", "our program")
	flag.StringVar(&s.python, "python", ".venv-parity/bin/python", "a Python with parity/requirements.txt")
	flag.StringVar(&s.peer, "peer", "bench/step.py", "the Keras side of the training step")
	flag.StringVar(&s.torchPython, "torch-python", ".venv-torch/bin/python", "a Python with bench/requirements-torch.txt")
	flag.StringVar(&s.torchPeer, "torch-peer", "bench/torch_step.py", "the PyTorch side of the training step")
	flag.StringVar(&peers, "peers", "keras", "beside whom the training step is measured: keras, torch, or both")
	flag.StringVar(&s.predictPeer, "predict-peer", "bench/predict.py", "the Keras side of prediction")
	flag.StringVar(&s.work, "work", "", "folder for data and runs, kept, whose galaxies are used again; default is a temporary one")
	flag.IntVar(&s.galaxies, "galaxies", 2000, "synthetic galaxies to work on")
	flag.IntVar(&s.submission, "submission-rows", 79975, "rows of the submission")
	flag.IntVar(&s.size, "size", 128, "image side of the training step and of prediction, pixels")
	flag.IntVar(&s.batch, "batch", 32, "examples of the training step")
	flag.IntVar(&s.rounds, "rounds", 3, "turns of ours and each peer's")
	flag.IntVar(&s.steps, "steps", 15, "steps of every turn, at least 5; the first 3 are not measured")
	flag.IntVar(&s.memorySteps, "memory-steps", 2200, "steps of the memory run, at least 900")
	flag.IntVar(&s.memorySize, "memory-size", 64, "image side of the memory run, pixels")
	flag.IntVar(&s.memoryBatch, "memory-batch", 8, "examples a step of the memory run")
	flag.BoolVar(&s.jit, "jit", true, "measure the peers compiled too: Keras by XLA, PyTorch by torch.compile")
	flag.BoolVar(&s.xla, "xla", false, "measure ours with XLA too, on GPUs")
	flag.StringVar(&only, "only", "files,step,limit,memory", "what to measure: these, and intake, predict, submission or mirror")
	flag.StringVar(&s.alone, "alone", "cpu", "mirror: one device, as galaxy train --devices takes it; its batch is -batch")
	flag.StringVar(&s.devices, "devices", "cpu:2", "mirror: several devices")
	flag.IntVar(&s.mirrorBatch, "mirror-batch", 0, "mirror: examples of a step on several devices; 0 is -batch")
	flag.IntVar(&s.workers, "workers", 0, "mirror: processes on this machine that train together, with its cores shared out among them; 0 leaves them out")
	flag.StringVar(&precisions, "precisions", "float32,bfloat16", "of the training step, of float32, bfloat16 and float16")
	flag.StringVar(&jsonPath, "json", "", "file to write the figures to; default is none")
	flag.Parse()
	s.only, s.precisions = strings.Split(only, ","), strings.Split(precisions, ",")
	for name := range strings.SplitSeq(peers, ",") {
		peer, ok := map[string]string{"keras": keras, "torch": torch}[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "bench: -peers %s: expected keras, torch or both\n", name)
			os.Exit(2)
		}
		s.peers = append(s.peers, peer)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, jsonPath); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figures is what the JSON file holds. A part that was not measured is missing.
type figures struct {
	Intake     *intakeFigures     `json:"intake,omitempty"`
	Predict    *predictFigures    `json:"predict,omitempty"`
	Submission *submissionFigures `json:"submission,omitempty"`
	Files      *fileFigures       `json:"files,omitempty"`
	Steps      []stepFigures      `json:"steps,omitempty"`
	Limit      []limitFigures     `json:"limit,omitempty"`
	Mirror     []mirrorFigures    `json:"mirror,omitempty"`
	Memory     *memoryFigures     `json:"memory,omitempty"`
}

func run(ctx context.Context, s settings, jsonPath string) (err error) {
	if s.steps < warm+2 || s.memorySteps < 900 || s.rounds < 1 {
		return errors.New("expected -steps of 5 or more, -memory-steps of 900 or more and -rounds of 1 or more")
	}
	for _, part := range s.only {
		if parts := []string{"files", "step", "limit", "memory", "intake", "predict", "submission", "mirror"}; !slices.Contains(parts, part) {
			return fmt.Errorf("-only %s: expected some of %s", part, strings.Join(parts, ", "))
		}
	}
	if s.work == "" {
		if s.work, err = os.MkdirTemp("", "galaxy-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	}

	var f figures
	synth, err := s.synth(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(s.only, "intake") {
		intake, err := s.intake(ctx)
		if err != nil {
			return err
		}
		intake.print()
		f.Intake = &intake
	}
	if slices.Contains(s.only, "predict") {
		predict, err := s.predict(ctx)
		if err != nil {
			return err
		}
		predict.print()
		f.Predict = &predict
	}
	if slices.Contains(s.only, "submission") {
		submission, err := s.submit(ctx)
		if err != nil {
			return err
		}
		submission.print()
		f.Submission = &submission
	}
	if !slices.ContainsFunc(s.only, func(part string) bool {
		return slices.Contains([]string{"files", "step", "limit", "memory", "mirror"}, part)
	}) {
		return writeFigures(jsonPath, f)
	}
	// All these parts need the caches, so they are always made.
	files, err := s.files(ctx, synth)
	if err != nil {
		return err
	}
	if slices.Contains(s.only, "files") {
		f.Files = &files
		files.print()
	}
	if slices.Contains(s.only, "step") {
		for _, precision := range s.precisions {
			figures, err := s.trainingSteps(ctx, precision)
			if err != nil {
				return err
			}
			figures.print()
			f.Steps = append(f.Steps, figures)
		}
	}
	if slices.Contains(s.only, "limit") {
		for i, precision := range s.precisions {
			step := 0.0
			if f.Steps != nil {
				step = f.Steps[i].Step[ours].Median
			}
			figures, err := s.limit(precision, step)
			if err != nil {
				return err
			}
			figures.print()
			f.Limit = append(f.Limit, figures)
		}
	}
	if slices.Contains(s.only, "mirror") {
		for _, precision := range s.precisions {
			figures, err := s.mirror(ctx, precision)
			if err != nil {
				return err
			}
			figures.print()
			f.Mirror = append(f.Mirror, figures)
		}
	}
	if slices.Contains(s.only, "memory") {
		memory, err := s.memory(ctx)
		if err != nil {
			return err
		}
		memory.print()
		f.Memory = &memory
	}
	return writeFigures(jsonPath, f)
}

func writeFigures(jsonPath string, f figures) error {
	if jsonPath == "" {
		return nil
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonPath, append(raw, '\n'), 0o644)
}

// spread is the median of a few measurements with their smallest and largest.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(x []float64) spread { return spread{median(x), slices.Min(x), slices.Max(x)} }

func (s spread) String() string { return fmt.Sprintf("%.3g (%.3g–%.3g)", s.Median, s.Min, s.Max) }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}

// output runs a program and returns its stdout; its stderr is shown when it fails.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	fmt.Fprintln(os.Stderr, "+", cmd)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// fileFigures are in images a second: synth's of the one run, prepare's over the
// rounds, by the command's own clock and by that of the whole process.
type fileFigures struct {
	Galaxies       int     `json:"galaxies"`
	Synth          float64 `json:"synth_images_per_second"`
	Prepare        spread  `json:"prepare_images_per_second"`
	PrepareProcess spread  `json:"prepare_process_images_per_second"`
}

func (f fileFigures) print() {
	fmt.Printf("| files, %d galaxies | img/s |\n|---|---|\n| synth | %.3g |\n| prepare | %v |\n| prepare, whole process | %v |\n\n",
		f.Galaxies, f.Synth, f.Prepare, f.PrepareProcess)
}

func (s settings) data() string          { return filepath.Join(s.work, "data") }
func (s settings) cache(size int) string { return filepath.Join(s.work, fmt.Sprintf("cache-%d", size)) }
func rate(raw []byte) (x float64, err error) {
	var result struct {
		ImagesPerSecond float64 `json:"images_per_second"`
	}
	err = json.Unmarshal(raw, &result)
	return result.ImagesPerSecond, err
}

// synth draws the galaxies, unless they are there, and returns how many a
// second, 0 if they were there.
func (s settings) synth(ctx context.Context) (float64, error) {
	if _, err := os.Stat(s.data()); err == nil {
		return 0, nil
	}
	raw, err := output(ctx, s.galaxy, "synth", "--json", "--out", s.data(), "--count", strconv.Itoa(s.galaxies), "--seed", "1")
	if err != nil {
		return 0, err
	}
	return rate(raw)
}

// files prepares the galaxies once a round, and leaves the caches that the other
// parts train on.
func (s settings) files(ctx context.Context, synth float64) (fileFigures, error) {
	f := fileFigures{Galaxies: s.galaxies, Synth: synth}
	prepare := func(size int) (own, process float64, err error) {
		if err := os.RemoveAll(s.cache(size)); err != nil {
			return 0, 0, err
		}
		begin := time.Now()
		raw, err := output(ctx, s.galaxy, "prepare", "--json", "--labels", filepath.Join(s.data(), "training_solutions_rev1.csv"),
			"--images", filepath.Join(s.data(), "images_training_rev1"), "--out", s.cache(size), "--size", strconv.Itoa(size))
		process = float64(s.galaxies) / time.Since(begin).Seconds()
		if err == nil {
			own, err = rate(raw)
		}
		return own, process, err
	}
	var own, process []float64
	for range s.rounds {
		o, p, err := prepare(s.size)
		if err != nil {
			return f, err
		}
		own, process = append(own, o), append(process, p)
	}
	f.Prepare, f.PrepareProcess = spreadOf(own), spreadOf(process)
	if s.size == s.memorySize {
		return f, nil
	}
	_, _, err := prepare(s.memorySize)
	return f, err
}
