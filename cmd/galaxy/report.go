package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	runreport "galaxy/report"
	"galaxy/train"
	"galaxy/train/metric"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write what a run has learned, and which galaxies it gets wrong, as one HTML file",
		ArgsUsage: "RUN [RUN…]",
		Description: "The first run is shown in full, and the others are compared with it, on the same galaxies.\n" +
			"The file needs no network and no scripts. It has images of the galaxies in it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Category: catOutput, Value: runreport.FileName, Usage: "`FILE` to write, which must not exist"},
			&cli.StringFlag{Name: "data", Category: catInput, Usage: "`CACHE` that the runs were trained on (default: the folder that the first run names)"},
			threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
		},
		Action: reportAction,
	}
}

func reportAction(c *cli.Context) error {
	runs := c.Args().Slice()
	if len(runs) == 0 {
		return usage.Error{Err: errors.New("needed: a run, as in galaxy report --out report.html RUN")}
	}
	session, err := sessionOf(c)
	if err != nil {
		return err
	}
	if err := checkNew(c, "out"); err != nil {
		return err
	}
	for _, run := range runs {
		if cfg, err := train.ReadConfig(run); err == nil && cfg.Pretrain.IsSet() {
			return errNoHead(run, "galaxy watch shows its curves")
		}
	}
	bar := newBar(c, "evaluate", "img")
	o := reportOptions(session)
	o.Runs, o.Data, o.Progress = runs, c.String("data"), bar.set
	r, size, err := writeReport(c, c.String("out"), o)
	if err := bar.close(err); err != nil {
		return err
	}
	result := struct {
		Report string `json:"report"`
		Bytes  int    `json:"bytes"`
		Run    string `json:"run"`
		Split  string `json:"split,omitempty"`
		Step   int64  `json:"step"`
		// Evaluation has the metrics of the first run.
		Evaluation *metric.Result `json:"evaluation,omitempty"`
		Missing    []string       `json:"missing,omitempty"`
	}{Report: c.String("out"), Bytes: size, Run: runs[0], Missing: r.AllMissing()}
	if e := r.Evaluation; e != nil {
		result.Split, result.Step, result.Evaluation = e.Split.String(), e.Step, &e.Result
	}
	return report(c, result, func(w io.Writer) {
		for _, m := range result.Missing {
			fmt.Fprintln(w, m)
		}
		fmt.Fprintf(w, "%s\nreport: %s (%.1f MB)\n", r.Verdict(), c.String("out"), float64(size)/1e6)
	})
}

// reportOptions are what a report needs of this program.
func reportOptions(config session.Config) runreport.Options {
	return runreport.Options{
		Open: func(dir string, cfg train.Config) (runreport.Model, error) {
			n, err := openRun(dir, cfg, config, "")
			if err != nil {
				return runreport.Model{}, err
			}
			m := runreport.Model{Predictor: n.Predictor, Target: n.target(), Loss: n.loss, Step: n.step, Close: n.close}
			if i, ok := n.Predictor.(*graph.Inference); ok {
				m.Network = i.Network()
			}
			return m, nil
		},
		Command: trainCommandOf, Version: galaxyVersion, Now: time.Now(),
	}
}

// writeReport gathers a report and writes it as a new file of size bytes.
func writeReport(c *cli.Context, out string, o runreport.Options) (r *runreport.Report, size int, err error) {
	if r, err = runreport.Gather(c.Context, o); err != nil {
		return nil, 0, err
	}
	page, err := r.HTML()
	if err != nil {
		return nil, 0, err
	}
	if err := durable.WriteFile(out, page); err != nil {
		return nil, 0, fmt.Errorf("write report: %w", err)
	}
	return r, len(page), nil
}

// trainCommandOf returns the command line that trains a run like the one in dir beside it, for a shell.
func trainCommandOf(dir string, cfg train.Config) string {
	if path, err := filepath.Abs(dir); err == nil {
		dir = path
	}
	words := commandWords(&request{plan: train.PlanOf(cfg)}, filepath.Clean(dir)+"-again", cfg.Cache.Path)
	for i, w := range words {
		words[i] = shellWord(w)
	}
	return strings.Join(words, " ")
}

// commandWords returns a call of galaxy train or galaxy pretrain with the plan of c, whose length is in steps: the settings that differ
// from the defaults beside them.
func commandWords(c *request, dir, cache string) []string {
	words := []string{"galaxy", c.command(), "--data", cache, "--out", dir}
	defaults := newRequest(c.plan)
	for i := range settings {
		s := &settings[i]
		text := s.text(c)
		switch {
		case !s.inPlan() || !s.isOf(c.command()) || !s.applies(c) || s.name == "data":
		case s.instead != "" && s.name != "steps": // the length in other terms
		case s.name == "recipe" && text == "": // the defaults are those beside it
		case s.name != "recipe" && s.instead == "" && text == s.text(defaults):
		default:
			flag := s.mention(text)
			if name, value, ok := strings.Cut(flag, " "); ok {
				words = append(words, name, value)
			} else {
				words = append(words, flag)
			}
		}
	}
	return words
}

// shellWord quotes a word for a POSIX shell, if that is necessary.
func shellWord(word string) string {
	special := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./=,:%+@", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
