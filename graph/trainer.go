package graph

import (
	"cmp"
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
	// Batch is the number of examples in every training step. Workers, replicas
	// and micro-batches have equal parts of it.
	Batch int
	// Devices has one replica of the training step each, such as "/device:GPU:1";
	// none is what AutoDevices finds. Batch norm works on each replica's examples
	// by themselves; gradients, loss and moving averages are the means over all,
	// and the weights are the same everywhere.
	Devices []string
	// Accumulate is the number of micro-batches that a replica sees one after the
	// other before an update, which takes less memory than seeing them at once; 0
	// and 1 are all at once.
	Accumulate int
	// Session says how the graph is run.
	Session SessionConfig
	// Cluster, when set, has the other workers, which build the same Trainer for
	// as many devices and make the same steps.
	Cluster *Cluster
}

// Trainer is a training graph with the session that runs it. Its methods must
// not be called concurrently.
type Trainer struct {
	cfg  TrainerConfig
	sess *tf.Session
	vars []Variable // the model's, then the optimizer's slots, then the trained ones that the model averages

	part      share
	replicas  []imported // on TrainerConfig.Devices
	placement []Placed

	images, labels, seed, row, size, rate, step, decay, stop tf.Output
	evaluation                                               Predictor // on the first device
	loss, norm, stopped                                      tf.Output
	initSeed                                                 tf.Output
	train, first, more, begin, average                       *tf.Operation // of all replicas
	init, share                                              *tf.Operation
	reads                                                    map[string]tf.Output // of the first
	save                                                     saver
	restoreModel                                             saver
	memory                                                   memory
}

// NewTrainer builds the graph and opens a session. Variables have no values
// until Init, Restore or RestoreModel.
func NewTrainer(cfg TrainerConfig) (_ *Trainer, err error) {
	if err := errors.Join(cfg.Model.Validate(), cfg.Augment.Validate(), cfg.Optimizer.Validate(), ValidateAverage(cfg.Average), cfg.Session.Validate()); err != nil {
		return nil, err
	}
	part, err := cfg.share()
	if err != nil {
		return nil, err
	}
	// Batch norm needs two values of each channel to have a variance.
	final := (cfg.Model.Size + 31) / 32
	if cfg.Resize {
		final = 1
	}
	if part.examples*final*final < 2 {
		return nil, fmt.Errorf("batch of %d at %d px: batch norm needs at least 2 examples at a time", part.examples, cfg.Model.Size)
	}
	if len(cfg.Devices) == 0 {
		if cfg.Devices, err = AutoDevices.Resolve(cfg.Session); err != nil {
			return nil, err
		}
	}
	host := hostDevice
	if cfg.Cluster != nil {
		job := cfg.Cluster.job()
		host = job + hostDevice
		cfg.Devices = slices.Clone(cfg.Devices)
		for i := range cfg.Devices {
			cfg.Devices[i] = job + cfg.Devices[i]
		}
	}
	r, err := buildReplica(cfg, part, IsGPU(cfg.Devices[0]))
	if err != nil {
		return nil, err
	}
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g).WithDevice(host)
	defer recoverBuild(s, &err)
	t := &Trainer{cfg: cfg, part: part, vars: slices.Concat(r.model, r.slots, r.live)}
	model := cfg.Model
	size, outputs, n := int64(model.Size), int64(model.Outputs), len(cfg.Devices)
	t.images = placeholder(s, nodeImages, tf.Uint8, int64(n*part.examples), size, size, 3)
	t.labels = placeholder(s, nodeLabels, tf.Float, int64(n*part.examples), outputs)
	t.seed = placeholder(s, nodeSeed, tf.Int64, 2)
	t.step = placeholder(s, nodeStep, tf.Int64)
	t.rate = placeholder(s, nodeRate, tf.Float)
	inputs := map[string]tf.Output{nodeSeed: t.seed, nodeStep: t.step, nodeRate: t.rate}
	t.evaluation.Images = placeholder(s, nodeEvalImages, tf.Uint8, -1, size, size, 3)
	t.evaluation.Size, t.evaluation.Outputs = model.Size, model.Outputs
	inputs[nodeEvalImages] = t.evaluation.Images
	if cfg.Average > 0 {
		t.decay = placeholder(s, nodeDecay, tf.Float)
		inputs[nodeDecay] = t.decay
	}
	if cfg.Cluster != nil {
		t.stop = placeholder(s, nodeStop, tf.Float)
		inputs[nodeStop] = t.stop
	}
	if cfg.Resize {
		t.size = placeholder(s, nodeTrainSize, tf.Int32)
		inputs[nodeTrainSize] = t.size
	}
	images, labels := split(s.SubScope("split_images"), t.images, n), split(s.SubScope("split_labels"), t.labels, n)
	if !part.whole() {
		t.row = placeholder(s, nodeRow, tf.Int32)
	}
	var missing error
	t.replicas = make([]imported, n)
	for i, device := range cfg.Devices {
		inputs[nodeImages], inputs[nodeLabels] = images[i], labels[i]
		if !part.whole() {
			rs := s.SubScope("row")
			inputs[nodeRow] = op.AddV2(rs, t.row, tg.Const(rs, int32(i*part.examples)))
		}
		t.replicas[i] = importReplica(g, r, fmt.Sprintf("%s%d", replicaPrefix, i), device, inputs, &missing)
	}
	rep := t.replicas[0]
	t.evaluation.Logits, t.evaluation.Probabilities = rep.output(nodeLogits), rep.output(nodeProbabilities)
	t.loss, t.norm = rep.output(nodeLoss), rep.output(nodeNorm)
	if cfg.Cluster != nil {
		t.stopped = rep.output(nodeStopped)
	}
	all := func(name string) *tf.Operation {
		var ops []*tf.Operation
		for _, rep := range t.replicas {
			ops = append(ops, rep.operation(name))
		}
		if missing != nil {
			return nil
		}
		return group(s, name, ops)
	}
	t.train = all(nodeTrain)
	if part.accumulate > 1 {
		t.first, t.more = all(nodeFirst), all(nodeMore)
	}
	if cfg.Average > 0 {
		t.begin, t.average = all(nodeBegin), all(nodeAverage)
	}
	t.reads = map[string]tf.Output{}
	handles := map[string][]tf.Output{}
	for _, v := range t.vars {
		t.reads[v.Name] = rep.output(readNode(v.Name))
		for _, rep := range t.replicas {
			handles[v.Name] = append(handles[v.Name], rep.output(handleNode(v.Name)))
		}
	}
	if missing != nil {
		return nil, missing
	}

	// First values are drawn on the host, so that they are the same on every
	// device, and every kind of device.
	t.initSeed = placeholder(s, "init_seed", tf.Int64)
	var inits []*tf.Operation
	for _, v := range slices.Concat(r.model, r.slots) {
		is := s.SubScope("init").SubScope(v.Name)
		inits = append(inits, assign(is, handles[v.Name], v.init.build(is, v.Name, v.Shape, t.initSeed))...)
	}
	t.init = group(s, "init", inits)
	t.restoreModel = newSaver(s.SubScope("restore_model"), r.model, handles, t.reads)
	t.save = newSaver(s.SubScope("save"), t.vars, handles, t.reads)
	if cfg.Cluster != nil {
		t.share = cfg.Cluster.broadcast(s.SubScope("share"), t.vars, handles, t.reads)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.placement, err = placementOf(g, host, cfg.Devices); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	cfg.Session.devices, cfg.Session.cluster = cfg.Devices, cfg.Cluster
	if t.sess, err = newSession(g, cfg.Session); err != nil {
		return nil, err
	}
	t.evaluation.Run = t.sess.Run
	return t, nil
}

