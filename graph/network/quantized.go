package network

import (
	"bytes"
	"fmt"
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Int8 is the precision of a quantized graph's convolutions, for prediction only: int8
// kernels with one scale per filter, on uint8 images with one scale (Jacob et al. 2018,
// arXiv 1712.05877, with zero points of 0). The stem and the head are as in the
// original graph, and sums are int32.
const Int8 Precision = "int8"

// Ranges holds the largest absolute values of a network's images between the layers. The name of
// each block's kernel is the key of the images after its convolution, sum and ReLU included;
// that name plus "/before_sum", of the convolution's own output that enters the sum; "stem", of
// the images that the first block takes.
type Ranges map[string]float32

const (
	stemRange = "stem"
	beforeSum = "/before_sum"
)

// Calibration returns Params like Frozen, and adds to maxima the largest absolute values of one
// pass, float32 [], by their key in Ranges.
func Calibration(s *op.Scope, weights Weights, maxima map[string]tf.Output) Params {
	return calibration{frozen{s, weights}, maxima}
}

// calibration is frozen, and also measures the ranges, float32 [], of one pass.
type calibration struct {
	frozen
	maxima map[string]tf.Output
}

func (c calibration) note(s *op.Scope, name string, x tf.Output) tf.Output {
	ms := s.SubScope("range")
	axes := tg.Const(ms, []int32{0, 1, 2, 3})
	largest := op.Maximum(ms, op.Max(ms, x, axes), op.Neg(ms, op.Min(ms, x, axes)))
	c.maxima[name] = tg.Cast(ms, largest, tf.Float)
	return x
}

func (c calibration) convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output {
	if norm == stemNorm {
		return c.frozen.convNorm(s, b, x, kernel, norm, stride, then)
	}
	x = c.frozen.convNorm(s, b, x, kernel, norm, stride, epilogue{})
	if then.add.Op != nil {
		c.note(s, kernel.Name+beforeSum, x)
	}
	return c.note(s, kernel.Name, then.apply(s, b.Config, x))
}

func (c calibration) enter(s *op.Scope, x tf.Output) tf.Output { return c.note(s, stemRange, x) }

// Quantized returns Params of constants with blocks in Int8; the stem is in Config.Precision.
// A missing or non-finite range is an error of the root scope s.
func Quantized(s *op.Scope, weights Weights, ranges Ranges) Params {
	return quantized{frozen: frozen{s, weights}, ranges: ranges, bounds: map[tf.Output][2]tf.Output{}}
}

// quantized is frozen with int8 blocks.
type quantized struct {
	frozen
	ranges Ranges
	// bounds are the values, float32 [], of the smallest and the largest number of
	// a quantized image: 0 and the range for quint8, ± the range for qint8.
	bounds map[tf.Output][2]tf.Output
}

// bound returns the bounds of a new image.
func (q quantized) bound(s *op.Scope, name string, signed bool) (bounds [2]tf.Output) {
	r, ok := q.ranges[name]
	if !ok || !(r >= 0) || math.IsInf(float64(r), 0) {
		q.scope.UpdateErr("Const", fmt.Errorf("range of %s: expected a finite number of 0 or more, found %v", name, r))
	}
	r = max(r, 1e-6) // for images that are all 0
	least := float32(0)
	if signed {
		least = -r
	}
	bs := s.SubScope("bounds")
	return [2]tf.Output{tg.Const(bs.SubScope("least"), least), tg.Const(bs.SubScope("largest"), r)}
}

func (q quantized) enter(s *op.Scope, x tf.Output) tf.Output {
	return q.quantize(s, stemRange, tg.Cast(s, x, tf.Float))
}

func (q quantized) quantize(s *op.Scope, name string, x tf.Output) tf.Output {
	b := q.bound(s, name, false)
	y, least, largest := op.QuantizeV2(s, x, b[0], b[1], tf.Quint8, op.QuantizeV2Mode("SCALED"), op.QuantizeV2RoundMode("HALF_TO_EVEN"))
	q.bounds[y] = [2]tf.Output{least, largest}
	return y
}

func (q quantized) leave(s *op.Scope, x tf.Output) tf.Output {
	return op.Dequantize(s, x, q.bounds[x][0], q.bounds[x][1], op.DequantizeMode("SCALED"))
}

func (q quantized) convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output {
	switch {
	case norm == stemNorm:
		return q.frozen.convNorm(s, b, x, kernel, norm, stride, then)
	case then.add.Op != nil && then.add.DataType() == tf.Qint8:
		// A projected shortcut has both signs, and the kernel that should add such
		// numbers saturates the sum at 127 of 255.
		y := q.convolution(s, b, x, kernel, kernel.Name+beforeSum, norm, stride, epilogue{})
		sum := op.AddV2(s, q.leave(s.SubScope("left"), y), q.leave(s.SubScope("right"), then.add))
		return q.quantize(s.SubScope("quantize"), kernel.Name, op.Relu(s, sum))
	}
	return q.convolution(s, b, x, kernel, kernel.Name, norm, stride, then)
}

// convolution adds a convolution whose output has the range stored under name.
func (q quantized) convolution(s *op.Scope, b *Builder, x tf.Output, kernel Variable, name, norm string, stride int64, then epilogue) tf.Output {
	folded, bias := q.fold(kernel, norm)
	values, largest := quantizeKernel(folded, int(kernel.Shape[2]), int(kernel.Shape[3]))
	least := make([]float32, len(largest))
	for i, x := range largest {
		least[i] = -x
	}
	raw, err := tf.ReadTensor(tf.Int8, kernel.Shape, bytes.NewReader(values))
	if err != nil {
		s.UpdateErr("Const", err)
		return x
	}
	ks := s.SubScope("kernel")
	k := op.Bitcast(ks, tg.Const(ks, raw), tf.Qint8)
	constant := func(name string, values []float32) tf.Output {
		return q.constant(s.SubScope(name), values, kernel.Shape[3:])
	}
	out := q.bound(s, name, !then.relu)
	in := q.bounds[x]
	x, padding := b.Config.Padding.pad(s, x, kernel.Shape[0], stride)
	spec := tf.OpSpec{
		Input: []tf.Input{x, k, constant("bias", bias), in[0], in[1], constant("least", least), constant("largest", largest), out[0], out[1]},
		Attrs: map[string]any{"strides": []int64{1, stride, stride, 1}, "padding": padding, "out_type": tf.Quint8},
	}
	switch add := then.add; {
	case !then.relu:
		spec.Type, spec.Attrs["out_type"] = "QuantizedConv2DWithBiasAndRequantize", tf.Qint8
	case add.Op == nil:
		spec.Type = "QuantizedConv2DWithBiasAndReluAndRequantize"
	default:
		// The kernel writes its result into the memory of the image to add, and ends the
		// process if anything still needs that image. Here it is the block's input, which
		// its first convolution has already used.
		spec.Type = "QuantizedConv2DWithBiasSumAndReluAndRequantize"
		spec.Input = append(spec.Input, add, q.bounds[add][0], q.bounds[add][1])
	}
	o := s.AddOperation(spec)
	if o == nil {
		return x // s has the error
	}
	y := o.Output(0)
	q.bounds[y] = [2]tf.Output{o.Output(1), o.Output(2)}
	return y
}

// CPUs without VNNI multiply four channels of a uint8 image by four weights and add the
// products in pairs in int16, which saturates at 32,767, and only then in int32. No pair of
// products of up to 255 saturates if weights of one sign add up to at most pairLimit.
const (
	quadChannels = 4
	pairLimit    = 32767 / 255
)

// quantizeKernel scales each filter of a kernel, [height, width, in, filters], to −127…127,
// int8 in two's complement. largest is the value of 127, by filter. If two weights of a
// filter that are added in an int16 would exceed pairLimit together, the filter gets a
// coarser scale: a model gives the same results on all CPUs.
func quantizeKernel(kernel []float32, in, filters int) (values []byte, largest []float32) {
	largest = make([]float32, filters)
	for i, x := range kernel {
		c := i % filters
		largest[c] = max(largest[c], float32(math.Abs(float64(x))))
	}
	for start := 0; start < len(kernel); start += in * filters { // one kernel position
		for quad := 0; quad < in; quad += quadChannels {
			for c := range filters {
				var sums [2][2]float32 // for each sign, the two largest weights
				for a := quad; a < min(quad+quadChannels, in); a++ {
					x := kernel[start+a*filters+c]
					two := &sums[0]
					if x < 0 {
						two, x = &sums[1], -x
					}
					two[0], two[1] = max(two[0], min(two[1], x)), max(two[1], x)
				}
				for _, two := range sums {
					// Half a unit less for each, which rounding may add.
					largest[c] = max(largest[c], (two[0]+two[1])*127/(pairLimit-1))
				}
			}
		}
	}
	values = make([]byte, len(kernel))
	for i, x := range kernel {
		if l := largest[i%filters]; l > 0 {
			values[i] = byte(int8(math.RoundToEven(float64(x) / float64(l) * 127)))
		}
	}
	for c, l := range largest {
		if l == 0 {
			largest[c] = 1e-6 // any number works
		}
	}
	return values, largest
}
