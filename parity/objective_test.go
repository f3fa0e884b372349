//go:build parity

package parity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/data"
	"galaxy/graph/graphtest"
	"galaxy/train/objective"
)

// TestObjectives compares loss, gradient and probabilities of the heads and
// losses beside focal loss, which has a test of its own, with Keras' own losses
// in float64.
func TestObjectives(t *testing.T) {
	type job struct {
		objective.Config
		Logits [][]float64 `json:"logits"`
		Labels [][]float64 `json:"labels"`
	}
	rng := rand.New(rand.NewPCG(11, 0))
	weights := func(n int) (w []float64) {
		for range n {
			w = append(w, f32(0.5+rng.Float64()))
		}
		return w
	}
	var question struct {
		Jobs []job `json:"jobs"`
	}
	for _, c := range []objective.Config{
		{Head: objective.Answers, Loss: objective.CrossEntropy},
		{Head: objective.Answers, Loss: objective.CrossEntropy, Smoothing: 0.1, Weights: weights(data.Answers)},
		{Head: objective.Answers, Loss: objective.MSE, Weights: weights(data.Answers)},
		{Head: objective.Tree, Loss: objective.CrossEntropy},
		{Head: objective.Tree, Loss: objective.CrossEntropy, Smoothing: 0.1, Weights: weights(data.Questions)},
		{Head: objective.Tree, Loss: objective.MSE},
		{Head: objective.Tree, Loss: objective.MSE, Weights: weights(data.Questions)},
		{Head: objective.Five, Loss: objective.CrossEntropy, Smoothing: 0.1},
		{Head: objective.Five, Loss: objective.CrossEntropy, Weights: weights(data.CleanClasses)},
		{Head: objective.Five, Loss: objective.MSE, Weights: weights(data.CleanClasses)},
	} {
		j := job{Config: c}
		for range 7 {
			var logits []float64
			for range c.Target().Width() {
				logits = append(logits, f32(4*rng.NormFloat64()))
			}
			j.Logits, j.Labels = append(j.Logits, logits), append(j.Labels, drawLabel(t, rng, c.Target()))
		}
		question.Jobs = append(question.Jobs, j)
	}
	var answer struct {
		Jobs []struct {
			Loss                    float64
			Gradient, Probabilities [][]float64
		}
	}
	ask(t, "objective.py", question, &answer)
	for i, j := range question.Jobs {
		t.Run(fmt.Sprintf("%s,%s,%d", j.Head, j.Loss, i), func(t *testing.T) {
			o, err := objective.New(j.Config)
			must(t, err)
			s := op.NewScope()
			shape := []int64{int64(len(j.Logits)), int64(o.Outputs())}
			input := func(name string) tf.Output {
				return op.Placeholder(s.SubScope(name), tf.Float, op.PlaceholderShape(tf.MakeShape(shape...)))
			}
			logits, labels := input("logits"), input("labels")
			loss, probabilities := o.Loss(s, logits, labels), o.Posterior(s, logits)
			must(t, s.Err())
			gradient := op.Gradients(s, []tf.Output{loss}, []tf.Output{logits})[0]
			got := graphtest.Run(t, graphtest.Finalize(t, s), graphtest.Feeds{
				logits: graphtest.Float32(t, flat(j.Logits), shape...), labels: graphtest.Float32(t, flat(j.Labels), shape...),
			}, loss, gradient, probabilities)
			want := answer.Jobs[i]
			if value := graphtest.Floats(t, got[0])[0]; !(math.Abs(value-want.Loss) <= 1e-6*want.Loss) {
				t.Errorf("loss %v, Keras %v", value, want.Loss)
			}
			limit := 1e-6
			if j.Head == objective.Tree && j.Loss == objective.MSE {
				limit = 4e-6 // products of up to nine fractions, whose errors add up, and then differences of them
			}
			near := func(what string, ours, keras []float64) {
				t.Helper()
				apart, err := farthest(ours, keras)
				must(t, err)
				if !(apart <= limit*largest(keras)) {
					t.Errorf("%s is %.2g of the largest away from Keras'", what, apart/largest(keras))
				}
				t.Logf("%s: apart by %.2g of the largest", what, apart/largest(keras))
			}
			near("gradient", graphtest.Floats(t, got[1]), flat(want.Gradient))
			if j.Smoothing == 0 { // which Keras leaves in its probabilities
				near("probabilities", graphtest.Floats(t, got[2]), flat(want.Probabilities))
			}
		})
	}
}

// drawLabel draws the label of a galaxy: fractions that obey the sum rules, or
// one of the classes.
func drawLabel(t *testing.T, rng *rand.Rand, target data.Target) []float64 {
	t.Helper()
	row := make([]float32, target.Width())
	if target == data.Classes {
		row[rng.IntN(len(row))] = 1
	} else {
		for i := range row {
			row[i] = float32(math.Pow(rng.Float64(), 3))
		}
		must(t, data.ProjectTree(row))
	}
	label := make([]float64, len(row))
	for i, v := range row {
		label[i] = float64(v)
	}
	return label
}
