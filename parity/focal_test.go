//go:build parity

package parity

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"galaxy/focal"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

type elements struct {
	Logits []float64 `json:"logits"`
	Labels []float64 `json:"labels"`
}

// f32 rounds to float32, so that both sides work on the very same numbers.
func f32(x float64) float64 { return float64(float32(x)) }

// TestFocalLoss compares loss and gradient, element by element: on labels 0 and
// 1 with the original project's formula run by Keras, on soft labels with a
// float64 twin written apart from ours.
func TestFocalLoss(t *testing.T) {
	type job struct {
		focal.Params
		Hard elements `json:"hard"`
		Soft elements `json:"soft"`
	}
	type curve struct{ Loss, Gradient []float64 }
	question := struct {
		Jobs     []job    `json:"jobs"`
		Minimise []string `json:"minimise"`
	}{Minimise: []string{}}
	rng := rand.New(rand.NewPCG(3, 0))
	for _, p := range []focal.Params{{Alpha: 0.25, Gamma: 2}, {Alpha: 0.5, Gamma: 0}, {Alpha: 0.75, Gamma: 0.5}, {Alpha: 0.4, Gamma: 5}} {
		j := job{Params: p}
		// The original clips probabilities at 1e-7, which is a logit of 16.1:
		// inside 15 the two formulas have to be the same function.
		for i := range 301 {
			x := f32(-15 + float64(i)/10)
			j.Hard.Logits = append(j.Hard.Logits, x, x)
			j.Hard.Labels = append(j.Hard.Labels, 0, 1)
			j.Soft.Logits = append(j.Soft.Logits, 4*x, x)
			j.Soft.Labels = append(j.Soft.Labels, f32(rng.Float64()), f32(math.Pow(rng.Float64(), 6)))
		}
		question.Jobs = append(question.Jobs, j)
	}
	var answer struct {
		Jobs []struct{ Hard32, Hard64, Soft64 curve }
	}
	ask(t, "focal.py", question, &answer)

	for i, j := range question.Jobs {
		t.Run(fmt.Sprintf("alpha=%v,gamma=%v", j.Alpha, j.Gamma), func(t *testing.T) {
			loss, gradient := runFocal(t, j.Params, j.Hard)
			keras := answer.Jobs[i]
			closeTo(t, "loss on 0/1 labels", loss, keras.Hard64.Loss, nil)
			closeTo(t, "gradient on 0/1 labels", gradient, keras.Hard64.Gradient, nil)
			// In float32 the original's 1−y_pred is a multiple of 2⁻²⁴, so its
			// own relative error is about 2⁻²⁴/(1−p_t) or 2⁻²⁴/p_t.
			cancelled := func(k int) float64 { return math.Exp(math.Abs(j.Hard.Logits[k])) * math.Pow(2, -23) * (2 + j.Gamma) }
			closeTo(t, "loss on 0/1 labels, Keras in float32", loss, keras.Hard32.Loss, cancelled)
			closeTo(t, "gradient on 0/1 labels, Keras in float32", gradient, keras.Hard32.Gradient, cancelled)

			loss, gradient = runFocal(t, j.Params, j.Soft)
			closeTo(t, "loss on soft labels", loss, keras.Soft64.Loss, nil)
			closeTo(t, "gradient on soft labels", gradient, keras.Soft64.Gradient, nil)
			twin := make([]float64, len(loss))
			for k := range twin {
				twin[k] = j.LossAt(j.Soft.Logits[k], j.Soft.Labels[k])
			}
			apart, err := farthest(twin, keras.Soft64.Loss)
			must(t, err)
			if apart > 1e-13*largest(twin) {
				t.Errorf("LossAt is %.3g away from the float64 twin", apart)
			}
		})
	}
}

// closeTo checks float32 values of ours element by element against a reference:
// within relativeTolerance of the value itself, more where slack says that the
// reference has a larger relative error, and never finer than tiny, under which
// the gradient's factors leave float32's range (1e-38, after a mean over 600).
func closeTo(t *testing.T, what string, ours []float32, reference []float64, slack func(i int) float64) {
	t.Helper()
	const relativeTolerance, tiny = 1e-5, 1e-33
	if len(ours) != len(reference) {
		t.Fatalf("%s: %d values of ours against %d", what, len(ours), len(reference))
	}
	worst := 0.0
	for i, want := range reference {
		allowed := relativeTolerance
		if slack != nil {
			allowed += slack(i)
		}
		apart := math.Abs(float64(ours[i]) - want)
		if !(apart <= allowed*math.Abs(want)+tiny) {
			t.Errorf("%s, element %d: %v against %v, apart by %.2g of it, want at most %.2g", what, i, ours[i], want, apart/math.Abs(want), allowed)
			return
		}
		worst = max(worst, apart/(math.Abs(want)+1e3*tiny))
	}
	t.Logf("%s: apart by at most %.2g of the value", what, worst)
}

