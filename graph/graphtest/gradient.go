package graphtest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
)

// A Gradient is a claim to check: that DYDX is the derivative of Y by X at the
// values in Feeds.
type Gradient struct {
	Graph *tf.Graph
	// Y is a scalar, float32 or float64.
	Y tf.Output
	// X has Y's dtype and any shape. Feeds must hold its value. It need not be
	// a placeholder: the output of a ReadVariableOp or a constant is fine.
	X tf.Output
	// DYDX has X's shape. If nil, it is added with Graph.AddGradients, which
	// uses TensorFlow's C++ gradients.
	DYDX  tf.Output
	Feeds Feeds

	// Elements picks the elements of X to check, by their row-major index; nil
	// checks all. Every element costs four runs.
	Elements []int
	// Noise is the rounding error to expect in Y, in units of its last place;
	// 0 means 8, which is ample for elementwise functions and sums of some
	// hundred elements. Deep networks have more.
	Noise float64
	// Step is the half-width of the inner difference for elements up to 1 in
	// size, and relative for larger ones; 0 means the cube root of the dtype's
	// rounding unit, 0.005 for float32. A function that changes over a shorter
	// distance needs a smaller step.
	Step float64
}

// CheckGradient compares DYDX with central differences and reports with
// t.Error the elements that differ, worst first.
//
// # Step and tolerance
//
// A central difference of half-width h carries a truncation error of about
// h²·|f‴|/6 and a rounding error of about u·|f|/h, with u = 2⁻²³ for float32.
// Their sum is smallest near h = u^(1/3) ≈ 0.005 for functions whose values and
// derivatives are of order 1, and is then about u^(2/3) ≈ 2e-5 of f's size: a
// smaller step, usual in float64, would measure mostly rounding.
//
// Truncation is measured and not guessed: with D(h) and D(2h), the error of
// D(h) is about (D(2h)−D(h))/3, so Richardson's (4·D(h)−D(2h))/3 is compared,
// and the tolerance is |D(2h)−D(h)| for the remaining truncation error, plus
// Noise·u·|f|/h for rounding, plus Noise·u of the claimed gradient.
//
// Such a wide tolerance could hide a wrong gradient if f is rough, or so large
// that the differences are lost in rounding. So an element whose tolerance is
// above a twentieth of the largest derivative is reported as undecided. Then
// choose another point, Step, or a smaller Y.
func CheckGradient(t testing.TB, c Gradient) {
	t.Helper()
	problems, err := c.check(t)
	if err != nil {
		t.Fatalf("check gradient of %s by %s: %v", describe(c.Y), describe(c.X), err)
	}
	if len(problems) == 0 {
		return
	}
	const shown = 8
	lines := make([]string, 0, shown)
	for _, p := range problems[:min(shown, len(problems))] {
		lines = append(lines, p.String())
	}
	t.Errorf("gradient of %s by %s: %d wrong or undecided elements:\n%s", describe(c.Y), describe(c.X), len(problems), strings.Join(lines, "\n"))
}

// undecided is the largest tolerance, as a fraction of the largest derivative,
// at which a comparison is still meaningful.
const undecided = 0.05

// problem is one element that failed.
type problem struct {
	index              []int64 // of the element in X
	claimed, numerical float64
	tolerance          float64
	wrong              bool // false: the tolerance is too wide to decide
}

func (p problem) String() string {
	verdict := "undecided, tolerance too wide"
	if p.wrong {
		verdict = "wrong"
	}
	return fmt.Sprintf("  at %v: gradient %.9g, central difference %.9g ± %.2g (%s)", p.index, p.claimed, p.numerical, p.tolerance, verdict)
}

