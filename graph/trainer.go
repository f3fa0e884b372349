package graph

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// TrainerConfig is all that a Trainer is built from.
type TrainerConfig struct {
	Model network.Config
	// Augment varies the images of training steps; evaluation sees them without.
	Augment   images.Augment
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
	// Held is the number of images that the devices hold for training (Hold), of
	// which steps then take rows; 0 feeds every step with images.
	Held int
	// FilterKernels are the ways to find the gradients of kernels; nil is the op for
	// all of them.
	FilterKernels network.FilterKernels
	// SkipNonFinite leaves out an update whose gradients are not finite.
	SkipNonFinite bool
	// Session says how the graph is run.
	Session session.Config
	// Cluster, when set, has the other workers, which build the same Trainer for
	// as many devices and make the same steps.
	Cluster *session.Cluster
}

// Trainer is a training graph with the session that runs it. Its methods must
// not be called concurrently, but for Stage and SaveSnapshot.
type Trainer struct {
	cfg  TrainerConfig
	sess *tf.Session
	vars []network.Variable // the model's, then the optimizer's slots, then the trained ones that the model averages

	part      share
	replicas  []imported // on TrainerConfig.Devices
	placement []Placed

	images, labels, seed, row, size, rate, step, decay, stop tf.Output
	evaluation                                               Predictor // on the first device
	loss, norm, stopped                                      tf.Output
	scale                                                    tf.Output   // in float16
	marks                                                    []tf.Output // see clock
	held                                                     tf.Output
	put, hold                                                *tf.Operation // of all replicas
	staged                                                   atomic.Int64  // batches that wait for their step
	taken                                                    atomic.Bool   // a snapshot, and not yet saved
	initSeed                                                 tf.Output
	train, first, more, begin, average                       *tf.Operation // of all replicas
	init, share                                              *tf.Operation
	reads                                                    map[string]tf.Output // of the first
	snapshot                                                 snapshot
	restore, restoreModel                                    saver
	collector                                                session.Collector
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
	if err := CheckMicroBatch(part.examples, cfg.Model.Size, cfg.Resize); err != nil {
		return nil, err
	}
	if len(cfg.Devices) == 0 {
		if cfg.Devices, err = session.AutoDevices.Resolve(cfg.Session); err != nil {
			return nil, err
		}
	}
	host := session.HostDevice
	if cfg.Cluster != nil {
		job := cfg.Cluster.Job()
		host = job + session.HostDevice
		cfg.Devices = slices.Clone(cfg.Devices)
		for i := range cfg.Devices {
			cfg.Devices[i] = job + cfg.Devices[i]
		}
	}
	r, err := buildReplica(cfg, part, session.IsGPU(cfg.Devices[0]))
	if err != nil {
		return nil, err
	}
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g).WithDevice(host)
	defer session.RecoverBuild(s, &err)
	t := &Trainer{cfg: cfg, part: part, vars: slices.Concat(r.model, r.slots, r.live)}
	model := cfg.Model
	size, outputs, n := int64(model.Size), int64(model.Outputs), len(cfg.Devices)
	fed := nodeImages
	if cfg.Held > 0 {
		fed = nodeRows
		t.images = session.Placeholder(s, nodeRows, tf.Int64, int64(n*part.examples))
		t.held = session.Placeholder(s, nodeHeld, tf.Uint8, int64(cfg.Held), size, size, 3)
	} else {
		t.images = session.Placeholder(s, nodeImages, tf.Uint8, int64(n*part.examples), size, size, 3)
	}
	t.labels = session.Placeholder(s, nodeLabels, tf.Float, int64(n*part.examples), outputs)
	t.seed = session.Placeholder(s, nodeSeed, tf.Int64, 2)
	t.step = session.Placeholder(s, nodeStep, tf.Int64)
	t.rate = session.Placeholder(s, nodeRate, tf.Float)
	inputs := map[string]tf.Output{nodeSeed: t.seed, nodeStep: t.step, nodeRate: t.rate}
	t.evaluation.Images = session.Placeholder(s, nodeEvalImages, tf.Uint8, -1, size, size, 3)
	t.evaluation.Size, t.evaluation.Outputs = model.Size, model.Outputs
	inputs[nodeEvalImages] = t.evaluation.Images
	if cfg.Held > 0 {
		inputs[nodeHeld] = t.held
	}
	if cfg.Average > 0 {
		t.decay = session.Placeholder(s, nodeDecay, tf.Float)
		inputs[nodeDecay] = t.decay
	}
	if cfg.Cluster != nil {
		t.stop = session.Placeholder(s, nodeStop, tf.Float)
		inputs[nodeStop] = t.stop
	}
	if cfg.Resize {
		t.size = session.Placeholder(s, nodeTrainSize, tf.Int32)
		inputs[nodeTrainSize] = t.size
	}
	images, labels := split(s.SubScope("split_images"), t.images, n), split(s.SubScope("split_labels"), t.labels, n)
	if !part.whole() {
		t.row = session.Placeholder(s, nodeRow, tf.Int32)
	}
	var missing error
	t.replicas = make([]imported, n)
	for i, device := range cfg.Devices {
		inputs[fed], inputs[nodeLabels] = images[i], labels[i]
		if !part.whole() {
			rs := s.SubScope("row")
			inputs[nodeRow] = op.AddV2(rs, t.row, tg.Const(rs, int32(i*part.examples)))
		}
		t.replicas[i] = importReplica(g, r, fmt.Sprintf("%s%d", replicaPrefix, i), device, inputs, &missing)
	}
	rep := t.replicas[0]
	t.evaluation.Logits, t.evaluation.Probabilities = rep.output(nodeLogits), rep.output(nodeProbabilities)
	t.loss, t.norm = rep.output(nodeLoss), rep.output(nodeNorm)
	if model.Precision == network.Float16 {
		t.scale = rep.output(nodeScale)
	}
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
		return session.Group(s, name, ops)
	}
	t.train, t.put = all(nodeTrain), all(nodeStage)
	if cfg.Held > 0 {
		t.hold = all(nodeHold)
	}
	if part.accumulate > 1 {
		t.first, t.more = all(nodeFirst), all(nodeMore)
	}
	if cfg.Average > 0 {
		t.begin, t.average = all(nodeBegin), all(nodeAverage)
	}
	for _, name := range []string{nodeComputed, nodeReduced} {
		if name == nodeReduced && part.replicas == 1 {
			continue
		}
		var marks []tf.Output
		for _, rep := range t.replicas {
			marks = append(marks, rep.output(name))
		}
		if missing == nil {
			t.marks = append(t.marks, clock(s.SubScope(name), marks)...)
		}
	}
	t.reads = map[string]tf.Output{}
	handles := map[string][]tf.Output{}
	for _, v := range t.vars {
		t.reads[v.Name] = rep.output(network.ReadNode(v.Name))
		for _, rep := range t.replicas {
			handles[v.Name] = append(handles[v.Name], rep.output(network.HandleNode(v.Name)))
		}
	}
	if missing != nil {
		return nil, missing
	}

	// First values are drawn on the host, so that they are the same on every
	// device, and every kind of device.
	t.initSeed = session.Placeholder(s, "init_seed", tf.Int64)
	var inits []*tf.Operation
	for _, v := range slices.Concat(r.model, r.slots) {
		is := s.SubScope("init").SubScope(v.Name)
		inits = append(inits, assign(is, handles[v.Name], v.Initial(is, t.initSeed))...)
	}
	t.init = session.Group(s, "init", inits)
	t.restoreModel = newSaver(s.SubScope("restore_model"), r.model, handles, nil)
	t.restore = newSaver(s.SubScope("restore"), t.vars, handles, nil)
	t.snapshot = newSnapshot(s.SubScope("save"), t.vars, readsOf(t.vars, t.reads))
	if cfg.Cluster != nil {
		t.share = broadcast(cfg.Cluster, s.SubScope("share"), t.vars, handles, t.reads)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.placement, err = placementOf(g, host, cfg.Devices); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.sess, err = session.New(g, cfg.Session.On(cfg.Devices, cfg.Cluster)); err != nil {
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
		return 0, &usage.Field{Name: "accumulate", Got: accumulate, Expected: "0 or more"}
	case batch < 1 || batch%parts != 0:
		in := ""
		if accumulate > 1 {
			in = fmt.Sprintf(" in %d micro-batches each", accumulate)
		}
		return 0, &usage.Field{Name: "batch", Got: batch, Expected: fmt.Sprintf("a multiple of %d on %d devices%s", parts, devices, in)}
	}
	return batch / parts, nil
}

