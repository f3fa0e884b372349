package graph

import (
	"fmt"
	"maps"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// InferenceGraph is the network in inference mode, to be opened or exported.
type InferenceGraph struct {
	Graph *tf.Graph
	// Images is the placeholder, uint8 [-1, Size, Size, 3].
	Images tf.Output
	// Logits and Probabilities are float32 [-1, Outputs].
	Logits, Probabilities tf.Output
	// Variables is empty for a frozen graph, and then the three below are not
	// set. Prefix (string [], a placeholder) is where the Save op writes and
	// the Restored op reads them, as a TensorFlow bundle.
	Variables      []Variable
	Prefix         tf.Output
	Save, Restored *tf.Operation

	cfg   Config
	reads map[string]tf.Output
}

// NewInferenceGraph builds the network in inference mode. With weights nil it
// reads variables, which have no values until they are restored; else the
// weights become constants with batch norm folded into the convolutions, which
// changes outputs by rounding only.
func NewInferenceGraph(cfg Config, posterior Posterior, weights Weights) (*InferenceGraph, error) {
	return inferenceGraph(cfg, posterior, weights, func(f frozen) params { return f })
}

// inferenceGraph is NewInferenceGraph with other constants made of the weights.
func inferenceGraph(cfg Config, posterior Posterior, weights Weights, constants func(frozen) params) (_ *InferenceGraph, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := tg.NewRoot()
	defer recoverBuild(s, &err)
	size := int64(cfg.Size)
	inf := &InferenceGraph{cfg: cfg}
	inf.Images = placeholder(s, nodeImages, tf.Uint8, -1, size, size, 3)
	vars := newVariables(s, "")
	n := &network{cfg: cfg, params: vars}
	if weights != nil {
		n.params = constants(frozen{scope: s, weights: weights})
	}
	inf.Logits = named(s, nodeLogits, n.logits(s.SubScope("network"), inf.Images, random{}))
	inf.Probabilities = named(s, nodeProbabilities, posterior(s.SubScope("posterior"), inf.Logits))
	if weights == nil {
		handles := map[string][]tf.Output{}
		for name, handle := range vars.handles {
			handles[name] = []tf.Output{handle}
		}
		sv := newSaver(s.SubScope("save"), vars.list, handles, readsOf(vars.list, vars.reads))
		inf.Variables, inf.reads = vars.list, vars.reads
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
func (g *InferenceGraph) Open(cfg SessionConfig) (*Inference, error) {
	sess, err := newSession(g.Graph, cfg)
	if err != nil {
		return nil, err
	}
	return &Inference{graph: g, sess: sess, Predictor: Predictor{
		Images: g.Images, Logits: g.Logits, Probabilities: g.Probabilities,
		Size: g.cfg.Size, Outputs: g.cfg.Outputs, Run: sess.Run,
	}}, nil
}

// Restore reads the variables from a bundle, which may hold others too, such
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
func (i *Inference) Weights() (Weights, error) {
	return readWeights(i.sess, slices.Sorted(maps.Keys(i.graph.reads)), i.graph.reads)
}

// Close ends the session. The Inference must not be used afterwards.
func (i *Inference) Close() error {
	if err := i.sess.Close(); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// frozen is the params of a graph without variables.
type frozen struct {
	scope   *op.Scope
	weights Weights
}

// value returns the weights of v, checked.
func (f frozen) value(v Variable) []float32 {
	w, ok := f.weights[v.Name]
	if !ok || len(w) != v.Elements() {
		f.scope.UpdateErr("Const", fmt.Errorf("weights of %s: expected %d values, found %d", v.Name, v.Elements(), len(w)))
		return make([]float32, v.Elements())
	}
	return w
}

func (f frozen) constant(s *op.Scope, values []float32, shape []int64) tf.Output {
	t, err := float32Tensor(values, shape...)
	if err != nil {
		s.UpdateErr("Const", err)
		return tf.Output{}
	}
	return tg.Const(s, t)
}

func (f frozen) weight(v Variable) tf.Output {
	return f.constant(f.scope.SubScope(v.Name), f.value(v), v.Shape)
}

// fold makes y = γ·(x⊛k − μ)/√(σ²+ε) + β one convolution by k·γ/√(σ²+ε) with the bias
// β − μ·γ/√(σ²+ε), both worked out in float64.
func (f frozen) fold(kernel Variable, norm string) (folded, bias []float32) {
	channels := kernel.Shape[3]
	gammaV, betaV, meanV, varianceV := normVariables(norm, channels)
	gamma, beta, mean, variance := f.value(gammaV), f.value(betaV), f.value(meanV), f.value(varianceV)
	scale := make([]float64, channels)
	bias = make([]float32, channels)
	for c := range scale {
		scale[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+bnEpsilon)
		bias[c] = float32(float64(beta[c]) - float64(mean[c])*scale[c])
	}
	folded = slices.Clone(f.value(kernel))
	for i := range folded {
		folded[i] = float32(float64(folded[i]) * scale[i%int(channels)])
	}
	return folded, bias
}

func (f frozen) convNorm(s *op.Scope, n *network, x tf.Output, kernel Variable, norm string, stride int64, then after) tf.Output {
	folded, bias := f.fold(kernel, norm)
	constant := func(name string, values []float32, shape []int64) tf.Output {
		cs := s.SubScope(name)
		return n.cfg.cast(cs, f.constant(cs, values, shape))
	}
	k, b := constant("kernel", folded, kernel.Shape), constant("bias", bias, kernel.Shape[3:])
	return then.apply(s, n.cfg, n.cfg.round(s, op.BiasAdd(s, conv2D(s, x, k, stride), b)))
}

func (f frozen) enter(_ *op.Scope, x tf.Output) tf.Output { return x }
func (f frozen) leave(s *op.Scope, x tf.Output) tf.Output { return tg.Cast(s, x, tf.Float) }
