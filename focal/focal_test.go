package focal

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// grid holds the parameters that tests use: without focus, below 1 (where the
// power has no finite derivative at 0), the paper's, and far above.
var grid = []Params{
	{Alpha: 0.25, Gamma: 2},
	{Alpha: 0.5, Gamma: 0},
	{Alpha: 0.1, Gamma: 0.5},
	{Alpha: 0.75, Gamma: 1},
	{Alpha: 0.9, Gamma: 5},
}

func (p Params) String() string { return fmt.Sprintf("alpha=%g,gamma=%g", p.Alpha, p.Gamma) }

// slopeAt is the derivative of LossAt with respect to the logit: q^γ·(−log p)
// has the derivative −q^γ·(γ·p·(−log p) + q), and p^γ·(−log q) its mirror
// image.
func (p Params) slopeAt(logit, label float64) float64 {
	one, zero := sigmoid(logit), sigmoid(-logit)
	positive, negative := softplus(-logit), softplus(logit)
	// A product of an underflowed probability and a finite logarithm is 0.
	return -label*p.Alpha*math.Exp(-p.Gamma*negative)*(p.Gamma*one*positive+zero) +
		(1-label)*(1-p.Alpha)*math.Exp(-p.Gamma*positive)*(p.Gamma*zero*negative+one)
}

func TestLossByHand(t *testing.T) {
	ln3, ln43 := math.Log(3), math.Log(4.0/3)
	for _, test := range []struct {
		params             Params
		logit, label, want float64
	}{
		{Params{0.25, 2}, 0, 1, 0.25 * 0.25 * math.Ln2},
		{Params{0.25, 2}, 0, 0, 0.75 * 0.25 * math.Ln2},
		{Params{0.5, 0}, 0, 0.3, 0.5 * math.Ln2},
		// p = 3/4.
		{Params{0.25, 2}, ln3, 1, 0.25 / 16 * ln43},
		{Params{0.25, 2}, ln3, 0, 0.75 * 9 / 16 * math.Log(4)},
		{Params{0.25, 2}, ln3, 0.5, (0.25/16*ln43 + 0.75*9/16*math.Log(4)) / 2},
		{Params{0.8, 0.5}, -ln3, 0.25, 0.25*0.8*math.Sqrt(0.75)*math.Log(4) + 0.75*0.2*math.Sqrt(0.25)*ln43},
		{Params{0.25, 2}, 1e4, 1, 0},
		{Params{0.25, 2}, 1e4, 0, 0.75e4},
		{Params{0.25, 2}, -1e4, 1, 0.25e4},
		{Params{0.25, 2}, math.Inf(1), 1, 0},
		{Params{0.25, 2}, math.Inf(-1), 0, 0},
		{Params{0.25, 2}, math.Inf(1), 0, math.Inf(1)},
	} {
		got := test.params.LossAt(test.logit, test.label)
		if got != test.want && !(math.Abs(got-test.want) <= 1e-15*(1+math.Abs(test.want))) {
			t.Errorf("%v: loss at logit %v, label %v is %v, want %v", test.params, test.logit, test.label, got, test.want)
		}
	}
}

// original is focal loss as in the original project, for labels 0 and 1.
func original(p Params, logit, label float64) float64 {
	const epsilon = 1e-7
	predicted := min(max(1/(1+math.Exp(-logit)), epsilon), 1-epsilon)
	alpha, pt := 1-p.Alpha, 1-predicted
	if label == 1 {
		alpha, pt = p.Alpha, predicted
	}
	return -alpha * math.Pow(1-pt, p.Gamma) * math.Log(pt)
}

func TestLossIsTheOriginalOnHardLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		logit := rapid.Float64Range(-15, 15).Draw(t, "logit") // where the clip does not act
		label := float64(rapid.IntRange(0, 1).Draw(t, "label"))
		got, want := p.LossAt(logit, label), original(p, logit, label)
		// The original loses digits of 1−p near 1: up to 1e-16/1e-7, times γ.
		if math.Abs(got-want) > 1e-8*(1+p.Gamma)*want {
			t.Fatalf("%v: loss at logit %v, label %v is %v, the original's %v", p, logit, label, got, want)
		}
	})
}

