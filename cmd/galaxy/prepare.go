package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"al.essio.dev/pkg/shellescape"
	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/graph/images"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// brokenShown is how many broken images are named on the terminal.
const brokenShown = 20

func prepareCommand() *cli.Command {
	return &cli.Command{
		Name:  "prepare",
		Usage: "decode, crop and downscale images, with their labels if there are any, into a packed cache",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "labels", Category: catInput, Usage: "`TABLE` of labels: CSV, TSV, Parquet, FITS and others, compressed or not, or the zip that holds it (Kaggle's outer one too)"},
			&cli.StringFlag{Name: "id-column", Category: catInput, Usage: "the labels' `COLUMN` of ids (default: " + data.IDColumn + ", or with --path-column the names of the files without extensions)"},
			&cli.StringFlag{Name: "path-column", Category: catInput, Usage: "the labels' `COLUMN` of the images' paths below --images; without it the image of a galaxy is <id>.jpg, .png and so on"},
			&cli.StringFlag{Name: "class-column", Category: catInput, Usage: "the labels' `COLUMN` with the class of each galaxy; rows with an empty cell are left out"},
			&cli.StringFlag{Name: "images", Category: catInput, Usage: "`DIR|ZIP` of images, named <id>.jpg, .png and so on unless --path-column names them (Kaggle's outer zip too); without --labels with a folder for each class"},
			&cli.StringFlag{Name: "schema", Category: catInput, Usage: "what the columns of the labels are: the `NAME|FILE` of a schema (galaxy schema list); by default the Galaxy Zoo challenge's"},
			&cli.BoolFlag{Name: "unlabelled", Category: catInput, Usage: "take the images alone, for galaxy pretrain: there are no labels"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`CACHE` folder to make; resumes an interrupted one"},
			&cli.IntFlag{Name: "size", Category: catOutput, Value: 64, Usage: "side of the stored images in `PX`; train needs 32 or more"},
			&cli.StringFlag{Name: "crop", Category: catOutput, Usage: "the centre to keep: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "224 of the challenge's 424 px, otherwise 100%"},
			&cli.StringFlag{Name: "bands", Category: catOutput, Usage: "channels of the stored images: rgb, grey for one, or up to 8 `NAMES` with commas, such as g,r,z: words in the files' names, HDUs (EXTNAME or hdu1) or planes (plane0) of FITS files", DefaultText: "grey if the first images are, otherwise rgb; all planes of FITS files"},
			&cli.StringFlag{Name: "stretch", Category: catOutput, Usage: "how pixels of any range become 8 bits: linear, sqrt, log, asinh or lupton, and limits, as in asinh,0.5%..99.7% or linear,0..1000", DefaultText: stretch.Default.String() + " for FITS files, none for others"},
			filesFlag(),
			&cli.StringFlag{Name: "split", Category: catSplit, Usage: "`SHARES` of train, validation and test in per cent or as fractions", DefaultText: "80/10/10, or the folders train/, valid/ and test/ above those of the classes"},
			&cli.BoolFlag{Name: "stratify", Category: catSplit, Usage: "give each class its shares, rounded to whole galaxies"},
			&cli.StringFlag{Name: "split-by-group", Category: catSplit, Usage: "keep all galaxies with one value in the labels' `COLUMN` in one split"},
			&cli.StringFlag{Name: "split-column", Category: catSplit, Usage: "the labels' `COLUMN` with each galaxy's split: train, validation (valid, val, dev) or test; rows with an empty cell are left out"},
			&cli.Int64Flag{Name: "split-seed", Category: catSplit, Usage: "`S`eed of the split into train, validation and test"},
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
	ImagesWithoutRow int `json:"images_without_row"`
	RowsWithoutImage int `json:"rows_without_image"`
	SumRuleBreaks    int `json:"sum_rule_breaks"`
	// Skipped because a cell is empty.
	RowsWithoutClass int            `json:"rows_without_class,omitzero"`
	RowsWithoutSplit int            `json:"rows_without_split,omitzero"`
	Split            data.SplitRule `json:"split,omitzero"`
	Balance          *data.Balance  `json:"balance,omitzero"` // of a catalogue of classes
	Checksum         string         `json:"checksum"`
	Copies           *data.Copies   `json:"copies"` // galaxies with the same image
	Blank            []data.ID      `json:"blank"`  // galaxies whose image has one value everywhere
	ImagesPerSecond  float64        `json:"images_per_second"`
}

func prepareAction(c *cli.Context) error {
	if err := checkArguments(c, "images", "out"); err != nil {
		return err
	}
	crop, err := cropOf(c)
	split, splitErr := splitOf(c)
	if err = errors.Join(err, splitErr); err != nil {
		return usage.Error{Err: err}
	}
	cfg := data.PrepareConfig{
		Labels: c.String("labels"), Images: c.String("images"), Out: c.String("out"),
		Keys: data.KeyColumns{ID: c.String("id-column"), Path: c.String("path-column"), Class: c.String("class-column")},
		Size: c.Int("size"), Crop: crop, Split: split, SplitSeed: c.Int64("split-seed"),
		Files: c.String("files"), Workers: c.Int("workers"), AllowMissing: c.Bool("allow-missing"), MaxBroken: c.Int("max-broken"), MaxBytes: c.Int("max-file") << 20,
	}
	if c.IsSet("bands") {
		if cfg.Bands, err = imagefile.ParseBands(c.String("bands")); err != nil {
			return usage.Error{Err: err}
		}
	}
	if c.IsSet("stretch") {
		if cfg.Stretch, err = stretch.Parse(c.String("stretch")); err != nil {
			return usage.Error{Err: err}
		}
	}
	if name := c.String("schema"); name != "" {
		if cfg.Schema, _, err = readSchema(name); err != nil {
			return err
		}
	}
	if c.Bool("unlabelled") {
		if cfg.Schema != nil {
			return usage.Error{Err: errors.New("--schema is about labels: leave it out with --unlabelled")}
		}
		cfg.Schema = labels.None()
	}
	if err := cfg.Validate(); err != nil {
		return usage.Error{Err: err}
	}
	bar := newBar(c, "prepare images", "img")
	m, err := prepare(c.Context, cfg, bar)
	if err != nil {
		return err
	}
	copies, blank, balance, err := lookInto(c.Context, cfg.Out)
	if err != nil {
		return err
	}
	result := prepared{
		cfg.Out, m.Size, m.Bands, m.Examples, m.Counts, m.Broken,
		m.ImagesWithoutRow, m.RowsWithoutImage, m.SumRuleBreaks, m.RowsWithoutClass, m.RowsWithoutSplit,
		m.Split, balance, m.Checksum, copies, blank, bar.rate(),
	}
	return report(c, result, func(w io.Writer) { printPrepared(w, result, m.Schema) })
}

// prepare makes a cache with a valid configuration.
func prepare(ctx context.Context, cfg data.PrepareConfig, bar *bar) (m *data.Manifest, err error) {
	decoder, err := images.NewDecoder(cfg.Crop, cfg.Size)
	if err != nil {
		return nil, usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, decoder.Close()) }()
	cfg.Decoder = decoder.String()
	cfg.Progress = bar.resume
	cfg.Notice = func(sentence string) { bar.print("%s", sentence) }
	m, err = data.Prepare(ctx, cfg, decoder)
	if err = bar.close(err); errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %s done, kept in %s; the same command goes on there", errStopped, usage.Count(bar.done, "image"), data.PartialFolder(cfg.Out))
	}
	return m, err
}

