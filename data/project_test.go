package data

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawRow(t *rapid.T) []float32 {
	return rapid.SliceOfN(rapid.OneOf(rapid.Just(float32(0)), rapid.Float32Range(0, 1), rapid.Float32Range(-1, 1e-6)), Answers, Answers).Draw(t, "row")
}

func project(t interface{ Fatal(...any) }, row []float32) []float32 {
	out := slices.Clone(row)
	if err := ProjectTree(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Any row comes out obeying the rules, and a row that obeys them stays.
func TestProjectTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := project(t, drawRow(t))
		if err := CheckSums(once, 1e-6); err != nil {
			t.Fatal(err)
		}
		for j, v := range project(t, once) {
			if math.Abs(float64(v-once[j])) > 1e-6 {
				t.Fatalf("column %d is %v, projected again %v", j, once[j], v)
			}
		}
	})
}

// A question's answers keep their proportions.
func TestProjectTreeKeepsProportions(t *testing.T) {
	row := evenRow()
	row[0], row[1], row[2] = 0.6, 0.2, 0.4 // sums to 1.2
	row[15], row[16], row[17] = 1, 3, 0
	got := project(t, row)
	for j, want := range map[int]float64{0: 0.5, 1: 1. / 6, 2: 1. / 3, 15: 0.125, 16: 0.375, 17: 0} {
		if math.Abs(float64(got[j])-want) > 1e-7 {
			t.Errorf("column %d is %v, want %v", j, got[j], want)
		}
	}
}

func TestProjectTreeEdges(t *testing.T) {
	nan := float32(math.NaN())
	if got := project(t, slices.Repeat([]float32{nan}, Answers)); !slices.Equal(got, project(t, evenRow())) {
		t.Errorf("a row that tells nothing becomes %v", got)
	}
	infinite := evenRow()
	infinite[20] = float32(math.Inf(1))
	before := slices.Clone(infinite)
	if ProjectTree(infinite) == nil || !slices.Equal(infinite, before) {
		t.Error("an infinite value is taken, or the row changed")
	}
	if ProjectTree(evenRow()[1:]) == nil {
		t.Error("36 fractions are taken")
	}
}
