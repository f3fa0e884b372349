package graph

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/internal/arch"
)

// Batch norm as published: ε and the share of the old moving average that is
// kept each step. Keras' defaults differ (1e-3 and 0.99).
const (
	bnEpsilon  = 1e-5
	bnMomentum = 0.9
)

// network builds forward passes of ResNet34 on images of one graph. Which
// parameters it uses is its params; what batch norm does with them follows
// from training.
type network struct {
	cfg      Config
	params   params
	training bool
	augment  Augment // of a training pass
	// size, where it is set, is what the images of a training pass are resized
	// to, int32 [].
	size tf.Output
	// stats collects the new moving averages of a training pass by variable
	// name.
	stats map[string]tf.Output
}

// params gives a network its parameters: variables, or constants with batch
// norm folded into the convolutions. Between the blocks images are in a form of its
// own, which enter makes and leave ends.
type params interface {
	// weight returns a float32 parameter of the given shape.
	weight(v Variable) tf.Output
	// convNorm returns the convolution of x by the kernel with batch norm
	// applied, and what comes after it, in x's form.
	convNorm(s *op.Scope, n *network, x tf.Output, kernel Variable, norm string, stride int64, after after) tf.Output
	// enter takes x from the stem, in the dtype of the convolutions.
	enter(s *op.Scope, x tf.Output) tf.Output
	// leave returns x as float32.
	leave(s *op.Scope, x tf.Output) tf.Output
}

// after is what follows on a convolution with batch norm: first a sum, if there is
// something to add, and then a ReLU.
type after struct {
	add  tf.Output
	relu bool
}

// apply adds the ops of a network of cfg.
func (a after) apply(s *op.Scope, cfg Config, x tf.Output) tf.Output {
	if a.add.Op != nil {
		x = cfg.round(s, op.AddV2(s.SubScope("add"), x, a.add))
	}
	if a.relu {
		x = op.Relu(s.SubScope("relu"), x)
	}
	return x
}

// stemNorm is the batch norm of the first convolution.
const stemNorm = "stem/bn"

// logits returns float32 [N, Outputs] for images uint8 [N, Size, Size, 3].
// Augmentation and dropout of a training pass draw from r; it is not read
// otherwise.
func (n *network) logits(s *op.Scope, images tf.Output, r random) tf.Output {
	x := n.normalise(s.SubScope("normalise"), images, r)
	x = n.convNorm(s.SubScope("stem"), x, "stem/conv", stemNorm, 7, 3, arch.Stages[0].Filters, 2, after{relu: true})
	x = op.MaxPool(s.SubScope("stem_pool"), x, []int64{1, 3, 3, 1}, []int64{1, 2, 2, 1}, "SAME")
	x = n.params.enter(s.SubScope("enter"), x)
	in := arch.Stages[0].Filters
	for i, stage := range arch.Stages {
		for j := range stage.Blocks {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			name := fmt.Sprintf("stage%d/block%d", i+1, j+1)
			x = n.basicBlock(s.SubScope(name), x, name, in, stage.Filters, stride)
			in = stage.Filters
		}
	}
	return n.head(s.SubScope("head"), x, in, r)
}

// normalise turns uint8 pixels into (pixel/255 − mean) / std in the dtype of
// the convolutions, levelled if Config.Align says so and augmented if n is to.
func (n *network) normalise(s *op.Scope, images tf.Output, r random) tf.Output {
	var scale, offset [3]float32
	for i := range 3 {
		scale[i] = float32(1 / (255 * n.cfg.Std[i]))
		offset[i] = float32(-n.cfg.Mean[i] / n.cfg.Std[i])
	}
	augment := s.SubScope("augment")
	drawn := n.augment.draw(augment.SubScope("draw"), images, r)
	x := tg.Cast(s, images, tf.Float)
	var aligned *pose
	if n.cfg.Align {
		p := findPose(s.SubScope("pose"), x)
		aligned = &p
	}
	x = drawn.move(augment.SubScope("move"), x, aligned)
	if n.size.Op != nil {
		// Half is the mean of four pixels exactly; in between it is bilinear.
		x = op.ResizeBilinear(s, x, op.Pack(s, []tf.Output{n.size, n.size}), op.ResizeBilinearHalfPixelCenters(true))
	}
	x = op.Mul(s, x, drawn.scale(augment.SubScope("scale"), tg.Const(s, scale[:])))
	x = op.AddV2(s, x, drawn.offset(augment.SubScope("offset"), tg.Const(s, offset[:])))
	return n.cfg.cast(s.SubScope("precision"), x)
}

