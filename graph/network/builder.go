// Package network holds the networks: residual networks of several depths, from uint8 images
// to logits.
//
//	net, err := network.Named("resnet34")      // a row of the table in resnet.go
//	layers, err := net.Convolutions(shape)     // its geometry for a shape of images
//	b := &network.Builder{Config: cfg, Params: params}
//	logits := b.Logits(scope, images, random)   // float32 [N, Outputs]
//
// A Builder adds forward passes to a graph. Its Params supply the parameters: as variables, as
// constants with batch norm folded in, or as int8 kernels. Config.Validate returns configuration
// errors; errors of graph building stay in the op.Scope.
package network

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/images"
)

// Builder builds forward passes on images in one graph. Params supplies the parameters;
// Training decides how batch norm uses them.
type Builder struct {
	Config   Config
	Params   Params
	Training bool
	// Frozen is the number of layers that a training pass leaves as they are (Freeze.Layers):
	// their Variables are Fixed.
	Frozen int
	// Augment varies the images of a training pass.
	Augment images.Augment
	// Pairs makes a pass see two views of every image, each with its own augmentation: N images have 2N
	// logits, those of the first views and then those of the second ones. Batch norm sees all of them.
	Pairs bool
	// Size, int32 [], is the height and width to which the images of a training pass are
	// resized; without an Op there is no resizing.
	Size tf.Output
	// Stats collects the new moving averages of a training pass by variable name; a
	// training pass needs a non-nil map.
	Stats map[string]tf.Output
	// Named, if set, adds an identity of x under a name, FeatureMaps or Features, and returns
	// it. The rest of the network reads the identity, so gradients by it exist.
	Named func(name string, x tf.Output) tf.Output

	network Network // of Config
}

// Names that Builder.Named gets.
const (
	// FeatureMaps is the head's input, float32 [N, h, w, channels], before the average over
	// the image; h and w are Network.FinalSize.
	FeatureMaps = "feature_maps"
	// Features is that average, float32 [N, channels].
	Features = "features"
)

// Params supplies a network's parameters: variables, or constants with batch norm
// folded into the convolutions. Between the blocks images have a form of the
// Params' own: enter converts to it, leave from it.
type Params interface {
	// weight returns a float32 parameter of the given shape.
	weight(v Variable) tf.Output
	// convNorm returns the convolution of x by the kernel with batch norm and
	// the epilogue applied, in x's form.
	convNorm(s *op.Scope, b *Builder, x tf.Output, kernel Variable, norm string, stride int64, then epilogue) tf.Output
	// enter takes x from the stem, in the dtype of the convolutions.
	enter(s *op.Scope, x tf.Output) tf.Output
	// leave returns x as float32.
	leave(s *op.Scope, x tf.Output) tf.Output
}

// epilogue is what follows a convolution with batch norm: first a sum, if there is
// something to add, then a ReLU.
type epilogue struct {
	add  tf.Output
	relu bool
}

func (e epilogue) apply(s *op.Scope, cfg Config, x tf.Output) tf.Output {
	if e.add.Op != nil {
		x = cfg.round(s, op.AddV2(s.SubScope("add"), x, e.add))
	}
	if e.relu {
		x = op.Relu(s.SubScope("relu"), x)
	}
	return x
}

// Logits returns float32 [N, Outputs] for pixels, uint8 [N, Size, Size, channels]; [2N, Outputs] with Pairs.
// Augmentation and dropout of a training pass draw from r; other passes do not
// use r.
func (b *Builder) Logits(s *op.Scope, pixels tf.Output, r images.Random) tf.Output {
	n, err := Named(b.Config.Arch)
	if err != nil {
		s.UpdateErr("Network", err)
		return tf.Output{}
	}
	b.network = n
	ns := s.SubScope("normalise")
	in := images.Input{Mean: b.Config.Mean, Std: b.Config.Std, Align: b.Config.Align, Augment: b.Augment, Size: b.Size}
	x := in.Normalise(ns, pixels, r)
	if b.Pairs && s.Err() == nil {
		vs := s.SubScope("second_view")
		r.View = 1
		x = op.ConcatV2(vs.SubScope("views"), []tf.Output{x, in.Normalise(vs, pixels, r)}, tg.Const(vs.SubScope("axis"), int32(0)))
	}
	x = b.Config.cast(ns.SubScope("precision"), x)
	x, channels := n.features(b, s, x)
	return b.head(s.SubScope("head"), x, channels, r)
}

