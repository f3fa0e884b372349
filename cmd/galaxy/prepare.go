package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/graph/images"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// brokenShown is how many broken images are named on the terminal.
const brokenShown = 20

func prepareCommand() *cli.Command {
	return &cli.Command{
		Name:  "prepare",
		Usage: "decode, crop and downscale labelled images into a packed cache",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "labels", Category: catInput, Usage: "`TABLE` of labels: CSV, TSV, Parquet, FITS and others, compressed or not, or the zip that holds it (Kaggle's outer one too)"},
			&cli.StringFlag{Name: "id-column", Category: catInput, Usage: "the labels' `COLUMN` of ids (default: " + data.IDColumn + ", or with --path-column the names of the files without extensions)"},
			&cli.StringFlag{Name: "path-column", Category: catInput, Usage: "the labels' `COLUMN` of the images' paths below --images; without it the image of a galaxy is <id>.jpg, .png and so on"},
			&cli.StringFlag{Name: "images", Category: catInput, Usage: "`DIR|ZIP` of images, named <id>.jpg, .png and so on unless --path-column names them (Kaggle's outer zip too)"},
			&cli.StringFlag{Name: "schema", Category: catInput, Usage: "what the columns of the labels are: the `NAME|FILE` of a schema (galaxy schema list); by default the Galaxy Zoo challenge's"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`CACHE` folder to make; resumes an interrupted one"},
			&cli.IntFlag{Name: "size", Category: catOutput, Value: 64, Usage: "side of the stored images in `PX`; train needs 32 or more"},
			&cli.StringFlag{Name: "crop", Category: catOutput, Usage: "the centre to keep: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "224 of the challenge's 424 px, otherwise 100%"},
			&cli.StringFlag{Name: "bands", Category: catOutput, Usage: "channels of the stored images: `rgb|grey`; grey is one", DefaultText: "grey if the first images are, otherwise rgb"},
			&cli.Int64Flag{Name: "split-seed", Category: catOutput, Usage: "`S`eed of the split into train, validation and test (80/10/10)"},
			&cli.IntFlag{Name: "max-broken", Category: catInput, Usage: "skip up to `N` broken images; more are an error"},
			&cli.BoolFlag{Name: "allow-missing", Category: catInput, Usage: "skip images without a row and rows without an image"},
			maxFileFlag(),
			&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "images decoded at the same time; 0 is two per core"},
		},
		Action: prepareAction,
	}
}

// prepared is the result of prepare.
type prepared struct {
	Out      string          `json:"out"`
	Size     int             `json:"size"`
	Bands    imagefile.Bands `json:"bands,omitzero"`
	Examples int             `json:"examples"`
	Counts   data.Counts     `json:"counts"`
	Broken   []data.Broken   `json:"broken"`
	// Skipped by --allow-missing, and rows that break the rules of the schema.
	ImagesWithoutRow int    `json:"images_without_row"`
	RowsWithoutImage int    `json:"rows_without_image"`
	SumRuleBreaks    int    `json:"sum_rule_breaks"`
	Checksum         string `json:"checksum"`
	// Galaxies with the same image.
	Copies          *data.Copies `json:"copies"`
	ImagesPerSecond float64      `json:"images_per_second"`
}

func prepareAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "labels", "images", "out"); err != nil {
		return err
	}
	crop, err := cropOf(c)
	if err != nil {
		return usage.Error{Err: err}
	}
	cfg := data.PrepareConfig{
		Labels: c.String("labels"), Images: c.String("images"), Out: c.String("out"),
		Keys: data.KeyColumns{ID: c.String("id-column"), Path: c.String("path-column")},
		Size: c.Int("size"), Crop: crop, SplitSeed: c.Int64("split-seed"),
		Workers: c.Int("workers"), AllowMissing: c.Bool("allow-missing"), MaxBroken: c.Int("max-broken"), MaxBytes: c.Int("max-file") << 20,
	}
	if c.IsSet("bands") {
		if cfg.Bands, err = imagefile.ParseBands(c.String("bands")); err != nil {
			return usage.Error{Err: err}
		}
	}
	if name := c.String("schema"); name != "" {
		if cfg.Schema, _, err = readSchema(name); err != nil {
			return err
		}
	}
	if err := cfg.Validate(); err != nil {
		return usage.Error{Err: err}
	}
	decoder, err := images.NewDecoder(cfg.Crop, cfg.Size)
	if err != nil {
		return usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, decoder.Close()) }()
	cfg.Decoder = decoder.String()
	bar := newBar(c, "prepare images", "img")
	cfg.Progress = bar.resume
	cfg.Notice = func(sentence string) { bar.print("%s", sentence) }
	m, err := data.Prepare(c.Context, cfg, decoder)
	if err := bar.close(err); errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %d images are done and stay in %s; the same command goes on there", errStopped, bar.done, data.PartialFolder(cfg.Out))
	} else if err != nil {
		return err
	}
	copies, err := copiesIn(c.Context, cfg.Out)
	if err != nil {
		return err
	}
	result := prepared{
		cfg.Out, m.Size, m.Bands, m.Examples, m.Counts, m.Broken,
		m.ImagesWithoutRow, m.RowsWithoutImage, m.SumRuleBreaks, m.Checksum, copies, bar.rate(),
	}
	return report(c, result, func(w io.Writer) { printPrepared(w, result, m.Schema) })
}

func printPrepared(w io.Writer, r prepared, s *labels.Schema) {
	n := r.Counts
	fmt.Fprintf(w, "%d galaxies of %d px%s in %s: %d train, %d validation, %d test (%.0f img/s)\n",
		r.Examples, r.Size, inBands(r.Bands), r.Out, n.Train, n.Validation, n.Test, r.ImagesPerSecond)
	printBroken(w, r.Broken, r.Out)
	if n.Validation == 0 || n.Test == 0 {
		fmt.Fprintln(w, "a split is empty: there are too few galaxies to evaluate on")
	}
	for _, q := range []struct {
		n    int
		what string
	}{
		{r.ImagesWithoutRow, "images left out that have no row"},
		{r.RowsWithoutImage, "rows left out that have no image"},
		{r.SumRuleBreaks, "rows kept " + brokenRule(s)},
	} {
		if q.n > 0 {
			fmt.Fprintf(w, "%d %s\n", q.n, q.what)
		}
	}
	if r.Copies.Groups > 0 {
		fmt.Fprintf(w, "%d galaxies have the same image as another (%s, %d across splits): galaxy inspect %s names them\n", r.Copies.Galaxies, plural(r.Copies.Groups, "group"), r.Copies.Crossing, r.Out)
	}
}

// inBands names the channels of images, unless they are RGB: " in grey", " in g,r,z".
func inBands(b imagefile.Bands) string {
	if b.IsZero() {
		return ""
	}
	return fmt.Sprintf(" in %v", b)
}

// brokenRule describes the rows that Manifest.SumRuleBreaks counts.
func brokenRule(s *labels.Schema) string {
	if s.Values() == labels.Counts {
		return "that have more votes for a question than for the answers that lead to it"
	}
	return "whose fractions break the question tree's sum rules"
}

// maxFileFlag is the flag of prepare and predict that bounds the size of an image file.
func maxFileFlag() cli.Flag {
	return &cli.IntFlag{Name: "max-file", Category: catInput, Value: data.DefaultMaxBytes >> 20, Usage: "largest image file to read, in `MIB`; a larger one is broken"}
}

// cropOf returns what --crop says, 0 if nothing. It checks --max-file too.
func cropOf(c *cli.Context) (crop imagefile.Crop, err error) {
	if n := c.Int("max-file"); n < 1 || n > 1<<12 {
		err = fmt.Errorf("--max-file %d: expected 1 to %d MiB", n, 1<<12)
	}
	if !c.IsSet("crop") {
		return 0, err
	}
	crop, cropErr := imagefile.ParseCrop(c.String("crop"))
	if cropErr != nil {
		cropErr = fmt.Errorf("--%w", cropErr)
	}
	return crop, errors.Join(err, cropErr)
}

// printBroken names the broken images of a cache.
func printBroken(w io.Writer, broken []data.Broken, cache string) {
	for i, b := range broken {
		if i == brokenShown {
			fmt.Fprintf(w, "and %d more, all in %s\n", len(broken)-i, filepath.Join(cache, "manifest.json"))
			return
		}
		fmt.Fprintf(w, "left out %s: %s\n", b.ID, b.Reason)
	}
}
