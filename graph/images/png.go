package images

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/data/imagefile"
)

// pngNodes adds a placeholder of a PNG, string [], and the ops that make its image, uint8 [Size,
// Size, Channels]: libpng decodes it faster than Go, and the centre is cut out and downscaled as that
// of other pixels. The pixels are those of imagefile.File.Pixels for a File.PlainPNG.
func pngNodes(s *op.Scope, crop imagefile.Crop, shape imagefile.Shape) (contents, image tf.Output) {
	contents = op.Placeholder(s.SubScope("contents"), tf.String, op.PlaceholderShape(tf.ScalarShape()))
	pixels := op.DecodePng(s, contents, op.DecodePngChannels(int64(shape.Channels)))
	all := op.Shape(s, pixels)
	size := op.Slice(s.SubScope("Size"), all, tg.Const(s, []int32{0}), tg.Const(s, []int32{2}))
	window := tg.Const(s.SubScope("window"), []int32{int32(crop), int32(crop)})
	if crop <= 1 {
		window, _ = fractionWindow(s.SubScope("Fraction"), size, crop, shape.Size)
	}
	offset := op.FloorDiv(s, op.Sub(s, size, window), tg.Const(s, int32(2)))
	axis := tg.Const(s.SubScope("axis"), int32(0))
	square := op.Slice(s.SubScope("Square"), pixels,
		op.ConcatV2(s.SubScope("Begin"), []tf.Output{offset, tg.Const(s.SubScope("first"), []int32{0})}, axis),
		op.ConcatV2(s.SubScope("Extent"), []tf.Output{window, tg.Const(s.SubScope("all"), []int32{-1})}, axis))
	return contents, downscale(s.SubScope("downscale"), square, shape.Size)
}
