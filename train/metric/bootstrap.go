package metric

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	resamples = 1000
	// The seed is fixed so that the same predictions always get the same
	// intervals.
	bootstrapSeed = 0x67616c617879
)

// bootstrap returns the 95 % percentile intervals of the means of a and b over
// the same resampled indices. a and b are of one length, at least 1.
func bootstrap(a, b []float64) (intervalA, intervalB Interval) {
	random := rand.New(rand.NewPCG(bootstrapSeed, 0))
	n := len(a)
	meansA, meansB := make([]float64, resamples), make([]float64, resamples)
	for r := range resamples {
		var sumA, sumB float64
		for range n {
			i := random.IntN(n)
			sumA += a[i]
			sumB += b[i]
		}
		meansA[r], meansB[r] = sumA/float64(n), sumB/float64(n)
	}
	return percentiles(meansA), percentiles(meansB)
}

// percentiles returns the 2.5th and the 97.5th percentile of values, which it
// sorts, by linear interpolation between the neighbouring order statistics
// (numpy's default).
func percentiles(values []float64) Interval {
	slices.Sort(values)
	at := func(share float64) float64 {
		position := share * float64(len(values)-1)
		i := int(math.Floor(position))
		if i+1 >= len(values) {
			return values[len(values)-1]
		}
		rest := position - float64(i)
		return values[i]*(1-rest) + values[i+1]*rest
	}
	return Interval{at(0.025), at(0.975)}
}
