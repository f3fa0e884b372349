package graph

import (
	"fmt"
	"os"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// saver writes and reads variables as a TensorFlow bundle.
type saver struct {
	prefix   tf.Output // string [], fed
	saving   *tf.Operation
	assigned *tf.Operation
}

// newSaver adds ops for vars, under their names: SaveV2 if there are values, and
// RestoreV2 if there are handles. Restoring assigns a value to all handles of a
// variable.
func newSaver(s *op.Scope, vars []network.Variable, handles map[string][]tf.Output, values []tf.Output) saver {
	names := make([]string, len(vars))
	slices := make([]string, len(vars)) // "" is the whole tensor
	dtypes := make([]tf.DataType, len(vars))
	for i, v := range vars {
		names[i], dtypes[i] = v.Name, tf.Float
	}
	sv := saver{prefix: session.Placeholder(s, "prefix", tf.String)}
	keys, whole := tg.Const(s.SubScope("names"), names), tg.Const(s.SubScope("slices"), slices)
	if values != nil {
		sv.saving = op.SaveV2(s, sv.prefix, keys, whole, values)
	}
	if handles == nil {
		return sv
	}
	restored := op.RestoreV2(s, sv.prefix, keys, whole, dtypes)
	if s.Err() != nil {
		return sv
	}
	var assigns []*tf.Operation
	for i, v := range vars {
		// Without this check a value of another shape would be assigned, and
		// fail in the middle of the first step.
		value := op.EnsureShape(s.SubScope("shape"), restored[i], tf.MakeShape(v.Shape...))
		assigns = append(assigns, assign(s.SubScope("assign"), handles[v.Name], value)...)
	}
	sv.assigned = session.Group(s, "restored", assigns)
	return sv
}

// snapshot saves copies of the variables' values, taken at an earlier step.
type snapshot struct {
	saver
	take *tf.Operation
}

// newSnapshot adds the ops for vars, with the given values. The copies are on the host
// and keep their memory, so that TensorFlow's allocator, which returns nothing to the
// system, always finds the same room. Only TensorFlow's reference variables (VariableV2)
// are assigned to in place.
func newSnapshot(s *op.Scope, vars []network.Variable, values []tf.Output) snapshot {
	var takes []*tf.Operation
	copies := make([]tf.Output, len(vars))
	for i, v := range vars {
		ss := s.SubScope("snapshot").SubScope(v.Name)
		kept := ss.AddOperation(tf.OpSpec{Type: "VariableV2", Attrs: map[string]any{"dtype": tf.Float, "shape": tf.MakeShape(v.Shape...)}})
		if s.Err() != nil {
			return snapshot{}
		}
		copies[i] = kept.Output(0)
		takes = append(takes, ss.AddOperation(tf.OpSpec{Type: "Assign", Input: []tf.Input{copies[i], values[i]}}))
	}
	return snapshot{take: session.Group(s, "snapshot", takes), saver: newSaver(s, vars, nil, copies)}
}

// assign sets all variables behind handles to value, each on its own device.
func assign(s *op.Scope, handles []tf.Output, value tf.Output) []*tf.Operation {
	ops := make([]*tf.Operation, len(handles))
	for i, handle := range handles {
		ops[i] = op.AssignVariableOp(s.SubScope("copy").WithDevice(handle.Op.Device()), handle, value)
	}
	return ops
}

func (sv saver) run(sess *tf.Session, prefix string, target *tf.Operation) error {
	value, err := tf.NewTensor(prefix)
	if err != nil {
		return err
	}
	_, err = sess.Run(map[tf.Output]*tf.Tensor{sv.prefix: value}, nil, []*tf.Operation{target})
	return err
}

func (sv saver) save(sess *tf.Session, prefix string) error {
	if err := sv.run(sess, prefix, sv.saving); err != nil {
		return usage.Errorf("save variables to %s: %s; free some space if the disk is full (a training run then goes on with {resume})", prefix, session.FirstLine(err))
	}
	return nil
}

func (sv saver) restore(sess *tf.Session, prefix string) error {
	if err := session.CheckPath(prefix); err != nil {
		return fmt.Errorf("restore variables: %w", err)
	}
	err := session.CheckBundle(prefix)
	if err == nil {
		err = sv.run(sess, prefix, sv.assigned)
	}
	if err == nil {
		return nil
	}
	if _, missing := os.Stat(prefix + ".index"); missing != nil { // TensorFlow's error is only text
		return fmt.Errorf("restore variables: %w; expected a bundle with all variables of this network, in their shapes", missing)
	}
	return fmt.Errorf("restore variables from %s: %s; expected a bundle with all variables of this network, in their shapes", prefix, session.FirstLine(err))
}

// readsOf returns the values of vars in their order.
func readsOf(vars []network.Variable, reads map[string]tf.Output) []tf.Output {
	values := make([]tf.Output, len(vars))
	for i, v := range vars {
		values[i] = reads[v.Name]
	}
	return values
}
