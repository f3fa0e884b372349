package graph

import (
	"math"
	"strings"
	"testing"

	"galaxy/data/imagefile"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
)

// needInt8 skips a test on machines that cannot compute in int8.
func needInt8(t *testing.T) {
	t.Helper()
	if !kernels.OneDNN() {
		t.Skip("only oneDNN has kernels for int8, and they are turned off")
	}
}

// Int8 keeps the logits near float32's.
func TestQuantizedIsNearFloat32(t *testing.T) {
	needInt8(t)
	t.Run("basic blocks", func(t *testing.T) { testQuantized(t, inFull(t), network.Same) })
	t.Run("bottlenecks", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short: with symmetric padding below")
		}
		testQuantized(t, bottlenecks, network.Same)
	})
	t.Run("symmetric", func(t *testing.T) { testQuantized(t, bottlenecks, network.Symmetric) })
}

func testQuantized(t *testing.T, arch string, padding network.Padding) {
	cfg := testTrainerConfig(64, 8)
	cfg.Model.Arch, cfg.Model.Padding = arch, padding
	cfg.Optimizer.ClipNorm = .1
	tr := newTestTrainer(t, cfg)
	images, labels := testBatch(cfg, 5)
	for i := range int64(4) {
		if _, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, LearningRate: .01}); err != nil {
			t.Fatal(err)
		}
	}
	weights, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	model := cfg.Model
	ranges, err := Calibrate(model, weights, images, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := network.Named(arch)
	if err != nil {
		t.Fatal(err)
	}
	convolutions, err := n.Convolutions(imagefile.Shape{Size: 64, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]int{small: 2, bottlenecks: 2, published: 8}[arch]
	// Each block has one range more, before its sum, and the stem has the range of the first
	// block's input.
	if want := len(convolutions) + blocks; len(ranges) != want {
		t.Errorf("%d ranges, expected %d", len(ranges), want)
	}
	predict := logitsOf(t, images)
	want, got := predict(NewInferenceGraph(model, sigmoid, weights)), predict(NewQuantizedGraph(model, sigmoid, weights, ranges))
	limit := .05
	if arch == published { // 20 convolutions round, in place of 6: 0.052 was seen on a CPU with AVX2
		limit = .075
	}
	if far := away(want, got); !(far < limit) || far == 0 {
		t.Errorf("logits of int8 are %.4f of their size away from float32's, expected at most %g, and more than 0", far, limit)
	}

	// The ranges of many images are the largest ranges of their parts.
	pixels := 64 * 64 * 3
	var many []byte
	for len(many) < calibrateBatch*pixels {
		many = append(many, images[:4*pixels]...)
	}
	all, err := Calibrate(model, weights, append(many, images[4*pixels:]...), session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range ranges {
		if math.Abs(float64(all[name]-r)) > 1e-4*float64(r) {
			t.Errorf("range of %s is %v in two batches, %v in one", name, all[name], r)
		}
	}

	for name, bad := range map[string]network.Ranges{"nothing": {}, "infinite": {"stem": float32(math.Inf(1))}} {
		if _, err := NewQuantizedGraph(model, sigmoid, weights, bad); err == nil || !strings.Contains(err.Error(), "expected a finite number") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Calibrate(model, weights, images[1:], session.Config{}); err == nil || !strings.Contains(err.Error(), "bytes of images") {
		t.Errorf("odd bytes: %v", err)
	}
}
