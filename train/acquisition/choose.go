package acquisition

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas32"
)

// Choose returns n of the galaxies with these scores, or all if there are fewer, as indices in the order in which they are chosen: the
// one with the largest score, then always the one with the largest product of its score and its distance from the most
// similar galaxy chosen before. So a galaxy that looks like one that was chosen has to wait, and a copy comes last.
//
// features is float32 [galaxies, any width], and the distance of two galaxies is 1 − the cosine of the angle between theirs; 1 if all features of
// either are 0. Without features the order is that of the scores. Of equal galaxies the first comes first. It takes n passes over the features.
func Choose(scores []float64, features []float32, n int) ([]int, error) {
	galaxies := len(scores)
	n = min(n, galaxies)
	width := 0
	if galaxies > 0 {
		width = len(features) / galaxies
	}
	if len(features) != galaxies*width {
		return nil, fmt.Errorf("choose galaxies: %d features of %d galaxies", len(features), galaxies)
	}
	units, err := unit(features, width)
	if err != nil {
		return nil, err
	}
	distance, chosen, order := make([]float64, galaxies), make([]bool, galaxies), make([]int, 0, n)
	for i := range distance {
		distance[i] = 1
	}
	for range n {
		best := -1
		better := func(i int) bool { // by the score if both are copies
			a, b := scores[i]*distance[i], scores[best]*distance[best]
			return a > b || a == b && scores[i] > scores[best]
		}
		for i := range scores {
			if !chosen[i] && (best < 0 || better(i)) {
				best = i
			}
		}
		chosen[best], order = true, append(order, best)
		if width == 0 {
			continue
		}
		to := units[best*width:][:width]
		for i := range scores {
			if !chosen[i] {
				distance[i] = min(distance[i], apart(units[i*width:][:width], to))
			}
		}
	}
	return order, nil
}

// copies is the distance below which two galaxies are copies: what rounding leaves of 0 in float32.
const copies = 1e-6

// apart returns the distance of two unit vectors.
func apart(a, b []float32) float64 {
	dot := blas32.Dot(blas32.Vector{N: len(a), Data: a, Inc: 1}, blas32.Vector{N: len(b), Data: b, Inc: 1})
	if d := 1 - float64(dot); d > copies {
		return d
	}
	return 0
}

// unit returns the rows divided by their lengths.
func unit(rows []float32, width int) ([]float32, error) {
	units := make([]float32, len(rows))
	for i := 0; i < len(rows); i += width {
		squares := 0.0
		for _, x := range rows[i:][:width] {
			squares += float64(x) * float64(x)
		}
		if math.IsNaN(squares) || math.IsInf(squares, 0) {
			return nil, fmt.Errorf("choose galaxies: number %d has a feature that is not finite", i/width)
		}
		if squares == 0 {
			continue
		}
		scale := 1 / math.Sqrt(squares)
		for j, x := range rows[i:][:width] {
			units[i+j] = float32(float64(x) * scale)
		}
	}
	return units, nil
}
