package focal

import (
	"fmt"
	"math"

	"galaxy/internal/usage"
)

// Params are the two constants of focal loss.
type Params struct {
	// Alpha weighs the label-1 term; the label-0 term has weight 1−Alpha. In
	// (0, 1).
	Alpha float64 `json:"alpha"`
	// Gamma is the focus: how strongly the loss of elements that are already
	// right is reduced. With 0 there is no reduction, only weighted binary
	// cross-entropy.
	Gamma float64 `json:"gamma"`
}

// Default returns α = 0.25 and γ = 2, the defaults of Lin et al. 2017.
func Default() Params { return Params{Alpha: 0.25, Gamma: 2} }

// Validate reports a parameter outside its range.
func (p Params) Validate() error {
	if !(p.Alpha > 0 && p.Alpha < 1) {
		return &usage.Field{Name: "alpha", Got: p.Alpha, Expected: "a number above 0 and below 1 (at 0 or 1 one kind of label would not count at all)"}
	}
	if !(p.Gamma >= 0 && p.Gamma <= MaxGamma) {
		return &usage.Field{Name: "gamma", Got: p.Gamma, Expected: fmt.Sprintf("a number from 0 to %d", MaxGamma)}
	}
	return nil
}

// MaxGamma is the largest Gamma. It keeps 1+γ·r and γ·softplus far from float32's limits and the loss
// far from being flat everywhere; published uses stay below 10.
const MaxGamma = 100

// LossAt returns the loss of one element in float64: the reference implementation of Loss, without
// the mean. label is in [0, 1].
func (p Params) LossAt(logit, label float64) float64 {
	positive, negative := softplus(-logit), softplus(logit) // −log p, −log q
	loss := 0.0
	// A term without weight is skipped, so that an infinite logit on the right
	// side costs nothing instead of 0·∞.
	if label != 0 {
		loss += label * p.Alpha * math.Exp(-p.Gamma*negative) * positive
	}
	if label != 1 {
		loss += (1 - label) * (1 - p.Alpha) * math.Exp(-p.Gamma*positive) * negative
	}
	return loss
}

// PosteriorAt returns the vote fraction that a logit represents, in float64: the label for which
// LossAt is smallest at this logit. It is the reference implementation of Posterior.
func (p Params) PosteriorAt(logit float64) float64 {
	return sigmoid(p.posteriorLogit(logit))
}

// LogitFor returns the logit that represents a vote fraction: the inverse of
// PosteriorAt, and the minimiser of the loss for a label of that value. It is
// −Inf for 0, +Inf for 1 and NaN outside [0, 1].
func (p Params) LogitFor(fraction float64) float64 {
	target := math.Log(fraction) - math.Log1p(-fraction)
	if math.IsInf(target, 0) || math.IsNaN(target) {
		return target
	}
	// The recovered logit rises by more than 1 for every 1 of the logit (see
	// the package comment), so the answer lies between 0 and the distance from
	// the value at 0.
	distance := target - p.posteriorLogit(0)
	low, high := math.Min(0, distance), math.Max(0, distance)
	x := distance / (p.Gamma + 1) // exact for γ = 0
	for range 200 {
		miss := p.posteriorLogit(x) - target
		if miss > 0 {
			high = x
		} else {
			low = x
		}
		next := x - miss/p.posteriorSlope(x)
		if !(next > low && next < high) {
			next = low + (high-low)/2
		}
		if math.Abs(next-x) <= 1e-15*math.Abs(x) || miss == 0 {
			break
		}
		x = next
	}
	return x
}

// posteriorLogit returns the log-odds of the recovered fraction.
func (p Params) posteriorLogit(x float64) float64 {
	return math.Log1p(-p.Alpha) - math.Log(p.Alpha) + (p.Gamma+1)*x -
		(math.Log1p(p.Gamma*ratio(x)) - math.Log1p(p.Gamma*ratio(-x)))
}

// posteriorSlope returns the derivative of posteriorLogit.
func (p Params) posteriorSlope(x float64) float64 {
	bend := func(x float64) float64 {
		r := ratio(x)
		return p.Gamma * (r - sigmoid(x)) / (1 + p.Gamma*r)
	}
	return p.Gamma + 1 - bend(x) - bend(-x)
}

// ratio returns r(x) = exp(x)·log(1+exp(−x)), which rises from 0 to 1.
func ratio(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	switch {
	case e == 0 && x < 0: // not 0·∞
		return 0
	case e == 0: // not 0/0
		return 1
	case x < 0:
		return e * (math.Log1p(e) - x)
	}
	return math.Log1p(e) / e
}

// softplus returns log(1+exp(x)).
func softplus(x float64) float64 {
	return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
}

// sigmoid returns 1/(1+exp(−x)) without overflow and without losing digits near 0.
func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
