package metric

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

const (
	resamples = 1000
	// The seed is fixed so that the same predictions always get the same
	// intervals.
	bootstrapSeed = 0x67616c617879
)

// bootstrap fills in the 95 % percentile intervals of all metrics of scores. All
// metrics use the same resamples: as many galaxies as there are, drawn with
// replacement.
func (s *scored) bootstrap(scores *Scores, by *sliced) {
	figures := scores.figures()
	values := make([][]float64, len(figures)) // [figure][resample]
	for k := range values {
		values[k] = make([]float64, resamples)
	}
	var workers sync.WaitGroup
	count := runtime.GOMAXPROCS(0)
	for first := range count {
		workers.Go(func() {
			times := make([]int32, len(s.examples))
			for r := first; r < resamples; r += count {
				// Each resample has its own generator, so the result does not depend on
				// which goroutine draws it.
				resample(rand.New(rand.NewPCG(bootstrapSeed, uint64(r))), times)
				drawn := s.totals(by, times).scores()
				for k, f := range drawn.figures() {
					values[k][r] = f.value
				}
			}
		})
	}
	workers.Wait()
	for k, f := range figures {
		*f.interval = percentiles(values[k])
	}
}

// resample fills in how many times each example is drawn.
func resample(random *rand.Rand, times []int32) {
	clear(times)
	n := uint32(len(times))
	for range times {
		times[random.Uint32N(n)]++
	}
}

// percentiles returns the 2.5th and the 97.5th percentile of the defined
// values; nil if fewer than half are defined.
func percentiles(values []float64) *Interval {
	defined := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if 2*len(defined) < len(values) || len(defined) == 0 {
		return nil
	}
	slices.Sort(defined)
	return &Interval{quantile(defined, 0.025), quantile(defined, 0.975)}
}

// quantile interpolates between the neighbouring order statistics of sorted
// values (numpy's default).
func quantile(sorted []float64, share float64) float64 {
	position := share * float64(len(sorted)-1)
	i := int(math.Floor(position))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	rest := position - float64(i)
	return sorted[i]*(1-rest) + sorted[i+1]*rest
}
