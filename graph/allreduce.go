package graph

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/session"
)

// accumulate returns the means of values, float32, over n micro-batches. The run
// that fetches the means is the last micro-batch; the runs before it use the
// targets nodeAccumulateFirst and nodeAccumulateMore.
func accumulate(s *op.Scope, n int, values []tf.Output) []tf.Output {
	if n == 1 || s.Err() != nil {
		return values
	}
	scope := s.SubScope("accumulated")
	fraction := tg.Const(scope.SubScope("share"), float32(1)/float32(n))
	means := make([]tf.Output, len(values))
	var first, more []*tf.Operation
	for i, value := range values {
		vs := scope.SubScope("value")
		shape, err := value.Shape().ToSlice()
		if err != nil {
			s.UpdateErr("VarHandleOp", fmt.Errorf("shape of %s: %w", value.Op.Name(), err))
			return nil
		}
		sum := op.VarHandleOp(vs, tf.Float, tf.MakeShape(shape...), op.VarHandleOpSharedName(fmt.Sprintf("accumulated/%d", i)))
		first = append(first, op.AssignVariableOp(vs, sum, value))
		more = append(more, op.AssignAddVariableOp(vs, sum, value))
		means[i] = op.Mul(vs, op.AddV2(vs, op.ReadVariableOp(vs, sum, tf.Float), value), fraction)
	}
	session.Group(s, nodeAccumulateFirst, first)
	session.Group(s, nodeAccumulateMore, more)
	return means
}

// collectives is the number of all-reduces of a step. A few big buffers travel
// faster than many small ones; with more than one, the first is sent while the
// backward pass still computes the rest.
const collectives = 4

// allReduce returns the means of values, float32, over the replicas, on GPUs or
// CPUs. All replicas must build the same all-reduces.
func allReduce(s *op.Scope, replicas int, gpu bool, values []tf.Output) []tf.Output {
	if replicas == 1 || s.Err() != nil {
		return values
	}
	shapes, counts := make([][]int64, len(values)), make([]int64, len(values))
	var total int64
	for i, value := range values {
		shape, err := value.Shape().ToSlice()
		if err != nil {
			s.UpdateErr("CollectiveReduceV2", fmt.Errorf("shape of %s: %w", value.Op.Name(), err))
			return nil
		}
		shapes[i], counts[i] = shape, session.Elements(shape)
		total += counts[i]
	}
	size, key := session.Number(s, replicas), session.Number(s, session.ReplicaGroup)
	hint := "auto"
	if gpu {
		hint = "nccl" // without it GPUs send everything through the host
	}
	means := make([]tf.Output, len(values))
	buckets := max(1, min(collectives, len(values)/2)) // a head alone has few values
	// The backward pass ends with the first values: the last are ready first.
	end := len(values)
	var before []*tf.Operation
	for bucket := range buckets {
		begin, count := end, int64(0)
		// Take at least two values, ConcatV2's minimum, and leave as many for each later all-reduce.
		for begin > 2*(buckets-1-bucket) && (bucket == buckets-1 || end-begin < 2 || count < total/int64(buckets)) {
			begin--
			count += counts[begin]
		}
		bs := s.SubScope("bucket")
		var rows []tf.Output
		for _, value := range values[begin:end] {
			fs := bs.SubScope("flat")
			rows = append(rows, op.Reshape(fs, value, tg.Const(fs, []int32{-1})))
		}
		packed := op.ConcatV2(bs, rows, tg.Const(bs.SubScope("axis"), int32(0)))
		// One after the other: on several GPUs NCCL waits forever if two
		// devices start all-reduces in different orders.
		mean := op.CollectiveReduceV2(bs.WithControlDependencies(before...), packed, size, key, session.Number(s, bucket+1), nil, "Add", "Div",
			op.CollectiveReduceV2CommunicationHint(hint))
		before = []*tf.Operation{mean.Op}
		parts := op.SplitV(bs, mean, tg.Const(bs.SubScope("counts"), counts[begin:end]), tg.Const(bs.SubScope("split_axis"), int32(0)), int64(end-begin))
		for i, part := range parts {
			ps := bs.SubScope("shaped")
			means[begin+i] = op.Reshape(ps, part, tg.Const(ps.SubScope("shape"), shapes[begin+i]))
		}
		end = begin
	}
	return means
}
