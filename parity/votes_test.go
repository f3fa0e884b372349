//go:build parity

package parity

import (
	"math"
	"math/rand/v2"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/graphtest"
	"galaxy/labels"
	"galaxy/train/objective"
	"galaxy/train/votes"
)

// TestVotes compares the losses of vote counts with SciPy's distributions, their gradients with those of
// TensorFlow's Python in float64, and the predicted intervals of the counts with SciPy's; votes.py has them.
func TestVotes(t *testing.T) {
	schema, err := labels.GalaxyZoo().With(labels.Counts)
	must(t, err)
	type job struct {
		Loss   objective.Loss `json:"loss"`
		Least  float64        `json:"least"`
		Logits [][]float64    `json:"logits"`
		Votes  [][]float64    `json:"votes"`
	}
	var question struct {
		Questions []int `json:"questions"`
		Jobs      []job `json:"jobs"`
	}
	for _, q := range schema.Questions() {
		question.Questions = append(question.Questions, len(q.Answers))
	}
	rng := rand.New(rand.NewPCG(12, 0))
	for _, losses := range []job{{Loss: objective.Dirichlet, Least: 1}, {Loss: objective.Dirichlet, Least: 0.05}, {Loss: objective.CrossEntropy}} {
		for _, most := range []int{1, 10, 80, 5000} {
			j := losses
			for range 5 {
				var logits, row []float64
				for range schema.Width() {
					logits, row = append(logits, f32(3*rng.NormFloat64())), append(row, float64(rng.IntN(most+1)))
				}
				clear(row[3:5]) // a question without votes
				j.Logits, j.Votes = append(j.Logits, logits), append(j.Votes, row)
			}
			question.Jobs = append(question.Jobs, j)
		}
	}
	var answer struct {
		Jobs []struct {
			Loss     float64
			Gradient [][]float64
			Inside   [][]*float64
		}
	}
	ask(t, "votes.py", question, &answer)
	for i, j := range question.Jobs {
		want := answer.Jobs[i]
		config := objective.Default(objective.Tree, j.Loss)
		if j.Least != 0 {
			config.SetConstant("least_concentration", j.Least)
		}
		o, err := objective.New(config, schema)
		must(t, err)
		s := op.NewScope()
		shape := []int64{int64(len(j.Logits)), int64(o.Outputs())}
		input := func(name string) tf.Output {
			return op.Placeholder(s.SubScope(name), tf.Float, op.PlaceholderShape(tf.MakeShape(shape...)))
		}
		logits, counts := input("logits"), input("votes")
		loss := o.Loss(s, logits, counts)
		must(t, s.Err())
		gradient := op.Gradients(s, []tf.Output{loss}, []tf.Output{logits})[0]
		got := graphtest.Run(t, graphtest.Finalize(t, s), graphtest.Feeds{
			logits: graphtest.Float32(t, flat(j.Logits), shape...), counts: graphtest.Float32(t, flat(j.Votes), shape...),
		}, loss, gradient)
		if value := graphtest.Floats(t, got[0])[0]; !(math.Abs(value-want.Loss) <= 1e-6*want.Loss) {
			t.Errorf("%s: loss %v, SciPy's %v", j.Loss, value, want.Loss)
		}
		apart, err := farthest(graphtest.Floats(t, got[1]), flat(want.Gradient))
		must(t, err)
		if relative := apart / largest(flat(want.Gradient)); !(relative <= 1e-6) {
			t.Errorf("%s: the gradient is %.2g of the largest away from TensorFlow's", j.Loss, relative)
		}
		worst := 0.0
		for row := range j.Votes {
			worst = max(worst, insideApart(t, o, schema, j.Logits[row], j.Votes[row], want.Inside[row]))
		}
		if !(worst <= 1e-5) { // the fractions are float32
			t.Errorf("%s: a count is inside by %.2g more or less than SciPy's intervals say", j.Loss, worst)
		}
		t.Logf("%s: gradient apart by %.2g, inside by %.2g", j.Loss, apart/largest(flat(want.Gradient)), worst)
	}
}

// insideApart compares how far the counts of one galaxy are inside the 90 % intervals.
func insideApart(t *testing.T, o *objective.Objective, schema *labels.Schema, logits, counts []float64, want []*float64) (worst float64) {
	t.Helper()
	var x []float32
	for _, v := range logits {
		x = append(x, float32(v))
	}
	p, spread := o.PosteriorOf(x), o.Spread(x)
	for i, q := range schema.Questions() {
		d, n := votes.Distribution{Spread: spread[i]}, 0.0
		for j := range q.Answers {
			d.Fractions, n = append(d.Fractions, float64(p[q.First+j])), n+counts[q.First+j]
		}
		for j := range q.Answers {
			switch judged := want[q.First+j]; {
			case (judged == nil) != (n == 0):
				t.Errorf("question %d has %v votes, and SciPy's answer is %v", i+1, n, judged)
			case judged != nil:
				worst = max(worst, math.Abs(d.Place(j, counts[q.First+j], n).Within(0.9)-*judged))
			}
		}
	}
	return worst
}
