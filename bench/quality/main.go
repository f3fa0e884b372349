// Command quality trains galaxy and Keras side by side on one cache: the same
// loss, recipe, split, first weights and batch order, for several seeds. It
// prints held-out RMSE and accuracy of both and whether their mean differences
// lie within two standard errors.
//
// Runs are made one after the other, and results that are there already are
// kept: stop it at any time and start it again with the same flags.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train"
	"galaxy/train/objective"
)

type settings struct {
	galaxy, python, peer string
	cache, out           string
	epochs               int
	recipe               []string // further flags of galaxy train
}

func main() {
	s := settings{}
	var seeds string
	flag.StringVar(&s.galaxy, "galaxy", "bin/galaxy", "our program")
	flag.StringVar(&s.python, "python", ".venv-parity/bin/python", "a Python with parity/requirements.txt")
	flag.StringVar(&s.peer, "peer", "bench/quality/peer.py", "the Keras side")
	flag.StringVar(&s.cache, "cache", "", "cache made by galaxy prepare")
	flag.StringVar(&s.out, "out", "", "folder for runs and results; what is there already is not made again")
	flag.IntVar(&s.epochs, "epochs", 8, "length of every run")
	flag.StringVar(&seeds, "seeds", "1,2,3", "one pair of runs each")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: quality -cache CACHE -out DIR [flags] [-- flags of galaxy train]\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	s.recipe = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, s, strings.Split(seeds, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

// scores are those of one run on the test split.
type scores struct {
	RMSE     float64 `json:"rmse"`
	Accuracy float64 `json:"accuracy_argmax37"`
}

type pair struct {
	Seed  string `json:"seed"`
	Ours  scores `json:"ours"`
	Keras scores `json:"keras"`
}

func run(ctx context.Context, out io.Writer, s settings, seeds []string) error {
	if s.cache == "" || s.out == "" {
		return errors.New("-cache and -out are needed")
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fmt.Errorf("make output folder: %w", err)
	}
	var pairs []pair
	for _, seed := range seeds {
		p, err := s.compare(ctx, seed)
		if err != nil {
			return fmt.Errorf("seed %s: %w", seed, err)
		}
		pairs = append(pairs, p)
	}
	return report(out, filepath.Join(s.out, "quality.json"), pairs)
}

// compare makes, or reads, the two runs of a seed.
func (s settings) compare(ctx context.Context, seed string) (pair, error) {
	folder := filepath.Join(s.out, "seed-"+seed)
	ours, keras := filepath.Join(folder, "ours.json"), filepath.Join(folder, "keras.json")
	runFolder := filepath.Join(folder, "run")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return pair{}, err
	}
	p := pair{Seed: seed}
	if _, err := os.Stat(ours); err != nil {
		args := append([]string{"train", "--data", s.cache, "--out", runFolder, "--resume", "--epochs", strconv.Itoa(s.epochs), "--seed", seed}, s.recipe...)
		if err := command(ctx, "", s.galaxy, args...); err != nil {
			return p, err
		}
		if err := command(ctx, ours, s.galaxy, "eval", "--json", "--model", runFolder, "--data", s.cache, "--split", "test"); err != nil {
			return p, err
		}
	}
	if _, err := os.Stat(keras); err != nil {
		spec, err := s.prepare(ctx, folder, runFolder)
		if err != nil {
			return p, err
		}
		if err := command(ctx, keras, s.python, s.peer, spec); err != nil {
			return p, err
		}
	}
	var judged struct {
		Test scores `json:"test"`
	}
	err := errors.Join(readJSON(ours, &p.Ours), readJSON(keras, &judged))
	p.Keras = judged.Test
	return p, err
}

// prepare writes what the Keras side of a run needs: the first weights, which
// are a pure function of the seed, the order of the examples and the rates.
func (s settings) prepare(ctx context.Context, folder, runFolder string) (spec string, err error) {
	cfg, err := train.ReadConfig(runFolder)
	if err != nil {
		return "", err
	}
	first := filepath.Join(folder, "first")
	if err := firstWeights(cfg, first); err != nil {
		return "", err
	}
	order := filepath.Join(folder, "order")
	if err := s.writeOrder(ctx, cfg, order); err != nil {
		return "", err
	}
	rates := make([]float64, cfg.Schedule.Total)
	for step := range rates {
		rates[step] = cfg.Schedule.At(int64(step))
	}
	asked, err := json.Marshal(map[string]any{
		"config": filepath.Join(runFolder, "config.json"), "cache": s.cache, "first": first, "order": order, "rates": rates,
	})
	if err != nil {
		return "", err
	}
	spec = filepath.Join(folder, "spec.json")
	return spec, os.WriteFile(spec, asked, 0o644)
}

func firstWeights(cfg train.Config, prefix string) (err error) {
	loss, err := objective.New(cfg.Objective)
	if err != nil {
		return err
	}
	trainer, err := graph.NewTrainer(graph.TrainerConfig{
		Model: cfg.Model, Loss: loss.Loss, Posterior: loss.Posterior, Optimizer: cfg.Optimizer, Batch: cfg.Batch,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	if err := trainer.Init(cfg.Seed); err != nil {
		return err
	}
	return trainer.Save(prefix)
}

// writeOrder writes the GalaxyIDs of every batch of the run, int64 [steps, batch].
func (s settings) writeOrder(ctx context.Context, cfg train.Config, path string) (err error) {
	cache, err := data.Open(s.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	loader, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, Batch: cfg.Batch, Seed: cfg.Seed})
	if err != nil {
		return err
	}
	defer loader.Close()
	var ids []byte
	for range cfg.Schedule.Total {
		batch, err := loader.Next(ctx)
		if err != nil {
			return err
		}
		for _, id := range batch.IDs {
			ids = binary.LittleEndian.AppendUint64(ids, uint64(id))
		}
	}
	return os.WriteFile(path, ids, 0o644)
}

// command runs a program. Its stdout goes to the file result, which appears
// only when the program has ended well, or to our stderr when result is "".
func command(ctx context.Context, result, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	fmt.Fprintln(os.Stderr, "+", cmd)
	var stdout bytes.Buffer
	if result != "" {
		cmd.Stdout = &stdout
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	if result == "" {
		return nil
	}
	if err := os.WriteFile(result+".tmp", stdout.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(result+".tmp", result)
}

func readJSON(path string, to any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// difference is ours minus Keras' over the seeds. The runs of a seed share first
// weights and order, so the differences are paired.
type difference struct {
	Mean          float64 `json:"mean"`
	StandardError float64 `json:"standard_error"`
	Within        bool    `json:"within_two_standard_errors"`
}

func differ(pairs []pair, of func(scores) float64) difference {
	var sum, squares float64
	n := float64(len(pairs))
	for _, p := range pairs {
		sum += of(p.Ours) - of(p.Keras)
	}
	mean := sum / n
	for _, p := range pairs {
		squares += math.Pow(of(p.Ours)-of(p.Keras)-mean, 2)
	}
	d := difference{Mean: mean, StandardError: math.Sqrt(squares / (n - 1) / n)}
	d.Within = math.Abs(d.Mean) <= 2*d.StandardError
	return d
}

func report(out io.Writer, path string, pairs []pair) error {
	var text strings.Builder
	fmt.Fprintf(&text, "| seed | RMSE galaxy | RMSE Keras | difference | accuracy galaxy | accuracy Keras | difference |\n|---|---|---|---|---|---|---|\n")
	for _, p := range pairs {
		fmt.Fprintf(&text, "| %s | %.4f | %.4f | %+.4f | %.4f | %.4f | %+.4f |\n", p.Seed,
			p.Ours.RMSE, p.Keras.RMSE, p.Ours.RMSE-p.Keras.RMSE, p.Ours.Accuracy, p.Keras.Accuracy, p.Ours.Accuracy-p.Keras.Accuracy)
	}
	if len(pairs) < 2 {
		text.WriteString("\none seed says nothing about the spread: use at least three\n")
		_, err := io.WriteString(out, text.String())
		return err
	}
	result := struct {
		Pairs    []pair     `json:"pairs"`
		RMSE     difference `json:"rmse_difference"`
		Accuracy difference `json:"accuracy_difference"`
	}{pairs, differ(pairs, func(s scores) float64 { return s.RMSE }), differ(pairs, func(s scores) float64 { return s.Accuracy })}
	for i, d := range []difference{result.RMSE, result.Accuracy} {
		name := []string{"RMSE", "accuracy"}[i]
		fmt.Fprintf(&text, "\n%s: mean difference %+.5f, two standard errors %.5f: within: %v\n", name, d.Mean, 2*d.StandardError, d.Within)
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
