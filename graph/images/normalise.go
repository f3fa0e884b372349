package images

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Input sets how pixels are prepared for the network. All fields except Mean and Std do nothing
// at their zero value.
type Input struct {
	// Mean and Std are the statistics of each channel on the scale 0…1; every Std is above 0.
	Mean, Std []float64
	// Align rotates the central galaxy so that its major axis is horizontal, and
	// brings it closer to a common size.
	Align bool
	// Augment varies the images of a training pass, after Align.
	Augment Augment
	// Size, int32 [], is the height and width to which images are resized last; without
	// an Op there is no resizing.
	Size tf.Output
}

// Normalise turns images, uint8 [N, size, size, channels], into (pixel/255 − Mean) / Std, float32 of
// the same shape, or [N, Size, Size, channels]. Augment draws from r.
func (in Input) Normalise(s *op.Scope, images tf.Output, r Random) tf.Output {
	var scale, offset []float32
	for i, mean := range in.Mean {
		scale = append(scale, float32(1/(255*in.Std[i])))
		offset = append(offset, float32(-mean/in.Std[i]))
	}
	augment := s.SubScope("augment")
	drawn := in.Augment.draw(augment.SubScope("draw"), images, r)
	x := tg.Cast(s, images, tf.Float)
	var aligned *alignment
	if in.Align {
		a := findAlignment(s.SubScope("pose"), x)
		aligned = &a
	}
	x = drawn.move(augment.SubScope("move"), x, aligned)
	if in.Size.Op != nil {
		// Half is the mean of four pixels exactly; in between it is bilinear.
		x = op.ResizeBilinear(s, x, op.Pack(s, []tf.Output{in.Size, in.Size}), op.ResizeBilinearHalfPixelCenters(true))
	}
	x = op.Mul(s, x, drawn.scale(augment.SubScope("scale"), tg.Const(s, scale)))
	return op.AddV2(s, x, drawn.offset(augment.SubScope("offset"), tg.Const(s, offset)))
}
