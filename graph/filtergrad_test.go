package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
)

// filterTwin is the gradient of a 3×3 kernel, SAME padding, in float64: for every
// pixel of the output, the pixel of the input under each tap times the output's
// gradient.
func filterTwin(x, dy []float64, n, size, in, out, stride int) []float64 {
	places := (size + stride - 1) / stride
	before := max(0, (places-1)*stride+3-size) / 2
	sums := make([]float64, 9*in*out)
	for i := range n {
		for row := range places {
			for column := range places {
				for tap := range 9 {
					y, z := row*stride+tap/3-before, column*stride+tap%3-before
					if y < 0 || z < 0 || y >= size || z >= size {
						continue
					}
					for a := range in {
						for b := range out {
							sums[(tap*in+a)*out+b] += x[((i*size+y)*size+z)*in+a] * dy[((i*places+row)*places+column)*out+b]
						}
					}
				}
			}
		}
	}
	return sums
}

func TestFilterGradients(t *testing.T) {
	const n, out = 64, 5
	for _, c := range []struct {
		in           int64
		size, stride int
		precision    Precision
		product      bool // whether a matrix product replaces the op
	}{
		{8, 2, 1, BFloat16, true}, {8, 4, 1, BFloat16, true}, {8, 1, 1, BFloat16, true}, {8, 3, 1, BFloat16, true},
		{8, 4, 2, BFloat16, true}, {8, 8, 2, BFloat16, true}, {8, 5, 2, BFloat16, true}, {8, 2, 2, BFloat16, true},
		{8, 5, 1, BFloat16, false}, {8, 9, 2, BFloat16, false}, {8, 4, 1, Float32, false},
		{256, 8, 1, BFloat16, true}, {256, 9, 1, BFloat16, false}, {255, 8, 1, BFloat16, false}, {256, 10, 2, BFloat16, false},
	} {
		t.Run(fmt.Sprintf("%d px, stride %d, %d channels, %s", c.size, c.stride, c.in, c.precision), func(t *testing.T) {
			in := c.in
			size, places := int64(c.size), int64(c.size+c.stride-1)/int64(c.stride)
			g := tf.NewGraph()
			s := op.NewScopeWithGraph(g)
			x := placeholder(s, "x", tf.Float, n, size, size, in)
			weight := placeholder(s, "weight", tf.Float, n, places, places, out) // which is the gradient of the output
			kernel := placeholder(s, "kernel", tf.Float, 3, 3, in, out)
			cast := func(name string, v tf.Output) tf.Output { return tg.Cast(s.SubScope(name), v, c.precision.dtype()) }
			y := conv2D(s, cast("x16", x), cast("kernel16", kernel), int64(c.stride))
			sum := op.Sum(s, op.Mul(s, y, cast("weight16", weight)), tg.Const(s, []int32{0, 1, 2, 3}))
			plain := op.Gradients(s.SubScope("backward"), []tf.Output{tg.Cast(s.SubScope("sum"), sum, tf.Float)}, []tf.Output{kernel})
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
			got, err := filterGradients(s.SubScope("filter_gradients"), g, plain)
			if err != nil {
				t.Fatal(err)
			}
			if replaced := got[0] != plain[0]; replaced != c.product {
				t.Fatalf("replaced: %v, expected %v", replaced, c.product)
			}
			// Small whole numbers, of which bfloat16 holds every product, but no sum
			// above 256: those have to be taken in float32 and rounded once.
			r := rand.New(rand.NewPCG(7, uint64(c.size)))
			whole := func(n int64) []float64 {
				values := make([]float64, n)
				for i := range values {
					values[i] = float64(r.IntN(3))
				}
				return values
			}
			xs, dys := whole(n*size*size*in), whole(n*places*places*out)
			values := graphtest.Run(t, g, graphtest.Feeds{
				x: graphtest.Float32(t, xs, n, size, size, in), weight: graphtest.Float32(t, dys, n, places, places, out),
				kernel: graphtest.Float32(t, whole(9*in*out), 3, 3, in, out),
			}, got[0])
			found := graphtest.Floats(t, values[0])
			for i, want := range filterTwin(xs, dys, n, c.size, int(in), out, c.stride) {
				if !(math.Abs(found[i]-want) <= want/256) {
					t.Fatalf("element %d is %v, expected %v", i, found[i], want)
				}
			}
		})
	}
}

// A replica for a CPU in bfloat16 has the products for all 3×3 convolutions of the
// last two stages; one for a GPU has none, nor one in float32.
func TestReplicaFilterGradients(t *testing.T) {
	for _, c := range []struct {
		precision Precision
		gpu       bool
		products  int
	}{
		{BFloat16, false, 1 + 11 + 1 + 5}, {BFloat16, true, 0}, {Float32, false, 0},
	} {
		cfg := testConfig(64, c.precision)
		r, err := buildReplica(TrainerConfig{Model: cfg, Batch: 2, Loss: squaredError, Posterior: sigmoid}, share{2, 1, 1}, c.gpu)
		if err != nil {
			t.Fatal(err)
		}
		products := 0
		for _, n := range replicaNodes(t, r) {
			if n.Op == "MatMul" && strings.HasPrefix(n.Name, "filter_gradients/") {
				products++
			}
		}
		if products != c.products {
			t.Errorf("%s, GPU %v: %d products, expected %d", c.precision, c.gpu, products, c.products)
		}
	}
}
