package network

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/internal/kernels"
)

func TestQuantizeKernel(t *testing.T) {
	kernel := []float32{1, -2, 0, .5, 1, 0, -.25, .3, 0} // three positions, three filters
	values, largest := quantizeKernel(kernel, 1, 3)
	for i, want := range []int8{127, -127, 0, 64, 64, 0, -32, 19, 0} {
		if got := int8(values[i]); got != want {
			t.Errorf("element %d is %d, expected %d", i, got, want)
		}
	}
	if largest[0] != 1 || largest[1] != 2 || !(largest[2] > 0) {
		t.Errorf("largest %v, expected 1, 2 and something above 0", largest)
	}
}

// No two weights of one sign that are added in an int16 are too large together, and a
// filter without such pairs keeps its full range.
func TestQuantizeKernelPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const places, in, filters = 9, 11, 3
	kernel := make([]float32, places*in*filters)
	for i := range kernel {
		kernel[i] = float32(r.NormFloat64())
		if i%filters == 2 && i/filters%2 == 1 {
			kernel[i] = -kernel[i-filters] // the opposite sign
		}
	}
	for i := range 4 * filters { // the first four channels: filter 0 all large, filter 1 one large
		kernel[i] = map[int]float32{0: 5, 1: 0}[i%filters]
	}
	kernel[1] = 5
	values, largest := quantizeKernel(kernel, in, filters)
	most := 0
	for place := range places {
		for a := range in {
			for b := a + 1; b < min(a/quadChannels*quadChannels+quadChannels, in); b++ {
				for c := range filters {
					sum := int(int8(values[(place*in+a)*filters+c])) + int(int8(values[(place*in+b)*filters+c]))
					most = max(most, sum, -sum)
				}
			}
		}
	}
	if most*255 > math.MaxInt16 || most < pairLimit-2 {
		t.Errorf("two weights that meet are %d together, expected at most %d, and nearly that", most, pairLimit)
	}
	if largest[0] < 9 || largest[1] != 5 {
		t.Errorf("largest %v: expected about twice 5 for the filter whose large weights meet, and 5 for that with a single one", largest)
	}
}

// needInt8 skips a test on machines that cannot compute in int8.
func needInt8(t *testing.T) {
	t.Helper()
	if !kernels.OneDNN() {
		t.Skip("only oneDNN has kernels for int8, and they are turned off")
	}
}

// quantizedTwin is a 3×3 convolution of whole numbers, SAME padding, stride 1, with bias,
// sum and ReLU in float64, quantized like the output.
func quantizedTwin(x, kernel, bias, add []float64, size, in, out int, scale []float64, outScale float64, relu bool) []float64 {
	y := make([]float64, size*size*out)
	for row := range size {
		for column := range size {
			for b := range out {
				sum := 0.0
				for tap := range 9 {
					r, c := row+tap/3-1, column+tap%3-1
					if r < 0 || c < 0 || r >= size || c >= size {
						continue
					}
					for a := range in {
						sum += x[(r*size+c)*in+a] * kernel[(tap*in+a)*out+b]
					}
				}
				i := (row*size+column)*out + b
				v := sum*scale[b] + bias[b] + add[i]
				least, largest := -128.0, 127.0
				if relu {
					least, largest = 0, 255
				}
				y[i] = math.Max(least, math.Min(largest, math.RoundToEven(v/outScale)))
			}
		}
	}
	return y
}

