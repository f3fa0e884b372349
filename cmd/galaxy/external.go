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

// externalModelFlags returns the flags of every command that runs a SavedModel.
func externalModelFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "signature", Category: catExternal, Usage: "`NAME` of the signature to run", DefaultText: savedmodel.SignatureImages},
		&cli.StringFlag{Name: "input", Category: catExternal, Usage: "`NAME` of its input of images", DefaultText: savedmodel.InputImages + ", or the only one"},
		&cli.StringFlag{Name: "probabilities", Category: catExternal, Usage: "`NAME` of its output of probabilities", DefaultText: savedmodel.OutputProbabilities + ", or the only output"},
		&cli.StringFlag{Name: "logits", Category: catExternal, Usage: "`NAME` of its output of logits", DefaultText: savedmodel.OutputLogits + ", if there is one"},
		&cli.StringFlag{Name: "pixels", Category: catExternal, Usage: "`RANGE` in which a float32 input expects pixels: 0..255, 0..1 or -1..1"},
		&cli.StringFlag{Name: "loss", Category: catExternal, Usage: "loss it was trained with: " + usage.OneOf(names(objective.Losses())), DefaultText: "unknown, and not reported"},
	}
	for _, k := range objective.Constants() {
		flags = append(flags, &cli.Float64Flag{Name: constantName(k), Category: catExternal, Value: k.Default, Usage: fmt.Sprintf("of %s loss: %s", k.Loss, k.Usage)})
	}
	return flags
}

// external holds the flags that describe a SavedModel without metadata.
type external struct {
	load savedmodel.LoadConfig
	// schema is the schema of its columns or classes.
	schema *labels.Schema
	// loss is the loss, of any head; nil if unknown.
	loss *objective.Config
	// names and losses list the given flags.
	names, losses []string
}

// externalFlags reads the values of externalModelFlags.
func externalFlags(c *cli.Context) (external, error) {
	f := external{schema: labels.GalaxyZoo(), load: savedmodel.LoadConfig{
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

// refuseRun rejects all of the flags for a run.
func (f external) refuseRun(dir string, trained objective.Config) error {
	if len(f.names) > 0 {
		return usage.Error{Err: fmt.Errorf("%s: for a SavedModel, and %s is a run", strings.Join(f.names, ", "), dir)}
	}
	return f.tells(dir, trained)
}

// tells rejects the loss flags for a run, or a model that records its loss.
func (f external) tells(dir string, trained objective.Config) error {
	if len(f.losses) == 0 {
		return nil
	}
	return usage.Error{Err: fmt.Errorf("%s: for a SavedModel that does not tell its loss; %s was trained with the %v", strings.Join(f.losses, ", "), dir, trained)}
}

// answers returns a predictor and an objective for a third-party SavedModel.
// The objective, of the schema's default head or of its classes, is a guess unless the flags
// set it.
func (f external) answers(dir string, loaded *savedmodel.Model) (train.Predictor, *objective.Objective, error) {
	trained := objective.Config{Loss: objective.CrossEntropy}
	if f.loss != nil {
		trained = *f.loss
	}
	trained.Head = objective.DefaultHead(f.schema)
	switch loaded.Outputs {
	case f.schema.Width():
	case f.schema.Classes().Width():
		trained.Head = objective.Classes
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

// checked is a Predictor that checks that its probabilities are in [0, 1].
type checked struct {
	train.Predictor
	dir     string
	outputs int
}

// probabilityTolerance is how far outside [0, 1] rounding in another program may put
// a probability.
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

// fromLogits is a Predictor for a network without probabilities: it computes
// them from the logits with the objective's posterior.
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
