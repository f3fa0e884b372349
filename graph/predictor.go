package graph

import (
	"errors"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/data/imagefile"
	"galaxy/graph/session"
)

// Predictor runs a network in inference mode, in any session. Predict may be
// called concurrently if Run may.
type Predictor struct {
	// Graph holds the network; nil if nodes must not be added to it. Nodes that are added may
	// be fetched by Run.
	Graph *tf.Graph
	// Images is [-1, Size, Size, Channels], of the dtype that Pixels implies; Logits and
	// Probabilities are float32 [-1, Outputs]. Logits or Probabilities may be
	// missing; its Op is then nil.
	Images, Logits, Probabilities tf.Output
	// Shape is the shape of an image.
	Shape   imagefile.Shape
	Outputs int
	// Pixels is the range that the network expects.
	Pixels Pixels
	// Run runs the session that holds the network.
	Run func(feeds map[tf.Output]*tf.Tensor, fetches []tf.Output, targets []*tf.Operation) ([]*tf.Tensor, error)

	collector session.Collector
}

// Predict runs the network on N ≥ 1 images, uint8 [N, Size, Size, Channels] in
// row-major order, and returns logits and probabilities, each float32 [N,
// Outputs] in row-major order, or nil if the network lacks it.
func (p *Predictor) Predict(images []byte) (logits, probabilities []float32, err error) {
	n, feeds, err := p.Feeds(images)
	if err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	var fetches []tf.Output
	for _, output := range []tf.Output{p.Logits, p.Probabilities} {
		if output.Op != nil {
			fetches = append(fetches, output)
		}
	}
	got, err := p.Run(feeds, fetches, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	next := func(what string, output tf.Output) ([]float32, error) {
		if output.Op == nil {
			return nil, nil
		}
		values, err := session.Floats(got[0])
		got = got[1:]
		// A loaded graph's outputs may differ from what its signature promises.
		if want := n * p.Outputs; err == nil && len(values) != want {
			err = fmt.Errorf("%d %s: expected %d", len(values), what, want)
		}
		return values, err
	}
	logits, err1 := next("logits", p.Logits)
	probabilities, err2 := next("probabilities", p.Probabilities)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	return logits, probabilities, nil
}

// Feeds returns what Run needs to compute on N ≥ 1 images, uint8 [N, Size, Size, Channels] in
// row-major order.
func (p *Predictor) Feeds(images []byte) (n int, feeds map[tf.Output]*tf.Tensor, err error) {
	if n, err = p.Shape.Count(images); err != nil {
		return 0, nil, err
	}
	feed, err := p.Pixels.tensor(images, batchOf(n, p.Shape)...)
	if err != nil {
		return 0, nil, fmt.Errorf("images: %w", err)
	}
	p.collector.Fed(len(images))
	return n, map[tf.Output]*tf.Tensor{p.Images: feed}, nil
}

// Network returns p: the network of the types that embed a Predictor.
func (p *Predictor) Network() *Predictor { return p }

// Pixels names the range in which a network expects the values of its images,
// and with it their dtype.
type Pixels string

// The ranges.
const (
	PixelsBytes  Pixels = ""       // uint8, 0 to 255
	Pixels255    Pixels = "0..255" // float32
	PixelsUnit   Pixels = "0..1"   // float32
	PixelsSigned Pixels = "-1..1"  // float32
)

// Validate checks that p is one of the ranges; its error lists them.
func (p Pixels) Validate() error {
	switch p {
	case PixelsBytes, Pixels255, PixelsUnit, PixelsSigned:
		return nil
	}
	return fmt.Errorf("pixels %q: expected %s, %s or %s", string(p), Pixels255, PixelsUnit, PixelsSigned)
}

// tensor copies images into a tensor, converted to the range.
func (p Pixels) tensor(images []byte, shape ...int64) (*tf.Tensor, error) {
	scale, offset := float32(1), float32(0)
	switch p {
	case PixelsBytes:
		return session.Uint8Tensor(images, shape...)
	case PixelsUnit:
		scale = 1.0 / 255
	case PixelsSigned:
		scale, offset = 2.0/255, -1
	}
	var table [256]float32
	for i := range table {
		table[i] = float32(i)*scale + offset
	}
	values := make([]float32, len(images))
	for i, b := range images {
		values[i] = table[b]
	}
	return session.Float32Tensor(values, shape...)
}

// batchOf returns the shape of n images.
func batchOf(n int, image imagefile.Shape) []int64 {
	return []int64{int64(n), int64(image.Size), int64(image.Size), int64(image.Channels)}
}
