package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
)

// tableFlags are the flags of the commands that read images as a table does: predict, embed and ask. views is --tta.
func tableFlags(views *cli.IntFlag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder; a SavedModel is a program: use only models you trust"},
		&cli.StringFlag{Name: "images", Category: catInput, Usage: "`DIR|ZIP|FILE`: images named <GalaxyID>.jpg, .png and so on (Kaggle's outer zip too), or one image"},
		&cli.StringFlag{Name: "data", Category: catInput, Usage: "in place of --images: `CACHE` made by galaxy prepare"},
		&cli.StringFlag{Name: "split", Category: catInput, Value: data.All.String(), Usage: "galaxies of the cache: train, validation, test, or all"},
		&cli.BoolFlag{Name: "paths", Category: catInput, Usage: "accept files of any name and depth; the table has their paths instead of GalaxyIDs"},
		&cli.StringFlag{Name: "sample", Category: catInput, Usage: "all_zeros_benchmark as `CSV`, or the zip that holds it: sets the order of the rows", DefaultText: "rows by ascending GalaxyID"},
		&cli.StringFlag{Name: "crop", Category: catInput, Usage: "the centre to predict: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "as the model was trained"},
		filesFlag(), maxFileFlag(),
		&cli.BoolFlag{Name: "allow-missing", Category: catInput, Usage: "skip images that are not in the sample and its rows without an image"},
		&cli.IntFlag{Name: "max-broken", Category: catInput, Usage: "give up to `N` broken images the mean of all other rows; more are an error"},
		&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`FILE`.csv, .parquet or .npy to make; resumes an interrupted one"},
		views,
		&cli.StringFlag{Name: "precision", Category: catSpeed, Value: string(network.Auto), Usage: "precision of a run's convolutions: auto, float32, bfloat16 or float16"},
		&cli.IntFlag{Name: "batch", Category: catSpeed, Value: train.EvalBatch, Usage: "images predicted at a time"},
		&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "images decoded at the same time; 0 is two per core"},
		threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
		&cli.IntFlag{Name: "size", Category: catExternal, Usage: "side of its images in `PX`", DefaultText: "from its signature"},
	}, externalModelFlags()...)
}

// averageFlag is the --tta of the commands that average over views.
func averageFlag() *cli.IntFlag {
	return &cli.IntFlag{Name: "tta", Category: catOutput, Value: 1, Usage: "average over `N` views of each image: 1, 2, 4 or 8, mirrored and rotated"}
}

// imageFlags are those of tableFlags that say how image files are found and read.
var imageFlags = []string{"paths", "sample", "crop", "files", "max-file", "allow-missing"}

// contents is what the table of a model holds.
type contents struct {
	columns   []string
	predictor predict.Predictor // of the columns, in place of probabilities
	project   *labels.Schema    // whose sum rules the rows are made to satisfy, nil if they are written as they are
	class     bool              // with a column of the class
	exact     bool              // numbers of a CSV have all digits
	features  int               // 0 for predictions
}

// tabled is the result of predict and embed, and a part of that of ask.
type tabled struct {
	Out      string `json:"out"`
	Model    string `json:"model"`
	Step     int64  `json:"step"`
	Features int    `json:"features,omitempty"`
	predict.Result
	// Files that are no images.
	PassedOver data.PassedOver `json:"passed_over"`
	// Skipped by --allow-missing.
	ImagesWithoutRow int     `json:"images_without_row"`
	RowsWithoutImage int     `json:"rows_without_image"`
	Seconds          float64 `json:"seconds"`
	ImagesPerSecond  float64 `json:"images_per_second"`
}

// tableAction writes the table that of returns for the model, which open opens.
func tableAction(c *cli.Context, open opener, of func(*cli.Context, opened) (contents, error)) error {
	return withTable(c, open, of, func(t contents, model opened, in tableInput) error {
		t.predictor = train.Views{Predictor: t.predictor, Shape: model.shape, N: c.Int("tta")}
		result, err := stream(c, t, model, in, nil)
		if err != nil {
			return err
		}
		return report(c, result, func(w io.Writer) { printTabled(w, result) })
	})
}

