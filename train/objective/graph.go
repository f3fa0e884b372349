package objective

import (
	"fmt"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/focal"
)

// Loss adds the loss of a batch to the graph and returns it: a float32 scalar, the
// mean over every element of logits and labels, both float32 [N, Outputs], or, for counts,
// the mean over examples of the sum over questions. Other dtypes and shapes are errors in the
// scope; a label outside [0, 1] by more than 1e-3, or one that is no count, for example if logits
// and labels are swapped, makes the loss NaN.
func (o *Objective) Loss(s *op.Scope, logits, labels tf.Output) tf.Output {
	if !o.check(s, "logits", logits) || !o.check(s, "labels", labels) {
		return tf.Output{}
	}
	s = s.SubScope("objective")
	at := s.SubScope // op.Scope makes scope names unique, but not op names
	if o.likelihood != nil {
		return op.Mean(at("mean"), o.minusLog(s, logits, labels), op.Const(at("axis"), int32(0)))
	}
	labels = focal.CheckedLabels(at("labels"), labels)
	smooth := o.smoothOp(at("smooth"), labels)
	var element tf.Output
	if o.binary != nil {
		element = o.binary.Elements(s, logits, smooth)
	} else {
		element = o.categorical.Elements(s, outputs{o, logits}, smooth)
	}
	if o.weights != nil && s.Err() == nil {
		weights := constant(at("weights"), o.weights...)
		if o.head.byClass {
			weights = op.Sum(at("class_weight"), op.Mul(at("weighted_labels"), labels, weights), op.Const(at("columns"), int32(1)), op.SumKeepDims(true))
		}
		element = op.Mul(at("weighted"), element, weights)
	}
	if s.Err() != nil {
		return tf.Output{}
	}
	flat := op.Reshape(at("flat"), element, op.Const(at("flat_shape"), []int32{-1}))
	return op.Mean(at("mean"), flat, op.Const(at("axis"), int32(0)))
}

// minusLog adds the negative logarithm of the probability of each example's votes, weighted by question: float32 [N].
//
// The logarithms of Γ of thousands of votes are large and their sum is small. In float32 the sum
// would be rounding errors, so all of it is float64: a few thousand numbers in a step.
func (o *Objective) minusLog(s *op.Scope, logits, labels tf.Output) tf.Output {
	at := s.SubScope
	x, k := op.Cast(at("logits_64"), logits, tf.Double), op.Cast(at("votes_64"), checkedCounts(at("votes"), labels), tf.Double)
	logFactorial := func(s *op.Scope, n tf.Output) tf.Output {
		return op.Lgamma(s, op.AddV2(s.SubScope("next"), n, op.Const(s.SubScope("one"), 1.0)))
	}
	logs := o.perGroup(at("questions"), x, func(s *op.Scope, x tf.Output, g group) tf.Output {
		at := s.SubScope
		k := column(at("votes"), k, g.first, g.count)
		orders := op.Sub(at("orders"), logFactorial(at("all"), sumColumns(at("volunteers"), k)), sumColumns(at("each"), logFactorial(at("factorials"), k)))
		return op.AddV2(at("log"), o.likelihood.Log(at("likelihood"), x, k), orders)
	})
	if o.config.Weights != nil && s.Err() == nil {
		logs = op.Mul(at("weighted"), logs, op.Const(at("weights"), o.config.Weights))
	}
	if s.Err() != nil {
		return tf.Output{}
	}
	sum := op.Sum(at("sum"), logs, op.Const(at("columns"), int32(1)))
	return op.Cast(at("minus_log"), op.Neg(at("neg"), sum), tf.Float)
}

// checkedCounts returns labels, float32 of any shape, with NaN in place of what is no count.
func checkedCounts(s *op.Scope, labels tf.Output) tf.Output {
	at := s.SubScope
	whole := op.LogicalAnd(at("is_count"),
		op.GreaterEqual(at("from_0"), labels, op.Const(at("low"), float32(0))),
		op.Equal(at("is_whole"), labels, op.Floor(at("floor"), labels)))
	return op.Select(at("checked"), whole, labels, op.AddV2(at("nan"), labels, op.Const(at("not_a_number"), float32(math.NaN()))))
}

// Posterior adds to the graph the probabilities that logits represent after
// training with Loss, float32 [N, Outputs], and returns them. logits is float32
// [N, Outputs]; another dtype or shape is an error in the scope.
func (o *Objective) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	if !o.check(s, "logits", logits) {
		return tf.Output{}
	}
	s = s.SubScope("posterior")
	if o.binary != nil {
		return sharpen(s.SubScope("sharpen"), o.binary.Posterior(s, logits), groupOfOne, o.config.Smoothing)
	}
	return o.products(s.SubScope("fractions"), logits, func(s *op.Scope, x tf.Output, g group) tf.Output {
		return sharpen(s.SubScope("sharpen"), o.ofQuestion.Posterior(s, x), g, o.config.Smoothing)
	})
}