// Head returns the logits, float32 [N, Outputs], for features, float32 [N, channels], which are the
// Features of images. Dropout of a training pass draws from r.
func (b *Builder) Head(s *op.Scope, features tf.Output, channels int64, r images.Random) tf.Output {
	return b.outputs(s.SubScope("head"), features, channels, r)
}

// convNorm adds a convolution without a bias, with the padding of the Config, then batch norm
// and the epilogue.
func (b *Builder) convNorm(s *op.Scope, x tf.Output, conv, norm string, size, in, out, stride int64, then epilogue) tf.Output {
	kernel := Variable{
		Name: conv + "/kernel", Shape: []int64{size, size, in, out},
		Trainable: true, Decay: true, Init: heNormal(size * size * in),
	}
	kernel.Fixed = b.network.Depth(kernel.Name) < b.Frozen
	return b.Params.convNorm(s, b, x, kernel, norm, stride, then)
}

// head averages over the image and, after dropout, maps the features to logits,
// all in float32: the sums have enough terms for bfloat16's eight bits to
// matter.
func (b *Builder) head(s *op.Scope, x tf.Output, in int64, r images.Random) tf.Output {
	x = b.named(FeatureMaps, b.Params.leave(s, x))
	return b.outputs(s, b.named(Features, op.Mean(s, x, tg.Const(s, []int32{1, 2}))), in, r)
}

// outputs is what head does after the average.
func (b *Builder) outputs(s *op.Scope, x tf.Output, in int64, r images.Random) tf.Output {
	if b.Training && b.Config.Dropout > 0 {
		x = dropout(s.SubScope("dropout"), x, b.Config.Dropout, r)
	}
	if b.Config.Projector.IsSet() {
		return b.project(s, x, in)
	}
	outputs := int64(b.Config.Outputs)
	kernel := b.Params.weight(Variable{
		Name: "head/kernel", Shape: []int64{in, outputs},
		Trainable: true, Decay: true, Init: heNormal(in),
	})
	bias := b.Params.weight(Variable{Name: "head/bias", Shape: []int64{outputs}, Trainable: true})
	return op.BiasAdd(s, op.MatMul(s, x, kernel), bias)
}

func (b *Builder) named(name string, x tf.Output) tf.Output {
	if b.Named == nil {
		return x
	}
	return b.Named(name, x)
}

// dropout sets a fraction rate of x to zero and scales the rest by 1/(1−rate)
// (Srivastava et al. 2014). x is float32 [N, features].
func dropout(s *op.Scope, x tf.Output, rate float64, r images.Random) tf.Output {
	uniform := r.Uniform(s, r.Key, x, x.Shape().Size(1))
	keep := op.GreaterEqual(s, uniform, tg.Const(s, float32(rate)))
	scale := op.Mul(s, tg.Cast(s, keep, tf.Float), tg.Const(s.SubScope("scale"), float32(1/(1-rate))))
	return op.Mul(s.SubScope("apply"), x, scale)
}

// conv2D is the convolution of x by a float32 kernel.
func (c Config) conv2D(s *op.Scope, x, kernel tf.Output, stride int64) tf.Output {
	return c.round(s, c.Padding.conv2D(s, x, c.cast(s.SubScope("kernel"), kernel), stride))
}

// conv2D is the convolution of x by a kernel of x's dtype.
func (p Padding) conv2D(s *op.Scope, x, kernel tf.Output, stride int64) tf.Output {
	x, padding := p.pad(s, x, kernel.Shape().Size(0), stride)
	return op.Conv2D(s, x, kernel, []int64{1, stride, stride, 1}, padding)
}
