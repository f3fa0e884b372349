package graph

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// TrainerConfig is all that a Trainer is built from.
type TrainerConfig struct {
	Model Config
	// Augment varies the images of training steps; evaluation sees them without.
	Augment   Augment
	Loss      Loss
	Posterior Posterior
	Optimizer Optimizer
	// Average is the decay of an exponential moving average of the weights
	// (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv 1703.01780), in
	// [0, 1); 0 is none. With it the model, which is evaluated and exported, is
	// the average of the weights that are trained, batch norm's averages
	// included.
	Average float64
	// Resize lets StepInput.Size train a step on smaller images.
	Resize bool
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
	vars []Variable // the model's, then the optimizer's slots, then the trained ones that the model averages

	images, labels, seed, size, rate, step, decay tf.Output
	evaluation                                    Predictor
	loss, norm                                    tf.Output
	initSeed                                      tf.Output
	train, init                                   *tf.Operation
	begin                                         *tf.Operation // trains from the model's weights on
	average                                       *tf.Operation // train, and then the average of the weights
	reads                                         map[string]tf.Output
	save                                          saver
	restoreModel                                  saver
	memory                                        memory
}

// NewTrainer builds the graph and opens a session. Variables have no values
// until Init, Restore or RestoreModel.
func NewTrainer(cfg TrainerConfig) (_ *Trainer, err error) {
	if err := errors.Join(cfg.Model.Validate(), cfg.Augment.Validate(), cfg.Optimizer.Validate(), ValidateAverage(cfg.Average), cfg.Session.Validate()); err != nil {
		return nil, err
	}
	// Batch norm needs two values of each channel to have a variance.
	final := (cfg.Model.Size + 31) / 32
	if cfg.Resize {
		final = 1
	}
	if cfg.Batch*final*final < 2 {
		return nil, fmt.Errorf("batch of %d at %d px: batch norm needs at least 2 examples in a batch", cfg.Batch, cfg.Model.Size)
	}
	gpu, err := HasGPU()
	if err != nil {
		return nil, err
	}
	r, err := buildReplica(cfg, gpu)
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
	t.decay = placeholder(s, "average_decay", tf.Float)
	if cfg.Resize {
		t.size = rep.output(nodeTrainSize)
	}

	t.reads = map[string]tf.Output{}
	handles := map[string]tf.Output{}
	find := func(name string) {
		handles[name], t.reads[name] = rep.output(handleNode(name)), rep.output(readNode(name))
	}
	for _, v := range r.variables {
		find(v.Name)
	}
	var lives []Variable // which begin sets, and no initialiser
	for _, v := range r.variables {
		if live := v.Name + r.live; r.live != "" {
			find(live)
			lives = append(lives, Variable{Name: live, Shape: v.Shape})
		}
	}
	t.restoreModel = newSaver(s.SubScope("restore_model"), r.variables, handles, t.reads)
	var updates []update
	for _, v := range r.variables {
		if !v.Trainable {
			continue
		}
		u := update{variable: v, handle: handles[v.Name+r.live], read: t.reads[v.Name+r.live], gradient: rep.output(gradientPrefix + v.Name)}
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
			assign := op.AssignVariableOp(s.SubScope("assign_average"), handles[v.Name+r.live], rep.output(averagePrefix+v.Name))
			targets = append(targets, assign)
		}
	}
	t.train = group(s, "train", targets)
	var begins, averages []*tf.Operation
	if r.live != "" {
		after := s.SubScope("average").WithControlDependencies(targets...)
		rest := op.Sub(s.SubScope("average_rest"), tg.Const(s.SubScope("one"), float32(1)), t.decay)
		for _, v := range r.variables {
			as := after.SubScope(v.Name)
			live := op.ReadVariableOp(as, handles[v.Name+r.live], tf.Float)
			far := op.Mul(as, op.Sub(as, t.reads[v.Name], live), rest)
			averages = append(averages, op.AssignSubVariableOp(as, handles[v.Name], far))
			begins = append(begins, op.AssignVariableOp(s.SubScope("begin"), handles[v.Name+r.live], t.reads[v.Name]))
		}
	}
	t.begin, t.average = group(s, "begin", begins), group(s, "average", averages)

	t.initSeed = placeholder(s, "init_seed", tf.Int64)
	var inits []*tf.Operation
	for _, v := range t.vars {
		is := s.SubScope("init").SubScope(v.Name)
		inits = append(inits, op.AssignVariableOp(is, handles[v.Name], v.init.build(is, v.Name, v.Shape, t.initSeed)))
	}
	t.init = group(s, "init", inits)
	t.vars = append(t.vars, lives...)
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

