package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"galaxy/data"
)

// rateTurn is the result of one program, in images per second: by its own clock, and over
// the whole process.
type rateTurn struct {
	own, process float64
	held         float64 // MiB, 0 if it was not measured
}

// rateFigures compare programs that do the same with the same images. The maps are by
// the program's name. Ratios, galaxy's relative to each peer, are computed in each round.
type rateFigures struct {
	Galaxies    int               `json:"galaxies"`
	Size        int               `json:"size"`
	Batch       int               `json:"batch,omitempty"`
	Rate        map[string]spread `json:"images_per_second"`
	Process     map[string]spread `json:"process_images_per_second,omitempty"`
	Held        map[string]spread `json:"held_rss_anon_mib,omitempty"`
	Faster      map[string]spread `json:"speed_over"`
	Whole       map[string]spread `json:"process_speed_over,omitempty"`
	NotMeasured map[string]string `json:"not_measured,omitempty"`
	names       []string          // in the order of the table
}

// print writes the table under a title.
func (f rateFigures) print(title string) {
	columns := []struct {
		title string
		of    map[string]spread
	}{{"img/s", f.Rate}, {"img/s, whole process", f.Process}, {"memory added, MiB", f.Held}, {"galaxy relative to it", f.Faster}, {"the same, whole process", f.Whole}}
	head, line := "| "+title, "|---"
	for _, c := range columns {
		if len(c.of) > 0 {
			head, line = head+" | "+c.title, line+"|---"
		}
	}
	fmt.Printf("%s |\n%s|\n", head, line)
	for _, name := range f.names {
		row := "| " + name
		for i, c := range columns {
			cell, ok := c.of[name]
			switch {
			case len(c.of) == 0:
			case ok:
				row += fmt.Sprintf(" | %v", cell)
			case i == 0:
				row += " | not measured"
			default:
				row += " | "
			}
		}
		fmt.Println(row + " |")
	}
	fmt.Println()
}

// compareRates measures galaxy, the first of sides, and its peers alternately.
func (s settings) compareRates(ctx context.Context, f rateFigures, sides []side[rateTurn]) (rateFigures, error) {
	all, err := takeTurns(ctx, s.rounds, s.turnLimit, sides)
	if err != nil {
		return f, err
	}
	own := func(t rateTurn) float64 { return t.own }
	process := func(t rateTurn) float64 { return t.process }
	held := func(t rateTurn) float64 { return t.held }
	f.Rate, f.Process, f.Held, f.Faster, f.Whole = map[string]spread{}, map[string]spread{}, map[string]spread{}, map[string]spread{}, map[string]spread{}
	f.NotMeasured = all.missing
	first := all.taken[sides[0].name]
	for _, side := range sides {
		f.names = append(f.names, side.name)
		taken, ok := all.taken[side.name]
		if !ok {
			continue
		}
		f.Rate[side.name] = over(taken, own)
		if side.peer {
			f.Faster[side.name] = ratio(first, taken, own)
		}
		if taken[0].process > 0 {
			f.Process[side.name] = over(taken, process)
			if side.peer {
				f.Whole[side.name] = ratio(first, taken, process)
			}
		}
		if taken[0].held > 0 {
			f.Held[side.name] = over(taken, held)
		}
	}
	return f, nil
}

