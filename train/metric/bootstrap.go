package metric

import (
	"errors"
	"fmt"
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
	for k, values := range s.draw(len(figures), by) {
		*figures[k].interval = percentiles(values)
	}
}

// draw returns the values of n figures in every resample, float64 [figure][resample]. Of another predictor of
// the same number of examples the resamples are the same.
func (s *scored) draw(n int, by *sliced) [][]float64 {
	values := make([][]float64, n)
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
	return values
}

// A Difference compares a metric of two predictors on the same galaxies.
type Difference struct {
	// Name is that of a Figure.
	Name string
	// A and B are the predictors' values, NaN if undefined.
	A, B float64
	// Interval is the 95 % interval of B − A; nil if undefined.
	Interval *Interval
}

// Differences compares the metrics that two evaluations share. Both must have been given the same
// galaxies in the same order, under the same schema; other numbers of examples are an error. The bootstrap
// is paired: both predictors are scored on the same resamples, so what is difficult for both cancels, and the
// interval of the difference is narrower than the two intervals suggest (Efron & Tibshirani 1993,
// "An Introduction to the Bootstrap", chapter 8).
func Differences(a, b *Evaluation) ([]Difference, error) {
	if err := errors.Join(a.check(), b.check()); err != nil {
		return nil, err
	}
	if n, m := len(a.model.examples), len(b.model.examples); n != m || !a.target.schema.Equal(b.target.schema) {
		return nil, fmt.Errorf("compare scores: %d examples of %v and %d of %v: expected the same galaxies", n, a.target.schema, m, b.target.schema)
	}
	left, right := a.model.scores(nil), b.model.scores(nil)
	f, g := left.figures(), right.figures() // of the same labels, and so of the same names
	drawn, other := a.model.draw(len(f), nil), b.model.draw(len(g), nil)
	var all []Difference
	for k := range f {
		for r := range drawn[k] {
			drawn[k][r] = other[k][r] - drawn[k][r]
		}
		all = append(all, Difference{Name: f[k].name, A: f[k].value, B: g[k].value, Interval: percentiles(drawn[k])})
	}
	return all, nil
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
