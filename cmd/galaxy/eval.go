package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/explain"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/metric"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "score a run's best checkpoint or a SavedModel on labelled galaxies",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder; a SavedModel is a program: use only models you trust"},
			&cli.StringFlag{Name: "data", Category: catInput, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare"},
			&cli.StringFlag{Name: "split", Category: catInput, Value: data.Test.String(), Usage: "galaxies to score: train, validation, test, or all, for a catalogue that the model was not trained on"},
			&cli.IntFlag{Name: "tta", Category: catInput, Value: 1, Usage: "average over `N` views of each image: 1, 2, 4 or 8, mirrored and rotated"},
			&cli.BoolFlag{Name: "project", Category: catInput, Usage: "make the probabilities satisfy the sum rules of the question tree before scoring"},
			&cli.BoolFlag{Name: "symmetry", Category: catInput, Usage: "also measure how far predictions and features move when images are rotated and mirrored; takes 16 times as long"},
			&cli.StringFlag{Name: "csv", Category: catOutput, Usage: "write every metric as a row to `FILE`, which must not exist; - is stdout"},
			&cli.BoolFlag{Name: "brief", Category: catOutput, Usage: "print only the main metrics, without questions, classes, calibration and slices"},
			&cli.IntFlag{Name: "batch", Category: catSpeed, Value: train.EvalBatch, Usage: "images predicted at a time"},
			threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
		}, externalModelFlags()...),
		Action: evalAction,
	}
}

// evaluated is the result of eval.
type evaluated struct {
	Galaxy string `json:"galaxy"` // version of this program
	Model  string `json:"model"`
	Step   int64  `json:"step"`
	// CacheChecksum and SplitSeed identify, with Split, the galaxies that were scored.
	CacheChecksum string `json:"cache_checksum"`
	SplitSeed     int64  `json:"split_seed"`
	Split         string `json:"split"`
	Views         int    `json:"views"` // of each image
	// Projected is true if the probabilities were made to satisfy the sum rules.
	Projected bool `json:"projected"`
	metric.Result
	schema          *labels.Schema // of the cache
	ImagesPerSecond float64        `json:"images_per_second"`
}

func evalAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "model", "data"); err != nil {
		return err
	}
	split, session, other, err := checkEval(c)
	if err != nil {
		return err
	}
	if err := useNewest(c); err != nil {
		return err
	}
	cache, err := data.Open(c.String("data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	other.load.Size, other.schema = cache.Manifest().Size, cache.Schema()
	model, err := openNetwork(c.String("model"), session, "", other)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.close()) }()
	if model.warning != "" {
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", c.String("model"), model.warning)
	}
	if err := model.fits(c.String("model"), cache.Manifest(), split, other); err != nil {
		return err
	}

	network := model.Predictor
	model.Predictor = train.Views{Predictor: model.Predictor, Shape: cache.Shape(), N: c.Int("tta")}
	if c.Bool("project") {
		if model.target().Derived() {
			return usage.Error{Err: fmt.Errorf("--project: the model predicts the %v, which have no sum rules", model.target())}
		}
		model.Predictor = projected{model.Predictor, model.target()}
	}
	views := metric.NewViews(model.target())
	if c.Bool("symmetry") {
		if model.Predictor, err = turning(c, model.Predictor, network, cache.Shape(), views); err != nil {
			return err
		}
	}
	bar := newBar(c, "evaluate", "img")
	begin := time.Now()
	scores, err := train.Evaluate(c.Context, model, train.Evaluation{
		Cache: cache, Split: split, Batch: c.Int("batch"), Target: model.target(), Loss: model.loss, Full: true, Progress: bar.set,
	})
	if err := bar.close(err); err != nil {
		return err
	}
	if c.Bool("symmetry") {
		if scores.Symmetry, err = views.Symmetry(); err != nil {
			return err
		}
	}
	m := cache.Manifest()
	result := evaluated{
		Galaxy: galaxyVersion, Model: c.String("model"), Step: model.step,
		CacheChecksum: m.Checksum, SplitSeed: m.SplitSeed, Split: split.String(),
		Views: c.Int("tta"), Projected: c.Bool("project"), Result: scores, schema: cache.Schema(),
		ImagesPerSecond: float64(scores.Examples) / time.Since(begin).Seconds(),
	}
	if toCSV := c.String("csv"); toCSV != "" {
		if err := writeFigures(c.App.Writer, toCSV, scores); err != nil || toCSV == "-" {
			return err
		}
	}
	return report(c, result, func(w io.Writer) { printEvaluation(w, result, c.Bool("brief")) })
}

