package graph

import (
	"cmp"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// Names of the nodes of a replica that the graph around it feeds or looks up.
const (
	nodeImages       = "images"
	nodeHeldRows     = "rows" // rows of nodeHeld, replacing nodeImages
	nodeHeld         = "held_images"
	nodeHeldFeatures = "held_features" // replacing nodeHeld
	nodeLabels       = "labels"
	nodeKey          = "seed"
	nodeStep         = "step"
	nodeRate         = "learning_rate"
	nodeEvalImages   = "eval_images"
	nodeEvalKey      = "eval_seed" // of the views of nodeEvalImages
	nodeFirst        = "row"       // the first example's row in the batch
	nodeDecay        = "average_decay"
	nodeTrainSize    = "train_size"
	nodeStop         = "stop"

	nodeLoss          = "loss"          // of the whole batch
	nodeNorm          = "gradient_norm" // of the whole batch
	nodeScale         = "scale"         // of the loss in this step
	nodeComputed      = "computed"      // ready with the replica's gradients
	nodeReduced       = "reduced"       // ready with the gradients' means over replicas
	nodeStopped       = "stopped"       // the mean of nodeStop over workers
	nodeLogits        = "logits"        // float32 [-1, outputs], of nodeEvalImages
	nodeProbabilities = "probabilities" // float32 [-1, outputs], of nodeEvalImages
	nodeFeatures      = "features"      // float32 [-1, channels], of nodeEvalImages; with HoldFeatures

	nodeTrain           = "update"     // the weights, with the last of the micro-batches
	nodeStage           = "stage"      // a batch for the step after those staged before
	nodeHold            = "hold"       // the images that steps take rows of
	nodeAccumulateFirst = "accumulate" // the first micro-batch of an update
	nodeAccumulateMore  = "accumulate_more"
	nodeBegin           = "begin"   // sets the weights that are trained to the model's
	nodeAverage         = "average" // nodeTrain, and then the average of the weights
)

// endpoint is a node of a replica that the graph around it feeds, fetches or runs. inputs, results
// and targets list them all: each optional part of a training graph is a row there and the ops
// that use it.
type endpoint struct {
	name string
	// when reports whether a training graph has the endpoint; nil means always.
	when func(setup) bool
	// dtype and shape describe an input; examples is the number of examples in a
	// micro-batch.
	dtype tf.DataType
	shape func(c setup, examples int) []int64
	// split gives every replica its part of an input's examples, rather than all of them.
	split bool
	// value returns what a step feeds to an input in micro-batch number micro; nil if Stage,
	// Hold or Predict feed the input.
	value func(c setup, in StepInput, micro int) any
	// clock marks a result that is the time at which it was ready on all replicas.
	clock bool
}

// inputs are the placeholders of a training graph.
var inputs = []endpoint{
	{name: nodeImages, dtype: tf.Uint8, when: func(c setup) bool { return c.Held == 0 }, shape: pixels, split: true},
	{name: nodeHeldRows, dtype: tf.Int64, when: setup.holds, shape: func(_ setup, examples int) []int64 { return []int64{int64(examples)} }, split: true},
	{name: nodeHeldFeatures, dtype: tf.Float, when: func(c setup) bool { return c.HoldFeatures }, shape: func(c setup, _ int) []int64 { return []int64{int64(c.Held), -1} }},
	{name: nodeHeld, dtype: tf.Uint8, when: func(c setup) bool { return c.holds() && !c.HoldFeatures }, shape: func(c setup, _ int) []int64 { return pixels(c, c.Held) }},
	{name: nodeLabels, dtype: tf.Float, when: func(c setup) bool { return !c.Pairs }, shape: func(c setup, examples int) []int64 { return []int64{int64(examples), int64(c.Model.Outputs)} }, split: true},
	{name: nodeKey, dtype: tf.Int64, shape: func(setup, int) []int64 { return []int64{2} },
		value: func(_ setup, in StepInput, _ int) any { return []int64{in.Seed, in.Step} }},
	{name: nodeStep, dtype: tf.Int64, value: func(_ setup, in StepInput, _ int) any { return in.Step }},
	{name: nodeRate, dtype: tf.Float, value: func(_ setup, in StepInput, _ int) any { return float32(in.LearningRate) }},
	{name: nodeEvalImages, dtype: tf.Uint8, shape: func(c setup, _ int) []int64 { return pixels(c, -1) }},
	{name: nodeEvalKey, dtype: tf.Int64, when: func(c setup) bool { return c.Pairs }, shape: func(setup, int) []int64 { return []int64{2} }},
	{name: nodeDecay, dtype: tf.Float, when: setup.averages, value: func(c setup, in StepInput, _ int) any {
		decay, _ := averageDecay(c.Average, in.Step)
		return float32(decay)
	}},
	{name: nodeStop, dtype: tf.Float, when: setup.clustered, value: func(_ setup, in StepInput, _ int) any {
		if in.Stop {
			return float32(1)
		}
		return float32(0)
	}},
	{name: nodeTrainSize, dtype: tf.Int32, when: func(c setup) bool { return c.Resize },
		value: func(c setup, in StepInput, _ int) any { return int32(cmp.Or(in.Size, c.Model.Size)) }},
	{name: nodeFirst, dtype: tf.Int32, when: func(c setup) bool { return !c.whole() }, value: func(c setup, _ StepInput, micro int) any {
		first := c.Cluster.Index() * c.Batch / c.Cluster.Workers()
		return int32(first + micro*len(c.Devices)*c.examples)
	}},
}

// results are the values, float32 [], that a step returns.
var results = []endpoint{
	{name: nodeLoss},
	{name: nodeNorm},
	{name: nodeComputed, clock: true},
	{name: nodeReduced, clock: true, when: func(c setup) bool { return c.replicas > 1 }},
	{name: nodeStopped, when: setup.clustered},
	{name: nodeScale, when: func(c setup) bool { return c.Model.Precision == network.Float16 }},
}

// targets are the ops that are run.
var targets = []endpoint{
	{name: nodeTrain},
	{name: nodeStage},
	{name: nodeHold, when: setup.holds},
	{name: nodeAccumulateFirst, when: func(c setup) bool { return c.accumulate > 1 }},
	{name: nodeAccumulateMore, when: func(c setup) bool { return c.accumulate > 1 }},
	{name: nodeBegin, when: setup.averages},
	{name: nodeAverage, when: setup.averages},
}

func (c setup) holds() bool     { return c.Held > 0 }
func (c setup) averages() bool  { return c.Average > 0 }
func (c setup) clustered() bool { return c.Cluster != nil }

// pixels returns the shape of n images.
func pixels(c setup, n int) []int64 { return batchOf(n, c.Model.Shape()) }

// of returns the endpoints that a training graph has.
func (c setup) of(all []endpoint) (some []endpoint) {
	for _, e := range all {
		if e.when == nil || e.when(c) {
			some = append(some, e)
		}
	}
	return some
}

// placeholders adds the inputs for micro-batches of the given number of examples, and returns them
// by name.
func (c setup) placeholders(s *op.Scope, examples int) map[string]tf.Output {
	all := map[string]tf.Output{}
	for _, e := range c.of(inputs) {
		var shape []int64
		if e.shape != nil {
			shape = e.shape(c, examples)
		}
		all[e.name] = session.Placeholder(s, e.name, e.dtype, shape...)
	}
	return all
}

// replicaInputs returns the values that replace each replica's placeholders.
func (c setup) replicaInputs(s *op.Scope, all map[string]tf.Output) []map[string]tf.Output {
	n := len(c.Devices)
	each := make([]map[string]tf.Output, n)
	for i := range each {
		each[i] = map[string]tf.Output{}
	}
	for _, e := range c.of(inputs) {
		x := all[e.name]
		parts := []tf.Output{x}
		if e.split && n > 1 {
			ss := s.SubScope("split_" + e.name)
			parts = op.Split(ss, tg.Const(ss, int32(0)), x, int64(n))
		}
		for i := range each {
			switch {
			case e.split:
				each[i][e.name] = parts[i]
			case e.name == nodeFirst:
				rs := s.SubScope(nodeFirst)
				each[i][e.name] = op.AddV2(rs, x, tg.Const(rs, int32(i*c.examples)))
			default:
				each[i][e.name] = x
			}
		}
	}
	return each
}

// feeds returns the values that a step feeds in micro-batch number micro.
func (t *Trainer) feeds(in StepInput, micro int) (map[tf.Output]*tf.Tensor, error) {
	feeds := map[tf.Output]*tf.Tensor{}
	for _, e := range t.setup.of(inputs) {
		if e.value == nil {
			continue
		}
		tensor, err := tf.NewTensor(e.value(t.setup, in, micro))
		if err != nil {
			return nil, fmt.Errorf("feed %s: %w", e.name, err)
		}
		feeds[t.inputs[e.name]] = tensor
	}
	return feeds, nil
}
