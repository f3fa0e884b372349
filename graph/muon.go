package graph

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
)

// muonWidth is the largest shorter side of a kernel, as a matrix, that Muon orthogonalises. The work
// grows with the cube of that side: at 64 px and batch 64, ResNet34's kernels of up to 256 channels cost a
// twentieth of a step, its last stage's of 512 another two fifths.
const muonWidth = 256

// muonScale is the root mean square of Muon's update at rate 1. Adam's is between 0.2 and 0.4, so both take the
// same rate; Liu et al. 2025 (arXiv 2502.16982, §2.2) have 0.2, docs/recipe.md what 0.5 is worth here.
const muonScale = 0.5

// orthogonalises returns whether the rule is Muon, and orthogonalises the momentum of variable v of the
// given depth (0 is the stem).
func (o Optimizer) orthogonalises(v network.Variable, depth int) bool {
	if o.Kind != Muon || len(v.Shape) != 4 || depth == 0 {
		return false
	}
	rows, columns := matrix(v)
	return min(rows, columns) <= muonWidth
}

// matrix returns the sides of kernel v, [height, width, in, out], as the matrix [height·width·in, out]
// that takes patches to channels.
func matrix(v network.Variable) (rows, columns int64) {
	return v.Shape[0] * v.Shape[1] * v.Shape[2], v.Shape[3]
}

// muon is m ← μ·m + g, w ← w − η·0.5·√(longer side)·orthogonal(g + μ·m) for what it orthogonalises, and
// the other rule for the rest. An orthogonal matrix has the root mean square 1/√(longer side).
func (o Optimizer) muon(s *op.Scope, finite tf.Output, other updateRule) updateRule {
	momentum := tg.Const(s.SubScope("momentum"), float32(o.Momentum))
	keep := ifFinite(s, finite, momentum, 1) // m ← m
	return func(s *op.Scope, u update, rate tf.Output) *tf.Operation {
		if !u.orthogonalised {
			return other(s, u, rate)
		}
		rows, columns := matrix(u.variable)
		ms := s.SubScope("momentum")
		m := op.AddV2(ms, op.Mul(ms, op.ReadVariableOp(ms, u.slots[0], tf.Float), keep), u.gradient)
		as := s.SubScope("ahead")
		ahead := op.AddV2(as, u.gradient, op.Mul(as, m, momentum))
		x := op.Reshape(as, ahead, tg.Const(as, []int64{rows, columns}))
		length := tg.Const(s.SubScope("length"), float32(muonScale*math.Sqrt(float64(max(rows, columns)))))
		x = orthogonal(s.SubScope("orthogonal"), x, columns > rows, op.Mul(s.SubScope("rate"), rate, length))
		ds := s.SubScope("descend")
		step := op.Reshape(ds, x, tg.Const(ds.SubScope("kernel"), u.variable.Shape))
		if s.Err() != nil {
			return nil
		}
		after := ds.WithControlDependencies(op.AssignVariableOp(ms, u.slots[0], m))
		return op.AssignSubVariableOp(after, u.handle, step)
	}
}

// orthogonal returns about length·U·Vᵀ of x = U·S·Vᵀ, float32 [rows, columns], wide if it has more columns:
// x/|x| after five iterations of x ← a·x + b·(x·xᵀ)·x + c·(x·xᵀ)²·x with the coefficients of Jordan et al. 2024
// (https://kellerjordan.github.io/posts/muon/), which take all singular values that are not tiny to between 0.7 and 1.2.
//
// Each iteration multiplies x by a polynomial of its smaller Gram matrix. These commute, so their product
// is made of small matrices, and x itself is multiplied once.
func orthogonal(s *op.Scope, x tf.Output, wide bool, length tf.Output) tf.Output {
	const iterations, a, b, c = 5, 3.4445, -4.7750, 2.0315
	constant := func(name string, value float32) tf.Output { return tg.Const(s.SubScope(name), value) }
	first, second, third := constant("a", a), constant("b", b), constant("c", c)
	square := op.MatMul(s.SubScope("square"), x, x, op.MatMulTransposeA(!wide), op.MatMulTransposeB(wide))
	ns := s.SubScope("norm")
	trace := op.Sum(ns, op.MatrixDiagPart(ns, square), tg.Const(ns, int32(0)))
	norm := op.AddV2(ns, op.Sqrt(ns, trace), constant("epsilon", 1e-7)) // no gradient is 0/0
	square = op.Div(ns, square, op.Square(ns, norm))
	product := op.Div(ns.SubScope("length"), length, norm)
	for i := range iterations {
		is := s.SubScope("iteration")
		p := op.AddV2(is, op.Mul(is, square, second), op.Mul(is.SubScope("fourth"), op.MatMul(is, square, square), third))
		ds := is.SubScope("diagonal")
		p = op.MatrixSetDiag(ds, p, op.AddV2(ds, op.MatrixDiagPart(ds, p), first))
		if ps := is.SubScope("product"); i == 0 {
			product = op.Mul(ps, product, p)
		} else {
			product = op.MatMul(ps, product, p)
		}
		if i < iterations-1 {
			square = op.MatMul(is.SubScope("left"), p, op.MatMul(is.SubScope("right"), square, p))
		}
	}
	if wide {
		return op.MatMul(s.SubScope("result"), product, x)
	}
	return op.MatMul(s.SubScope("result"), x, product)
}
