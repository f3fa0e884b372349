package images

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/internal/usage"
)

// Augment sets how far the images of a training step are varied. Each example
// of each step has its own random draws, a pure function of (seed, step); the
// zero value varies nothing. Galaxies have no preferred orientation, size or
// place, so the label stays the same.
//
// The pixel at p, measured in pixels to the right of and below the centre
// (size−1)/2, moves to
//
//	zoom · R(angle) · F · p + shift
//
// so flips come first, then rotation and zoom about the centre, then the shift.
// R rotates anticlockwise as seen in the image. Interpolation is bilinear;
// pixels from outside repeat the nearest pixel of the edge. Compared with the
// real sky around the same crops, this is a fifth to a third closer than a
// mirrored edge, which shows pieces of the galaxy twice, and a fifth to a half
// closer than black, which is darker than the sky and would mark the augmented
// images.
//
// Channel k of the pixels is then changed to
//
//	mean_k + contrast · (brightness · color_k · pixel_k − mean_k)
//
// where mean_k is Input.Mean. Brightness multiplies, like a longer exposure:
// the sky stays dark. Nothing is clipped.
type Augment struct {
	// Rotate is the largest angle, degrees; angles are uniform in ±Rotate, so
	// that 180 is the full circle.
	Rotate float64 `json:"rotate"`
	// Flip mirrors left to right, and top to bottom, each in half the examples.
	Flip bool `json:"flip"`
	// Shift is the largest shift, as a fraction of the side; shifts are uniform
	// in ±Shift, in each direction.
	Shift float64 `json:"shift"`
	// Zoom is the largest factor, above 1 to enlarge; factors are log-uniform in
	// [1/Zoom, Zoom]. 0 and 1 are none.
	Zoom float64 `json:"zoom"`
	// Brightness, Contrast and Color are the largest deviations, below 1, of
	// factors uniform in 1 ± the deviation. Color is drawn for each channel, so for one channel
	// it is a second brightness.
	Brightness float64 `json:"brightness"`
	Contrast   float64 `json:"contrast"`
	Color      float64 `json:"color"`
}

// Validate checks every field; its error names what was expected and what came.
func (a Augment) Validate() error {
	var errs []error
	if !(a.Rotate >= 0 && a.Rotate <= 180) {
		errs = append(errs, &usage.Field{Name: "rotate", Got: a.Rotate, Expected: "0 to 180 degrees"})
	}
	if !(a.Shift >= 0 && a.Shift <= 0.5) {
		errs = append(errs, &usage.Field{Name: "shift", Got: a.Shift, Expected: "a fraction of the side, 0 to 0.5"})
	}
	if !(a.Zoom == 0 || a.Zoom >= 1 && a.Zoom <= 4) {
		errs = append(errs, &usage.Field{Name: "zoom", Got: a.Zoom, Expected: "a factor of 1 to 4 (1.3 downscales and enlarges by up to that), or 0"})
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"brightness", a.Brightness}, {"contrast", a.Contrast}, {"color", a.Color}} {
		if !(f.value >= 0 && f.value < 1) {
			errs = append(errs, &usage.Field{Name: f.name, Got: f.value, Expected: fmt.Sprintf("0 ≤ %s < 1 (0.2 is a factor of 0.8 to 1.2)", f.name)})
		}
	}
	return errors.Join(errs...)
}

// String lists the settings that are on, "none" without any.
func (a Augment) String() string {
	var on []string
	add := func(is bool, text string, values ...any) {
		if is {
			on = append(on, fmt.Sprintf(text, values...))
		}
	}
	add(a.Rotate > 0, "rotate ±%v°", a.Rotate)
	add(a.Flip, "flip")
	add(a.Shift > 0, "shift ±%v", a.Shift)
	add(a.Zoom > 1, "zoom %v", a.Zoom)
	add(a.Brightness > 0, "brightness ±%v", a.Brightness)
	add(a.Contrast > 0, "contrast ±%v", a.Contrast)
	add(a.Color > 0, "color ±%v", a.Color)
	if len(on) == 0 {
		return "none"
	}
	return strings.Join(on, ", ")
}