// clock runs a program that processes the given number of images and prints on stdout
// its time, or its images per second.
func clock(ctx context.Context, images int, name string, args ...string) (t rateTurn, err error) {
	begin := time.Now()
	raw, err := output(ctx, name, args...)
	if err != nil {
		return t, err
	}
	t.process = float64(images) / time.Since(begin).Seconds()
	var answer struct {
		Seconds float64 `json:"seconds"`
		Images  float64 `json:"images"`
		Rate    float64 `json:"images_per_second"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return t, fmt.Errorf("read the answer of %s: %w", name, err)
	}
	if t.own = answer.Rate; answer.Seconds > 0 && answer.Images > 0 {
		t.own = answer.Images / answer.Seconds
	}
	return t, nil
}

// script is a peer's program.
func script(name string) string { return filepath.Join("bench", name) }

// fileFigures hold the speed of synth, from one run, and of prepare compared with tf.data, by size.
type fileFigures struct {
	Synth   float64       `json:"synth_images_per_second"`
	Prepare []rateFigures `json:"prepare"`
}

// The two variants of the tf.data pipeline: the usual one, and the one that decodes only
// the crop.
const tfdataWhole, tfdataCrop = "tf.data, decode_jpeg", "tf.data, decode_and_crop_jpeg"

// files draws the galaxies and compares the programs that make caches of them.
func (s settings) files(ctx context.Context, to *figures) error {
	synth, err := s.synth(ctx)
	if err != nil {
		return err
	}
	if synth > 0 {
		fmt.Printf("synth drew %.3g img/s\n\n", synth)
	}
	to.Files = &fileFigures{Synth: synth}
	for _, size := range s.sizes {
		f, err := s.prepareBeside(ctx, size)
		if err != nil {
			return err
		}
		to.Files.Prepare = append(to.Files.Prepare, f)
	}
	return nil
}

// prepareBeside compares galaxy prepare with tf.data.
func (s settings) prepareBeside(ctx context.Context, size int) (rateFigures, error) {
	cache, out := s.cache(size), filepath.Join(s.work, "images.bin")
	defer func() { _ = os.Remove(out) }() // or else with the folder of all runs
	peer := func(flags ...string) func(context.Context, int) (rateTurn, error) {
		return func(ctx context.Context, _ int) (rateTurn, error) {
			return clock(ctx, s.galaxies, s.python, append([]string{script("prepare.py"), "--images", images(s.data()), "--cache", cache, "--out", out}, flags...)...)
		}
	}
	f, err := s.compareRates(ctx, rateFigures{Galaxies: s.galaxies, Size: size}, []side[rateTurn]{
		{ours, false, func(ctx context.Context, _ int) (rateTurn, error) {
			if err := os.RemoveAll(cache); err != nil {
				return rateTurn{}, err
			}
			return s.prepare(ctx, s.data(), cache, size, s.galaxies)
		}},
		{tfdataWhole, true, peer()},
		{tfdataCrop, true, peer("--crop-first")},
	})
	if err == nil {
		f.print(fmt.Sprintf("prepare, %d JPEG files, %d px", s.galaxies, size))
	}
	return f, err
}

// predictBatch is the number of images predicted at a time, by both programs.
const predictBatch = 64

// predict compares galaxy predict with Keras' predict fed by tf.data, on the same
// JPEG files: in the precisions that both have, and with an int8 model of galaxy.
func (s settings) predict(ctx context.Context, to *figures) error {
	run, err := s.shortRun(ctx, s.size())
	if err != nil {
		return err
	}
	f, err := s.predictBeside(ctx, "predict", run, run, "float32", "bfloat16")
	if err != nil {
		return err
	}
	to.Predict = &f
	int8 := filepath.Join(s.work, fmt.Sprintf("int8-%d", s.size()))
	if err := os.RemoveAll(int8); err != nil {
		return err
	}
	if _, err := output(ctx, s.galaxy, "export", "--run", run, "--out", int8, "--frozen", "--precision", "int8"); err != nil {
		return err
	}
	if f, err = s.predictBeside(ctx, "predict, int8", int8, run, "float32"); err != nil {
		return err
	}
	to.PredictInt8 = &f
	return nil
}

// predictBeside compares galaxy with a model, a run or a SavedModel of it, with Keras in some
// precisions with the run's weights.
func (s settings) predictBeside(ctx context.Context, title, model, run string, precisions ...string) (rateFigures, error) {
	files, out, batch := images(s.data()), filepath.Join(s.work, "predicted.csv"), strconv.Itoa(predictBatch)
	sides := []side[rateTurn]{{ours, false, func(ctx context.Context, _ int) (rateTurn, error) {
		if err := os.RemoveAll(out); err != nil {
			return rateTurn{}, err
		}
		return clock(ctx, s.galaxies, s.galaxy, "predict", "--json", "--model", model, "--images", files, "--out", out, "--batch", batch)
	}}}
	for _, precision := range precisions {
		sides = append(sides, side[rateTurn]{keras + ", " + precision, true, func(ctx context.Context, _ int) (rateTurn, error) {
			return clock(ctx, s.galaxies, s.python, script("predict.py"), "--run", run, "--images", files, "--batch", batch, "--precision", precision)
		}})
	}
	f, err := s.compareRates(ctx, rateFigures{Galaxies: s.galaxies, Size: s.size(), Batch: predictBatch}, sides)
	if err == nil {
		f.print(fmt.Sprintf("%s, %d JPEG files, %d px, batch %d", title, s.galaxies, s.size(), predictBatch))
	}
	return f, err
}

// shortRun makes a run of a few steps, unless it exists: the speed of a
// prediction does not depend on the weights.
func (s settings) shortRun(ctx context.Context, size int) (string, error) {
	run := filepath.Join(s.work, fmt.Sprintf("run-predict-%d", size))
	if _, err := os.Stat(run); err == nil {
		return run, nil
	}
	cache, err := s.prepared(ctx, size)
	if err != nil {
		return "", err
	}
	_, err = output(ctx, s.galaxy, "train", "--data", cache, "--out", run, "--steps", "20", "--batch", "32", "--eval-every", "0")
	return run, err
}

// feedSeconds is the least time for which batches are read after the first.
const feedSeconds = 2

// feed compares reading batches without training: from galaxy's loader, as galaxy train
// uses it, and from tf.data over arrays in memory.
func (s settings) feed(ctx context.Context, to *figures) error {
	cache, err := s.prepared(ctx, s.size())
	if err != nil {
		return err
	}
	f, err := s.compareRates(ctx, rateFigures{Galaxies: s.galaxies, Size: s.size(), Batch: s.batch}, []side[rateTurn]{
		{ours, false, func(ctx context.Context, _ int) (rateTurn, error) { return readBatches(ctx, cache, s.batch) }},
		{"tf.data, from_tensor_slices", true, func(ctx context.Context, _ int) (rateTurn, error) {
			var answer struct {
				Images  float64 `json:"images"`
				Seconds float64 `json:"seconds"`
				Held    float64 `json:"held_mib"`
			}
			raw, err := output(ctx, s.python, script("feed.py"), "--cache", cache, "--batch", strconv.Itoa(s.batch), "--seconds", strconv.Itoa(feedSeconds))
			if err == nil {
				err = json.Unmarshal(raw, &answer)
			}
			return rateTurn{own: answer.Images / answer.Seconds, held: answer.Held}, err
		}},
	})
	if err != nil {
		return err
	}
	f.print(fmt.Sprintf("batches without training, %d px, batch %d", s.size(), s.batch))
	to.Feed = &f
	return nil
}

// readBatches reads as fast as the loader can. held is the largest increase of this process'
// anonymous memory since the cache was opened.
func readBatches(ctx context.Context, dir string, batch int) (t rateTurn, err error) {
	debug.FreeOSMemory() // so that memory freed by other parts does not count
	before, _ := anonymousMiB(os.Getpid())
	cache, err := data.Open(dir)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	loader, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, Batch: batch, Seed: 1})
	if err != nil {
		return t, err
	}
	defer loader.Close()
	if _, err := loader.Next(ctx); err != nil {
		return t, err
	}
	images, begin := 0, time.Now()
	for tick := begin; time.Since(begin) < feedSeconds*time.Second; {
		b, err := loader.Next(ctx)
		if err != nil {
			return t, err
		}
		images += b.Len()
		if time.Since(tick) > 100*time.Millisecond {
			tick = time.Now()
			if now, err := anonymousMiB(os.Getpid()); err == nil {
				t.held = max(t.held, now-before)
			}
		}
	}
	t.own = float64(images) / time.Since(begin).Seconds()
	return t, nil
}
