package votes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// outcomes calls f with all votes of n volunteers for that many answers.
func outcomes(answers, n int, f func(votes []float32)) {
	row := make([]float32, answers)
	var fill func(j, left int)
	fill = func(j, left int) {
		if j == answers-1 {
			row[j] = float32(left)
			f(row)
			return
		}
		for k := 0; k <= left; k++ {
			row[j] = float32(k)
			fill(j+1, left-k)
		}
	}
	fill(0, n)
}

func draw(t *rapid.T, answers int) Distribution {
	d := Distribution{Spread: rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1e-9, 1), rapid.Float64Range(1e-9, 1e-5)).Draw(t, "spread")}
	sum := 0.0
	for range answers {
		p := rapid.Float64Range(1e-3, 1).Draw(t, "fraction")
		d.Fractions, sum = append(d.Fractions, p), sum+p
	}
	for j := range d.Fractions {
		d.Fractions[j] /= sum
	}
	return d
}

// By hand: α = (2, 1), (1, 1, 1) and fractions without spread.
func TestLogProbabilityByHand(t *testing.T) {
	two, three, coin := Distribution{[]float64{2. / 3, 1. / 3}, 1. / 3}, Distribution{[]float64{1. / 3, 1. / 3, 1. / 3}, 1. / 3}, Distribution{[]float64{0.5, 0.5}, 0}
	for _, test := range []struct {
		d     Distribution
		votes []float32
		want  float64
	}{
		{two, []float32{0, 0}, 1},
		{two, []float32{1, 0}, 2. / 3},
		{two, []float32{1, 1}, 2 * 2 * 1 / (3. * 4)},
		{two, []float32{2, 0}, 2 * 3 / (3. * 4)},
		{three, []float32{2, 1, 0}, 1. / 10}, // ten outcomes, all alike
		{three, []float32{1, 1, 1}, 1. / 10},
		{coin, []float32{2, 1}, 3. / 8},
		{coin, []float32{0, 0}, 1},
	} {
		if got := math.Exp(test.d.LogProbability(test.votes)); !(math.Abs(got-test.want) <= 1e-14) {
			t.Errorf("%+v: probability of %v is %v, want %v", test.d, test.votes, got, test.want)
		}
	}
	if got := (Distribution{[]float64{0, 1}, 0}).LogProbability([]float32{3, 1}); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("votes for an answer of fraction 0 have the logarithm %v", got)
	}
}

// The probabilities of all outcomes sum to 1, with the expected fractions as their mean.
func TestProbabilitiesSumTo1(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, rapid.IntRange(2, 4).Draw(t, "answers"))
		n := rapid.IntRange(0, 9).Draw(t, "volunteers")
		sum, first := 0.0, 0.0
		outcomes(len(d.Fractions), n, func(votes []float32) {
			p := math.Exp(d.LogProbability(votes))
			sum, first = sum+p, first+p*float64(votes[0])
		})
		if !(math.Abs(sum-1) <= 1e-9) || !(math.Abs(first-float64(n)*d.Fractions[0]) <= 1e-8) {
			t.Fatalf("%+v, %d volunteers: probabilities sum to %v, mean of the first %v", d, n, sum, first)
		}
	})
}

// The product is the slow form of both ways in which rising is computed, for votes up to thousands.
func TestRising(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Distribution{Spread: rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1e-9, 1), rapid.Float64Range(1e-9, 1e-5)).Draw(t, "spread")}
		p, n := rapid.Float64Range(1e-6, 1).Draw(t, "p"), rapid.IntRange(0, 5000).Draw(t, "n")
		want := 0.0
		for i := range n {
			want += math.Log(p + float64(i)*d.Spread)
		}
		if got := d.rising(p, float64(n)); !(math.Abs(got-want) <= 1e-8*(1+math.Abs(want))) {
			t.Fatalf("rising is %v, want %v", got, want)
		}
	})
}