// basicBlock is two 3×3 convolutions around an identity, or a projection
// (1×1 convolution, option B of the paper) where the shape changes.
func (n *network) basicBlock(s *op.Scope, x tf.Output, name string, in, out, stride int64) tf.Output {
	shortcut := x
	if stride != 1 || in != out {
		shortcut = n.convNorm(s.SubScope("shortcut"), x, name+"/shortcut/conv", name+"/shortcut/bn", 1, in, out, stride, after{})
	}
	y := n.convNorm(s.SubScope("conv1"), x, name+"/conv1", name+"/bn1", 3, in, out, stride, after{relu: true})
	return n.convNorm(s.SubScope("conv2"), y, name+"/conv2", name+"/bn2", 3, out, out, 1, after{add: shortcut, relu: true})
}

// convNorm is a convolution without a bias, SAME padding, batch norm, and what comes
// after.
func (n *network) convNorm(s *op.Scope, x tf.Output, conv, norm string, size, in, out, stride int64, then after) tf.Output {
	kernel := Variable{
		Name: conv + "/kernel", Shape: []int64{size, size, in, out},
		Trainable: true, Decay: true, init: heNormal(size * size * in),
	}
	return n.params.convNorm(s, n, x, kernel, norm, stride, then)
}

// head averages over the picture and, after dropout, maps the features to
// logits, all in float32: the sums run over enough terms for bfloat16's eight
// bits to show.
func (n *network) head(s *op.Scope, x tf.Output, in int64, r random) tf.Output {
	x = n.params.leave(s, x)
	x = op.Mean(s, x, tg.Const(s, []int32{1, 2}))
	if n.training && n.cfg.Dropout > 0 {
		x = dropout(s.SubScope("dropout"), x, n.cfg.Dropout, r)
	}
	outputs := int64(n.cfg.Outputs)
	kernel := n.params.weight(Variable{
		Name: "head/kernel", Shape: []int64{in, outputs},
		Trainable: true, Decay: true, init: heNormal(in),
	})
	bias := n.params.weight(Variable{Name: "head/bias", Shape: []int64{outputs}, Trainable: true})
	return op.BiasAdd(s, op.MatMul(s, x, kernel), bias)
}

// dropout sets a share rate of x to zero and scales the rest by 1/(1−rate)
// (Srivastava et al. 2014). x is float32 [N, features].
func dropout(s *op.Scope, x tf.Output, rate float64, r random) tf.Output {
	uniform := r.uniform(s, r.seed, x, x.Shape().Size(1))
	keep := op.GreaterEqual(s, uniform, tg.Const(s, float32(rate)))
	scale := op.Mul(s, tg.Cast(s, keep, tf.Float), tg.Const(s.SubScope("scale"), float32(1/(1-rate))))
	return op.Mul(s.SubScope("apply"), x, scale)
}

// random is where a training pass draws from.
type random struct {
	// seed is int64 [2]: what is drawn is a pure function of it.
	seed tf.Output
	// row, int32 [], is that of the pass's first example in a batch of so many: an
	// example is varied in the same way on whatever device it is, and whatever the
	// micro-batch. Without it the pass has the whole batch.
	row   tf.Output
	batch int64
}

// uniform draws float32 [N, columns] from [0, 1) for the N rows of x. key, int64
// [2], is the seed or derived from it.
func (r random) uniform(s *op.Scope, key, x tf.Output, columns int64) tf.Output {
	rows := x.Shape().Size(0)
	if r.row.Op == nil {
		return op.StatelessRandomUniform(s, tg.Const(s, []int64{rows, columns}), key)
	}
	all := op.StatelessRandomUniform(s, tg.Const(s, []int64{r.batch, columns}), key)
	rs := s.SubScope("rows")
	begin := op.Pack(rs, []tf.Output{r.row, tg.Const(rs, int32(0))})
	return op.Slice(rs, all, begin, tg.Const(rs.SubScope("size"), []int32{int32(rows), int32(columns)}))
}

