package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/objective"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write a run's best checkpoint as a SavedModel",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Category: catInput, EnvVars: []string{"GALAXY_RUN"}, Usage: "`RUN` folder"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`DIR` to make; must not exist"},
			&cli.BoolFlag{Name: "frozen", Category: catOutput, Usage: "make the weights constants and fold batch norm into them"},
			&cli.StringFlag{Name: "precision", Category: catOutput, Usage: "of the convolutions: auto, float32, bfloat16 or float16", DefaultText: "the run's"},
		},
		Action: exportAction,
	}
}

func exportAction(c *cli.Context) error {
	if err := checkArguments(c, "run", "out"); err != nil {
		return err
	}
	run, out := c.String("run"), c.String("out")
	cfg, err := train.ReadConfig(run)
	if err != nil {
		return err
	}
	// Before the precision: a checkpoint must be of the run as it is.
	best, err := train.BestCheckpoint(run, cfg)
	if err != nil {
		return err
	}
	if c.IsSet("precision") {
		cfg.Model.Precision = graph.Precision(c.String("precision"))
		if err := cfg.Model.Precision.Validate(); err != nil {
			return usageError{err}
		}
		gpu, err := graph.HasGPU(graph.SessionConfig{})
		if err != nil {
			return err
		}
		cfg.Model.Precision = cfg.Model.Precision.Resolve(gpu)
	}
	o, err := objective.New(cfg.Objective)
	if err != nil {
		return fmt.Errorf("run %s: %w", run, err)
	}
	name, err := filepath.Abs(run)
	if err != nil {
		return err
	}
	err = savedmodel.Export(c.Context, savedmodel.Config{
		Out: out, Checkpoint: best.Prefix(), Model: cfg.Model, Posterior: o.Posterior,
		Crop: cfg.Cache.Crop, Frozen: c.Bool("frozen"),
		Metadata: savedmodel.Metadata{
			Galaxy: galaxyVersion, Run: filepath.Base(name), Step: best.State.Step,
			Answers: cfg.Objective.Target().Names(), SplitSeed: cfg.Cache.SplitSeed, Objective: cfg.Objective,
		},
	})
	if err != nil {
		return err
	}
	result := struct {
		Out       string          `json:"out"`
		Step      int64           `json:"step"`
		Frozen    bool            `json:"frozen"`
		Precision graph.Precision `json:"precision"`
	}{out, best.State.Step, c.Bool("frozen"), cfg.Model.Precision}
	return report(c, result, func(w io.Writer) {
		fmt.Fprintf(w, "SavedModel %s: weights after step %d, %s\n", out, result.Step, result.Precision)
	})
}
