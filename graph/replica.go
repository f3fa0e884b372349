package graph

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Nodes of a replica that the graph around it finds by name. The inputs and
// results are also what a model's callers know them as.
const (
	nodeImages        = "images"          // uint8 [batch, size, size, 3]
	nodeLabels        = "labels"          // float32 [batch, outputs]
	nodeSeed          = "seed"            // int64 [2]
	nodeTrainSize     = "train_size"      // int32 [], only with TrainerConfig.Resize
	nodeEvalImages    = "eval_images"     // uint8 [-1, size, size, 3]
	nodeLogits        = "logits"          // float32 [-1, outputs], of eval_images
	nodeProbabilities = "probabilities"   // float32 [-1, outputs], of eval_images
	nodeLoss          = "loss"            // float32 []
	gradientPrefix    = "gradient/"       // + variable name: float32, its shape
	averagePrefix     = "moving_average/" // + variable name: its new value
)

// replica is the serialised graph of one device's share of a training step:
// forward pass, loss, gradients and new moving averages, without the updates.
type replica struct {
	def       []byte
	variables []Variable
	// live ends the names of the variables that are trained where those of the
	// model are averages of them, and is "" where they are the same.
	live string
}

// buildReplica builds a replica for cfg's batches, to run on a GPU or a CPU.
func buildReplica(c TrainerConfig, gpu bool) (_ *replica, err error) {
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	defer recoverBuild(s, &err)
	cfg := c.Model
	size, outputs := int64(cfg.Size), int64(cfg.Outputs)
	images := placeholder(s, nodeImages, tf.Uint8, int64(c.Batch), size, size, 3)
	labels := placeholder(s, nodeLabels, tf.Float, int64(c.Batch), outputs)
	seed := placeholder(s, nodeSeed, tf.Int64, 2)
	evalImages := placeholder(s, nodeEvalImages, tf.Uint8, -1, size, size, 3)

	r := &replica{}
	vars := newVariables(s, "")
	trained := vars
	if c.Average > 0 {
		r.live = liveSuffix
		trained = newVariables(s, r.live)
	}
	train := &network{cfg: cfg, params: trained, training: true, augment: c.Augment, stats: map[string]tf.Output{}}
	if c.Resize {
		train.size = placeholder(s, nodeTrainSize, tf.Int32)
	}
	trainLogits := train.logits(s.SubScope("train"), images, seed)
	value := named(s, nodeLoss, c.Loss(s.SubScope("train_loss"), trainLogits, labels))

	eval := &network{cfg: cfg, params: vars}
	logits := named(s, nodeLogits, eval.logits(s.SubScope("eval"), evalImages, tf.Output{}))
	named(s, nodeProbabilities, c.Posterior(s.SubScope("posterior"), logits))

	var reads []tf.Output
	var trainable []Variable
	for _, v := range vars.list {
		if v.Trainable {
			reads, trainable = append(reads, trained.reads[v.Name]), append(trainable, v)
		} else {
			named(s, averagePrefix+v.Name, train.stats[v.Name])
		}
	}
	gradients := op.Gradients(s.SubScope("backward"), []tf.Output{value}, reads)
	if s.Err() == nil && !gpu {
		if gradients, err = filterGradients(s.SubScope("filter_gradients"), g, gradients); err != nil {
			return nil, err
		}
	}
	if s.Err() == nil {
		for i, v := range trainable {
			named(s, gradientPrefix+v.Name, gradients[i])
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("build replica: %w", err)
	}
	r.variables = vars.list
	r.def, err = serialise(g)
	return r, err
}

// imported finds the nodes of a replica inside the graph it was imported into.
type imported struct {
	graph  *tf.Graph
	prefix string
	err    *error
}

// importReplica imports r into g under prefix, on device ("" leaves the choice
// to TensorFlow). The first node looked for and not found sets *err.
func importReplica(g *tf.Graph, r *replica, prefix, device string, err *error) imported {
	if e := g.ImportWithOptions(r.def, tf.GraphImportOptions{Prefix: prefix, Device: device}); e != nil && *err == nil {
		*err = fmt.Errorf("import replica on %q: %w", device, e)
	}
	return imported{g, prefix, err}
}

func (i imported) output(name string) tf.Output {
	o := i.graph.Operation(i.prefix + "/" + name)
	if o == nil {
		if *i.err == nil {
			*i.err = fmt.Errorf("replica has no node %q", name)
		}
		return tf.Output{}
	}
	return o.Output(0)
}

func placeholder(s *op.Scope, name string, dtype tf.DataType, shape ...int64) tf.Output {
	o := s.AddOperation(tf.OpSpec{
		Type: "Placeholder", Name: name,
		Attrs: map[string]any{"dtype": dtype, "shape": tf.MakeShape(shape...)},
	})
	if s.Err() != nil {
		return tf.Output{}
	}
	return o.Output(0)
}

// named gives a value a node of a name that callers can look up.
func named(s *op.Scope, name string, x tf.Output) tf.Output {
	if s.Err() != nil {
		return tf.Output{}
	}
	o := s.AddOperation(tf.OpSpec{Type: "Identity", Name: name, Input: []tf.Input{x}})
	if s.Err() != nil {
		return tf.Output{}
	}
	return o.Output(0)
}

// recoverBuild turns a panic while a graph is built into an error. The bindings
// dereference the node of an output, which is missing after the scope's first
// error; that error, not the panic, is what went wrong.
func recoverBuild(s *op.Scope, err *error) {
	r := recover()
	if r == nil {
		return
	}
	if *err = s.Err(); *err == nil {
		*err = fmt.Errorf("build graph: %v", r)
	}
}
