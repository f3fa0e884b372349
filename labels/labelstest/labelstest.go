// Package labelstest has label schemas and rows for the tests of packages that take a
// schema.
package labelstest

import (
	"math/rand/v2"
	"slices"
	"strings"

	"galaxy/labels"
)

// Small returns a schema that has little in common with the built-in one: 3 questions, 8
// answers and 2 classes. Its last question is asked after two answers, of different
// questions.
func Small() *labels.Schema { return small }

var small = func() *labels.Schema {
	answers := func(names string) (all []labels.Answer) {
		for _, name := range strings.Fields(names) {
			all = append(all, labels.Answer{Name: name, Text: strings.ReplaceAll(name, "-", " ")})
		}
		return all
	}
	s, err := labels.New(labels.Definition{
		Name: "small",
		Questions: []labels.Question{
			{Text: "What is it?", Answers: answers("smooth featured artifact")},
			{Text: "Is it seen edge-on?", Answers: answers("edge-on face-on"), After: []string{"featured"}},
			{Text: "Is it merging?", Answers: answers("merging disturbed alone"), After: []string{"smooth", "face-on"}},
		},
		Classes: []labels.Class{
			{Name: "loner", AtLeast: []labels.Threshold{{Column: "alone", Fraction: 0.5}}},
			{Name: "blade", AtLeast: []labels.Threshold{{Column: "featured", Fraction: 0.5}, {Column: "edge-on", Fraction: 0.5}}},
		},
	})
	if err != nil {
		panic(err)
	}
	return s
}()

// Schemas are the built-in ones and Small: what a test of code that takes a schema ranges
// over.
func Schemas() []*labels.Schema { return append(labels.Builtin(), Small()) }

// Rows returns n rows of vote fractions that satisfy the schema's sum rules, float32
// [n, Width], always the same ones for a seed. Some of them have a class.
func Rows(s *labels.Schema, n int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, seed))
	rows := make([]float32, n*s.Width())
	for i := range rows {
		// Most fractions are small, as in a catalogue.
		rows[i] = float32(random.ExpFloat64())
		rows[i] *= rows[i]
	}
	for row := range slices.Chunk(rows, s.Width()) {
		if err := s.Project(row); err != nil {
			panic(err)
		}
	}
	return rows
}
