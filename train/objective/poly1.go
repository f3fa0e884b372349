package objective

import (
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Poly1 is cross-entropy with more or less weight on the first term of its expansion in powers of
// 1−p (Leng et al. 2022, "PolyLoss: A Polynomial Expansion Perspective of Classification Loss
// Functions", arXiv 2204.12511). With ε > −1 it is
//
//	−yⱼ·(log qⱼ − ε·(1−qⱼ))
//
// for the answers to a question, with qⱼ the fraction of those asked. For an independent column
// it is the sum of this over yes and no. At ε = 0 it is cross-entropy.
//
// It is no proper score. Its derivative with respect to xⱼ is 0 where yⱼ·(1+ε·qⱼ) = qⱼ·Σ
// yₖ·(1+ε·qₖ), so the fractions at the minimum are
//
//	yⱼ = qⱼ/(1+ε·qⱼ) / Σ qₖ/(1+ε·qₖ)
//
// and for a column, with p the sigmoid of x,
//
//	logit y = x + log(1+ε·(1−p)) − log(1+ε·p)
//
// whose derivative is 1 − p·a/(1+a) − (1−p)·b/(1+b) with a = ε·(1−p) and b = ε·p. For ε ≤ 0 it is
// at least 1, and for ε > 0 it is above 1 − p − (1−p) = 0: the fraction rises with the logit.
//
// Inversely, a column's odds t = p/(1−p) follow from the label's odds r = y/(1−y) by t² +
// (1+ε)·(1−r)·t − r = 0, which has one positive root. For a question qⱼ = yⱼ/(c − ε·yⱼ), where c
// is the only number for which all are positive and sum to 1.
const Poly1 Loss = "poly1"

func init() {
	register(Poly1, lossRow{
		constants: []Constant{
			// The default of optax. At −1 the slope at a fraction of 1 would be 0.
			{Name: "poly_epsilon", Usage: "weight of 1−p added to cross-entropy", Default: 2, Low: -1, High: 100, Open: true},
		},
		binary:      func(c Config) binary { return binaryPoly1{c.Constant("poly_epsilon")} },
		categorical: func(c Config) categorical { return categoricalPoly1{c.Constant("poly_epsilon")} },
		lacks:       "its second term is no likelihood of votes",
	})
}

type binaryPoly1 struct{ epsilon float64 }

func (l binaryPoly1) Elements(s *op.Scope, logits, labels tf.Output) tf.Output {
	crossEntropy := binaryCrossEntropy{}.Elements(s.SubScope("cross_entropy"), logits, labels)
	if s.Err() != nil {
		return tf.Output{}
	}
	at := s.SubScope
	no := op.Sub(at("no"), constant(at("one"), 1), labels)
	wrong := op.AddV2(at("wrong"),
		op.Mul(at("yes_wrong"), labels, op.Sigmoid(at("q"), op.Neg(at("neg"), logits))),
		op.Mul(at("no_wrong"), no, op.Sigmoid(at("p"), logits)))
	return op.AddV2(at("element"), crossEntropy, op.Mul(at("first_term"), constant(at("epsilon"), l.epsilon), wrong))
}

func (l binaryPoly1) LossAt(logit, label float64) float64 {
	wrong := label*sigmoid.PosteriorAt(-logit) + (1-label)*sigmoid.PosteriorAt(logit)
	return binaryCrossEntropy{}.LossAt(logit, label) + l.epsilon*wrong
}

// Posterior computes 1+ε·q as p + (1+ε)·q inside the logarithm: nothing cancels.
func (l binaryPoly1) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	at := s.SubScope
	weight := constant(at("weight"), 1+l.epsilon)
	p, q := op.Sigmoid(at("p"), logits), op.Sigmoid(at("q"), op.Neg(at("neg"), logits))
	log := func(name string, one, weighted tf.Output) tf.Output {
		at := s.SubScope(name).SubScope
		return op.Log(at("log"), op.AddV2(at("sum"), one, op.Mul(at("weighted"), weight, weighted)))
	}
	bend := op.Sub(at("bend"), log("up", p, q), log("down", q, p))
	return op.Sigmoid(at("fraction"), op.AddV2(at("log_odds"), logits, bend))
}

func (l binaryPoly1) PosteriorAt(logit float64) float64 {
	p, q := sigmoid.PosteriorAt(logit), sigmoid.PosteriorAt(-logit)
	return sigmoid.PosteriorAt(logit + math.Log(p+(1+l.epsilon)*q) - math.Log(q+(1+l.epsilon)*p))
}

func (l binaryPoly1) LogitFor(label float64) float64 {
	if label > 0.5 { // the mirror image, where 1−r below is not negative
		return -l.LogitFor(1 - label)
	}
	r := label / (1 - label)
	b := (1 + l.epsilon) * (1 - r)
	return math.Log(2 * r / (b + math.Sqrt(b*b+4*r)))
}

type categoricalPoly1 struct{ epsilon float64 }

// Elements computes 1−q as −expm1(log q), which is accurate for q near 1.
func (l categoricalPoly1) Elements(s *op.Scope, x outputs, labels tf.Output) tf.Output {
	at := s.SubScope
	logQ := x.logFractions(at("log_softmax"))
	first := op.Mul(at("first_term"), constant(at("epsilon"), l.epsilon), op.Expm1(at("minus_wrong"), logQ))
	return op.Neg(at("neg"), op.Mul(at("element"), labels, op.AddV2(at("sum"), logQ, first)))
}

func (l categoricalPoly1) LossAt(x output, label float64) float64 {
	if label == 0 { // not 0·∞
		return 0
	}
	return -label * (x.logFraction + l.epsilon*math.Expm1(x.logFraction))
}

func (l categoricalPoly1) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	at := s.SubScope
	q := op.Softmax(at("softmax"), logits)
	y := op.Div(at("part"), q, op.AddV2(at("turned_down"), constant(at("one"), 1), op.Mul(at("scaled"), constant(at("epsilon"), l.epsilon), q)))
	return op.Div(at("fraction"), y, sumColumns(at("sum"), y))
}

func (l categoricalPoly1) PosteriorOf(logits []float64) []float64 {
	y, sum := properCategorical{}.PosteriorOf(logits), 0.0
	for k, q := range y {
		y[k] = q / (1 + l.epsilon*q)
		sum += y[k]
	}
	for k := range y {
		y[k] /= sum
	}
	return y
}

// LogitsFor finds c by Newton's method. Σ yₖ/(c−ε·yₖ) is convex, falls with c, and is at least 1
// at (1+ε)·max y, so each step increases c towards the solution.
func (l categoricalPoly1) LogitsFor(labels []float64) []float64 {
	c := (1 + l.epsilon) * slices.Max(labels)
	for {
		sum, slope := 0.0, 0.0
		for _, y := range labels {
			q := y / (c - l.epsilon*y)
			sum += q
			slope += q / (c - l.epsilon*y)
		}
		next := c + (sum-1)/slope
		if !(next > c) { // converged as far as rounding allows, or the labels are no fractions
			break
		}
		c = next
	}
	logits := make([]float64, len(labels))
	for k, y := range labels {
		logits[k] = math.Log(y / (c - l.epsilon*y))
	}
	return logits
}
