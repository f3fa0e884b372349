package metric

import (
	"cmp"
	"math"
	"slices"
)

// leastProbability is the least probability of a class whose logarithm is taken: float32's
// epsilon, as in scikit-learn's log_loss of float32 predictions.
const leastProbability = 0x1p-23

// logLoss returns −log of the fraction of a class in the sum of the scores, at most −log of
// leastProbability.
func logLoss(scores []float32, class int) float64 {
	sum := 0.0
	for _, v := range scores {
		sum += max(float64(v), 0)
	}
	p := 1 / float64(len(scores)) // all scores are 0
	if sum > 0 {
		p = float64(scores[class]) / sum
	}
	return -math.Log(max(p, leastProbability))
}

// A curve is the ROC curve of one class against the others: an entry for each example that has a
// class, sorted by the score of this class. An entry is the example's index, shifted by two, with
// isClass if the example is of this class, and lastOfTie if the next one has a larger score. So
// the sort is done once for all resamples, and the area of each takes one pass.
type curve []uint32

const (
	isClass = 1 << iota
	lastOfTie
	entryBits = iota
)

// newCurves returns the curve of each class.
func (s *scored) newCurves() []curve {
	width := len(s.occurs)
	if len(s.classed) == 0 {
		return nil
	}
	curves := make([]curve, width)
	order := make([]int, len(s.classed))
	for k := range curves {
		for i := range order {
			order[i] = i
		}
		score := func(i int) float32 { return s.classScores[i*width+k] }
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score(a), score(b)) })
		curves[k] = make(curve, len(order))
		for place, i := range order {
			entry := uint32(s.classed[i]) << entryBits
			if int(s.examples[s.classed[i]].truth) == k {
				entry |= isClass
			}
			if place+1 == len(order) || score(order[place+1]) != score(i) {
				entry |= lastOfTie
			}
			curves[k][place] = entry
		}
	}
	return curves
}

// area returns the area under the curve, each example counted times[i] times, or once if times is
// nil: of all pairs of an example of the class and one of another, the fraction in which the
// former has the larger score, with ties as half. It is NaN if there is no such pair.
func (c curve) area(times []int32) float64 {
	// below counts the examples of other classes with smaller scores; tied holds the examples with
	// the current score, first others, then those of the class. Whole numbers, so that nothing is rounded.
	var below, class, twice int64
	var tied [2]int64
	for _, entry := range c {
		n := int64(1)
		if times != nil {
			n = int64(times[entry>>entryBits])
		}
		tied[entry&isClass] += n
		if entry&lastOfTie != 0 {
			twice += tied[1] * (2*below + tied[0])
			below += tied[0]
			class += tied[1]
			tied = [2]int64{}
		}
	}
	return float64(twice) / 2 / (float64(class) * float64(below))
}
