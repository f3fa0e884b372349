package graph

import (
	"hash/fnv"
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Variable describes one float32 variable of the model. Its Name is short,
// chosen and stable: it is the key under which checkpoints hold the value.
type Variable struct {
	Name  string
	Shape []int64
	// Trainable is false for the moving averages of batch norm, which a step
	// assigns rather than descends.
	Trainable bool
	// Decay is true for kernels: weight decay leaves biases and batch norm's
	// gamma and beta alone (He et al. 2019, arXiv 1812.01187, §3.1).
	Decay bool

	init initializer
}

// Elements is the number of values in the variable.
func (v Variable) Elements() int { return int(elements(v.Shape)) }

// initializer gives a variable's first value: a constant, or, where stddev is
// above 0, a normal distribution cut off at two standard deviations.
type initializer struct {
	value  float32
	stddev float64
}

// heNormal is the initialisation of He et al. 2015 (arXiv 1502.01852, eq. 10),
// variance 2/fanIn, drawn from a normal distribution cut off at two standard
// deviations and widened by the cut's own loss of variance (0.8796…), as
// Keras' HeNormal does.
func heNormal(fanIn int64) initializer {
	const truncatedStddev = 0.87962566103423978 // of a standard normal cut at ±2
	return initializer{stddev: math.Sqrt(2/float64(fanIn)) / truncatedStddev}
}

// build returns the first value, float32 [shape…]. It is a pure function of
// (seed, name), whatever other variables there are: seed is int64 [].
func (in initializer) build(s *op.Scope, name string, shape []int64, seed tf.Output) tf.Output {
	dims := tg.Const(s, shape)
	if in.stddev == 0 {
		return op.Fill(s, dims, tg.Const(s, in.value))
	}
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash never fails to be written to
	key := op.Pack(s, []tf.Output{seed, tg.Const(s, int64(h.Sum64()))})
	normal := op.StatelessTruncatedNormal(s, dims, key)
	return op.Mul(s, normal, tg.Const(s, float32(in.stddev)))
}

// Weights holds the values of a model's variables by name, each in row-major
// order of the variable's shape.
type Weights map[string][]float32

// variables is where a model under construction gets its parameters: it makes
// each variable once per graph and hands the same read to the training and the
// inference forward pass.
type variables struct {
	scope *op.Scope
	// suffix tells these variables' nodes from those of others of the same
	// names.
	suffix  string
	list    []Variable
	handles map[string]tf.Output // resource, by variable name
	reads   map[string]tf.Output // float32
}

// Names of a variable's nodes in its graph.
func handleNode(name string) string { return "variable/" + name }
func readNode(name string) string   { return "variable/" + name + "/read" }

func newVariables(s *op.Scope, suffix string) *variables {
	return &variables{scope: s, suffix: suffix, handles: map[string]tf.Output{}, reads: map[string]tf.Output{}}
}

// get returns the variable's value, float32 [shape…], as read at the start of
// a step: gradients are taken with respect to this output.
func (v *variables) get(d Variable) tf.Output {
	if read, ok := v.reads[d.Name]; ok {
		return read
	}
	v.list = append(v.list, d)
	name := d.Name
	d.Name += v.suffix
	v.handles[name], v.reads[name] = newVariable(v.scope, d)
	return v.reads[name]
}

// readsOf are the values of vars in their order.
func readsOf(vars []Variable, reads map[string]tf.Output) []tf.Output {
	values := make([]tf.Output, len(vars))
	for i, v := range vars {
		values[i] = reads[v.Name]
	}
	return values
}

// newVariable adds the handle and its read under the names that handleNode and
// readNode tell; s must be a root scope for them to be found there.
func newVariable(s *op.Scope, d Variable) (handle, read tf.Output) {
	h := s.AddOperation(tf.OpSpec{
		Type: "VarHandleOp",
		Name: handleNode(d.Name),
		Attrs: map[string]any{
			"dtype":       tf.Float,
			"shape":       tf.MakeShape(d.Shape...),
			"shared_name": d.Name,
		},
	})
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	r := s.AddOperation(tf.OpSpec{
		Type:  "ReadVariableOp",
		Name:  readNode(d.Name),
		Input: []tf.Input{h.Output(0)},
		Attrs: map[string]any{"dtype": tf.Float},
	})
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	return h.Output(0), r.Output(0)
}
