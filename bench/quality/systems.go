package main

import (
	"encoding/json"
	"fmt"
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
	// Like names the system of galaxy whose recipe, initial weights and batch order
	// this one uses. Both run as many steps as the slower one can.
	Like string `json:"like,omitempty"`
}

const (
	oursOriginal, kerasOriginal = "galaxy-original", "keras-original"
	oursBest, kerasTuned        = "galaxy-best", "keras-tuned"
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

// choose returns the systems whose names are in only, with commas between them, and the
// systems they depend on; all of them if only is "". tuned, JSON, changes the
// tuned recipe of Keras.
func choose(from []system, only, tuned string) ([]system, error) {
	var changes map[string]any
	if tuned != "" {
		if err := json.Unmarshal([]byte(tuned), &changes); err != nil {
			return nil, fmt.Errorf(`-tuned %s: expected a JSON object like {"peak": 0.004}: %w`, tuned, err)
		}
	}
	var names []string
	for _, s := range from {
		names = append(names, s.Name)
	}
	wanted := names
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("-only %s: there is no system %q; expected some of %s", only, name, strings.Join(names, ","))
		}
	}
	var chosen []system
	for _, s := range from {
		partner := slices.ContainsFunc(from, func(t system) bool {
			return (t.Like == s.Name || s.Like == t.Name) && slices.Contains(wanted, t.Name)
		})
		if s.Keras == "tuned" {
			s.Changes = changes
		}
		if partner || slices.Contains(wanted, s.Name) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}
