package network

import (
	"hash/fnv"
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/session"
)

// Variable describes one float32 variable of the model. Its Name is stable: it
// is the key of the value in checkpoints.
type Variable struct {
	Name  string
	Shape []int64
	// Trainable is false for the moving averages of batch norm, which a step
	// assigns rather than descends.
	Trainable bool
	// Decay is true for kernels: weight decay leaves biases and batch norm's
	// gamma and beta alone (He et al. 2019, arXiv 1812.01187, §3.1).
	Decay bool
	// Fixed is true for the variables of frozen layers, which a step does not change.
	Fixed bool

	// Init is the variable's initial value.
	Init Initializer
}

// Elements is the number of values in the variable.
func (v Variable) Elements() int { return int(session.Elements(v.Shape)) }

// Initializer sets a variable's initial value: a constant or, if Stddev is
// above 0, a normal distribution cut off at two standard deviations.
type Initializer struct {
	Value  float32
	Stddev float64
}

// heNormal is the initialisation of He et al. 2015 (arXiv 1502.01852, eq. 10),
// variance 2/fanIn, drawn from a normal distribution cut off at two standard
// deviations and widened by the cut's own loss of variance (0.8796…), as
// Keras' HeNormal does.
func heNormal(fanIn int64) Initializer {
	const truncatedStddev = 0.87962566103423978 // of a standard normal cut at ±2
	return Initializer{Stddev: math.Sqrt(2/float64(fanIn)) / truncatedStddev}
}

// Initial returns v's initial value, float32 of its shape. It is a pure function of (seed,
// name), independent of all other variables. seed is int64 [].
func (v Variable) Initial(s *op.Scope, seed tf.Output) tf.Output {
	dims := tg.Const(s, v.Shape)
	if v.Init.Stddev == 0 {
		return op.Fill(s, dims, tg.Const(s, v.Init.Value))
	}
	h := fnv.New64a()
	h.Write([]byte(v.Name)) // a hash's Write never fails
	key := op.Pack(s, []tf.Output{seed, tg.Const(s, int64(h.Sum64()))})
	normal := op.StatelessTruncatedNormal(s, dims, key)
	return op.Mul(s, normal, tg.Const(s, float32(v.Init.Stddev)))
}

// Weights holds the values of a model's variables by name, each in row-major
// order of the variable's shape.
type Weights map[string][]float32

// Variables makes the parameters of a model under construction: each variable
// once per graph, with the same read for the training and the inference forward
// pass.
type Variables struct {
	scope *op.Scope
	// suffix distinguishes these variables' nodes from other variables' of the same
	// names.
	suffix string
	// Fixed, if set, has the Fixed variables instead of these.
	Fixed *Variables
	// List holds the variables in the order of their creation.
	List    []Variable
	Handles map[string]tf.Output // resource, by variable name
	Reads   map[string]tf.Output // float32, as read at the start of a step, by variable name
}

// HandleNode names the node of a variable's resource in its graph.
func HandleNode(name string) string { return "variable/" + name }

// ReadNode names the node of a variable's value, as read at the start of a step.
func ReadNode(name string) string { return "variable/" + name + "/read" }

// NewVariables returns an empty Variables that adds nodes to the root scope s. suffix is added
// to the names under which their values are saved.
func NewVariables(s *op.Scope, suffix string) *Variables {
	return &Variables{scope: s, suffix: suffix, Handles: map[string]tf.Output{}, Reads: map[string]tf.Output{}}
}

// get returns the variable's value, float32 [shape…], as read at the start of
// a step: gradients are taken with respect to this output.
func (v *Variables) get(d Variable) tf.Output {
	if d.Fixed && v.Fixed != nil {
		return v.Fixed.get(d)
	}
	if read, ok := v.Reads[d.Name]; ok {
		return read
	}
	v.List = append(v.List, d)
	name := d.Name
	d.Name += v.suffix
	v.Handles[name], v.Reads[name] = NewVariable(v.scope, d)
	return v.Reads[name]
}

// NewVariable adds the handle and its read under the names that HandleNode and
// ReadNode give; s must be a root scope for them to be found there.
func NewVariable(s *op.Scope, d Variable) (handle, read tf.Output) {
	h := s.AddOperation(tf.OpSpec{
		Type: "VarHandleOp",
		Name: HandleNode(d.Name),
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
		Name:  ReadNode(d.Name),
		Input: []tf.Input{h.Output(0)},
		Attrs: map[string]any{"dtype": tf.Float},
	})
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	return h.Output(0), r.Output(0)
}
