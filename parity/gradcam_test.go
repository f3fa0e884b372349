//go:build parity

package parity

import (
	"math/rand/v2"
	"testing"

	"galaxy/explain"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// TestGradCAM compares features and Grad-CAM maps with those of Keras' GradientTape.
func TestGradCAM(t *testing.T) {
	const arch, size, count = "resnet6", 64, 4
	prefix := seasoned(t, arch, 3)
	pixels := randomImages(rand.New(rand.NewPCG(5, 1)), count, size, 3)
	question := struct {
		Arch       string    `json:"arch"`
		Checkpoint string    `json:"checkpoint"`
		Mean       []float64 `json:"mean"`
		Std        []float64 `json:"std"`
		Size       int       `json:"size"`
		Images     string    `json:"images"`
		Selected   []int     `json:"selected"`
	}{arch, prefix, channelMean[:3], channelStd[:3], size, writeFile(t, pixels), []int{0, 36, 7, 7}}
	var keras struct {
		Maps     [][]float64 `json:"maps"`
		Features [][]float64 `json:"features"`
	}
	ask(t, "gradcam.py", question, &keras)

	g, err := graph.NewInferenceGraph(network.Config{
		Arch: arch, Size: size, Outputs: outputs, Precision: network.Float32, Mean: channelMean[:3], Std: channelStd[:3],
	}, focal.Default().Posterior, nil)
	must(t, err)
	inference, err := g.Open(session.Config{})
	must(t, err)
	defer inference.Close()
	must(t, inference.Restore(prefix))
	model, err := explain.New(inference)
	must(t, err)
	maps, err := model.GradCAM(pixels, question.Selected)
	must(t, err)
	features, err := model.Features(pixels)
	must(t, err)
	for i := range count {
		near(t, "map", maps[i], keras.Maps[i])
	}
	near(t, "features", features, flat(keras.Features))
}

func near(t *testing.T, what string, ours []float32, keras []float64) {
	t.Helper()
	scale := largest(keras)
	apart, err := farthest(ours, keras)
	must(t, err)
	if scale == 0 || apart > logitTolerance*scale {
		t.Errorf("%s: ours and Keras' differ by %.3g, want at most %.3g of the largest, %.3g", what, apart, logitTolerance, scale)
	}
}
