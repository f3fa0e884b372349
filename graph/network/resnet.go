package network

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/internal/arch"
)

// features returns the last feature map of normalised images, [N, Size, Size, 3] in the dtype of
// the convolutions, and its channels.
func (b *Builder) features(s *op.Scope, x tf.Output) (tf.Output, int64) {
	x = b.convNorm(s.SubScope("stem"), x, "stem/conv", stemNorm, 7, 3, arch.Stages[0].Filters, 2, epilogue{relu: true})
	x = op.MaxPool(s.SubScope("stem_pool"), x, []int64{1, 3, 3, 1}, []int64{1, 2, 2, 1}, "SAME")
	x = b.Params.enter(s.SubScope("enter"), x)
	in := arch.Stages[0].Filters
	for i, stage := range arch.Stages {
		for j := range stage.Blocks {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			name := fmt.Sprintf("stage%d/block%d", i+1, j+1)
			x = b.basicBlock(s.SubScope(name), x, name, in, stage.Filters, stride)
			in = stage.Filters
		}
	}
	return x, in
}

// basicBlock is two 3×3 convolutions around an identity, or a projection
// (1×1 convolution, option B of the paper) where the shape changes.
func (b *Builder) basicBlock(s *op.Scope, x tf.Output, name string, in, out, stride int64) tf.Output {
	shortcut := x
	if stride != 1 || in != out {
		shortcut = b.convNorm(s.SubScope("shortcut"), x, name+"/shortcut/conv", name+"/shortcut/bn", 1, in, out, stride, epilogue{})
	}
	y := b.convNorm(s.SubScope("conv1"), x, name+"/conv1", name+"/bn1", 3, in, out, stride, epilogue{relu: true})
	return b.convNorm(s.SubScope("conv2"), y, name+"/conv2", name+"/bn2", 3, out, out, 1, epilogue{add: shortcut, relu: true})
}
