package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/objective"
)

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "write predictions for unlabelled images as a table, such as a Kaggle submission",
		Flags: append(tableFlags(),
			&cli.BoolFlag{Name: "raw", Category: catOutput, Usage: "write the model's own predictions, without making them satisfy the sum rules of the question tree"}),
		Action: func(c *cli.Context) error { return tableAction(c, predictions) },
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
	if slices.Contains(n.trained.Spread(make([]float32, len(all))), 0) {
		return columns, n.Predictor
	}
	for _, name := range all {
		columns = append(columns, name+"_dirichlet")
	}
	return columns, concentrated{n.Predictor, n.trained}
}

// concentrated is a Predictor that puts the concentrations of each image after its fractions.
type concentrated struct {
	train.Predictor
	trained *objective.Objective
}

func (p concentrated) Predict(images []byte) (logits, both []float32, err error) {
	logits, fractions, err := p.Predictor.Predict(images)
	if err == nil && len(logits) != len(fractions) {
		err = errors.New("the model gives no logits, from which the concentrations follow")
	}
	if err != nil {
		return nil, nil, err
	}
	width, questions := p.trained.Outputs(), p.trained.Target().Questions()
	for i := 0; i < len(fractions); i += width {
		row := fractions[i : i+width]
		both = append(both, row...)
		for k, spread := range p.trained.Spread(logits[i : i+width]) {
			q := &questions[k]
			for _, f := range row[q.First : q.First+len(q.Answers)] {
				both = append(both, float32(float64(f)/spread))
			}
		}
	}
	return logits, both, nil
}
