package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/urfave/cli/v2"

	"galaxy/data/synth"
	"galaxy/internal/usage"
	"galaxy/labels"
)

func synthCommand() *cli.Command {
	return &cli.Command{
		Name:  "synth",
		Usage: "draw synthetic galaxies in the layout of the Galaxy Zoo challenge, with answers to any schema's questions",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`DIR` to make; must not exist"},
			&cli.IntFlag{Name: "count", Category: catOutput, Value: 3000, Usage: "`N`umber of galaxies"},
			&cli.Int64Flag{Name: "seed", Category: catOutput, Value: 1, EnvVars: []string{"GALAXY_SEED"}, Usage: "`S`eed of the galaxies; the same seed gives the same bytes"},
			&cli.StringFlag{Name: "schema", Category: catOutput, Usage: "what the volunteers are asked: the `NAME|FILE` of a schema (galaxy schema list); by default the Galaxy Zoo challenge's"},
			&cli.BoolFlag{Name: "counts", Category: catOutput, Usage: "write counts of the volunteers' votes, also of a schema of fractions"},
			&cli.StringFlag{Name: "volunteers", Category: catOutput, Usage: "how many volunteers each galaxy has: a number of `LEAST-MOST`, or always N", DefaultText: "32-56 for the challenge's schema, otherwise 20-80"},
			&cli.StringFlag{Name: "format", Category: catOutput, Value: string(synth.JPEG), Usage: "format of the images: " + usage.OneOf(synth.Formats())},
			&cli.IntFlag{Name: "bands", Category: catOutput, Usage: "`N`umber of channels: 1 or 3 of jpeg and png, 1 to 8 of fits", DefaultText: "3 of jpeg and png, 1 of fits"},
			&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "galaxies drawn at the same time; 0 is two per core"},
		},
		Action: func(c *cli.Context) error {
			if err := checkArguments(c, "out"); err != nil {
				return err
			}
			cfg := synth.Config{Out: c.String("out"), Count: c.Int("count"), Seed: c.Int64("seed"), Workers: c.Int("workers"), Format: synth.Format(c.String("format")), Bands: c.Int("bands")}
			if name := c.String("schema"); name != "" {
				var err error
				if cfg.Schema, _, err = readSchema(name); err != nil {
					return err
				}
			}
			if text := c.String("volunteers"); c.IsSet("volunteers") {
				var err error
				if cfg.Least, cfg.Most, err = parseVolunteers(text); err != nil {
					return usage.Error{Err: err}
				}
			}
			if c.Bool("counts") {
				var err error
				if cfg.Schema, err = cmp.Or(cfg.Schema, labels.GalaxyZoo()).With(labels.Counts); err != nil {
					return err
				}
			}
			if err := cfg.Validate(); err != nil {
				return usage.Error{Err: err}
			}
			rate, err := drawGalaxies(c, cfg)
			if err != nil {
				return err
			}
			result := struct {
				Out             string  `json:"out"`
				Count           int     `json:"count"`
				Seed            int64   `json:"seed"`
				ImagesPerSecond float64 `json:"images_per_second"`
			}{cfg.Out, cfg.Count, cfg.Seed, rate}
			return report(c, result, func(w io.Writer) {
				fmt.Fprintf(w, "%s in %s (%.0f img/s)\nnext: galaxy prepare%s --labels %s --images %s --out CACHE --size 64\n",
					usage.Count(cfg.Count, "galaxy"), cfg.Out, rate, prepareFlags(cfg), shellescape.Quote(filepath.Join(cfg.Out, synth.LabelsFile)), shellescape.Quote(filepath.Join(cfg.Out, synth.ImagesDir)))
			})
		},
	}
}

// drawGalaxies makes a data set and returns the galaxies drawn per second.
func drawGalaxies(c *cli.Context, cfg synth.Config) (rate float64, err error) {
	bar := newBar(c, "draw galaxies", "img")
	cfg.Progress = bar.set
	err = bar.close(synth.Generate(c.Context, cfg))
	return bar.rate(), err
}

// prepareFlags returns the flags with which galaxy prepare takes a data set as it is.
func prepareFlags(cfg synth.Config) string {
	switch {
	case !cfg.Schema.IsZero():
		return " --schema " + shellescape.Quote(filepath.Join(cfg.Out, synth.SchemaFile))
	case cfg.Format == synth.FITS: // images that the challenge's labels are not about
		var planes []string
		for i := range max(1, cfg.Bands) {
			planes = append(planes, fmt.Sprint("plane", i))
		}
		return " --crop 100% --bands " + strings.Join(planes, ",")
	case cfg.Bands == 1:
		return " --bands grey"
	}
	return ""
}

// parseVolunteers reads "20-80", or "40" for both.
func parseVolunteers(text string) (least, most int, err error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	least, err1 := strconv.Atoi(first)
	most, err2 := strconv.Atoi(last)
	if errors.Join(err1, err2) != nil || least < 1 {
		return 0, 0, &usage.Field{Name: "volunteers", Got: text, Expected: "a number, or two with - between them, such as 20-80"}
	}
	return least, most, nil
}
