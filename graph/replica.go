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

// Nodes of a replica that the graph around it feeds or finds by name.
const (
	// Inputs; the last six are there where they are used, nodeRows and nodeHeld in
	// place of nodeImages.
	nodeImages     = "images"        // uint8 [examples, size, size, 3]
	nodeLabels     = "labels"        // float32 [examples, outputs]
	nodeSeed       = "seed"          // int64 [2]
	nodeStep       = "step"          // int64 []
	nodeRate       = "learning_rate" // float32 []
	nodeEvalImages = "eval_images"   // uint8 [-1, size, size, 3]
	nodeRows       = "rows"          // int64 [examples], of nodeHeld
	nodeHeld       = "held_images"   // uint8 [TrainerConfig.Held, size, size, 3]
	nodeRow        = "row"           // int32 [], of the batch: that of the first example
	nodeDecay      = "average_decay" // float32 []
	nodeTrainSize  = "train_size"    // int32 []
	nodeStop       = "stop"          // float32 [], of a worker

	// Results.
	nodeLoss          = "loss"          // float32 [], of the whole batch
	nodeNorm          = "gradient_norm" // float32 [], the same
	nodeScale         = "scale"         // float32 [], of the loss in this step, in float16
	nodeComputed      = "computed"      // float32 [], when the replica's gradients are there
	nodeReduced       = "reduced"       // float32 [], when their means are, where there are several replicas
	nodeStopped       = "stopped"       // float32 [], the mean of stop over the workers, where there are several
	nodeLogits        = "logits"        // float32 [-1, outputs], of eval_images
	nodeProbabilities = "probabilities" // float32 [-1, outputs], of eval_images

	// Targets; the last five are there where they are used.
	nodeStage   = "stage"      // a batch for the step after those staged before
	nodeTrain   = "update"     // of the weights, with the last of the micro-batches
	nodeAverage = "average"    // update, and then the average of the weights
	nodeBegin   = "begin"      // trains from the model's weights on
	nodeHold    = "hold"       // the images that steps take rows of
	nodeFirst   = "accumulate" // the first micro-batch of an update
	nodeMore    = "accumulate_more"
)

// replicaPrefix and its number are the scope of a replica in the graph around it.
const replicaPrefix = "replica_"

// replica is the serialised graph of one device's share of a training step, but for
// its inputs, from images to updates: forward pass, loss, gradients, the means of
// those over micro-batches and replicas, updates. Replicas that begin with the same
// weights keep the same weights.
type replica struct {
	def []byte
	// model, slots and live are the variables: the model's, the optimizer's, and
	// those that are trained where the model's are averages of them.
	model, slots, live []network.Variable
}

// share is one replica's part of a batch.
type share struct {
	examples   int // of a micro-batch
	replicas   int // of all workers
	accumulate int // micro-batches of a replica
}

// whole tells whether the replica sees all of a batch at once.
func (s share) whole() bool { return s.replicas*s.accumulate == 1 }