// products returns the fractions of all volunteers, float32 [N, Outputs]: for each answer, the
// product of fractions along its path. fractions turns the logits of a group into the fractions
// of those asked.
func (o *Objective) products(s *op.Scope, logits tf.Output, fractions func(s *op.Scope, x tf.Output, g group) tf.Output) tf.Output {
	done := make([]tf.Output, 0, len(o.groups)) // of the groups so far, [N, count]
	return o.perGroup(s, logits, func(s *op.Scope, x tf.Output, g group) tf.Output {
		p := fractions(s, x, g)
		if len(g.parents) > 0 {
			asked := g.askedOp(s, func(s *op.Scope, parent int) tf.Output {
				i := 0
				for parent >= o.groups[i].first+o.groups[i].count {
					i++
				}
				return column(s, done[i], parent-o.groups[i].first, 1)
			})
			p = op.Mul(s.SubScope("path"), p, asked)
		}
		done = append(done, p)
		return p
	})
}

// askedOp is asked in a graph, [N, 1], for a group with parents; parent returns the column of a
// parent.
func (g group) askedOp(s *op.Scope, parent func(s *op.Scope, parent int) tf.Output) tf.Output {
	sum := parent(s.SubScope("parent"), g.parents[0])
	for _, other := range g.parents[1:] {
		sum = op.AddV2(s.SubScope("asked"), sum, parent(s.SubScope("parent"), other))
	}
	return sum
}

// sharpen undoes the label smoothing of probabilities p, [N, count of g], which
// sum to 1 if the group has several columns.
func sharpen(s *op.Scope, p tf.Output, g group, smoothing float64) tf.Output {
	if smoothing == 0 || s.Err() != nil {
		return p
	}
	number := func(name string, x float64) tf.Output { return op.Const(s.SubScope(name), float32(x)) }
	p = op.Sub(s.SubScope("above"), p, number("even", smoothing*g.even()))
	if g.count == 1 {
		p = op.Mul(s.SubScope("stretch"), p, number("scale", 1/(1-smoothing)))
		return op.ClipByValue(s.SubScope("clip"), p, number("zero", 0), number("one", 1))
	}
	p = op.Relu(s.SubScope("clip"), p)
	return op.Div(s.SubScope("normalise"), p, sumColumns(s.SubScope("sum"), p))
}

var groupOfOne = group{count: 1}

// perGroup applies f to the columns of each group of x, [N, Outputs], and
// concatenates the results.
func (o *Objective) perGroup(s *op.Scope, x tf.Output, f func(s *op.Scope, x tf.Output, g group) tf.Output) tf.Output {
	var parts []tf.Output
	for _, g := range o.groups {
		gs := s.SubScope("group")
		if s.Err() != nil {
			return tf.Output{}
		}
		parts = append(parts, f(gs, column(gs.SubScope("columns"), x, g.first, g.count), g))
	}
	if len(parts) == 1 || s.Err() != nil {
		return parts[0]
	}
	return op.ConcatV2(s.SubScope("concat"), parts, op.Const(s.SubScope("axis"), int32(1)))
}

// column returns count columns of x, [N, …], from first on.
func column(s *op.Scope, x tf.Output, first, count int) tf.Output {
	return op.Slice(s, x, op.Const(s.SubScope("begin"), []int32{0, int32(first)}), op.Const(s.SubScope("size"), []int32{-1, int32(count)}))
}

// smoothOp is the graph form of smooth.
func (o *Objective) smoothOp(s *op.Scope, labels tf.Output) tf.Output {
	if o.config.Smoothing == 0 || s.Err() != nil {
		return labels
	}
	even := constant(s.SubScope("half"), o.config.Smoothing/2)
	if o.categorical != nil {
		even = o.perGroup(s.SubScope("even"), labels, func(s *op.Scope, x tf.Output, g group) tf.Output {
			asked := op.OnesLike(s.SubScope("all"), column(s.SubScope("first"), x, 0, 1))
			if len(g.parents) > 0 {
				asked = g.askedOp(s, func(s *op.Scope, parent int) tf.Output { return column(s, labels, parent, 1) })
			}
			return op.Mul(s, asked, constant(s.SubScope("row"), slices.Repeat([]float64{o.config.Smoothing * g.even()}, g.count)...))
		})
	}
	kept := op.Mul(s.SubScope("kept"), labels, op.Const(s.SubScope("share"), float32(1-o.config.Smoothing)))
	return op.AddV2(s.SubScope("sum"), kept, even)
}

// constant returns a constant, float32 [len(values)].
func constant(s *op.Scope, values ...float64) tf.Output {
	row := make([]float32, len(values))
	for i, v := range values {
		row[i] = float32(v)
	}
	return op.Const(s, row)
}

// check reports whether x is float32 [N, Outputs], and leaves an error in the
// scope if it is not.
func (o *Objective) check(s *op.Scope, what string, x tf.Output) bool {
	if s.Err() != nil {
		return false
	}
	switch {
	case x.Op == nil:
		s.UpdateErr("objective", fmt.Errorf("%s is not an output of any operation", what))
	case x.DataType() != tf.Float:
		s.UpdateErr("objective", fmt.Errorf("%s has data type %d; expected float32 (%d): cast it before", what, x.DataType(), tf.Float))
	case x.Shape().NumDimensions() != 2 || x.Shape().Size(1) != int64(o.Outputs()):
		s.UpdateErr("objective", fmt.Errorf("%s has the shape %v; expected [N, %d]", what, x.Shape(), o.Outputs()))
	}
	return s.Err() == nil
}