func drawParams(t *rapid.T) Params {
	return Params{Alpha: rapid.Float64Range(0.01, 0.99).Draw(t, "alpha"), Gamma: rapid.Float64Range(0, 8).Draw(t, "gamma")}
}

func TestValidate(t *testing.T) {
	for _, p := range append(grid, Default(), Params{1e-6, 100}) {
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, p := range []Params{{}, {0, 2}, {1, 2}, {-0.1, 2}, {1.5, 2}, {nan, 2}, {0.5, -1e-9}, {0.5, nan}, {0.5, inf}, {0.5, 101}} {
		if p.Validate() == nil {
			t.Errorf("%v is accepted", p)
		}
	}
}

// minimise finds the logit of the smallest loss from values of LossAt alone, by
// golden-section search, which is correct because the loss has a single
// minimum.
func minimise(p Params, label float64) float64 {
	low, high := -60.0, 60.0
	golden := (math.Sqrt(5) - 1) / 2
	left, right := high-golden*(high-low), low+golden*(high-low)
	atLeft, atRight := p.LossAt(left, label), p.LossAt(right, label)
	for high-low > 1e-10 {
		if atLeft < atRight {
			high, right, atRight = right, left, atLeft
			left = high - golden*(high-low)
			atLeft = p.LossAt(left, label)
		} else {
			low, left, atLeft = left, right, atRight
			right = low + golden*(high-low)
			atRight = p.LossAt(right, label)
		}
	}
	return (low + high) / 2
}

// The minimum over the logit, found without any derivative, gives the label
// back. A minimum found from values is exact to the square root of float64's
// rounding unit, 1.5e-8, times the flatness of the loss.
func TestPosteriorOfMinimiserIsTheLabel(t *testing.T) {
	for _, gamma := range []float64{0, 0.5, 1, 2, 3, 5} {
		for _, alpha := range []float64{0.05, 0.25, 0.5, 0.75, 0.95} {
			for _, label := range []float64{0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999} {
				p := Params{Alpha: alpha, Gamma: gamma}
				x := minimise(p, label)
				if got := p.PosteriorAt(x); math.Abs(got-label) > 1e-6 {
					t.Errorf("%v: label %v is minimised at logit %v, which stands for %v", p, label, x, got)
				}
				if got := p.LogitFor(label); math.Abs(got-x) > 1e-5 {
					t.Errorf("%v: LogitFor(%v) is %v, the minimum lies at %v", p, label, got, x)
				}
			}
		}
	}
}

// At the recovered fraction the derivative of the loss is zero. This is exact,
// while the minimiser above is only good to 1e-6. The tolerance is relative to
// the derivative's two terms, which cancel.
func TestPosteriorZeroesTheSlope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.Float64Range(-12, 12).Draw(t, "logit")
		y := p.PosteriorAt(x)
		slope := p.slopeAt(x, y)
		size := math.Max(math.Abs(p.slopeAt(x, 0))*(1-y), math.Abs(p.slopeAt(x, 1))*y)
		// 1−y carries the rounding of y: relative to 1−y it can be large.
		tolerance := 1e-12 * size * (1 + 1/(1-y))
		if math.Abs(slope) > tolerance {
			t.Fatalf("%v: slope %v at logit %v and its fraction %v, terms of size %v", p, slope, x, y, size)
		}
	})
}

func TestSlopeTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.Float64Range(-10, 10).Draw(t, "logit")
		y := rapid.Float64Range(0, 1).Draw(t, "label")
		const h = 1e-5
		want := (p.LossAt(x+h, y) - p.LossAt(x-h, y)) / (2 * h)
		if got := p.slopeAt(x, y); math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
			t.Fatalf("%v: slope at logit %v, label %v is %v, by differences %v", p, x, y, got, want)
		}
	})
}

