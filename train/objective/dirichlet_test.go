package objective

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels/labelstest"
	"galaxy/train/votes"
)

// By hand, with the paper's least concentration: at logits of ln 100 all concentrations are 51, and the questions of Small have 3, 2 and 3 answers.
func TestDirichletByHand(t *testing.T) {
	ln, mid := math.Log, float32(math.Log(100))
	logits := slices.Repeat([]float32{mid}, 8)
	paper := Default(Tree, Dirichlet)
	paper.SetConstant("least_concentration", 1)
	for _, test := range []struct {
		votes []float32
		want  float64
	}{
		{make([]float32, 8), 0},
		{[]float32{1, 0, 0, 0, 0, 0, 0, 0}, ln(3)},
		// Of two, both alike: 51·52/(153·154); one each: 2·51·51/(102·103).
		{[]float32{2, 0, 0, 1, 1, 0, 0, 0}, -ln(51.*52/(153*154)) - ln(2*51.*51/(102*103))},
		{[]float32{0, 0, 0, 0, 0, 0, 0, 1}, ln(3)},
	} {
		b := build(t, job{paper, labelstest.SmallCounts()})
		if got := b.LossOf(logits, test.votes); !(math.Abs(got-test.want) <= 1e-9) {
			t.Errorf("%v: loss %v, want %v", test.votes, got, test.want)
		}
		if got, _ := b.run(t, logits, test.votes); !(math.Abs(got-test.want) <= 1e-6) {
			t.Errorf("%v: the graph's loss %v, want %v", test.votes, got, test.want)
		}
	}
	// Concentrations 1 + 100·(1/2, 3/4, 1/4), and the questions' own sum to 1 whatever leads to them.
	ln3 := float32(ln(3))
	b := build(t, job{paper, labelstest.SmallCounts()})
	_, p := b.run(t, []float32{mid, mid + ln3, mid - ln3, mid, mid, 0, 0, 0}, make([]float32, 8))
	if want := []float64{51. / 153, 76. / 153, 26. / 153, 0.5, 0.5, 1. / 3, 1. / 3, 1. / 3}; !near(p, want, 1e-6) {
		t.Errorf("fractions %v, want %v", p, want)
	}
	if got, want := b.Spread(logits), []float64{1. / 153, 1. / 102, 1. / 153}; !near(got, want, 1e-8) {
		t.Errorf("spread %v, want %v", got, want)
	}
	// A new network's concentrations: 1 + 1/(1 + 1/100) each.
	if got, want := b.Spread(make([]float32, 8)), []float64{101. / 603, 101. / 402, 101. / 603}; !near(got, want, 1e-15) {
		t.Errorf("spread at logits of 0 is %v, want %v", got, want)
	}
}

// gradientFactor is the float64 reference implementation of the factor by which a likelihood multiplies the gradient of a question.
func gradientFactor(l likelihood, logits, votes []float64) float64 {
	d, ok := l.(dirichlet)
	if !ok {
		return 1
	}
	_, all := d.concentrationsOf(logits)
	n := 0.0
	for _, k := range votes {
		n += k
	}
	return math.Sqrt((all + n) / (all + 1))
}

// The gradient is that of the float64 reference implementation by central differences, times its factor and the
// question's weight; the factor is not differentiated.
func TestLikelihoodGradient(t *testing.T) {
	for _, c := range jobs() {
		if !ofCounts(c.Head.Target(c.schema)) {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			b := build(t, c)
			rapid.Check(t, func(r *rapid.T) {
				logits, counts := drawLogits(r, b.Outputs(), 8), b.drawLabels(r, 1)
				got := b.slopes(t, logits, counts)
				for _, g := range b.groups {
					x, k := float64s(logits[g.first:g.first+g.count]), float64s(counts[g.first:g.first+g.count])
					factor := b.weight(g.first) * gradientFactor(b.likelihood, x, k)
					for j := range x {
						const h = 1e-4
						at := func(step float64) float64 {
							moved := slices.Clone(x)
							moved[j] += step
							return b.likelihood.LogOf(moved, k)
						}
						// Richardson's extrapolation of the differences over 2·h and 4·h.
						want := -factor * (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / (12 * h)
						if size := factor * (1 + math.Abs(at(0))); !(math.Abs(got[g.first+j]-want) <= 1e-6*size) {
							r.Fatalf("logit %d: gradient %v, by differences %v", g.first+j, got[g.first+j], want)
						}
					}
				}
			})
		})
	}
}