// CheckMicroBatch says whether so many examples of a size are enough for batch norm,
// which needs two values of each channel to have a variance; resize is whether steps
// may see them smaller.
func CheckMicroBatch(examples, size int, resize bool) error {
	final := (size + 31) / 32
	if resize {
		final = 1
	}
	if examples*final*final < 2 {
		return usage.Errorf("a device sees %d example of the batch at a time, at %d px: batch norm needs at least 2 examples; take a larger {batch}, or fewer parts of it ({devices}, {accumulate})", examples, size)
	}
	return nil
}

// share is one replica's part of the batch.
func (cfg TrainerConfig) share() (part share, err error) {
	part = share{replicas: max(1, len(cfg.Devices)) * cfg.Cluster.Workers(), accumulate: max(1, cfg.Accumulate)}
	part.examples, err = MicroBatch(cfg.Batch, part.replicas, cfg.Accumulate)
	return part, err
}

// FilterLayers lists the layers of the training step whose gradients can be found in several
// ways. Devices has to be set. There are none on GPUs, where cuDNN makes its own choice.
func (cfg TrainerConfig) FilterLayers() ([]network.FilterLayer, error) {
	part, err := cfg.share()
	if err != nil || session.IsGPU(cfg.Devices[0]) {
		return nil, err
	}
	return network.FilterLayers(cfg.Model, part.examples), nil
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
	if t.cfg.Cluster.Lost() {
		return nil // it would wait for the run that does not end
	}
	if err := t.sess.Close(); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// Variables lists the model's variables, then the optimizer's slots, and then the
// trained weights that the model averages if it does.
func (t *Trainer) Variables() []network.Variable { return slices.Clone(t.vars) }

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
		return &usage.Field{Name: "ema", Got: decay, Expected: "a decay of 0 ≤ ema < 1, such as 0.999; 0 is none"}
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
	// Batch is the examples; without any they are those of the batch staged first.
	Batch
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
	// LossScale is what the loss was multiplied by in float16, else 0.
	LossScale float64
	// Skipped tells that the gradients were not finite and nothing was updated, but
	// for the scale, which is halved, down to 1. That is so with a scale above 1,
	// and with TrainerConfig.SkipNonFinite.
	Skipped bool
	// Stop tells whether a worker has asked to stop.
	Stop bool
	// Compute is how long it took until every replica's gradients were there,
	// AllReduce how long from then on until their means were, as far as that was
	// not done beside the gradients, and Update all the rest.
	Compute, AllReduce, Update time.Duration
}

