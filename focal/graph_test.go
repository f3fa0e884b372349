package focal

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"pgregory.net/rapid"

	"galaxy/graph/graphtest"
)

// built is a graph of both functions with any batch and number of answers, and
// one session for all its runs: a new session optimises the graph again.
type built struct {
	graph                                     *tf.Graph
	session                                   *tf.Session
	logits, labels, loss, gradient, fractions tf.Output
}

func build(t *testing.T, p Params) built {
	t.Helper()
	s := op.NewScope()
	open := op.PlaceholderShape(tf.MakeShape(-1, -1))
	b := built{
		logits: op.Placeholder(s.SubScope("logits"), tf.Float, open),
		labels: op.Placeholder(s.SubScope("labels"), tf.Float, open),
	}
	b.loss = p.Loss(s, b.logits, b.labels)
	b.fractions = p.Posterior(s, b.logits)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	b.gradient = op.Gradients(s, []tf.Output{b.loss}, []tf.Output{b.logits})[0]
	b.graph = graphtest.Finalize(t, s)
	var err error
	if b.session, err = tf.NewSession(b.graph, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.session.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// run feeds logits and labels as [rows, columns].
func (b built) run(t *testing.T, logits, labels []float64, columns int) (loss float64, gradient, fractions []float64) {
	t.Helper()
	got := b.fetch(t, logits, labels, columns, b.loss, b.gradient, b.fractions)
	return got[0][0], got[1], got[2]
}

func (b built) fetch(t *testing.T, logits, labels []float64, columns int, outputs ...tf.Output) [][]float64 {
	t.Helper()
	rows := int64(len(logits) / columns)
	tensors, err := b.session.Run(graphtest.Feeds{
		b.logits: graphtest.Float32(t, logits, rows, int64(columns)),
		b.labels: graphtest.Float32(t, labels, rows, int64(columns)),
	}, outputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var values [][]float64
	for _, tensor := range tensors {
		values = append(values, graphtest.Floats(t, tensor))
	}
	return values
}

func round32(values []float64) []float64 {
	for i, v := range values {
		values[i] = float64(float32(v))
	}
	return values
}

// sweep returns logits over all of float32's useful range: dense where Softplus
// switches its formula (±13.9), where exp leaves float32 (±88, ±104), and far
// beyond.
func sweep() []float64 {
	var x []float64
	for v := -120.0; v <= 120; v += 0.03125 {
		x = append(x, v)
	}
	for v := 1e-30; v < 1e37; v *= 10 {
		x = append(x, v, -v)
	}
	return append(x, 0)
}

// Every element, its gradient and its fraction against the float64 reference. A
// power exp(−γ·s) has the relative error of its exponent, γ·s units; the loss of
// an element on the right side is therefore accurate to about γ·(|logit|+1)
// units.
func TestGraphAgainstTwin(t *testing.T) {
	const unit = 0x1p-23
	x := round32(sweep())
	for _, p := range append(slices.Clone(grid), Params{0.5, 30}) {
		t.Run(p.String(), func(t *testing.T) {
			b := build(t, p)
			element := b.graph.Operation("focal_loss/element/Add").Output(0)
			for _, y := range round32([]float64{0, 1e-3, 0.3, 0.5, 0.9, 1}) {
				labels := make([]float64, len(x))
				for i := range labels {
					labels[i] = y
				}
				n := float64(len(x))
				got := b.fetch(t, x, labels, 1, element, b.gradient, b.fractions)
				losses, gradient, fractions := got[0], got[1], got[2]
				worst := [3]float64{}
				for i, v := range x {
					// Far out one of the two terms is 0 and the other is linear;
					// beyond 104/γ a power is 0 in float32.
					tolerance := unit * (8 + 4*p.Gamma*min(math.Abs(v)+1, 104))
					for k, c := range [3]struct {
						name                 string
						got, want, tolerance float64
					}{
						// Below 1e-36 float32 has fewer digits or none.
						{"loss", losses[i], p.LossAt(v, y), tolerance*p.LossAt(v, y) + 1e-36},
						// The two terms of the gradient have opposite signs.
						{"gradient", gradient[i] * n, p.slopeAt(v, y), tolerance*(math.Abs(y*p.slopeAt(v, 1))+math.Abs((1-y)*p.slopeAt(v, 0))) + 1e-32},
						{"fraction", fractions[i], p.PosteriorAt(v), 1e-6},
					} {
						if !(math.Abs(c.got-c.want) <= c.tolerance) {
							t.Errorf("label %v, logit %v: %s is %v, want %v ± %.2g", y, v, c.name, c.got, c.want, c.tolerance)
						}
						worst[k] = max(worst[k], math.Abs(c.got-c.want)/c.tolerance)
					}
				}
				t.Logf("label %v: largest errors over tolerances: loss %.2f, gradient %.2f, fraction %.2f", y, worst[0], worst[1], worst[2])
			}
		})
	}
}

func TestGraphMeanOverEveryElement(t *testing.T) {
	p := Default()
	b := build(t, p)
	rapid.Check(t, func(r *rapid.T) {
		rows, columns := rapid.IntRange(1, 5).Draw(r, "rows"), rapid.IntRange(1, 37).Draw(r, "columns")
		n := rows * columns
		logits := round32(rapid.SliceOfN(rapid.Float64Range(-20, 20), n, n).Draw(r, "logits"))
		labels := round32(rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(r, "labels"))
		want := 0.0
		for i := range logits {
			want += p.LossAt(logits[i], labels[i]) / float64(n)
		}
		got, _, _ := b.run(t, logits, labels, columns)
		if math.Abs(got-want) > 1e-5*want {
			r.Fatalf("loss is %v, want %v", got, want)
		}
	})
}

func TestGraphGradientByDifferences(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range grid {
		b := build(t, p)
		logits, labels := make([]float64, 12), make([]float64, 12)
		for i := range logits {
			logits[i], labels[i] = 8*random.Float64()-4, random.Float64()
		}
		logits[0], labels[1], labels[2] = 0, 0, 1
		graphtest.CheckGradient(t, graphtest.Gradient{Graph: b.graph, Y: b.loss, X: b.logits, DYDX: b.gradient,
			Feeds: graphtest.Feeds{b.logits: graphtest.Float32(t, logits, 4, 3), b.labels: graphtest.Float32(t, labels, 4, 3)}})
	}
}

// At logits that no training should reach, value and gradient are finite and
// equal to the limits: the loss is the distance on the wrong side, 0 on the
// right side.
func TestGraphHugeLogits(t *testing.T) {
	for _, p := range grid {
		b := build(t, p)
		loss, gradient, fractions := b.run(t, []float64{1e4, -1e4, 1e4, -1e4}, []float64{1, 1, 0, 0}, 4)
		if want := 1e4 * (p.Alpha + 1 - p.Alpha) / 4; math.Abs(loss-want) > 1e-6*want {
			t.Errorf("%v: loss is %v, want %v", p, loss, want)
		}
		for i, want := range []float64{0, -p.Alpha / 4, (1 - p.Alpha) / 4, 0} {
			if !(math.Abs(gradient[i]-want) <= 1e-7) {
				t.Errorf("%v: gradient %d is %v, want %v", p, i, gradient[i], want)
			}
		}
		if !slices.Equal(fractions, []float64{1, 0, 1, 0}) {
			t.Errorf("%v: fractions are %v", p, fractions)
		}
	}
	inf := math.Inf(1)
	_, _, fractions := build(t, Default()).run(t, []float64{inf, -inf}, []float64{1, 0}, 2)
	if !slices.Equal(fractions, []float64{1, 0}) {
		t.Errorf("fractions of infinite logits are %v", fractions)
	}
}

// Swapped arguments have the right dtype and shape; only the values show the swap.
func TestGraphLabelsOutOfRange(t *testing.T) {
	b := build(t, Default())
	for _, label := range []float64{-0.01, 1.01, 3, math.NaN()} {
		if loss, _, _ := b.run(t, []float64{0.5, 0.5}, []float64{0.5, label}, 2); !math.IsNaN(loss) {
			t.Errorf("label %v gives the loss %v, want NaN", label, loss)
		}
	}
	if loss, _, _ := b.run(t, []float64{0.5, 0.5}, []float64{-1e-6, 1.000001}, 2); math.IsNaN(loss) {
		t.Error("rounding beyond [0, 1] is not let through")
	}
}

func TestGraphRefuses(t *testing.T) {
	placeholder := func(s *op.Scope, name string, dtype tf.DataType, shape ...int64) tf.Output {
		return op.Placeholder(s.SubScope(name), dtype, op.PlaceholderShape(tf.MakeShape(shape...)))
	}
	for _, test := range []struct {
		name, want string
		build      func(s *op.Scope)
	}{
		{"uint8 logits", "logits has data type", func(s *op.Scope) {
			Default().Loss(s, placeholder(s, "x", tf.Uint8, 2, 3), placeholder(s, "y", tf.Float, 2, 3))
		}},
		{"double labels", "labels has data type", func(s *op.Scope) {
			Default().Loss(s, placeholder(s, "x", tf.Float, 2, 3), placeholder(s, "y", tf.Double, 2, 3))
		}},
		{"ranks", "expected one shape", func(s *op.Scope) {
			Default().Loss(s, placeholder(s, "x", tf.Float, 2, 3), placeholder(s, "y", tf.Float, 3))
		}},
		{"broadcast", "expected one shape", func(s *op.Scope) {
			Default().Loss(s, placeholder(s, "x", tf.Float, -1, 37), placeholder(s, "y", tf.Float, -1, 1))
		}},
		{"no output", "labels is not an output", func(s *op.Scope) {
			Default().Loss(s, placeholder(s, "x", tf.Float, 2, 3), tf.Output{})
		}},
		{"alpha", "alpha 0", func(s *op.Scope) {
			x := placeholder(s, "x", tf.Float, 2, 3)
			Params{Gamma: 2}.Loss(s, x, x)
		}},
		{"posterior of half precision", "logits has data type", func(s *op.Scope) {
			Default().Posterior(s, placeholder(s, "x", tf.Bfloat16, 2, 3))
		}},
		{"posterior gamma", "gamma -1", func(s *op.Scope) {
			Params{Alpha: 0.5, Gamma: -1}.Posterior(s, placeholder(s, "x", tf.Float, 2, 3))
		}},
	} {
		s := op.NewScope()
		test.build(s)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
	// The first error is the one reported, and nothing panics.
	s := op.NewScope()
	Default().Loss(s, tf.Output{}, tf.Output{})
	first := s.Err()
	Default().Posterior(s, tf.Output{})
	if !errors.Is(s.Err(), first) {
		t.Errorf("the first error %v was replaced by %v", first, s.Err())
	}
}
