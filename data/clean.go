package data

import (
	"fmt"
	"slices"
)

// A CleanClass is one of the five morphologies of galaxies on which the
// volunteers agree (Zhu, Dai et al. 2019, arXiv 1807.10406).
type CleanClass int

// The clean classes, in the order of that paper. Unclear stands for all other
// galaxies, which are the majority.
const (
	Round CleanClass = iota
	InBetween
	Cigar
	EdgeOn
	Spiral
	Unclear

	// CleanClasses is the number of classes, Unclear not counted.
	CleanClasses = int(Unclear)
)

var cleanNames = [CleanClasses + 1]string{"round", "in-between", "cigar", "edge-on", "spiral", "unclear"}

// String returns the class's name, "in-between".
func (c CleanClass) String() string {
	if c < 0 || int(c) >= len(cleanNames) {
		return fmt.Sprintf("CleanClass(%d)", int(c))
	}
	return cleanNames[c]
}

// A threshold is the least share that a column of a clean galaxy has.
type threshold struct {
	column int
	least  float32
}

func least(column string, share float32) threshold {
	return threshold{slices.Index(columns[:], column), share}
}

// cleanRules are the thresholds of each class, of which all must be reached.
var cleanRules = [CleanClasses][]threshold{
	Round:     {least("Class1.1", .469), least("Class7.1", .50)},
	InBetween: {least("Class1.1", .469), least("Class7.2", .50)},
	Cigar:     {least("Class1.1", .469), least("Class7.3", .50)},
	EdgeOn:    {least("Class1.2", .430), least("Class2.1", .602)},
	Spiral:    {least("Class1.2", .430), least("Class2.2", .715), least("Class4.1", .619)},
}

// CleanClassOf returns the first class whose thresholds the 37 columns of a
// row reach as they stand in the catalogue, or Unclear.
func CleanClassOf(fractions []float32) CleanClass {
	for class, rules := range cleanRules {
		// Written so that a NaN reaches nothing.
		if !slices.ContainsFunc(rules, func(t threshold) bool { return !(fractions[t.column] >= t.least) }) {
			return CleanClass(class)
		}
	}
	return Unclear
}
