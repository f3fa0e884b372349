package graph

import (
	"slices"
	"strconv"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// maxFilterGEMM is the largest number of output pixels of an image for which a
// matrix product finds a kernel's gradient faster than the convolution's own op.
const maxFilterGEMM = 16

// filterGradients returns gradients, those of float32 variables, with some of a
// CPU's in bfloat16 found in another way: the gradient of a 3×3 kernel is the
// product of the patches under it with the gradient of its output. oneDNN's kernel
// for it keeps a copy of the gradient for each thread and adds them up, which on
// the few pixels of the last stages costs more than the sums themselves: 8.5 ms
// against 2.5 for 512 to 512 channels on 64 images of 2×2, 4.2 against 2.1 for 256
// to 256 on 4×4; in float32 it is the other way round.
//
// g is the graph that s builds. The ops that are not needed any more stay in it
// and do not run.
func filterGradients(s *op.Scope, g *tf.Graph, gradients []tf.Output) ([]tf.Output, error) {
	def, err := Def(g)
	if err != nil {
		return nil, err
	}
	nodes := map[string]*nodepb.NodeDef{}
	for _, n := range def.Node {
		nodes[n.Name] = n
	}
	output := func(name string) tf.Output { // of an input as GraphDef writes it, NODE or NODE:INDEX
		node, index, _ := strings.Cut(name, ":")
		i, _ := strconv.Atoi(index) // "" is the first
		return g.Operation(node).Output(i)
	}
	out := make([]tf.Output, len(gradients))
	for i, gradient := range gradients {
		out[i] = gradient
		cast := nodes[gradient.Op.Name()]
		if cast.Op != "Cast" || tf.DataType(cast.Attr["SrcT"].GetType()) != tf.Bfloat16 {
			continue
		}
		conv := nodes[cast.Input[0]]
		if conv == nil || conv.Op != "Conv2DBackpropFilter" {
			continue
		}
		x, dy := output(conv.Input[0]), output(conv.Input[2])
		shape, err := gradient.Shape().ToSlice()
		if err != nil || shape[0] != 3 || shape[1] != 3 {
			continue
		}
		in, err := x.Shape().ToSlice()
		pixels, err2 := dy.Shape().ToSlice()
		if err != nil || err2 != nil || slices.Min(pixels) < 0 || pixels[1]*pixels[2] > maxFilterGEMM {
			continue // also where the size is known only when the graph runs
		}
		stride := conv.Attr["strides"].GetList().I[1]
		ks := s.SubScope("kernel")
		rows := op.Reshape(ks.SubScope("rows"), patches(ks, x, in, stride), tg.Const(ks.SubScope("rows"), []int64{-1, 9 * shape[2]}))
		columns := op.Reshape(ks.SubScope("columns"), dy, tg.Const(ks.SubScope("columns"), []int64{-1, shape[3]}))
		product := op.MatMul(ks, rows, columns, op.MatMulTransposeA(true))
		out[i] = tg.Cast(ks, op.Reshape(ks, product, tg.Const(ks, shape)), tf.Float)
	}
	return out, s.Err()
}

// patches returns the pixels under a 3×3 kernel at each of its places, SAME
// padding: [N, height, width, 9·channels] of x, which has the given shape.
func patches(s *op.Scope, x tf.Output, shape []int64, stride int64) tf.Output {
	if stride > 1 {
		return op.ExtractImagePatches(s, x, []int64{1, 3, 3, 1}, []int64{1, stride, stride, 1}, []int64{1, 1, 1, 1}, "SAME")
	}
	// ExtractImagePatches does this on one thread.
	padded := op.Pad(s, x, tg.Const(s.SubScope("margin"), [][]int32{{0, 0}, {1, 1}, {1, 1}, {0, 0}}))
	size := tg.Const(s.SubScope("size"), shape)
	var shifted []tf.Output
	for row := range int64(3) {
		for column := range int64(3) {
			from := tg.Const(s.SubScope("from"), []int64{0, row, column, 0})
			shifted = append(shifted, op.Slice(s.SubScope("shifted"), padded, from, size))
		}
	}
	return op.ConcatV2(s, shifted, tg.Const(s.SubScope("channels"), int32(3)))
}
