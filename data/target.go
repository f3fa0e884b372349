package data

import (
	"fmt"
	"slices"
)

// A Target says what is learned of a galaxy: which labels a Loader gives, and of
// which galaxies.
type Target int

const (
	// Fractions are the 37 columns of the catalogue, of every galaxy.
	Fractions Target = iota
	// Classes is the clean class as five columns, 1 for the galaxy's
	// own and 0 for the others; galaxies without a clean class are left out.
	Classes
)

// String returns the target's name.
func (t Target) String() string {
	switch t {
	case Fractions:
		return "vote fractions"
	case Classes:
		return "clean classes"
	default:
		return fmt.Sprintf("Target(%d)", int(t))
	}
}

// Names returns the names of the label's columns: "Class1.1" to "Class11.6", or
// "round" to "spiral". The caller owns the slice.
func (t Target) Names() []string {
	if t == Classes {
		return slices.Clone(cleanNames[:CleanClasses])
	}
	return Columns()
}

// Width returns the number of the label's columns.
func (t Target) Width() int {
	if t == Classes {
		return CleanClasses
	}
	return Answers
}

// Has tells whether a galaxy with these 37 fractions has a label.
func (t Target) Has(fractions []float32) bool {
	return t == Fractions || CleanClassOf(fractions) != Unclear
}

// Label fills dst, float32 [Width], with the label of a galaxy that has one.
// fractions are its 37 columns.
func (t Target) Label(dst, fractions []float32) {
	if t == Fractions {
		copy(dst, fractions)
		return
	}
	clear(dst)
	dst[CleanClassOf(fractions)] = 1
}
