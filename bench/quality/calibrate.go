package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// parts is the number of equal stretches of a run whose medians stepTime takes.
const parts = 10

// plan holds how many steps each system runs. It is stored, so that a restart and further
// seeds use the same.
type plan struct {
	Cache string `json:"cache_checksum"`
	// Minutes is the training time of a run, 0 if runs of several lengths share
	// the calibration (-reach).
	Minutes float64 `json:"minutes,omitempty"`
	// EvalEvery is the number of steps between evaluations, 0 for an epoch.
	EvalEvery int                   `json:"eval_every,omitempty"`
	Systems   map[string]calibrated `json:"systems"`
}

// calibrated is a system with its time of a step, seconds, in every round and the
// number of steps that its median allows.
type calibrated struct {
	system
	StepSeconds []float64 `json:"step_seconds"`
	Steps       int       `json:"steps,omitempty"` // none if the plan has no minutes
}

// plan reads OUT/plan.json and calibrates the missing systems.
func (s settings) plan(ctx context.Context, cache string, systems []system) (plan, error) {
	path := filepath.Join(s.out, "plan.json")
	asked := plan{Cache: cache, Minutes: s.minutes, EvalEvery: s.evalEvery, Systems: map[string]calibrated{}}
	var p plan
	if err := readJSON(path, &p); errors.Is(err, fs.ErrNotExist) {
		p = asked
	} else if err != nil {
		return p, err
	}
	if p.Cache != cache || p.Minutes != s.minutes || p.EvalEvery != s.evalEvery {
		return p, fmt.Errorf("%s holds %v, asked for are %v: choose another -out", s.out, p, asked)
	}
	var missing []system
	for _, sys := range systems {
		if c, ok := p.Systems[sys.Name]; !ok {
			missing = append(missing, sys)
		} else if !same(c.system, sys) {
			return p, fmt.Errorf("%s holds runs of another %s (%s says how it was made): choose another -out", s.out, sys.Name, path)
		}
	}
	if len(missing) == 0 {
		return p, nil
	}
	times, err := s.calibrate(ctx, missing)
	if err != nil {
		return p, err
	}
	for name, c := range budget(missing, times, 60*s.minutes) {
		if s.minutes == 0 {
			c.Steps = 0
		}
		p.Systems[name] = c
	}
	return p, writeJSON(path, p)
}

// String describes what a plan's runs have in common.
func (p plan) String() string {
	length := fmt.Sprintf("%v minutes", p.Minutes)
	if p.Minutes == 0 {
		length = "several lengths (-reach)"
	}
	return fmt.Sprintf("runs of %s on the cache %s with an evaluation every %s", length, p.Cache, p.every())
}

// every describes how often the plan's runs are evaluated.
func (p plan) every() string {
	if p.EvalEvery == 0 {
		return "epoch"
	}
	return fmt.Sprintf("%d steps", p.EvalEvery)
}

// same reports whether two systems train alike, whether or not they were read from JSON.
func same(a, b system) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// budget returns the steps that each system runs in the given seconds; both systems of a
// pair get the steps of the slower one.
func budget(systems []system, times map[string][]float64, seconds float64) map[string]calibrated {
	all := map[string]calibrated{}
	for _, sys := range systems {
		steps := max(1, int(seconds/median(times[sys.Name])))
		all[sys.Name] = calibrated{system: sys, StepSeconds: times[sys.Name], Steps: steps}
	}
	for _, sys := range systems {
		if sys.Like == "" {
			continue
		}
		a, b := all[sys.Name], all[sys.Like]
		a.Steps = min(a.Steps, b.Steps)
		b.Steps = a.Steps
		all[a.Name], all[b.Name] = a, b
	}
	return all
}

// calibrate runs the systems alternately and returns the times of a step, seconds,
// of every round: each is a whole run in miniature, since the time of a step can
// depend on how far a run has come.
func (s settings) calibrate(ctx context.Context, systems []system) (map[string][]float64, error) {
	times := map[string][]float64{}
	folder := filepath.Join(s.out, "calibration")
	if err := os.RemoveAll(folder); err != nil { // of an interrupted calibration
		return nil, err
	}
	for round := range s.rounds {
		for _, sys := range systems {
			t, err := s.train(ctx, trial{system: sys, seed: int64(round + 1), steps: s.steps, siblings: folder, calibration: true})
			if err != nil {
				return nil, fmt.Errorf("calibrate %s: %w", sys.Name, err)
			}
			times[sys.Name] = append(times[sys.Name], stepTime(t.StepSeconds))
		}
		if err := os.RemoveAll(folder); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// stepTime is the mean time of a step over a whole run. The first steps of a
// process, and of every image size of a run that has several, also set things up,
// so it is the mean of the medians of equal stretches of the run.
func stepTime(seconds []float64) float64 {
	sum := 0.0
	for i := range parts {
		sum += median(seconds[i*len(seconds)/parts : (i+1)*len(seconds)/parts])
	}
	return sum / parts
}

func median(x []float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
