package graph

import (
	"fmt"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
	"google.golang.org/protobuf/proto"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// replicaPrefix plus a number is the scope of a replica in the graph around it.
const replicaPrefix = "replica_"

// replica is the serialised graph of one device's part of a training step, without its inputs,
// from images to updates: forward pass, loss, gradients, their means over micro-batches and
// replicas, updates. Replicas that start with the same weights keep the same weights.
type replica struct {
	def []byte
	// model, slots and live are the model's variables, the optimizer's, and the
	// raw weights that are trained if the model's are their moving averages.
	model, slots, live []network.Variable
}

// replicaBuilder is a replica under construction.
type replicaBuilder struct {
	setup
	graph *tf.Graph
	s     *op.Scope
	in    map[string]tf.Output
	// vars are the model's variables; trained are the variables that a step updates. They are
	// the same unless the model's are moving averages.
	vars, trained *network.Variables
	stats         map[string]tf.Output // batch norm's new moving averages
	scale         *lossScale           // in float16
	replica       *replica
}

// means holds means over the whole batch, float32: over micro-batches, replicas and
// workers.
type means struct {
	gradients, averages []tf.Output // of the descending and the moving variables
	loss, stopped       tf.Output
}

// buildReplica builds a replica in a graph of its own.
func buildReplica(c setup) (_ *replica, err error) {
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	defer session.RecoverBuild(s, &err)
	b := &replicaBuilder{setup: c, graph: g, s: s, in: c.placeholders(s, c.examples), replica: &replica{}, stats: map[string]tf.Output{}}
	b.vars = network.NewVariables(s, "")
	b.trained = b.vars
	if c.Average > 0 {
		b.trained = network.NewVariables(s, liveSuffix)
		b.trained.Fixed = b.vars // they are their own average
	}
	loss := b.forward()
	gradients, err := b.gradients(loss)
	if err != nil {
		return nil, err
	}
	m := b.reduce(gradients, loss)
	b.update(m)
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build replica: %w", err)
	}
	def, err := session.Def(g)
	if err != nil {
		return nil, err
	}
	// The graph around the replica supplies the inputs: importing would leave these
	// placeholders behind, unused.
	def.Node = slices.DeleteFunc(def.Node, func(n *nodepb.NodeDef) bool { return n.Op == "Placeholder" })
	if b.replica.def, err = proto.Marshal(def); err != nil {
		return nil, fmt.Errorf("encode replica: %w", err)
	}
	b.replica.model = b.vars.List
	return b.replica, nil
}

// forward adds the training pass and the inference pass, and returns the loss of a micro-batch,
// float32 [].
func (b *replicaBuilder) forward() (loss tf.Output) {
	s, cfg := b.s, b.Model
	cfg.Emulated = cfg.Precision.Emulated(b.gpu)
	eval := &network.Builder{Config: cfg, Params: b.vars, Frozen: b.frozen}
	if b.HoldFeatures {
		return b.headAlone(cfg, eval)
	}
	train := &network.Builder{Config: cfg, Params: b.trained, Training: true, Frozen: b.frozen, Augment: b.Augment, Pairs: b.Pairs, Size: b.in[nodeTrainSize], Stats: b.stats}
	examples, labels := stagedBatch(s, b.setup, b.in, pixels(b.setup, b.examples)...)
	draw := images.Random{Key: b.in[nodeKey], First: b.in[nodeFirst], Batch: int64(b.Batch)}
	logits := train.Logits(s.SubScope("train"), examples, draw)
	if b.Pairs {
		logits, labels = halves(s.SubScope("views"), logits)
	}
	loss = b.Loss(s.SubScope("train_loss"), logits, labels)

	b.evaluation(eval)
	return loss
}

// halves returns the first half of the rows of x, and the second one.
func halves(s *op.Scope, x tf.Output) (first, second tf.Output) {
	parts := op.Split(s, tg.Const(s.SubScope("axis"), int32(0)), x, 2)
	if s.Err() != nil {
		return tf.Output{}, tf.Output{}
	}
	return parts[0], parts[1]
}

