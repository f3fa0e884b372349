package focal

import (
	"errors"
	"fmt"
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// labelTolerance is how far a label may be outside [0, 1]: enough for rounding
// in catalogues and in mixtures of labels.
const labelTolerance = 1e-3

// Loss adds the focal loss of logits against labels to the graph and returns
// it: a float32 scalar, the mean over every element of the formula in the
// package comment.
//
// logits and labels are float32 of one shape, usually [N, answers]; logits are
// the network's outputs before any sigmoid; labels are fractions in [0, 1].
// Another dtype, shapes that cannot be equal and invalid parameters are errors
// in the scope. Values are known only when the graph runs: a label more
// than 1e-3 outside [0, 1] makes the loss NaN, so that swapped arguments do not train silently.
//
// The value and its C++ gradients are finite for all finite logits: every
// factor is computed from softplus(±x), no difference of two terms is taken
// and no power of a small number is divided by.
func (p Params) Loss(s *op.Scope, logits, labels tf.Output) tf.Output {
	element := p.Elements(s, logits, labels)
	if s.Err() != nil {
		return tf.Output{}
	}
	at := s.SubScope("focal_loss").SubScope
	flat := op.Reshape(at("flat"), element, op.Const(at("flat_shape"), []int32{-1}))
	return op.Mean(at("mean"), flat, op.Const(at("axis"), int32(0)))
}

// Elements is Loss before the mean: float32, the shape of logits.
func (p Params) Elements(s *op.Scope, logits, labels tf.Output) tf.Output {
	if !p.check(s, "focal loss", logits, labels) {
		return tf.Output{}
	}
	s = s.SubScope("focal_loss")
	at := s.SubScope // op.Scope makes scope names unique, but not op names
	scale := func(name string, factor float64, x tf.Output) tf.Output {
		return op.Mul(at(name), op.Const(at(name+"_factor"), float32(factor)), x)
	}

	// softplus(−x) = −log p and softplus(x) = −log q. TensorFlow's Softplus
	// switches to x and to exp(x) far from 0; it is accurate to a few units in
	// the last place there, and unlike relu(x)+log1p(exp(−|x|)) it has the
	// right gradient at exactly 0, where new networks start.
	positive := softplusOp(at("minus_log_p"), op.Neg(at("neg"), logits))
	negative := softplusOp(at("minus_log_q"), logits)
	// q^γ and p^γ as exponentials: Pow's gradient would take the logarithm of a
	// probability that may have underflowed to 0.
	qGamma := op.Exp(at("q_power"), scale("q_exponent", -p.Gamma, negative))
	pGamma := op.Exp(at("p_power"), scale("p_exponent", -p.Gamma, positive))

	y := CheckedLabels(at("labels"), labels)
	one := op.Const(at("one"), float32(1))
	ones := op.Mul(at("label_1"), scale("weight_1", p.Alpha, y), op.Mul(at("focus_1"), qGamma, positive))
	zeros := op.Mul(at("label_0"), scale("weight_0", 1-p.Alpha, op.Sub(at("one_minus_y"), one, y)), op.Mul(at("focus_0"), pGamma, negative))
	return op.Add(at("element"), ones, zeros)
}

// Posterior adds to the graph the vote fractions that logits represent after
// training with Loss, and returns them: float32, the shape of logits, in [0,
// 1]. See the package comment for the formula; its value is within 1e-6 of
// PosteriorAt for every logit, infinite ones included.
//
// logits is float32 of any shape. Another dtype and invalid parameters are
// errors in the scope. It is meant for evaluation and export, not for training.
func (p Params) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	if !p.check(s, "focal posterior", logits) {
		return tf.Output{}
	}
	s = s.SubScope("focal_posterior")
	at := s.SubScope
	number := func(name string, value float64) tf.Output {
		return op.Const(at(name), float32(value))
	}
	gamma := number("gamma", p.Gamma)

	// The last term of the formula is odd in x: compute it at |x| and give it
	// the sign of x. It reaches its limit in float32 long before |x| = 30; the
	// clip keeps exp(−|x|) above 0, and so avoids 0/0 in r.
	size := op.Minimum(at("size"), op.Abs(at("abs"), logits), number("limit", 30))
	e := op.Exp(at("exp"), op.Neg(at("neg"), size))
	log := op.Log1p(at("log"), e)
	up := op.Div(at("r_plus"), log, e)                                  // r(|x|)
	down := op.Mul(at("r_minus"), e, op.Add(at("softplus"), size, log)) // r(−|x|)
	bend := op.Sub(at("bend"),
		op.Log1p(at("log_plus"), op.Mul(at("gamma_plus"), gamma, up)),
		op.Log1p(at("log_minus"), op.Mul(at("gamma_minus"), gamma, down)))

	line := op.Add(at("line"), number("prior", math.Log1p(-p.Alpha)-math.Log(p.Alpha)),
		op.Mul(at("slope"), number("gamma_plus_1", p.Gamma+1), logits))
	logOdds := op.Sub(at("log_odds"), line, op.Mul(at("odd"), op.Sign(at("sign"), logits), bend))
	return op.Sigmoid(at("fraction"), logOdds)
}

