package graph

import (
	"errors"
	"fmt"
	"io"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/session"
)

// Batch holds the examples of one step, or a worker's part of them.
type Batch struct {
	Images []byte    // uint8 [Batch / workers, Size, Size, channels]; nil if TrainerConfig.Held is set
	Rows   []int64   // [Batch / workers], rows of the held images, if TrainerConfig.Held is set
	Labels []float32 // [Batch / workers, Outputs]; none with TrainerConfig.Pairs
}

// stagedBatch adds the ops that keep a batch on the device until its step, so that the
// copy takes none of the step's time. It returns the step's images in their shape, uint8 [examples,
// size, size, channels], or held features, float32 [examples, channels], and labels, float32
// [examples, outputs], or no labels without an Op with TrainerConfig.Pairs.
func stagedBatch(s *op.Scope, c setup, in map[string]tf.Output, shape ...int64) (images, labels tf.Output) {
	fed := in[nodeImages]
	if c.holds() {
		fed = in[nodeHeldRows]
	}
	ss := s.SubScope("staged")
	// With an empty name, all stages would be one and the same.
	batch := []tf.Output{fed}
	if !c.Pairs {
		batch = append(batch, in[nodeLabels])
	}
	var types []tf.DataType
	for _, x := range batch {
		types = append(types, x.DataType())
	}
	session.Group(s, nodeStage, []*tf.Operation{op.Stage(ss, batch, op.StageSharedName("staged"))})
	got := op.Unstage(ss, types, op.UnstageSharedName("staged"))
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	images = got[0]
	if c.holds() {
		hs, all := s.SubScope("held"), in[nodeHeld]
		if c.HoldFeatures {
			all = in[nodeHeldFeatures]
		}
		held := op.VarHandleOp(hs, all.DataType(), tf.MakeShape(append([]int64{int64(c.Held)}, shape[1:]...)...), op.VarHandleOpSharedName("held"))
		session.Group(s, nodeHold, []*tf.Operation{op.AssignVariableOp(hs, held, all)})
		rows := op.Reshape(hs, images, tg.Const(hs.SubScope("shape"), shape[:1]))
		// Not GatherV2, which has no kernel for uint8 on GPUs: on the host it would need a
		// copy of all images in every step.
		images = op.ResourceGather(hs, held, rows, all.DataType())
	}
	// The stage's outputs have no static shape.
	shaped := func(x tf.Output, shape ...int64) tf.Output {
		xs := ss.SubScope("shaped")
		return op.Reshape(xs, x, tg.Const(xs.SubScope("shape"), shape))
	}
	images = shaped(images, shape...)
	if c.Pairs {
		return images, tf.Output{}
	}
	return images, shaped(got[1], int64(c.examples), int64(c.labels()))
}

// Hold copies images, uint8 [TrainerConfig.Held, Size, Size, channels], to every device,
// where they stay. Training steps take rows of them. With HoldFeatures it computes their features by
// the model's present weights, and copies these.
func (t *Trainer) Hold(images io.Reader) error {
	if !t.setup.holds() {
		return errors.New("hold images: the trainer was built to be fed with them")
	}
	node, read := nodeHeld, func() (*tf.Tensor, error) {
		return tf.ReadTensor(tf.Uint8, pixels(t.setup, t.setup.Held), images)
	}
	if t.setup.HoldFeatures {
		node, read = nodeHeldFeatures, func() (*tf.Tensor, error) { return t.featuresOf(images) }
	}
	all, err := read()
	if err == nil {
		_, err = t.sess.Run(map[tf.Output]*tf.Tensor{t.inputs[node]: all}, nil, []*tf.Operation{t.targets[nodeHold]})
	}
	if err != nil {
		return fmt.Errorf("hold %d images of %d px on the devices: %w", t.setup.Held, t.setup.Model.Size, err)
	}
	return nil
}

// featuresBatch is the number of images whose features are computed at a time. It is fixed, because a
// sum's last bits may depend on it.
const featuresBatch = 64

// featuresOf returns the features of TrainerConfig.Held images, float32 [Held, channels].
func (t *Trainer) featuresOf(pixels io.Reader) (*tf.Tensor, error) {
	fetch := []tf.Output{t.replicas[0].output(nodeFeatures)}
	var all []float32
	for left := t.setup.Held; left > 0; left -= featuresBatch {
		part := make([]byte, min(left, featuresBatch)*t.setup.Model.Shape().Bytes())
		if _, err := io.ReadFull(pixels, part); err != nil {
			return nil, err
		}
		_, feeds, err := t.evaluation.Feeds(part)
		if err != nil {
			return nil, err
		}
		got, err := t.sess.Run(feeds, fetch, nil)
		if err != nil {
			return nil, err
		}
		features, err := session.Floats(got[0])
		if err != nil {
			return nil, err
		}
		all = append(all, features...)
	}
	return session.Float32Tensor(all, int64(t.setup.Held), int64(len(all)/t.setup.Held))
}

// Stage sends a batch to the devices. Steps use staged batches in the order in
// which they were staged. It may be called during Step.
func (t *Trainer) Stage(b Batch) error {
	if err := t.stage(b); err != nil {
		return fmt.Errorf("stage a batch: %w", err)
	}
	t.staged.Add(1)
	return nil
}

func (t *Trainer) stage(b Batch) error {
	c := t.setup
	m, batch := c.Model, c.Batch/c.Cluster.Workers()
	images, fed := batch, nodeImages
	if c.holds() {
		images, fed = 0, nodeHeldRows
	}
	switch {
	case len(b.Images) != images*m.Shape().Bytes():
		return fmt.Errorf("%d bytes of images: expected %d for %d of %v", len(b.Images), images*m.Shape().Bytes(), images, m.Shape())
	case len(b.Rows) != batch-images:
		return fmt.Errorf("%d rows of held images: expected %d", len(b.Rows), batch-images)
	case len(b.Labels) != batch*c.labels():
		return fmt.Errorf("%d labels: expected %d", len(b.Labels), batch*c.labels())
	}
	for _, row := range b.Rows {
		if row < 0 || row >= int64(c.Held) {
			return fmt.Errorf("row %d: expected 0 to %d", row, c.Held-1)
		}
	}
	n := len(t.replicas) * c.examples // examples of a micro-batch on all devices
	bytes, columns := n*m.Shape().Bytes(), n*c.labels()
	for i := range c.accumulate {
		var examples, labels *tf.Tensor
		var err1, err2 error
		if c.holds() {
			examples, err1 = tf.NewTensor(b.Rows[i*n : (i+1)*n])
		} else {
			examples, err1 = session.Uint8Tensor(b.Images[i*bytes:(i+1)*bytes], pixels(c, n)...)
			t.collector.Fed(bytes)
		}
		if columns > 0 {
			labels, err2 = session.Float32Tensor(b.Labels[i*columns:(i+1)*columns], int64(n), int64(c.labels()))
		}
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		feeds := map[tf.Output]*tf.Tensor{t.inputs[fed]: examples}
		if columns > 0 {
			feeds[t.inputs[nodeLabels]] = labels
			t.collector.Fed(4 * columns)
		}
		if _, err := t.sess.Run(feeds, nil, []*tf.Operation{t.targets[nodeStage]}); err != nil {
			return err
		}
	}
	return nil
}
