// Command bench compares galaxy with Keras and PyTorch on the machine it
// runs on: files, prediction, batches, training steps of several sizes, checkpoints,
// and whether an image costs the same in larger batches, in larger sets, on more
// replicas and late in a run. It prints Markdown and writes JSON.
//
// A ratio counts only when both sides did the same work on the same machine in
// the same run, so the sides alternate, round by round.
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
	"syscall"
	"time"
)

// warm is the number of steps of every process that are not measured: they
// allocate, and Keras traces.
const warm = 3

type settings struct {
	galaxy, python, torchPython string
	peers                       []string
	work                        string // folder for data and runs
	galaxies                    int
	submission                  int // rows of the submission
	sizes                       []int
	batch                       int
	rounds, steps               int
	turnLimit                   time.Duration
	checkpointSteps             int
	growth                      growthSettings
	jit, xla                    bool
	alone, devices              string // whose steps the part mirror compares
	mirrorBatch, workers        int
	only, precisions            []string
}

// part is one thing to measure, and how; it prints its own figures.
type part struct {
	name    string
	always  bool // without -only
	measure func(ctx context.Context, f *figures) error
}

func (s settings) parts() []part {
	return []part{
		{"files", true, s.files},
		{"intake", false, s.intake},
		{"predict", true, s.predict},
		{"submission", false, s.submit},
		{"serve", false, s.serve},
		{"feed", true, s.feed}, // before limit, which leaves TensorFlow's memory in this process
		{"step", true, s.step},
		{"limit", true, s.limit},
		{"checkpoint", true, s.checkpoint},
		{"mirror", false, s.mirror},
		{"growth", true, s.measureGrowth},
	}
}

func main() {
	var s settings
	var only, precisions, peers, jsonPath string
	var always, others []string
	for _, p := range s.parts() {
		if p.always {
			always = append(always, p.name)
		} else {
			others = append(others, p.name)
		}
	}
	flag.StringVar(&s.galaxy, "galaxy", "bin/galaxy", "our program")
	flag.StringVar(&s.python, "python", ".venv-parity/bin/python", "a Python with parity/requirements.txt")
	flag.StringVar(&s.torchPython, "torch-python", ".venv-torch/bin/python", "a Python with bench/requirements-torch.txt")
	flag.StringVar(&peers, "peers", "keras", "programs to compare the training step with: keras, keras-eigen, torch")
	flag.StringVar(&s.work, "work", "", "folder for data and runs, kept, whose galaxies are used again; default is a temporary one")
	flag.IntVar(&s.galaxies, "galaxies", 2000, "synthetic galaxies to work on")
	flag.IntVar(&s.submission, "submission-rows", 79975, "rows of the submission")
	numbers(&s.sizes, "sizes", "64,128,224", "image sides of the training step and of prepare, pixels; other parts take 128, or the first where it is not there")
	flag.IntVar(&s.batch, "batch", 32, "examples of the training step")
	flag.IntVar(&s.rounds, "rounds", 3, "turns of ours and each peer's")
	flag.IntVar(&s.steps, "steps", 15, "steps of every turn, at least 5, fewer of images above 128 px; the first 3 are not measured")
	flag.DurationVar(&s.turnLimit, "turn-limit", 10*time.Minute, "how long a peer's turn may take; after that it is not measured")
	flag.IntVar(&s.checkpointSteps, "checkpoint-steps", 40, "checkpoint: steps of every turn, at least 16")
	flag.StringVar(&s.growth.tables, "growth", "batch,examples,replicas,length", "growth: its tables")
	flag.IntVar(&s.growth.rounds, "growth-rounds", 1, "growth: turns of each row")
	numbers(&s.growth.batches, "growth-batches", "8,16,32,64,128,256", "growth: batches")
	numbers(&s.growth.examples, "growth-examples", "1000,8000,61578", "growth: examples of the sets")
	flag.IntVar(&s.growth.steps, "growth-steps", 10000, "growth: steps of the long run, at least 100")
	flag.BoolVar(&s.jit, "jit", true, "measure the peers compiled too: Keras by XLA, PyTorch by torch.compile")
	flag.BoolVar(&s.xla, "xla", false, "measure ours with XLA too, on GPUs")
	flag.StringVar(&only, "only", strings.Join(always, ","), "what to measure: these, and "+strings.Join(others, ", "))
	flag.StringVar(&s.alone, "alone", "cpu", "mirror: one device, as galaxy train --devices takes it; its batch is -batch")
	flag.StringVar(&s.devices, "devices", "cpu:2", "mirror: several devices")
	flag.IntVar(&s.mirrorBatch, "mirror-batch", 0, "mirror: examples of a step on several devices; 0 is -batch")
	flag.IntVar(&s.workers, "workers", 0, "mirror: processes on this machine that train together, with its cores shared out among them; 0 leaves them out")
	flag.StringVar(&precisions, "precisions", "float32,bfloat16", "of the training step, of float32, bfloat16 and float16")
	flag.StringVar(&jsonPath, "json", "", "file to write the figures to; default is none")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: %q: expected flags alone\n", flag.Args())
		os.Exit(2)
	}
	s.only, s.precisions = strings.Split(only, ","), strings.Split(precisions, ",")
	for name := range strings.SplitSeq(peers, ",") {
		peer, ok := map[string]string{"keras": keras, "keras-eigen": kerasEigen, "torch": torch}[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "bench: -peers %s: expected some of keras, keras-eigen, torch\n", name)
			os.Exit(2)
		}
		s.peers = append(s.peers, peer)
	}
	if _, set := os.LookupEnv("TF_ENABLE_ONEDNN_OPTS"); !set {
		os.Setenv("TF_ENABLE_ONEDNN_OPTS", "1") // galaxy uses them anyway, and Keras should too
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, jsonPath); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// numbers defines a flag for numbers above 0, separated by commas.
func numbers(to *[]int, name, value, usage string) {
	set := func(value string) error {
		*to = nil
		for word := range strings.SplitSeq(value, ",") {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("%q: expected a number above 0", word)
			}
			*to = append(*to, n)
		}
		return nil
	}
	if err := set(value); err != nil {
		panic(err) // the program's own default is wrong
	}
	flag.Func(name, fmt.Sprintf("%s (default %s)", usage, value), set)
}

