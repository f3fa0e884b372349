//go:build parity

package parity

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph"
	"galaxy/graph/graphtest"
	"galaxy/graph/network"
	"galaxy/train/objective"
)

// TestPairs compares the loss of two views, its gradient, and what shows a collapse, with NumPy and
// Keras in float64, and the gradient of a network with a projector with that of a Keras network.
func TestPairs(t *testing.T) {
	type job struct {
		First  [][]float64 `json:"first"`
		Second [][]float64 `json:"second"`
	}
	type step struct {
		Start    string    `json:"start"`
		Finish   string    `json:"finish"`
		Arch     string    `json:"arch"`
		Size     int       `json:"size"`
		Mean     []float64 `json:"mean"`
		Std      []float64 `json:"std"`
		Images   string    `json:"images"`
		Examples int       `json:"examples"`
		Width    int       `json:"width"`
		Layers   int       `json:"layers"`
		Rate     float64   `json:"rate"`
	}
	const size, examples, rate = 32, 8, 100
	question := struct {
		Loss    objective.Pairs `json:"loss"`
		Jobs    []job           `json:"jobs"`
		Network step            `json:"network"`
	}{Loss: objective.DefaultPairs()}
	rng := rand.New(rand.NewPCG(3, 1))
	for _, shape := range [][2]int{{9, 4}, {5, 12}, {2, 2}} {
		var j job
		for range shape[0] {
			var first, second []float64
			for range shape[1] {
				x := .8 * rng.NormFloat64()
				first, second = append(first, f32(x+.5)), append(second, f32(x+.3*rng.NormFloat64()))
			}
			j.First, j.Second = append(j.First, first), append(j.Second, second)
		}
		question.Jobs = append(question.Jobs, j)
	}

	pixels, folder := randomImages(rng, examples, size, 3), t.TempDir()
	question.Network = step{
		Start: filepath.Join(folder, "start"), Finish: filepath.Join(folder, "finish"), Arch: "resnet6", Size: size, Mean: channelMean[:3], Std: channelStd[:3],
		Images: writeFile(t, pixels), Examples: examples, Width: 6, Layers: 3, Rate: rate,
	}
	trainer, err := graph.NewTrainer(graph.TrainerConfig{
		Model: network.Config{
			Arch: "resnet6", Size: size, Outputs: 6, Projector: network.Projector{Width: 6, Layers: 3}, Precision: network.Float32, Mean: channelMean[:3], Std: channelStd[:3],
		},
		Pairs: true, Loss: question.Loss.Graph, Optimizer: graph.Optimizer{Kind: graph.SGD}, Batch: examples,
	})
	must(t, err)
	t.Cleanup(func() { must(t, trainer.Close()) })
	must(t, trainer.Init(5))
	must(t, trainer.Save(question.Network.Start))
	out, err := trainer.Step(graph.StepInput{Batch: graph.Batch{Images: pixels}, LearningRate: rate})
	must(t, err)
	must(t, trainer.Save(question.Network.Finish))

	var answer struct {
		Jobs []struct {
			Loss, Std, Rank float64
			First, Second   [][]float64
		}
		Network struct{ Loss, Gap, Worst, Norm float64 }
	}
	ask(t, "pairs.py", question, &answer)
	for i, j := range question.Jobs {
		want := answer.Jobs[i]
		shape := []int64{int64(len(j.First)), int64(len(j.First[0]))}
		s := op.NewScope()
		input := func(name string) tf.Output {
			return op.Placeholder(s.SubScope(name), tf.Float, op.PlaceholderShape(tf.MakeShape(shape...)))
		}
		first, second := input("first"), input("second")
		loss := question.Loss.Graph(s, first, second)
		gradients := op.Gradients(s, []tf.Output{loss}, []tf.Output{first, second})
		got := graphtest.Run(t, graphtest.Finalize(t, s), graphtest.Feeds{
			first: graphtest.Float32(t, flat(j.First), shape...), second: graphtest.Float32(t, flat(j.Second), shape...),
		}, append(gradients, loss)...)
		if value := graphtest.Floats(t, got[2])[0]; math.Abs(value-want.Loss) > 2e-6*want.Loss {
			t.Errorf("%v: loss %v, Keras %v", shape, value, want.Loss)
		}
		for k, keras := range [][][]float64{want.First, want.Second} {
			gap, err := farthest(graphtest.Floats(t, got[k]), flat(keras))
			must(t, err)
			t.Logf("%v: gradients of view %d at most %.2g apart", shape, k+1, gap)
			if gap > 1e-5 {
				t.Errorf("%v: gradients of view %d are %v apart", shape, k+1, gap)
			}
		}
		scores, err := question.Loss.Scores(floats32(flat(j.First)), floats32(flat(j.Second)), int(shape[1]))
		must(t, err)
		if math.Abs(scores.Loss-want.Loss) > 1e-9*want.Loss || math.Abs(scores.Std-want.Std) > 1e-9 || math.Abs(scores.Rank-want.Rank) > 1e-6 {
			t.Errorf("%v: scores %+v, NumPy's loss %v, std %v, rank %v", shape, scores, want.Loss, want.Std, want.Rank)
		}
	}
	n := answer.Network
	t.Logf("network: loss %v, Keras %v; gradients %.2g apart of their norm, of one variable %.2g", out.Loss, n.Loss, n.Gap, n.Worst)
	if math.Abs(out.Loss-n.Loss) > 1e-5*n.Loss || math.Abs(out.GradientNorm-n.Norm) > 1e-4*n.Norm || n.Gap > 1e-4 {
		t.Errorf("loss %v and gradient norm %v, Keras %v and %v; gradients %v apart", out.Loss, out.GradientNorm, n.Loss, n.Norm, n.Gap)
	}
}

func floats32(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}