// evaluation adds the inference pass.
func (b *replicaBuilder) evaluation(eval *network.Builder) {
	s := b.s
	if b.Pairs {
		eval.Augment, eval.Pairs = b.Augment, true
		session.Named(s, nodeLogits, eval.Logits(s.SubScope("eval"), b.in[nodeEvalImages], images.Random{Key: b.in[nodeEvalKey]}))
		return
	}
	logits := session.Named(s, nodeLogits, eval.Logits(s.SubScope("eval"), b.in[nodeEvalImages], images.Random{}))
	session.Named(s, nodeProbabilities, b.Posterior(s.SubScope("posterior"), logits))
}

// headAlone is forward for held features, which come from the inference pass.
func (b *replicaBuilder) headAlone(cfg network.Config, eval *network.Builder) (loss tf.Output) {
	s, channels := b.s, int64(0)
	eval.Named = func(name string, x tf.Output) tf.Output {
		if name == network.Features {
			x, channels = session.Named(s, nodeFeatures, x), x.Shape().Size(1)
		}
		return x
	}
	b.evaluation(eval)
	train := &network.Builder{Config: cfg, Params: b.trained, Training: true}
	features, labels := stagedBatch(s, b.setup, b.in, int64(b.examples), channels)
	draw := images.Random{Key: b.in[nodeKey], First: b.in[nodeFirst], Batch: int64(b.Batch)}
	return b.Loss(s.SubScope("train_loss"), train.Head(s.SubScope("train"), features, channels, draw), labels)
}

// descending returns the model's variables that have gradients.
func (b *replicaBuilder) descending() []network.Variable {
	return b.variables(func(v network.Variable) bool { return v.Trainable })
}

// moving returns batch norm's averages that a step moves.
func (b *replicaBuilder) moving() []network.Variable {
	return b.variables(func(v network.Variable) bool { return !v.Trainable })
}

func (b *replicaBuilder) variables(kind func(network.Variable) bool) (some []network.Variable) {
	for _, v := range b.vars.List {
		if kind(v) && !v.Fixed {
			some = append(some, v)
		}
	}
	return some
}

