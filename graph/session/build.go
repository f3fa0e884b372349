package session

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Placeholder adds a named input; -1 in its shape is any size.
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

// Named adds a node with a name by which callers can look up x.
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

// RecoverBuild turns a panic during graph building into an error. After the
// scope's first error outputs have no node, and the bindings panic on the nil
// node; the scope's error is the cause.
func RecoverBuild(s *op.Scope, err *error) {
	r := recover()
	if r == nil {
		return
	}
	if *err = s.Err(); *err == nil {
		*err = fmt.Errorf("build graph: %v", r)
	}
}