// Share gives the chief's variables to all workers, each of which has to call it.
// Without a Cluster there is nothing to do.
func (t *Trainer) Share() error {
	if t.share == nil {
		return nil
	}
	if _, err := t.cfg.Cluster.Run(t.sess, nil, nil, []*tf.Operation{t.share}); err != nil {
		return fmt.Errorf("share the weights of the chief: %w", err)
	}
	return nil
}

// Step makes one update, in one session run for each micro-batch.
func (t *Trainer) Step(in StepInput) (StepOutput, error) {
	out, err := t.run(in)
	if err != nil {
		return StepOutput{}, fmt.Errorf("step %d: %w", in.Step+1, err)
	}
	return out, nil
}

func (t *Trainer) run(in StepInput) (out StepOutput, err error) {
	m := t.cfg.Model
	if size := cmp.Or(in.Size, m.Size); size < network.MinSize || size > m.Size || size != m.Size && !t.cfg.Resize {
		return out, fmt.Errorf("%d pixels: expected %d to %d, and Resize for less than that", size, network.MinSize, m.Size)
	}
	if in.Images != nil || in.Rows != nil {
		if err := t.Stage(in.Batch); err != nil {
			return out, err
		}
	}
	if t.staged.Load() < 1 {
		return out, errors.New("there is no batch: give one, or stage it before")
	}
	feeds, last, err := t.feeds(in)
	if err != nil {
		return out, err
	}
	fetches := append([]tf.Output{t.loss, t.norm}, t.marks...)
	if t.cfg.Cluster != nil {
		fetches = append(fetches, t.stopped)
	}
	if t.scale.Op != nil {
		fetches = append(fetches, t.scale)
	}
	rows := len(t.replicas) * t.part.examples // of a micro-batch
	first := t.cfg.Cluster.Index() * t.cfg.Batch / t.cfg.Cluster.Workers()
	begin := time.Now()
	t.staged.Add(-1)
	var got []*tf.Tensor
	for i := range t.part.accumulate {
		if !t.part.whole() {
			if feeds[t.row], err = tf.NewTensor(int32(first + i*rows)); err != nil {
				return out, err
			}
		}
		switch i {
		case t.part.accumulate - 1:
			got, err = t.cfg.Cluster.Run(t.sess, feeds, fetches, []*tf.Operation{last})
		case 0:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.first})
		default:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.more})
		}
		if err != nil {
			return out, err
		}
	}
	end := time.Now()
	scalar := func(i int) float64 { return float64(got[i].Value().(float32)) }
	out.Loss, out.GradientNorm = scalar(0), scalar(1)
	computed := moment(got[2])
	reduced := computed
	if len(t.marks) > 2 {
		reduced = moment(got[4])
	}
	// Clocks that are set while a step runs must not make a time negative.
	out.Compute, out.AllReduce, out.Update = max(0, computed.Sub(begin)), max(0, reduced.Sub(computed)), max(0, end.Sub(reduced))
	rest := 2 + len(t.marks)
	if t.cfg.Cluster != nil {
		out.Stop = scalar(rest) > 0
		rest++
	}
	if t.scale.Op != nil {
		out.LossScale = scalar(rest)
	}
	finite := !math.IsInf(out.GradientNorm, 0) && !math.IsNaN(out.GradientNorm)
	out.Skipped = !finite && (out.LossScale > 1 || t.cfg.SkipNonFinite)
	return out, nil
}

