package train

import (
	"fmt"
	"slices"
)

// MaxViews is the number of symmetries of a square.
const MaxViews = 8

// Views is a Predictor for test-time augmentation: it lets another Predictor predict the
// first N of the eight views of every image, and returns the means of the logits and of the
// probabilities over them. A galaxy has no up and no left, so every view is equally valid.
//
// The views are quarter turns and mirror images, which move pixels without
// interpolation. Each is a batch of its own, so that memory does not grow with
// N.
type Views struct {
	Predictor
	// Size is the height and width of the images, pixels.
	Size int
	// N is 1 (images as they are), 2 (also mirrored left to right), 4 (also
	// both upside down) or 8 (also all four with rows and columns exchanged).
	N int
}

// ValidateViews returns an error that lists the possible numbers of views if n is not one of
// them: only these sets contain the inverse of each of their views.
func ValidateViews(n int) error {
	if !slices.Contains([]int{1, 2, 4, MaxViews}, n) {
		return fmt.Errorf("%d views: expected 1, 2, 4 or %d", n, MaxViews)
	}
	return nil
}

// Predict implements Predictor for images, uint8 [N, Size, Size, 3].
func (v Views) Predict(images []byte) (logits, probabilities []float32, err error) {
	if err := ValidateViews(v.N); err != nil {
		return nil, nil, err
	}
	if side := v.Size * v.Size * 3; side == 0 || len(images)%side != 0 {
		return nil, nil, fmt.Errorf("views: %d bytes of images: expected a multiple of %[2]d×%[2]d×3", len(images), v.Size)
	}
	if logits, probabilities, err = v.Predictor.Predict(images); err != nil || v.N == 1 {
		return logits, probabilities, err
	}
	turned := make([]byte, len(images))
	for view := 1; view < v.N; view++ {
		turn(turned, images, v.Size, view)
		l, p, err := v.Predictor.Predict(turned)
		if err != nil {
			return nil, nil, err
		}
		add(logits, l)
		add(probabilities, p)
	}
	// A power of two: dividing by it is exact.
	scale(logits, 1/float32(v.N))
	scale(probabilities, 1/float32(v.N))
	return logits, probabilities, nil
}

// turn fills dst with a view of every image of src, both uint8 [N, size, size,
// 3]. The bits of view select operations, in this order: 4 exchanges rows and
// columns, 2 mirrors top to bottom, 1 left to right.
func turn(dst, src []byte, size, view int) {
	// The source of the pixel in row y and column x: start + y·down + x·right.
	start, down, right := 0, size*3, 3
	if view&4 != 0 {
		down, right = right, down
	}
	if view&2 != 0 {
		start, down = start+(size-1)*down, -down
	}
	if view&1 != 0 {
		start, right = start+(size-1)*right, -right
	}
	image := size * size * 3
	for from := 0; from < len(src); from += image {
		out := dst[from : from+image]
		for y := range size {
			at := from + start + y*down
			for range size {
				copy(out[:3], src[at:at+3])
				out, at = out[3:], at+right
			}
		}
	}
}

func add(sum, x []float32) {
	for i := range sum {
		sum[i] += x[i]
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