// withTable checks the flags, opens the model by open and the images, and calls do with what of returns for the model.
func withTable(c *cli.Context, open opener, of func(*cli.Context, opened) (contents, error), do func(contents, opened, tableInput) error) (err error) {
	session, precision, crop, other, err := checkTable(c)
	if err != nil {
		return err
	}
	if err := useNewest(c); err != nil {
		return err
	}
	if err := missingInput(c); err != nil {
		return err
	}
	model, err := open(c.String("model"), session, precision, other)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.close()) }()
	if model.warning != "" {
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", c.String("model"), model.warning)
	}
	t, err := of(c, model)
	if err != nil {
		return usage.Error{Err: err}
	}
	if model.served && c.IsSet("precision") {
		return usage.Error{Err: fmt.Errorf("--precision: for a run, and %s is a SavedModel, which is run as it was exported", c.String("model"))}
	}
	in, err := openInput(c, model, crop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	return do(t, model, in)
}

// stream computes the rows of all images and writes the table, or what write makes of the rows (predict.Config.Write).
func stream(c *cli.Context, t contents, model opened, in tableInput, write func(string, predict.Rows) error) (tabled, error) {
	identity, err := model.identity()
	if err != nil {
		return tabled{}, err
	}
	bar := newBar(c, c.Command.Name, "img")
	begin := time.Now()
	out := c.String("out")
	done, err := predict.Run(c.Context, predict.Config{
		Out: out, Source: in.source, Columns: t.columns, Write: write, Class: t.class, Exact: t.exact, Shape: model.shape,
		Batch: c.Int("batch"), Workers: c.Int("workers"), Project: t.project, MaxBroken: c.Int("max-broken"),
		Settings: struct {
			Model   any             `json:"model"`
			Decoder string          `json:"decoder"`
			Crop    imagefile.Crop  `json:"crop"`
			Stretch stretch.Stretch `json:"stretch,omitzero"`
			Views   int             `json:"views"`
		}{identity, in.decoder, in.crop, model.stretch, c.Int("tta")},
		Progress: bar.resume,
		Notice:   func(sentence string) { bar.print("%s", sentence) },
	}, t.predictor)
	if err := bar.close(err); errors.Is(err, context.Canceled) {
		return tabled{}, fmt.Errorf("%w: %s done, kept in %s; the same command goes on there", errStopped, usage.Count(bar.done, "image"), predict.PartialFolder(out))
	} else if err != nil {
		return tabled{}, err
	}
	return tabled{
		Out: out, Model: c.String("model"), Step: model.step, Features: t.features, Result: done, PassedOver: in.passedOver,
		ImagesWithoutRow: in.matching.ImagesWithoutRow, RowsWithoutImage: in.matching.RowsWithoutImage,
		Seconds: time.Since(begin).Seconds(), ImagesPerSecond: bar.rate(),
	}, nil
}

// checkTable checks the flags that can be checked separately, and returns --crop, 0 if it is not set.
func checkTable(c *cli.Context) (session session.Config, precision network.Precision, crop imagefile.Crop, other external, err error) {
	input := "images"
	if c.String("data") != "" {
		input = "data"
	}
	if err = checkArguments(c, "model", input, "out"); err != nil {
		if c.String(input) == "" {
			err = usage.Error{Err: fmt.Errorf("%w; --data CACHE in place of --images takes the images of a cache", err)}
		}
		return session, precision, crop, other, err
	}
	session, sessionErr := sessionOf(c)
	precision = network.Precision(c.String("precision"))
	errs := []error{sessionErr, precision.Validate()}
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
	crop, cropErr := cropOf(c)
	other, otherErr := externalFlags(c)
	if err := errors.Join(append(errs, checkInput(c), cropErr, otherErr)...); err != nil {
		return session, precision, crop, other, usage.Error{Err: err}
	}
	if c.IsSet("size") {
		other.load.Size, other.names = c.Int("size"), append(other.names, "--size")
	}
	return session, precision, crop, other, nil
}

