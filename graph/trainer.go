package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// Trainer is a training graph with the session that runs it. Its methods must
// not be called concurrently, except Stage and SaveSnapshot.
type Trainer struct {
	setup setup
	sess  *tf.Session
	vars  []network.Variable // the model's, then the optimizer's slots, then the raw weights that the model averages

	replicas  []imported // on TrainerConfig.Devices
	placement []Placed

	// The endpoints of all replicas.
	inputs  map[string]tf.Output
	targets map[string]*tf.Operation
	results stepResults

	evaluation Predictor            // on the first device
	reads      map[string]tf.Output // of the variables, on the first device
	values     variableOps
	staged     atomic.Int64 // batches waiting for their step
	collector  session.Collector
}

// variableOps set, save and restore variables.
type variableOps struct {
	seed            tf.Output // for init, int64 []
	init, broadcast *tf.Operation
	load            map[string]loader // by variable of the model
	restore         saver
	snapshot        snapshot
	taken           atomic.Bool // a snapshot is taken and not yet saved
}

// loader sets a variable on all devices to a fed value.
type loader struct {
	value tf.Output // float32 of the variable's shape
	set   *tf.Operation
}

// NewTrainer builds the graph and opens a session. Variables have no values
// until Init or Restore.
func NewTrainer(cfg TrainerConfig) (_ *Trainer, err error) {
	c, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	r, err := buildReplica(c)
	if err != nil {
		return nil, err
	}
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g).WithDevice(c.host)
	defer session.RecoverBuild(s, &err)
	t := &Trainer{setup: c, vars: slices.Concat(r.model, r.slots, r.live)}
	handles, err := t.connect(g, s, r)
	if err != nil {
		return nil, err
	}
	t.addVariableOps(s, r, handles)
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.placement, err = placementOf(g, c.host, c.Devices); err != nil {
		return nil, fmt.Errorf("build training graph: %w", err)
	}
	if t.sess, err = session.New(g, c.Session.On(c.Devices, c.Cluster)); err != nil {
		return nil, err
	}
	t.evaluation.Run = t.sess.Run
	return t, nil
}

// connect imports r once for each device and connects the endpoints. It returns each
// variable's resources on all devices, by the variable's name.
func (t *Trainer) connect(g *tf.Graph, s *op.Scope, r *replica) (handles map[string][]tf.Output, err error) {
	c := t.setup
	t.inputs = c.placeholders(s, len(c.Devices)*c.examples)
	var missing error
	for i, in := range c.replicaInputs(s, t.inputs) {
		t.replicas = append(t.replicas, importReplica(g, r, fmt.Sprintf("%s%d", replicaPrefix, i), c.Devices[i], in, &missing))
	}
	first := t.replicas[0]
	t.evaluation = Predictor{
		Images: t.inputs[nodeEvalImages], Logits: first.output(nodeLogits),
		Shape: c.Model.Shape(), Outputs: c.Model.Outputs,
	}
	if !c.Pairs {
		t.evaluation.Probabilities = first.output(nodeProbabilities)
	}
	t.reads, handles = map[string]tf.Output{}, map[string][]tf.Output{}
	for _, v := range t.vars {
		t.reads[v.Name] = first.output(network.ReadNode(v.Name))
		for _, r := range t.replicas {
			handles[v.Name] = append(handles[v.Name], r.output(network.HandleNode(v.Name)))
		}
	}
	t.targets = map[string]*tf.Operation{}
	for _, e := range c.of(targets) {
		var ops []*tf.Operation
		for _, r := range t.replicas {
			ops = append(ops, r.operation(e.name))
		}
		if missing == nil {
			t.targets[e.name] = session.Group(s, e.name, ops)
		}
	}
	t.results.at = map[string]int{}
	for _, e := range c.of(results) {
		t.results.at[e.name] = len(t.results.fetches)
		values := []tf.Output{first.output(e.name)}
		if e.clock {
			for _, r := range t.replicas[1:] {
				values = append(values, r.output(e.name))
			}
			if missing == nil {
				values = clock(s.SubScope(e.name), values)
			}
		}
		t.results.fetches = append(t.results.fetches, values...)
	}
	return handles, missing
}

// addVariableOps adds the ops that set, save and restore variables.
func (t *Trainer) addVariableOps(s *op.Scope, r *replica, handles map[string][]tf.Output) {
	v := &t.values
	// Initial values are drawn on the host, so that they are the same on every
	// device of every kind.
	v.seed = session.Placeholder(s, "init_seed", tf.Int64)
	var inits []*tf.Operation
	for _, w := range slices.Concat(r.model, r.slots) {
		is := s.SubScope("init").SubScope(w.Name)
		inits = append(inits, assign(is, handles[w.Name], w.Initial(is, v.seed))...)
	}
	v.init = session.Group(s, "init", inits)
	v.load = map[string]loader{}
	for _, w := range r.model {
		ls := s.SubScope("load").SubScope(w.Name)
		value := op.Placeholder(ls, tf.Float, op.PlaceholderShape(tf.MakeShape(w.Shape...)))
		v.load[w.Name] = loader{value, session.Group(ls, "set", assign(ls, handles[w.Name], value))}
	}
	v.restore = newSaver(s.SubScope("restore"), t.vars, handles, nil)
	v.snapshot = newSnapshot(s.SubScope("save"), t.vars, readsOf(t.vars, t.reads))
	if c := t.setup.Cluster; c != nil {
		v.broadcast = broadcast(c, s.SubScope("share"), t.vars, handles, t.reads)
	}
}