// MicroBatch is the number of examples that one of so many devices sees at a time,
// in accumulate micro-batches of which 0 is 1. A batch that cannot be shared out
// evenly is an error.
func MicroBatch(batch, devices, accumulate int) (int, error) {
	parts := devices * max(1, accumulate)
	switch {
	case accumulate < 0:
		return 0, fmt.Errorf("accumulate %d: expected 0 or more", accumulate)
	case batch < 1 || batch%parts != 0:
		in := ""
		if accumulate > 1 {
			in = fmt.Sprintf(" in %d micro-batches each", accumulate)
		}
		return 0, fmt.Errorf("batch of %d on %d devices%s: expected a multiple of %d", batch, devices, in, parts)
	}
	return batch / parts, nil
}

// share is one replica's part of the batch.
func (cfg TrainerConfig) share() (part share, err error) {
	part = share{replicas: max(1, len(cfg.Devices)) * cfg.Cluster.Workers(), accumulate: max(1, cfg.Accumulate)}
	part.examples, err = MicroBatch(cfg.Batch, part.replicas, cfg.Accumulate)
	return part, err
}

// split cuts x into n equal parts along its first dimension.
func split(s *op.Scope, x tf.Output, n int) []tf.Output {
	if n == 1 {
		return []tf.Output{x}
	}
	return op.Split(s, tg.Const(s, int32(0)), x, int64(n))
}

// Placement tells how many ops of the graph are on which device, and for what.
func (t *Trainer) Placement() []Placed { return slices.Clone(t.placement) }

// Close ends the session. The Trainer must not be used afterwards.
func (t *Trainer) Close() error {
	if c := t.cfg.Cluster; c != nil && c.lost {
		return nil // it would wait for the run that does not end
	}
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
	if t.begin == nil {
		return nil
	}
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
	Images []byte    // uint8 [Batch / workers, Size, Size, 3]
	Labels []float32 // [Batch / workers, Outputs]
	// Step is the number of updates made before this one.
	Step int64
	// Seed keys the step's randomness, augmentation and dropout, together with
	// Step.
	Seed         int64
	LearningRate float64
	// Size is the height and width to which the images are shrunk before the
	// step, pixels; 0 is Config.Size. Others need TrainerConfig.Resize.
	Size int
	// Stop asks all workers to stop after this step; without a Cluster it says
	// nothing.
	Stop bool
}

