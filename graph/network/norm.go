package network

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Batch norm as published: ε and the fraction of the old moving average kept in
// each step. Keras' defaults differ (1e-3 and 0.99).
const (
	bnEpsilon  = 1e-5
	bnMomentum = 0.9
)

// normVariables are the variables of one batch norm.
func normVariables(norm string, channels int64) (gamma, beta, mean, variance Variable) {
	v := func(name string, value float32, trainable bool) Variable {
		return Variable{Name: norm + "/" + name, Shape: []int64{channels}, Trainable: trainable, Init: Initializer{Value: value}}
	}
	return v("gamma", 1, true), v("beta", 0, true), v("moving_mean", 0, false), v("moving_variance", 1, false)
}

// weight implements Params.
func (v *Variables) weight(d Variable) tf.Output { return v.get(d) }

// convNorm implements Params: in training batch norm uses the batch's
// statistics and stores the new moving averages in b.Stats; in inference, and in
// training if the layer is frozen, it uses the moving averages.
func (v *Variables) convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output {
	x = b.Config.conv2D(s, x, v.get(kernel), stride)
	gamma, beta, mean, variance := normVariables(norm, kernel.Shape[3])
	for _, d := range []*Variable{&gamma, &beta, &mean, &variance} {
		d.Fixed = kernel.Fixed
	}
	scale, offset, m, vr := v.get(gamma), v.get(beta), v.get(mean), v.get(variance)
	inMean, inVariance := m, vr
	training := b.Training && !kernel.Fixed
	if training {
		none := tg.Const(s.SubScope("no_statistics"), []float32{})
		inMean, inVariance = none, none
	}
	// Every attribute is set: TensorFlow's C++ gradient reads them all from the
	// node, but the wrapper stores only the attributes given.
	y, batchMean, batchVariance, _, _, _ := op.FusedBatchNormV3(s, x, scale, offset, inMean, inVariance,
		op.FusedBatchNormV3Epsilon(bnEpsilon),
		op.FusedBatchNormV3ExponentialAvgFactor(1),
		op.FusedBatchNormV3DataFormat("NHWC"),
		op.FusedBatchNormV3IsTraining(training))
	y = b.Config.round(s, y)
	if !training || s.Err() != nil {
		return then.apply(s, b.Config, y)
	}
	// The kernel returns the unbiased variance, N/(N−1) times the population
	// variance; the moving average is of the population variance.
	population := op.Mul(s.SubScope("population_variance"), batchVariance, bessel(s.SubScope("bessel"), b, x, kernel))
	b.Stats[mean.Name] = movingAverage(s.SubScope("moving_mean"), m, batchMean)
	b.Stats[variance.Name] = movingAverage(s.SubScope("moving_variance"), vr, population)
	return then.apply(s, b.Config, y)
}

func (v *Variables) enter(_ *op.Scope, x tf.Output) tf.Output { return x }
func (v *Variables) leave(s *op.Scope, x tf.Output) tf.Output { return tg.Cast(s, x, tf.Float) }

// bessel returns (N−1)/N, float32 [], for the N values of each of x's channels.
func bessel(s *op.Scope, b *Builder, x tf.Output, kernel Variable) tf.Output {
	if b.Size.Op != nil { // the size is known only when the graph runs
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

// movingAverage returns momentum·old + (1−momentum)·new, written as Keras does.
func movingAverage(s *op.Scope, old, new tf.Output) tf.Output {
	return op.AddV2(s,
		op.Mul(s.SubScope("old"), old, tg.Const(s, float32(bnMomentum))),
		op.Mul(s.SubScope("new"), new, tg.Const(s, float32(1-bnMomentum))))
}
