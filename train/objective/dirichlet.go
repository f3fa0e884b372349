package objective

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Dirichlet is the negative logarithm of the Dirichlet-multinomial probability of a question's
// votes (Walmsley et al. 2022, MNRAS 509, 3966; see package votes), with the concentrations
//
//	αⱼ = least + 100·σ(xⱼ)
//
// where σ is the sigmoid. The expected fractions are αⱼ/Σα. The
// larger Σα is, the less do the fractions of galaxies that look alike differ.
//
// In the paper least is 1. With all αⱼ ≥ 1 the density of the fractions has one peak: it cannot
// mean that either almost all volunteers or almost none give an answer. With the default, 0.05,
// it can, and then the predicted intervals hold as many votes as they should (docs/votes.md).
const Dirichlet Loss = "dirichlet"

const concentrationRange = 100

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
	return op.Sub(at("log"), sumColumns(at("sum"), logRising(at("answers"), alpha, votes)), logRising(at("question"), all, n))
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
	return op.AddV2(s, op.Mul(at("scaled"), op.Sigmoid(at("sigmoid"), logits), number("range", concentrationRange)), number("least", l.least))
}

func (l dirichlet) concentrationsOf(logits []float64) (alpha []float64, sum float64) {
	for _, x := range logits {
		a := l.least + concentrationRange*sigmoid.PosteriorAt(x)
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
		logits[j] = sigmoid.LogitFor(min(max(share, end), 1-end))
	}
	return logits
}

// sumColumns is the sum over the columns of x, [N, count]: [N, 1].
func sumColumns(s *op.Scope, x tf.Output) tf.Output {
	return op.Sum(s, x, op.Const(s.SubScope("columns"), int32(1)), op.SumKeepDims(true))
}
