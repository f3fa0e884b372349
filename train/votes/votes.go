// Package votes has the distribution of the votes for the answers to a question.
//
// N volunteers answer a question. Each picks one of its answers. If all galaxies that look alike
// had the same fractions p, their votes k would be multinomial. The fractions differ, and the
// Dirichlet-multinomial distribution has one more parameter, for how much they differ (Walmsley
// et al. 2022, MNRAS 509, 3966). With concentrations αⱼ > 0 and A = Σ αⱼ its probability is
//
//	N!/Π kⱼ! · Γ(A)/Γ(N+A) · Π Γ(kⱼ+αⱼ)/Γ(αⱼ)
//
// With p = α/A and the spread s = 1/A this is
//
//	N!/Π kⱼ! · Π_j Π_{i<kⱼ} (pⱼ + i·s) / Π_{i<N} (1 + i·s)
//
// which at s = 0 is the multinomial distribution: one formula for both. The votes for one answer
// have the same formula with two answers, this one and all others (beta-binomial).
package votes

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// A Distribution is that of the votes for the answers to one question.
type Distribution struct {
	// Fractions are the expected fractions p of those who answer the question, each
	// at least 0; their sum is 1.
	Fractions []float64
	// Spread is s = 1/Σα, at least 0; 0 is multinomial.
	Spread float64
}

// LogProbability returns the natural logarithm of the probability of votes, which are whole
// numbers, one for each of Fractions. It is 0 without votes. A fraction of 0 counts as the
// smallest normal float32 number, 1.2e-38, so that the result is finite.
func (d Distribution) LogProbability(votes []float32) float64 {
	n, sum := 0.0, LogOrders(votes)
	for j, v := range votes {
		n += float64(v)
		sum += d.rising(d.Fractions[j], float64(v))
	}
	return sum - d.rising(1, n)
}

// LogOrders returns log N!/Π kⱼ!, the logarithm of the number of orders in which volunteers may
// give the votes.
func LogOrders(votes []float32) float64 {
	n, sum := 0.0, 0.0
	for _, v := range votes {
		n += float64(v)
		sum += lgamma(float64(v) + 1)
	}
	return lgamma(n+1) - sum
}

// Information returns how much one vote tells about the fractions of this galaxy, in nats: the mutual information
// between the vote and fractions ρ that are Dirichlet-distributed with concentrations α = p/s. It is the entropy of the vote
// minus its expected entropy once ρ is known (Malinin & Gales 2018, arXiv 1802.10501, equation 18):
//
//	−Σ pⱼ log pⱼ − (ψ(A+1) − Σ pⱼ ψ(αⱼ+1)), A = Σ α
//
// It is 0 without a spread, since the fractions are known then, and at most the entropy.
func (d Distribution) Information() float64 {
	a := 1 / d.Spread
	if math.IsInf(a, 1) {
		return 0
	}
	known := mathext.Digamma(a + 1)
	for _, p := range d.Fractions {
		if p > 0 {
			known -= p * mathext.Digamma(p*a+1)
		}
	}
	return max(d.Entropy()-known, 0) // below 0 by rounding alone
}

// Entropy returns the entropy of one vote in nats, −Σ pⱼ log pⱼ.
func (d Distribution) Entropy() (nats float64) {
	for _, p := range d.Fractions {
		if p > 0 {
			nats -= p * math.Log(p)
		}
	}
	return nats
}

const smallest = 0x1p-126

// rising returns log Π_{i<n} (p + i·s).
func (d Distribution) rising(p, n float64) float64 {
	if p = max(p, smallest); d.Spread == 0 {
		return n * math.Log(p)
	}
	// Where p/s is large, both logarithms of Γ are, and their difference loses its digits.
	if a := p / d.Spread; a < 1e4 {
		return n*math.Log(d.Spread) + lgamma(a+n) - lgamma(a)
	}
	sum := 0.0
	for i := range int(n) {
		sum += math.Log(p + float64(i)*d.Spread)
	}
	return sum
}

// A Place is where a number of votes for an answer lies in the answer's distribution.
type Place struct {
	below, at float64 // probability of fewer votes, and of so many
}

// Place returns the place of k of n votes for answer j. It takes min(k, n−k) steps, and the
// distribution of the shorter side, which Within's central intervals do not tell apart.
func (d Distribution) Place(j int, k, n float64) Place {
	p, s := math.Min(math.Max(d.Fractions[j], smallest), 1), d.Spread
	q := math.Max(1-p, smallest)
	if k > n-k {
		p, q, k = q, p, n-k
	}
	log := Distribution{Fractions: []float64{p, q}, Spread: s}.LogProbability([]float32{0, float32(n)})
	below, at := 0.0, math.Exp(log)
	for i := 0.0; i < k; i++ { // from i to i+1 votes
		log += math.Log((n - i) / (i + 1) * (p + i*s) / (q + (n-i-1)*s))
		below += at
		at = math.Exp(log)
	}
	return Place{below, at}
}

// Within returns how far the votes are inside the central interval of the distribution that has
// the probability mass: from 0 (outside) to 1 (inside).
//
// Votes are whole numbers, so no interval has exactly that probability. The interval from the 5 %
// to the 95 % quantile has more than 90 %, and with few votes much more. So k stands for all
// numbers from F(k−1) to F(k), evenly, where F is the cumulative distribution (Czado, Gneiting &
// Held 2009, "Predictive Model Assessment for Count Data", Biometrics 65, 1254). Within is the
// fraction of them from (1−mass)/2 to (1+mass)/2. If votes are drawn from the distribution, the mean
// of Within is mass.
func (p Place) Within(mass float64) float64 {
	low, high := (1-mass)/2, (1+mass)/2
	inside := math.Min(p.below+p.at, high) - math.Max(p.below, low)
	switch {
	case inside <= 0:
		return 0
	case p.at <= inside:
		return 1
	}
	return inside / p.at
}

func lgamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}
