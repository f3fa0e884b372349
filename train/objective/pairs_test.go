package objective

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/graphtest"
)

// embeddings draws two views, [n, d], that are partly alike.
func embeddings(n, d int, seed uint64) (first, second []float32) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n * d {
		x := r.NormFloat64() * .8
		first, second = append(first, float32(x+.3)), append(second, float32(.7*x+.3*r.NormFloat64()))
	}
	return first, second
}

func double(values []float32) []float64 { return float64s(values) }

// By hand: two images, one column: 1 and 3, and 2 and 2.
func TestPairsByHand(t *testing.T) {
	p := DefaultPairs()
	got, err := p.Scores([]float32{1, 3}, []float32{2, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// C = 2 and 0: deviations √2.0001, above 1, and √0.0001 = 0.01.
	want := EmbeddingScores{Examples: 2, Loss: 25*1 + 25*.99/2, Invariance: 1, Variance: .495, Std: math.Sqrt2 / 2, Rank: .5}
	if math.Abs(got.Loss-want.Loss) > 1e-9 || math.Abs(got.Variance-want.Variance) > 1e-9 || math.Abs(got.Std-want.Std) > 1e-9 || got.Invariance != 1 || got.Covariance != 0 || got.Rank != .5 {
		t.Errorf("%+v, expected %+v", got, want)
	}
	// Two columns that repeat each other: C = 2 everywhere, c = 2·4/2 of each view.
	got, err = p.Scores([]float32{1, 1, 3, 3}, []float32{1, 1, 3, 3}, 2)
	if err != nil || got.Covariance != 8 || got.Loss != 8 || math.Abs(got.Rank-1) > 1e-12 {
		t.Errorf("%+v, %v: expected a covariance term of 8 and the rank 1", got, err)
	}
}

// The graph computes what Scores does, whichever product of the embeddings it takes, and its gradient is
// that of its value.
func TestPairsGraph(t *testing.T) {
	for _, shape := range [][2]int{{7, 3}, {4, 9}, {2, 1}} {
		n, d := shape[0], shape[1]
		p := Pairs{Loss: VICReg, Invariance: 3, Variance: 2, Covariance: 1.5}
		s := op.NewScope()
		dims := op.PlaceholderShape(tf.MakeShape(int64(n), int64(d)))
		a, b := op.Placeholder(s.SubScope("first"), tf.Float, dims), op.Placeholder(s.SubScope("second"), tf.Float, dims)
		loss := p.Graph(s, a, b)
		gradients := op.Gradients(s, []tf.Output{loss}, []tf.Output{a, b})
		g := graphtest.Finalize(t, s)
		first, second := embeddings(n, d, 5)
		feeds := graphtest.Feeds{a: graphtest.Float32(t, double(first), int64(n), int64(d)), b: graphtest.Float32(t, double(second), int64(n), int64(d))}
		want, err := p.Scores(first, second, d)
		if err != nil {
			t.Fatal(err)
		}
		if got := graphtest.Floats(t, graphtest.Run(t, g, feeds, loss)[0])[0]; math.Abs(got-want.Loss) > 1e-5*want.Loss {
			t.Errorf("%v: loss %v, expected %v", shape, got, want.Loss)
		}
		for i, x := range []tf.Output{a, b} {
			graphtest.CheckGradient(t, graphtest.Gradient{Graph: g, Y: loss, X: x, DYDX: gradients[i], Feeds: feeds, Noise: 16})
		}
	}
}

// The scores tell a collapse from embeddings that fill their space.
func TestPairsShowCollapse(t *testing.T) {
	p, n, d := DefaultPairs(), 400, 8
	first, second := embeddings(n, d, 1)
	full, err := p.Scores(first, second, d)
	if err != nil {
		t.Fatal(err)
	}
	if full.Rank < 7 || full.Std < .5 {
		t.Errorf("independent columns: %+v", full)
	}
	for i := range first {
		first[i], second[i] = first[i/d*d], first[i/d*d] // one column, eight times
	}
	line, err := p.Scores(first, second, d)
	if err != nil || math.Abs(line.Rank-1) > 1e-6 || line.Covariance < 10*full.Covariance {
		t.Errorf("a line: %+v, %v; independent columns %+v", line, err, full)
	}
	clear(first)
	clear(second)
	point, err := p.Scores(first, second, d)
	if err != nil || point.Std != 0 || point.Rank != 0 || point.Variance < .98 {
		t.Errorf("a point: %+v, %v", point, err)
	}
}

func TestPairsErrors(t *testing.T) {
	p := DefaultPairs()
	for _, c := range []struct {
		first, second []float32
		width         int
	}{{nil, nil, 4}, {make([]float32, 4), make([]float32, 4), 4}, {make([]float32, 8), make([]float32, 4), 2}, {make([]float32, 7), make([]float32, 7), 2}, {make([]float32, 4), make([]float32, 4), 0}} {
		if _, err := p.Scores(c.first, c.second, c.width); err == nil {
			t.Errorf("%d and %d values of width %d are accepted", len(c.first), len(c.second), c.width)
		}
	}
	s := op.NewScope()
	one := op.Placeholder(s, tf.Float, op.PlaceholderShape(tf.MakeShape(1, 4)))
	p.Graph(s, one, one)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "at least two images") {
		t.Errorf("one image: %v", err)
	}
	for _, wrong := range []Pairs{{Loss: "barlow", Invariance: 1, Variance: 1}, {Loss: VICReg, Variance: 1}, {Loss: VICReg, Invariance: 1, Variance: 1, Covariance: -1}, {Loss: VICReg, Invariance: 1, Variance: math.NaN()}} {
		if wrong.Validate() == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if err := (Pairs{}).Validate(); err != nil {
		t.Error(err)
	}
}
