package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"galaxy/explain"
)

func embedCommand() *cli.Command {
	return &cli.Command{
		Name:   "embed",
		Usage:  "write a network's last features of images as a table, for searches, maps and classifiers of one's own",
		Flags:  tableFlags(averageFlag()),
		Action: func(c *cli.Context) error { return tableAction(c, openAny, features) },
	}
}

// features returns the table of a model's last features.
func features(c *cli.Context, model opened) (contents, error) {
	m, err := explain.New(model.Predictor)
	if err != nil {
		return contents{}, fmt.Errorf("%s: %w", c.String("model"), err)
	}
	t := contents{predictor: embedder{m}, exact: true, features: m.Channels()}
	digits := max(3, len(strconv.Itoa(m.Channels()-1))) // so that names sort as numbers do
	for i := range m.Channels() {
		t.columns = append(t.columns, fmt.Sprintf("f%0*d", digits, i))
	}
	return t, nil
}

// embedder is a Predictor that gives the features, float32 [N, Channels], in place of probabilities.
type embedder struct{ *explain.Model }

func (e embedder) Predict(images []byte) (logits, features []float32, err error) {
	features, err = e.Features(images)
	return nil, features, err
}
