package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	tables "galaxy/data/table"
	"galaxy/explain"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/predict"
	"galaxy/train"
	"galaxy/train/acquisition"
)

func askCommand() *cli.Command {
	views := &cli.IntFlag{Name: "tta", Category: catInput, Value: train.MaxViews, Usage: "compare the predictions for `N` views of each image: 2, 4 or 8, mirrored and rotated; 1 with --by concentrations"}
	flags := slices.DeleteFunc(tableFlags(views), func(f cli.Flag) bool {
		return slices.Contains([]string{"sample", "allow-missing", "out"}, f.Names()[0])
	})
	return &cli.Command{
		Name:  "ask",
		Usage: "find the unlabelled galaxies that are most worth asking volunteers about",
		Flags: append(flags,
			&cli.StringSliceFlag{Name: "except", Category: catInput, Usage: "leave out the galaxies of `TABLE`: labels, or the file of an earlier call; may be given several times"},
			&cli.StringFlag{Name: "id-column", Category: catInput, Usage: "the `COLUMN` of ids in the tables of --except", DefaultText: data.IDColumn + ", with --paths path"},
			&cli.IntFlag{Name: "count", Category: catOutput, Value: 100, Usage: "galaxies to ask about"},
			&cli.StringFlag{Name: "by", Category: catOutput, Usage: "what the answers should tell about: views, concentrations (of a model trained on counts), or both", DefaultText: "both, as far as the model has them"},
			&cli.BoolFlag{Name: "diverse", Category: catOutput, Value: true, Usage: "let galaxies wait that look like one with a higher rank; --diverse=false ranks by the score alone"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`FILE`.csv to make; resumes an interrupted one"},
			&cli.StringFlag{Name: "manifest", Category: catOutput, Usage: "also make the folder `DIR` with the images and their manifest.csv, as the Zooniverse's uploaders take them"},
		),
		Action: askAction,
	}
}

// Values of --by.
const (
	byViews          = "views"
	byConcentrations = "concentrations"
	byBoth           = "both"
)

// asking is the result of ask.
type asking struct {
	tabled
	By       string `json:"by"`
	Diverse  bool   `json:"diverse"`
	Asked    int    `json:"asked"`
	Excepted int    `json:"excepted"` // images left out by --except
	// MeanScore is of the galaxies to ask about, MeanScoreOfAll of all that were scored.
	MeanScore      float64      `json:"mean_score"`
	MeanScoreOfAll float64      `json:"mean_score_of_all"`
	Questions      []askedAbout `json:"questions"` // most galaxies first
	Manifest       string       `json:"manifest,omitempty"`
	Drawn          int          `json:"drawn,omitempty"` // images of the manifest that are made of the network's pixels
	Large          int          `json:"large,omitempty"` // images of the manifest above the uploader's limit
}

// askedAbout is how many galaxies are asked about mostly for a question.
type askedAbout struct {
	Question string `json:"question"`
	Galaxies int    `json:"galaxies"`
}

func askAction(c *cli.Context) error {
	except, err := checkAsk(c)
	if err != nil {
		return err
	}
	return withTable(c, openNetwork, information, func(t contents, model opened, in tableInput) error {
		p := t.predictor.(informing)
		w := wanted{c: c, informing: p, model: model}
		if in, w.excepted, err = in.without(except); err != nil {
			return err
		}
		w.in = in
		if c.Bool("diverse") {
			w.features, err = explain.New(model.Predictor)
			if errors.Is(err, explain.ErrUnrecorded) {
				return usage.Error{Err: fmt.Errorf("%s: %w, or rank by the score alone (--diverse=false)", c.String("model"), err)}
			} else if err != nil {
				return err
			}
		}
		done, err := stream(c, t, model, in, w.write)
		if err != nil {
			return err
		}
		result := w.result(done)
		return report(c, result, func(to io.Writer) { w.print(to, result) })
	})
}

// checkAsk checks the flags that other commands have not, and returns the keys of --except.
func checkAsk(c *cli.Context) (except map[string]bool, err error) {
	var errs []error
	if c.Int("count") < 1 {
		errs = append(errs, fmt.Errorf("--count %d: expected 1 or more", c.Int("count")))
	}
	if out := c.String("out"); out != "" && !strings.HasSuffix(out, ".csv") {
		errs = append(errs, fmt.Errorf("--out %s: expected a name that ends with .csv", out))
	}
	if dir := c.String("manifest"); dir != "" && filepath.Clean(dir) == filepath.Clean(c.String("out")) {
		errs = append(errs, fmt.Errorf("--manifest %s: expected another name than that of --out: it is a folder", dir))
	}
	if by := c.String("by"); by != "" && !slices.Contains([]string{byViews, byConcentrations, byBoth}, by) {
		errs = append(errs, fmt.Errorf("--by %q: expected %s, %s or %s", by, byViews, byConcentrations, byBoth))
	}
	if c.IsSet("id-column") && !c.IsSet("except") {
		errs = append(errs, errors.New("--id-column: of the tables of --except: give one, or leave it out"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usage.Error{Err: err}
	}
	if dir := c.String("manifest"); dir != "" {
		if err := durable.Vacant(dir); err != nil {
			return nil, fmt.Errorf("--manifest: %w", err)
		}
	}
	column := data.IDColumn
	if c.Bool("paths") {
		column = "path"
	}
	for _, name := range c.StringSlice("except") {
		if except == nil {
			except = map[string]bool{}
		}
		if err := readKeys(name, cmp.Or(c.String("id-column"), column), c.Bool("paths"), except); err != nil {
			return nil, fmt.Errorf("--except: %w", err)
		}
	}
	return except, nil
}

// readKeys adds what a column of a table holds to keys: ids, or paths.
func readKeys(name, column string, paths bool, keys map[string]bool) (err error) {
	t, err := tables.Open(name, "training_solutions")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.Select(column); err != nil {
		return fmt.Errorf("%w; --id-column names another column", err)
	}
	for {
		if err := t.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		key := t.Text(0)
		if !paths {
			if key, err = t.ID(0); err != nil {
				return t.Errorf("%w", err)
			}
		}
		keys[key] = true
	}
}

// without leaves out the images with these keys, and returns how many there were.
func (in tableInput) without(keys map[string]bool) (left tableInput, n int, err error) {
	all := in.source
	keep := func(of []int) (kept []int) {
		for row, i := range of {
			if !keys[all.Key(row)] {
				kept = append(kept, i)
			}
		}
		n = len(of) - len(kept)
		return kept
	}
	switch s := all.(type) {
	case predict.Files:
		s.Order = keep(s.Order)
		in.source = s
	case predict.Galaxies:
		s.Which = keep(s.Which)
		in.source = s
	}
	if n > 0 && in.source.Len() == 0 {
		return in, n, fmt.Errorf("--except has all %s of %s: give images that have no labels yet", usage.Count(n, "galaxy"), all.Path())
	}
	return in, n, nil
}

// information returns the rows of what is known about each question, from which galaxies are chosen.
func information(c *cli.Context, model opened) (contents, error) {
	name, by := c.String("model"), c.String("by")
	concentrated := model.concentrations() != nil
	switch {
	case !concentrated && by != "" && by != byViews:
		return contents{}, fmt.Errorf("--by %s: %s has no concentrations, which a model has that was trained on counts of votes with the loss dirichlet; leave it out", by, name)
	case c.Int("tta") == 1 && (!concentrated || by == byViews):
		return contents{}, errors.New("--tta 1: one view cannot be compared with others; give 2, 4 or 8")
	}
	if by == "" {
		by = byBoth
		if !concentrated {
			by = byViews
		}
	}
	p := informing{
		views:   train.Views{Predictor: model.Predictor, Shape: model.shape, N: c.Int("tta")},
		schema:  model.target().Predicted(),
		project: model.projects(), by: by,
	}
	if concentrated {
		p.spread = model.trained.Spread
	}
	p.scorer = acquisition.New(p.schema)
	return contents{columns: p.scorer.Columns(), predictor: p}, nil
}

// informing is a Predictor of what a volunteer's answers would tell, in place of probabilities: rows of an acquisition.Scorer.
type informing struct {
	views   train.Views
	schema  *labels.Schema // of the predictions
	project bool           // make them satisfy the sum rules
	spread  func(logits []float32) []float64
	scorer  *acquisition.Scorer
	by      string
}

// Predict implements predict.Predictor. The row of an image whose predictions are not finite is NaN.
func (p informing) Predict(images []byte) (_, rows []float32, err error) {
	width, columns := p.schema.Width(), len(p.scorer.Columns())
	var draws [][]acquisition.Draw // of each image
	var unknown []bool
	err = p.views.Each(images, func(logits, probabilities []float32) error {
		n := len(probabilities) / width
		if draws == nil {
			draws, unknown = make([][]acquisition.Draw, n), make([]bool, n)
		}
		if p.spread != nil && len(logits) != len(probabilities) {
			return errors.New("the model gives no logits, from which the concentrations follow")
		}
		for i := range draws {
			d := acquisition.Draw{Fractions: probabilities[i*width:][:width]}
			if unknown[i] = unknown[i] || !finite(d.Fractions); unknown[i] {
				continue
			}
			if p.project {
				if err := p.schema.Project(d.Fractions); err != nil {
					return err
				}
			}
			if p.spread != nil {
				d.Spread = p.spread(logits[i*width:][:width])
			}
			draws[i] = append(draws[i], d)
		}
		return nil
	})
	for i := 0; err == nil && i < len(draws); i++ {
		if unknown[i] {
			rows = append(rows, slices.Repeat([]float32{float32(math.NaN())}, columns)...)
			continue
		}
		var questions []acquisition.Question
		if questions, err = p.scorer.Score(draws[i]); err == nil {
			rows = p.scorer.AppendRow(rows, questions)
		}
	}
	return nil, rows, err
}

func finite(values []float32) bool {
	return !slices.ContainsFunc(values, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) })
}

// score returns the part of a question's information that --by names.
func (p informing) score(q acquisition.Question) float64 {
	switch p.by {
	case byViews:
		return q.Draws
	case byConcentrations:
		return q.Fractions
	}
	return q.Information()
}

func (p informing) total(questions []acquisition.Question) (score float64) {
	for _, q := range questions {
		score += p.score(q)
	}
	return score
}
