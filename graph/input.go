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

// Batch is the examples of one update, or a worker's part of them.
type Batch struct {
	Images []byte    // uint8 [Batch / workers, Size, Size, 3]; none where TrainerConfig.Held is set
	Rows   []int64   // [Batch / workers], of what Hold was given, where TrainerConfig.Held is set
	Labels []float32 // [Batch / workers, Outputs]
}

// input adds a replica's input and returns what a step sees of it: images, uint8
// [examples, size, size, 3], and labels, float32 [examples, outputs]. A batch waits
// on the device for its step, so that its way there takes none of the step's time.
func input(s *op.Scope, c TrainerConfig, part share) (images, labels tf.Output) {
	size, outputs := int64(c.Model.Size), int64(c.Model.Outputs)
	shape := []int64{int64(part.examples), size, size, 3}
	fed := session.Placeholder(s, nodeImages, tf.Uint8, shape...)
	if c.Held > 0 {
		fed = session.Placeholder(s, nodeRows, tf.Int64, int64(part.examples))
	}
	answers := session.Placeholder(s, nodeLabels, tf.Float, int64(part.examples), outputs)
	ss := s.SubScope("staged")
	// Named: with an empty name it would be the same for all.
	session.Group(s, nodeStage, []*tf.Operation{op.Stage(ss, []tf.Output{fed, answers}, op.StageSharedName("staged"))})
	got := op.Unstage(ss, []tf.DataType{fed.DataType(), tf.Float}, op.UnstageSharedName("staged"))
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	images, labels = got[0], got[1]
	if c.Held > 0 {
		hs := s.SubScope("held")
		all := tf.MakeShape(int64(c.Held), size, size, 3)
		held := op.VarHandleOp(hs, tf.Uint8, all, op.VarHandleOpSharedName("held"))
		session.Group(s, nodeHold, []*tf.Operation{op.AssignVariableOp(hs, held, session.Placeholder(s, nodeHeld, tf.Uint8, int64(c.Held), size, size, 3))})
		rows := op.Reshape(hs, images, tg.Const(hs.SubScope("shape"), shape[:1]))
		// Not GatherV2, which has no kernel for uint8 on GPUs: on the host it would need a
		// copy of all images in every step.
		images = op.ResourceGather(hs, held, rows, tf.Uint8)
	}
	// What comes out of the stage has no shape that is known beforehand.
	shaped := func(x tf.Output, shape ...int64) tf.Output {
		xs := ss.SubScope("shaped")
		return op.Reshape(xs, x, tg.Const(xs.SubScope("shape"), shape))
	}
	return shaped(images, shape...), shaped(labels, int64(part.examples), outputs)
}

// Hold copies the images that training steps take their rows from to every device,
// where they stay: uint8 [TrainerConfig.Held, Size, Size, 3].
func (t *Trainer) Hold(images io.Reader) error {
	if t.cfg.Held == 0 {
		return errors.New("hold images: the trainer was built to be fed with them")
	}
	size := int64(t.cfg.Model.Size)
	all, err := tf.ReadTensor(tf.Uint8, []int64{int64(t.cfg.Held), size, size, 3}, images)
	if err == nil {
		_, err = t.sess.Run(map[tf.Output]*tf.Tensor{t.held: all}, nil, []*tf.Operation{t.hold})
	}
	if err != nil {
		return fmt.Errorf("hold %d images of %d px on the devices: %w", t.cfg.Held, size, err)
	}
	return nil
}

// Stage sends a batch to the devices, for the Step after those of all batches that
// were staged before. Unlike all else it may be called beside Step.
func (t *Trainer) Stage(b Batch) error {
	if err := t.stage(b); err != nil {
		return fmt.Errorf("stage a batch: %w", err)
	}
	t.staged.Add(1)
	return nil
}

func (t *Trainer) stage(b Batch) error {
	m := t.cfg.Model
	size, outputs, batch := int64(m.Size), int64(m.Outputs), t.cfg.Batch/t.cfg.Cluster.Workers()
	images := batch
	if t.cfg.Held > 0 {
		images = 0
	}
	switch {
	case len(b.Images) != images*m.Size*m.Size*3:
		return fmt.Errorf("%d bytes of images: expected %d for %d of %d pixels", len(b.Images), images*m.Size*m.Size*3, images, m.Size)
	case len(b.Rows) != batch-images:
		return fmt.Errorf("%d rows of held images: expected %d", len(b.Rows), batch-images)
	case len(b.Labels) != batch*m.Outputs:
		return fmt.Errorf("%d labels: expected %d", len(b.Labels), batch*m.Outputs)
	}
	for _, row := range b.Rows {
		if row < 0 || row >= int64(t.cfg.Held) {
			return fmt.Errorf("row %d: expected 0 to %d", row, t.cfg.Held-1)
		}
	}
	n := len(t.replicas) * t.part.examples // of a micro-batch
	pixels, answers := n*m.Size*m.Size*3, n*m.Outputs
	for i := range t.part.accumulate {
		var images *tf.Tensor
		var err1 error
		if t.cfg.Held > 0 {
			images, err1 = tf.NewTensor(b.Rows[i*n : (i+1)*n])
		} else {
			images, err1 = session.Uint8Tensor(b.Images[i*pixels:(i+1)*pixels], int64(n), size, size, 3)
			t.collector.Fed(pixels)
		}
		labels, err2 := session.Float32Tensor(b.Labels[i*answers:(i+1)*answers], int64(n), outputs)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		t.collector.Fed(4 * answers)
		if _, err := t.sess.Run(map[tf.Output]*tf.Tensor{t.images: images, t.labels: labels}, nil, []*tf.Operation{t.put}); err != nil {
			return err
		}
	}
	return nil
}