func TestPosteriorByHand(t *testing.T) {
	ln3 := math.Log(3)
	// γ = 0: odds of the logit times (1−α)/α.
	if got, want := (Params{0.25, 0}).PosteriorAt(0), 0.75; math.Abs(got-want) > 1e-15 {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := (Params{0.5, 0}).PosteriorAt(ln3), 0.75; math.Abs(got-want) > 1e-15 {
		t.Errorf("got %v, want %v", got, want)
	}
	// α = 1/2 maps 1/2 to itself, for any focus.
	if got := (Params{0.5, 3}).PosteriorAt(0); got != 0.5 {
		t.Errorf("got %v, want 0.5", got)
	}
	// α = 1/4, γ = 2, p = 3/4, q = 1/4, A and B as written in the package comment.
	a := 0.25 / 16 * (2*0.75*math.Log(4.0/3) + 0.25)
	b := 0.75 * 9 / 16 * (2*0.25*math.Log(4) + 0.75)
	if got, want := (Params{0.25, 2}).PosteriorAt(ln3), b/(a+b); math.Abs(got-want) > 1e-15 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPosteriorAtExtremes(t *testing.T) {
	for _, p := range grid {
		for _, x := range []float64{30, 700, 746, 1e4, 1e300, math.Inf(1)} {
			if got := p.PosteriorAt(x); !(got > 1-1e-9 && got <= 1) {
				t.Errorf("%v: fraction at logit %v is %v, want 1", p, x, got)
			}
			if got := p.PosteriorAt(-x); !(got >= 0 && got < 1e-9) {
				t.Errorf("%v: fraction at logit %v is %v, want 0", p, -x, got)
			}
		}
		if got := p.PosteriorAt(math.NaN()); !math.IsNaN(got) {
			t.Errorf("%v: fraction at NaN is %v", p, got)
		}
	}
}

func TestPosteriorRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{Alpha: rapid.Float64Range(0.001, 0.999).Draw(t, "alpha"), Gamma: rapid.Float64Range(0, MaxGamma).Draw(t, "gamma")}
		x := rapid.Float64Range(-50, 50).Draw(t, "logit")
		step := rapid.Float64Range(1e-6, 10).Draw(t, "step")
		rise := p.posteriorLogit(x+step) - p.posteriorLogit(x)
		// The package comment's bound: the slope is above 1.
		if !(rise > step*(1-1e-6)) {
			t.Fatalf("%v: the log-odds rise by %v over %v from logit %v", p, rise, step, x)
		}
		if slope := p.posteriorSlope(x); !(slope >= 1 && slope <= p.Gamma+1) {
			t.Fatalf("%v: slope %v at logit %v", p, slope, x)
		}
	})
}

func TestLogitForInverts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{Alpha: rapid.Float64Range(0.001, 0.999).Draw(t, "alpha"), Gamma: rapid.Float64Range(0, MaxGamma).Draw(t, "gamma")}
		fraction := math.Exp(-rapid.Float64Range(1e-9, 600).Draw(t, "minus log fraction"))
		x := p.LogitFor(fraction)
		got := p.PosteriorAt(x)
		// One rounding of x moves the log-odds by x·(γ+1) units.
		tolerance := 1e-14 * (10 + math.Abs(x)*(p.Gamma+1)) * fraction
		if !(math.Abs(got-fraction) <= tolerance) {
			t.Fatalf("%v: LogitFor(%v) is %v, which stands for %v", p, fraction, x, got)
		}
	})
	for _, p := range grid {
		for fraction, want := range map[float64]float64{0: math.Inf(-1), 1: math.Inf(1)} {
			if got := p.LogitFor(fraction); got != want {
				t.Errorf("%v: LogitFor(%v) is %v, want %v", p, fraction, got, want)
			}
		}
		for _, fraction := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1), math.Inf(-1)} {
			if got := p.LogitFor(fraction); !math.IsNaN(got) {
				t.Errorf("%v: LogitFor(%v) is %v, want NaN", p, fraction, got)
			}
		}
	}
}