// buildReplica builds a replica for its share of cfg's batches, to run on GPUs or
// CPUs.
func buildReplica(c TrainerConfig, part share, gpu bool) (_ *replica, err error) {
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	defer session.RecoverBuild(s, &err)
	cfg := c.Model
	cfg.Emulated = cfg.Precision.Emulated(gpu)
	size := int64(cfg.Size)
	pixels, labels := input(s, c, part)
	step := session.Placeholder(s, nodeStep, tf.Int64)
	rate := session.Placeholder(s, nodeRate, tf.Float)
	evalImages := session.Placeholder(s, nodeEvalImages, tf.Uint8, -1, size, size, 3)

	vars := network.NewVariables(s, "")
	trained := vars
	if c.Average > 0 {
		trained = network.NewVariables(s, liveSuffix)
	}
	train := &network.Builder{Config: cfg, Params: trained, Training: true, Augment: c.Augment, Stats: map[string]tf.Output{}}
	draw := images.Random{Seed: session.Placeholder(s, nodeSeed, tf.Int64, 2)}
	if !part.whole() {
		draw.Row, draw.Batch = session.Placeholder(s, nodeRow, tf.Int32), int64(c.Batch)
	}
	if c.Resize {
		train.Size = session.Placeholder(s, nodeTrainSize, tf.Int32)
	}
	trainLogits := train.Logits(s.SubScope("train"), pixels, draw)
	loss := c.Loss(s.SubScope("train_loss"), trainLogits, labels)

	eval := &network.Builder{Config: cfg, Params: vars}
	logits := session.Named(s, nodeLogits, eval.Logits(s.SubScope("eval"), evalImages, images.Random{}))
	session.Named(s, nodeProbabilities, c.Posterior(s.SubScope("posterior"), logits))

	// The values that replicas and micro-batches have to agree on.
	var values []tf.Output
	for _, v := range vars.List {
		if v.Trainable {
			values = append(values, trained.Reads[v.Name])
		}
	}
	scaled, scale := loss, (*lossScale)(nil)
	if cfg.Precision == network.Float16 {
		scale = newLossScale(s)
		scaled = op.Mul(s.SubScope("scaled_loss"), loss, scale.read)
	}
	gradients := op.Gradients(s.SubScope("backward"), []tf.Output{scaled}, values)
	if s.Err() == nil && len(c.FilterKernels) > 0 {
		layers, err := c.FilterLayers()
		if err != nil {
			return nil, err
		}
		if gradients, err = network.FilterGradients(s.SubScope("filter_gradients"), g, layers, c.FilterKernels, gradients); err != nil {
			return nil, err
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build replica: %w", err)
	}
	if scale != nil {
		gradients = scale.unscale(s.SubScope("unscaled"), gradients)
	}
	values = append(gradients, loss)
	for _, v := range vars.List {
		if !v.Trainable {
			values = append(values, train.Stats[v.Name])
		}
	}
	values = accumulate(s, part.accumulate, values)
	mark(s, nodeComputed, loss, values)
	us := s // of what changes variables
	if c.Cluster != nil {
		values = append(values, session.Placeholder(s, nodeStop, tf.Float))
	}
	values = allReduce(s.SubScope("all_reduce"), part.replicas, gpu, values)
	if part.replicas > 1 {
		// A step of which a part does not arrive changes nothing.
		if reduced := mark(s, nodeReduced, loss, values); reduced != nil {
			us = s.WithControlDependencies(reduced)
		}
	}

	// The updates.
	r := &replica{model: vars.List}
	var updates []update
	for _, v := range vars.List {
		if !v.Trainable {
			continue
		}
		u := update{variable: v, handle: trained.Handles[v.Name], read: trained.Reads[v.Name], gradient: values[len(updates)]}
		for _, suffix := range c.Optimizer.slots() {
			slot := network.Variable{Name: v.Name + suffix, Shape: v.Shape}
			handle, _ := network.NewVariable(s, slot)
			u.slots, r.slots = append(u.slots, handle), append(r.slots, slot)
		}
		updates = append(updates, u)
	}
	values = values[len(updates):]
	session.Named(s, nodeLoss, values[0])
	values = values[1:]
	norm := session.Named(s, nodeNorm, globalNorm(s.SubScope("global_norm"), updates))
	var targets []*tf.Operation
	var finite tf.Output
	if scale != nil || c.SkipNonFinite {
		finite = op.IsFinite(us.SubScope("if_finite"), norm)
	}
	if scale != nil {
		r.slots = append(r.slots, scale.scale, scale.steps)
		session.Named(s, nodeScale, scale.read)
		targets = scale.update(us.SubScope("loss_scaling"), finite)
	}
	targets = append(targets, c.Optimizer.apply(us.SubScope("optimizer"), updates, rate, step, norm, finite, gpu)...)
	for _, v := range vars.List {
		if !v.Trainable {
			as := us.SubScope("assign_average")
			if finite.Op != nil {
				values[0] = op.Select(as, finite, values[0], trained.Reads[v.Name])
			}
			targets = append(targets, op.AssignVariableOp(as, trained.Handles[v.Name], values[0]))
			values = values[1:]
		}
	}
	session.Group(s, nodeTrain, targets)
	if c.Cluster != nil {
		session.Named(s, nodeStopped, values[0])
	}
	if c.Average > 0 {
		r.live = averageWeights(s, vars, trained, finite, targets)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build replica: %w", err)
	}
	def, err := session.Def(g)
	if err != nil {
		return nil, err
	}
	// Inputs come from outside: importing would leave theirs behind, unused.
	def.Node = slices.DeleteFunc(def.Node, func(n *nodepb.NodeDef) bool { return n.Op == "Placeholder" })
	if r.def, err = proto.Marshal(def); err != nil {
		return nil, fmt.Errorf("encode replica: %w", err)
	}
	return r, nil
}

// mark gives x, float32 [], a node of a name that is there only when all values are.
func mark(s *op.Scope, name string, x tf.Output, values []tf.Output) *tf.Operation {
	var ops []*tf.Operation
	for _, v := range values {
		ops = append(ops, v.Op)
	}
	if s.Err() != nil {
		return nil
	}
	return session.Named(s.WithControlDependencies(ops...), name, x).Op
}

// averageWeights adds the average of the trained weights, for after an update, and
// returns the variables that are trained. Updates that are skipped do not count.
func averageWeights(s *op.Scope, model, trained *network.Variables, finite tf.Output, updates []*tf.Operation) (live []network.Variable) {
	after := s.SubScope("average_weights").WithControlDependencies(updates...)
	rs := s.SubScope("average_rest")
	rest := op.Sub(rs, tg.Const(rs.SubScope("one"), float32(1)), session.Placeholder(s, nodeDecay, tf.Float))
	rest = ifFinite(rs, finite, rest, 0)
	var begins, averages []*tf.Operation
	for _, v := range model.List {
		as := after.SubScope(v.Name)
		now := op.ReadVariableOp(as, trained.Handles[v.Name], tf.Float)
		far := op.Mul(as, op.Sub(as, model.Reads[v.Name], now), rest)
		averages = append(averages, op.AssignSubVariableOp(as, model.Handles[v.Name], far))
		begins = append(begins, op.AssignVariableOp(s.SubScope("begin"), trained.Handles[v.Name], model.Reads[v.Name]))
		live = append(live, network.Variable{Name: v.Name + liveSuffix, Shape: v.Shape})
	}
	session.Group(s, nodeBegin, begins)
	session.Group(s, nodeAverage, averages)
	return live
}

// imported finds the nodes of a replica inside the graph it was imported into.
type imported struct {
	graph  *tf.Graph
	prefix string
	err    *error
}

// importReplica imports r into g under prefix, on device, with nodes of g in place
// of its inputs. The first node looked for and not found sets *err.
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
