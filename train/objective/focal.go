package objective

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/focal"
)

// Focal is focal loss (Lin et al. 2017, arXiv 1708.02002); see package focal for independent
// columns. For the answers to a question, with qⱼ the fraction of those asked, it is
//
//	−α·yⱼ·(1−qⱼ)^γ·log qⱼ
//
// as in Keras' CategoricalFocalCrossentropy.
//
// It is no proper score. Its sum over a question is smallest where yⱼ·g(qⱼ) is the same for all
// answers, with g the negative derivative of (1−q)^γ·(−log q), so the fractions at the minimum are
//
//	yⱼ = w(qⱼ) / Σ w(qₖ),  w(q) = 1/g(q) = q / ((1−q)^γ · (1 + γ·q·(−log q)/(1−q)))
//
// (Charoenphakdee et al. 2021, "On Focal Loss for Class-Posterior Probability Estimation: A
// Theoretical Perspective", arXiv 2011.09172, theorem 11).
const Focal Loss = "focal"

func init() {
	usual := focal.Default()
	register(Focal, lossRow{
		constants: []Constant{
			{Name: "alpha", Usage: "weight of a vote for", Default: usual.Alpha, Low: 0, High: 1, Open: true},
			{Name: "gamma", Usage: "focus on what is hard", Default: usual.Gamma, Low: 0, High: focal.MaxGamma},
		},
		binary: func(c Config) binary { return focal.Params{Alpha: c.Constant("alpha"), Gamma: c.Constant("gamma")} },
		categorical: func(c Config) categorical {
			return categoricalFocal{c.Constant("alpha"), c.Constant("gamma")}
		},
		lacks: "its weights of what is hard are no likelihood of votes",
	})
}

type categoricalFocal struct{ alpha, gamma float64 }

// leastWrong is the least 1−q whose logarithm is taken: of 0 it would be infinite, and its
// gradient times 0 not a number.
const leastWrong = 1e-37

// logWrong adds log(1−q) to the graph. −expm1(log q) is accurate for q near 1.
func logWrong(s *op.Scope, logQ tf.Output) (wrong, log tf.Output) {
	at := s.SubScope
	wrong = op.Maximum(at("wrong"), op.Neg(at("neg"), op.Expm1(at("minus_wrong"), logQ)), constant(at("least"), leastWrong))
	return wrong, op.Log(at("log"), wrong)
}

func (l categoricalFocal) Elements(s *op.Scope, x outputs, labels tf.Output) tf.Output {
	at := s.SubScope
	logQ := x.logFractions(at("log_softmax"))
	if s.Err() != nil {
		return tf.Output{}
	}
	_, log := logWrong(at("hard"), logQ)
	focus := op.Exp(at("focus"), op.Mul(at("power"), constant(at("gamma"), l.gamma), log))
	weight := op.Mul(at("weight"), constant(at("alpha"), -l.alpha), op.Mul(at("focused"), labels, focus))
	return op.Mul(at("element"), weight, logQ)
}

func (l categoricalFocal) LossAt(x output, label float64) float64 {
	if label == 0 { // not 0·∞
		return 0
	}
	return -l.alpha * label * math.Pow(-math.Expm1(x.logFraction), l.gamma) * x.logFraction
}

// Posterior computes the logarithm of w, because w itself is beyond float32 if q is near 1.
func (l categoricalFocal) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	at := s.SubScope
	logQ := op.LogSoftmax(at("log_softmax"), logits)
	wrong, log := logWrong(at("hard"), logQ)
	slope := op.Neg(at("slope"), op.Div(at("ratio"), op.Mul(at("surprise"), op.Exp(at("q"), logQ), logQ), wrong))
	gamma := constant(at("gamma"), l.gamma)
	bend := op.AddV2(at("bend"), op.Mul(at("power"), gamma, log), op.Log1p(at("log_slope"), op.Mul(at("scaled"), gamma, slope)))
	return op.Softmax(at("fraction"), op.Sub(at("log_weight"), logQ, bend))
}

// logWeight returns log w(q).
func (l categoricalFocal) logWeight(logQ float64) float64 {
	wrong := math.Max(-math.Expm1(logQ), leastWrong)
	return logQ - l.gamma*math.Log(wrong) - math.Log1p(-l.gamma*math.Exp(logQ)*logQ/wrong)
}

func (l categoricalFocal) PosteriorOf(logits []float64) []float64 {
	logSum := logSumExp(logits)
	log := make([]float64, len(logits))
	for k, x := range logits {
		log[k] = l.logWeight(x - logSum)
	}
	return properCategorical{}.PosteriorOf(log)
}

// LogitsFor finds the one number c for which the fractions with log w(qⱼ) = c + log yⱼ sum to 1. w
// rises with q, because the loss is convex in q.
func (l categoricalFocal) LogitsFor(labels []float64) []float64 {
	logits := make([]float64, len(labels))
	sum := func(c float64) (sum float64) {
		for k, y := range labels {
			// The logarithm of q's odds, which separates fractions near 1 too.
			odds := bisect(100, func(x float64) bool { return l.logWeight(logSigmoid(x)) > c+math.Log(y) })
			logits[k] = logSigmoid(odds)
			sum += math.Exp(logits[k])
		}
		return sum
	}
	sum(bisect(1e4, func(c float64) bool { return sum(c) > 1 }))
	return logits
}

// bisect returns where above becomes true, between −limit and limit.
func bisect(limit float64, above func(x float64) bool) float64 {
	low, high := -limit, limit
	for range 64 {
		if middle := (low + high) / 2; above(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return (low + high) / 2
}

// logSigmoid returns log(1/(1+exp(−x))).
func logSigmoid(x float64) float64 {
	return math.Min(x, 0) - math.Log1p(math.Exp(-math.Abs(x)))
}
