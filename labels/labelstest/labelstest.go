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

// SmallCounts returns the same questions as Small, with rows of counts.
func SmallCounts() *labels.Schema { return smallCounts }

var small, smallCounts = define(labels.Fractions), define(labels.Counts)

func define(values labels.Values) *labels.Schema {
	answers := func(names string) (all []labels.Answer) {
		for _, name := range strings.Fields(names) {
			all = append(all, labels.Answer{Name: name, Text: strings.ReplaceAll(name, "-", " ")})
		}
		return all
	}
	s, err := labels.New(labels.Definition{
		Name: "small", Values: values,
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
}

// Schemas are one that is built in and Small, both of fractions: what a test of code that takes
// such a schema ranges over.
func Schemas() []*labels.Schema { return []*labels.Schema{labels.GalaxyZoo(), Small()} }

// Rows returns n rows of labels that satisfy the schema's rules, float32 [n, Width], always the
// same ones for a seed. Some of them have a class. Counts are of 5 to 80 volunteers, of whom
// some leave early.
func Rows(s *labels.Schema, n int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, seed))
	rows := make([]float32, n*s.Width())
	if s.Values() == labels.Counts {
		for row := range slices.Chunk(rows, s.Width()) {
			vote(s, row, random)
		}
		return rows
	}
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

// vote fills a row of counts.
func vote(s *labels.Schema, row []float32, random *rand.Rand) {
	volunteers := 5 + random.IntN(76)
	for _, q := range s.Questions() {
		asked := volunteers
		if len(q.After) > 0 {
			asked = 0
		}
		for _, column := range q.AfterColumns {
			asked += int(row[column])
		}
		favourite := random.IntN(len(q.Answers))
		for range asked {
			switch {
			case random.IntN(20) == 0: // leaves
			case random.IntN(3) > 0:
				row[q.First+favourite]++
			default:
				row[q.First+random.IntN(len(q.Answers))]++
			}
		}
	}
}
