package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// ErrUnrecorded means that a model lacks the tensors from which explanations are made.
var ErrUnrecorded = errors.New("this model lacks the tensors feature_maps and features: export its run again with this version of galaxy")

// Model explains the predictions of one network. Its methods may be called concurrently if the
// network's Predict may.
type Model struct {
	network  *graph.Predictor
	features tf.Output // float32 [N, channels]
	outputs  tf.Output // int32 [N], the placeholder of GradCAM's outputs
	maps     tf.Output // float32 [N, h, w], not negative
	channels int
}

// Predictor is a network: a *graph.Inference, a *savedmodel.Model, or any other, which cannot be
// explained.
type Predictor interface {
	Predict(images []byte) (logits, probabilities []float32, err error)
}

// New adds what explanations need to the network's graph. The graph's own nodes stay as they are, and further calls for one graph
// share the nodes. The error is ErrUnrecorded if the network has no feature maps, features or
// logits.
func New(n Predictor) (*Model, error) {
	in, ok := n.(interface{ Network() *graph.Predictor })
	if !ok {
		return nil, ErrUnrecorded
	}
	p := in.Network()
	if p.Graph == nil || p.Logits.Op == nil {
		return nil, ErrUnrecorded
	}
	maps, features := p.Graph.Operation(network.FeatureMaps), p.Graph.Operation(network.Features)
	if !isFloat(maps, 4) || !isFloat(features, 2) {
		return nil, ErrUnrecorded
	}
	m := &Model{network: p, features: features.Output(0)}
	channels := m.features.Shape().Size(1)
	shape := maps.Output(0).Shape()
	if channels < 1 || shape.Size(3) != channels || shape.Size(1) < 1 || shape.Size(1) != shape.Size(2) {
		return nil, ErrUnrecorded // nodes of another program, which only have the names
	}
	m.channels = int(channels)
	if err := m.build(maps.Output(0)); err != nil {
		return nil, fmt.Errorf("build Grad-CAM: %w", err)
	}
	return m, nil
}

// isFloat reports whether o is an op with one float32 output of this rank.
func isFloat(o *tf.Operation, rank int) bool {
	return o != nil && o.NumOutputs() == 1 && o.Output(0).DataType() == tf.Float && o.Output(0).Shape().NumDimensions() == rank
}

// Names of nodes that build adds.
const (
	scopeGradCAM = "grad_cam"
	nodeOutputs  = "outputs"
	nodeMaps     = "maps"
)

// building keeps two calls of New from adding nodes with the same names to one graph.
var building sync.Mutex

// build adds Grad-CAM's ops (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2): the
// weight α_k of feature map A_k is the mean over the image of the gradient of one logit by A_k,
// and the map is ReLU(Σ_k α_k A_k).
func (m *Model) build(features tf.Output) (err error) {
	building.Lock()
	defer building.Unlock()
	g := m.network.Graph
	if done := g.Operation(scopeGradCAM + "/" + nodeMaps); done != nil {
		m.outputs, m.maps = g.Operation(scopeGradCAM+"/"+nodeOutputs).Output(0), done.Output(0)
		return nil
	}
	s := op.NewScopeWithGraph(g).SubScope(scopeGradCAM)
	defer session.RecoverBuild(s, &err)
	m.outputs = session.Placeholder(s, nodeOutputs, tf.Int32, -1)
	ss := s.SubScope("select")
	selected := op.OneHot(ss, m.outputs, tg.Const(ss, int32(m.network.Outputs)), tg.Const(ss.SubScope("on"), float32(1)), tg.Const(ss.SubScope("off"), float32(0)))
	gradient := op.Gradients(s.SubScope("gradient"), []tf.Output{m.network.Logits}, []tf.Output{features}, selected)
	if s.Err() != nil {
		return s.Err()
	}
	ws := s.SubScope("weights")
	weights := op.Mean(ws, gradient[0], tg.Const(ws, []int32{1, 2}), op.MeanKeepDims(true))
	sum := op.Sum(s.SubScope("sum"), op.Mul(s, features, weights), tg.Const(s.SubScope("channels"), int32(3)))
	maps := op.Relu(s, sum)
	for _, o := range g.Operations() {
		if o.Type() == alignment {
			maps = moveBack(s.SubScope("align"), maps, tf.Consumer{Op: &o, Index: 1}.Producer(), m.network.Shape.Size)
			break
		}
	}
	m.maps = session.Named(s, nodeMaps, maps)
	return s.Err()
}

// alignment is the type of the op by which network.Config.Align rotates and enlarges images; no network has another one.
const alignment = "ImageProjectiveTransformV3"

