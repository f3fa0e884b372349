package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "score a run's best checkpoint or a SavedModel on labelled galaxies",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder; a SavedModel is a program: take only what you trust"},
			&cli.StringFlag{Name: "data", Category: catInput, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare"},
			&cli.StringFlag{Name: "split", Category: catInput, Value: data.Test.String(), Usage: "train, validation or test"},
			&cli.BoolFlag{Name: "project", Category: catInput, Usage: "score the probabilities made to obey the sum rules of the question tree"},
			&cli.Float64Flag{Name: "alpha", Category: catObjective, Value: focal.Default().Alpha, Usage: "of the focal loss, for a SavedModel that does not tell"},
			&cli.Float64Flag{Name: "gamma", Category: catObjective, Value: focal.Default().Gamma, Usage: "of the focal loss, for a SavedModel that does not tell"},
			&cli.IntFlag{Name: "batch", Category: catSpeed, Value: train.EvalBatch, Usage: "images predicted at a time"},
			&cli.IntFlag{Name: "threads", Category: catSpeed, EnvVars: []string{"GALAXY_THREADS"}, Usage: "CPU threads; 0 is one a core"},
		},
		Action: evalAction,
	}
}

// evaluated is the result of eval.
type evaluated struct {
	Model string `json:"model"`
	Split string `json:"split"`
	Step  int64  `json:"step"`
	// Projected tells that the probabilities were made to obey the sum rules.
	Projected bool `json:"projected"`
	metric.Result
	ImagesPerSecond float64 `json:"images_per_second"`
}

func evalAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "model", "data"); err != nil {
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
	defer func() { err = errors.Join(err, cache.Close()) }()
	foreign := objective.Config{Head: objective.Answers, Loss: objective.Focal, Alpha: c.Float64("alpha"), Gamma: c.Float64("gamma")}
	if err := foreign.Validate(); err != nil {
		return usageError{err}
	}
	model, err := openModel(c.String("model"), cache, session, foreign)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.close()) }()

	trained := model.objective.Config()
	if !reflect.DeepEqual(trained, foreign) && (c.IsSet("alpha") || c.IsSet("gamma")) {
		return usageError{fmt.Errorf("--alpha and --gamma are for a SavedModel that does not tell its loss; %s was trained with the %v", c.String("model"), trained)}
	}
	if c.Bool("project") {
		if trained.Target() != data.Fractions {
			return usageError{fmt.Errorf("--project: the model has the %s head, whose classes are not in the question tree", trained.Head)}
		}
		model.Predictor = projected{model.Predictor}
	}
	bar := newBar(c, "evaluate", "img")
	begin := time.Now()
	scores, err := train.Evaluate(c.Context, model, train.Evaluation{
		Cache: cache, Split: split, Batch: c.Int("batch"), Objective: model.objective, Baseline: true, Progress: bar.set,
	})
	if err := bar.close(err); err != nil {
		return err
	}
	result := evaluated{
		Model: c.String("model"), Split: split.String(), Step: model.step, Projected: c.Bool("project"), Result: scores,
		ImagesPerSecond: float64(scores.Examples) / time.Since(begin).Seconds(),
	}
	return report(c, result, func(w io.Writer) { printScores(w, result) })
}

func printScores(w io.Writer, r evaluated) {
	projected := ""
	if r.Projected {
		projected = ", projected onto the question tree"
	}
	fmt.Fprintf(w, "%s, %s split, %d galaxies%s (%.0f img/s)\n", r.Model, r.Split, r.Examples, projected, r.ImagesPerSecond)
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
	objective *objective.Objective
	step      int64
	close     func() error
}

// projected is a Predictor whose probabilities obey the sum rules; its logits,
// and so the loss, are the network's.
type projected struct{ train.Predictor }

func (p projected) Predict(images []byte) (logits, probabilities []float32, err error) {
	if logits, probabilities, err = p.Predictor.Predict(images); err != nil {
		return nil, nil, err
	}
	for row := range slices.Chunk(probabilities, data.Answers) {
		if err := data.ProjectTree(row); err != nil {
			return nil, nil, err
		}
	}
	return logits, probabilities, nil
}

