package data

import (
	"slices"
	"testing"
)

func TestTarget(t *testing.T) {
	fractions := make([]float32, Answers)
	fractions[0], fractions[17] = 0.6, 0.5 // smooth, cigar-shaped
	label := make([]float32, CleanClasses)
	for _, stale := range []float32{0, 1} { // a loader fills the same row again
		for i := range label {
			label[i] = stale
		}
		Classes.Label(label, fractions)
		if !slices.Equal(label, []float32{0, 0, 1, 0, 0}) {
			t.Errorf("the label is %v", label)
		}
	}
	if !Classes.Has(fractions) {
		t.Error("a cigar has no class")
	}
	fractions[17] = 0.4
	if Classes.Has(fractions) || !Fractions.Has(fractions) {
		t.Error("an unclear galaxy has a class, or no fractions")
	}
	row := make([]float32, Answers)
	if Fractions.Label(row, fractions); !slices.Equal(row, fractions) {
		t.Errorf("the fractions are %v", row)
	}
	if got := Classes.Names(); len(got) != Classes.Width() || got[2] != "cigar" {
		t.Errorf("classes are %v", got)
	}
	if got := Fractions.Names(); len(got) != Fractions.Width() || got[17] != "Class7.3" {
		t.Errorf("columns are %v", got)
	}
}
