package network

import (
	"fmt"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/session"
)

// frozen is the Params of a graph without variables.
type frozen struct {
	scope   *op.Scope
	weights Weights
}

// Frozen makes Params of constants, in the root scope s, with batch norm folded into the
// convolutions. Missing weights and wrong shapes are an error in s.
func Frozen(s *op.Scope, weights Weights) Params { return frozen{scope: s, weights: weights} }

// value returns the weights of v, checked.
func (f frozen) value(v Variable) []float32 {
	w, ok := f.weights[v.Name]
	if !ok || len(w) != v.Elements() {
		f.scope.UpdateErr("Const", fmt.Errorf("weights of %s: expected %d values, found %d", v.Name, v.Elements(), len(w)))
		return make([]float32, v.Elements())
	}
	return w
}

func (f frozen) constant(s *op.Scope, values []float32, shape []int64) tf.Output {
	t, err := session.Float32Tensor(values, shape...)
	if err != nil {
		s.UpdateErr("Const", err)
		return tf.Output{}
	}
	return tg.Const(s, t)
}

func (f frozen) weight(v Variable) tf.Output {
	return f.constant(f.scope.SubScope(v.Name), f.value(v), v.Shape)
}

// fold turns y = γ·(x⊛k − μ)/√(σ²+ε) + β into one convolution by k·γ/√(σ²+ε) with the
// bias β − μ·γ/√(σ²+ε), both computed in float64.
func (f frozen) fold(kernel Variable, norm string) (folded, bias []float32) {
	channels := kernel.Shape[3]
	gammaV, betaV, meanV, varianceV := normVariables(norm, channels)
	gamma, beta, mean, variance := f.value(gammaV), f.value(betaV), f.value(meanV), f.value(varianceV)
	scale := make([]float64, channels)
	bias = make([]float32, channels)
	for c := range scale {
		scale[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+bnEpsilon)
		bias[c] = float32(float64(beta[c]) - float64(mean[c])*scale[c])
	}
	folded = slices.Clone(f.value(kernel))
	for i := range folded {
		folded[i] = float32(float64(folded[i]) * scale[i%int(channels)])
	}
	return folded, bias
}

func (f frozen) convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output {
	folded, bias := f.fold(kernel, norm)
	constant := func(name string, values []float32, shape []int64) tf.Output {
		cs := s.SubScope(name)
		return b.Config.cast(cs, f.constant(cs, values, shape))
	}
	k, offset := constant("kernel", folded, kernel.Shape), constant("bias", bias, kernel.Shape[3:])
	return then.apply(s, b.Config, b.Config.round(s, op.BiasAdd(s, b.Config.Padding.conv2D(s, x, k, stride), offset)))
}

func (f frozen) enter(_ *op.Scope, x tf.Output) tf.Output { return x }
func (f frozen) leave(s *op.Scope, x tf.Output) tf.Output { return tg.Cast(s, x, tf.Float) }
