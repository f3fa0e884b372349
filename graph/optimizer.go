package graph

import (
	"errors"
	"fmt"
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
	"galaxy/internal/usage"
)

// OptimizerKind names an update rule.
type OptimizerKind string

// The update rules.
const (
	// SGD is gradient descent with Nesterov momentum (Sutskever et al. 2013),
	// in the form v ← μ·v − η·g, w ← w + μ·v − η·g.
	SGD OptimizerKind = "sgd"
	// AdamW is Adam (Kingma & Ba 2015, arXiv 1412.6980) with decoupled weight
	// decay (Loshchilov & Hutter 2019, arXiv 1711.05101).
	AdamW OptimizerKind = "adamw"
	// Muon is momentum orthogonalised by Newton-Schulz iterations (Jordan et al. 2024,
	// https://kellerjordan.github.io/posts/muon/): every singular value of a kernel's update is
	// about the same, so that rare directions are learned as fast as common ones. It is for the
	// convolutions of the blocks that have a side of up to 256 as a matrix [height·width·in, out];
	// all other variables have AdamW, with the same rate.
	Muon OptimizerKind = "muon"
)

// Optimizer is an update rule with its constants. In all rules weight decay is
// decoupled: each update first scales kernels by 1 − rate·WeightDecay, whatever
// the gradient, but not biases or batch norm.
type Optimizer struct {
	Kind OptimizerKind `json:"kind"`
	// Momentum is μ of SGD and Muon, in [0, 1).
	Momentum float64 `json:"momentum,omitempty"`
	// Beta1, Beta2 (each in [0, 1)) and Epsilon (at least 2⁻¹²⁶) belong to AdamW, within Muon too.
	// Epsilon is ε̂ at the end of §2 of Kingma & Ba: it is added to √v before the
	// bias is corrected.
	Beta1   float64 `json:"beta1,omitempty"`
	Beta2   float64 `json:"beta2,omitempty"`
	Epsilon float64 `json:"epsilon,omitempty"`
	// WeightDecay is a fraction per unit of learning rate, at least 0; 0 is none.
	WeightDecay float64 `json:"weight_decay"`
	// ClipNorm scales the gradients so that their global norm is at most this
	// (Pascanu et al. 2013, arXiv 1211.5063); 0 leaves them alone.
	ClipNorm float64 `json:"clip_norm"`
	// LayerDecay multiplies the learning rate, and with it the weight decay, of the layer d
	// layers below the head by LayerDecay^d, in (0, 1]: the head has the rate itself, the last
	// block LayerDecay times that, the stem the least. Layers near the images hold what is
	// common to all images and need to change least (Howard & Ruder 2018, arXiv 1801.06146,
	// §3.2; with these powers Clark et al. 2020, arXiv 2003.10555, appendix A; Bao et al. 2021,
	// arXiv 2106.08254; timm's layer_decay). 0 is none, as 1.
	LayerDecay float64 `json:"layer_decay,omitempty"`
}

const minEpsilon = 0x1p-126

// Validate checks every field; its error names what was expected and what came.
func (o Optimizer) Validate() error {
	var errs []error
	unit := func(name string, x float64) {
		if !(x >= 0 && x < 1) {
			errs = append(errs, &usage.Field{Name: name, Got: x, Expected: fmt.Sprintf("0 ≤ %s < 1", name)})
		}
	}
	if o.Kind == SGD || o.Kind == Muon {
		unit("momentum", o.Momentum)
	}
	switch o.Kind {
	case SGD:
	case AdamW, Muon:
		unit("beta1", o.Beta1)
		unit("beta2", o.Beta2)
		if !(o.Epsilon >= minEpsilon) { // below it, an update without gradients is 0/0
			errs = append(errs, &usage.Field{Name: "epsilon", Got: o.Epsilon, Expected: fmt.Sprintf("%.3g, the smallest normal number of float32, or more", minEpsilon)})
		}
	default:
		errs = append(errs, &usage.Field{Name: "kind", Got: o.Kind, Expected: fmt.Sprintf("%s, %s or %s", SGD, AdamW, Muon)})
	}
	if !(o.WeightDecay >= 0) {
		errs = append(errs, &usage.Field{Name: "weight_decay", Got: o.WeightDecay, Expected: "0 or more"})
	}
	if !(o.ClipNorm >= 0) {
		errs = append(errs, &usage.Field{Name: "clip_norm", Got: o.ClipNorm, Expected: "0 (no clipping) or more"})
	}
	if !(o.LayerDecay >= 0 && o.LayerDecay <= 1) {
		errs = append(errs, &usage.Field{Name: "layer_decay", Got: o.LayerDecay, Expected: "0 < factor ≤ 1, such as 0.75; 0 is none"})
	}
	return errors.Join(errs...)
}

