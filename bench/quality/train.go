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
	"galaxy/graph/network"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

// trial is one run of a system.
type trial struct {
	system
	seed    int64
	steps   int
	minutes float64 // of training, from which steps follows
	// siblings is the folder that holds the folders of a seed's runs.
	siblings string
	// calibration means that only the time of the steps is measured.
	calibration bool
}

// folder returns the trial's own folder.
func (t trial) folder() string { return filepath.Join(t.siblings, t.Name) }

// scores are the scores of one run on the test split.
type scores struct {
	RMSE     float64 `json:"rmse"`
	Accuracy float64 `json:"accuracy_argmax37"`
	MacroF1  float64 `json:"macro_f1,omitempty"` // of classes
}

// evaluated are scores as galaxy eval prints them. Of a network of classes the accuracy is the classes'.
type evaluated struct {
	scores
	Classes *struct {
		Accuracy float64 `json:"accuracy"`
		MacroF1  float64 `json:"macro_f1"`
	} `json:"five_class"`
	Questions []json.RawMessage `json:"questions"`
}

func (e evaluated) of() scores {
	if e.Classes != nil && e.Questions == nil {
		e.Accuracy, e.MacroF1 = e.Classes.Accuracy, e.Classes.MacroF1
	}
	return e.scores
}

// result is the result of a trial.
type result struct {
	System  string  `json:"system"`
	Seed    int64   `json:"seed"`
	Minutes float64 `json:"minutes,omitempty"` // requested
	Steps   int     `json:"steps"`
	// BestStep is the step whose weights had the best validation RMSE and are
	// scored.
	BestStep int64   `json:"best_step"`
	Epochs   float64 `json:"epochs"`
	Test     scores  `json:"test"`
	// Views are the scores of the mean over 8 views.
	Views *scores `json:"test_views,omitempty"`
	// Constant are the scores of the constant predictor; from galaxy's runs.
	Constant *scores `json:"constant_predictor,omitempty"`
	// TrainSeconds is the sum of all steps except the first, which belongs to the
	// start. WallSeconds is everything; for a resumed run, since it was resumed.
	TrainSeconds float64 `json:"train_seconds"`
	WallSeconds  float64 `json:"wall_seconds"`
	// Curve has every evaluation of the validation split.
	Curve []point `json:"curve"`
}

// point is an evaluation of a run.
type point struct {
	// Step counts from the start of the run. The evaluation after it uses the weights
	// that the run would be scored with: their moving average if the recipe has
	// one.
	Step int64   `json:"step"`
	RMSE float64 `json:"validation_rmse"`
	// TrainSeconds is the time of the steps until then, as in result.
	TrainSeconds float64 `json:"train_seconds"`
	// StartedSeconds also includes the start: from the start of the process to the
	// end of its first step. WallSeconds is everything since the start, including this
	// and other evaluations and checkpoints. Neither is known for a resumed run.
	StartedSeconds float64 `json:"started_seconds,omitempty"`
	WallSeconds    float64 `json:"wall_seconds,omitempty"`
}

// trained is what both sides report about a run.
type trained struct {
	Batch       int       `json:"batch"`
	BestStep    int64     `json:"best_step"`
	Test        scores    `json:"test"`
	Views       *scores   `json:"test_views"`
	Constant    *scores   `json:"constant_predictor"`
	StepSeconds []float64 `json:"step_seconds"`
	// Begin is when the process was started, and FirstStep when its first step ended.
	Begin       time.Time    `json:"-"`
	FirstStep   time.Time    `json:"first_step"`
	Evaluations []evaluation `json:"evaluations"`
}

// evaluation is an evaluation of the validation split, with the time at its end.
type evaluation struct {
	Step int64     `json:"step"`
	RMSE float64   `json:"rmse"`
	Time time.Time `json:"time"`
}

// curve computes the time of every evaluation since the start.
func (t trained) curve() ([]point, error) {
	start := t.FirstStep.Sub(t.Begin).Seconds()
	var points []point
	for _, e := range t.Evaluations {
		if e.Step < 1 || e.Step > int64(len(t.StepSeconds)) {
			return nil, fmt.Errorf("an evaluation after step %d of %d", e.Step, len(t.StepSeconds))
		}
		p := point{Step: e.Step, RMSE: e.RMSE, TrainSeconds: sum(t.StepSeconds[1:e.Step])}
		if start > 0 {
			p.StartedSeconds, p.WallSeconds = start+p.TrainSeconds, e.Time.Sub(t.Begin).Seconds()
		}
		points = append(points, p)
	}
	return points, nil
}

func sum(x []float64) (total float64) {
	for _, v := range x {
		total += v
	}
	return total
}

// result reads the result of a trial, or runs it. examples is the size of the train
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
		System: t.Name, Seed: t.seed, Minutes: t.minutes, Steps: t.steps, BestStep: got.BestStep, Epochs: float64(t.steps*got.Batch) / float64(examples),
		Test: got.Test, Views: got.Views, Constant: got.Constant, TrainSeconds: sum(got.StepSeconds[1:]), WallSeconds: time.Since(begin).Seconds(),
	}
	if r.Curve, err = got.curve(); err != nil {
		return r, err
	}
	if err := writeJSON(path, r); err != nil {
		return r, err
	}
	// A quarter of a gigabyte each. The configuration, which Keras' side reads, and
	// the metrics stay.
	return r, os.RemoveAll(filepath.Join(t.runFolder(), "checkpoints"))
}

