package network

import (
	"fmt"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/internal/kernels"
	"galaxy/internal/usage"
)

// Precision names the dtype of the convolutions. Weights, batch statistics,
// the head and the loss are float32 in every precision.
type Precision string

// The precisions a graph can be built in.
const (
	Float32  Precision = "float32"
	BFloat16 Precision = "bfloat16"
	// Float16 trains with dynamic loss scaling. It is for GPUs before compute
	// capability 8.0, such as the T4, which have no bfloat16.
	Float16 Precision = "float16"
	// Auto is the faster of the first two on the given device; Resolve replaces
	// it before a graph is built.
	Auto Precision = "auto"
)

// Resolve replaces Auto by a precision for the training device, a GPU if gpu is set:
// BFloat16 on a CPU with bfloat16 dot products (AVX512-BF16 or AMX) and kernels that use
// them, otherwise Float32. Emulated bfloat16 is slower than float32. GPUs have bfloat16
// only from compute capability 8.0 on, which the bindings do not report, so there it has
// to be requested by name. Other values are returned unchanged.
func (p Precision) Resolve(gpu bool) Precision {
	if p != Auto {
		return p
	}
	if !gpu && kernels.BFloat16() {
		return BFloat16
	}
	return Float32
}

// Emulated reports whether p is emulated on the device, a GPU if gpu is set: every value
// is rounded to p, and the arithmetic is float32. CPUs without instructions for p need
// this, because Eigen's kernels round partial sums of bfloat16 and are slow.
func (p Precision) Emulated(gpu bool) bool {
	return !gpu && (p == Float16 || p == BFloat16 && !kernels.BFloat16())
}

// Validate checks that p is one of the precisions; its error lists them.
func (p Precision) Validate() error {
	if p == Int8 {
		return usage.Errorf("precision %s is for prediction by a SavedModel: export with {frozen} {precision=int8}", p)
	}
	if !slices.Contains([]Precision{Float32, BFloat16, Float16, Auto}, p) {
		return &usage.Field{Name: "precision", Got: p, Expected: fmt.Sprintf("%s, %s, %s or %s", Auto, Float32, BFloat16, Float16)}
	}
	return nil
}

func (p Precision) dtype() tf.DataType {
	switch p {
	case BFloat16:
		return tf.Bfloat16
	case Float16:
		return tf.Half
	}
	return tf.Float
}
