package acquisition

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// chosen is Choose in the words of its comment: every distance is computed anew, in float64.
func chosen(scores []float64, features []float32, n int) (order []int) {
	width := len(features) / len(scores)
	distance := func(a, b int) float64 {
		var ab, aa, bb float64
		for j := range width {
			x, y := float64(features[a*width+j]), float64(features[b*width+j])
			ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		}
		if aa == 0 || bb == 0 {
			return 1
		}
		return 1 - ab/math.Sqrt(aa*bb)
	}
	for len(order) < n {
		best, most := -1, -1.0
		for i, score := range scores {
			nearest := 1.0
			for _, k := range order {
				nearest = min(nearest, distance(i, k))
			}
			if !slices.Contains(order, i) && score*nearest > most {
				best, most = i, score*nearest
			}
		}
		order = append(order, best)
	}
	return order
}

func TestChooseAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		galaxies, width := rapid.IntRange(1, 20).Draw(t, "galaxies"), rapid.IntRange(1, 6).Draw(t, "features")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		scores, features := make([]float64, galaxies), make([]float32, galaxies*width)
		for i := range scores {
			scores[i] = random.Float64()
		}
		for i := range features {
			features[i] = random.Float32() - 0.2
		}
		if width == 1 { // all distances are 0, 1 or 2
			features = make([]float32, galaxies)
		}
		n := rapid.IntRange(1, galaxies).Draw(t, "n")
		got, err := Choose(scores, features, n)
		if err != nil {
			t.Fatal(err)
		}
		if want := chosen(scores, features, n); !slices.Equal(got, want) {
			t.Errorf("chosen are %v, want %v", got, want)
		}
	})
}

func TestChoose(t *testing.T) {
	scores := []float64{3, 5, 5, 1}
	alike := []float32{1, 0, 2, 1, 2, 1, 0, 1} // the second and the third are copies
	for _, test := range []struct {
		name     string
		features []float32
		n        int
		want     []int
	}{
		{"by the score, the first of equals first", nil, 3, []int{1, 2, 0}},
		{"all of fewer", nil, 9, []int{1, 2, 0, 3}},
		{"a copy comes last", alike, 4, []int{1, 3, 0, 2}},
		{"none", nil, 0, []int{}},
	} {
		got, err := Choose(scores, test.features, test.n)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
		}
	}
	for _, features := range [][]float32{make([]float32, 5), {0, 0, 0, float32(math.NaN())}} {
		if _, err := Choose(scores, features, 1); err == nil {
			t.Errorf("features %v: no error", features)
		}
	}
	if got, err := Choose(nil, nil, 3); err != nil || len(got) != 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
}
