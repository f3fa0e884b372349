package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/metric"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "score a run's best checkpoint or a SavedModel on labelled galaxies",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Required: true, Usage: "`RUN|SAVEDMODEL` folder; a SavedModel is a program: take only what you trust"},
			&cli.StringFlag{Name: "data", Required: true, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare"},
			&cli.StringFlag{Name: "split", Value: data.Test.String(), Usage: "train, validation or test"},
			&cli.IntFlag{Name: "batch", Value: train.EvalBatch, Usage: "images predicted at a time"},
			&cli.IntFlag{Name: "threads", EnvVars: []string{"GALAXY_THREADS"}, Usage: "CPU threads; 0 is one a core"},
		},
		Action: evalAction,
	}
}

// evaluated is the result of eval.
type evaluated struct {
	Model string `json:"model"`
	Split string `json:"split"`
	Step  int64  `json:"step"`
	metric.Result
	ImagesPerSecond float64 `json:"images_per_second"`
}

func evalAction(c *cli.Context) (err error) {
	if err := noArguments(c); err != nil {
		return err
	}
	split, err := data.ParseSplit(c.String("split"))
	if err != nil {
		return usageError{fmt.Errorf("--split: %w", err)}
	}
	session := graph.SessionConfig{Threads: c.Int("threads")}
	if err := session.Validate(); err != nil {
		return usageError{err}
	}
	if c.Int("batch") < 1 {
		return usageError{fmt.Errorf("--batch %d: expected at least 1", c.Int("batch"))}
	}
	cache, err := data.Open(c.String("data"))
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, cache.Close()) }()
	model, err := openModel(c.String("model"), cache.Size(), session)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, model.close()) }()

	bar := newBar(c, "evaluate", "img")
	begin := time.Now()
	scores, err := train.Evaluate(c.Context, model, train.Evaluation{
		Cache: cache, Split: split, Batch: c.Int("batch"), Loss: model.loss, Baseline: true, Progress: bar.set,
	})
	if err := bar.close(err); err != nil {
		return err
	}
	result := evaluated{
		Model: c.String("model"), Split: split.String(), Step: model.step, Result: scores,
		ImagesPerSecond: float64(scores.Examples) / time.Since(begin).Seconds(),
	}
	return report(c, result, func(w io.Writer) { printScores(w, result) })
}

func printScores(w io.Writer, r evaluated) {
	fmt.Fprintf(w, "%s, %s split, %d galaxies (%.0f img/s)\n", r.Model, r.Split, r.Examples, r.ImagesPerSecond)
	fmt.Fprintf(w, "%-28s %10s %24s %10s\n", "", "model", "95 % interval", "constant")
	row := func(name string, value float64, interval *metric.Interval, base float64) {
		between := ""
		if interval != nil {
			between = fmt.Sprintf("%.4f to %.4f", interval[0], interval[1])
		}
		fmt.Fprintf(w, "%-28s %10.4f %24s %10.4f\n", name, value, between, base)
	}
	row("RMSE of the 37 fractions", r.RMSE, &r.RMSEInterval, r.Baseline.RMSE)
	row("accuracy, largest of 37", r.AccuracyArgmax37, &r.AccuracyArgmax37Interval, r.Baseline.AccuracyArgmax37)
	row("accuracy over questions", r.QuestionAccuracy, nil, r.Baseline.QuestionAccuracy)
	row("loss", r.Loss, nil, r.Baseline.Loss)
}

// model is a network to evaluate, from wherever it came.
type model struct {
	train.Predictor
	loss  metric.Loss
	step  int64
	close func() error
}

// openModel opens a run folder's best checkpoint or a SavedModel, for images of
// the given size.
func openModel(dir string, size int, session graph.SessionConfig) (model, error) {
	cfg, err := train.ReadConfig(dir)
	if err == nil {
		return openRun(dir, cfg, size, session)
	}
	if exists(filepath.Join(dir, "saved_model.pb")) {
		return openSavedModel(dir, size, session)
	}
	if errors.Is(err, os.ErrNotExist) {
		return model{}, fmt.Errorf("%s is neither a run folder (it has no config.json) nor a SavedModel (it has no saved_model.pb)", dir)
	}
	return model{}, err
}

func openRun(dir string, cfg train.Config, size int, session graph.SessionConfig) (model, error) {
	if cfg.Model.Size != size {
		return model{}, fmt.Errorf("run %s was trained at %d px, the cache has images of %d px: prepare one with --size %d",
			dir, cfg.Model.Size, size, cfg.Model.Size)
	}
	functions, err := lossFunctions(cfg.Loss)
	if err != nil {
		return model{}, fmt.Errorf("run %s: %w", dir, err)
	}
	best, err := train.BestCheckpoint(dir)
	if err != nil {
		return model{}, err
	}
	g, err := graph.NewInferenceGraph(cfg.Model, functions.Posterior, nil)
	if err != nil {
		return model{}, err
	}
	inference, err := g.Open(session)
	if err != nil {
		return model{}, err
	}
	if err := inference.Restore(best.Prefix()); err != nil {
		return model{}, errors.Join(err, inference.Close())
	}
	return model{Predictor: inference, loss: functions.Score, step: best.State.Step, close: inference.Close}, nil
}

func openSavedModel(dir string, size int, session graph.SessionConfig) (model, error) {
	m, err := savedmodel.Load(dir, savedmodel.LoadConfig{Size: size, Outputs: data.Answers, Session: session})
	if err != nil {
		return model{}, err
	}
	meta := m.Metadata()
	if meta == nil {
		return model{}, fmt.Errorf("SavedModel %s does not say which loss it was trained with (it has no assets.extra/galaxy.json): galaxy export writes one that does", dir)
	}
	loss := focal.Params{Alpha: meta.Alpha, Gamma: meta.Gamma}
	if err := loss.Validate(); err != nil {
		return model{}, fmt.Errorf("SavedModel %s: %w", dir, err)
	}
	return model{Predictor: m, loss: loss, step: meta.Step, close: func() error { return nil }}, nil
}
