package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/graphtest"
	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// twin is the reference optimizer in float64, one value at a time, as in the
// papers; it skips updates whose gradients are not finite.
type twin struct {
	o    Optimizer
	rows int          // of the kernel
	w    [2][]float64 // a kernel, which decays, and a bias
	m, v [2][]float64
}

func (w *twin) update(g [2][]float64, rate float64, step int) (norm float64) {
	for _, gradient := range g {
		for _, x := range gradient {
			norm += x * x
		}
	}
	norm = math.Sqrt(norm)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm
	}
	scale := 1.0
	if w.o.ClipNorm > 0 {
		scale = math.Min(1, w.o.ClipNorm/norm)
	}
	full := rate
	for k := range w.w {
		rate := full
		if k == 0 && w.o.LayerDecay > 0 { // the kernel is two layers below the head
			rate *= w.o.LayerDecay * w.o.LayerDecay
		}
		if k == 0 && w.o.Kind == Muon {
			w.orthogonalised(g[k], scale, rate)
			continue
		}
		for i := range w.w[k] {
			x := g[k][i] * scale
			if k == 0 {
				w.w[k][i] -= rate * w.o.WeightDecay * w.w[k][i]
			}
			if w.o.Kind == SGD {
				w.m[k][i] = w.o.Momentum*w.m[k][i] - rate*x
				w.w[k][i] += w.o.Momentum*w.m[k][i] - rate*x
				continue
			}
			w.m[k][i] = w.o.Beta1*w.m[k][i] + (1-w.o.Beta1)*x
			w.v[k][i] = w.o.Beta2*w.v[k][i] + (1-w.o.Beta2)*x*x
			t := float64(step + 1)
			alpha := rate * math.Sqrt(1-math.Pow(w.o.Beta2, t)) / (1 - math.Pow(w.o.Beta1, t))
			w.w[k][i] -= alpha * w.m[k][i] / (math.Sqrt(w.v[k][i]) + w.o.Epsilon)
		}
	}
	return norm
}

// orthogonalised is Muon's update of the kernel, with the iterations on the kernel itself.
func (w *twin) orthogonalised(g []float64, scale, rate float64) {
	columns := len(g) / w.rows
	x := make([]float64, len(g))
	for i := range g {
		w.m[0][i] = w.o.Momentum*w.m[0][i] + g[i]*scale
		x[i] = w.o.Momentum*w.m[0][i] + g[i]*scale
	}
	newtonSchulz(x, columns)
	for i := range x {
		w.w[0][i] -= rate * (w.o.WeightDecay*w.w[0][i] + .5*math.Sqrt(float64(max(w.rows, columns)))*x[i])
	}
}

// newtonSchulz sets x to what orthogonal makes of it, one iteration after another.
func newtonSchulz(x []float64, columns int) {
	norm := 0.0
	for _, v := range x {
		norm += v * v
	}
	for i := range x {
		x[i] /= math.Sqrt(norm)
	}
	for range 5 {
		once := gram(x, x, columns)
		twice := gram(once, x, columns)
		for i := range x {
			x[i] = 3.4445*x[i] - 4.7750*once[i] + 2.0315*twice[i]
		}
	}
}

// gram returns y·xᵀ·x for matrices with so many columns.
func gram(y, x []float64, columns int) []float64 {
	out := make([]float64, len(y))
	for r := 0; r < len(y); r += columns {
		for q := 0; q < len(x); q += columns {
			dot := 0.0
			for i := range columns {
				dot += y[r+i] * x[q+i]
			}
			for i := range columns {
				out[r+i] += dot * x[q+i]
			}
		}
	}
	return out
}

