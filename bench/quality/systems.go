package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// system is one way to train the network.
type system struct {
	Name string `json:"name"` // in tables and folders
	// Flags are flags of galaxy train; a system of Keras has none.
	Flags []string `json:"flags,omitempty"`
	// ViewFlags are flags of galaxy eval that average over the 8 views of a square
	// (quarter turns and their mirror images); without any, views are not scored.
	// Keras' systems always are.
	ViewFlags []string `json:"view_flags,omitempty"`
	// Keras is a recipe of peer.py, "" for a system of galaxy.
	Keras string `json:"keras,omitempty"`
	// Changes are changes to that recipe.
	Changes map[string]any `json:"changes,omitempty"`
	// Teacher is the run whose weights a system of Keras starts from, "" for random ones.
	Teacher string `json:"teacher,omitempty"`
	// XLA compiles the steps of a system of Keras.
	XLA bool `json:"xla,omitempty"`
	// Like names the system of galaxy whose recipe, initial weights and batch order
	// this one uses. Both run as many steps as the slower one can.
	Like string `json:"like,omitempty"`
}

const (
	oursOriginal, kerasOriginal = "galaxy-original", "keras-original"
	oursBest, kerasTuned        = "galaxy-best", "keras-tuned"
	oursTaught, kerasTaught     = "galaxy-taught", "keras-taught"
	oursClasses, kerasClasses   = "galaxy-classes", "keras-classes"
)

var (
	views = []string{"--tta", "8"}
	best  = system{Name: oursBest, Flags: []string{"--recipe", "best"}, ViewFlags: views}

	// comparedSystems are the systems trained without -ablate.
	comparedSystems = []system{
		{Name: oursOriginal, Flags: []string{"--recipe", "original"}, ViewFlags: views},
		{Name: kerasOriginal, Keras: "same", Like: oursOriginal},
		{Name: kerasTuned, Keras: "tuned"},
		best,
	}
	mainComparisons = []comparison{
		{A: oursOriginal, B: kerasOriginal},
		{A: oursBest, B: kerasTuned},
		{A: oursBest, B: kerasTuned, Views: true},
	}

	// taughtComparisons are those that a teacher adds: all of the difference, Keras' part
	// of it and ours.
	taughtComparisons = []comparison{
		{A: oursTaught, B: kerasTuned},
		{A: kerasTaught, B: kerasTuned},
		{A: oursTaught, B: kerasTaught},
		{A: oursTaught, B: kerasTaught, Views: true},
		{A: oursTaught, B: oursBest},
	}

	// classSystems are the systems trained on a cache of classes: the same network and recipe, plain enough
	// for both.
	classSystems = []system{
		{Name: oursClasses, Flags: []string{"--arch", "resnet18", "--dropout", "0", "--clip-norm", "0"}},
		{Name: kerasClasses, Keras: "same", Like: oursClasses},
	}
	classComparisons = []comparison{{A: oursClasses, B: kerasClasses}}

	// ablations are the best recipe's ingredients and the flags that omit or
	// exchange each.
	ablations = []struct {
		name  string
		flags []string
	}{
		{"without-alignment", []string{"--align=false", "--rotate", "180"}},
		{"without-augmentation", []string{"--rotate", "0", "--flip=false", "--shift", "0", "--zoom", "0"}},
		{"without-schedule", []string{"--schedule", "constant", "--warmup", "0"}},
		{"with-ema", []string{"--ema", "0.998"}},
		{"with-small-images-first", []string{"--sizes", "48:60%"}},
		{"with-tree-head", []string{"--head", "tree"}},
		{"with-focal-loss", []string{"--head", "answers", "--loss", "focal"}},
		{"without-dropout", []string{"--dropout", "0"}},
		{"without-decay", []string{"--weight-decay", "0"}},
		{"without-clipping", []string{"--clip-norm", "0"}},
	}
)

// taughtSystems are the best recipe and Keras' tuned one from the weights of the run teacher, at
// the learning rate that keeps such a start (docs/pretrain.md).
func taughtSystems(teacher string) []system {
	const rate = 3e-4
	return []system{
		{Name: kerasTaught, Keras: "tuned", Changes: map[string]any{"peak": rate}, Teacher: teacher},
		{Name: oursTaught, Flags: slices.Concat(best.Flags, []string{"--init-from", teacher, "--lr", fmt.Sprint(rate)}), ViewFlags: best.ViewFlags},
	}
}

func ablatedSystems() []system {
	systems := []system{best}
	for _, a := range ablations {
		systems = append(systems, system{Name: a.name, Flags: slices.Concat(best.Flags, a.flags), ViewFlags: best.ViewFlags})
	}
	return systems
}

func ablationComparisons() []comparison {
	var all []comparison
	for _, a := range ablations {
		all = append(all, comparison{A: a.name, B: best.Name})
	}
	return all
}

// choice is what the command line says about systems.
type choice struct {
	only    string            // names with commas between them; "" is all
	changes map[string]string // by name: flags of galaxy, JSON for Keras' tuned recipe
	xla     bool              // all steps are compiled
}

// choose returns the systems that c names, and those they depend on, as c changes them.
func choose(from []system, c choice) ([]system, error) {
	var names []string
	for _, s := range from {
		names = append(names, s.Name)
	}
	wanted := names
	if c.only != "" {
		wanted = strings.Split(c.only, ",")
	}
	for _, name := range slices.Concat(wanted, slices.Collect(maps.Keys(c.changes))) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no system %q; expected some of %s", name, strings.Join(names, ","))
		}
	}
	var chosen []system
	for _, s := range from {
		partner := slices.ContainsFunc(from, func(t system) bool {
			return (t.Like == s.Name || s.Like == t.Name) && slices.Contains(wanted, t.Name)
		})
		if !partner && !slices.Contains(wanted, s.Name) {
			continue
		}
		if err := s.change(c); err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func (s *system) change(c choice) error {
	change, changed := c.changes[s.Name]
	switch {
	case s.Keras == "":
		s.Flags = slices.Concat(s.Flags, strings.Fields(change))
		if c.xla {
			s.Flags = append(s.Flags, "--xla", "--images-on", "device")
		}
		return nil
	case changed && s.Keras != "tuned":
		return fmt.Errorf("-change %s: it is what %s is: change that", s.Name, s.Like)
	case changed:
		s.Changes = maps.Clone(s.Changes)
		if err := json.Unmarshal([]byte(change), &s.Changes); err != nil {
			return fmt.Errorf(`-change %s=%s: expected a JSON object like {"peak": 0.004}: %w`, s.Name, change, err)
		}
	}
	s.XLA = c.xla
	return nil
}
