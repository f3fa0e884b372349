package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train"
	"galaxy/train/objective"
)

// trial is one run of a system.
type trial struct {
	system
	seed  int64
	steps int
	// siblings is the folder that holds those of the runs of a seed.
	siblings string
	// calibration asks for the time of the steps alone.
	calibration bool
}

// folder is the trial's own.
func (t trial) folder() string { return filepath.Join(t.siblings, t.Name) }

// scores are those of one run on the test split.
type scores struct {
	RMSE     float64 `json:"rmse"`
	Accuracy float64 `json:"accuracy_argmax37"`
}

// result is what a trial came to.
type result struct {
	System string `json:"system"`
	Seed   int64  `json:"seed"`
	Steps  int    `json:"steps"`
	// BestStep is the step whose weights had the best validation RMSE and are
	// scored.
	BestStep int64   `json:"best_step"`
	Epochs   float64 `json:"epochs"`
	Test     scores  `json:"test"`
	// Views are the scores of the mean over 8 views.
	Views *scores `json:"test_views,omitempty"`
	// Constant are those of the constant predictor; from our runs.
	Constant *scores `json:"constant_predictor,omitempty"`
	// TrainSeconds is the sum of all steps but the first, which belongs to the
	// start. WallSeconds is everything, of the last go of a run that was stopped.
	TrainSeconds float64 `json:"train_seconds"`
	WallSeconds  float64 `json:"wall_seconds"`
}

// trained is what the two sides tell of a run.
type trained struct {
	Batch       int       `json:"batch"`
	BestStep    int64     `json:"best_step"`
	Test        scores    `json:"test"`
	Views       *scores   `json:"test_views"`
	Constant    *scores   `json:"constant_predictor"`
	StepSeconds []float64 `json:"step_seconds"`
}

// result reads what a trial came to, or makes it. examples is the size of the train
// split.
func (s settings) result(ctx context.Context, t trial, examples int) (result, error) {
	path := filepath.Join(t.folder(), "result.json")
	var r result
	if err := readJSON(path, &r); !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	begin := time.Now()
	got, err := s.train(ctx, t)
	if err != nil {
		return r, err
	}
	r = result{
		System: t.Name, Seed: t.seed, Steps: t.steps, BestStep: got.BestStep, Epochs: float64(t.steps*got.Batch) / float64(examples),
		Test: got.Test, Views: got.Views, Constant: got.Constant, WallSeconds: time.Since(begin).Seconds(),
	}
	for _, seconds := range got.StepSeconds[1:] {
		r.TrainSeconds += seconds
	}
	if err := writeJSON(path, r); err != nil {
		return r, err
	}
	// A quarter of a gigabyte each. The configuration, which Keras' side reads, and
	// the metrics stay.
	return r, os.RemoveAll(filepath.Join(t.runFolder(), "checkpoints"))
}

// train makes a trial in its folder.
func (s settings) train(ctx context.Context, t trial) (got trained, err error) {
	if err := os.MkdirAll(t.folder(), 0o755); err != nil {
		return got, err
	}
	if t.Keras == "" {
		got, err = s.trainOurs(ctx, t)
	} else {
		got, err = s.trainKeras(ctx, t)
	}
	if err == nil && len(got.StepSeconds) != t.steps {
		err = fmt.Errorf("%d steps were timed, want %d", len(got.StepSeconds), t.steps)
	}
	return got, err
}

func (t trial) runFolder() string { return filepath.Join(t.folder(), "run") }

func (s settings) trainOurs(ctx context.Context, t trial) (trained, error) {
	var got trained
	args := []string{"train", "--data", s.cache, "--out", t.runFolder(), "--resume", "--steps", strconv.Itoa(t.steps), "--seed", strconv.FormatInt(t.seed, 10)}
	if t.calibration {
		args = append(args, "--eval-every", "0", "--checkpoint-every", "0")
	}
	if err := show(ctx, s.galaxy, slices.Concat(args, t.Flags)...); err != nil {
		return got, err
	}
	cfg, err := train.ReadConfig(t.runFolder())
	if err != nil {
		return got, err
	}
	got.Batch = cfg.Batch
	if got.StepSeconds, err = stepSeconds(filepath.Join(t.runFolder(), "metrics.jsonl")); err != nil || t.calibration {
		return got, err
	}
	return got, s.scoreOurs(ctx, t, &got)
}

func (s settings) scoreOurs(ctx context.Context, t trial, got *trained) error {
	eval := func(name string, to any, flags ...string) error {
		args := append([]string{"eval", "--json", "--model", t.runFolder(), "--data", s.cache, "--split", "test"}, flags...)
		return ask(ctx, filepath.Join(t.folder(), name), to, s.galaxy, args...)
	}
	var plain struct {
		scores
		Step     int64  `json:"step"`
		Baseline scores `json:"baseline"`
	}
	if err := eval("eval.json", &plain); err != nil {
		return err
	}
	got.Test, got.BestStep, got.Constant = plain.scores, plain.Step, &plain.Baseline
	if t.ViewFlags == nil {
		return nil
	}
	got.Views = new(scores)
	return eval("eval-views.json", got.Views, t.ViewFlags...)
}

// stepSeconds reads the time of every step from a run's metrics.jsonl.
func stepSeconds(path string) ([]float64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var seconds []float64
	for scanner := bufio.NewScanner(bytes.NewReader(raw)); scanner.Scan(); {
		var line struct {
			Kind    string  `json:"kind"`
			Seconds float64 `json:"step_seconds"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if line.Kind == "step" {
			seconds = append(seconds, line.Seconds)
		}
	}
	return seconds, nil
}

func (s settings) trainKeras(ctx context.Context, t trial) (got trained, err error) {
	asked := map[string]any{"recipe": t.Keras, "cache": s.cache, "seed": t.seed, "steps": t.steps, "evaluate": !t.calibration}
	if t.Changes != nil {
		asked["changes"] = t.Changes
	}
	if t.Like != "" {
		given := filepath.Join(t.folder(), "given")
		defer func() { err = errors.Join(err, os.RemoveAll(given)) }()
		if err := s.give(ctx, t, given, asked); err != nil {
			return got, err
		}
	}
	spec := filepath.Join(t.folder(), "spec.json")
	if err := writeJSON(spec, asked); err != nil {
		return got, err
	}
	return got, ask(ctx, filepath.Join(t.folder(), "answer.json"), &got, s.python, s.peer, spec)
}

// give writes into folder what a trial takes over from the run of ours that it is
// like: the first weights, which are a pure function of the seed, and the order of
// the examples.
func (s settings) give(ctx context.Context, t trial, folder string, asked map[string]any) error {
	run := filepath.Join(t.siblings, t.Like, "run")
	cfg, err := train.ReadConfig(run)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	weights, order := filepath.Join(folder, "first"), filepath.Join(folder, "order")
	asked["config"], asked["first"], asked["order"] = filepath.Join(run, "config.json"), weights, order
	if err := firstWeights(cfg, weights); err != nil {
		return err
	}
	return s.writeOrder(ctx, cfg, order)
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
