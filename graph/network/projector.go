package network

import (
	"errors"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/internal/usage"
)

// Projector describes the head of a network that learns without labels: Layers linear layers of Width
// outputs, each but the last with batch norm and a ReLU behind it (Zbontar et al. 2021, arXiv
// 2103.03230, §2.2; the expander of Bardes et al. 2022, arXiv 2105.04906). The loss reads its outputs, the
// embeddings, and no later use of the network has it. So the features before it need not give
// up what the loss makes the embeddings forget, such as the orientation. The zero value is no projector.
type Projector struct {
	// Width is the number of outputs of every layer, at least 2.
	Width int `json:"width"`
	// Layers is the number of layers, at least 1.
	Layers int `json:"layers"`
}

const (
	maxProjectorWidth  = 16384
	maxProjectorLayers = 8
)

// IsSet reports whether there is a projector.
func (p Projector) IsSet() bool { return p != Projector{} }

func (p Projector) validate() error {
	if !p.IsSet() {
		return nil
	}
	var errs []error
	if p.Width < 2 || p.Width > maxProjectorWidth {
		errs = append(errs, &usage.Field{Name: "width", Got: p.Width, Expected: fmt.Sprintf("2 to %d embedding values", maxProjectorWidth)})
	}
	if p.Layers < 1 || p.Layers > maxProjectorLayers {
		errs = append(errs, &usage.Field{Name: "layers", Got: p.Layers, Expected: fmt.Sprintf("1 to %d", maxProjectorLayers)})
	}
	return errors.Join(errs...)
}

// project returns the embeddings, float32 [N, Width], of features, float32 [N, in]. A linear layer is
// a 1×1 convolution of an image of one pixel, so that its batch norm is the other layers'. As the
// head it is in float32, whatever the precision of the convolutions.
func (b *Builder) project(s *op.Scope, x tf.Output, in int64) tf.Output {
	if s.Err() != nil {
		return tf.Output{}
	}
	layer := *b
	layer.Config.Precision, layer.Config.Emulated = Float32, false
	width := int64(b.Config.Projector.Width)
	x = op.Reshape(s.SubScope("pixels"), x, tg.Const(s.SubScope("pixel"), []int64{-1, 1, 1, in}))
	for i := range b.Config.Projector.Layers - 1 {
		name := fmt.Sprintf("head/projector%d", i+1)
		x = layer.convNorm(s.SubScope("projector"), x, name+"/conv", name+"/bn", 1, in, width, 1, epilogue{relu: true})
		in = width
	}
	x = op.Reshape(s.SubScope("rows"), x, tg.Const(s.SubScope("row"), []int64{-1, in}))
	kernel := b.Params.weight(Variable{
		Name: fmt.Sprintf("head/projector%d/kernel", b.Config.Projector.Layers), Shape: []int64{in, width},
		Trainable: true, Decay: true, Init: heNormal(in),
	})
	// Without a bias: all losses of embeddings take their means off.
	return op.MatMul(s, x, kernel)
}
