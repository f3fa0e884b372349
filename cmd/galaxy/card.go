package main

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/modelcard"
	runreport "galaxy/report"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
)

// licenseID is the form of Hugging Face's identifiers of licences.
var licenseID = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,63}$`)

// exportCard returns the model card's file: card with the licence of the flags, the galaxies of the run's cache, if that
// is where it was, and the scores of --evaluation or the checkpoint's own.
func exportCard(c *cli.Context, card modelcard.Card, state checkpoint.State) ([]byte, error) {
	card.License = c.String("license")
	if card.License != "" && !licenseID.MatchString(card.License) {
		return nil, usage.Error{Err: fmt.Errorf("--license %q: expected an identifier in small letters, such as cc-by-4.0, mit or other (https://huggingface.co/docs/hub/repositories-licenses)", card.License)}
	}
	if cache, err := runreport.OpenCache(card.Config.Cache.Path, card.Config); err == nil {
		m := cache.Manifest()
		card.Counts = &m.Counts
		if err := cache.Close(); err != nil {
			return nil, err
		}
	}
	switch file := c.String("evaluation"); {
	case file != "":
		var err error
		if card.Evaluation, err = readEvaluation(file, card); err != nil {
			return nil, err
		}
	case state.Best != nil && state.Best.Step == state.Step:
		nan := metric.Value(math.NaN())
		card.Evaluation = &modelcard.Evaluation{Split: data.Validation, Result: metric.Result{Scores: metric.Scores{RMSE: state.Best.RMSE, Loss: nan}}}
		if card.Counts != nil {
			card.Evaluation.Examples = card.Counts.Validation
		}
	}
	return card.README()
}

// readEvaluation reads what galaxy eval --json has printed about the card's checkpoint.
func readEvaluation(file string, card modelcard.Card) (*modelcard.Evaluation, error) {
	text, err := durable.ReadFile(file, durable.MaxText)
	if err != nil {
		return nil, fmt.Errorf("--evaluation: %w", err)
	}
	var e evaluated
	// Two metrics are left out if they are not defined.
	undefined := metric.Scores{AccuracyArgmax: metric.Value(math.NaN()), QuestionAccuracy: metric.Value(math.NaN())}
	constant := undefined
	e.Scores, e.Baseline = undefined, &constant
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, usage.Error{Err: fmt.Errorf("--evaluation %s: expected what galaxy eval --json prints: %w", file, err)}
	}
	split, err := data.ParseSplit(e.Split)
	switch {
	case err != nil || e.Examples == 0:
		return nil, usage.Error{Err: fmt.Errorf("--evaluation %s: expected what galaxy eval --json prints, found no split or galaxies in it", file)}
	case e.Step != card.Step:
		return nil, usage.Error{Err: fmt.Errorf("--evaluation %s has the scores of step %d, the best checkpoint is of step %d: score the run again", file, e.Step, card.Step)}
	case split != data.All && e.CacheChecksum != card.Config.Cache.Checksum:
		return nil, usage.Error{Err: fmt.Errorf("--evaluation %s has scores on a split of another cache than the run was trained on: score it on its own cache, or on all of another (galaxy eval --split all)", file)}
	}
	return &modelcard.Evaluation{Split: split, Result: e.Result, Views: e.Views, Projected: e.Projected}, nil
}
