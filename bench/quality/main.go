// Command quality trains systems for equal time on one cache and compares what
// their scores on its test split, for several seeds: the original's design and the
// best recipe, each in galaxy and in Keras, or with -ablate the best recipe
// without one ingredient at a time. On a cache of classes it compares the same
// network and recipe in both. With -reach it measures how long they take to
// reach a validation RMSE. It prints Markdown and writes it, with JSON, into a
// folder.
//
// Runs are sequential, and existing results are kept: stop it at any time and
// start it again with the same flags. Run it on an idle machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"galaxy/data"
	"galaxy/internal/durable"
)

type settings struct {
	galaxy, python, peer string
	data, cache, out     string
	galaxies, size       int
	minutes              float64 // training time per run; 0 with -reach, which has lengths
	lengths, reach       []float64
	evalEvery            int
	seeds                []int64
	rounds, steps        int // of the calibration
}

func main() {
	var s settings
	var minutes, reach, seeds, teacher string
	var ablate bool
	c := choice{changes: map[string]string{}}
	flag.StringVar(&s.galaxy, "galaxy", "bin/galaxy", "our program")
	flag.StringVar(&s.python, "python", ".venv-parity/bin/python", "a Python with parity/requirements.txt")
	flag.StringVar(&s.peer, "peer", "bench/quality/peer.py", "the Keras side")
	flag.StringVar(&s.data, "data", "", "folder with Kaggle's training_solutions_rev1.csv or .zip and images_training_rev1 or .zip; default is synthetic galaxies")
	flag.IntVar(&s.galaxies, "galaxies", 3461, "synthetic galaxies to draw")
	flag.IntVar(&s.size, "size", 64, "side of the cache's images, pixels")
	flag.StringVar(&s.cache, "cache", "", "any cache made by galaxy prepare, of classes too, instead of -data, -galaxies and -size")
	flag.StringVar(&s.out, "out", "", "folder for runs and results; what is there already is not made again")
	flag.StringVar(&minutes, "minutes", "10", "training time of every run: steps alone, without start, evaluations and checkpoints; with -reach several, with commas between them")
	flag.StringVar(&reach, "reach", "", "validation RMSEs like 0.130,0.111: measure how long each system takes to them, with the best of the -minutes as length of its schedule")
	flag.IntVar(&s.evalEvery, "eval-every", 0, "steps between evaluations of the validation split; default is an epoch, which has more steps where a batch is smaller")
	flag.StringVar(&seeds, "seeds", "1,2,3", "each system is trained with each")
	flag.BoolVar(&ablate, "ablate", false, "compare the best recipe with itself without one ingredient at a time")
	flag.StringVar(&teacher, "teacher", "", "a run with the same outputs: train galaxy-taught and keras-taught too, which start from its weights")
	flag.StringVar(&c.only, "only", "", "names of the systems to train; default is all of them")
	flag.Func("change", `SYSTEM=CHANGE, as often as needed: flags of galaxy train, like "galaxy-best=--batch 128", or changes to Keras' tuned recipe (TUNED in peer.py), like 'keras-tuned={"peak": 0.004}'`, func(text string) error {
		name, change, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("expected SYSTEM=CHANGE")
		}
		c.changes[name] = change
		return nil
	})
	flag.BoolVar(&c.xla, "xla", false, "compile the steps of both sides, and keep galaxy's images on the device; for GPUs")
	flag.IntVar(&s.rounds, "rounds", 3, "calibration: turns of every system")
	flag.IntVar(&s.steps, "calibration-steps", 60, "calibration: steps of a turn, 30 or more")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "quality: %q: expected flags alone\n", flag.Args())
		os.Exit(2)
	}
	if _, set := os.LookupEnv("TF_ENABLE_ONEDNN_OPTS"); !set {
		os.Setenv("TF_ENABLE_ONEDNN_OPTS", "1") // galaxy uses these kernels anyway, and Keras should too
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := s.check(seeds, minutes, reach)
	var manifest data.Manifest
	if err == nil {
		manifest, err = s.prepareCache(ctx)
	}
	if err == nil {
		chosen, compared := comparedSystems, mainComparisons
		switch {
		case teacher != "" && (ablate || manifest.Schema.OfClasses()):
			err = errors.New("-teacher is for the comparison with Keras on vote fractions")
		case teacher != "":
			chosen, compared = slices.Concat(chosen, taughtSystems(teacher)), slices.Concat(compared, taughtComparisons)
		case ablate:
			chosen, compared = ablatedSystems(), ablationComparisons()
		case manifest.Schema.OfClasses():
			chosen, compared = classSystems, classComparisons
		}
		var systems []system
		if err == nil {
			systems, err = choose(chosen, c)
		}
		if err == nil {
			err = run(ctx, os.Stdout, s, manifest, systems, compared)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

// check parses the lists and validates the settings.
func (s *settings) check(seeds, minutes, reach string) (err error) {
	for _, text := range strings.Split(seeds, ",") {
		seed, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return fmt.Errorf("-seeds %q: expected whole numbers with commas between them, like 1,2,3", seeds)
		}
		if slices.Contains(s.seeds, seed) {
			return fmt.Errorf("-seeds %q: %d is there twice", seeds, seed)
		}
		s.seeds = append(s.seeds, seed)
	}
	if s.lengths, err = numbers("minutes", minutes); err != nil {
		return err
	}
	if reach != "" {
		if s.reach, err = numbers("reach", reach); err != nil {
			return err
		}
	} else if s.minutes = s.lengths[0]; len(s.lengths) > 1 {
		return fmt.Errorf("-minutes %s: more than one length is for -reach", minutes)
	}
	switch {
	case s.out == "":
		return errors.New("-out is needed: a folder for runs and results")
	case s.data != "" && s.cache != "":
		return errors.New("-data and -cache both say what to train on: give one of them")
	case s.evalEvery < 0:
		return fmt.Errorf("-eval-every %d: expected 0 or more", s.evalEvery)
	case s.steps < 3*parts || s.rounds < 1:
		return fmt.Errorf("expected -calibration-steps of %d or more and -rounds of 1 or more", 3*parts)
	}
	return nil
}

// numbers parses a flag's numbers, which are above 0 and all different.
func numbers(flag, list string) ([]float64, error) {
	var all []float64
	for _, text := range strings.Split(list, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(x > 0) || math.IsInf(x, 0) || slices.Contains(all, x) {
			return nil, fmt.Errorf("-%s %q: expected different numbers above 0 with commas between them", flag, list)
		}
		all = append(all, x)
	}
	return all, nil
}

// figures is the content of quality.json.
type figures struct {
	Plan        plan        `json:"plan"`
	Counts      data.Counts `json:"counts"`
	Size        int         `json:"size"`
	Results     []result    `json:"results"`
	Comparisons []compared  `json:"comparisons"`
}

func run(ctx context.Context, out io.Writer, s settings, manifest data.Manifest, systems []system, comparisons []comparison) error {
	p, err := s.plan(ctx, manifest.Checksum, systems)
	if err != nil {
		return err
	}
	if len(s.reach) > 0 {
		return s.runReach(ctx, out, p, manifest, systems, comparisons)
	}
	f := figures{Plan: p, Counts: manifest.Counts, Size: manifest.Size}
	// One seed after the other, so that a change of the machine's speed affects all
	// systems.
	for _, seed := range s.seeds {
		for _, sys := range systems {
			r, err := s.result(ctx, trial{system: sys, seed: seed, steps: p.Systems[sys.Name].Steps, minutes: s.minutes,
				siblings: filepath.Join(s.out, fmt.Sprintf("seed-%d", seed))}, manifest.Counts.Train)
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", sys.Name, seed, err)
			}
			f.Results = append(f.Results, r)
		}
	}
	f.Comparisons = compareAll(comparisons, f.Results)
	return s.tell(out, "quality", report(f, systems), f)
}

// tell prints a report and writes it and its figures into OUT/name.md and .json.
func (s settings) tell(out io.Writer, name, text string, figures any) error {
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	return errors.Join(
		durable.WriteFile(filepath.Join(s.out, name+".md"), []byte(text)),
		writeJSON(filepath.Join(s.out, name+".json"), figures))
}