// Every op of a block gives the whole numbers of its formula, except where rounding could
// go either way.
func TestQuantizedConvolution(t *testing.T) {
	needInt8(t)
	const size, channels = 5, 8
	r := rand.New(rand.NewPCG(3, 4))
	random := func(n int, scale float64) (values []float32) {
		for range n {
			values = append(values, float32(scale*r.NormFloat64()))
		}
		return values
	}
	kernel := Variable{Name: "k", Shape: []int64{3, 3, channels, channels}}
	weights := Weights{"k": random(9*channels*channels, .2), "bn/gamma": random(channels, 1), "bn/beta": random(channels, 1), "bn/moving_mean": random(channels, 1), "bn/moving_variance": nil}
	for range channels {
		weights["bn/moving_variance"] = append(weights["bn/moving_variance"], float32(.5+r.Float64()))
	}
	for _, c := range []struct {
		name         string
		relu, signed bool
		add          bool
	}{{"relu", true, false, false}, {"none", false, false, false}, {"sum", true, false, true}, {"signed sum", true, true, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := tg.NewRoot()
			feeds := graphtest.Feeds{}
			image := func(name string, signed bool) (x tf.Output, values []float64) {
				dtype, as, least, largest := tf.Uint8, tf.Quint8, 0, 255
				if signed {
					dtype, as, least, largest = tf.Int8, tf.Qint8, -127, 127
				}
				raw := make([]byte, size*size*channels)
				for i := range raw {
					v := least + r.IntN(largest+1-least)
					raw[i], values = byte(v), append(values, float64(v))
				}
				p := op.Placeholder(s.SubScope(name), dtype, op.PlaceholderShape(tf.MakeShape(1, size, size, channels)))
				tensor, err := tf.ReadTensor(dtype, []int64{1, size, size, channels}, strings.NewReader(string(raw)))
				if err != nil {
					t.Fatal(err)
				}
				feeds[p] = tensor
				// The sum overwrites the image to add, which a fed tensor does not allow.
				own := op.Minimum(s.SubScope(name), tg.Cast(s.SubScope(name), p, tf.Int32), tg.Const(s.SubScope(name), int32(255)))
				return op.Bitcast(s.SubScope(name), tg.Cast(s.SubScope(name), own, dtype), as), values
			}
			q := quantized{frozen: frozen{scope: s, weights: weights}, ranges: Ranges{"k": 6, "k" + beforeSum: 6}, bounds: map[tf.Output][2]tf.Output{}}
			bounds := func(x tf.Output, name string, least, largest float32) {
				bs := s.SubScope(name)
				q.bounds[x] = [2]tf.Output{tg.Const(bs.SubScope("least"), least), tg.Const(bs.SubScope("largest"), largest)}
			}
			x, xs := image("x", false)
			bounds(x, "x_bounds", 0, 4)
			then, adds, addScale := epilogue{relu: c.relu}, make([]float64, size*size*channels), 0.0
			if c.add {
				then.add, adds = image("add", c.signed)
				if addScale = 3.0 / 255; c.signed {
					addScale = 3.0 / 127
					bounds(then.add, "add_bounds", -3, 3)
				} else {
					bounds(then.add, "add_bounds", 0, 3)
				}
			}
			y := q.convNorm(s.SubScope("layer"), &Builder{Config: testConfig(32, Float32)}, x, kernel, "bn", 1, then)
			whole := tf.Uint8
			if !c.relu {
				whole = tf.Int8
			}
			out := tg.Cast(s, op.Bitcast(s, y, whole), tf.Float)
			g := graphtest.Finalize(t, s)
			got := graphtest.Floats(t, graphtest.Run(t, g, feeds, out)[0])

			folded, bias := q.fold(kernel, "bn")
			values, largest := quantizeKernel(folded, channels, channels)
			scale, ks, bs := make([]float64, channels), make([]float64, len(values)), make([]float64, channels)
			for i, v := range values {
				ks[i] = float64(int8(v))
			}
			for i := range scale {
				scale[i], bs[i] = 4.0/255*float64(largest[i])/127, float64(bias[i])
			}
			for i := range adds {
				adds[i] *= addScale
			}
			outScale := 6.0 / 127
			if c.relu {
				outScale = 6.0 / 255
			}
			want := quantizedTwin(xs, ks, bs, adds, size, channels, channels, scale, outScale, c.relu)
			other, used := 0, map[float64]bool{}
			for i, x := range got {
				used[x] = true
				if d := math.Abs(x - want[i]); d > 1 {
					t.Fatalf("element %d is %v, expected %v", i, x, want[i])
				} else if d > 0 {
					other++
				}
			}
			if c.signed {
				other = 0 // it rounds twice
			}
			if other > len(got)/50 || len(used) < 30 {
				t.Errorf("%d of %d differ by one, %d different values", other, len(got), len(used))
			}
		})
	}
}
