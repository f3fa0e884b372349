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
	"galaxy/internal/arch"
)

// FilterKernel is a way to find the gradient of a 3×3 convolution's kernel. All give
// the same but for the order of their sums.
type FilterKernel string

const (
	// ConvolutionOp is TensorFlow's op, Conv2DBackpropFilter.
	ConvolutionOp FilterKernel = "convolution"
	// OneProduct is the product of the patches under the kernel, all in memory at once,
	// with the gradient of the convolution's output.
	OneProduct FilterKernel = "one product"
	// NineProducts are, for each place in the kernel, that of the input as it lies there.
	// Convolutions with a stride do not have it.
	NineProducts FilterKernel = "nine products"
)

// FilterKernels are the ways by FilterLayer.String. A layer that is missing is of
// ConvolutionOp.
type FilterKernels map[string]FilterKernel

// FilterLayer is a 3×3 convolution of a training step, SAME padding, whose kernel's gradient
// can be found in several ways. Which is the fastest depends on the machine: oneDNN's
// kernel for the op keeps a copy of the gradient for each thread and adds them up, which on
// the few pixels of the last stages costs more than the sums themselves.
type FilterLayer struct {
	precision                   Precision
	examples, size, in, filters int64 // size: height and width of the input
	stride                      int64
}

// String names the layer, such as "bfloat16 32x8x8x256 to 256 stride 1": the precision,
// the shape of the input, NHWC, the number of filters and the stride.
func (l FilterLayer) String() string {
	return fmt.Sprintf("%s %dx%dx%dx%d to %d stride %d", l.precision, l.examples, l.size, l.size, l.in, l.filters, l.stride)
}

// places is the height and width of the output.
func (l FilterLayer) places() int64 { return (l.size + l.stride - 1) / l.stride }

// Kernels are the ways that there are for the layer.
func (l FilterLayer) Kernels() []FilterKernel {
	if l.stride > 1 {
		return []FilterKernel{ConvolutionOp, OneProduct}
	}
	return []FilterKernel{ConvolutionOp, NineProducts, OneProduct}
}

// FilterLayers lists the layers, each once, of a network that cfg describes, at the full size
// of its images: steps on smaller images have the same ops. examples is the size of a
// micro-batch. There are none where the precision is emulated on a CPU, as ops that round are
// between its convolutions and their gradients.
func FilterLayers(cfg Config, examples int) (layers []FilterLayer) {
	if cfg.Precision.Emulated(false) {
		return nil
	}
	size, in := int64((cfg.Size+3)/4), arch.Stages[0].Filters // after the stem
	for _, stage := range arch.Stages {
		l := FilterLayer{precision: cfg.Precision, examples: int64(examples), size: size, in: in, filters: stage.Filters, stride: 1}
		if in != stage.Filters {
			l.stride = 2
			layers = append(layers, l)
			l.size, l.in, l.stride = l.places(), stage.Filters, 1
		}
		layers = append(layers, l)
		size, in = l.size, l.in
	}
	return layers
}

const (
	// filterTurns is how often each way is measured; the shortest time counts.
	filterTurns = 3
	// filterGain is what another way than the op has to be faster by: within a step
	// its copies of the input cost more than alone.
	filterGain = 1.1
)