// rateFactor is LayerDecay's factor for a layer the given number of layers below the head.
func (o Optimizer) rateFactor(below int) float64 {
	if o.LayerDecay == 0 {
		return 1
	}
	return math.Pow(o.LayerDecay, float64(below))
}

// slots names the state that the rule keeps for a trainable variable, orthogonalised or not, as
// suffixes of the variable's name; all slots start at zero.
func (o Optimizer) slots(orthogonalised bool) []string {
	if o.Kind == SGD || orthogonalised {
		return []string{"/momentum"}
	}
	return []string{"/adam_m", "/adam_v"}
}

// update holds what an optimizer needs of one trainable variable.
type update struct {
	variable network.Variable
	handle   tf.Output // resource
	read     tf.Output // float32, the value the gradient was taken at
	gradient tf.Output // float32, same shape
	below    int       // layers below the head
	// orthogonalised is whether Muon orthogonalises the momentum.
	orthogonalised bool
	slots          []tf.Output // resources, in the order of Optimizer.slots
}

// globalNorm is the Euclidean norm of all gradients taken together, float32 [].
func globalNorm(s *op.Scope, updates []update) tf.Output {
	squares := make([]tf.Output, len(updates))
	for i, u := range updates {
		squares[i] = op.L2Loss(s.SubScope("square"), u.gradient) // half the sum of squares
	}
	// Not AddN: its order of summation changes from one session to the next.
	sum := op.Sum(s, op.Pack(s, squares), tg.Const(s.SubScope("axis"), int32(0)))
	return op.Sqrt(s, op.Mul(s, sum, tg.Const(s, float32(2))))
}

// apply adds the update of every variable and returns the update ops. rate is float32
// [], step int64 [] (0 in the first), norm the gradients' global norm, finite, bool
// [], whether the norm is finite; without an Op, no update is skipped. gpu is whether
// the updates run on a GPU.
func (o Optimizer) apply(s *op.Scope, updates []update, rate, step, norm, finite tf.Output, gpu bool) []*tf.Operation {
	rate = ifFinite(s, finite, rate, 0)
	if o.ClipNorm > 0 || finite.Op != nil {
		o.scaleGradients(s, updates, norm, finite, gpu)
	}
	rule := o.sgd(s, finite)
	if o.Kind != SGD {
		rule = o.adamW(s, step, finite)
	}
	if o.Kind == Muon {
		rule = o.muon(s.SubScope("muon"), finite, rule)
	}
	rates := map[int]layerRate{}
	ops := make([]*tf.Operation, len(updates))
	for i, u := range updates {
		r, ok := rates[u.below]
		if !ok {
			r = o.layerRate(s, rate, u.below)
			rates[u.below] = r
		}
		us := s.SubScope("apply").SubScope(u.variable.Name)
		if o.WeightDecay > 0 && u.variable.Decay && s.Err() == nil {
			// Wait for the gradient: until then the forward pass holds the
			// value, and subtracting would have to copy it first.
			ds := us.WithControlDependencies(u.gradient.Op)
			shrink := op.AssignSubVariableOp(ds, u.handle, op.Mul(ds, u.read, r.decay))
			us = us.WithControlDependencies(shrink)
		}
		ops[i] = rule(us, u, r.rate)
	}
	return ops
}