func printPrepared(w io.Writer, r prepared, s *labels.Schema) {
	n := r.Counts
	fmt.Fprintf(w, "%s of %d px%s in %s: %d train, %d validation, %d test (%.0f img/s)\n",
		usage.Count(r.Examples, "galaxy"), r.Size, inBands(r.Bands), r.Out, n.Train, n.Validation, n.Test, r.ImagesPerSecond)
	printBroken(w, r.Broken, r.Out)
	printEmpty(w, n, r.Split)
	for _, q := range []struct {
		n          int
		noun, what string
	}{
		{r.ImagesWithoutRow, "image", "without a row left out"},
		{r.RowsWithoutImage, "row", "without an image left out"},
		{r.RowsWithoutClass, "row", "left out whose cell for the class is empty"},
		{r.RowsWithoutSplit, "row", "left out whose cell for the split is empty"},
		{r.SumRuleBreaks, "row", "kept " + brokenRule(s)},
	} {
		if q.n > 0 {
			fmt.Fprintf(w, "%s %s\n", usage.Count(q.n, q.noun), q.what)
		}
	}
	printBlank(w, r.Blank)
	if r.Copies.Groups > 0 {
		fmt.Fprintf(w, "%s with the same image as another (%s, %d across splits): galaxy inspect %s names them\n", usage.Count(r.Copies.Galaxies, "galaxy"), usage.Count(r.Copies.Groups, "group"), r.Copies.Crossing, shellescape.Quote(r.Out))
	}
	if r.Balance != nil {
		fmt.Fprintln(w)
		printBalance(w, r.Balance, n)
	}
}

// splitOf returns what the flags of the split say.
func splitOf(c *cli.Context) (rule data.SplitRule, err error) {
	rule = data.SplitRule{Column: c.String("split-column"), Stratify: c.Bool("stratify"), Group: c.String("split-by-group")}
	if text := c.String("split"); text != "" {
		if rule.Shares, err = data.ParseShares(text); err != nil {
			err = fmt.Errorf("--split %w", err)
		}
	}
	return rule, err
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
		return "with more votes for a question than for the answers that lead to it"
	}
	return "whose fractions break the question tree's sum rules"
}

// filesFlag is the flag of prepare, predict, embed and ask for the names of image files.
func filesFlag() cli.Flag {
	return &cli.StringFlag{Name: "files", Category: catInput, Usage: "`PATTERN` of the images' names, such as survey_{id}_{band}; * is any text", DefaultText: "{id}, with a band of --bands as a word or a folder"}
}

// maxFileFlag is the flag of prepare, predict, embed and ask that bounds the size of an image file.
func maxFileFlag() cli.Flag {
	return &cli.IntFlag{Name: "max-file", Category: catInput, Value: data.DefaultMaxBytes >> 20, Usage: "largest image file to read, in `MIB`; a larger one is broken"}
}

// cropOf returns what --crop says, 0 if nothing. It checks --max-file too.
func cropOf(c *cli.Context) (crop imagefile.Crop, err error) {
	if n := c.Int("max-file"); n < 1 || n > 1<<12 {
		err = fmt.Errorf("--max-file %d: expected 1 to %d MiB", n, 1<<12)
	}
	crop, cropErr := cropAlone(c)
	return crop, errors.Join(err, cropErr)
}

// cropAlone reads --crop, 0 if it is not set.
func cropAlone(c *cli.Context) (imagefile.Crop, error) {
	if !c.IsSet("crop") {
		return 0, nil
	}
	crop, err := imagefile.ParseCrop(c.String("crop"))
	if err != nil {
		return 0, fmt.Errorf("--%w", err)
	}
	return crop, nil
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