// StepOutput is all that comes back from an update.
type StepOutput struct {
	Loss float64 // before the update, mean over the batch
	// GradientNorm is the global norm of the gradients before clipping.
	GradientNorm float64
	// Stop tells whether a worker has asked to stop.
	Stop bool
}

// Share gives the chief's variables to all workers, each of which has to call it.
// Without a Cluster there is nothing to do.
func (t *Trainer) Share() error {
	if t.share == nil {
		return nil
	}
	if _, err := t.cfg.Cluster.run(t.sess, nil, nil, []*tf.Operation{t.share}); err != nil {
		return fmt.Errorf("share the weights of the chief: %w", err)
	}
	return nil
}

// Step makes one update, in one session run for each micro-batch.
func (t *Trainer) Step(in StepInput) (StepOutput, error) {
	m := t.cfg.Model
	size, outputs := int64(m.Size), int64(m.Outputs)
	if err := t.checkInput(in); err != nil {
		return StepOutput{}, fmt.Errorf("step %d: %w", in.Step, err)
	}
	seed, err1 := tf.NewTensor([]int64{in.Seed, in.Step})
	step, err2 := tf.NewTensor(in.Step)
	rate, err3 := tf.NewTensor(float32(in.LearningRate))
	feeds := map[tf.Output]*tf.Tensor{t.seed: seed, t.step: step, t.rate: rate}
	last := t.train
	var err4, err5 error
	if t.cfg.Average > 0 {
		decay, due := averageDecay(t.cfg.Average, in.Step)
		if due {
			last = t.average
		}
		feeds[t.decay], err4 = tf.NewTensor(float32(decay))
	}
	if t.cfg.Resize {
		feeds[t.size], err5 = tf.NewTensor(int32(cmp.Or(in.Size, m.Size)))
	}
	fetches := []tf.Output{t.loss, t.norm}
	var err6 error
	if t.cfg.Cluster != nil {
		fetches = append(fetches, t.stopped)
		stop := float32(0)
		if in.Stop {
			stop = 1
		}
		feeds[t.stop], err6 = tf.NewTensor(stop)
	}
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return StepOutput{}, fmt.Errorf("feed step %d: %w", in.Step, err)
	}
	rows := len(t.replicas) * t.part.examples // of a micro-batch
	first := t.cfg.Cluster.Index() * t.cfg.Batch / t.cfg.Cluster.Workers()
	pixels, answers := rows*m.Size*m.Size*3, rows*m.Outputs
	var got []*tf.Tensor
	for i := range t.part.accumulate {
		images, err1 := uint8Tensor(in.Images[i*pixels:(i+1)*pixels], int64(rows), size, size, 3)
		labels, err2 := float32Tensor(in.Labels[i*answers:(i+1)*answers], int64(rows), outputs)
		feeds[t.images], feeds[t.labels] = images, labels
		var err3 error
		if !t.part.whole() {
			feeds[t.row], err3 = tf.NewTensor(int32(first + i*rows))
		}
		if err := errors.Join(err1, err2, err3); err != nil {
			return StepOutput{}, fmt.Errorf("feed step %d: %w", in.Step, err)
		}
		t.memory.fed(pixels + 4*answers)
		var err error
		switch i {
		case t.part.accumulate - 1:
			got, err = t.cfg.Cluster.run(t.sess, feeds, fetches, []*tf.Operation{last})
		case 0:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.first})
		default:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.more})
		}
		if err != nil {
			return StepOutput{}, fmt.Errorf("run step %d: %w", in.Step, err)
		}
	}
	loss, err1 := floats(got[0])
	norm, err2 := floats(got[1])
	if err := errors.Join(err1, err2); err != nil {
		return StepOutput{}, fmt.Errorf("fetch step %d: %w", in.Step, err)
	}
	out := StepOutput{Loss: float64(loss[0]), GradientNorm: float64(norm[0])}
	if len(got) > 2 {
		stopped, err := floats(got[2])
		if err != nil {
			return StepOutput{}, fmt.Errorf("fetch step %d: %w", in.Step, err)
		}
		out.Stop = stopped[0] > 0
	}
	return out, nil
}

func (t *Trainer) checkInput(in StepInput) error {
	m, batch := t.cfg.Model, t.cfg.Batch/t.cfg.Cluster.Workers()
	if got, want := len(in.Images), batch*m.Size*m.Size*3; got != want {
		return fmt.Errorf("%d bytes of images: expected %d for %d of %d pixels", got, want, batch, m.Size)
	}
	if got, want := len(in.Labels), batch*m.Outputs; got != want {
		return fmt.Errorf("%d labels: expected %d", got, want)
	}
	if size := cmp.Or(in.Size, m.Size); size < minSize || size > m.Size || size != m.Size && !t.cfg.Resize {
		return fmt.Errorf("%d pixels: expected %d to %d, and Resize for less than that", size, minSize, m.Size)
	}
	return nil
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
