// Package acquisition says which galaxies are worth asking volunteers about: those whose answers would tell most of what is
// not known (Houlsby et al. 2011, arXiv 1112.5745; for images Gal et al. 2017, arXiv 1703.02910; for Galaxy Zoo Walmsley et al. 2020,
// arXiv 1905.07424).
//
// A Scorer computes the score of a galaxy from draws: predictions that should be equal and are not, such as those for
// views of one image. Choose takes the galaxies with large scores that do not look alike.
//
// # The score
//
// A volunteer is asked question q with probability r_v in draw v, and gives answer j with probability p_vj. With the weights w_v = r_v/Σ r,
// the mean answer p̄ = Σ w_v p_v and the mean r̄ of r_v, the answer and the draw have the mutual information
//
//	r̄ · (H(p̄) − Σ w_v H(p_v)) = r̄ · Σ_v w_v Σ_j p_vj log(p_vj/p̄_j)
//
// in nats, where H is the entropy: the part of the entropy that is gone once it is known which draw is right. It is 0 if all draws agree,
// however undecided the volunteers are. If a draw has concentrations of Dirichlet-distributed fractions, the answer also tells about the
// fractions of this galaxy (votes.Distribution.Information), and by the chain rule that is added: r̄ · Σ w_v I_v.
//
// The score is the sum over the questions. If every question but the first is asked after one answer, that is the information in all
// answers of one volunteer. If two questions are asked of the same volunteers, it is an upper bound, because what both tell is counted
// twice.
package acquisition

import (
	"fmt"
	"math"

	"galaxy/labels"
	"galaxy/train/votes"
)

// A Draw is a prediction for one galaxy.
type Draw struct {
	// Fractions are the predicted fractions, float32 [Width of the schema], which satisfy its sum rules. They are not kept.
	Fractions []float32
	// Spread is 1/Σα of each question, float64 [questions] (objective.Spread), nil if the model has no concentrations.
	Spread []float64
}

// A Scorer scores galaxies. Several goroutines may use it.
type Scorer struct {
	schema    *labels.Schema
	questions []labels.Question
}

// New returns a Scorer for predictions of a schema of fractions: labels.Schema.Predicted of what a network learns, or classes.
func New(schema *labels.Schema) *Scorer { return &Scorer{schema, schema.Questions()} }

// A Question is what is known about one question before it is asked. Fractions are of the volunteers who are asked it.
type Question struct {
	// Reached is the mean fraction r̄ of volunteers who are asked the question.
	Reached float64
	// Draws and Fractions are the two parts of the information, in nats: about which draw is right, and about the
	// galaxy's fractions.
	Draws, Fractions float64
	// Mean are the mean fractions p̄ of the answers, Least and Most the smallest and the largest in any draw. They are 0 if no volunteer
	// is asked.
	Mean, Least, Most []float64
}

// Information is the score of the question, in nats.
func (q Question) Information() float64 { return q.Draws + q.Fractions }

// Score returns what is known about each question from one or more draws.
func (s *Scorer) Score(draws []Draw) ([]Question, error) {
	for _, d := range draws {
		if len(d.Fractions) != s.schema.Width() || d.Spread != nil && len(d.Spread) != len(s.questions) {
			return nil, fmt.Errorf("score a galaxy: a draw has %d fractions and %d spreads: expected %d, and none or %d", len(d.Fractions), len(d.Spread), s.schema.Width(), len(s.questions))
		}
	}
	all := make([]Question, len(s.questions))
	for i := range s.questions {
		all[i] = s.question(i, draws)
	}
	return all, nil
}

// question scores question i.
func (s *Scorer) question(i int, draws []Draw) Question {
	first, answers := s.questions[i].First, len(s.questions[i].Answers)
	numbers := make([]float64, 3*answers)
	q := Question{Mean: numbers[:answers], Least: numbers[answers:][:answers], Most: numbers[2*answers:]}
	reached, p := make([]float64, len(draws)), make([][]float64, len(draws))
	for v, d := range draws {
		if p[v] = conditional(d.Fractions[first:][:answers]); p[v] == nil {
			continue
		}
		if reached[v] = s.schema.Reached(d.Fractions, i); !(reached[v] > 0) {
			reached[v], p[v] = 0, nil
			continue
		}
		for j, x := range p[v] {
			q.Mean[j] += reached[v] * x
			q.Most[j] = max(q.Most[j], x)
			if q.Reached == 0 {
				q.Least[j] = x
			}
			q.Least[j] = min(q.Least[j], x)
		}
		q.Reached += reached[v]
	}
	if q.Reached == 0 {
		return q
	}
	for j := range q.Mean {
		q.Mean[j] /= q.Reached
	}
	n := float64(len(draws))
	for v, d := range draws {
		if p[v] == nil {
			continue
		}
		for j, x := range p[v] {
			if x > 0 {
				q.Draws += reached[v] / n * x * math.Log(x/q.Mean[j])
			}
		}
		if d.Spread != nil {
			q.Fractions += reached[v] / n * votes.Distribution{Fractions: p[v], Spread: d.Spread[i]}.Information()
		}
	}
	q.Draws = max(q.Draws, 0) // below 0 by rounding alone
	q.Reached /= n
	return q
}

// conditional returns the fractions of those who answer a question; nil if nobody does.
func conditional(fractions []float32) []float64 {
	sum, p := 0.0, make([]float64, len(fractions))
	for j, f := range fractions {
		p[j] = max(float64(f), 0)
		sum += p[j]
	}
	if !(sum > 0) {
		return nil
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}