// Fastest measures the ways on random values, in a fraction of a second for a step of
// usual size.
func (l FilterLayer) Fastest(cfg session.Config) (_ FilterKernel, err error) {
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
	x := random("x", l.examples, l.size, l.size, l.in)
	dy := random("dy", l.examples, l.places(), l.places(), l.filters)
	kernels := l.Kernels()
	targets := make([]*tf.Operation, len(kernels))
	for i, kernel := range kernels {
		targets[i] = l.gradient(s.SubScope("gradient"), kernel, x, dy).Op
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
	times := make([]time.Duration, len(kernels))
	for turn := range filterTurns + 1 { // the first allocates
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
	return kernels[slices.Index(times, slices.Min(times))], nil
}

// gradient is that of the layer's kernel, [3, 3, in, filters], in the layer's precision,
// where x is the convolution's input and dy the gradient of its output.
func (l FilterLayer) gradient(s *op.Scope, kernel FilterKernel, x, dy tf.Output) tf.Output {
	shape := []int64{3, 3, l.in, l.filters}
	var inputs, products []tf.Output // of the one product, or of nine
	width := 9 * l.in
	switch {
	case kernel == ConvolutionOp:
		sizes := tg.Const(s.SubScope("sizes"), []int32{3, 3, int32(l.in), int32(l.filters)})
		return op.Conv2DBackpropFilter(s, x, sizes, dy, []int64{1, l.stride, l.stride, 1}, "SAME")
	case l.stride > 1:
		inputs = []tf.Output{op.ExtractImagePatches(s, x, []int64{1, 3, 3, 1}, []int64{1, l.stride, l.stride, 1}, []int64{1, 1, 1, 1}, "SAME")}
	case kernel == OneProduct:
		// ExtractImagePatches does this on one thread.
		inputs = []tf.Output{op.ConcatV2(s, l.shifted(s, x), tg.Const(s.SubScope("channels"), int32(3)))}
	default:
		inputs, width = l.shifted(s, x), l.in
	}
	columns := matrix(s.SubScope("columns"), dy, l.filters)
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

// matrix is x with rows of so many values.
func matrix(s *op.Scope, x tf.Output, columns int64) tf.Output {
	return op.Reshape(s, x, tg.Const(s, []int64{-1, columns}))
}

// shifted returns x, the layer's input, as it lies under each of the nine places of the
// kernel.
func (l FilterLayer) shifted(s *op.Scope, x tf.Output) (all []tf.Output) {
	padded := op.Pad(s, x, tg.Const(s.SubScope("margin"), [][]int32{{0, 0}, {1, 1}, {1, 1}, {0, 0}}))
	size := op.Shape(s, x, op.ShapeOutType(tf.Int64)) // of smaller images in some steps
	for row := range int64(3) {
		for column := range int64(3) {
			from := tg.Const(s.SubScope("from"), []int64{0, row, column, 0})
			all = append(all, op.Slice(s.SubScope("shifted"), padded, from, size))
		}
	}
	return all
}

// FilterGradients returns gradients, those of float32 variables, with those of layers'
// kernels found as kernels say. g is the graph that s builds. The ops that are not needed any
// more stay in it and do not run.
func FilterGradients(s *op.Scope, g *tf.Graph, layers []FilterLayer, kernels FilterKernels, gradients []tf.Output) ([]tf.Output, error) {
	def, err := session.Def(g)
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
	out := slices.Clone(gradients)
	for i, gradient := range gradients {
		conv := nodes[gradient.Op.Name()]
		if conv.Op == "Cast" && tf.DataType(conv.Attr["SrcT"].GetType()) == tf.Bfloat16 {
			conv = nodes[conv.Input[0]]
		}
		if conv == nil || conv.Op != "Conv2DBackpropFilter" {
			continue
		}
		shape, err := gradient.Shape().ToSlice()
		if err != nil || shape[0] != 3 || shape[1] != 3 {
			continue
		}
		stride := conv.Attr["strides"].GetList().I[1]
		at := slices.IndexFunc(layers, func(l FilterLayer) bool { return l.in == shape[2] && l.filters == shape[3] && l.stride == stride })
		if at < 0 {
			continue
		}
		l := layers[at]
		kernel, ok := kernels[l.String()]
		if !ok || kernel == ConvolutionOp {
			continue
		}
		if !slices.Contains(l.Kernels(), kernel) {
			return nil, fmt.Errorf("gradient of a kernel, %s: %q is none of %q", l, kernel, l.Kernels())
		}
		ks := s.SubScope("kernel")
		out[i] = tg.Cast(ks, l.gradient(ks, kernel, output(conv.Input[0]), output(conv.Input[2])), tf.Float)
	}
	return out, s.Err()
}
