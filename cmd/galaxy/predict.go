package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"galaxy/labels"
	"galaxy/train"
)

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "write predictions for unlabelled images as a table, such as a Kaggle submission",
		Flags: append(tableFlags(averageFlag()),
			&cli.BoolFlag{Name: "raw", Category: catOutput, Usage: "write the model's own predictions, without making them satisfy the sum rules of the question tree"}),
		Action: func(c *cli.Context) error { return tableAction(c, openNetwork, predictions) },
	}
}

// predictions returns the table of a model's predictions.
func predictions(c *cli.Context, model opened) (contents, error) {
	name, target := c.String("model"), model.target()
	switch {
	case c.IsSet("sample") && !target.Equal(labels.GalaxyZoo()):
		return contents{}, fmt.Errorf("--sample has the %d columns of the %v, %s answers %d: leave it out", labels.GalaxyZoo().Width(), labels.GalaxyZoo(), name, target.Width())
	case c.Bool("raw") && target.Derived():
		return contents{}, fmt.Errorf("--raw: %s answers the %v, which have no sum rules and are always given as they are: leave it out", name, target)
	}
	t := contents{class: target.Source().OfClasses()}
	if !c.Bool("raw") && model.projects() {
		t.project = target
	}
	t.columns, t.predictor = model.table()
	return t, nil
}

// table returns the columns of a table of the model's predictions, and the Predictor whose
// probabilities they are. For counts these are the fractions and, if the model has them, the
// concentrations, by the names that the catalogue of Euclid's Q1 release gives them (Zenodo 15106473).
func (n opened) table() (columns []string, _ train.Predictor) {
	all := n.target().Columns()
	if n.target().Values() != labels.Counts {
		return all, n.Predictor
	}
	for _, name := range all {
		columns = append(columns, name+"_fraction")
	}
	concentrations := n.concentrations()
	if concentrations == nil {
		return columns, n.Predictor
	}
	for _, name := range all {
		columns = append(columns, name+"_dirichlet")
	}
	return columns, concentrated{n.Predictor, len(all), concentrations}
}

// concentrations returns the function from logits and fractions to concentrations, float32 [N, outputs] each; nil for a model
// whose votes have none.
func (n opened) concentrations() func(logits, fractions []float32) ([]float32, error) {
	width, questions := n.trained.Outputs(), n.target().Questions()
	if n.target().Values() != labels.Counts || slices.Contains(n.trained.Spread(make([]float32, width)), 0) {
		return nil
	}
	return func(logits, fractions []float32) (all []float32, err error) {
		if len(logits) != len(fractions) {
			return nil, errors.New("the model gives no logits, from which the concentrations follow")
		}
		for i := 0; i < len(fractions); i += width {
			for k, spread := range n.trained.Spread(logits[i : i+width]) {
				first := i + questions[k].First
				for _, f := range fractions[first : first+len(questions[k].Answers)] {
					all = append(all, float32(float64(f)/spread))
				}
			}
		}
		return all, nil
	}
}

// concentrated is a Predictor that puts the concentrations of each image after its fractions.
type concentrated struct {
	train.Predictor
	width          int // of the fractions
	concentrations func(logits, fractions []float32) ([]float32, error)
}

func (p concentrated) Predict(images []byte) (logits, both []float32, err error) {
	logits, fractions, err := p.Predictor.Predict(images)
	if err != nil {
		return nil, nil, err
	}
	all, err := p.concentrations(logits, fractions)
	for i := 0; err == nil && i < len(fractions); i += p.width {
		both = append(append(both, fractions[i:i+p.width]...), all[i:i+p.width]...)
	}
	return logits, both, err
}