// layerRate holds a layer's learning rate and the fraction by which it shrinks kernels, float32 [].
type layerRate struct{ rate, decay tf.Output }

func (o Optimizer) layerRate(s *op.Scope, rate tf.Output, below int) (r layerRate) {
	r.rate = rate
	if factor := o.rateFactor(below); factor != 1 {
		fs := s.SubScope("layer")
		r.rate = op.Mul(fs, rate, tg.Const(fs, float32(factor)))
	}
	if o.WeightDecay > 0 {
		ds := s.SubScope("decay")
		r.decay = op.Mul(ds, r.rate, tg.Const(s, float32(o.WeightDecay)))
	}
	return r
}

// scaleGradients clips the gradients, and sets them all to 0 if they are not finite.
func (o Optimizer) scaleGradients(s *op.Scope, updates []update, norm, finite tf.Output, gpu bool) {
	one := tg.Const(s.SubScope("one"), float32(1))
	scale, mul := one, op.Mul
	if o.ClipNorm > 0 {
		clip := tg.Const(s.SubScope("clip"), float32(o.ClipNorm))
		scale = op.Div(s.SubScope("clip_scale"), clip, op.Maximum(s.SubScope("clip_norm"), norm, clip))
	}
	if finite.Op != nil {
		scale, mul = ifFinite(s, finite, scale, 0), op.MulNoNan // 0 times infinity is 0
	}
	scaling := op.Less(s, scale, one)
	for i, u := range updates {
		gs := s.SubScope("scaled")
		if gpu { // a Switch would wait for the host
			updates[i].gradient = mul(gs, u.gradient, scale)
			continue
		}
		// Most steps scale nothing, and a product with 1 would still read and write all
		// gradients.
		as, other := op.Switch(gs, u.gradient, scaling)
		updates[i].gradient, _ = op.Merge(gs, []tf.Output{as, mul(gs, other, scale)})
	}
}

type updateRule func(s *op.Scope, u update, rate tf.Output) *tf.Operation

func (o Optimizer) sgd(s *op.Scope, finite tf.Output) updateRule {
	momentum := tg.Const(s.SubScope("momentum"), float32(o.Momentum))
	return func(s *op.Scope, u update, rate tf.Output) *tf.Operation {
		if finite.Op != nil { // no factors leave both v and w + μ·v unchanged
			_, u.gradient = op.Switch(s, u.gradient, finite)
		}
		return op.ResourceApplyKerasMomentum(s, u.handle, u.slots[0], rate, u.gradient, momentum,
			op.ResourceApplyKerasMomentumUseNesterov(true))
	}
}

func (o Optimizer) adamW(s *op.Scope, step, finite tf.Output) updateRule {
	beta1 := tg.Const(s.SubScope("beta1"), float32(o.Beta1))
	beta2 := tg.Const(s.SubScope("beta2"), float32(o.Beta2))
	epsilon := tg.Const(s.SubScope("epsilon"), float32(o.Epsilon))
	t := op.AddV2(s.SubScope("updates"), tg.Cast(s, step, tf.Float), tg.Const(s.SubScope("one"), float32(1)))
	power1 := op.Pow(s.SubScope("beta1_power"), beta1, t)
	power2 := op.Pow(s.SubScope("beta2_power"), beta2, t)
	beta1, beta2 = ifFinite(s, finite, beta1, 1), ifFinite(s, finite, beta2, 1) // m ← m, v ← v
	return func(s *op.Scope, u update, rate tf.Output) *tf.Operation {
		return op.ResourceApplyAdam(s, u.handle, u.slots[0], u.slots[1], power1, power2, rate, beta1, beta2, epsilon, u.gradient)
	}
}
