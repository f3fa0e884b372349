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

// The largest numbers of output pixels of an image for which one matrix product finds a
// kernel's gradient faster than the convolution's own op, and for which nine do, of
// manyChannels and more and without a stride.
const (
	maxOneProduct   = 16
	maxNineProducts = 64
	manyChannels    = 256
)

// filterGradients returns gradients, those of float32 variables, with some of a
// CPU's in bfloat16 found in another way: the gradient of a 3×3 kernel is the
// product of the patches under it with the gradient of its output, or, for each place
// in the kernel, that of the shifted input. oneDNN's kernel
// for it keeps a copy of the gradient for each thread and adds them up, which on
// the few pixels of the last stages costs more than the sums themselves. On two cores,
// ms by oneDNN's kernel, one product, nine products: 512 to 512 channels on 64 images of
// 2×2 12.9, 1.9, 3.2, on 32 of 4×4 8.5, 3.8, 3.4; 256 to 256 on 64 of 4×4 3.7, 2.3, 2.2, on 32 of 8×8
// 5.6, 4.5, 3.7; 128 to 128 on 64 of 8×8 2.9, 3.9, 3.0. (In a whole step nine gain nothing on 4×4.) In
// float32 it is the other way round.
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
		if err != nil || err2 != nil || slices.Min(pixels) < 0 {
			continue // the size is known only when the graph runs
		}
		stride, most := conv.Attr["strides"].GetList().I[1], int64(maxOneProduct)
		if stride == 1 && shape[2] >= manyChannels {
			most = maxNineProducts
		}
		if pixels[1]*pixels[2] > most {
			continue
		}
		ks := s.SubScope("kernel")
		columns := matrix(ks.SubScope("columns"), dy, shape[3])
		var inputs, products []tf.Output // of the one product, or of nine
		width := 9 * shape[2]
		switch {
		case stride > 1:
			inputs = []tf.Output{op.ExtractImagePatches(ks, x, []int64{1, 3, 3, 1}, []int64{1, stride, stride, 1}, []int64{1, 1, 1, 1}, "SAME")}
		case pixels[1]*pixels[2] <= maxOneProduct:
			// ExtractImagePatches does this on one thread.
			inputs = []tf.Output{op.ConcatV2(ks, shifted(ks, x, in), tg.Const(ks.SubScope("channels"), int32(3)))}
		default:
			inputs, width = shifted(ks, x, in), shape[2]
		}
		for _, x := range inputs {
			ps := ks.SubScope("product")
			products = append(products, op.MatMul(ps, matrix(ps, x, width), columns, op.MatMulTransposeA(true)))
		}
		product := products[0]
		if len(products) > 1 {
			product = op.Pack(ks, products)
		}
		out[i] = tg.Cast(ks, op.Reshape(ks, product, tg.Const(ks, shape)), tf.Float)
	}
	return out, s.Err()
}

// matrix is x with rows of so many values.
func matrix(s *op.Scope, x tf.Output, columns int64) tf.Output {
	return op.Reshape(s, x, tg.Const(s, []int64{-1, columns}))
}

// shifted returns x, of the given shape, as it lies under each of the nine places of a
// 3×3 kernel, SAME padding.
func shifted(s *op.Scope, x tf.Output, shape []int64) (all []tf.Output) {
	padded := op.Pad(s, x, tg.Const(s.SubScope("margin"), [][]int32{{0, 0}, {1, 1}, {1, 1}, {0, 0}}))
	size := tg.Const(s.SubScope("size"), shape)
	for row := range int64(3) {
		for column := range int64(3) {
			from := tg.Const(s.SubScope("from"), []int64{0, row, column, 0})
			all = append(all, op.Slice(s.SubScope("shifted"), padded, from, size))
		}
	}
	return all
}
