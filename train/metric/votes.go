package metric

import (
	"math"

	"galaxy/labels"
	"galaxy/train/votes"
)

// levels are the probabilities of the intervals whose coverage is measured.
var levels = [...]float64{0.5, 0.9}

// VoteScores are of counts of votes: of a question, or of all.
type VoteScores struct {
	Votes float64 `json:"votes"` // mean number of an example
	// LogLikelihood is the mean over the examples, in nats.
	LogLikelihood         Value     `json:"log_likelihood"`
	LogLikelihoodInterval *Interval `json:"log_likelihood_interval,omitempty"`
	// Coverage50 and Coverage90 are the fractions of the counts inside the predicted intervals.
	Coverage50         Value     `json:"coverage_50"`
	Coverage50Interval *Interval `json:"coverage_50_interval,omitempty"`
	Coverage90         Value     `json:"coverage_90"`
	Coverage90Interval *Interval `json:"coverage_90_interval,omitempty"`
	// NoiseRMSE is the RMSE of a predictor that knows the fractions from which the votes were drawn.
	NoiseRMSE         Value     `json:"noise_rmse"`
	NoiseRMSEInterval *Interval `json:"noise_rmse_interval,omitempty"`
}

func (v *VoteScores) figures(name string, add func(name string, value Value, interval **Interval)) {
	if v == nil {
		return
	}
	add(name+"votes.log_likelihood", v.LogLikelihood, &v.LogLikelihoodInterval)
	add(name+"votes.coverage_50", v.Coverage50, &v.Coverage50Interval)
	add(name+"votes.coverage_90", v.Coverage90, &v.Coverage90Interval)
	add(name+"votes.noise_rmse", v.NoiseRMSE, &v.NoiseRMSEInterval)
}

// votePart is what an example adds to the totals of a question, beside its questionPart.
type votePart struct {
	votes    float64 // N
	answered float64 // 1 if N > 0
	log      float64 // logarithm of the probability of the votes
	inside   [len(levels)]float64
	several  float64 // 1 if N > 1
	noise    float64 // Σ p(1−p) over the answers, as several votes estimate it
}

// newVotePart is of the votes for a question, whose predicted distribution is d.
func newVotePart(d votes.Distribution, counts []float32) (p votePart) {
	for _, k := range counts {
		p.votes += float64(k)
	}
	if p.votes == 0 {
		return p
	}
	p.answered, p.log = 1, d.LogProbability(counts)
	for j, k := range counts {
		place := d.Place(j, float64(k), p.votes)
		for i, level := range levels {
			p.inside[i] += place.Within(level)
		}
	}
	if p.votes > 1 {
		p.several = 1
		for _, k := range counts {
			p.noise += float64(k) / p.votes * (p.votes - float64(k)) / (p.votes - 1)
		}
	}
	return p
}

func (p *votePart) add(o *votePart, times float64) {
	p.votes += times * o.votes
	p.answered += times * o.answered
	p.log += times * o.log
	for i, in := range o.inside {
		p.inside[i] += times * in
	}
	p.several += times * o.several
	p.noise += times * o.noise
}

// voteScores are of questions together, with so many answers each, of n examples.
func voteScores(parts []votePart, questions []labels.Question, n float64) *VoteScores {
	var sum votePart
	var pairs, weight, noise float64
	for i := range parts {
		p, answers := &parts[i], float64(len(questions[i].Answers))
		sum.add(p, 1)
		pairs += p.answered * answers
		weight += p.votes * answers
		if p.several > 0 {
			noise += p.noise / p.several * p.answered
		}
	}
	out := &VoteScores{
		Votes: sum.votes / n, LogLikelihood: Value(sum.log / n),
		Coverage50: Value(sum.inside[0] / pairs), Coverage90: Value(sum.inside[1] / pairs),
		NoiseRMSE: Value(math.Sqrt(noise / weight)),
	}
	if sum.several == 0 {
		out.NoiseRMSE = Value(math.NaN())
	}
	return out
}

// distributions are those of a row of predicted fractions, one for each question. spread is
// nil for none.
func (t *target) distributions(row []float32, spread []float64) []votes.Distribution {
	all := make([]votes.Distribution, len(t.questions))
	for i := range t.questions {
		q, d, sum := &t.questions[i], &all[i], 0.0
		for _, p := range row[q.First : q.First+len(q.Answers)] {
			d.Fractions = append(d.Fractions, float64(p))
			sum += float64(p)
		}
		for j := range d.Fractions { // rounding, or another program
			d.Fractions[j] /= sum
		}
		if spread != nil {
			d.Spread = spread[i]
		}
	}
	return all
}

// moments are sums over the rows of counts that a constant predictor is fitted to, of a question.
type moments struct {
	votes, square float64   // Σ N, Σ N²
	counts        float64   // Σ k² over rows and answers
	products      []float64 // Σ k·N, of each answer
}

func (m *moments) add(counts []float32) {
	n := 0.0
	for _, k := range counts {
		n += float64(k)
		m.counts += float64(k) * float64(k)
	}
	if m.products == nil {
		m.products = make([]float64, len(counts))
	}
	for j, k := range counts {
		m.products[j] += float64(k) * n
	}
	m.votes += n
	m.square += n * n
}

// spread is the 1/Σα at which Dirichlet-multinomial votes with the fractions p vary as those of
// the rows: Σ (k−N·p)² has the mean V·Σ N·(1 + (N−1)·ρ), with V = Σ p(1−p) and ρ = 1/(1+Σα).
func (m *moments) spread(p []float64) float64 {
	v, squares := 1.0, m.counts
	for j, p := range p {
		v -= p * p
		squares += p*p*m.square - 2*p*m.products[j]
	}
	rho := (squares/v - m.votes) / (m.square - m.votes)
	if !(rho > 0) { // or NaN, of a question without votes or with one answer
		return 0
	}
	const most = 0.99
	rho = math.Min(rho, most)
	return rho / (1 - rho)
}