// Variables lists the model's variables, then the optimizer's slots, and then the
// trained weights that the model averages if it does.
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
	return t.trainFromModel()
}

// trainFromModel sets the weights that are trained to the model's.
func (t *Trainer) trainFromModel() error {
	if _, err := t.sess.Run(nil, nil, []*tf.Operation{t.begin}); err != nil {
		return fmt.Errorf("initialise the weights that are averaged: %w", err)
	}
	return nil
}

// liveSuffix ends the checkpoint's keys of the weights that are trained, where
// those of the model are averages of them.
const liveSuffix = "/live"

// ValidateAverage says what is wrong with a decay of the weights' average.
func ValidateAverage(decay float64) error {
	if !(decay >= 0 && decay < 1) {
		return fmt.Errorf("ema %v: expected a decay of 0 ≤ ema < 1, such as 0.999; 0 is none", decay)
	}
	return nil
}

// averageEvery is how many steps apart the average is brought up to date, by that
// power of the decay, after its first that many steps: the weights move little
// in between, and doing it in every step would cost a tenth of one.
const averageEvery = 8

// averageDecay is the decay of the average's update in the step that follows
// step updates; due tells whether there is one. The decay is small at first, so
// that the first weights, which are random, are soon forgotten. It is that of
// TensorFlow's ExponentialMovingAverage, but 0 in the first update.
func averageDecay(decay float64, step int64) (value float64, due bool) {
	value = min(decay, float64(step)/float64(9+step))
	if step < averageEvery {
		return value, true
	}
	return math.Pow(value, averageEvery), (step+1)%averageEvery == 0
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
	// Size is the height and width to which the images are shrunk before the
	// step, pixels; 0 is Config.Size. Others need TrainerConfig.Resize.
	Size int
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
	target, decay := t.train, 0.0
	if t.cfg.Average > 0 {
		var due bool
		if decay, due = averageDecay(t.cfg.Average, in.Step); due {
			target = t.average
		}
	}
	keep, err4 := tf.NewTensor(float32(decay))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return StepOutput{}, fmt.Errorf("feed step %d: %w", in.Step, err)
	}
	feeds := map[tf.Output]*tf.Tensor{t.images: images, t.labels: labels, t.seed: seed, t.step: step, t.rate: rate, t.decay: keep}
	if err := t.feedSize(feeds, in.Size); err != nil {
		return StepOutput{}, fmt.Errorf("size of step %d: %w", in.Step, err)
	}
	got, err := t.sess.Run(feeds,
		[]tf.Output{t.loss, t.norm}, []*tf.Operation{target})
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

func (t *Trainer) feedSize(feeds map[tf.Output]*tf.Tensor, size int) (err error) {
	full := t.cfg.Model.Size
	if size == 0 {
		size = full
	}
	if size < minSize || size > full || size != full && !t.cfg.Resize {
		return fmt.Errorf("%d pixels: expected %d to %d, and Resize for less than that", size, minSize, full)
	}
	if t.cfg.Resize {
		feeds[t.size], err = tf.NewTensor(int32(size))
	}
	return err
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
func (t *Trainer) RestoreModel(prefix string) error {
	if err := t.restoreModel.restore(t.sess, prefix); err != nil {
		return err
	}
	return t.trainFromModel()
}

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
