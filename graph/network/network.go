package network

import (
	"fmt"
	"slices"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/data/imagefile"
	"galaxy/graph/images"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// Default is the network of a Config without a name. Older versions had only this one.
const Default = "resnet34"

// Network is an architecture: the layers between the normalised images and the head.
type Network struct {
	// Name is the network's name in Config.Arch, --arch and config.json.
	Name string
	// Stride is the number of image pixels per pixel of the last feature map, in
	// either direction. Images must be at least this large.
	Stride int
	// blocks are the names of the layers between the stem and the head, in the order of
	// computation: the names of a block's variables start with its name and a slash.
	blocks []string
	// features returns the last feature map for normalised images x, [N, Size, Size, channels]
	// in the dtype of the convolutions, and its number of channels. It makes convolutions
	// with Builder.convNorm, under names that are keys of checkpoints.
	features func(b *Builder, s *op.Scope, x tf.Output) (tf.Output, int64)
}

// Names lists the available networks.
func Names() []string {
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.Name
	}
	return names
}

// Named returns the network with this name; "" is Default.
func Named(name string) (Network, error) {
	if name == "" {
		name = Default
	}
	i := slices.IndexFunc(networks, func(n Network) bool { return n.Name == name })
	if i < 0 {
		return Network{}, &usage.Field{Name: "arch", Got: name, Expected: "one of " + strings.Join(Names(), ", ")}
	}
	return networks[i], nil
}

// FinalSize returns the height and width of the last feature map for images of this size,
// pixels.
func (n Network) FinalSize(size int) int { return (size + n.Stride - 1) / n.Stride }

// Convolution describes a convolution of a network. Its sizes do not depend on the padding.
type Convolution struct {
	// Kernel is the name of its variable, float32 [Taps, Taps, In, Filters].
	Kernel                    string
	Taps, In, Filters, Stride int64
	// Size is the height and width of its input, pixels.
	Size int64
}

// OutputSize is the height and width of the output, pixels.
func (c Convolution) OutputSize() int64 { return (c.Size + c.Stride - 1) / c.Stride }

// Convolutions lists the convolutions for images of this shape, in the order of
// computation. It builds the network once to find them.
func (n Network) Convolutions(shape imagefile.Shape) (_ []Convolution, err error) {
	s := op.NewScope()
	defer session.RecoverBuild(s, &err)
	o := &outline{Variables: NewVariables(s, "")}
	x := session.Placeholder(s, "x", tf.Float, 1, int64(shape.Size), int64(shape.Size), int64(shape.Channels))
	n.features(&Builder{Config: Config{Precision: Float32}, Params: o}, s.SubScope("network"), x)
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build %s: %w", n.Name, err)
	}
	return o.convolutions, nil
}

// Variables lists the variables of the network that c describes, in the order of computation. It
// builds the network once to find them.
func (c Config) Variables() (_ []Variable, err error) {
	s := op.NewScope()
	defer session.RecoverBuild(s, &err)
	vars := NewVariables(s, "")
	shape := c.Shape()
	b := &Builder{Config: c, Params: vars}
	b.Logits(s.SubScope("network"), session.Placeholder(s, "images", tf.Uint8, 1, int64(shape.Size), int64(shape.Size), int64(shape.Channels)), images.Random{})
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build %s: %w", c.Arch, err)
	}
	return vars.List, nil
}

// outline is the Params of a graph that is built only to list its convolutions.
type outline struct {
	*Variables
	convolutions []Convolution
}

func (o *outline) convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output {
	o.convolutions = append(o.convolutions, Convolution{
		Kernel: kernel.Name, Taps: kernel.Shape[0], In: kernel.Shape[2], Filters: kernel.Shape[3], Stride: stride,
		Size: x.Shape().Size(1),
	})
	return o.Variables.convNorm(s, b, x, kernel, norm, stride, then)
}
