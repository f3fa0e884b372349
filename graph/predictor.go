package graph

import (
	"errors"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
)

// Predictor runs a network in inference mode, whatever session it lives in. Its
// Predict may be called concurrently if Run may.
type Predictor struct {
	// Images is uint8 [-1, Size, Size, 3]; Logits and Probabilities are float32
	// [-1, Outputs].
	Images, Logits, Probabilities tf.Output
	Size, Outputs                 int
	// Run is a session's.
	Run func(feeds map[tf.Output]*tf.Tensor, fetches []tf.Output, targets []*tf.Operation) ([]*tf.Tensor, error)

	memory memory
}

// Predict runs the network on N ≥ 1 images, uint8 [N, Size, Size, 3] in
// row-major order, and returns logits and probabilities, each float32
// [N, Outputs] in row-major order.
func (p *Predictor) Predict(images []byte) (logits, probabilities []float32, err error) {
	size := int64(p.Size)
	n := int64(len(images)) / (size * size * 3)
	if n == 0 || n*size*size*3 != int64(len(images)) {
		return nil, nil, fmt.Errorf("predict: %d bytes of images: expected a multiple of %d×%d×3 above 0", len(images), size, size)
	}
	feed, err := uint8Tensor(images, n, size, size, 3)
	if err != nil {
		return nil, nil, fmt.Errorf("predict: images: %w", err)
	}
	p.memory.fed(len(images))
	got, err := p.Run(map[tf.Output]*tf.Tensor{p.Images: feed}, []tf.Output{p.Logits, p.Probabilities}, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	logits, err1 := floats(got[0])
	probabilities, err2 := floats(got[1])
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	// A loaded graph is free to give what its signature does not promise.
	if want := int(n) * p.Outputs; len(logits) != want || len(probabilities) != want {
		return nil, nil, fmt.Errorf("predict: %d logits and %d probabilities: expected %d of each", len(logits), len(probabilities), want)
	}
	return logits, probabilities, nil
}
