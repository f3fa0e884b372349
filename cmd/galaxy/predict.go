package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/predict"
	"galaxy/train"
	"galaxy/train/objective"
)

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:  "predict",
		Usage: "write predictions for unlabelled images as a table, such as a Kaggle submission",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder; a SavedModel is a program: use only models you trust"},
			&cli.StringFlag{Name: "images", Category: catInput, Usage: "`DIR|ZIP|FILE`: images named <GalaxyID>.jpg, .png and so on (Kaggle's outer zip too), or one image"},
			&cli.BoolFlag{Name: "paths", Category: catInput, Usage: "accept files of any name and depth; the table has their paths instead of GalaxyIDs"},
			&cli.StringFlag{Name: "sample", Category: catInput, Usage: "all_zeros_benchmark as `CSV`, or the zip that holds it: sets the order of the rows", DefaultText: "rows by ascending GalaxyID"},
			&cli.StringFlag{Name: "crop", Category: catInput, Usage: "the centre to predict: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "as the model was trained"},
			filesFlag(), maxFileFlag(),
			&cli.BoolFlag{Name: "allow-missing", Category: catInput, Usage: "skip images that are not in the sample and its rows without an image"},
			&cli.IntFlag{Name: "max-broken", Category: catInput, Usage: "give up to `N` broken images the mean of all other rows; more are an error"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`FILE`.csv or .parquet to make; resumes an interrupted one"},
			&cli.IntFlag{Name: "tta", Category: catOutput, Value: 1, Usage: "average over `N` views of each image: 1, 2, 4 or 8, mirrored and rotated"},
			&cli.BoolFlag{Name: "raw", Category: catOutput, Usage: "write the model's own predictions, without making them satisfy the sum rules of the question tree"},
			&cli.StringFlag{Name: "precision", Category: catSpeed, Value: string(network.Auto), Usage: "precision of a run's convolutions: auto, float32, bfloat16 or float16"},
			&cli.IntFlag{Name: "batch", Category: catSpeed, Value: train.EvalBatch, Usage: "images predicted at a time"},
			&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "images decoded at the same time; 0 is two per core"},
			threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
			&cli.IntFlag{Name: "size", Category: catExternal, Usage: "side of its images in `PX`", DefaultText: "from its signature"},
		}, externalModelFlags()...),
		Action: predictAction,
	}
}

// predicted is the result of predict.
type predicted struct {
	Out   string `json:"out"`
	Model string `json:"model"`
	Step  int64  `json:"step"`
	predict.Result
	// Files that are no images.
	PassedOver data.PassedOver `json:"passed_over"`
	// Skipped by --allow-missing.
	ImagesWithoutRow int     `json:"images_without_row"`
	RowsWithoutImage int     `json:"rows_without_image"`
	Seconds          float64 `json:"seconds"`
	ImagesPerSecond  float64 `json:"images_per_second"`
}

func predictAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "model", "images", "out"); err != nil {
		return err
	}
	session, precision, err := checkPredict(c)
	crop, cropErr := cropOf(c)
	if err := errors.Join(err, cropErr); err != nil {
		return usage.Error{Err: err}
	}
	other, err := externalFlags(c)
	if err != nil {
		return usage.Error{Err: err}
	}
	if c.IsSet("size") {
		other.load.Size, other.names = c.Int("size"), append(other.names, "--size")
	}
	if err := useNewest(c); err != nil {
		return err
	}
	// The model decides how images are listed, but takes seconds to open.
	if !exists(c.String("images")) {
		if _, _, err := findImages(c, input{}); err != nil {
			return err
		}
	}
	model, err := openNetwork(c.String("model"), session, precision, other)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.close()) }()
	if model.warning != "" {
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", c.String("model"), model.warning)
	}
	columns, predictor := model.table()
	crop, project, err := fitPredict(c, model, crop)
	if err != nil {
		return usage.Error{Err: err}
	}
	files, matching, err := findImages(c, model.input)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	identity, err := model.identity()
	if err != nil {
		return err
	}
	decoder, err := images.NewDecoder(crop, model.shape.Size)
	if err != nil {
		return usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, decoder.Close()) }()

	bar := newBar(c, "predict", "img")
	begin := time.Now()
	out := c.String("out")
	done, err := predict.Run(c.Context, predict.Config{
		Out: out, Images: files, Order: matching.Images, Columns: columns, Class: model.target().Source().OfClasses(), Shape: model.shape,
		Batch: c.Int("batch"), Workers: c.Int("workers"), Project: project, MaxBroken: c.Int("max-broken"),
		Settings: struct {
			Model   any             `json:"model"`
			Decoder string          `json:"decoder"`
			Crop    imagefile.Crop  `json:"crop"`
			Stretch stretch.Stretch `json:"stretch,omitzero"`
			Views   int             `json:"views"`
		}{identity, decoder.String(), crop, model.stretch, c.Int("tta")},
		Progress: bar.resume,
		Notice:   func(sentence string) { bar.print("%s", sentence) },
	}, decoder, train.Views{Predictor: predictor, Shape: model.shape, N: c.Int("tta")})
	if err := bar.close(err); errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %s done, kept in %s; the same command goes on there", errStopped, usage.Count(bar.done, "image"), predict.PartialFolder(out))
	} else if err != nil {
		return err
	}
	result := predicted{
		Out: out, Model: c.String("model"), Step: model.step, Result: done, PassedOver: append(data.PassedOver{}, files.PassedOver()...),
		ImagesWithoutRow: matching.ImagesWithoutRow, RowsWithoutImage: matching.RowsWithoutImage,
		Seconds: time.Since(begin).Seconds(), ImagesPerSecond: bar.rate(),
	}
	return report(c, result, func(w io.Writer) { printPredicted(w, result) })
}

// checkPredict checks the flags that can be checked separately.
func checkPredict(c *cli.Context) (session.Config, network.Precision, error) {
	session, err := sessionOf(c)
	precision := network.Precision(c.String("precision"))
	errs := []error{err, precision.Validate()}
	if err := predict.CheckFormat(c.String("out")); err != nil {
		errs = append(errs, fmt.Errorf("--out %w", err))
	}
	if err := train.ValidateViews(c.Int("tta")); err != nil {
		errs = append(errs, fmt.Errorf("--tta: %w", err))
	}
	if c.Int("max-broken") < 0 {
		errs = append(errs, fmt.Errorf("--max-broken %d: expected 0 or more", c.Int("max-broken")))
	}
	if c.Int("workers") < 0 {
		errs = append(errs, fmt.Errorf("--workers %d: expected 0 (two per core) or more", c.Int("workers")))
	}
	if c.Int("batch") < 1 {
		errs = append(errs, fmt.Errorf("--batch %d: expected at least 1", c.Int("batch")))
	}
	if c.Bool("paths") && c.IsSet("sample") {
		errs = append(errs, errors.New("--paths and --sample: a sample has GalaxyIDs and no paths; give one of them"))
	}
	if c.Bool("paths") && c.IsSet("files") {
		errs = append(errs, errors.New("--paths and --files: a pattern finds the ids in names, and --paths makes no ids; give one of them"))
	}
	if c.Bool("allow-missing") && !c.IsSet("sample") {
		errs = append(errs, errors.New("--allow-missing says what to do about images that a sample lacks: give one with --sample"))
	}
	return session, precision, errors.Join(errs...)
}

