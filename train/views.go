package train

import (
	"fmt"
	"slices"

	"galaxy/data/imagefile"
	"galaxy/train/metric"
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

// Turning is a Predictor that predicts all eight views of every image, as Views{N: MaxViews} does, but returns
// the predictions of another Predictor for the images as they are, and gives those of all views to Seen.
type Turning struct {
	Predictor
	// Features, if there is one, gives features in place of probabilities, float32 [N, any width].
	Features Predictor
	// Shape is the shape of an image.
	Shape imagefile.Shape
	Seen  *metric.Views
}

// Predict implements Predictor for images, uint8 [N, Size, Size, Channels].
func (t Turning) Predict(images []byte) (logits, probabilities []float32, err error) {
	if _, err := t.Shape.Count(images); err != nil {
		return nil, nil, fmt.Errorf("views: %w", err)
	}
	var predictions, features [][]float32
	turned := make([]byte, len(images))
	for view := range MaxViews {
		t.Shape.Turn(turned, images, view)
		l, p, err := t.Predictor.Predict(turned)
		if err != nil {
			return nil, nil, err
		}
		if view == 0 {
			logits, probabilities = l, p
		}
		predictions = append(predictions, p)
		if t.Features == nil {
			continue
		}
		_, f, err := t.Features.Predict(turned)
		if err != nil {
			return nil, nil, err
		}
		features = append(features, f)
	}
	return logits, probabilities, t.Seen.Add(predictions, features)
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
