package network

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/internal/usage"
)

// Padding names where the margin lies that convolutions and the stem's pooling add to images.
// It matters with a stride of 2 and an even size only: the margin is then one pixel wider on one
// side than SAME makes it, and every output pixel sees its input shifted by one. Shapes are
// equal, so a network accepts weights that were trained with the other padding, and is worse
// than it could be.
type Padding string

const (
	// Same is TensorFlow's SAME: as few pixels as needed, the odd one after the image. Keras'
	// networks have it.
	Same Padding = "same"
	// Symmetric is (size−1)/2 pixels on all sides, where size is the kernel's. PyTorch's
	// networks have it.
	Symmetric Padding = "symmetric"
)

// Paddings lists the values.
func Paddings() []Padding { return []Padding{Same, Symmetric} }

// PaddingMatters reports whether Same and Symmetric differ on images of this size, pixels: they
// differ where a layer with a stride sees an even size. Sizes of a multiple of Stride plus 1 have none.
func (n Network) PaddingMatters(size int) bool { return size%n.Stride != 1 }

// validate accepts "", which is Same.
func (p Padding) validate() error {
	if p == "" || p == Same || p == Symmetric {
		return nil
	}
	return &usage.Field{Name: "padding", Got: p, Expected: usage.OneOf(Paddings())}
}

// explicit reports whether a window of this size and stride needs a margin that SAME does not make.
func (p Padding) explicit(size, stride int64) bool {
	return p == Symmetric && stride > 1 && size > 1
}

// pad returns x, [N, height, width, channels], with the margin that a window of this size and
// stride needs, and the padding that the window's op has to add itself. The margin is an op of
// its own, because TensorFlow's C++ gradients know nothing of explicit paddings.
func (p Padding) pad(s *op.Scope, x tf.Output, size, stride int64) (padded tf.Output, padding string) {
	if !p.explicit(size, stride) {
		return x, "SAME"
	}
	m := int32(size-1) / 2
	ps := s.SubScope("margin")
	return op.Pad(ps, x, tg.Const(ps, [][]int32{{0, 0}, {m, m}, {m, m}, {0, 0}})), "VALID"
}
