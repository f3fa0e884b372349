package train

import (
	"fmt"
	"slices"

	"galaxy/data/imagefile"
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
	// Shape is the shape of an image.
	Shape imagefile.Shape
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

// Predict implements Predictor for images, uint8 [N, Size, Size, Channels].
func (v Views) Predict(images []byte) (logits, probabilities []float32, err error) {
	if err := ValidateViews(v.N); err != nil {
		return nil, nil, err
	}
	if _, err := v.Shape.Count(images); err != nil {
		return nil, nil, fmt.Errorf("views: %w", err)
	}
	if logits, probabilities, err = v.Predictor.Predict(images); err != nil || v.N == 1 {
		return logits, probabilities, err
	}
	turned := make([]byte, len(images))
	for view := 1; view < v.N; view++ {
		v.Shape.Turn(turned, images, view)
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
