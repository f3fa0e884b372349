// Package arch holds the depth and width of the network that package graph builds.
//
// It is a package of its own so that tests of any package can train a small network;
// nothing but a test sets Stages.
package arch

// Stage is a stage of a residual network: basic blocks of two 3×3 convolutions with so
// many filters each. The first block of every stage but the first halves the image.
type Stage struct {
	Blocks  int
	Filters int64
}

// ResNet34 is the published network (He et al. 2016, arXiv 1512.03385, table 1).
var ResNet34 = []Stage{{3, 64}, {4, 128}, {6, 256}, {3, 512}}

// Small has two blocks, with every kind of layer of ResNet34 and 1.4 % of its
// parameters: a step, the start and a checkpoint cost next to nothing.
var Small = []Stage{{1, 64}, {1, 128}}

// Stages is the network that is built. It must not change while a graph is being built.
var Stages = ResNet34
