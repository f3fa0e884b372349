package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/graph/session"
)

// eachTap visits every pixel of the output of a 3×3 convolution with every
// pixel of the input under a tap, each by its index in a batch of n.
func eachTap(n, size, stride int, padding Padding, visit func(in, out, tap int)) {
	places := (size + stride - 1) / stride
	before := max(0, (places-1)*stride+3-size) / 2
	if padding == Symmetric {
		before = 1
	}
	for i := range n {
		for row := range places {
			for column := range places {
				for tap := range 9 {
					y, x := row*stride+tap/3-before, column*stride+tap%3-before
					if y >= 0 && x >= 0 && y < size && x < size {
						visit((i*size+y)*size+x, (i*places+row)*places+column, tap)
					}
				}
			}
		}
	}
}

// filterTwin is the reference gradient of a 3×3 kernel in float64:
// for every pixel of the output, the pixel of the input under each tap times the
// output's gradient.
func filterTwin(x, dy []float64, n, size, in, out, stride int, padding Padding) []float64 {
	sums := make([]float64, 9*in*out)
	eachTap(n, size, stride, padding, func(from, to, tap int) {
		for a := range in {
			for b := range out {
				sums[(tap*in+a)*out+b] += x[from*in+a] * dy[to*out+b]
			}
		}
	})
	return sums
}

// A convolution and both its gradients, built as in the network, round each value once:
// sums are float32 in every precision, with every set of kernels. Small whole numbers show
// it: every product is exact, and no sum above 256 (bfloat16) or 2048 (float16) is.
func TestConvolutionsRoundOnce(t *testing.T) {
	const n, size, in, filters = 4, 12, 64, 6
	for _, p := range []Precision{Float32, BFloat16, Float16} {
		for _, c := range []struct {
			stride  int64
			padding Padding
		}{{1, Same}, {2, Same}, {1, Symmetric}, {2, Symmetric}} {
			stride, padding := c.stride, c.padding
			t.Run(fmt.Sprintf("%s, stride %d, %s", p, stride, padding), func(t *testing.T) {
				places := (size + stride - 1) / stride
				cfg := Config{Precision: p, Emulated: p.Emulated(false), Padding: padding}
				s := tg.NewRoot()
				x := session.Placeholder(s, "x", tf.Float, n, size, size, in)
				weight := session.Placeholder(s, "weight", tf.Float, n, places, places, filters) // is the gradient of the output
				kernel := session.Placeholder(s, "kernel", tf.Float, 3, 3, in, filters)
				y := cfg.conv2D(s.SubScope("conv"), cfg.cast(s.SubScope("x"), x), kernel, stride)
				sum := op.Sum(s, op.Mul(s, tg.Cast(s, y, tf.Float), weight), tg.Const(s, []int32{0, 1, 2, 3}))
				gradients := op.Gradients(s.SubScope("backward"), []tf.Output{sum}, []tf.Output{x, kernel})
				out := tg.Cast(s.SubScope("out"), y, tf.Float)
				g := graphtest.Finalize(t, s)
				r := rand.New(rand.NewPCG(7, uint64(stride)))
				whole := func(n int64) []float64 {
					values := make([]float64, n)
					for i := range values {
						values[i] = float64(r.IntN(4))
					}
					return values
				}
				xs, dys, ks := whole(n*size*size*in), whole(n*places*places*filters), whole(9*in*filters)
				got := graphtest.Run(t, g, graphtest.Feeds{
					x: graphtest.Float32(t, xs, n, size, size, in), weight: graphtest.Float32(t, dys, n, places, places, filters),
					kernel: graphtest.Float32(t, ks, 3, 3, in, filters),
				}, out, gradients[0], gradients[1])
				ys, dxs := convolutionTwin(xs, ks, dys, n, size, in, filters, int(stride), padding)
				unit := map[Precision]float64{Float32: 0, BFloat16: 1. / 256, Float16: 1. / 2048}[p]
				for i, want := range [][]float64{ys, dxs, filterTwin(xs, dys, n, size, in, filters, int(stride), padding)} {
					for j, found := range graphtest.Floats(t, got[i]) {
						if !(math.Abs(found-want[j]) <= unit*want[j]) {
							t.Fatalf("%s: element %d is %v, expected %v", []string{"output", "gradient of the input", "gradient of the kernel"}[i], j, found, want[j])
						}
					}
				}
			})
		}
	}
}

// convolutionTwin computes a 3×3 convolution in float64, and the
// gradient of its input from dy, the gradient of its output.
func convolutionTwin(x, kernel, dy []float64, n, size, in, out, stride int, padding Padding) (y, dx []float64) {
	y, dx = make([]float64, len(dy)), make([]float64, len(x))
	eachTap(n, size, stride, padding, func(from, to, tap int) {
		for a := range in {
			for b := range out {
				k := kernel[(tap*in+a)*out+b]
				y[to*out+b] += x[from*in+a] * k
				dx[from*in+a] += dy[to*out+b] * k
			}
		}
	})
	return y, dx
}