// Placement returns the number of ops on each device, by their purpose.
func (t *Trainer) Placement() []Placed { return slices.Clone(t.placement) }

// Close ends the session. The Trainer must not be used afterwards.
func (t *Trainer) Close() error {
	if t.setup.Cluster.Lost() {
		return nil // closing would wait for the run that does not end
	}
	if err := t.sess.Close(); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// Variables lists the model's variables, then the optimizer's slots, then the raw
// weights if the model averages them.
func (t *Trainer) Variables() []network.Variable { return slices.Clone(t.vars) }

// Init gives every variable its initial value, a pure function of (seed, name),
// and every slot zero.
func (t *Trainer) Init(seed int64) error {
	value, err := tf.NewTensor(seed)
	if err == nil {
		_, err = t.sess.Run(map[tf.Output]*tf.Tensor{t.values.seed: value}, nil, []*tf.Operation{t.values.init})
	}
	if err != nil {
		return fmt.Errorf("initialise variables: %w", err)
	}
	return t.trainFromModel()
}

// trainFromModel sets the raw weights to the model's.
func (t *Trainer) trainFromModel() error {
	begin, ok := t.targets[nodeBegin]
	if !ok {
		return nil
	}
	if _, err := t.sess.Run(nil, nil, []*tf.Operation{begin}); err != nil {
		return fmt.Errorf("initialise the weights that are averaged: %w", err)
	}
	return nil
}

// Broadcast sends the chief's variables to all workers; each worker has to call it.
// Without a Cluster it does nothing.
func (t *Trainer) Broadcast() error {
	if t.values.broadcast == nil {
		return nil
	}
	if _, err := t.setup.Cluster.Run(t.sess, nil, nil, []*tf.Operation{t.values.broadcast}); err != nil {
		return fmt.Errorf("share the weights of the chief: %w", err)
	}
	return nil
}

// Predict runs the network in inference mode, without TrainerConfig.Pairs, on any number of images, uint8
// [N, Size, Size, channels], and returns logits and probabilities, each float32
// [N, Outputs] in row-major order.
func (t *Trainer) Predict(images []byte) (logits, probabilities []float32, err error) {
	return t.evaluation.Predict(images)
}

// PredictPairs runs the network in inference mode on two views of each of N images, uint8 [N, Size,
// Size, channels], and returns the logits of both, each float32 [N, Outputs] in row-major order. The
// views are a pure function of key and of an image's row. It needs TrainerConfig.Pairs.
func (t *Trainer) PredictPairs(images []byte, key [2]int64) (first, second []float32, err error) {
	if !t.setup.Pairs {
		return nil, nil, errors.New("predict pairs: the trainer was built for single images")
	}
	n, feeds, err := t.evaluation.Feeds(images)
	if err == nil {
		feeds[t.inputs[nodeEvalKey]], err = tf.NewTensor(key[:])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("predict pairs: %w", err)
	}
	got, err := t.sess.Run(feeds, []tf.Output{t.evaluation.Logits}, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("predict pairs: %w", err)
	}
	both, err := session.Floats(got[0])
	if half := n * t.setup.Model.Outputs; err == nil && len(both) == 2*half {
		return both[:half], both[half:], nil
	}
	return nil, nil, errors.Join(fmt.Errorf("predict pairs: %d logits: expected %d", len(both), 2*n*t.setup.Model.Outputs), err)
}

// Save writes every variable and slot as a TensorFlow bundle: the files
// prefix.index and prefix.data-00000-of-00001.
func (t *Trainer) Save(prefix string) error {
	if err := t.Snapshot(); err != nil {
		return err
	}
	return t.SaveSnapshot(prefix)
}

// Snapshot copies the value of every variable and slot, for SaveSnapshot, into a second
// set of variables on the host. SaveSnapshot must not be running.
func (t *Trainer) Snapshot() error {
	if _, err := t.sess.Run(nil, nil, []*tf.Operation{t.values.snapshot.take}); err != nil {
		return fmt.Errorf("keep the variables: %w", err)
	}
	t.values.taken.Store(true)
	return nil
}

// SaveSnapshot writes the values of the last Snapshot as Save does. A snapshot can be saved once.
// Like Stage it may be called during Step.
func (t *Trainer) SaveSnapshot(prefix string) error {
	if !t.values.taken.Swap(false) {
		return errors.New("save variables: there is no snapshot of them")
	}
	return t.values.snapshot.save(t.sess, prefix)
}

// Restore reads what Save wrote.
func (t *Trainer) Restore(prefix string) error { return t.values.restore.restore(t.sess, prefix) }

// Loads reports whether LoadModel can set the variable with this name: those of the model.
func (t *Trainer) Loads(name string) bool { return t.values.load[name].set != nil }

// LoadModel sets variables of the model, each to as many values as it has, and ignores values under
// other names. It leaves the other variables and the optimizer's slots as they are: call Init first.
// With an average, training goes on from these values.
func (t *Trainer) LoadModel(weights network.Weights) error {
	feeds := map[tf.Output]*tf.Tensor{}
	var sets []*tf.Operation
	for _, v := range t.vars {
		values, ok := weights[v.Name]
		l := t.values.load[v.Name]
		if !ok || l.set == nil {
			continue
		}
		value, err := session.Float32Tensor(values, v.Shape...)
		if err != nil {
			return fmt.Errorf("load %s: %w", v.Name, err)
		}
		feeds[l.value], sets = value, append(sets, l.set)
	}
	if _, err := t.sess.Run(feeds, nil, sets); err != nil {
		return fmt.Errorf("load the model's variables: %w", err)
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
