//go:build parity

package parity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/graphtest"
	"galaxy/labels"
	"galaxy/train/objective"
)

// TestObjectives compares loss, gradient and probabilities of every head with every loss that
// goes with it with the same in Keras, in float64; objective.py has the losses.
func TestObjectives(t *testing.T) {
	type job struct {
		objective.Config
		Logits [][]float64 `json:"logits"`
		Labels [][]float64 `json:"labels"`
	}
	rng := rand.New(rand.NewPCG(11, 0))
	var question struct {
		Jobs []job `json:"jobs"`
	}
	for _, c := range objectives(rng) {
		j, target := job{Config: c}, c.Head.Target(labels.GalaxyZoo())
		for range 7 {
			var logits []float64
			for range target.Width() {
				logits = append(logits, f32(4*rng.NormFloat64()))
			}
			j.Logits, j.Labels = append(j.Logits, logits), append(j.Labels, drawLabel(t, rng, target))
		}
		question.Jobs = append(question.Jobs, j)
	}
	var answer struct {
		Jobs []*struct {
			Loss                    float64
			Gradient, Probabilities [][]float64
		}
	}
	ask(t, "objective.py", question, &answer)
	for i, j := range question.Jobs {
		t.Run(fmt.Sprintf("%s,%s,%d", j.Head, j.Loss, i), func(t *testing.T) {
			want := answer.Jobs[i]
			if want == nil {
				t.Skipf("objective.py does not have the loss %s", j.Loss)
			}
			o, err := objective.New(j.Config, labels.GalaxyZoo())
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
			if value := graphtest.Floats(t, got[0])[0]; !(math.Abs(value-want.Loss) <= 1e-6*want.Loss) {
				t.Errorf("loss %v, Keras %v", value, want.Loss)
			}
			limit := 1e-6
			switch {
			case j.Head == objective.Tree && j.Loss == objective.MSE:
				limit = 4e-6 // products of up to nine fractions, whose errors add up, and then differences of them
			case j.Loss == objective.MSE:
				limit = 2e-6 // differences of fractions, times fractions
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
			if j.Smoothing == 0 && want.Probabilities != nil { // Keras leaves smoothing in its probabilities
				near("probabilities", graphtest.Floats(t, got[2]), flat(want.Probabilities))
			}
		})
	}
}

// objectives is every head with every loss that goes with it: plain, and with weights and, where
// the loss takes it, label smoothing.
func objectives(rng *rand.Rand) []objective.Config {
	var all []objective.Config
	for _, head := range objective.Heads() {
		for _, loss := range objective.Losses() {
			plain := objective.Default(head, loss)
			if plain.Validate(labels.GalaxyZoo()) != nil {
				continue // a loss of independent columns with another head
			}
			other := plain
			for range head.ClassWeights(labels.GalaxyZoo()) {
				other.Weights = append(other.Weights, f32(0.5+rng.Float64()))
			}
			if other.Smoothing = 0.1; other.Validate(labels.GalaxyZoo()) != nil {
				other.Smoothing = 0
			}
			all = append(all, plain, other)
		}
	}
	return all
}

// drawLabel draws the label of a galaxy: fractions that obey the sum rules, or
// one of the classes.
func drawLabel(t *testing.T, rng *rand.Rand, target *labels.Schema) []float64 {
	t.Helper()
	row := make([]float32, target.Width())
	if target.Derived() {
		row[rng.IntN(len(row))] = 1
	} else {
		for i := range row {
			row[i] = float32(math.Pow(rng.Float64(), 3))
		}
		must(t, target.Project(row))
	}
	label := make([]float64, len(row))
	for i, v := range row {
		label[i] = float64(v)
	}
	return label
}
