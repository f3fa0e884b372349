package network

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// networks lists all networks. A ResNet is a row: the kind of its blocks and their number in
// each stage (He et al. 2015, arXiv 1512.03385, table 1). A network of another kind is a row
// with its own features.
var networks = []Network{
	resNet("resnet18", basicBlock, 2, 2, 2, 2),
	resNet("resnet34", basicBlock, 3, 4, 6, 3),
	resNet("resnet50", bottleneckBlock, 3, 4, 6, 3),
	resNet("resnet101", bottleneckBlock, 3, 4, 23, 3),
	// Has every kind of layer of resnet34 and of resnet50 with 2 % of their parameters: for
	// tests of everything around a network, and to try things out in seconds.
	resNet("resnet6", basicBlock, 1, 1),
	resNet("resnet8", bottleneckBlock, 1, 1),
}

// stemNorm is the batch norm of the first convolution.
const stemNorm = "stem/bn"

// resNet returns a residual network; stages holds the number of blocks of each stage. The stem
// halves the image twice, and the first block of every stage except the first halves it again;
// each stage has twice the filters of the stage before.
func resNet(name string, block block, stages ...int) Network {
	n := Network{Name: name, Stride: 2 << len(stages)}
	for i, blocks := range stages {
		for j := range blocks {
			n.blocks = append(n.blocks, blockName(i, j))
		}
	}
	n.features = func(b *Builder, s *op.Scope, x tf.Output) (tf.Output, int64) {
		width := int64(64)
		x = b.convNorm(s.SubScope("stem"), x, "stem/conv", stemNorm, 7, x.Shape().Size(3), width, 2, epilogue{relu: true})
		ps := s.SubScope("stem_pool")
		// A margin of 0 is as good as PyTorch's of −∞: after a ReLU no pixel is less.
		x, padding := b.Config.Padding.pad(ps, x, 3, 2)
		x = op.MaxPool(ps, x, []int64{1, 3, 3, 1}, []int64{1, 2, 2, 1}, padding)
		x = b.Params.enter(s.SubScope("enter"), x)
		in := width
		for i, blocks := range stages {
			for j := range blocks {
				stride := int64(1)
				if i > 0 && j == 0 {
					stride = 2
				}
				name := blockName(i, j)
				x, in = block(b, s.SubScope(name), x, name, in, width, stride)
			}
			width *= 2
		}
		return x, in
	}
	return n
}

// blockName names a block by its stage and its place there, both from 0.
func blockName(stage, block int) string { return fmt.Sprintf("stage%d/block%d", stage+1, block+1) }

// block adds a residual block whose 3×3 convolutions have width filters, and returns its output
// and the output's number of channels.
type block func(b *Builder, s *op.Scope, x tf.Output, name string, in, width, stride int64) (tf.Output, int64)

// basicBlock is two 3×3 convolutions around a shortcut.
func basicBlock(b *Builder, s *op.Scope, x tf.Output, name string, in, width, stride int64) (tf.Output, int64) {
	to := b.shortcut(s, x, name, in, width, stride)
	y := b.convNorm(s.SubScope("conv1"), x, name+"/conv1", name+"/bn1", 3, in, width, stride, epilogue{relu: true})
	return b.convNorm(s.SubScope("conv2"), y, name+"/conv2", name+"/bn2", 3, width, width, 1, epilogue{add: to, relu: true}), width
}

// bottleneckBlock is a 3×3 convolution between two of 1×1 around a shortcut, with four times
// its width as output. The stride is in the 3×3 convolution, not in the first as in the
// paper: "v1.5" of torchvision, half a percent better on ImageNet.
func bottleneckBlock(b *Builder, s *op.Scope, x tf.Output, name string, in, width, stride int64) (tf.Output, int64) {
	out := 4 * width
	to := b.shortcut(s, x, name, in, out, stride)
	y := b.convNorm(s.SubScope("conv1"), x, name+"/conv1", name+"/bn1", 1, in, width, 1, epilogue{relu: true})
	y = b.convNorm(s.SubScope("conv2"), y, name+"/conv2", name+"/bn2", 3, width, width, stride, epilogue{relu: true})
	return b.convNorm(s.SubScope("conv3"), y, name+"/conv3", name+"/bn3", 1, width, out, 1, epilogue{add: to, relu: true}), out
}

// shortcut is the identity, or a projection (a 1×1 convolution, option B of the paper) where the
// shape changes.
func (b *Builder) shortcut(s *op.Scope, x tf.Output, name string, in, out, stride int64) tf.Output {
	if stride == 1 && in == out {
		return x
	}
	return b.convNorm(s.SubScope("shortcut"), x, name+"/shortcut/conv", name+"/shortcut/bn", 1, in, out, stride, epilogue{})
}