// Rounding does not spoil the directions that orthogonal raises most, and nothing stays nothing.
func TestOrthogonal(t *testing.T) {
	const long, short = 144, 24
	r := rand.New(rand.NewPCG(2, 1))
	tall, wide, none := make([]float64, long*short), make([]float64, long*short), make([]float64, long*short)
	mix := make([]float64, short*short) // rows of singular values from about 1 to 10⁻⁴
	for i := range mix {
		mix[i] = r.NormFloat64() * math.Pow(10, -4*float64(i/short)/(short-1))
	}
	for i := range long {
		for k := range short {
			z := r.NormFloat64()
			for j := range short {
				tall[i*short+j] += z * mix[k*short+j]
			}
		}
		for j := range short {
			wide[j*long+i] = tall[i*short+j]
		}
	}
	for _, c := range []struct {
		rows, columns int64
		values        []float64
	}{{long, short, tall}, {short, long, wide}, {long, short, none}} {
		s := tg.NewRoot()
		x := session.Placeholder(s, "x", tf.Float, c.rows, c.columns)
		y := orthogonal(s.SubScope("orthogonal"), x, c.columns > c.rows, tg.Const(s, float32(1)))
		feeds := graphtest.Feeds{x: graphtest.Float32(t, c.values, c.rows, c.columns)}
		got := graphtest.Floats(t, graphtest.Run(t, graphtest.Finalize(t, s), feeds, y)[0])
		want := slices.Clone(c.values)
		if want[0] != 0 {
			newtonSchulz(want, int(c.columns))
		}
		gap, size := 0.0, 0.0
		for i := range want {
			gap += (got[i] - want[i]) * (got[i] - want[i])
			size += want[i] * want[i]
		}
		if !(math.Sqrt(gap) <= 1e-3*math.Sqrt(size)) {
			t.Errorf("%d×%d: %v from the formula, expected at most a thousandth of its norm %v", c.rows, c.columns, math.Sqrt(gap), math.Sqrt(size))
		}
		if n := math.Sqrt(size / short); want[0] != 0 && !(n > .7 && n < 1.2) {
			t.Errorf("%d×%d: the mean singular value is %v", c.rows, c.columns, n)
		}
	}
}

