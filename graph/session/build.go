package session

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Placeholder adds an input of a dtype and a shape, of which -1 is any size, under its name.
func Placeholder(s *op.Scope, name string, dtype tf.DataType, shape ...int64) tf.Output {
	o := s.AddOperation(tf.OpSpec{
		Type: "Placeholder", Name: name,
		Attrs: map[string]any{"dtype": dtype, "shape": tf.MakeShape(shape...)},
	})
	if s.Err() != nil {
		return tf.Output{}
	}
	return o.Output(0)
}

// Named gives a value a node of a name that callers can look up.
func Named(s *op.Scope, name string, x tf.Output) tf.Output {
	if s.Err() != nil {
		return tf.Output{}
	}
	o := s.AddOperation(tf.OpSpec{Type: "Identity", Name: name, Input: []tf.Input{x}})
	if s.Err() != nil {
		return tf.Output{}
	}
	return o.Output(0)
}

// Group adds an op that runs after all of deps.
func Group(s *op.Scope, name string, deps []*tf.Operation) *tf.Operation {
	return s.WithControlDependencies(deps...).AddOperation(tf.OpSpec{Type: "NoOp", Name: name})
}

// Number is a constant, int32 [].
func Number(s *op.Scope, n int) tf.Output { return tg.Const(s.SubScope("number"), int32(n)) }

// RecoverBuild turns a panic while a graph is built into an error. The bindings
// dereference the node of an output, which is missing after the scope's first
// error; that error, not the panic, is what went wrong.
func RecoverBuild(s *op.Scope, err *error) {
	r := recover()
	if r == nil {
		return
	}
	if *err = s.Err(); *err == nil {
		*err = fmt.Errorf("build graph: %v", r)
	}
}
