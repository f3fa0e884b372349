package graphtest

import (
	"math"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// cubes builds y = sum(x³)/3 over x of shape [2, 3], whose derivative is x².
func cubes(t *testing.T, dtype tf.DataType, values []float64) Gradient {
	t.Helper()
	s := op.NewScope()
	x := op.Placeholder(s.SubScope("x"), dtype, op.PlaceholderShape(tf.MakeShape(2, 3)))
	cube := op.Mul(s.SubScope("cube"), x, op.Mul(s.SubScope("square"), x, x))
	three := op.Cast(s.SubScope("three"), op.Const(s.SubScope("3"), float32(3)), dtype)
	y := op.Sum(s.SubScope("y"), op.Div(s.SubScope("third"), cube, three), op.Const(s.SubScope("axes"), []int32{0, 1}))
	return Gradient{Graph: Finalize(t, s), X: x, Y: y, Feeds: Feeds{x: newTensor(t, dtype, values, []int64{2, 3})}}
}

func TestRun(t *testing.T) {
	for _, dtype := range []tf.DataType{tf.Float, tf.Double} {
		c := cubes(t, dtype, []float64{1, 2, 3, -1, 0, 0.5})
		got := Floats(t, Run(t, c.Graph, c.Feeds, c.Y)[0])
		if want := (1 + 8 + 27 - 1 + 0.125) / 3; len(got) != 1 || math.Abs(got[0]-want) > 1e-6 {
			t.Errorf("data type %d: got %v, want %v", dtype, got, want)
		}
	}
}

func TestFloatsRoundTrip(t *testing.T) {
	values := []float64{1, -2, 0.5, 1e30}
	for _, tensor := range []*tf.Tensor{Float32(t, values, 2, 2), Float64(t, values, 4, 1)} {
		got := Floats(t, tensor)
		for i := range values {
			if got[i] != values[i] && got[i] != float64(float32(values[i])) {
				t.Errorf("element %d is %v, want %v", i, got[i], values[i])
			}
		}
	}
	if got := Floats(t, Float32(t, []float64{3})); !slices.Equal(got, []float64{3}) {
		t.Errorf("scalar: got %v", got)
	}
}

func TestCheckGradientAcceptsRight(t *testing.T) {
	CheckGradient(t, cubes(t, tf.Float, []float64{1, 2, 3, -1, 0, 0.5}))
	CheckGradient(t, cubes(t, tf.Double, []float64{1, 2, 3, -1, 0, 0.5}))
}

// A gradient that is off by one percent in one element must be named.
func TestCheckGradientNamesWrongElement(t *testing.T) {
	for _, dtype := range []tf.DataType{tf.Float, tf.Double} {
		c := cubes(t, dtype, []float64{1, 2, 3, -1, 0, 0.5})
		s := op.NewScopeWithGraph(c.Graph).SubScope("claim")
		c.DYDX = op.Mul(s, c.X, c.X)
		if problems, err := c.check(t); err != nil || len(problems) != 0 {
			t.Fatalf("right claim: %v, %v", problems, err)
		}
		factors := op.Const(s.SubScope("factors"), [][]float32{{1, 1, 1}, {1.01, 1, 1}})
		c.DYDX = op.Mul(s.SubScope("wrong"), c.DYDX, op.Cast(s.SubScope("cast"), factors, dtype))
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		problems, err := c.check(t)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) != 1 || !slices.Equal(problems[0].index, []int64{1, 0}) || !problems[0].wrong {
			t.Errorf("data type %d: got %v, want one wrong element at [1 0]", dtype, problems)
		}
	}
}

// If the tolerance would accept anything, the check must not pass.
func TestCheckGradientUndecided(t *testing.T) {
	c := cubes(t, tf.Float, []float64{1, 2, 3, -1, 0, 0.5})
	c.Noise = 1e6
	problems, err := c.check(t)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 6 || problems[0].wrong || !strings.Contains(problems[0].String(), "undecided") {
		t.Errorf("got %v, want six undecided elements", problems)
	}
}

func TestCheckGradientNaN(t *testing.T) {
	c := cubes(t, tf.Float, []float64{1, 2, 3, -1, 0, 0.5})
	s := op.NewScopeWithGraph(c.Graph).SubScope("nan")
	c.DYDX = op.Add(s, c.X, op.Const(s, float32(math.NaN())))
	problems, err := c.check(t)
	if err != nil || len(problems) != 6 || !problems[0].wrong {
		t.Errorf("got %v, %v; want six wrong elements", problems, err)
	}
}

func TestCheckGradientErrors(t *testing.T) {
	base := cubes(t, tf.Float, []float64{1, 2, 3, -1, 0, 0.5})
	other := op.Placeholder(op.NewScopeWithGraph(base.Graph).SubScope("other"), tf.Float, op.PlaceholderShape(tf.ScalarShape()))
	vector := op.Neg(op.NewScopeWithGraph(base.Graph).SubScope("vector"), base.X)
	for _, test := range []struct {
		name, want string
		change     func(*Gradient)
	}{
		{"no value", "no value for X in Feeds", func(c *Gradient) { c.Feeds = nil }},
		{"not a scalar", "expected a scalar", func(c *Gradient) { c.Y, c.DYDX = vector, vector }},
		{"element", "element 6 is outside", func(c *Gradient) { c.Elements = []int{6} }},
		{"independent", "gradient", func(c *Gradient) { c.X, c.Feeds = other, Feeds{other: Float32(t, []float64{1})} }},
	} {
		c := base
		test.change(&c)
		if _, err := c.check(t); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
}