// fitPredict checks the flags that depend on the model. asked is --crop, 0 if it is not set.
// It returns the centre of the images to predict, and the schema whose sum rules the answers are
// made to satisfy, nil if they are written as they are.
func fitPredict(c *cli.Context, model opened, asked imagefile.Crop) (crop imagefile.Crop, project *labels.Schema, err error) {
	name, target := c.String("model"), model.target()
	crop = cmp.Or(asked, model.crop)
	switch {
	case c.IsSet("sample") && !target.Equal(labels.GalaxyZoo()):
		return 0, nil, fmt.Errorf("--sample has the %d columns of the %v, %s answers %d: leave it out", labels.GalaxyZoo().Width(), labels.GalaxyZoo(), name, target.Width())
	case c.Bool("raw") && target.Derived():
		return 0, nil, fmt.Errorf("--raw: %s answers the %v, which have no sum rules and are always given as they are: leave it out", name, target)
	case model.served && c.IsSet("precision"):
		return 0, nil, fmt.Errorf("--precision: for a run, and %s is a SavedModel, which is run as it was exported", name)
	case model.stretch.IsZero() && (!model.bands.Picture() || model.bands.Channels() != model.shape.Channels):
		return 0, nil, fmt.Errorf("%s takes images of %s (%v), which no JPEG, PNG, TIFF, WebP or BMP has", name, usage.Count(model.shape.Channels, "channel"), model.bands)
	case crop == 0:
		return 0, nil, fmt.Errorf("SavedModel %s does not tell how its images are cropped (it has no assets.extra/galaxy.json): say so with --crop", name)
	}
	if !c.Bool("raw") && model.projects() {
		project = target
	}
	return crop, project, nil
}

// findImages lists the images for a model and returns the order in which they are predicted.
func findImages(c *cli.Context, in input) (*data.Images, data.Matching, error) {
	layout := data.Layout{ByPath: c.Bool("paths"), Bands: in.bands, Pattern: c.String("files")}
	recorded := in.files != "" && layout.Pattern == "" && !layout.ByPath
	switch {
	case recorded:
		layout.Pattern = in.files
		fmt.Fprintf(c.App.ErrWriter, "the images are expected to be named %s, as those of the training: --files sets another pattern\n", in.files)
	case in.files != "" && layout.Pattern != "" && layout.Pattern != in.files:
		fmt.Fprintf(c.App.ErrWriter, "--files %s: the images of the training were named %s\n", layout.Pattern, in.files)
	}
	images, err := data.OpenImagesAs(c.String("images"), data.TestImages, layout)
	if err != nil {
		if recorded {
			err = usage.Errorf("%w; {files} sets the pattern of their names in place of the model's %s", err, in.files)
		}
		return nil, data.Matching{}, err
	}
	images.Bands, images.Stretch = in.bands, in.stretch
	images.MaxBytes = c.Int("max-file") << 20
	var matching data.Matching
	if !c.IsSet("sample") {
		for i := range images.Len() {
			matching.Images = append(matching.Images, i)
		}
		return images, matching, nil
	}
	images.Side = data.ImageSide // a sample is about the challenge's images
	sample, err := data.ReadSample(c.String("sample"), labels.GalaxyZoo())
	if err == nil {
		matching, err = data.Match(sample, images, c.Bool("allow-missing"))
	}
	if err != nil {
		return nil, data.Matching{}, errors.Join(err, images.Close())
	}
	return images, matching, nil
}

func printPredicted(w io.Writer, r predicted) {
	fmt.Fprintf(w, "%s in %s (%.0f img/s)\n", usage.Count(r.Rows, "row"), r.Out, r.ImagesPerSecond)
	if r.TakenOver > 0 {
		fmt.Fprintf(w, "%d of them done before\n", r.TakenOver)
	}
	if len(r.PassedOver) > 0 {
		fmt.Fprintf(w, "passed over %v\n", r.PassedOver)
	}
	if r.ImagesWithoutRow+r.RowsWithoutImage > 0 {
		fmt.Fprintf(w, "left out: %s without a row in the sample, %s of it without an image\n", usage.Count(r.ImagesWithoutRow, "image"), usage.Count(r.RowsWithoutImage, "row"))
	}
	for i, b := range r.Broken {
		if i == brokenShown {
			fmt.Fprintf(w, "and %d more, all in %s\n", len(r.Broken)-i, predict.BrokenFile(r.Out))
			return
		}
		fmt.Fprintf(w, "given the mean answer: %v\n", b)
	}
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
