package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"

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
			&cli.BoolFlag{Name: "counts", Category: catOutput, Usage: "write counts of the votes of 20 to 80 volunteers, also of a schema of fractions"},
			&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "galaxies drawn at the same time; 0 is two per core"},
		},
		Action: func(c *cli.Context) error {
			if err := checkArguments(c, "out"); err != nil {
				return err
			}
			cfg := synth.Config{Out: c.String("out"), Count: c.Int("count"), Seed: c.Int64("seed"), Workers: c.Int("workers")}
			if name := c.String("schema"); name != "" {
				var err error
				if cfg.Schema, _, err = readSchema(name); err != nil {
					return err
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
			bar := newBar(c, "draw galaxies", "img")
			cfg.Progress = bar.set
			if err := bar.close(synth.Generate(c.Context, cfg)); err != nil {
				return err
			}
			result := struct {
				Out             string  `json:"out"`
				Count           int     `json:"count"`
				Seed            int64   `json:"seed"`
				ImagesPerSecond float64 `json:"images_per_second"`
			}{cfg.Out, cfg.Count, cfg.Seed, bar.rate()}
			schema := ""
			if !cfg.Schema.IsZero() {
				schema = " --schema " + filepath.Join(cfg.Out, synth.SchemaFile)
			}
			return report(c, result, func(w io.Writer) {
				fmt.Fprintf(w, "%d galaxies in %s (%.0f img/s)\nnext: galaxy prepare%s --labels %s --images %s --out CACHE --size 64\n",
					cfg.Count, cfg.Out, bar.rate(), schema, filepath.Join(cfg.Out, "training_solutions_rev1.csv"), filepath.Join(cfg.Out, "images_training_rev1"))
			})
		},
	}
}