// softplusOp adds log(1+exp(x)), for which the bindings have no wrapper.
func softplusOp(s *op.Scope, x tf.Output) tf.Output {
	return s.AddOperation(tf.OpSpec{Type: "Softplus", Input: []tf.Input{x}}).Output(0)
}

// CheckedLabels returns labels, float32 of any shape, with NaN instead of values
// more than 1e-3 outside [0, 1]. An assertion would need a control dependency,
// which op.Gradients rejects.
func CheckedLabels(s *op.Scope, labels tf.Output) tf.Output {
	at := s.SubScope
	inside := op.LogicalAnd(at("inside"),
		op.GreaterEqual(at("from_0"), labels, op.Const(at("low"), float32(-labelTolerance))),
		op.LessEqual(at("to_1"), labels, op.Const(at("high"), float32(1+labelTolerance))))
	nan := op.Add(at("nan"), labels, op.Const(at("not_a_number"), float32(math.NaN())))
	return op.Select(at("checked"), inside, labels, nan)
}

// check reports whether all inputs are float32 outputs of shapes that can be
// equal, and leaves an error in the scope if they are not.
func (p Params) check(s *op.Scope, name string, inputs ...tf.Output) bool {
	if s.Err() != nil {
		return false
	}
	if err := p.Validate(); err != nil {
		s.UpdateErr(name, err)
		return false
	}
	for i, input := range inputs {
		what := [...]string{"logits", "labels"}[i]
		if input.Op == nil {
			s.UpdateErr(name, errors.New(what+" is not an output of any operation"))
			return false
		}
		if input.DataType() != tf.Float {
			s.UpdateErr(name, fmt.Errorf("%s has data type %d; expected float32 (%d): cast it before", what, input.DataType(), tf.Float))
			return false
		}
	}
	if len(inputs) == 2 && !canBeEqual(inputs[0].Shape(), inputs[1].Shape()) {
		s.UpdateErr(name, fmt.Errorf("logits have shape %v, labels %v; expected one shape", inputs[0].Shape(), inputs[1].Shape()))
		return false
	}
	return true
}

// canBeEqual reports whether two shapes, possibly with unknown dimensions, can
// be the same. Shapes that merely broadcast would train on wrong labels.
func canBeEqual(a, b tf.Shape) bool {
	if a.NumDimensions() < 0 || b.NumDimensions() < 0 {
		return true
	}
	if a.NumDimensions() != b.NumDimensions() {
		return false
	}
	for i := range a.NumDimensions() {
		if a.Size(i) >= 0 && b.Size(i) >= 0 && a.Size(i) != b.Size(i) {
			return false
		}
	}
	return true
}