func TestOptimizersAgainstTheirFormulas(t *testing.T) {
	all := []Optimizer{
		{Kind: SGD, Momentum: .9, WeightDecay: .1},
		{Kind: SGD, Momentum: .5, ClipNorm: .8},
		{Kind: AdamW, Beta1: .9, Beta2: .99, Epsilon: 1e-7, WeightDecay: .3},
		{Kind: AdamW, Beta1: .8, Beta2: .999, Epsilon: 1e-3, ClipNorm: 2},
		{Kind: SGD, Momentum: .9, WeightDecay: .1, LayerDecay: .6},
		{Kind: AdamW, Beta1: .9, Beta2: .99, Epsilon: 1e-7, WeightDecay: .3, ClipNorm: 1, LayerDecay: .6},
		{Kind: Muon, Momentum: .9, Beta1: .9, Beta2: .99, Epsilon: 1e-7},
		{Kind: Muon, Momentum: .5, Beta1: .9, Beta2: .99, Epsilon: 1e-7, WeightDecay: .3, ClipNorm: 1, LayerDecay: .6},
	}
	for n, o := range slices.Repeat(all, 8) {
		round := n / len(all)
		gpu := round%2 == 0           // the GPU graph also runs on a CPU
		kernel := []int64{1, 3, 1, 2} // as a matrix, higher than wide
		if round >= 4 {
			kernel = []int64{1, 1, 2, 3}
		}
		s := tg.NewRoot()
		list := []network.Variable{{Name: "kernel", Shape: kernel, Trainable: true, Decay: true}, {Name: "bias", Shape: []int64{2}, Trainable: true}}
		gradients := session.Placeholder(s, "gradients", tf.Float, 8)
		var updates []update
		var assigns []*tf.Operation
		for i, v := range list {
			u := update{variable: v, below: 2 - 2*i, orthogonalised: o.orthogonalises(v, 1)}
			u.handle, u.read = network.NewVariable(s, v)
			begin := []int32{int32(6 * i)}
			part := s.SubScope("gradient")
			u.gradient = op.Reshape(part, op.Slice(part, gradients, tg.Const(part, begin), tg.Const(part, []int32{int32(v.Elements())})), tg.Const(part, v.Shape))
			ones := op.Fill(s.SubScope("ones"), tg.Const(s, v.Shape), tg.Const(s, float32(1)))
			assigns = append(assigns, op.AssignVariableOp(s.SubScope("init"), u.handle, ones))
			for _, suffix := range o.slots(u.orthogonalised) {
				slot, _ := network.NewVariable(s, network.Variable{Name: v.Name + suffix, Shape: v.Shape})
				zeros := op.Fill(s.SubScope("zeros"), tg.Const(s, v.Shape), tg.Const(s, float32(0)))
				assigns = append(assigns, op.AssignVariableOp(s.SubScope("init"), slot, zeros))
				u.slots = append(u.slots, slot)
			}
			updates = append(updates, u)
		}
		rate, step := session.Placeholder(s, "rate", tf.Float), session.Placeholder(s, "step", tf.Int64)
		norm := globalNorm(s.SubScope("norm"), updates)
		var finite tf.Output
		if round%4 >= 2 {
			finite = op.IsFinite(s, norm)
		}
		train := session.Group(s, "train", o.apply(s.SubScope("optimizer"), updates, rate, step, norm, finite, gpu))
		g, err := s.Finalize()
		if err != nil {
			t.Fatal(err)
		}
		sess, err := session.New(g, session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sess.Run(nil, nil, assigns); err != nil {
			t.Fatal(err)
		}
		want := twin{o: o, w: [2][]float64{{1, 1, 1, 1, 1, 1}, {1, 1}}, m: [2][]float64{make([]float64, 6), make([]float64, 2)}, v: [2][]float64{make([]float64, 6), make([]float64, 2)}}
		want.rows = 6 / int(kernel[3])
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 25 {
			values := make([]float32, 8)
			exact := make([]float64, 8)
			for k := range values {
				values[k] = float32(r.NormFloat64())
			}
			if finite.Op != nil && i%5 < 2 {
				values[i/5] = []float32{float32(math.NaN()), float32(math.Inf(i - 12))}[i%5]
			}
			for k, x := range values {
				exact[k] = float64(x)
			}
			feed, err := session.Float32Tensor(values, 8)
			if err != nil {
				t.Fatal(err)
			}
			lr := .1 / float64(i+1)
			rateT, _ := tf.NewTensor(float32(lr))
			stepT, _ := tf.NewTensor(int64(i))
			got, err := sess.Run(map[tf.Output]*tf.Tensor{gradients: feed, rate: rateT, step: stepT}, []tf.Output{norm}, []*tf.Operation{train})
			if err != nil {
				t.Fatal(err)
			}
			wantNorm := want.update([2][]float64{exact[:6], exact[6:]}, lr, i)
			if n := float64(got[0].Value().(float32)); !(math.Abs(n-wantNorm) <= 1e-5*wantNorm) && fmt.Sprint(n) != fmt.Sprint(wantNorm) {
				t.Fatalf("%+v, step %d: norm %v, expected %v", o, i, n, wantNorm)
			}
		}
		for k, u := range updates {
			got, err := sess.Run(nil, []tf.Output{u.read}, nil)
			if err != nil {
				t.Fatal(err)
			}
			values, err := session.Floats(got[0])
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range values {
				if !(math.Abs(float64(x)-want.w[k][i]) <= 1e-5) {
					t.Errorf("%+v, %s[%d]: %v, expected %v", o, u.variable.Name, i, x, want.w[k][i])
				}
			}
		}
		if err := sess.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOptimizerValidate(t *testing.T) {
	good := Optimizer{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: minEpsilon, WeightDecay: .1, ClipNorm: 1}
	for _, c := range []struct {
		change func(o *Optimizer)
		err    string
	}{
		{func(*Optimizer) {}, ""},
		{func(o *Optimizer) { *o = Optimizer{Kind: SGD} }, ""},
		{func(o *Optimizer) { o.Kind = "adam" }, "adam"},
		{func(o *Optimizer) { *o = Optimizer{Kind: SGD, Momentum: 1} }, "momentum 1"},
		{func(o *Optimizer) { o.Beta1 = math.NaN() }, "beta1 NaN"},
		{func(o *Optimizer) { o.Beta2 = -.1 }, "beta2 -0.1"},
		{func(o *Optimizer) { o.Epsilon = minEpsilon / 2 }, "epsilon"},
		{func(o *Optimizer) { o.WeightDecay = -1 }, "weight_decay -1"},
		{func(o *Optimizer) { o.ClipNorm = -1 }, "clip_norm -1"},
		{func(o *Optimizer) { o.LayerDecay = 1 }, ""},
		{func(o *Optimizer) { o.LayerDecay = 1.1 }, "layer_decay 1.1"},
		{func(o *Optimizer) { o.LayerDecay = math.NaN() }, "layer_decay NaN"},
	} {
		o := good
		c.change(&o)
		err := o.Validate()
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, expected an error with %q", o, err, c.err)
		}
	}
}