// figures is the content of the JSON file. A part that was not measured is missing.
type figures struct {
	Machine     machine            `json:"machine"`
	Files       *fileFigures       `json:"files,omitempty"`
	Intake      *intakeFigures     `json:"intake,omitempty"`
	Predict     *rateFigures       `json:"predict,omitempty"`
	PredictInt8 *rateFigures       `json:"predict_int8,omitempty"`
	Submission  *submissionFigures `json:"submission,omitempty"`
	Serve       *serveFigures      `json:"serve,omitempty"`
	Steps       []stepFigures      `json:"steps,omitempty"`
	Limit       []limitFigures     `json:"limit,omitempty"`
	Feed        *rateFigures       `json:"feed,omitempty"`
	Checkpoint  *checkpointFigures `json:"checkpoint,omitempty"`
	Mirror      []mirrorFigures    `json:"mirror,omitempty"`
	Growth      *growthFigures     `json:"growth,omitempty"`
}

func run(ctx context.Context, s settings, jsonPath string) (err error) {
	if s.steps < warm+2 || s.checkpointSteps < 2*saveEvery || s.growth.steps < 100 || s.rounds < 1 || s.growth.rounds < 1 {
		return fmt.Errorf("expected -steps of %d or more, -checkpoint-steps of %d or more, -growth-steps of 100 or more, -rounds and -growth-rounds of 1 or more", warm+2, 2*saveEvery)
	}
	if s.batch < 2 || slices.Min(s.sizes) < 32 {
		return errors.New("expected -batch of 2 or more and -sizes of 32 or more")
	}
	if err := someOf("-precisions", s.precisions, []string{"float32", "bfloat16", "float16"}); err != nil {
		return err
	}
	var names []string
	for _, p := range s.parts() {
		names = append(names, p.name)
	}
	if err := someOf("-only", s.only, names); err != nil {
		return err
	}
	if err := someOf("-growth", strings.Split(s.growth.tables, ","), growthTables); err != nil {
		return err
	}
	if s.work == "" {
		if s.work, err = os.MkdirTemp("", "galaxy-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	}
	f := figures{Machine: s.machine(ctx)}
	f.Machine.print()
	for _, p := range s.parts() {
		if !slices.Contains(s.only, p.name) {
			continue
		}
		// Written after every part, so that a later failure does not lose an hour's
		// measurements.
		err := p.measure(ctx, &f)
		if err := errors.Join(err, writeFigures(jsonPath, f)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// someOf returns an error for a word of a flag that is not one of the known ones.
func someOf(flag string, words, all []string) error {
	for _, word := range words {
		if !slices.Contains(all, word) {
			return fmt.Errorf("%s %s: expected some of %s", flag, word, strings.Join(all, ", "))
		}
	}
	return nil
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

// waitDelay is how long to wait for a killed program: its children may hold its pipes for
// longer.
const waitDelay = 10 * time.Second

// output runs a program and returns its stdout; it shows the stderr if the program fails.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = waitDelay
	fmt.Fprintln(os.Stderr, "+", cmd)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// size is the size that parts with one size use.
func (s settings) size() int {
	if slices.Contains(s.sizes, 128) {
		return 128
	}
	return s.sizes[0]
}

func (s settings) data() string          { return filepath.Join(s.work, "data") }
func (s settings) cache(size int) string { return filepath.Join(s.work, fmt.Sprintf("cache-%d", size)) }

// images and labelsFile are the paths of a set's files: a folder as galaxy synth makes it.
func images(set string) string     { return filepath.Join(set, "images_training_rev1") }
func labelsFile(set string) string { return filepath.Join(set, "training_solutions_rev1.csv") }

// synth draws the galaxies, unless they exist, and returns how many it drew per second, 0
// if they existed.
func (s settings) synth(ctx context.Context) (float64, error) {
	if files, err := os.ReadDir(images(s.data())); err == nil {
		if len(files) != s.galaxies {
			return 0, fmt.Errorf("%s has %d galaxies: expected -galaxies %d", s.data(), len(files), s.galaxies)
		}
		return 0, nil
	}
	answer, err := clock(ctx, s.galaxies, s.galaxy, "synth", "--json", "--out", s.data(), "--count", strconv.Itoa(s.galaxies), "--seed", "1")
	return answer.own, err
}

// prepared makes the cache of the galaxies, unless it exists.
func (s settings) prepared(ctx context.Context, size int) (cache string, err error) {
	if _, err := s.synth(ctx); err != nil {
		return "", err
	}
	_, err = s.prepare(ctx, s.data(), s.cache(size), size, s.galaxies)
	return s.cache(size), err
}

// prepare makes a cache of a set of n galaxies. galaxy prepare does not change an existing cache.
func (s settings) prepare(ctx context.Context, set, cache string, size, n int) (rateTurn, error) {
	return clock(ctx, n, s.galaxy, "prepare", "--json", "--labels", labelsFile(set), "--images", images(set), "--out", cache, "--size", strconv.Itoa(size))
}