// moveBack returns maps, float32 [N, h, w], of images that a network has moved, in the place of the pixels of the
// images as they came: float32 [N, size, size]. transforms, float32 [N, 8], are those of the op of type alignment:
// for a pixel that the network saw, where it came from. Pixels that the network did not see get 0.
func moveBack(s *op.Scope, maps, transforms tf.Output, size int) tf.Output {
	sides := tg.Const(s.SubScope("size"), []int32{int32(size), int32(size)})
	large := op.ResizeBilinear(s, op.ExpandDims(s, maps, tg.Const(s.SubScope("last"), int32(3))), sides, op.ResizeBilinearHalfPixelCenters(true))
	a := op.Unpack(s, transforms, 8, op.UnpackAxis(1))
	mul := func(x, y tf.Output) tf.Output { return op.Mul(s.SubScope("mul"), x, y) }
	sub := func(x, y tf.Output) tf.Output { return op.Sub(s.SubScope("sub"), x, y) }
	over := func(x, y tf.Output) tf.Output { return op.DivNoNan(s.SubScope("over"), x, y) }
	// The inverse of (x, y) → (a₀x + a₁y + a₂, a₃x + a₄y + a₅).
	determinant := sub(mul(a[0], a[4]), mul(a[1], a[3]))
	rows := []tf.Output{
		a[4], op.Neg(s.SubScope("neg"), a[1]), sub(mul(a[1], a[5]), mul(a[4], a[2])),
		op.Neg(s.SubScope("neg"), a[3]), a[0], sub(mul(a[3], a[2]), mul(a[0], a[5])),
	}
	for i := range rows {
		rows[i] = over(rows[i], determinant)
	}
	inverse := op.Pack(s, append(rows, a[6], a[7]), op.PackAxis(1)) // no perspective: both are 0
	moved := op.ImageProjectiveTransformV3(s, large, inverse, sides, tg.Const(s.SubScope("outside"), float32(0)),
		"BILINEAR", op.ImageProjectiveTransformV3FillMode("CONSTANT"))
	return op.Squeeze(s, moved, op.SqueezeAxis([]int64{3}))
}

// Channels returns the number of features of an image.
func (m *Model) Channels() int { return m.channels }

// Features returns the network's last features of N ≥ 1 images, uint8 [N, Size, Size, channels]
// in row-major order: float32 [N, Channels], from which the last layer computes the logits.
func (m *Model) Features(images []byte) ([]float32, error) {
	n, feeds, err := m.network.Feeds(images)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	got, err := m.fetch(feeds, m.features, n, m.channels)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	return got, nil
}

// featuresAtATime is the number of images whose features ReadFeatures computes at a time.
const featuresAtATime = 64

// ReadFeatures returns the features of n ≥ 0 images, whose pixels r gives one image after the other, as Features does. It
// needs memory for 64 images, and ends with ctx.
func (m *Model) ReadFeatures(ctx context.Context, r io.Reader, n int) ([]float32, error) {
	out := make([]float32, 0, n*m.channels)
	pixels := make([]byte, min(n, featuresAtATime)*m.network.Shape.Bytes())
	for ; n > 0; n -= featuresAtATime {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		images := pixels[:min(n, featuresAtATime)*m.network.Shape.Bytes()]
		if _, err := io.ReadFull(r, images); err != nil {
			return nil, err
		}
		features, err := m.Features(images)
		if err != nil {
			return nil, err
		}
		out = append(out, features...)
	}
	return out, nil
}

// GradCAM returns a map for each of N ≥ 1 images, uint8 [N, Size, Size, channels] in row-major
// order: where the image speaks for the output outputs[i], the number of a logit. A map is
// float32 [h, w] in row-major order, h = w = network.Network.FinalSize(Size), or Size of a network that
// aligns its images, 0 or larger, in
// units of the logit per feature map's value; its scale says nothing across images. A map of
// zeros means that no part of the image speaks for the output.
func (m *Model) GradCAM(images []byte, outputs []int) ([][]float32, error) {
	n, feeds, err := m.network.Feeds(images)
	if err != nil {
		return nil, fmt.Errorf("Grad-CAM: %w", err)
	}
	if len(outputs) != n {
		return nil, fmt.Errorf("Grad-CAM: %d outputs for %d images: expected one for each", len(outputs), n)
	}
	selected := make([]int32, n)
	for i, o := range outputs {
		if o < 0 || o >= m.network.Outputs {
			return nil, fmt.Errorf("Grad-CAM: output %d of image %d: expected 0 to %d", o, i, m.network.Outputs-1)
		}
		selected[i] = int32(o)
	}
	if feeds[m.outputs], err = tf.NewTensor(selected); err != nil {
		return nil, fmt.Errorf("Grad-CAM: %w", err)
	}
	shape := m.maps.Shape()
	area := int(shape.Size(1) * shape.Size(2))
	all, err := m.fetch(feeds, m.maps, n, area)
	if err != nil {
		return nil, fmt.Errorf("Grad-CAM: %w", err)
	}
	maps := make([][]float32, n)
	for i := range maps {
		maps[i] = all[i*area:][:area:area]
	}
	return maps, nil
}

// fetch runs the network for one tensor, float32 with the given number of values for each of n
// images.
func (m *Model) fetch(feeds map[tf.Output]*tf.Tensor, x tf.Output, n, each int) ([]float32, error) {
	got, err := m.network.Run(feeds, []tf.Output{x}, nil)
	if err != nil {
		return nil, err
	}
	values, err := session.Floats(got[0])
	// A loaded graph's tensors may differ from the shapes that it states.
	if err == nil && len(values) != n*each {
		err = fmt.Errorf("%s has %d values: expected %d", x.Op.Name(), len(values), n*each)
	}
	return values, err
}