// Moves reports whether pixels move: by a rotation, a flip, a shift or a zoom.
func (a Augment) Moves() bool   { return a.Rotate > 0 || a.Flip || a.Shift > 0 || a.Zoom > 1 }
func (a Augment) colours() bool { return a.Brightness > 0 || a.Contrast > 0 || a.Color > 0 }

// The parameters drawn for an example. Each has a fixed index whether it is in
// use or not, so that one setting does not change the draws of the others.
const (
	drawAngle      = iota // radians
	drawFlipX             // left to right: below 0 flips
	drawFlipY             // top to bottom: below 0 flips
	drawShiftX            // pixels to the right
	drawShiftY            // pixels down
	drawZoom              // logarithm of the factor
	drawBrightness        // factor − 1, as for the rest
	drawContrast
	drawColor // of the first channel; those of the other channels follow
)

// draws are the parameters of one batch, float32 [N] each; unset if nothing is
// varied.
type draws struct {
	Augment
	values []tf.Output
}

// draw takes the parameters for images, [N, size, size, channels], from r: each is uniform
// in ± its largest value.
func (a Augment) draw(s *op.Scope, images tf.Output, r Random) draws {
	if !a.Moves() && !a.colours() || s.Err() != nil {
		return draws{}
	}
	shape, err := images.Shape().ToSlice()
	if err != nil {
		s.UpdateErr("StatelessRandomUniform", fmt.Errorf("shape of the images: %w", err))
		return draws{}
	}
	flip := 0.0
	if a.Flip {
		flip = 1
	}
	size, channels := float64(shape[1]), int(shape[3])
	largest := make([]float32, drawColor+channels)
	for i := range channels {
		largest[drawColor+i] = float32(a.Color)
	}
	for i, v := range [drawColor]float64{
		drawAngle: a.Rotate * math.Pi / 180, drawFlipX: flip, drawFlipY: flip,
		drawShiftX: a.Shift * size, drawShiftY: a.Shift * size, drawZoom: math.Log(max(1, a.Zoom)),
		drawBrightness: a.Brightness, drawContrast: a.Contrast,
	} {
		largest[i] = float32(v)
	}
	// Dropout uses the seed itself: the same key would correlate what it drops
	// with how the images are rotated.
	h := fnv.New64a()
	h.Write([]byte("augment")) // a hash's Write never fails
	if r.View > 0 {
		h.Write([]byte{r.View})
	}
	key := op.AddV2(s.SubScope("key"), r.Key, tg.Const(s, []int64{int64(h.Sum64()), 0}))
	uniform := r.Uniform(s, key, images, int64(len(largest)))
	either := op.Sub(s, op.AddV2(s.SubScope("twice"), uniform, uniform), tg.Const(s, float32(1)))
	scaled := op.Mul(s, either, tg.Const(s, largest))
	return draws{a, op.Unpack(s, scaled, int64(len(largest)), op.UnpackAxis(1))}
}

