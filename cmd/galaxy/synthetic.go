package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"galaxy/data"
	"galaxy/data/synth"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train"
)

// leastSynthetic is the least number of galaxies of --synthetic: all three splits have some.
const leastSynthetic = 100

// bySynthetic is where the value of --data comes from that stands for --synthetic.
const bySynthetic = "--synthetic"

// synthetics returns how the galaxies of --synthetic are drawn and prepared. The name of their cache
// says all that they depend on.
func (c *request) synthetics() (synth.Config, data.PrepareConfig) {
	return synthetics(fmt.Sprintf("%s.synthetic-%d-%dpx-seed%d", filepath.Clean(c.out), c.synthetic, c.syntheticSize, c.plan.Config.Seed), c.synthetic, c.syntheticSize, c.plan.Config.Seed)
}

func synthetics(cache string, n, size int, seed int64) (synth.Config, data.PrepareConfig) {
	sky := synth.Config{Out: cache + ".images", Count: n, Seed: seed}
	return sky, data.PrepareConfig{Labels: filepath.Join(sky.Out, synth.LabelsFile), Images: filepath.Join(sky.Out, synth.ImagesDir), Out: cache, Size: size}
}

// takeSynthetic makes the cache of --synthetic the data of a run that starts, and refuses that of another
// run than the one to resume.
func (t *trainCall) takeSynthetic() error {
	given, asked := t.given["synthetic"]
	if size, ok := t.given["synthetic-size"]; ok && !asked && size.layer == onCommandLine {
		return usage.Error{Err: errors.New("--synthetic-size belongs to --synthetic: give both, or neither")}
	}
	cached, both := t.given["data"]
	if !asked || both && cached.layer > given.layer {
		return nil
	}
	if t.out == "" {
		return checkMissing(t.cli, []string{"out"})
	}
	if t.run != nil { // whose seed counts
		settled, err := t.asked.over(t.run, nil)
		if err != nil {
			return usage.Error{Err: err}
		}
		t.request = settled
	}
	n, err := network.Named(t.plan.Config.Model.Arch)
	if err != nil {
		return usage.Error{Err: err}
	}
	sky, cache := t.synthetics()
	switch err := errors.Join(sky.Validate(), cache.Validate()); {
	case sky.Count < leastSynthetic:
		return usage.Error{Err: fmt.Errorf("--synthetic %d: expected %d galaxies or more", sky.Count, leastSynthetic)}
	case cache.Size < n.Stride || cache.Size > data.DefaultCrop: // which prepare crops the images of to
		return usage.Error{Err: fmt.Errorf("--synthetic-size %d: expected %d to %d", cache.Size, n.Stride, data.DefaultCrop)}
	case err != nil:
		return usage.Error{Err: fmt.Errorf("--synthetic: %w", err)}
	case both && cached.layer == given.layer:
		return usage.Error{Err: fmt.Errorf("%s is instead of %s: give one of them", settingOf("synthetic").given(given, ""), settingOf("data").given(cached, ""))}
	case t.worker != nil:
		return usage.Error{Err: errors.New("--synthetic is for one process: give all workers one cache, made by galaxy synth and galaxy prepare, with --data")}
	case !t.resume && exists(t.out):
		return usage.Error{Err: fmt.Errorf("run folder %s exists: name another, or go on with its run by --resume", t.out)}
	}
	if t.run != nil {
		if path, err := filepath.Abs(cache.Out); err != nil || path != t.run.Cache.Path {
			return usage.Error{Err: errors.Join(err, fmt.Errorf("%s began on %s, which is not what --synthetic %d, --synthetic-size %d and the run's seed ask for: leave them out to go on", t.out, t.run.Cache.Path, t.synthetic, t.syntheticSize))}
		}
	}
	t.plan.Data = cache.Out
	t.asked.layers[onCommandLine]["data"] = value{cache.Out, onCommandLine, bySynthetic}
	return nil
}

// drawSynthetic draws and prepares the galaxies of --synthetic, unless they are there.
func (t *trainCall) drawSynthetic() error {
	if t.given["data"].where != bySynthetic {
		return nil
	}
	sky, cache := t.synthetics()
	if exists(cache.Out) {
		return nil
	}
	if err := t.startThreads(); err != nil {
		return err
	}
	if !exists(sky.Out) {
		// A mistake in the settings is told before the galaxies are drawn: on a few, enough for a batch.
		if few := max(leastSynthetic, 2*int(t.plan.Batch)); t.plan.Batch != train.AutoBatch && sky.Count >= 4*few && t.run == nil {
			if err := t.rehearseSynthetic(few); err != nil {
				return err
			}
		}
		if _, err := drawGalaxies(t.cli, sky); err != nil {
			return err
		}
	}
	if err := cache.Validate(); err != nil { // fills in the defaults
		return usage.Error{Err: err}
	}
	m, err := prepare(t.cli.Context, cache, newBar(t.cli, "prepare images", "img"))
	if err == nil {
		err = t.checkSynthetic(m)
	}
	if err != nil {
		return t.redraw(err)
	}
	t.began = time.Now() // a --budget is for the training
	return os.RemoveAll(sky.Out)
}

// checkSynthetic refuses a cache that only has the name of that of --synthetic.
func (t *trainCall) checkSynthetic(m *data.Manifest) error {
	if t.given["data"].where == bySynthetic && (m.Examples != t.synthetic || m.Size != t.syntheticSize) {
		return fmt.Errorf("%s has %s of %d px, expected %d of %d px", t.plan.Data, usage.Count(m.Examples, "galaxy"), m.Size, t.synthetic, t.syntheticSize)
	}
	return nil
}

// redraw says how to come by the galaxies of --synthetic again after an error with those that are there.
func (t *trainCall) redraw(err error) error {
	if t.given["data"].where != bySynthetic || errors.Is(err, errStopped) || errors.As(err, new(usage.Error)) {
		return err
	}
	return fmt.Errorf("%w; to draw the galaxies of --synthetic again, remove %s* and repeat the command", err, t.plan.Data)
}

// startThreads gives the process the threads of the run: the first session has them made, and without
// this it would be that which decodes the images, with a single one.
func (t *trainCall) startThreads() error {
	config, err := t.session()
	if err == nil {
		_, err = session.FindDevices(config)
	}
	return err
}

// rehearseSynthetic finds mistakes in the settings with a few galaxies.
func (t *trainCall) rehearseSynthetic(few int) (err error) {
	dir, err := os.MkdirTemp("", "galaxy-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sky, cache := synthetics(filepath.Join(dir, "cache"), few, t.syntheticSize, t.plan.Config.Seed)
	if err := errors.Join(synth.Generate(t.cli.Context, sky), cache.Validate()); err != nil {
		return err
	}
	if _, err := prepare(t.cli.Context, cache, &bar{out: io.Discard}); err != nil {
		return err
	}
	try := *t
	try.asked.layers[onCommandLine] = maps.Clone(t.asked.layers[onCommandLine])
	try.asked.layers[onCommandLine]["data"] = value{text: cache.Out, layer: onCommandLine}
	return try.rehearse()
}