// turning returns a Predictor that gives the predictions of p, and all views of them and of the features of the network to views.
func turning(c *cli.Context, p, network train.Predictor, shape imagefile.Shape, views *metric.Views) (train.Predictor, error) {
	t := train.Turning{Predictor: p, Shape: shape, Seen: views}
	m, err := explain.New(network)
	if errors.Is(err, explain.ErrUnrecorded) {
		fmt.Fprintf(c.App.ErrWriter, "--symmetry: of predictions alone: %v\n", err)
		return t, nil
	}
	t.Features = train.Views{Predictor: embedder{m}, Shape: shape, N: c.Int("tta")}
	return t, err
}

// checkEval checks the flags that can be checked before anything is opened.
func checkEval(c *cli.Context) (split data.Split, session session.Config, other external, err error) {
	split, err = data.ParseSplit(c.String("split"))
	if err != nil {
		return split, session, other, usage.Error{Err: fmt.Errorf("--split: %w", err)}
	}
	session, err = sessionOf(c)
	if err != nil {
		return split, session, other, err
	}
	if c.Int("batch") < 1 {
		return split, session, other, usage.Error{Err: fmt.Errorf("--batch %d: expected at least 1", c.Int("batch"))}
	}
	if err := train.ValidateViews(c.Int("tta")); err != nil {
		return split, session, other, usage.Error{Err: fmt.Errorf("--tta: %w", err)}
	}
	other, err = externalFlags(c)
	if err != nil {
		return split, session, other, usage.Error{Err: err}
	}
	if err := checkNew(c, "csv"); err != nil {
		return split, session, other, err
	}
	if c.String("csv") == "-" && c.Bool("json") {
		return split, session, other, usage.Error{Err: errors.New("--csv - and --json both print on stdout: give --csv a file")}
	}
	return split, session, other, nil
}

