package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// TrainerConfig is all that a Trainer is built from.
type TrainerConfig struct {
	Model Config
	// Augment varies the images of training steps; evaluation sees them as they
	// are.
	Augment   Augment
	Loss      Loss
	Posterior Posterior
	Optimizer Optimizer
	// Batch is the number of examples in every training step.
	Batch int
	// Session says how the graph is run.
	Session SessionConfig
}

// Trainer is a training graph with the session that runs it. Its methods must
// not be called concurrently.
type Trainer struct {
	cfg  TrainerConfig
	sess *tf.Session
	vars []Variable // the model's, then the optimizer's slots

	images, labels, seed, rate, step tf.Output
	evaluation                       Predictor
	loss, norm                       tf.Output
	initSeed                         tf.Output
	train, init                      *tf.Operation
	reads                            map[string]tf.Output
	save                             saver
	restoreModel                     saver
	memory                           memory
}

// NewTrainer builds the graph and opens a session. Variables have no values
// until Init, Restore or RestoreModel.
func NewTrainer(cfg TrainerConfig) (_ *Trainer, err error) {
	if err := errors.Join(cfg.Model.Validate(), cfg.Augment.Validate(), cfg.Optimizer.Validate(), cfg.Session.Validate()); err != nil {
		return nil, err
	}
	// Batch norm needs two values of each channel to have a variance.
	if final := (cfg.Model.Size + 31) / 32; cfg.Batch*final*final < 2 {
		return nil, fmt.Errorf("batch of %d at %d px: batch norm needs at least 2 examples in a batch", cfg.Batch, cfg.Model.Size)
	}
	r, err := buildReplica(cfg.Model, cfg.Augment, cfg.Batch, cfg.Loss, cfg.Posterior)
	if err != nil {
		return nil, err
	}
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	defer recoverBuild(s, &err)
	t := &Trainer{cfg: cfg, vars: slices.Clone(r.variables)}
	var missing error
	rep := importReplica(g, r, "replica_0", "", &missing)
	t.images, t.labels, t.seed = rep.output(nodeImages), rep.output(nodeLabels), rep.output(nodeSeed)
	t.evaluation.Images, t.evaluation.Logits, t.evaluation.Probabilities = rep.output(nodeEvalImages), rep.output(nodeLogits), rep.output(nodeProbabilities)
	t.evaluation.Size, t.evaluation.Outputs = cfg.Model.Size, cfg.Model.Outputs
	t.loss = rep.output(nodeLoss)
	t.rate = placeholder(s, "learning_rate", tf.Float)
	t.step = placeholder(s, "step", tf.Int64)

	t.reads = map[string]tf.Output{}
	handles := map[string]tf.Output{}
	for _, v := range r.variables {
		handles[v.Name], t.reads[v.Name] = rep.output(handleNode(v.Name)), rep.output(readNode(v.Name))
	}
	t.restoreModel = newSaver(s.SubScope("restore_model"), r.variables, handles, t.reads)
	var updates []update
	for _, v := range r.variables {
		if !v.Trainable {
			continue
		}
		u := update{variable: v, handle: handles[v.Name], read: t.reads[v.Name], gradient: rep.output(gradientPrefix + v.Name)}
		for _, suffix := range cfg.Optimizer.slots() {
			slot := Variable{Name: v.Name + suffix, Shape: v.Shape}
			handles[slot.Name], t.reads[slot.Name] = newVariable(s, slot)
			u.slots = append(u.slots, handles[slot.Name])
			t.vars = append(t.vars, slot)
		}
		updates = append(updates, u)
	}
	if missing != nil {
		return nil, missing
	}
	t.norm = globalNorm(s.SubScope("global_norm"), updates)
	targets := cfg.Optimizer.apply(s.SubScope("optimizer"), updates, t.rate, t.step, t.norm)
	for _, v := range r.variables {
		if !v.Trainable {
			assign := op.AssignVariableOp(s.SubScope("assign_average"), handles[v.Name], rep.output(averagePrefix+v.Name))
			targets = append(targets, assign)
		}
	}
	t.train = group(s, "train", targets)

	t.initSeed = placeholder(s, "init_seed", tf.Int64)
	var inits []*tf.Operation
	for _, v := range t.vars {
		is := s.SubScope("init").SubScope(v.Name)
		inits = append(inits, op.AssignVariableOp(is, handles[v.Name], v.init.build(is, v.Name, v.Shape, t.initSeed)))
	}
	t.init = group(s, "init", inits)
	t.save = newSaver(s.SubScope("save"), t.vars, handles, t.reads)
	if err := errors.Join(s.Err(), missing); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.sess, err = newSession(g, cfg.Session); err != nil {
		return nil, err
	}
	t.evaluation.Run = t.sess.Run
	return t, nil
}