// filterPrecisions returns this machine's precisions for which there is a choice of
// algorithms.
func filterPrecisions() []Precision {
	return slices.DeleteFunc([]Precision{Float32, BFloat16}, func(p Precision) bool { return p.Emulated(false) })
}

func TestFilterGradients(t *testing.T) {
	for _, p := range filterPrecisions() {
		testFilterGradients(t, p)
	}
}

func testFilterGradients(t *testing.T, p Precision) {
	const n, filters = 64, 5
	for _, c := range []struct {
		algorithm        FilterAlgorithm
		in, size, stride int64
		padding          Padding
	}{
		{Im2Col, 8, 2, 1, ""}, {Im2Col, 8, 4, 1, ""}, {Im2Col, 8, 1, 1, ""}, {Im2Col, 8, 3, 1, ""}, {Im2Col, 8, 9, 1, Symmetric},
		{Im2Col, 8, 4, 2, ""}, {Im2Col, 8, 8, 2, ""}, {Im2Col, 8, 5, 2, ""}, {Im2Col, 8, 2, 2, ""},
		{Im2Col, 8, 4, 2, Symmetric}, {Im2Col, 8, 5, 2, Symmetric}, {Im2Col, 8, 1, 2, Symmetric},
		{ShiftedMatMul, 256, 8, 1, ""}, {ShiftedMatMul, 8, 5, 1, Symmetric}, {ShiftedMatMul, 8, 1, 1, ""},
		{ConvolutionOp, 8, 5, 1, ""}, {ConvolutionOp, 8, 5, 2, ""}, {ConvolutionOp, 8, 6, 2, Symmetric},
	} {
		l := FilterLayer{Convolution{Kernel: "kernel", Taps: 3, Size: c.size, In: c.in, Filters: filters, Stride: c.stride}, p, c.padding, n}
		t.Run(fmt.Sprintf("%s, %s", l, c.algorithm), func(t *testing.T) {
			in, size, places := l.In, l.Size, l.OutputSize()
			g := tf.NewGraph()
			s := op.NewScopeWithGraph(g)
			// The sizes are known only when the graph runs.
			x := session.Placeholder(s, "x", tf.Float, n, -1, -1, in)
			weight := session.Placeholder(s, "weight", tf.Float, n, -1, -1, filters) // is the gradient of the output
			kernel := session.Placeholder(s, "kernel", tf.Float, 3, 3, in, filters)
			cast := func(name string, v tf.Output) tf.Output { return tg.Cast(s.SubScope(name), v, p.dtype()) }
			y := c.padding.conv2D(s, cast("x16", x), cast("kernel16", kernel), l.Stride)
			sum := op.Sum(s, op.Mul(s, y, cast("weight16", weight)), tg.Const(s, []int32{0, 1, 2, 3}))
			plain := op.Gradients(s.SubScope("backward"), []tf.Output{tg.Cast(s.SubScope("sum"), sum, tf.Float)}, []tf.Output{kernel})
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
			got, err := FilterGradients(s.SubScope("filter_gradients"), g, []FilterLayer{l}, FilterAlgorithms{l.String(): c.algorithm}, []string{"kernel"}, plain)
			if err != nil {
				t.Fatal(err)
			}
			if replaced := got[0] != plain[0]; replaced != (c.algorithm != ConvolutionOp) {
				t.Fatalf("replaced: %v", replaced)
			}
			// Small whole numbers: bfloat16 holds every product exactly but no sum
			// above 256, so sums have to be taken in float32 and rounded once.
			r := rand.New(rand.NewPCG(7, uint64(c.size)))
			whole := func(n int64) []float64 {
				values := make([]float64, n)
				for i := range values {
					values[i] = float64(r.IntN(3))
				}
				return values
			}
			xs, dys := whole(n*size*size*in), whole(n*places*places*filters)
			values := graphtest.Run(t, g, graphtest.Feeds{
				x: graphtest.Float32(t, xs, n, size, size, in), weight: graphtest.Float32(t, dys, n, places, places, filters),
				kernel: graphtest.Float32(t, whole(9*in*filters), 3, 3, in, filters),
			}, got[0])
			found := graphtest.Floats(t, values[0])
			for i, want := range filterTwin(xs, dys, n, int(size), int(in), filters, int(c.stride), c.padding) {
				if !(math.Abs(found[i]-want) <= want/256) {
					t.Fatalf("element %d is %v, expected %v", i, found[i], want)
				}
			}
		})
	}
}
