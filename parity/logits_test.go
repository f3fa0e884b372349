//go:build parity

package parity

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Tolerances; README.md says where they come from.
const (
	logitTolerance  = 2e-5 // of the largest logit: ours against Keras, float32
	roundingHeadway = 4    // our error against float64 over Keras' own
	roundingFloor   = 2e-6 // of the largest value: below this both are exact
)

// TestLogits compares every network with the one of Keras on the same weights, in
// inference mode and in training mode, and the moving averages of batch norm after one
// training step: the default one at even, odd and larger sizes.
func TestLogits(t *testing.T) {
	for _, arch := range network.Names() {
		t.Run(arch, func(t *testing.T) {
			sizes := []int{64, 69, 128}
			switch {
			case arch == "resnet101" && testing.Short():
				t.Skip("-short: it has the blocks of resnet50; graph/network's tests count them")
			case arch != network.Default:
				sizes = sizes[:1]
			case testing.Short():
				sizes = sizes[:2]
			}
			testLogits(t, arch, 3, sizes)
		})
	}
	for _, channels := range []int{1, 5} {
		t.Run(fmt.Sprintf("%d channels", channels), func(t *testing.T) { testLogits(t, "resnet6", channels, []int{64}) })
	}
}

func testLogits(t *testing.T, arch string, channels int, sizes []int) {
	const count = 4
	net, err := network.Named(arch)
	must(t, err)
	convolutions, err := net.Convolutions(imagefile.Shape{Size: sizes[0], Channels: channels})
	must(t, err)
	prefix := seasoned(t, arch, channels)

	type networkCase struct {
		Size   int    `json:"size"`
		Count  int    `json:"count"`
		Images string `json:"images"`
	}
	question := struct {
		Arch       string        `json:"arch"`
		Checkpoint string        `json:"checkpoint"`
		Mean       []float64     `json:"mean"`
		Std        []float64     `json:"std"`
		Cases      []networkCase `json:"cases"`
	}{Arch: arch, Checkpoint: prefix, Mean: channelMean[:channels], Std: channelStd[:channels]}
	pixels := map[int][]byte{}
	for _, size := range sizes {
		pixels[size] = randomImages(rand.New(rand.NewPCG(uint64(size), 1)), count, size, channels)
		question.Cases = append(question.Cases, networkCase{Size: size, Count: count, Images: writeFile(t, pixels[size])})
	}
	var answer struct {
		Cases []struct {
			Size        int                  `json:"size"`
			Inference   [][]float64          `json:"inference"`
			Training    [][]float64          `json:"training"`
			Moving      map[string][]float64 `json:"moving"`
			Inference64 [][]float64          `json:"inference64"`
			Training64  [][]float64          `json:"training64"`
			Moving64    map[string][]float64 `json:"moving64"`
		} `json:"cases"`
	}
	ask(t, "logits.py", question, &answer)

	for _, keras := range answer.Cases {
		t.Run(fmt.Sprintf("%dpx", keras.Size), func(t *testing.T) {
			ours := runNetwork(t, arch, prefix, pixels[keras.Size], count, keras.Size, channels)
			compare(t, "inference logits", ours.inference, flat(keras.Inference), flat(keras.Inference64))
			compare(t, "training logits", ours.training, flat(keras.Training), flat(keras.Training64))
			averages := 0
			for name, values := range ours.moving {
				compare(t, name, values, keras.Moving[name], keras.Moving64[name])
				averages++
			}
			if want := 2 * len(convolutions); averages != want || len(keras.Moving) != want {
				t.Errorf("%d moving averages of ours, %d of Keras: expected %d, two for each convolution", averages, len(keras.Moving), want)
			}
		})
	}
}

type networkRun struct {
	inference, training []float32 // [count, 37]
	moving              map[string][]float32
}

// runNetwork runs our network with the weights at prefix on images.
//
// A Trainer shows its logits in inference mode only. Those of training mode are
// read off the head's bias: with the loss ½·Σ labels·logits², whose gradient
// with respect to the bias is Σ over examples of labels·logits, one plain step
// of rate 1 from a zeroed bias's point of view moves it by −logits of the one
// example whose labels are 1. So this checks the gradient's way back as well.
func runNetwork(t *testing.T, arch, prefix string, images []byte, count, size, channels int) networkRun {
	t.Helper()
	half := func(s *op.Scope, logits, labels tf.Output) tf.Output {
		s = s.SubScope("half_squares")
		squares := op.Mul(s.SubScope("weigh"), labels, op.Square(s.SubScope("square"), logits))
		sum := op.Sum(s.SubScope("sum"), squares, op.Const(s.SubScope("axes"), []int32{0, 1}))
		return op.Mul(s.SubScope("half"), sum, op.Const(s.SubScope("factor"), float32(0.5)))
	}
	trainer := newTrainer(t, arch, size, channels, count, half, graph.Optimizer{Kind: graph.SGD})
	run := networkRun{moving: map[string][]float32{}}
	must(t, trainer.Init(0))
	tensors, err := session.ReadBundle(prefix, trainer.Loads)
	must(t, err)
	weights := network.Weights{}
	for name, tensor := range tensors {
		weights[name] = tensor.Values
	}
	for example := range count {
		must(t, trainer.LoadModel(weights))
		before, err := trainer.Weights()
		must(t, err)
		if example == 0 {
			run.inference, _, err = trainer.Predict(images)
			must(t, err)
		}
		labels := make([]float32, count*outputs)
		for i := range outputs {
			labels[example*outputs+i] = 1
		}
		_, err = trainer.Step(graph.StepInput{Batch: graph.Batch{Images: images, Labels: labels}, LearningRate: 1})
		must(t, err)
		after, err := trainer.Weights()
		must(t, err)
		for i := range outputs {
			run.training = append(run.training, before["head/bias"][i]-after["head/bias"][i])
		}
		for name, values := range after {
			if strings.Contains(name, "/moving_") {
				run.moving[name] = values
			}
		}
	}
	return run
}

// compare checks values against Keras' float32 and float64 results.
func compare(t *testing.T, what string, ours []float32, keras32, keras64 []float64) {
	t.Helper()
	scale := largest(keras64)
	apart, err := farthest(ours, keras32)
	if err != nil {
		t.Errorf("%s: ours against Keras: %v", what, err)
		return
	}
	if apart > logitTolerance*scale {
		t.Errorf("%s: ours and Keras differ by %.3g, want at most %.3g (%.0e of the largest, %.3g)", what, apart, logitTolerance*scale, logitTolerance, scale)
	}
	error64, err := farthest(ours, keras64)
	if err != nil {
		t.Errorf("%s: ours against Keras in float64: %v", what, err)
		return
	}
	keras, err := farthest(keras32, keras64)
	if err != nil {
		t.Errorf("%s: Keras against itself in float64: %v", what, err)
		return
	}
	if allowed := max(roundingHeadway*keras, roundingFloor*scale); error64 > allowed {
		t.Errorf("%s: our rounding error is %.3g, Keras' is %.3g: want at most %.3g", what, error64, keras, allowed)
	}
	if strings.HasSuffix(what, "logits") {
		t.Logf("%s up to %.3g: ours-Keras %.2g, ours-float64 %.2g, Keras-float64 %.2g", what, scale, apart, error64, keras)
	}
}
