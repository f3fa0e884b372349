package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/session"
)

// FilterAlgorithm names how the gradient of a 3×3 convolution's kernel is computed. All give the
// same values up to the order of summation. The strings are stored in config.json and in the
// user's cache folder.
type FilterAlgorithm string

const (
	// ConvolutionOp is TensorFlow's op, Conv2DBackpropFilter.
	ConvolutionOp FilterAlgorithm = "convolution"
	// Im2Col copies the patches under the kernel into one matrix and multiplies it by the
	// gradient of the convolution's output.
	Im2Col FilterAlgorithm = "one product"
	// ShiftedMatMul multiplies, for each of the kernel's nine taps, the input shifted by the
	// tap's offset by the gradient of the output. It is not available for convolutions with
	// a stride.
	ShiftedMatMul FilterAlgorithm = "nine products"
)

// FilterAlgorithms holds the algorithms by FilterLayer.String. Layers that are missing use
// ConvolutionOp.
type FilterAlgorithms map[string]FilterAlgorithm

// FilterLayer is a 3×3 convolution of a training step whose kernel's gradient can be computed by
// several algorithms. Which is the fastest depends on the machine: oneDNN's kernel for the op
// keeps a copy of the gradient for each thread and adds up the copies, which on the few pixels
// of the last stages costs more than computing them.
type FilterLayer struct {
	Convolution
	precision Precision
	padding   Padding
	examples  int64
}

// String names the layer, such as "bfloat16 32x8x8x256 to 256 stride 1": the precision,
// the shape of the input, NHWC, the number of filters, the stride, and the padding if it is not SAME.
func (l FilterLayer) String() string {
	padding := ""
	if l.margin() > 0 {
		padding = " " + string(l.padding)
	}
	return fmt.Sprintf("%s %dx%dx%dx%d to %d stride %d%s", l.precision, l.examples, l.Size, l.Size, l.In, l.Filters, l.Stride, padding)
}

// margin is the number of pixels that an op adds to each side of the input before the convolution.
func (l FilterLayer) margin() int64 {
	if l.padding.explicit(l.Taps, l.Stride) {
		return (l.Taps - 1) / 2
	}
	return 0
}

// Algorithms lists the algorithms that can compute the layer's gradient.
func (l FilterLayer) Algorithms() []FilterAlgorithm {
	if l.Stride > 1 {
		return []FilterAlgorithm{ConvolutionOp, Im2Col}
	}
	return []FilterAlgorithm{ConvolutionOp, ShiftedMatMul, Im2Col}
}

// FilterLayers lists the 3×3 convolutions of a network that cfg describes, at the full size of
// its images: steps on smaller images have the same ops. examples is the size of a
// micro-batch. There are none if the precision is emulated on a CPU, as rounding ops are then
// between the convolutions and their gradients.
func FilterLayers(cfg Config, examples int) (layers []FilterLayer, err error) {
	n, err := Named(cfg.Arch)
	if err != nil || cfg.Precision.Emulated(false) {
		return nil, err
	}
	convolutions, err := n.Convolutions(cfg.Shape())
	for _, c := range convolutions {
		if c.Taps == 3 {
			layers = append(layers, FilterLayer{c, cfg.Precision, cfg.Padding, int64(examples)})
		}
	}
	return layers, err
}

const (
	// filterTurns is how often each algorithm is measured; the shortest time counts.
	filterTurns = 3
	// filterGain is how many times faster than the op another algorithm has to be:
	// within a step its copies of the input cost more than in isolation.
	filterGain = 1.1
)

// Fastest measures the algorithms on random values, in a fraction of a second for a step of
// usual size.
func (l FilterLayer) Fastest(cfg session.Config) (_ FilterAlgorithm, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("measure the gradient of a kernel, %s: %w", l, err)
		}
	}()
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g).WithDevice(session.HostDevice)
	dtype := l.precision.dtype()
	var inits []*tf.Operation
	random := func(name string, shape ...int64) tf.Output {
		rs := s.SubScope(name)
		v := op.VarHandleOp(rs, dtype, tf.MakeShape(shape...), op.VarHandleOpSharedName(name))
		value := op.StatelessRandomNormal(rs, tg.Const(rs, shape), tg.Const(rs.SubScope("seed"), []int64{1, 2}))
		inits = append(inits, op.AssignVariableOp(rs, v, tg.Cast(rs, value, dtype)))
		return op.ReadVariableOp(rs, v, dtype)
	}
	size := l.Size + 2*l.margin()
	x := random("x", l.examples, size, size, l.In)
	dy := random("dy", l.examples, l.OutputSize(), l.OutputSize(), l.Filters)
	algorithms := l.Algorithms()
	targets := make([]*tf.Operation, len(algorithms))
	for i, algorithm := range algorithms {
		targets[i] = l.gradient(s.SubScope("gradient"), algorithm, x, dy).Op
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	sess, err := session.New(g, cfg.On([]string{session.HostDevice}, nil))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	if _, err := sess.Run(nil, nil, inits); err != nil {
		return "", err
	}
	times := make([]time.Duration, len(algorithms))
	for turn := range filterTurns + 1 { // the first round allocates
		for i, target := range targets {
			begin := time.Now()
			if _, err := sess.Run(nil, nil, []*tf.Operation{target}); err != nil {
				return "", err
			}
			if took := time.Since(begin); turn <= 1 || took < times[i] {
				times[i] = took
			}
		}
	}
	times[0] = time.Duration(float64(times[0]) / filterGain)
	return algorithms[slices.Index(times, slices.Min(times))], nil
}