// move applies flips, rotation, zoom and shift to x, float32 [N, size, size, channels],
// after the alignment (nil: none).
func (d draws) move(s *op.Scope, x tf.Output, aligned *alignment) tf.Output {
	if !d.Moves() && aligned == nil || s.Err() != nil {
		return x
	}
	shape, err := x.Shape().ToSlice()
	if err != nil {
		s.UpdateErr("ImageProjectiveTransformV3", fmt.Errorf("shape of the images: %w", err))
		return x
	}
	size := int32(shape[1])
	mul := func(a, b tf.Output) tf.Output { return op.Mul(s.SubScope("mul"), a, b) }
	neg := func(a tf.Output) tf.Output { return op.Neg(s.SubScope("neg"), a) }
	add := func(a, b tf.Output) tf.Output { return op.AddV2(s.SubScope("add"), a, b) }
	centre := tg.Const(s, float32(size-1)/2)
	toX, toY := centre, centre // where the centre moves to
	// The kernel needs the inverse map: the input point that each output pixel
	// is taken from, A · F · R(−angle) · (p − shift) / zoom, where A is the
	// inverse of aligned.
	var matrix [2][2]tf.Output
	if d.Moves() {
		one := tg.Const(s, float32(1))
		// 1 + 2·⌊v⌋ is −1 for v in [−1, 0) and 1 for v in [0, 1), so also without flips.
		sign := func(v tf.Output) tf.Output {
			down := op.Floor(s.SubScope("floor"), v)
			return add(one, add(down, down))
		}
		shrink := op.Exp(s, neg(d.values[drawZoom]))
		cos := mul(op.Cos(s, d.values[drawAngle]), shrink)
		sin := mul(op.Sin(s, d.values[drawAngle]), shrink)
		flipX, flipY := sign(d.values[drawFlipX]), sign(d.values[drawFlipY])
		toX, toY = add(centre, d.values[drawShiftX]), add(centre, d.values[drawShiftY])
		matrix = [2][2]tf.Output{{mul(flipX, cos), neg(mul(flipX, sin))}, {mul(flipY, sin), mul(flipY, cos)}}
	}
	if aligned != nil {
		shrink := op.Reciprocal(s, aligned.zoom)
		cos, sin := mul(aligned.cos, shrink), mul(aligned.sin, shrink)
		way := [2][2]tf.Output{{cos, neg(sin)}, {sin, cos}}
		if d.Moves() {
			for i, row := range way {
				for j := range row {
					way[i][j] = add(mul(row[0], matrix[0][j]), mul(row[1], matrix[1][j]))
				}
			}
		}
		matrix = way
	}
	var transforms []tf.Output
	for _, r := range matrix {
		transforms = append(transforms, r[0], r[1], add(centre, neg(add(mul(r[0], toX), mul(r[1], toY)))))
	}
	none := op.ZerosLike(s, transforms[0]) // an affine map: no perspective
	// In float32: the kernel rounds uint8 down, and has no bfloat16 on a GPU.
	return op.ImageProjectiveTransformV3(s, x, op.Pack(s, append(transforms, none, none), op.PackAxis(1)),
		tg.Const(s, []int32{size, size}), tg.Const(s, float32(0)),
		"BILINEAR", op.ImageProjectiveTransformV3FillMode("NEAREST"))
}

// Colours need no extra pass over the pixels: normalised, the mean is 0, so
// brightness, colour and contrast change the scale by which pixels are
// normalised, and contrast the offset.

// scale returns each example's scale, float32 [N, 1, 1, channels], from the channels'
// scale, float32 [channels].
func (d draws) scale(s *op.Scope, channels tf.Output) tf.Output {
	if !d.colours() || s.Err() != nil {
		return channels
	}
	all := op.Mul(s.SubScope("all"), factor(s, d.values[drawBrightness]), factor(s, d.values[drawContrast]))
	var each []tf.Output
	for _, color := range d.values[drawColor:] {
		each = append(each, op.Mul(s.SubScope("each"), all, factor(s, color)))
	}
	factors := op.Pack(s, each, op.PackAxis(1))
	return op.Mul(s, op.Reshape(s, factors, tg.Const(s, []int32{-1, 1, 1, int32(len(each))})), channels)
}

// offset returns each example's offset, float32 [N, 1, 1, channels], from the
// channels' offset, float32 [channels].
func (d draws) offset(s *op.Scope, channels tf.Output) tf.Output {
	if d.Contrast == 0 || s.Err() != nil {
		return channels
	}
	contrast := factor(s, d.values[drawContrast])
	return op.Mul(s, op.Reshape(s, contrast, tg.Const(s, []int32{-1, 1, 1, 1})), channels)
}

func factor(s *op.Scope, deviation tf.Output) tf.Output {
	return op.AddV2(s.SubScope("factor"), deviation, tg.Const(s, float32(1)))
}