// writeFigures writes every metric as CSV into a file, or on stdout if its name is "-".
func writeFigures(stdout io.Writer, name string, scores metric.Result) error {
	table, err := figuresCSV(scores.Figures())
	if err != nil {
		return err
	}
	if name == "-" {
		if _, err := stdout.Write(table); err != nil {
			return fmt.Errorf("print figures: %w", err)
		}
		return nil
	}
	if err := durable.WriteFile(name, table); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

// checkNew returns an error for a flag's file that cannot be written, before the work is done.
func checkNew(c *cli.Context, flag string) error {
	name := c.String(flag)
	if name == "" || name == "-" {
		return nil
	}
	if folder := filepath.Dir(name); !exists(folder) {
		return fmt.Errorf("--%s %s: there is no folder %s: make it, or name another", flag, name, folder)
	}
	if err := durable.Vacant(name); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	// Some folders, such as those of /proc, only seem to be writable.
	probe, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".tmp-*")
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err // rather than the name of the probe
		}
		return fmt.Errorf("--%s: no file can be made in %s: %w; choose another folder", flag, filepath.Dir(name), err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// projected is a Predictor whose probabilities satisfy the sum rules; its logits,
// and so the loss, are the network's.
type projected struct {
	train.Predictor
	schema *labels.Schema
}

func (p projected) Predict(images []byte) (logits, probabilities []float32, err error) {
	if logits, probabilities, err = p.Predictor.Predict(images); err != nil {
		return nil, nil, err
	}
	for row := range slices.Chunk(probabilities, p.schema.Width()) {
		if err := p.schema.Project(row); err != nil {
			return nil, nil, err
		}
	}
	return logits, probabilities, nil
}

// fits checks that a network fits the cache's galaxies: otherwise the metrics would be for
// another question, or for galaxies that it was trained on. It prints on stderr what a
// third-party network does not record.
func (n opened) fits(dir string, m data.Manifest, split data.Split, other external) error {
	if err := n.fitsImages(dir, m); err != nil {
		return err
	}
	what := n.named(dir)
	switch {
	case m.Schema.IsNone():
		return errors.New("the cache has no labels: eval compares predictions with labels, and predict needs none (galaxy predict)")
	case !n.target().Source().Equal(m.Schema):
		trained, got := columnsOf(n.target().Source(), m.Schema)
		return fmt.Errorf("%s was trained on labels of %s, the cache has labels of %s: prepare one with the labels and the order of the first (--schema), or use a model of the second", what, trained, got)
	case n.noMetadata && other.loss != nil && n.loss == nil:
		return usage.Error{Err: fmt.Errorf("%s: %s has no output of logits, of which alone a loss can be computed; --logits names it if there is one", strings.Join(other.losses, ", "), what)}
	case n.noMetadata:
		known := "its loss is not known and not reported (--loss says it)"
		if n.loss != nil {
			known = fmt.Sprintf("it is taken for one with the %v", n.trained.Config())
		}
		fmt.Fprintf(os.Stderr, "%s does not tell how it was trained (it has no assets.extra/galaxy.json): "+
			"%s, and whether it was trained on these galaxies is not known\n", what, known)
	case split != data.All && m.SplitText() != n.split:
		return fmt.Errorf("%s was trained on a split by %s, the cache has one by %s, so some of its galaxies may have been trained on: prepare one with the same splits, or score all of a catalogue that it has not seen with --split all",
			what, cmp.Or(n.split, data.SplitRule{}.String()), m.Split)
	case m.SplitSeed != n.splitSeed:
		return fmt.Errorf("%s was trained on the split of seed %d, the cache has that of seed %d, so some of its galaxies were trained on: prepare one with --split-seed %d",
			what, n.splitSeed, m.SplitSeed, n.splitSeed)
	}
	return nil
}

// fitsImages checks that the images of a cache are made as those of a network.
func (n opened) fitsImages(dir string, m data.Manifest) error {
	what := n.named(dir)
	switch {
	case n.shape.Size != m.Size:
		return fmt.Errorf("%s takes images of %d px, the cache has them of %d px: prepare one with --size %d", what, n.shape.Size, m.Size, n.shape.Size)
	case n.shape.Channels != m.Bands.Channels():
		return fmt.Errorf("%s takes images of %s, the cache has them of %d (%v): prepare one with those (--bands)", what, usage.Count(n.shape.Channels, "channel"), m.Bands.Channels(), m.Bands)
	case n.noMetadata:
	case !m.Bands.Equal(n.bands):
		return fmt.Errorf("%s was trained on the bands %v, the cache has %v: prepare one with --bands %v", what, n.bands, m.Bands, n.bands)
	case m.Stretch != n.stretch:
		return fmt.Errorf("%s was trained on images with the stretch %v, the cache has them with %v: prepare one with --stretch %v", what, n.stretch, m.Stretch, n.stretch)
	case m.Crop != n.crop:
		return fmt.Errorf("%s was trained on %s of the images, the cache has %s: prepare one with --crop %v", what, n.crop.Middle(), m.Crop.Middle(), n.crop)
	}
	return nil
}

// named is the model in messages.
func (n opened) named(dir string) string {
	if n.served {
		return "SavedModel " + dir
	}
	return "run " + dir
}

// columnsOf describes two different schemas: their names, and where they differ first, because two catalogues of
// classes have schemas of one name.
func columnsOf(a, b *labels.Schema) (first, second string) {
	x, y := a.Columns(), b.Columns()
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	describe := func(s *labels.Schema, columns []string) string {
		text := fmt.Sprintf("the schema %v (%s", s, usage.Count(len(columns), "column"))
		switch {
		case i < len(columns):
			text += fmt.Sprintf(", number %d is %s", i+1, columns[i])
		case len(x) == len(y):
			text += " of the same names, but other questions, texts or kinds of numbers"
		}
		return text + ")"
	}
	return describe(a, x), describe(b, y)
}