// gradient computes the gradient of the layer's kernel, [3, 3, in, filters], in the layer's precision,
// where x is the convolution's input, with its margin, and dy the gradient of its output.
func (l FilterLayer) gradient(s *op.Scope, algorithm FilterAlgorithm, x, dy tf.Output) tf.Output {
	shape := []int64{3, 3, l.In, l.Filters}
	padding := "SAME"
	if l.margin() > 0 {
		padding = "VALID"
	}
	var inputs, products []tf.Output // of Im2Col's product, or of nine
	width := 9 * l.In
	switch {
	case algorithm == ConvolutionOp:
		sizes := tg.Const(s.SubScope("sizes"), []int32{3, 3, int32(l.In), int32(l.Filters)})
		return op.Conv2DBackpropFilter(s, x, sizes, dy, []int64{1, l.Stride, l.Stride, 1}, padding)
	case l.Stride > 1:
		inputs = []tf.Output{op.ExtractImagePatches(s, x, []int64{1, 3, 3, 1}, []int64{1, l.Stride, l.Stride, 1}, []int64{1, 1, 1, 1}, padding)}
	case algorithm == Im2Col:
		// ExtractImagePatches does this on one thread.
		inputs = []tf.Output{op.ConcatV2(s, l.shifted(s, x), tg.Const(s.SubScope("channels"), int32(3)))}
	default:
		inputs, width = l.shifted(s, x), l.In
	}
	columns := matrix(s.SubScope("columns"), dy, l.Filters)
	for _, x := range inputs {
		ps := s.SubScope("product")
		products = append(products, op.MatMul(ps, matrix(ps, x, width), columns, op.MatMulTransposeA(true)))
	}
	product := products[0]
	if len(products) > 1 {
		product = op.Pack(s, products)
	}
	return op.Reshape(s, product, tg.Const(s, shape))
}

// matrix returns x as a matrix with the given number of columns.
func matrix(s *op.Scope, x tf.Output, columns int64) tf.Output {
	return op.Reshape(s, x, tg.Const(s, []int64{-1, columns}))
}

// shifted returns x, the layer's input, shifted by the offset of each of the kernel's nine taps.
func (l FilterLayer) shifted(s *op.Scope, x tf.Output) (all []tf.Output) {
	padded := op.Pad(s, x, tg.Const(s.SubScope("margin"), [][]int32{{0, 0}, {1, 1}, {1, 1}, {0, 0}}))
	size := op.Shape(s, x, op.ShapeOutType(tf.Int64)) // some steps have smaller images
	for row := range int64(3) {
		for column := range int64(3) {
			from := tg.Const(s.SubScope("from"), []int64{0, row, column, 0})
			all = append(all, op.Slice(s.SubScope("shifted"), padded, from, size))
		}
	}
	return all
}

// FilterGradients returns gradients, float32, of the named variables, with the gradients of the
// layers' kernels computed by the given algorithms. g is the graph that s builds. The replaced
// ops stay in it and do not run.
func FilterGradients(s *op.Scope, g *tf.Graph, layers []FilterLayer, algorithms FilterAlgorithms, names []string, gradients []tf.Output) ([]tf.Output, error) {
	def, err := session.Def(g)
	if err != nil {
		return nil, err
	}
	nodes := map[string]*nodepb.NodeDef{}
	for _, n := range def.Node {
		nodes[n.Name] = n
	}
	output := func(name string) tf.Output { // name is an input as GraphDef writes it, NODE or NODE:INDEX
		node, index, _ := strings.Cut(name, ":")
		i, _ := strconv.Atoi(index) // "" is the first
		return g.Operation(node).Output(i)
	}
	out := slices.Clone(gradients)
	for i, gradient := range gradients {
		at := slices.IndexFunc(layers, func(l FilterLayer) bool { return l.Kernel == names[i] })
		if at < 0 {
			continue
		}
		l := layers[at]
		algorithm, ok := algorithms[l.String()]
		if !ok || algorithm == ConvolutionOp {
			continue
		}
		if !slices.Contains(l.Algorithms(), algorithm) {
			return nil, fmt.Errorf("gradient of a kernel, %s: %q is none of %q", l, algorithm, l.Algorithms())
		}
		conv := nodes[gradient.Op.Name()]
		if conv.Op == "Cast" && tf.DataType(conv.Attr["SrcT"].GetType()) == tf.Bfloat16 {
			conv = nodes[conv.Input[0]]
		}
		if conv == nil || conv.Op != "Conv2DBackpropFilter" {
			return nil, fmt.Errorf("gradient of a kernel, %s: it does not come from a convolution", l)
		}
		ks := s.SubScope("kernel")
		out[i] = tg.Cast(ks, l.gradient(ks, algorithm, output(conv.Input[0]), output(conv.Input[2])), tf.Float)
	}
	return out, s.Err()
}