// feeds is what a step is fed beside the examples, and what it runs last.
func (t *Trainer) feeds(in StepInput) (map[tf.Output]*tf.Tensor, *tf.Operation, error) {
	values := map[tf.Output]any{t.seed: []int64{in.Seed, in.Step}, t.step: in.Step, t.rate: float32(in.LearningRate)}
	last := t.train
	if t.cfg.Average > 0 {
		decay, due := averageDecay(t.cfg.Average, in.Step)
		if due {
			last = t.average
		}
		values[t.decay] = float32(decay)
	}
	if t.cfg.Resize {
		values[t.size] = int32(cmp.Or(in.Size, t.cfg.Model.Size))
	}
	if t.cfg.Cluster != nil {
		values[t.stop] = float32(0)
		if in.Stop {
			values[t.stop] = float32(1)
		}
	}
	feeds := make(map[tf.Output]*tf.Tensor, len(values)+1)
	for to, value := range values {
		tensor, err := tf.NewTensor(value)
		if err != nil {
			return nil, nil, err
		}
		feeds[to] = tensor
	}
	return feeds, last, nil
}

// clock adds the host's time at which all marks, float32 [], were there: float64 [],
// seconds since 1970. The second output is for the first to be fetched with:
// TensorFlow leaves out ops that nothing but an order depends on, and only a copy to
// the host waits for what a GPU was given to do before.
func clock(s *op.Scope, marks []tf.Output) []tf.Output {
	sum := op.AddN(s, marks)
	if s.Err() != nil {
		return nil
	}
	return []tf.Output{op.Timestamp(s.WithControlDependencies(sum.Op)), sum}
}

func moment(t *tf.Tensor) time.Time {
	return time.UnixMicro(int64(1e6 * t.Value().(float64)))
}

// Predict runs the network in inference mode on any number of images, uint8
// [N, Size, Size, 3], and returns logits and probabilities, each float32
// [N, Outputs] in row-major order.
func (t *Trainer) Predict(images []byte) (logits, probabilities []float32, err error) {
	return t.evaluation.Predict(images)
}

// Save writes every variable and slot as a TensorFlow bundle: the files
// prefix.index and prefix.data-00000-of-00001.
func (t *Trainer) Save(prefix string) error {
	if err := t.Snapshot(); err != nil {
		return err
	}
	return t.SaveSnapshot(prefix)
}

// Snapshot copies the value of every variable and slot for SaveSnapshot, which must not
// be under way, into the memory of a second set of them on the host.
func (t *Trainer) Snapshot() error {
	if _, err := t.sess.Run(nil, nil, []*tf.Operation{t.snapshot.take}); err != nil {
		return fmt.Errorf("keep the variables: %w", err)
	}
	t.taken.Store(true)
	return nil
}

// SaveSnapshot is Save of the values that Snapshot kept last, once. Like Stage it may
// be called beside Step.
func (t *Trainer) SaveSnapshot(prefix string) error {
	if !t.taken.Swap(false) {
		return errors.New("save variables: there is no snapshot of them")
	}
	return t.snapshot.save(t.sess, prefix)
}

// Restore reads what Save wrote.
func (t *Trainer) Restore(prefix string) error { return t.restore.restore(t.sess, prefix) }

// RestoreModel reads the model's variables from a bundle and leaves the
// optimizer's slots as they are: call Init first.
func (t *Trainer) RestoreModel(prefix string) error {
	if err := t.restoreModel.restore(t.sess, prefix); err != nil {
		return err
	}
	return t.trainFromModel()
}

// Weights returns the value of every variable and slot.
func (t *Trainer) Weights() (network.Weights, error) {
	return readWeights(t.sess, slices.Sorted(maps.Keys(t.reads)), t.reads)
}

func readWeights(sess *tf.Session, names []string, reads map[string]tf.Output) (network.Weights, error) {
	fetches := make([]tf.Output, len(names))
	for i, name := range names {
		fetches[i] = reads[name]
	}
	got, err := sess.Run(nil, fetches, nil)
	if err != nil {
		return nil, fmt.Errorf("read variables: %w", err)
	}
	w := make(network.Weights, len(names))
	for i, name := range names {
		if w[name], err = session.Floats(got[i]); err != nil {
			return nil, fmt.Errorf("read variable %s: %w", name, err)
		}
	}
	return w, nil
}
