package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

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

func TestOptimizersAgainstTheirFormulas(t *testing.T) {
	all := []Optimizer{
		{Kind: SGD, Momentum: .9, WeightDecay: .1},
		{Kind: SGD, Momentum: .5, ClipNorm: .8},
		{Kind: AdamW, Beta1: .9, Beta2: .99, Epsilon: 1e-7, WeightDecay: .3},
		{Kind: AdamW, Beta1: .8, Beta2: .999, Epsilon: 1e-3, ClipNorm: 2},
		{Kind: SGD, Momentum: .9, WeightDecay: .1, LayerDecay: .6},
		{Kind: AdamW, Beta1: .9, Beta2: .99, Epsilon: 1e-7, WeightDecay: .3, ClipNorm: 1, LayerDecay: .6},
	}
	for n, o := range slices.Repeat(all, 4) {
		gpu := n/len(all)%2 == 0 // the GPU graph also runs on a CPU
		s := tg.NewRoot()
		list := []network.Variable{{Name: "kernel", Shape: []int64{3}, Trainable: true, Decay: true}, {Name: "bias", Shape: []int64{2}, Trainable: true}}
		gradients := session.Placeholder(s, "gradients", tf.Float, 5)
		var updates []update
		var assigns []*tf.Operation
		for i, v := range list {
			u := update{variable: v, below: 2 - 2*i}
			u.handle, u.read = network.NewVariable(s, v)
			begin := []int32{int32(3 * i)}
			part := s.SubScope("gradient")
			u.gradient = op.Slice(part, gradients, tg.Const(part, begin), tg.Const(part, []int32{int32(v.Elements())}))
			ones := op.Fill(s.SubScope("ones"), tg.Const(s, []int32{int32(v.Elements())}), tg.Const(s, float32(1)))
			assigns = append(assigns, op.AssignVariableOp(s.SubScope("init"), u.handle, ones))
			for _, suffix := range o.slots() {
				slot, _ := network.NewVariable(s, network.Variable{Name: v.Name + suffix, Shape: v.Shape})
				zeros := op.Fill(s.SubScope("zeros"), tg.Const(s, []int32{int32(v.Elements())}), tg.Const(s, float32(0)))
				assigns = append(assigns, op.AssignVariableOp(s.SubScope("init"), slot, zeros))
				u.slots = append(u.slots, slot)
			}
			updates = append(updates, u)
		}
		rate, step := session.Placeholder(s, "rate", tf.Float), session.Placeholder(s, "step", tf.Int64)
		norm := globalNorm(s.SubScope("norm"), updates)
		var finite tf.Output
		if n >= 2*len(all) {
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
		want := twin{o: o, w: [2][]float64{{1, 1, 1}, {1, 1}}, m: [2][]float64{make([]float64, 3), make([]float64, 2)}, v: [2][]float64{make([]float64, 3), make([]float64, 2)}}
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 25 {
			values := make([]float32, 5)
			exact := make([]float64, 5)
			for k := range values {
				values[k] = float32(r.NormFloat64())
			}
			if finite.Op != nil && i%5 < 2 {
				values[i/5] = []float32{float32(math.NaN()), float32(math.Inf(i - 12))}[i%5]
			}
			for k, x := range values {
				exact[k] = float64(x)
			}
			feed, err := session.Float32Tensor(values, 5)
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
			wantNorm := want.update([2][]float64{exact[:3], exact[3:]}, lr, i)
			if n := float64(got[0].Value().(float32)); !(math.Abs(n-wantNorm) <= 1e-5*wantNorm) && fmt.Sprint(n) != fmt.Sprint(wantNorm) {
				t.Fatalf("%+v, step %d: norm %v, expected %v", o, i, n, wantNorm)
			}
		}
		for k, u := range updates {
			got, err := sess.Run(nil, []tf.Output{u.read}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range got[0].Value().([]float32) {
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