// gradients returns the gradients of loss with respect to the descending variables, in their
// order.
func (b *replicaBuilder) gradients(loss tf.Output) ([]tf.Output, error) {
	s := b.s
	var names []string
	var weights []tf.Output
	for _, v := range b.descending() {
		names, weights = append(names, v.Name), append(weights, b.trained.Reads[v.Name])
	}
	if b.Model.Precision == network.Float16 {
		b.scale = newLossScale(s)
		loss = op.Mul(s.SubScope("scaled_loss"), loss, b.scale.read)
	}
	gradients := op.Gradients(s.SubScope("backward"), []tf.Output{loss}, weights)
	if s.Err() == nil && len(b.FilterAlgorithms) > 0 {
		layers, err := b.FilterLayers()
		if err != nil {
			return nil, err
		}
		if gradients, err = network.FilterGradients(s.SubScope("filter_gradients"), b.graph, layers, b.FilterAlgorithms, names, gradients); err != nil {
			return nil, err
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build replica: %w", err)
	}
	if b.scale != nil {
		gradients = b.scale.unscale(s.SubScope("unscaled"), gradients)
	}
	return gradients, nil
}

// reduce adds the means over micro-batches and replicas. With several replicas, ops that
// change variables must run after the means.
func (b *replicaBuilder) reduce(gradients []tf.Output, loss tf.Output) (m means) {
	n := len(gradients)
	values := append(gradients, loss)
	for _, v := range b.moving() {
		values = append(values, b.stats[v.Name])
	}
	all := len(values)
	values = accumulate(b.s, b.accumulate, values)
	mark(b.s, nodeComputed, loss, values)
	if b.Cluster != nil {
		values = append(values, b.in[nodeStop])
	}
	values = allReduce(b.s.SubScope("all_reduce"), b.replicas, b.gpu, values)
	m = means{gradients: values[:n], loss: values[n], averages: values[n+1 : all]}
	if b.Cluster != nil {
		m.stopped = values[all]
	}
	if b.replicas > 1 {
		mark(b.s, nodeReduced, loss, values)
	}
	return m
}

// update adds the ops that update variables.
func (b *replicaBuilder) update(m means) {
	s, us := b.s, b.s // us is the scope of ops that change variables
	if reduced := b.graph.Operation(nodeReduced); reduced != nil {
		us = s.WithControlDependencies(reduced) // a step with a missing part changes nothing
	}
	updates := b.slots(m.gradients)
	session.Named(s, nodeLoss, m.loss)
	norm := session.Named(s, nodeNorm, globalNorm(s.SubScope("global_norm"), updates))
	var changes []*tf.Operation
	var finite tf.Output
	if b.scale != nil || b.SkipNonFinite {
		finite = op.IsFinite(us.SubScope("if_finite"), norm)
	}
	if b.scale != nil {
		b.replica.slots = append(b.replica.slots, b.scale.scale, b.scale.steps)
		session.Named(s, nodeScale, b.scale.read)
		changes = b.scale.update(us.SubScope("loss_scaling"), finite)
	}
	changes = append(changes, b.Optimizer.apply(us.SubScope("optimizer"), updates, b.in[nodeRate], b.in[nodeStep], norm, finite, b.gpu)...)
	for i, v := range b.moving() {
		as, average := us.SubScope("assign_average"), m.averages[i]
		if finite.Op != nil {
			average = op.Select(as, finite, average, b.trained.Reads[v.Name])
		}
		changes = append(changes, op.AssignVariableOp(as, b.trained.Handles[v.Name], average))
	}
	session.Group(s, nodeTrain, changes)
	if b.Cluster != nil {
		session.Named(s, nodeStopped, m.stopped)
	}
	if b.Average > 0 {
		b.replica.live = averageWeights(s, b.vars, b.trained, b.in[nodeDecay], finite, changes)
	}
}

// slots adds the optimizer's slots and returns an update for each gradient.
func (b *replicaBuilder) slots(gradients []tf.Output) (updates []update) {
	n, err := network.Named(b.Model.Arch)
	if err != nil {
		b.s.UpdateErr("Network", err)
		return nil
	}
	for i, v := range b.descending() {
		u := update{variable: v, handle: b.trained.Handles[v.Name], read: b.trained.Reads[v.Name], gradient: gradients[i], below: n.Head() - n.Depth(v.Name)}
		u.orthogonalised = b.Optimizer.orthogonalises(v, n.Depth(v.Name))
		for _, suffix := range b.Optimizer.slots(u.orthogonalised) {
			slot := network.Variable{Name: v.Name + suffix, Shape: v.Shape}
			handle, _ := network.NewVariable(b.s, slot)
			u.slots, b.replica.slots = append(u.slots, handle), append(b.replica.slots, slot)
		}
		updates = append(updates, u)
	}
	return updates
}

// mark adds a node with the given name and the value x, float32 [], that is ready only when
// all values are.
func mark(s *op.Scope, name string, x tf.Output, values []tf.Output) {
	var ops []*tf.Operation
	for _, v := range values {
		ops = append(ops, v.Op)
	}
	if s.Err() == nil {
		session.Named(s.WithControlDependencies(ops...), name, x)
	}
}

// imported finds the nodes of a replica inside the graph it was imported into.
type imported struct {
	graph  *tf.Graph
	prefix string
	err    *error
}

// importReplica imports r into g under prefix, on device, with nodes of g as its
// inputs. The first missing node sets *err.
func importReplica(g *tf.Graph, r *replica, prefix, device string, inputs map[string]tf.Output, err *error) imported {
	options := tf.GraphImportOptions{Prefix: prefix, Device: device}
	for name, input := range inputs {
		options.AddInputMapping(name, 0, input)
	}
	if e := g.ImportWithOptions(r.def, options); e != nil && *err == nil {
		*err = fmt.Errorf("import replica on %s: %w", device, e)
	}
	return imported{g, prefix, err}
}

func (i imported) operation(name string) *tf.Operation {
	o := i.graph.Operation(i.prefix + "/" + name)
	if o == nil && *i.err == nil {
		*i.err = fmt.Errorf("replica has no node %q", name)
	}
	return o
}

func (i imported) output(name string) tf.Output {
	if o := i.operation(name); o != nil {
		return o.Output(0)
	}
	return tf.Output{}
}
