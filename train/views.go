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

// Each gives the predictions for every view of images, uint8 [N, Size, Size, Channels], to do, the images as they are first. do may
// keep the slices.
func (v Views) Each(images []byte, do func(logits, probabilities []float32) error) error {
	if err := ValidateViews(v.N); err != nil {
		return err
	}
	if _, err := v.Shape.Count(images); err != nil {
		return fmt.Errorf("views: %w", err)
	}
	turned := images
	for view := range v.N {
		if view == 1 {
			turned = make([]byte, len(images))
		}
		if view > 0 {
			v.Shape.Turn(turned, images, view)
		}
		logits, probabilities, err := v.Predictor.Predict(turned)
		if err != nil {
			return err
		}
		if err := do(logits, probabilities); err != nil {
			return err
		}
	}
	return nil
}

// Predict implements Predictor for images, uint8 [N, Size, Size, Channels].
func (v Views) Predict(images []byte) (logits, probabilities []float32, err error) {
	first := true
	err = v.Each(images, func(l, p []float32) error {
		if first {
			logits, probabilities, first = l, p, false
			return nil
		}
		add(logits, l)
		add(probabilities, p)
		return nil
	})
	if err != nil {
		return nil, nil, err
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
	var predictions, features [][]float32
	err = Views{t.Predictor, t.Shape, MaxViews}.Each(images, func(l, p []float32) error {
		if predictions = append(predictions, p); len(predictions) == 1 {
			logits, probabilities = l, p
		}
		return nil
	})
	if err == nil && t.Features != nil {
		err = Views{t.Features, t.Shape, MaxViews}.Each(images, func(_, f []float32) error {
			features = append(features, f)
			return nil
		})
	}
	if err != nil {
		return nil, nil, err
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
