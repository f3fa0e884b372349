package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/objective"
)

// foreignModelFlags are those of every command that runs a SavedModel.
func foreignModelFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "signature", Category: catForeign, Usage: "`NAME` of the signature to run", DefaultText: savedmodel.SignatureImages},
		&cli.StringFlag{Name: "input", Category: catForeign, Usage: "`NAME` of its input of images", DefaultText: savedmodel.InputImages + ", or the only one"},
		&cli.StringFlag{Name: "probabilities", Category: catForeign, Usage: "`NAME` of its output of probabilities", DefaultText: savedmodel.OutputProbabilities + ", or the only output"},
		&cli.StringFlag{Name: "logits", Category: catForeign, Usage: "`NAME` of its output of logits", DefaultText: savedmodel.OutputLogits + ", if there is one"},
		&cli.StringFlag{Name: "pixels", Category: catForeign, Usage: "`RANGE` in which a float32 input expects pixels: 0..255, 0..1 or -1..1"},
		&cli.StringFlag{Name: "loss", Category: catForeign, Usage: "loss it was trained with: " + usage.OneOf(names(objective.Losses())), DefaultText: "unknown, and not reported"},
	}
	for _, k := range objective.Constants() {
		flags = append(flags, &cli.Float64Flag{Name: constantName(k), Category: catForeign, Value: k.Default, Usage: fmt.Sprintf("of %s loss: %s", k.Loss, k.Usage)})
	}
	return flags
}

// foreign is what the flags tell of a SavedModel that does not tell itself.
type foreign struct {
	load savedmodel.LoadConfig
	// schema is what its columns, or the classes, are those of.
	schema *labels.Schema
	// loss is the one of independent answers; nil where it is not known.
	loss *objective.Config
	// names and losses are the flags that were given.
	names, losses []string
}

// foreignFlags reads what foreignModelFlags say.
func foreignFlags(c *cli.Context) (foreign, error) {
	f := foreign{schema: labels.GalaxyZoo(), load: savedmodel.LoadConfig{
		Signature: c.String("signature"), Input: c.String("input"), Logits: c.String("logits"), Probabilities: c.String("probabilities"),
		Pixels: graph.Pixels(c.String("pixels")),
	}}
	if err := f.load.Pixels.Validate(); err != nil {
		return f, fmt.Errorf("--%w", err)
	}
	given := func(names ...string) (set []string) {
		for _, name := range names {
			if c.IsSet(name) {
				set = append(set, "--"+name)
			}
		}
		return set
	}
	loss := objective.Loss(c.String("loss"))
	flags := []string{"loss"}
	for _, k := range objective.Constants() {
		flags = append(flags, constantName(k))
		if c.IsSet(constantName(k)) && !c.IsSet("loss") {
			loss = k.Loss
		}
	}
	f.names, f.losses = given("signature", "input", "logits", "probabilities", "pixels"), given(flags...)
	if len(f.losses) == 0 {
		return f, nil
	}
	trained := objective.Default(objective.Independent, loss)
	for _, k := range objective.Constants() {
		if c.IsSet(constantName(k)) {
			trained.SetConstant(k.Name, c.Float64(constantName(k)))
		}
	}
	f.loss = &trained
	return f, trained.Validate(f.schema)
}

// refuseRun refuses all of the flags for a run.
func (f foreign) refuseRun(dir string, trained objective.Config) error {
	if len(f.names) > 0 {
		return usage.Error{Err: fmt.Errorf("%s: for a SavedModel, and %s is a run", strings.Join(f.names, ", "), dir)}
	}
	return f.tells(dir, trained)
}

// tells refuses the flags of a loss for a model that tells its own.
func (f foreign) tells(dir string, trained objective.Config) error {
	if len(f.losses) == 0 {
		return nil
	}
	return usage.Error{Err: fmt.Errorf("%s: for a SavedModel that does not tell its loss; %s was trained with the %v", strings.Join(f.losses, ", "), dir, trained)}
}

// answers is what a SavedModel of another program predicts, with probabilities:
// the objective, which is one of independent answers or classes, is a guess but
// for what the flags say.
func (f foreign) answers(dir string, loaded *savedmodel.Model) (train.Predictor, *objective.Objective, error) {
	trained := objective.Config{Head: objective.Independent, Loss: objective.CrossEntropy}
	if f.loss != nil {
		trained = *f.loss
	}
	switch loaded.Outputs {
	case f.schema.Width():
	case f.schema.Classes().Width():
		trained.Head = objective.Five
	default:
		return nil, nil, fmt.Errorf("SavedModel %s gives %d answers: expected the %d vote fractions of the label schema %v or the %d %v", dir, loaded.Outputs,
			f.schema.Width(), f.schema, f.schema.Classes().Width(), f.schema.Classes())
	}
	o, err := objective.New(trained, f.schema)
	if err != nil {
		return nil, nil, usage.Error{Err: err}
	}
	if loaded.Probabilities.Op == nil {
		return fromLogits{loaded, o}, o, nil
	}
	return checked{loaded, dir, o.Outputs()}, o, nil
}

// checked is a Predictor whose probabilities are some.
type checked struct {
	train.Predictor
	dir     string
	outputs int
}

// probabilityTolerance is how far outside [0, 1] the rounding of another program may
// leave a probability.
const probabilityTolerance = 1e-3

func (m checked) Predict(images []byte) (logits, probabilities []float32, err error) {
	if logits, probabilities, err = m.Predictor.Predict(images); err != nil {
		return nil, nil, err
	}
	for i, p := range probabilities {
		if p < -probabilityTolerance || p > 1+probabilityTolerance {
			return nil, nil, fmt.Errorf("SavedModel %s gives %v as a probability (answer %d): if that output holds logits, name it by --logits instead", m.dir, p, i%m.outputs+1)
		}
	}
	return logits, probabilities, nil
}

// fromLogits is a Predictor of a network that gives logits only: its
// probabilities are those that the logits stand for after training as the
// objective says.
type fromLogits struct {
	train.Predictor
	trained *objective.Objective
}

func (f fromLogits) Predict(images []byte) (logits, probabilities []float32, err error) {
	if logits, _, err = f.Predictor.Predict(images); err != nil {
		return nil, nil, err
	}
	for row := range slices.Chunk(logits, f.trained.Outputs()) {
		probabilities = append(probabilities, f.trained.PosteriorOf(row)...)
	}
	return logits, probabilities, nil
}
