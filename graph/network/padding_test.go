package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/graph/session"
)

// windowTwin visits every output pixel of a window of this size and stride with its input
// pixels, by index in one image. The margin is half the window on all sides, or as TensorFlow
// describes SAME (tf.nn, "Notes on padding").
func windowTwin(image, size, stride int, padding Padding, visit func(in, out, tap int)) {
	places := (image + stride - 1) / stride
	before := max(0, (places-1)*stride+size-image) / 2
	if padding == Symmetric {
		before = (size - 1) / 2
	}
	for out := range places * places {
		for tap := range size * size {
			y, x := out/places*stride+tap/size-before, out%places*stride+tap%size-before
			if y >= 0 && x >= 0 && y < image && x < image {
				visit(y*image+x, out, tap)
			}
		}
	}
}

// The stem (its 7×7 convolution, ReLU and pooling) and the strided convolutions of the blocks,
// as variables and as constants, against sums and maxima in float64. The twin's maximum
// takes no margin at all, which is PyTorch's of −∞.
func TestPadding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(float32(r.NormFloat64()))
		}
		return values
	}
	for _, padding := range Paddings() {
		for _, size := range []int{1, 2, 5, 8} {
			for _, c := range []struct{ taps, stride int }{{7, 2}, {3, 2}, {1, 2}, {3, 1}, {1, 1}} {
				t.Run(fmt.Sprintf("%s, %d px, %d taps, stride %d", padding, size, c.taps, c.stride), func(t *testing.T) {
					s := tg.NewRoot()
					// Steps on smaller images have a size that is known only when the graph runs.
					x := session.Placeholder(s, "x", tf.Float, 1, -1, -1, 1)
					kernel := session.Placeholder(s, "kernel", tf.Float, int64(c.taps), int64(c.taps), 1, 1)
					y := Config{Precision: Float32, Padding: padding}.conv2D(s.SubScope("conv"), x, kernel, int64(c.stride))
					relu := op.Relu(s, x)
					ps := s.SubScope("pool")
					padded, how := padding.pad(ps, relu, int64(c.taps), int64(c.stride))
					pooled := op.MaxPool(ps, padded, []int64{1, int64(c.taps), int64(c.taps), 1}, []int64{1, int64(c.stride), int64(c.stride), 1}, how)
					g := graphtest.Finalize(t, s)
					xs, ks := random(size*size), random(c.taps*c.taps)
					got := graphtest.Run(t, g, graphtest.Feeds{
						x: graphtest.Float32(t, xs, 1, int64(size), int64(size), 1), kernel: graphtest.Float32(t, ks, int64(c.taps), int64(c.taps), 1, 1),
					}, y, pooled)
					places := (size + c.stride - 1) / c.stride
					sums, maxima := make([]float64, places*places), make([]float64, places*places)
					for i := range maxima {
						maxima[i] = math.Inf(-1)
					}
					windowTwin(size, c.taps, c.stride, padding, func(in, out, tap int) {
						sums[out] += xs[in] * ks[tap]
						maxima[out] = max(maxima[out], max(0, xs[in]))
					})
					for i, want := range [][]float64{sums, maxima} {
						found := graphtest.Floats(t, got[i])
						if len(found) != len(want) {
							t.Fatalf("%d pixels, expected %d", len(found), len(want))
						}
						for j := range want {
							if math.Abs(found[j]-want[j]) > 1e-5 {
								t.Errorf("%s: pixel %d is %v, expected %v", []string{"convolution", "pooling"}[i], j, found[j], want[j])
							}
						}
					}
				})
			}
		}
	}
}

// A network has the same variables, geometry and names with either padding, and its graph without
// one is as it was.
func TestPaddingKeepsShapes(t *testing.T) {
	for _, size := range []int{32, 33, 69} {
		cfg := testConfig(size, Float32)
		cfg.Arch = "resnet8"
		ops := map[Padding]map[string]int{}
		for _, cfg.Padding = range append(Paddings(), "") {
			s := tg.NewRoot()
			b := &Builder{Config: cfg, Params: NewVariables(s, "")}
			shape := cfg.Shape()
			n, err := Named(cfg.Arch)
			if err != nil {
				t.Fatal(err)
			}
			x, channels := n.features(b, s.SubScope("network"), session.Placeholder(s, "x", tf.Float, 1, int64(size), int64(size), int64(shape.Channels)))
			if got, want := fmt.Sprint(x.Shape()), fmt.Sprintf("[1, %d, %[1]d, %d]", n.FinalSize(size), channels); got != want {
				t.Errorf("%s, %d px: features %s, expected %s", cfg.Padding, size, got, want)
			}
			counts := map[string]int{}
			for _, o := range graphtest.Finalize(t, s).Operations() {
				counts[o.Type()]++
			}
			ops[cfg.Padding] = counts
		}
		if a, b := fmt.Sprint(ops[Same]), fmt.Sprint(ops[""]); a != b || ops[Same]["Pad"] != 0 {
			t.Errorf("same: %s; none: %s: expected the same ops without a Pad", a, b)
		}
		if pads := ops[Symmetric]["Pad"]; pads != 3 { // the stem, its pooling and stage 2
			t.Errorf("%d Pads, expected 3", pads)
		}
	}
	cfg := testConfig(32, Float32)
	cfg.Padding = Symmetric
	layers, err := FilterLayers(cfg, 4)
	if err != nil {
		t.Fatal(err)
	}
	strided := 0
	for _, l := range layers {
		if want := l.Stride == 2; (l.margin() == 1) != want {
			t.Errorf("%s: margin %d", l, l.margin())
		}
		if l.Stride == 2 {
			strided++
		}
	}
	if strided != 3 {
		t.Errorf("%d strided layers, expected 3", strided)
	}
}

// A strided layer of a symmetric network is measured under its own name.
func TestPaddedFilterLayerName(t *testing.T) {
	l := FilterLayer{Convolution{Taps: 3, Size: 8, In: 64, Filters: 128, Stride: 2}, Float32, Symmetric, 4}
	if got, want := l.String(), "float32 4x8x8x64 to 128 stride 2 symmetric"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	for _, p := range filterPrecisions() {
		l.precision = p
		if _, err := l.Fastest(session.Config{}); err != nil {
			t.Error(err)
		}
	}
	l.Stride = 1
	if got, want := l.String(), "float32 4x8x8x64 to 128 stride 1"; l.precision == Float32 && got != want {
		t.Errorf("%q, expected %q", got, want)
	}
}