// check returns the elements that are wrong or undecided, worst first.
func (c Gradient) check(t testing.TB) ([]problem, error) {
	t.Helper()
	fed, ok := c.Feeds[c.X]
	if !ok {
		return nil, errors.New("no value for X in Feeds")
	}
	if c.X.DataType() != c.Y.DataType() {
		return nil, fmt.Errorf("data types differ: X has %d, Y %d", c.X.DataType(), c.Y.DataType())
	}
	unit := 0x1p-23
	if c.X.DataType() == tf.Double {
		unit = 0x1p-52
	}
	if c.Noise == 0 {
		c.Noise = 8
	}
	if c.Step == 0 {
		c.Step = math.Cbrt(unit)
	}
	if c.DYDX.Op == nil {
		added, err := c.Graph.AddGradients("", []tf.Output{c.Y}, []tf.Output{c.X}, nil)
		if err != nil {
			return nil, fmt.Errorf("add gradients: %w", err)
		}
		if c.DYDX = added[0]; c.DYDX.Op == nil {
			return nil, errors.New("add gradients: Y does not depend on X")
		}
	}
	session, err := tf.NewSession(c.Graph, nil)
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	defer closeSession(t, session)
	p := &probe{Gradient: c, t: t, session: session, feeds: maps.Clone(c.Feeds), x: Floats(t, fed), shape: fed.Shape()}
	claimed, err := p.run(c.DYDX)
	if err != nil {
		return nil, err
	}
	if len(claimed) != len(p.x) {
		return nil, fmt.Errorf("the gradient has %d elements, X has %d", len(claimed), len(p.x))
	}
	elements := c.Elements
	if elements == nil {
		for i := range p.x {
			elements = append(elements, i)
		}
	}
	checked := make([]problem, 0, len(elements))
	for _, i := range elements {
		if i < 0 || i >= len(p.x) {
			return nil, fmt.Errorf("element %d is outside X, which has %d", i, len(p.x))
		}
		found, err := p.compare(i, claimed[i], unit)
		if err != nil {
			return nil, err
		}
		checked = append(checked, found)
	}
	return worst(checked), nil
}

// probe runs a Gradient's graph at X and near it.
type probe struct {
	Gradient
	t       testing.TB
	session *tf.Session
	feeds   Feeds
	x       []float64
	shape   []int64
}

func (p *probe) run(o tf.Output) ([]float64, error) {
	values, err := p.session.Run(p.feeds, []tf.Output{o}, nil)
	if err != nil {
		return nil, fmt.Errorf("run graph: %w", err)
	}
	return Floats(p.t, values[0]), nil
}

// at returns Y with element i of X set to value, and the value actually used, which rounding to
// float32 may have shifted.
func (p *probe) at(i int, value float64) (y, moved float64, err error) {
	if p.X.DataType() == tf.Float {
		value = float64(float32(value))
	}
	changed := slices.Clone(p.x)
	changed[i] = value
	p.feeds[p.X] = newTensor(p.t, p.X.DataType(), changed, p.shape)
	values, err := p.run(p.Y)
	if err != nil {
		return 0, 0, err
	}
	if len(values) != 1 {
		return 0, 0, fmt.Errorf("expected a scalar for Y, got %d elements", len(values))
	}
	return values[0], value, nil
}

// difference returns the central difference of half-width h for element i, and the larger of the
// two values of Y.
func (p *probe) difference(i int, h float64) (slope, size float64, err error) {
	up, high, err := p.at(i, p.x[i]+h)
	if err != nil {
		return 0, 0, err
	}
	down, low, err := p.at(i, p.x[i]-h)
	if err != nil {
		return 0, 0, err
	}
	return (up - down) / (high - low), max(math.Abs(up), math.Abs(down)), nil
}

// compare checks the gradient claimed for element i against central differences. unit is the
// rounding unit.
func (p *probe) compare(i int, claimed, unit float64) (problem, error) {
	h := p.Step * max(1, math.Abs(p.x[i]))
	near, size, err := p.difference(i, h)
	if err != nil {
		return problem{}, err
	}
	far, _, err := p.difference(i, 2*h)
	if err != nil {
		return problem{}, err
	}
	found := problem{index: unravel(i, p.shape), claimed: claimed, numerical: (4*near - far) / 3}
	found.tolerance = math.Abs(far-near) + p.Noise*unit*(size/h+math.Abs(claimed))
	// The negation makes NaN wrong.
	found.wrong = !(math.Abs(found.claimed-found.numerical) <= found.tolerance)
	return found, nil
}

// worst returns the wrong and undecided elements, worst first.
func worst(checked []problem) []problem {
	largest := 0.0
	for _, p := range checked {
		largest = max(largest, math.Abs(p.numerical), math.Abs(p.claimed))
	}
	problems := slices.DeleteFunc(checked, func(p problem) bool {
		return !p.wrong && p.tolerance <= undecided*largest
	})
	excess := func(p problem) float64 {
		e := math.Abs(p.claimed-p.numerical) - p.tolerance
		if math.IsNaN(e) {
			return math.Inf(1)
		}
		return e
	}
	slices.SortStableFunc(problems, func(a, b problem) int {
		switch d := excess(b) - excess(a); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return 0
	})
	return problems
}

// unravel turns a row-major position into one index per dimension.
func unravel(i int, shape []int64) []int64 {
	index := make([]int64, len(shape))
	rest := int64(i)
	for d := len(shape) - 1; d >= 0; d-- {
		index[d], rest = rest%shape[d], rest/shape[d]
	}
	return index
}