// checkInput checks the flags about the images.
func checkInput(c *cli.Context) error {
	var errs []error
	if c.String("data") == "" && c.IsSet("split") {
		errs = append(errs, errors.New("--split: of a cache (--data); --images has no splits"))
	}
	for _, name := range imageFlags {
		if c.String("data") != "" && c.IsSet(name) {
			errs = append(errs, fmt.Errorf("--%s: for --images, and a cache has its images and their ids already: leave it out", name))
		}
	}
	if c.String("data") != "" && c.String("images") != "" {
		errs = append(errs, errors.New("--images and --data: give one of them"))
	}
	if _, err := data.ParseSplit(c.String("split")); err != nil {
		errs = append(errs, fmt.Errorf("--split: %w", err))
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
	return errors.Join(errs...)
}

// missingInput returns an error if there are no images: the model decides how they are listed, but takes seconds to open.
func missingInput(c *cli.Context) (err error) {
	switch dir := c.String("data"); {
	case dir != "" && !exists(dir):
		_, err = data.Open(dir)
	case dir == "" && !exists(c.String("images")):
		_, _, err = findImages(c, input{})
	}
	return err
}

// tableInput holds the images of a table, and how they were found.
type tableInput struct {
	source     predict.Source
	decoder    string // "" if they are pixels already
	crop       imagefile.Crop
	passedOver data.PassedOver
	matching   data.Matching
	close      func() error
}

// openInput opens the images that --images or --data gives. crop is --crop, 0 if it is not set.
func openInput(c *cli.Context, model opened, crop imagefile.Crop) (in tableInput, err error) {
	if dir := c.String("data"); dir != "" {
		return openGalaxies(c, model, dir)
	}
	in.crop = cmp.Or(crop, model.crop)
	if err := model.takesFiles(c.String("model"), in.crop); err != nil {
		return in, usage.Error{Err: err}
	}
	files, matching, err := findImages(c, model.input)
	if err != nil {
		return in, err
	}
	decoder, err := images.NewDecoder(in.crop, model.shape.Size)
	if err != nil {
		return in, usage.Error{Err: errors.Join(err, files.Close())}
	}
	in.source, in.decoder, in.matching = predict.Files{Images: files, Order: matching.Images, Decoder: decoder}, decoder.String(), matching
	in.passedOver = append(data.PassedOver{}, files.PassedOver()...)
	in.close = func() error { return errors.Join(decoder.Close(), files.Close()) }
	return in, nil
}

// openGalaxies opens a cache as the images of a table.
func openGalaxies(c *cli.Context, model opened, dir string) (in tableInput, err error) {
	split, err := data.ParseSplit(c.String("split"))
	if err != nil {
		return in, err
	}
	cache, err := data.Open(dir)
	if err != nil {
		return in, err
	}
	which := cache.Indices(split)
	if err = model.fitsImages(c.String("model"), cache.Manifest()); err == nil && len(which) == 0 {
		err = fmt.Errorf("cache %s has no galaxies in its %v split", dir, split)
	}
	if err != nil {
		return in, errors.Join(err, cache.Close())
	}
	in.source, in.crop, in.passedOver, in.close = predict.Galaxies{Cache: cache, Which: which}, cache.Manifest().Crop, data.PassedOver{}, cache.Close
	return in, nil
}

// takesFiles returns an error if a model cannot be given image files. crop is the centre that it is shown of them, 0 if
// that is not known.
func (n opened) takesFiles(name string, crop imagefile.Crop) error {
	switch {
	case n.stretch.IsZero() && (!n.bands.Picture() || n.bands.Channels() != n.shape.Channels):
		return fmt.Errorf("%s takes images of %s (%v), which no JPEG, PNG, TIFF, WebP or BMP has", name, usage.Count(n.shape.Channels, "channel"), n.bands)
	case crop == 0:
		return fmt.Errorf("SavedModel %s does not tell how its images are cropped (it has no assets.extra/galaxy.json): say so with --crop", name)
	}
	return nil
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

func printTabled(w io.Writer, r tabled) {
	rows, row := usage.Count(r.Rows, "row"), "answer"
	if r.Features > 0 {
		rows, row = fmt.Sprintf("%s of %d features", rows, r.Features), "row"
	}
	fmt.Fprintf(w, "%s in %s (%.0f img/s)\n", rows, r.Out, r.ImagesPerSecond)
	if r.IDs != "" {
		fmt.Fprintf(w, "their ids are in %s\n", r.IDs)
	}
	printRest(w, r, "given the mean "+row)
}

// printRest prints what predict, embed and ask have in common. broken is what was done about a broken image.
func printRest(w io.Writer, r tabled, broken string) {
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
		fmt.Fprintf(w, "%s: %v\n", broken, b)
	}
}