// Of votes that are drawn from the distribution exactly the fraction mass is inside, whatever
// the number of volunteers, and the middle is inside before the ends are.
func TestWithinIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, 2)
		n, mass := rapid.IntRange(1, 40).Draw(t, "volunteers"), rapid.Float64Range(0.01, 0.99).Draw(t, "mass")
		for j := range 2 {
			mean, previous, fell := 0.0, 0.0, false
			for k := range n + 1 {
				votes := []float32{float32(k), float32(n - k)}
				if j == 1 {
					votes[0], votes[1] = votes[1], votes[0]
				}
				in := d.Place(j, float64(k), float64(n)).Within(mass)
				mean += math.Exp(d.LogProbability(votes)) * in
				if in < previous-1e-9 {
					fell = true
				} else if fell && in > previous+1e-9 {
					t.Fatalf("%+v, %d volunteers: %d votes are inside, but not fewer", d, n, k)
				}
				previous = in
			}
			if !(math.Abs(mean-mass) <= 1e-9) {
				t.Fatalf("%+v, %d volunteers: the interval of %v has %v", d, n, mass, mean)
			}
		}
	})
}

// By hand: four throws of a coin have 1, 4, 6, 4, 1 sixteenths. The middle half goes from 4 to 12
// sixteenths, and 5 to 11 are those of two heads.
func TestWithinByHand(t *testing.T) {
	d := Distribution{[]float64{0.5, 0.5}, 0}
	for k, want := range []float64{0, 1. / 4, 1, 1. / 4, 0} {
		if got := d.Place(0, float64(k), 4).Within(0.5); !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("%d heads of 4: %v inside, want %v", k, got, want)
		}
	}
}

func ExampleDistribution() {
	// Concentrations 6, 3 and 1; five volunteers.
	d := Distribution{Fractions: []float64{0.6, 0.3, 0.1}, Spread: 0.1}
	fmt.Printf("%.4f\n", math.Exp(d.LogProbability([]float32{3, 2, 0})))
	fmt.Printf("%.2f\n", d.Place(0, 3, 5).Within(0.5))
	// Output:
	// 0.1678
	// 1.00
}

// With one more vote the fractions are Dirichlet-distributed again, so the information in a vote is the mean divergence of that distribution
// from the one before. Here it is a mean over drawn fractions: H(p) − E[H(ρ)].
func TestInformationAgainstDraws(t *testing.T) {
	for _, alpha := range [][]float64{{1, 1}, {6, 3, 1}, {0.05, 0.05, 2}, {40, 60}} {
		sum := 0.0
		for _, a := range alpha {
			sum += a
		}
		d := Distribution{Spread: 1 / sum}
		for _, a := range alpha {
			d.Fractions = append(d.Fractions, a/sum)
		}
		const draws = 20000
		random, known, squares := rand.New(rand.NewPCG(1, 2)), 0.0, 0.0
		for range draws {
			rho := Distribution{}
			total := 0.0
			for _, a := range alpha {
				x := gamma(random, a)
				rho.Fractions, total = append(rho.Fractions, x), total+x
			}
			for j := range rho.Fractions {
				rho.Fractions[j] /= total
			}
			h := rho.Entropy()
			known, squares = known+h/draws, squares+h*h/draws
		}
		want, sigma := d.Entropy()-known, math.Sqrt((squares-known*known)/draws)
		if got := d.Information(); math.Abs(got-want) > 5*sigma {
			t.Errorf("α = %v: %v nats, by draws %v ± %v", alpha, got, want, sigma)
		}
	}
}

// gamma draws from the gamma distribution of shape a (Marsaglia & Tsang 2000, "A simple method for generating gamma variables").
func gamma(random *rand.Rand, a float64) float64 {
	if a < 1 {
		return gamma(random, a+1) * math.Pow(random.Float64(), 1/a)
	}
	d := a - 1.0/3
	for {
		x := random.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(random.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func TestInformationBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, rapid.IntRange(2, 7).Draw(t, "answers"))
		if got := d.Information(); !(got >= 0 && got <= d.Entropy()+1e-12) || d.Spread == 0 && got != 0 {
			t.Fatalf("%+v: %v nats of %v", d, got, d.Entropy())
		}
	})
	// α = 1, 1: H = log 2, and the mean of −2∫ x log x is 1/2.
	if got, want := (Distribution{[]float64{0.5, 0.5}, 0.5}).Information(), math.Ln2-0.5; math.Abs(got-want) > 1e-15 {
		t.Errorf("a fair coin of unknown bias: %v, want %v", got, want)
	}
	if got := (Distribution{[]float64{0.5, 0.5}, math.SmallestNonzeroFloat64}).Information(); got != 0 {
		t.Errorf("hardly any spread: %v", got)
	}
}
