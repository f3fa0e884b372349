package graph

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
)

// Dynamic loss scaling (Micikevicius et al. 2018, arXiv 1710.03740, §3.2) with the
// constants of Keras' LossScaleOptimizer: the scale doubles after lossScaleGrowth steps
// without an overflow and halves after one.
const (
	firstLossScale  = 1 << 15
	lossScaleGrowth = 2000
)

// lossScale keeps the gradients of a float16 network inside float16's range: the loss
// is multiplied by the scale before gradients are taken, and the gradients are
// divided by it in float32. An update whose gradients have overflowed is skipped.
type lossScale struct {
	scale, steps             network.Variable
	scaleHandle, stepsHandle tf.Output
	read, stepsRead          tf.Output // float32 []
}

func newLossScale(s *op.Scope) *lossScale {
	l := &lossScale{
		scale: network.Variable{Name: "loss_scale", Init: network.Initializer{Value: firstLossScale}},
		steps: network.Variable{Name: "loss_scale/steps"}, // since the last change
	}
	l.scaleHandle, l.read = network.NewVariable(s, l.scale)
	l.stepsHandle, l.stepsRead = network.NewVariable(s, l.steps)
	return l
}

// unscale returns the gradients of the unscaled loss. The scale is a power of two,
// so nothing is rounded.
func (l *lossScale) unscale(s *op.Scope, gradients []tf.Output) []tf.Output {
	inverse := op.Reciprocal(s, l.read)
	out := make([]tf.Output, len(gradients))
	for i, g := range gradients {
		out[i] = op.Mul(s.SubScope("gradient"), g, inverse)
	}
	return out
}

// ifFinite returns x, float32 [], if the gradients are finite, and otherwise if they
// are not. If finite, bool [], has no Op, no update is skipped and x is returned.
//
// Skipped updates run with numbers that change nothing, since XLA compiles nothing
// that comes after a Switch.
func ifFinite(s *op.Scope, finite, x tf.Output, otherwise float32) tf.Output {
	if finite.Op == nil {
		return x
	}
	s = s.SubScope("if_finite")
	return op.Select(s, finite, x, tg.Const(s, otherwise))
}

// update adds the ops that set the next step's scale. finite, bool [], is whether the
// gradients are finite.
func (l *lossScale) update(s *op.Scope, finite tf.Output) []*tf.Operation {
	constant := func(x float32) tf.Output { return tg.Const(s.SubScope("number"), x) }
	sub := s.SubScope
	steps := op.AddV2(sub("steps"), l.stepsRead, constant(1))
	grown := op.GreaterEqual(s, steps, constant(lossScaleGrowth))
	up := op.Select(sub("up"), grown, op.Mul(sub("double"), l.read, constant(2)), l.read)
	down := op.Maximum(s, op.Mul(sub("half"), l.read, constant(.5)), constant(1))
	kept := op.LogicalAnd(s, finite, op.LogicalNot(s, grown))
	return []*tf.Operation{
		op.AssignVariableOp(sub("set"), l.scaleHandle, op.Select(sub("next"), finite, up, down)),
		op.AssignVariableOp(sub("set"), l.stepsHandle, op.Select(sub("next"), kept, steps, constant(0))),
	}
}
