package data

import "fmt"

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

// cleanRules are the thresholds of each class: every column named has at least
// that share.
var cleanRules = [CleanClasses]map[string]float32{
	Round:     {"Class1.1": .469, "Class7.1": .50},
	InBetween: {"Class1.1": .469, "Class7.2": .50},
	Cigar:     {"Class1.1": .469, "Class7.3": .50},
	EdgeOn:    {"Class1.2": .430, "Class2.1": .602},
	Spiral:    {"Class1.2": .430, "Class2.2": .715, "Class4.1": .619},
}

// CleanClassOf returns the first class whose thresholds the 37 columns of a
// row reach as they stand in the catalogue, or Unclear.
func CleanClassOf(fractions []float32) CleanClass {
	for class, rules := range cleanRules {
		if reaches(fractions, rules) {
			return CleanClass(class)
		}
	}
	return Unclear
}

func reaches(fractions []float32, rules map[string]float32) bool {
	for column, name := range columns {
		if threshold, ok := rules[name]; ok && !(fractions[column] >= threshold) {
			return false
		}
	}
	return true
}