// Close ends the session. The Trainer must not be used afterwards.
func (t *Trainer) Close() error {
	if err := t.sess.Close(); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// Variables lists the model's variables and then the optimizer's slots.
func (t *Trainer) Variables() []Variable { return slices.Clone(t.vars) }

// Init gives every variable its first value, a pure function of (seed, name),
// and every slot zero.
func (t *Trainer) Init(seed int64) error {
	value, err := tf.NewTensor(seed)
	if err == nil {
		_, err = t.sess.Run(map[tf.Output]*tf.Tensor{t.initSeed: value}, nil, []*tf.Operation{t.init})
	}
	if err != nil {
		return fmt.Errorf("initialise variables: %w", err)
	}
	return nil
}

// StepInput is what one update is made of.
type StepInput struct {
	Images []byte    // uint8 [Batch, Size, Size, 3]
	Labels []float32 // [Batch, Outputs]
	// Step is the number of updates made before this one.
	Step int64
	// Seed keys the step's randomness, augmentation and dropout, together with
	// Step.
	Seed         int64
	LearningRate float64
}

// StepOutput is all that comes back from an update.
type StepOutput struct {
	Loss float64 // before the update, mean over the batch
	// GradientNorm is the global norm of the gradients before clipping.
	GradientNorm float64
}

// Step makes one update in one session run.
func (t *Trainer) Step(in StepInput) (StepOutput, error) {
	m := t.cfg.Model
	batch, size, outputs := int64(t.cfg.Batch), int64(m.Size), int64(m.Outputs)
	images, err := uint8Tensor(in.Images, batch, size, size, 3)
	if err != nil {
		return StepOutput{}, fmt.Errorf("images of step %d: %w", in.Step, err)
	}
	labels, err := float32Tensor(in.Labels, batch, outputs)
	if err != nil {
		return StepOutput{}, fmt.Errorf("labels of step %d: %w", in.Step, err)
	}
	t.memory.fed(len(in.Images) + 4*len(in.Labels))
	seed, err1 := tf.NewTensor([]int64{in.Seed, in.Step})
	step, err2 := tf.NewTensor(in.Step)
	rate, err3 := tf.NewTensor(float32(in.LearningRate))
	if err := errors.Join(err1, err2, err3); err != nil {
		return StepOutput{}, fmt.Errorf("feed step %d: %w", in.Step, err)
	}
	got, err := t.sess.Run(
		map[tf.Output]*tf.Tensor{t.images: images, t.labels: labels, t.seed: seed, t.step: step, t.rate: rate},
		[]tf.Output{t.loss, t.norm}, []*tf.Operation{t.train})
	if err != nil {
		return StepOutput{}, fmt.Errorf("run step %d: %w", in.Step, err)
	}
	loss, err1 := floats(got[0])
	norm, err2 := floats(got[1])
	if err := errors.Join(err1, err2); err != nil {
		return StepOutput{}, fmt.Errorf("fetch step %d: %w", in.Step, err)
	}
	return StepOutput{Loss: float64(loss[0]), GradientNorm: float64(norm[0])}, nil
}

// Predict runs the network in inference mode on any number of images, uint8
// [N, Size, Size, 3], and returns logits and probabilities, each float32
// [N, Outputs] in row-major order.
func (t *Trainer) Predict(images []byte) (logits, probabilities []float32, err error) {
	return t.evaluation.Predict(images)
}

// Save writes every variable and slot as a TensorFlow bundle: the files
// prefix.index and prefix.data-00000-of-00001.
func (t *Trainer) Save(prefix string) error { return t.save.save(t.sess, prefix) }

// Restore reads what Save wrote.
func (t *Trainer) Restore(prefix string) error { return t.save.restore(t.sess, prefix) }

// RestoreModel reads the model's variables from a bundle and leaves the
// optimizer's slots as they are: call Init first.
func (t *Trainer) RestoreModel(prefix string) error { return t.restoreModel.restore(t.sess, prefix) }

// Weights returns the value of every variable and slot.
func (t *Trainer) Weights() (Weights, error) {
	return readWeights(t.sess, slices.Sorted(maps.Keys(t.reads)), t.reads)
}

func readWeights(sess *tf.Session, names []string, reads map[string]tf.Output) (Weights, error) {
	fetches := make([]tf.Output, len(names))
	for i, name := range names {
		fetches[i] = reads[name]
	}
	got, err := sess.Run(nil, fetches, nil)
	if err != nil {
		return nil, fmt.Errorf("read variables: %w", err)
	}
	w := make(Weights, len(names))
	for i, name := range names {
		if w[name], err = floats(got[i]); err != nil {
			return nil, fmt.Errorf("read variable %s: %w", name, err)
		}
	}
	return w, nil
}
