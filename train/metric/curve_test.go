package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
)

// pairs is the area under the ROC curve of class k by its definition, in the time of all pairs: how
// often a galaxy of the class has the larger score, with ties as half. A galaxy counts
// times[i] times.
func pairs(truth []int, scores [][]float32, k int, times []int32) float64 {
	won, all := 0.0, 0.0
	for i, y := range truth {
		for j, other := range truth {
			if y != k || other == k {
				continue
			}
			n := float64(times[i]) * float64(times[j])
			all += n
			switch a, b := scores[i][k], scores[j][k]; {
			case a > b:
				won += n
			case a == b:
				won += n / 2
			}
		}
	}
	return won / all
}

// The area under every class's curve is its definition's, with ties, on the examples and on any
// resample. Balanced accuracy and log loss are theirs.
func TestClassScoresAgainstDirectForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, width := rapid.IntRange(1, 40).Draw(t, "examples"), rapid.IntRange(2, 5).Draw(t, "classes")
		var names []string
		for k := range width {
			names = append(names, string(rune('a'+k)))
		}
		schema, err := labels.FromClasses(names)
		if err != nil {
			t.Fatal(err)
		}
		e := New(schema.Classes(), nil, nil)
		levels := rapid.IntRange(1, 6).Draw(t, "levels") // few, so that many are tied
		var truth []int
		var scores [][]float32
		times := make([]int32, n)
		for i := range n {
			class := rapid.IntRange(0, width-1).Draw(t, "class")
			p, y := make([]float32, width), make([]float32, width)
			for k := range p {
				p[k] = float32(rapid.IntRange(0, levels).Draw(t, "score")) / float32(levels)
			}
			y[class] = 1
			if err := e.Add(nil, p, y); err != nil {
				t.Fatal(err)
			}
			truth, scores = append(truth, class), append(scores, p)
			times[i] = rapid.Int32Range(0, 3).Draw(t, "times")
		}
		got, err := e.Scores()
		if err != nil {
			t.Fatal(err)
		}
		resampled := e.model.totals(nil, times)
		once := slices.Repeat([]int32{1}, n)
		var areas, recalls []float64
		for k := range width {
			area := pairs(truth, scores, k, once)
			nearly(t, "area", float64(got.CleanClasses.Classes[k].ROCAUC), area)
			nearly(t, "area of a resample", resampled.areas[k], pairs(truth, scores, k, times))
			if of, hits := countOf(truth, scores, k); of > 0 {
				areas, recalls = append(areas, area), append(recalls, hits/of)
			}
		}
		nearly(t, "mean area", float64(got.CleanClasses.ROCAUC), meanOf(areas))
		nearly(t, "balanced accuracy", float64(got.CleanClasses.BalancedAccuracy), meanOf(recalls))
		loss := 0.0
		for i, y := range truth {
			sum := 0.0
			for _, v := range scores[i] {
				sum += float64(v)
			}
			p := 1 / float64(width)
			if sum > 0 {
				p = float64(scores[i][y]) / sum
			}
			loss -= math.Log(max(p, 0x1p-23)) / float64(n)
		}
		nearly(t, "log loss", float64(got.CleanClasses.LogLoss), loss)
	})
}

// countOf returns the number of galaxies of class k, and how many of them are predicted as it.
func countOf(truth []int, scores [][]float32, k int) (of, hits float64) {
	for i, y := range truth {
		if y == k {
			of++
			if largestOf(scores[i]) == k {
				hits++
			}
		}
	}
	return of, hits
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// The bootstrap interval of an area contains the value, and is as wide as the standard error of
// Hanley & McNeil (1982, Radiology 143, 29) says. Two classes have the same area.
func TestAreaInterval(t *testing.T) {
	schema, err := labels.FromClasses([]string{"compact", "bent"})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 0))
	e := New(schema.Classes(), nil, nil)
	const n = 600
	for i := range n {
		class := i % 2
		x := rng.NormFloat64() + 1.2*float64(class)
		p := float32(1 / (1 + math.Exp(-x)))
		y := []float32{1, 0}
		if class == 1 {
			y = []float32{0, 1}
		}
		if err := e.Add(nil, []float32{1 - p, p}, y); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	c := got.CleanClasses.Classes[1]
	a := float64(c.ROCAUC)
	q1, q2 := a/(2-a), 2*a*a/(1+a)
	se := math.Sqrt((a*(1-a) + (n/2-1)*(q1-a*a+q2-a*a)) / (n / 2 * n / 2))
	if c.ROCAUCInterval == nil || !(c.ROCAUCInterval[0] < a && a < c.ROCAUCInterval[1]) {
		t.Fatalf("area %v, interval %v", a, c.ROCAUCInterval)
	}
	if width, want := c.ROCAUCInterval[1]-c.ROCAUCInterval[0], 2*1.96*se; !(math.Abs(width-want) < 0.1*want) {
		t.Errorf("the interval %v is %v wide, expected about %v", *c.ROCAUCInterval, width, want)
	}
	nearly(t, "area of the other of two classes", float64(got.CleanClasses.Classes[0].ROCAUC), a)
	nearly(t, "mean area of two classes", float64(got.CleanClasses.ROCAUC), a)
}

// BenchmarkClassResult is Result with four classes of as many galaxies as the challenge has.
func BenchmarkClassResult(b *testing.B) {
	schema, err := labels.FromClasses([]string{"Bent", "Compact", "FRI", "FRII"})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	e := New(schema.Classes(), nil, nil)
	for range 61578 {
		p, y := make([]float32, 4), make([]float32, 4)
		for k := range p {
			p[k] = rng.Float32()
		}
		y[rng.IntN(4)] = 1
		if err := e.Add(nil, p, y); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := e.Result(); err != nil {
			b.Fatal(err)
		}
	}
}