// openModel opens a run folder's best checkpoint or a SavedModel, to be scored
// on cache. foreign is the loss of a SavedModel that does not tell its own.
func openModel(dir string, cache *data.Cache, session graph.SessionConfig, foreign objective.Config) (model, error) {
	cfg, err := train.ReadConfig(dir)
	if err == nil {
		return openRun(dir, cfg, cache.Manifest(), session)
	}
	if exists(filepath.Join(dir, "saved_model.pb")) {
		return openSavedModel(dir, cache.Manifest(), session, foreign)
	}
	if errors.Is(err, os.ErrNotExist) {
		return model{}, fmt.Errorf("%s is neither a run folder (it has no config.json) nor a SavedModel (it has no saved_model.pb)", dir)
	}
	return model{}, err
}

// sameData checks that a cache was prepared as the one a model was trained on:
// else the figures would be those of another question, or of galaxies that the
// model was trained on.
func sameData(m data.Manifest, crop int, splitSeed int64) error {
	if m.Crop != crop {
		return fmt.Errorf("it was trained on the middle %d px of the images, the cache has the middle %d px: prepare one with --crop %d", crop, m.Crop, crop)
	}
	if m.SplitSeed != splitSeed {
		return fmt.Errorf("it was trained on the split of seed %d, the cache has that of seed %d, so some of its galaxies were trained on: prepare one with --split-seed %d",
			splitSeed, m.SplitSeed, splitSeed)
	}
	return nil
}

func openRun(dir string, cfg train.Config, m data.Manifest, session graph.SessionConfig) (model, error) {
	if cfg.Model.Size != m.Size {
		return model{}, fmt.Errorf("run %s was trained at %d px, the cache has images of %d px: prepare one with --size %d",
			dir, cfg.Model.Size, m.Size, cfg.Model.Size)
	}
	if err := sameData(m, cfg.Cache.Crop, cfg.Cache.SplitSeed); err != nil {
		return model{}, fmt.Errorf("run %s: %w", dir, err)
	}
	o, err := objective.New(cfg.Objective)
	if err != nil {
		return model{}, fmt.Errorf("run %s: %w", dir, err)
	}
	best, err := train.BestCheckpoint(dir, cfg)
	if err != nil {
		return model{}, err
	}
	g, err := graph.NewInferenceGraph(cfg.Model, o.Posterior, nil)
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
	return model{Predictor: inference, objective: o, step: best.State.Step, close: inference.Close}, nil
}

func openSavedModel(dir string, m data.Manifest, session graph.SessionConfig, trained objective.Config) (model, error) {
	loaded, err := savedmodel.Load(dir, savedmodel.LoadConfig{Size: m.Size, Session: session})
	if err != nil {
		return model{}, err
	}
	var step int64
	if meta := loaded.Metadata(); meta == nil {
		fmt.Fprintf(os.Stderr, "SavedModel %s does not tell how it was trained (it has no assets.extra/galaxy.json): "+
			"it is taken for one with the %v, and whether it was trained on these galaxies is not known\n", dir, trained)
	} else {
		step, trained = meta.Step, meta.Objective
		if err := sameData(m, meta.Crop, meta.SplitSeed); err != nil {
			return model{}, fmt.Errorf("SavedModel %s: %w", dir, err)
		}
	}
	o, err := objective.New(trained)
	if err != nil {
		return model{}, fmt.Errorf("SavedModel %s: %w; if an older version of galaxy wrote it, export it again", dir, err)
	}
	if loaded.Outputs != o.Outputs() {
		return model{}, fmt.Errorf("SavedModel %s gives %d answers: expected the %d of the %s head", dir, loaded.Outputs, o.Outputs(), trained.Head)
	}
	return model{Predictor: loaded, objective: o, step: step, close: func() error { return nil }}, nil
}
