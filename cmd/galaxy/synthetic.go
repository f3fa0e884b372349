package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"galaxy/data"
	"galaxy/data/synth"
	"galaxy/internal/usage"
)

// syntheticGalaxies returns how the galaxies of --synthetic are drawn and prepared. The name of their cache
// says all that they depend on, so one that is there is the right one.
func (c *request) syntheticGalaxies() (synth.Config, data.PrepareConfig) {
	cache := fmt.Sprintf("%s.synthetic-%d-%dpx-seed%d", filepath.Clean(c.out), c.synthetic, c.syntheticSize, c.plan.Config.Seed)
	sky := synth.Config{Out: cache + ".images", Count: c.synthetic, Seed: c.plan.Config.Seed}
	return sky, data.PrepareConfig{
		Labels: filepath.Join(sky.Out, synth.LabelsFile), Images: filepath.Join(sky.Out, synth.ImagesDir),
		Out: cache, Size: c.syntheticSize,
	}
}

// takeSynthetic makes the cache of --synthetic the data of a run that starts. A run that is resumed has it.
func (t *trainCall) takeSynthetic() error {
	_, asked := t.given["synthetic"]
	if size, ok := t.given["synthetic-size"]; ok && !asked {
		return usage.Error{Err: fmt.Errorf("%s belongs to --synthetic: give both, or neither", settingOf("synthetic-size").given(size, ""))}
	}
	if !asked || t.run != nil || t.out == "" {
		return nil
	}
	given, both := t.given["data"]
	sky, cache := t.syntheticGalaxies()
	switch err := errors.Join(sky.Validate(), cache.Validate()); {
	case err != nil:
		return usage.Error{Err: fmt.Errorf("--synthetic: %w", err)}
	case both && given.layer != inEnvironment:
		return usage.Error{Err: errors.New("--synthetic is instead of --data: give one of them")}
	case t.worker != nil:
		return usage.Error{Err: errors.New("--synthetic is for one process: give all workers one cache, made by galaxy synth and galaxy prepare, with --data")}
	case !t.resume && exists(t.out):
		return usage.Error{Err: fmt.Errorf("run folder %s exists: name another, or go on with its run by --resume", t.out)}
	}
	t.plan.Data = cache.Out
	t.asked.layers[onCommandLine]["data"] = value{text: cache.Out, layer: onCommandLine}
	return nil
}

// drawSynthetic draws and prepares the galaxies of --synthetic, unless they are there.
func (t *trainCall) drawSynthetic() error {
	if t.synthetic == 0 || t.run != nil || exists(t.plan.Data) {
		return nil
	}
	sky, cache := t.syntheticGalaxies()
	if err := cache.Validate(); err != nil { // fills in the defaults
		return usage.Error{Err: err}
	}
	if !exists(sky.Out) {
		if _, err := drawGalaxies(t.cli, sky); err != nil {
			return err
		}
	}
	if _, err := prepare(t.cli.Context, cache, newBar(t.cli, "prepare images", "img")); err != nil {
		return err
	}
	t.began = time.Now() // a --budget is for the training
	return os.RemoveAll(sky.Out)
}