// runFocal returns our graph's loss of each element and the derivative of the
// mean loss times the number of elements, which is that element's own.
func runFocal(t *testing.T, p focal.Params, e elements) (loss, gradient []float32) {
	t.Helper()
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	logits := op.Placeholder(s.SubScope("logits"), tf.Float, op.PlaceholderShape(tf.ScalarShape()))
	labels := op.Placeholder(s.SubScope("labels"), tf.Float, op.PlaceholderShape(tf.ScalarShape()))
	one := p.Loss(s.SubScope("one"), logits, labels)
	manyLogits := op.Placeholder(s.SubScope("many_logits"), tf.Float, op.PlaceholderShape(tf.MakeShape(int64(len(e.Logits)))))
	manyLabels := op.Placeholder(s.SubScope("many_labels"), tf.Float, op.PlaceholderShape(tf.MakeShape(int64(len(e.Labels)))))
	mean := p.Loss(s.SubScope("mean"), manyLogits, manyLabels)
	must(t, s.Err())
	derivative, err := g.AddGradients("", []tf.Output{mean}, []tf.Output{manyLogits}, nil)
	must(t, err)
	sess, err := tf.NewSession(g, nil)
	must(t, err)
	defer func() { must(t, sess.Close()) }()

	feed := func(x any) *tf.Tensor {
		tensor, err := tf.NewTensor(x)
		must(t, err)
		return tensor
	}
	logits32, labels32 := make([]float32, len(e.Logits)), make([]float32, len(e.Labels))
	for i := range e.Logits {
		logits32[i], labels32[i] = float32(e.Logits[i]), float32(e.Labels[i])
		got, err := sess.Run(map[tf.Output]*tf.Tensor{logits: feed(logits32[i]), labels: feed(labels32[i])}, []tf.Output{one}, nil)
		must(t, err)
		loss = append(loss, got[0].Value().(float32))
	}
	got, err := sess.Run(map[tf.Output]*tf.Tensor{manyLogits: feed(logits32), manyLabels: feed(labels32)}, []tf.Output{mean, derivative[0]}, nil)
	must(t, err)
	sum := 0.0
	for _, l := range loss {
		sum += float64(l)
	}
	if average := sum / float64(len(loss)); math.Abs(average-float64(got[0].Value().(float32))) > 1e-5*average {
		t.Errorf("the loss of all elements is %v, the mean of their losses %v", got[0].Value(), average)
	}
	gradient = got[1].Value().([]float32)
	for i := range gradient {
		gradient[i] *= float32(len(gradient))
	}
	return loss, gradient
}

// TestPosterior finds, from loss values alone and in 50-digit decimals, the
// logit that minimises the loss for a label; Posterior of it must be the label.
func TestPosterior(t *testing.T) {
	type point struct {
		Label string `json:"label"`
		Alpha string `json:"alpha"`
		Gamma string `json:"gamma"`
	}
	question := struct {
		Jobs     []int   `json:"jobs"`
		Minimise []point `json:"minimise"`
	}{Jobs: []int{}}
	for _, label := range []string{"0.001", "0.01", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99", "0.999"} {
		for _, alpha := range []string{"0.1", "0.25", "0.5", "0.75", "0.9"} {
			for _, gamma := range []string{"0", "0.5", "1", "2", "5"} {
				question.Minimise = append(question.Minimise, point{label, alpha, gamma})
			}
		}
	}
	var answer struct {
		Minimisers []string `json:"minimisers"`
	}
	ask(t, "focal.py", question, &answer)
	if len(answer.Minimisers) != len(question.Minimise) {
		t.Fatalf("%d minimisers for %d questions", len(answer.Minimisers), len(question.Minimise))
	}
	number := func(text string) float64 {
		t.Helper()
		x, ok := new(big.Float).SetString(text)
		if !ok {
			t.Fatalf("%q is no number", text)
		}
		f, _ := x.Float64()
		return f
	}
	worstTwin, worstGraph, worstInverse := 0.0, 0.0, 0.0
	for i, q := range question.Minimise {
		p := focal.Params{Alpha: number(q.Alpha), Gamma: number(q.Gamma)}
		label, logit := number(q.Label), number(answer.Minimisers[i])
		twin := math.Abs(p.PosteriorAt(logit) - label)
		graph := math.Abs(runPosterior(t, p, logit) - label)
		inverse := math.Abs(p.LogitFor(label) - logit)
		if !(twin <= 1e-12) || !(graph <= 1e-6) || !(inverse <= 1e-11) {
			t.Errorf("label %s, alpha %s, gamma %s, minimiser %s: PosteriorAt misses the label by %.2g (want 1e-12), Posterior by %.2g (want 1e-6), LogitFor the minimiser by %.2g (want 1e-11)",
				q.Label, q.Alpha, q.Gamma, answer.Minimisers[i], twin, graph, inverse)
		}
		worstTwin, worstGraph, worstInverse = max(worstTwin, twin), max(worstGraph, graph), max(worstInverse, inverse)
	}
	t.Logf("%d minimisers: PosteriorAt off by at most %.2g, Posterior by %.2g, LogitFor by %.2g", len(question.Minimise), worstTwin, worstGraph, worstInverse)
}

func runPosterior(t *testing.T, p focal.Params, logit float64) float64 {
	t.Helper()
	s := op.NewScope()
	fraction := p.Posterior(s, op.Const(s.SubScope("logit"), float32(logit)))
	g, err := s.Finalize()
	must(t, err)
	sess, err := tf.NewSession(g, nil)
	must(t, err)
	defer func() { must(t, sess.Close()) }()
	got, err := sess.Run(nil, []tf.Output{fraction}, nil)
	must(t, err)
	return float64(got[0].Value().(float32))
}
