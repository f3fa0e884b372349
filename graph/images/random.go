package images

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Random is the source of a training pass's random numbers. There is no generator state.
type Random struct {
	// Key is int64 [2], the run's seed and the number of steps before this one: all draws are
	// a pure function of it.
	Key tf.Output
	// First, int32 [], is the row of the pass's first example in a batch of Batch examples: an
	// example is varied in the same way on any device and in any micro-batch. Without an Op
	// the pass sees the whole batch.
	First tf.Output
	Batch int64
	// View distinguishes the views of one image: each has its own augmentation. 0 is the only view
	// of a pass that sees an image once.
	View byte
}

// Uniform draws float32 [N, columns] from [0, 1) for the N rows of x. N may be known only when the
// graph runs if the pass sees the whole batch. key, int64
// [2], is r.Key or derived from it.
func (r Random) Uniform(s *op.Scope, key, x tf.Output, columns int64) tf.Output {
	rows := x.Shape().Size(0)
	if rows < 0 { // known only when the graph runs: the first rows of a larger batch are the same
		ss := s.SubScope("shape")
		first := tg.Const(ss.SubScope("begin"), []int32{0})
		one := tg.Const(ss.SubScope("size"), []int32{1})
		shape := op.ConcatV2(ss, []tf.Output{op.Slice(ss, op.Shape(ss, x), first, one), tg.Const(ss.SubScope("columns"), []int32{int32(columns)})}, tg.Const(ss.SubScope("axis"), int32(0)))
		return op.StatelessRandomUniform(s, shape, key)
	}
	if r.First.Op == nil {
		return op.StatelessRandomUniform(s, tg.Const(s, []int64{rows, columns}), key)
	}
	all := op.StatelessRandomUniform(s, tg.Const(s, []int64{r.Batch, columns}), key)
	rs := s.SubScope("rows")
	begin := op.Pack(rs, []tf.Output{r.First, tg.Const(rs, int32(0))})
	return op.Slice(rs, all, begin, tg.Const(rs.SubScope("size"), []int32{int32(rows), int32(columns)}))
}