// train runs a trial in its folder.
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
		err = fmt.Errorf("%d steps were timed, expected %d", len(got.StepSeconds), t.steps)
	}
	return got, err
}

func (t trial) runFolder() string { return filepath.Join(t.folder(), "run") }

func (s settings) trainOurs(ctx context.Context, t trial) (trained, error) {
	var got trained
	args := []string{"train", "--data", s.cache, "--out", t.runFolder(), "--resume", "--steps", strconv.Itoa(t.steps), "--seed", strconv.FormatInt(t.seed, 10)}
	if s.evalEvery > 0 {
		args = append(args, "--eval-every", strconv.Itoa(s.evalEvery))
	}
	if len(s.reach) > 0 {
		// A second start in the middle of a run would count as time to its goal, so it
		// starts again from scratch, and needs only the best checkpoint.
		if err := os.RemoveAll(t.runFolder()); err != nil {
			return got, err
		}
		args = append(args, "--checkpoint-every", "0")
	}
	if t.calibration {
		args = append(args, "--eval-every", "0", "--checkpoint-every", "0")
	}
	got.Begin = time.Now()
	if err := show(ctx, s.galaxy, slices.Concat(args, t.Flags)...); err != nil {
		return got, err
	}
	cfg, err := train.ReadConfig(t.runFolder())
	if err != nil {
		return got, err
	}
	got.Batch = cfg.Batch
	if err := got.readMetrics(filepath.Join(t.runFolder(), "metrics.jsonl")); err != nil || t.calibration {
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
		evaluated
		Step     int64     `json:"step"`
		Baseline evaluated `json:"baseline"`
	}
	if err := eval("eval.json", &plain); err != nil {
		return err
	}
	constant := plain.Baseline.of()
	got.Test, got.BestStep, got.Constant = plain.of(), plain.Step, &constant
	if t.ViewFlags == nil {
		return nil
	}
	got.Views = new(scores)
	return eval("eval-views.json", got.Views, t.ViewFlags...)
}

// readMetrics reads the steps and the evaluations of a run of galaxy from its
// metrics.jsonl.
func (t *trained) readMetrics(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for scanner := bufio.NewScanner(bytes.NewReader(raw)); scanner.Scan(); {
		var line struct {
			Kind    string    `json:"kind"`
			Step    int64     `json:"step"`
			Seconds float64   `json:"step_seconds"`
			RMSE    float64   `json:"validation_rmse"`
			Time    time.Time `json:"time"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		switch line.Kind {
		case "step":
			if len(t.StepSeconds) == 0 {
				t.FirstStep = line.Time
			}
			t.StepSeconds = append(t.StepSeconds, line.Seconds)
		case "evaluation":
			t.Evaluations = append(t.Evaluations, evaluation{line.Step, line.RMSE, line.Time})
		}
	}
	return nil
}

func (s settings) trainKeras(ctx context.Context, t trial) (got trained, err error) {
	asked := map[string]any{
		"recipe": t.Keras, "cache": s.cache, "seed": t.seed, "steps": t.steps, "evaluate": !t.calibration, "eval_every": s.evalEvery, "xla": t.XLA,
	}
	if t.Keras == "tuned" {
		// What is fastest on this machine, as ours takes by itself.
		asked["precision"] = network.Auto.Resolve(false)
	}
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
	answer := func() error {
		spec := filepath.Join(t.folder(), "spec.json")
		if err := writeJSON(spec, asked); err != nil {
			return err
		}
		got.Begin = time.Now()
		return ask(ctx, filepath.Join(t.folder(), "answer.json"), &got, s.python, s.peer, spec)
	}
	if t.Teacher == "" {
		err = answer()
		return got, err
	}
	cfg, err := train.ReadConfig(t.Teacher)
	if err != nil {
		return got, err
	}
	err = train.WithBest(t.Teacher, cfg, func(best *checkpoint.Checkpoint) error {
		asked["first"] = best.Prefix()
		return answer()
	})
	return got, err
}

// give writes into folder what a trial reuses from its galaxy counterpart (Like): the
// initial weights, which are a pure function of the seed, the order of the examples, and the rates.
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
	rates := make([]float64, cfg.Schedule.Total)
	for i := range rates {
		rates[i] = cfg.Schedule.At(int64(i))
	}
	asked["rates"] = rates
	if err := firstWeights(cfg, weights); err != nil {
		return err
	}
	return s.writeOrder(ctx, cfg, order)
}

func firstWeights(cfg train.Config, prefix string) (err error) {
	loss, err := objective.New(cfg.Objective, cfg.Schema())
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

// writeOrder writes the rows of the cache of every batch of the run, int64 [steps, batch].
func (s settings) writeOrder(ctx context.Context, cfg train.Config, path string) (err error) {
	cache, err := data.Open(s.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	loader, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, Target: cfg.Target(), Batch: cfg.Batch, Seed: cfg.Seed})
	if err != nil {
		return err
	}
	defer loader.Close()
	rows := cache.Labelled(data.Train, cfg.Target())
	var order []byte
	for range cfg.Schedule.Total {
		batch, err := loader.Next(ctx)
		if err != nil {
			return err
		}
		for _, i := range batch.Rows {
			order = binary.LittleEndian.AppendUint64(order, uint64(rows[i]))
		}
	}
	return os.WriteFile(path, order, 0o644)
}
