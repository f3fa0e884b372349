// Package graphtest holds what tests of TensorFlow graphs need: running a
// graph once on given values, and checking its gradients against central
// differences.
//
// A test builds a graph in an op.Scope, calls [Finalize] once, and then any of
// the other functions:
//
//	s := op.NewScope()
//	x := op.Placeholder(s, tf.Float, op.PlaceholderShape(tf.MakeShape(3)))
//	y := op.Sum(…)
//	g := graphtest.Finalize(t, s)
//	feeds := graphtest.Feeds{x: graphtest.Float32(t, []float64{1, 2, 3}, 3)}
//	got := graphtest.Floats(t, graphtest.Run(t, g, feeds, y)[0])
//	graphtest.CheckGradient(t, graphtest.Gradient{Graph: g, Y: y, X: x, Feeds: feeds})
//
// All errors end the test with t.Fatal, except wrong gradients: t.Error lets
// one test report several.
package graphtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Feeds gives tensors to placeholders, or to any other output instead of what
// it would have computed.
type Feeds map[tf.Output]*tf.Tensor

// Finalize returns the graph built in s. The scope cannot be used afterwards;
// op.NewScopeWithGraph adds more to the graph.
func Finalize(t testing.TB, s *op.Scope) *tf.Graph {
	t.Helper()
	g, err := s.Finalize()
	if err != nil {
		t.Fatalf("build graph: %v", err)
	}
	return g
}

// Run computes outputs once in a session of its own: variables do not outlive
// the call.
func Run(t testing.TB, g *tf.Graph, feeds Feeds, outputs ...tf.Output) []*tf.Tensor {
	t.Helper()
	session, err := tf.NewSession(g, nil)
	if err != nil {
		t.Fatalf("start session: %v", err)
	}
	defer closeSession(t, session)
	values, err := session.Run(feeds, outputs, nil)
	if err != nil {
		t.Fatalf("run graph: %v", err)
	}
	return values
}

func closeSession(t testing.TB, session *tf.Session) {
	t.Helper()
	if err := session.Close(); err != nil {
		t.Errorf("close session: %v", err)
	}
}

// Float32 returns a float32 tensor with values in row-major order; without a
// shape, a scalar.
func Float32(t testing.TB, values []float64, shape ...int64) *tf.Tensor {
	t.Helper()
	return newTensor(t, tf.Float, values, shape)
}

// Float64 is Float32 for float64 tensors.
func Float64(t testing.TB, values []float64, shape ...int64) *tf.Tensor {
	t.Helper()
	return newTensor(t, tf.Double, values, shape)
}

func newTensor(t testing.TB, dtype tf.DataType, values []float64, shape []int64) *tf.Tensor {
	t.Helper()
	elements := int64(1)
	for _, n := range shape {
		elements *= n
	}
	if elements != int64(len(values)) {
		t.Fatalf("shape %v has %d elements, got %d values", shape, elements, len(values))
	}
	var raw []byte
	for _, v := range values {
		if dtype == tf.Float {
			raw = binary.NativeEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		} else {
			raw = binary.NativeEndian.AppendUint64(raw, math.Float64bits(v))
		}
	}
	tensor, err := tf.ReadTensor(dtype, shape, bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("make tensor of shape %v: %v", shape, err)
	}
	return tensor
}

// Floats returns the elements of a float32 or float64 tensor of any shape in
// row-major order.
func Floats(t testing.TB, tensor *tf.Tensor) []float64 {
	t.Helper()
	var buffer bytes.Buffer
	if _, err := tensor.WriteContentsTo(&buffer); err != nil {
		t.Fatalf("read tensor: %v", err)
	}
	raw := buffer.Bytes()
	var values []float64
	switch tensor.DataType() {
	case tf.Float:
		for ; len(raw) > 0; raw = raw[4:] {
			values = append(values, float64(math.Float32frombits(binary.NativeEndian.Uint32(raw))))
		}
	case tf.Double:
		for ; len(raw) > 0; raw = raw[8:] {
			values = append(values, math.Float64frombits(binary.NativeEndian.Uint64(raw)))
		}
	default:
		t.Fatalf("tensor has data type %d; expected float32 (%d) or float64 (%d)", tensor.DataType(), tf.Float, tf.Double)
	}
	return values
}

// describe names an output in messages as TensorFlow does, "scope/name:0".
func describe(o tf.Output) string {
	return fmt.Sprintf("%s:%d", o.Op.Name(), o.Index)
}

// FreePorts returns loopback ports that were free a moment ago.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