// A question that nobody answered costs nothing and moves no logit, to the last bit, whatever the
// others are.
func TestNoVotes(t *testing.T) {
	for _, loss := range []Loss{Dirichlet, CrossEntropy} {
		b := build(t, job{Default(Tree, loss), zooCounts})
		rapid.Check(t, func(r *rapid.T) {
			logits := drawLogits(r, b.Outputs(), 1e4)
			votes := b.drawLabels(r, 1)
			none := rapid.IntRange(0, len(b.groups)-1).Draw(r, "question")
			g := b.groups[none]
			clear(votes[g.first : g.first+g.count])
			for j, slope := range b.slopes(t, logits, votes)[g.first : g.first+g.count] {
				if slope != 0 {
					r.Fatalf("%s: question %d has no votes, and its answer %d the gradient %v", loss, none, j, slope)
				}
			}
			clear(votes)
			if got, _ := b.run(t, logits, votes); got != 0 || b.LossOf(logits, votes) != 0 {
				r.Fatalf("%s: no votes at all cost %v, in float64 %v", loss, got, b.LossOf(logits, votes))
			}
		})
	}
}

// LogitsFor gives logits of the concentrations, and of votes that are drawn with them, all
// other logits cost more on average.
func TestLikelihoodMinimum(t *testing.T) {
	for _, name := range Losses() {
		if losses[name].votes == nil {
			continue
		}
		l := losses[name].votes(Default(Tree, name))
		of := func(logits []float64) votes.Distribution {
			return votes.Distribution{Fractions: l.PosteriorOf(logits), Spread: l.Spread(logits)}
		}
		rapid.Check(t, func(r *rapid.T) {
			alpha := rapid.SliceOfN(rapid.Float64Range(1.1, 100), 3, 3).Draw(r, "concentrations")
			volunteers := rapid.IntRange(1, 6).Draw(r, "volunteers")
			best := l.LogitsFor(alpha)
			truth := of(best)
			for j, p := range truth.Fractions {
				if want := alpha[j] / (alpha[0] + alpha[1] + alpha[2]); !(math.Abs(p-want) <= 1e-12) {
					r.Fatalf("%s: fraction %v of the concentrations %v", name, p, alpha)
				}
			}
			mean := func(logits []float64) float64 {
				total, d := 0.0, of(logits)
				for a := range volunteers + 1 {
					for b := range volunteers + 1 - a {
						k := []float32{float32(a), float32(b), float32(volunteers - a - b)}
						total -= math.Exp(truth.LogProbability(k)) * d.LogProbability(k)
					}
				}
				return total
			}
			k := []float32{float32(volunteers), 2, 0}
			if got, want := l.LogOf(best, float64s(k))+votes.LogOrders(k), truth.LogProbability(k); !(math.Abs(got-want) <= 1e-10) {
				r.Fatalf("%s: the logarithm of the probability of %v is %v, the distribution's %v", name, k, got, want)
			}
			least := mean(best)
			best[rapid.IntRange(0, 2).Draw(r, "answer")] += rapid.SampledFrom([]float64{-1, -0.1, 0.1, 1}).Draw(r, "step")
			if got := mean(best); !(got > least) {
				r.Fatalf("%s: the mean loss is %v at the best logits and %v away from them", name, least, got)
			}
		})
	}
}

// Concentrations outside the range get finite logits.
func TestDirichletLogitsForIsFinite(t *testing.T) {
	for _, a := range []float64{0, 1e-9, 1, 101, 1e9} {
		if x := (dirichlet{1}).LogitsFor([]float64{a}); math.IsInf(x[0], 0) || math.IsNaN(x[0]) {
			t.Errorf("the concentration %v has the logit %v", a, x[0])
		}
	}
}
