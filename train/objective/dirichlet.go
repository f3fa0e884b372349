package objective

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Dirichlet is the negative logarithm of the Dirichlet-multinomial probability of a question's
// votes (Walmsley et al. 2022, MNRAS 509, 3966; see package votes), with the concentrations
//
//	αⱼ = least + eˣ/(1 + eˣ/100), x = xⱼ
//
// which are between least and 100 more. The expected fractions are αⱼ/Σα. The
// larger Σα is, the less do the fractions of galaxies that look alike differ. The logits of a new
// network are near 0, so its concentrations are near 1: any fractions are equally likely.
//
// In the paper least is 1. With all αⱼ ≥ 1 the density of the fractions has one peak: it cannot
// mean that either almost all volunteers or almost none give an answer. With the default, 0.05,
// it can, and then the predicted intervals hold as many votes as they should (docs/votes.md).
//
// The gradient of a question's loss is multiplied by √w with
//
//	w = (Σα + N)/(Σα + 1)
//
// for N votes, at which the variance of the votes is w times that of a multinomial distribution. The
// likelihood itself divides the error of a fraction by that variance: questions that many answer, and
// galaxies on which the network is not sure, would count for too little, and the fractions become
// worse. With w in place of √w they count as in the multinomial likelihood. The root is between the
// two (β = 0.5 in Seitzer et al. 2022, "On the Pitfalls of Heteroscedastic Uncertainty Estimation
// with Probabilistic Neural Networks", arXiv 2203.09168). The loss's value stays the likelihood's. The gradient's
// mean over votes that are drawn from the predicted distribution is 0 with any weights, so
// right predictions stay where they are.
const Dirichlet Loss = "dirichlet"

const concentrationRange = 100

// midLogit is the logit of least + concentrationRange/2: eˣ/(1 + eˣ/100) = 100·σ(x − ln 100).
var midLogit = math.Log(concentrationRange)

func init() {
	const least = "least_concentration"
	register(Dirichlet, lossRow{
		constants: []Constant{{Name: least, Usage: "smallest concentration of an answer", Default: 0.05, Low: 0, High: 10, Open: true}},
		votes:     func(c Config) likelihood { return dirichlet{c.Constant(least)} },
		lacks:     "it is a likelihood of counts of votes, and a fraction does not say of how many votes it is",
	})
}

type dirichlet struct{ least float64 }

func (l dirichlet) Log(s *op.Scope, logits, votes tf.Output) tf.Output {
	at := s.SubScope
	alpha := l.concentrations(at("concentrations"), logits)
	all, n := sumColumns(at("all"), alpha), sumColumns(at("volunteers"), votes)
	log := op.Sub(at("log"), sumColumns(at("sum"), logRising(at("answers"), alpha, votes)), logRising(at("question"), all, n))
	variance := op.Div(at("variance"), op.AddV2(at("all_and_votes"), all, n), op.AddV2(at("all_and_1"), all, op.Const(at("one"), 1.0)))
	return scaleGradient(at("scale_gradient"), log, op.Sqrt(at("root"), variance))
}

// scaleGradient returns x, whose gradient is multiplied by factor, of the same shape. The factor itself has none.
func scaleGradient(s *op.Scope, x, factor tf.Output) tf.Output {
	at := s.SubScope
	value := op.StopGradient(at("value"), x)
	return op.AddV2(s, value, op.Mul(at("scaled"), op.StopGradient(at("factor"), factor), op.Sub(at("zero"), x, value)))
}

func (l dirichlet) LogOf(logits, votes []float64) float64 {
	rising := func(a, n float64) float64 {
		up, _ := math.Lgamma(a + n)
		from, _ := math.Lgamma(a)
		return up - from
	}
	alpha, all := l.concentrationsOf(logits)
	n, sum := 0.0, 0.0
	for j, k := range votes {
		n += k
		sum += rising(alpha[j], k)
	}
	return sum - rising(all, n)
}

// logRising is log Γ(a+n)/Γ(a), exactly 0 for n = 0.
func logRising(s *op.Scope, a, n tf.Output) tf.Output {
	at := s.SubScope
	return op.Sub(s, op.Lgamma(at("up_to"), op.AddV2(at("sum"), a, n)), op.Lgamma(at("from"), a))
}

// concentrations has the shape and the dtype of logits.
func (l dirichlet) concentrations(s *op.Scope, logits tf.Output) tf.Output {
	at := s.SubScope
	number := func(name string, x float64) tf.Output {
		return op.Cast(at(name), op.Const(at(name+"_constant"), x), logits.DataType())
	}
	share := op.Sigmoid(at("sigmoid"), op.Sub(at("shifted"), logits, number("mid", midLogit)))
	return op.AddV2(s, op.Mul(at("scaled"), share, number("range", concentrationRange)), number("least", l.least))
}

func (l dirichlet) concentrationsOf(logits []float64) (alpha []float64, sum float64) {
	for _, x := range logits {
		a := l.least + concentrationRange*sigmoid.PosteriorAt(x-midLogit)
		alpha, sum = append(alpha, a), sum+a
	}
	return alpha, sum
}

func (l dirichlet) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	alpha := l.concentrations(s.SubScope("concentrations"), logits)
	return op.Div(s.SubScope("fraction"), alpha, sumColumns(s.SubScope("all"), alpha))
}

func (l dirichlet) PosteriorOf(logits []float64) []float64 {
	alpha, sum := l.concentrationsOf(logits)
	for j := range alpha {
		alpha[j] /= sum
	}
	return alpha
}

func (l dirichlet) Spread(logits []float64) float64 {
	_, sum := l.concentrationsOf(logits)
	return 1 / sum
}

// LogitsFor moves concentrations outside the range to its ends, up to 1e-6 of it.
func (l dirichlet) LogitsFor(alpha []float64) []float64 {
	const end = 1e-6
	logits := make([]float64, len(alpha))
	for j, a := range alpha {
		share := (a - l.least) / concentrationRange
		logits[j] = midLogit + sigmoid.LogitFor(min(max(share, end), 1-end))
	}
	return logits
}

// sumColumns is the sum over the columns of x, [N, count]: [N, 1].
func sumColumns(s *op.Scope, x tf.Output) tf.Output {
	return op.Sum(s, x, op.Const(s.SubScope("columns"), int32(1)), op.SumKeepDims(true))
}
