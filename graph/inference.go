package graph

import (
	"fmt"
	"maps"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// InferenceGraph is the network in inference mode, to be opened or exported. Its nodes
// network.FeatureMaps and network.Features are what the head reads.
type InferenceGraph struct {
	Graph *tf.Graph
	// Images is the placeholder, uint8 [-1, Size, Size, channels].
	Images tf.Output
	// Logits and Probabilities are float32 [-1, Outputs].
	Logits, Probabilities tf.Output
	// Variables is empty for a frozen graph, and then the three fields below
	// are not set. Prefix (string [], a placeholder) is the path at which the
	// Save op writes and the Restored op reads them, as a TensorFlow bundle.
	Variables      []network.Variable
	Prefix         tf.Output
	Save, Restored *tf.Operation

	cfg   network.Config
	reads map[string]tf.Output
}

// NewInferenceGraph builds the network in inference mode. With weights nil it
// reads variables, which have no values until they are restored. Otherwise the
// weights become constants with batch norm folded into the convolutions, which
// changes outputs by rounding only.
func NewInferenceGraph(cfg network.Config, posterior Posterior, weights network.Weights) (*InferenceGraph, error) {
	if weights == nil {
		return inferenceGraph(cfg, posterior, nil)
	}
	return inferenceGraph(cfg, posterior, func(s *op.Scope) network.Params { return network.Frozen(s, weights) })
}

// inferenceGraph builds the network with constants, or with variables if constants is nil.
func inferenceGraph(cfg network.Config, posterior Posterior, constants func(*op.Scope) network.Params) (_ *InferenceGraph, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := tg.NewRoot()
	defer session.RecoverBuild(s, &err)
	inf := &InferenceGraph{cfg: cfg}
	inf.Images = session.Placeholder(s, nodeImages, tf.Uint8, batchOf(-1, cfg.Shape())...)
	vars := network.NewVariables(s, "")
	b := &network.Builder{Config: cfg, Params: vars, Named: func(name string, x tf.Output) tf.Output { return session.Named(s, name, x) }}
	if constants != nil {
		b.Params = constants(s)
	}
	inf.Logits = session.Named(s, nodeLogits, b.Logits(s.SubScope("network"), inf.Images, images.Random{}))
	inf.Probabilities = session.Named(s, nodeProbabilities, posterior(s.SubScope("posterior"), inf.Logits))
	if constants == nil {
		handles := map[string][]tf.Output{}
		for name, handle := range vars.Handles {
			handles[name] = []tf.Output{handle}
		}
		sv := newSaver(s.SubScope("save"), vars.List, handles, readsOf(vars.List, vars.Reads))
		inf.Variables, inf.reads = vars.List, vars.Reads
		inf.Prefix, inf.Save, inf.Restored = sv.prefix, sv.saving, sv.assigned
	}
	if inf.Graph, err = s.Finalize(); err != nil {
		return nil, fmt.Errorf("build inference graph: %w", err)
	}
	return inf, nil
}

// Inference is an InferenceGraph with the session that runs it. Its methods
// may be called concurrently, except Close.
type Inference struct {
	Predictor
	graph *InferenceGraph
	sess  *tf.Session
}

// Open starts a session on the graph. Restore the variables, if there are any,
// before the first Predict.
func (g *InferenceGraph) Open(cfg session.Config) (*Inference, error) {
	sess, err := session.New(g.Graph, cfg)
	if err != nil {
		return nil, err
	}
	return &Inference{graph: g, sess: sess, Predictor: Predictor{
		Graph: g.Graph, Images: g.Images, Logits: g.Logits, Probabilities: g.Probabilities,
		Shape: g.cfg.Shape(), Outputs: g.cfg.Outputs, Run: sess.Run,
	}}, nil
}

// Restore reads the variables from a bundle, which may also hold others, such
// as a checkpoint's optimizer slots.
func (i *Inference) Restore(prefix string) error {
	return saver{prefix: i.graph.Prefix, assigned: i.graph.Restored}.restore(i.sess, prefix)
}

// Save writes the variables as a TensorFlow bundle: the files prefix.index and
// prefix.data-00000-of-00001.
func (i *Inference) Save(prefix string) error {
	return saver{prefix: i.graph.Prefix, saving: i.graph.Save}.save(i.sess, prefix)
}

// Weights returns the value of every variable.
func (i *Inference) Weights() (network.Weights, error) {
	return readWeights(i.sess, slices.Sorted(maps.Keys(i.graph.reads)), i.graph.reads)
}

// ReadWeights returns the weights of the network that cfg describes from a bundle, which may also hold
// other variables. A variable that is missing or has another shape is an error.
func ReadWeights(cfg network.Config, prefix string) (network.Weights, error) {
	variables, err := cfg.Variables()
	if err != nil {
		return nil, err
	}
	shapes := map[string][]int64{}
	for _, v := range variables {
		shapes[v.Name] = v.Shape
	}
	tensors, err := session.ReadBundle(prefix, func(name string) bool { return shapes[name] != nil })
	if err != nil {
		return nil, err
	}
	weights := network.Weights{}
	for name, shape := range shapes {
		t, ok := tensors[name]
		if !ok || !slices.Equal(t.Shape, shape) {
			return nil, fmt.Errorf("read %s: %s has the shape %v, expected %v", prefix, name, t.Shape, shape)
		}
		weights[name] = t.Values
	}
	return weights, nil
}

// Close ends the session. The Inference must not be used afterwards.
func (i *Inference) Close() error {
	if err := i.sess.Close(); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}