// conv2D is the convolution of x by a float32 kernel, SAME padding.
func (c Config) conv2D(s *op.Scope, x, kernel tf.Output, stride int64) tf.Output {
	return c.round(s, conv2D(s, x, c.cast(s.SubScope("kernel"), kernel), stride))
}

func conv2D(s *op.Scope, x, kernel tf.Output, stride int64) tf.Output {
	return op.Conv2D(s, x, kernel, []int64{1, stride, stride, 1}, "SAME")
}

// normVariables are the variables of one batch norm.
func normVariables(norm string, channels int64) (gamma, beta, mean, variance Variable) {
	v := func(name string, value float32, trainable bool) Variable {
		return Variable{Name: norm + "/" + name, Shape: []int64{channels}, Trainable: trainable, init: initializer{value: value}}
	}
	return v("gamma", 1, true), v("beta", 0, true), v("moving_mean", 0, false), v("moving_variance", 1, false)
}

// weight makes variables a params.
func (v *variables) weight(d Variable) tf.Output { return v.get(d) }

// convNorm makes variables a params: in training batch norm uses the batch's
// statistics and notes the new moving averages in n.stats, in inference it uses
// the moving averages.
func (v *variables) convNorm(s *op.Scope, n *network, x tf.Output, kernel Variable, norm string, stride int64, then after) tf.Output {
	x = n.cfg.conv2D(s, x, v.get(kernel), stride)
	gamma, beta, mean, variance := normVariables(norm, kernel.Shape[3])
	g, b, m, vr := v.get(gamma), v.get(beta), v.get(mean), v.get(variance)
	inMean, inVariance := m, vr
	if n.training {
		none := tg.Const(s.SubScope("no_statistics"), []float32{})
		inMean, inVariance = none, none
	}
	// Every attribute is set: TensorFlow's C++ gradient reads them from the
	// node, and the wrapper leaves out those not given.
	y, batchMean, batchVariance, _, _, _ := op.FusedBatchNormV3(s, x, g, b, inMean, inVariance,
		op.FusedBatchNormV3Epsilon(bnEpsilon),
		op.FusedBatchNormV3ExponentialAvgFactor(1),
		op.FusedBatchNormV3DataFormat("NHWC"),
		op.FusedBatchNormV3IsTraining(n.training))
	y = n.cfg.round(s, y)
	if !n.training || s.Err() != nil {
		return then.apply(s, n.cfg, y)
	}
	// The kernel returns the unbiased variance, N/(N−1) times the population's,
	// which is the one the moving average is of.
	population := op.Mul(s.SubScope("population_variance"), batchVariance, bessel(s.SubScope("bessel"), n, x, kernel))
	n.stats[mean.Name] = movingAverage(s.SubScope("moving_mean"), m, batchMean)
	n.stats[variance.Name] = movingAverage(s.SubScope("moving_variance"), vr, population)
	return then.apply(s, n.cfg, y)
}

func (v *variables) enter(_ *op.Scope, x tf.Output) tf.Output { return x }
func (v *variables) leave(s *op.Scope, x tf.Output) tf.Output { return tg.Cast(s, x, tf.Float) }

// bessel is (N−1)/N, float32 [], for the N values of each of x's channels.
func bessel(s *op.Scope, n *network, x tf.Output, kernel Variable) tf.Output {
	if n.size.Op != nil { // the size is known only when the graph runs
		channels := tg.Const(s, float32(kernel.Shape[3]))
		count := op.Div(s.SubScope("count"), tg.Cast(s, op.Size(s, x), tf.Float), channels)
		one := tg.Const(s.SubScope("one"), float32(1))
		return op.Sub(s, one, op.Div(s, one, count))
	}
	shape, err := x.Shape().ToSlice()
	if err != nil {
		s.UpdateErr("FusedBatchNormV3", fmt.Errorf("shape of %s: %w", kernel.Name, err))
		return x
	}
	count := float32(shape[0] * shape[1] * shape[2])
	return tg.Const(s, (count-1)/count)
}

// movingAverage is momentum·old + (1−momentum)·new, written as Keras does.
func movingAverage(s *op.Scope, old, new tf.Output) tf.Output {
	return op.AddV2(s,
		op.Mul(s.SubScope("old"), old, tg.Const(s, float32(bnMomentum))),
		op.Mul(s.SubScope("new"), new, tg.Const(s, float32(1-bnMomentum))))
}
