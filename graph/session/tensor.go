package session

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"

	tf "github.com/galeone/tensorflow/tensorflow/go"
)

// Uint8Tensor copies data into a tensor; the bindings' NewTensor is slower, as
// it uses reflection.
func Uint8Tensor(data []byte, shape ...int64) (*tf.Tensor, error) {
	if want := Elements(shape); int64(len(data)) != want || want == 0 {
		return nil, fmt.Errorf("%d bytes: expected %d for shape %v", len(data), want, shape)
	}
	return tf.ReadTensor(tf.Uint8, shape, bytes.NewReader(data))
}

// Float32Tensor copies data into a tensor.
func Float32Tensor(data []float32, shape ...int64) (*tf.Tensor, error) {
	if want := Elements(shape); int64(len(data)) != want {
		return nil, fmt.Errorf("%d values: expected %d for shape %v", len(data), want, shape)
	}
	raw := make([]byte, 0, 4*len(data))
	for _, x := range data {
		raw = binary.NativeEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return tf.ReadTensor(tf.Float, shape, bytes.NewReader(raw))
}

// Floats copies a float32 tensor's values out, in row-major order.
func Floats(t *tf.Tensor) ([]float32, error) {
	if t.DataType() != tf.Float {
		return nil, fmt.Errorf("tensor of dtype %v: expected float32", t.DataType())
	}
	var raw bytes.Buffer
	raw.Grow(4 * int(Elements(t.Shape())))
	_, err := t.WriteContentsTo(&raw)
	runtime.KeepAlive(t) // the bindings copy from C memory that t's finalizer frees
	if err != nil {
		return nil, fmt.Errorf("read tensor: %w", err)
	}
	out := make([]float32, raw.Len()/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.NativeEndian.Uint32(raw.Bytes()[4*i:]))
	}
	return out, nil
}

// Elements is the number of values in a tensor of a shape.
func Elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}
