package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/modelcard"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write a run's best checkpoint as a SavedModel, or its weights for PyTorch",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Category: catInput, EnvVars: []string{"GALAXY_RUN"}, Usage: "`RUN` folder"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`DIR` to make; must not exist"},
			&cli.StringFlag{Name: "safetensors", Category: catOutput, Usage: "instead of --out: write the weights to `FILE` under the names of torchvision's and timm's ResNets (docs/weights.md); must not exist"},
			&cli.BoolFlag{Name: "frozen", Category: catOutput, Usage: "make the weights constants and fold batch norm into the convolutions"},
			&cli.StringFlag{Name: "precision", Category: catOutput, Usage: "precision of the convolutions: auto, float32, bfloat16, float16 or, with --frozen, int8 (x86 CPUs)", DefaultText: "the run's"},
			&cli.StringFlag{Name: "evaluation", Category: catInput, Usage: "`FILE` with the result of galaxy eval --json on the run, for the scores of the model card (README.md)", DefaultText: "the validation RMSE alone"},
			&cli.StringFlag{Name: "license", Category: catOutput, Usage: "`LICENCE` of the model for its card, an identifier of Hugging Face's such as cc-by-4.0 or mit"},
			&cli.StringFlag{Name: "data", Category: catInput, Usage: "for int8: the run's `CACHE`, if it has moved; the ranges of activations are measured on images of its train split"},
		},
		Action: exportAction,
	}
}

func exportAction(c *cli.Context) error {
	if c.String("safetensors") != "" {
		return exportSafetensors(c)
	}
	if err := checkArguments(c, "run", "out"); err != nil {
		return err
	}
	run, out := c.String("run"), c.String("out")
	cfg, err := train.ReadConfig(run)
	if err != nil {
		return err
	}
	if cfg.Pretrain.IsSet() {
		return errNoHead(run, "galaxy export --safetensors writes the weights below a head")
	}
	asTrained := cfg
	int8 := c.String("precision") == string(network.Int8)
	switch {
	case c.IsSet("data") && c.String("data") == "":
		return usage.Error{Err: errors.New("--data is empty: expected a cache")}
	case int8 && !c.Bool("frozen"):
		return usage.Error{Err: errors.New("--precision int8: only constant weights can be scaled; add --frozen")}
	case !int8 && c.IsSet("data"):
		return usage.Error{Err: errors.New("--data: is for --precision int8")}
	}
	var calibration []byte
	if int8 {
		if calibration, err = calibrationImages(cmp.Or(c.String("data"), cfg.Cache.Path), cfg); err != nil {
			return err
		}
	}
	if cfg.Model.Precision, err = exportPrecision(c, cfg.Model.Precision); err != nil {
		return err
	}
	exported := cfg.Model.Precision
	if int8 {
		exported = network.Int8
	}
	o, err := objective.New(cfg.Objective, cfg.Schema())
	if err != nil {
		return fmt.Errorf("run %s: %w", run, err)
	}
	name, err := filepath.Abs(run)
	if err != nil {
		return err
	}
	step := int64(0)
	err = train.WithBest(run, asTrained, func(best *checkpoint.Checkpoint) error {
		step = best.State.Step
		card, err := exportCard(c, modelcard.Card{Name: filepath.Base(name), Galaxy: galaxyVersion, Config: asTrained, Step: step, Precision: exported}, best.State)
		if err != nil {
			return err
		}
		return savedmodel.Export(c.Context, savedmodel.Config{
			Out: out, Checkpoint: best.Prefix(), Model: cfg.Model, Posterior: o.Posterior,
			Crop: cfg.Cache.Crop, Frozen: c.Bool("frozen"), Calibration: calibration, Card: card,
			Metadata: savedmodel.Metadata{
				Galaxy: galaxyVersion, Run: filepath.Base(name), Step: step,
				Answers: o.Target().Columns(), Schema: cfg.Schema(), SplitSeed: cfg.Cache.SplitSeed, Split: cfg.Cache.Split, Bands: cfg.Cache.Bands, Files: cfg.Cache.Files, Stretch: cfg.Cache.Stretch, Objective: cfg.Objective, Normalise: cfg.Normalise,
			},
		})
	})
	if err != nil {
		return err
	}
	result := struct {
		Out       string            `json:"out"`
		Step      int64             `json:"step"`
		Frozen    bool              `json:"frozen"`
		Precision network.Precision `json:"precision"`
	}{out, step, c.Bool("frozen"), exported}
	return report(c, result, func(w io.Writer) {
		fmt.Fprintf(w, "SavedModel %s: weights after step %d, %s\n", out, result.Step, result.Precision)
	})
}

// exportPrecision returns the precision of the convolutions, for int8 of the first one.
func exportPrecision(c *cli.Context, trained network.Precision) (network.Precision, error) {
	if !c.IsSet("precision") {
		return trained, nil
	}
	p := network.Precision(c.String("precision"))
	if p == network.Int8 {
		p = network.Auto
	}
	if err := p.Validate(); err != nil {
		return "", usage.Error{Err: fmt.Errorf("%w; or int8 with --frozen", err)}
	}
	gpu, err := session.HasGPU(session.Config{})
	return p.Resolve(gpu), err
}

// calibrationCount is the number of images that an int8 model's ranges are measured on.
const calibrationCount = 512

// calibrationImages returns some images of the train split, spread evenly over it.
func calibrationImages(path string, cfg train.Config) (images []byte, err error) {
	cache, err := data.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; int8 needs images to measure ranges on: give the run's cache with --data", err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	if cache.Manifest().Checksum != cfg.Cache.Checksum {
		return nil, fmt.Errorf("%s is another cache than the run was trained on: give the run's with --data", path)
	}
	return io.ReadAll(cache.Images(data.Spread(cache.Indices(data.Train), calibrationCount)))
}
