package objective

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// By hand: −log p + ε·(1−p) for yes, the same in 1−p for no, and in q for the answer to a
// question.
func TestPoly1ByHand(t *testing.T) {
	ln3 := math.Log(3) // p = 3/4
	for _, test := range []struct{ epsilon, logit, label, want float64 }{
		{2, 0, 1, math.Ln2 + 1},
		{2, ln3, 1, math.Log(4.0/3) + 0.5},
		{2, ln3, 0, math.Log(4) + 1.5},
		{-0.5, ln3, 0.5, (math.Log(4.0/3) - 0.125 + math.Log(4) - 0.375) / 2},
		{0, ln3, 1, math.Log(4.0 / 3)},
	} {
		if got := (binaryPoly1{test.epsilon}).LossAt(test.logit, test.label); !(math.Abs(got-test.want) <= 1e-15*(1+test.want)) {
			t.Errorf("%+v: loss is %v", test, got)
		}
		q, y := output{logFraction: math.Log(0.75)}, 0.5
		if got, want := (categoricalPoly1{test.epsilon}).LossAt(q, y), y*(math.Log(4.0/3)+test.epsilon/4); !(math.Abs(got-want) <= 1e-15) {
			t.Errorf("epsilon %v: loss of an answer is %v, want %v", test.epsilon, got, want)
		}
	}
}

// A yes-or-no question is a column: both forms have the same posterior and inverse.
func TestPoly1FormsAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		epsilon := rapid.Float64Range(-0.99, 99).Draw(r, "epsilon")
		lone, question := binaryPoly1{epsilon}, categoricalPoly1{epsilon}
		x := rapid.Float64Range(-15, 15).Draw(r, "logit")
		fraction := lone.PosteriorAt(x)
		if got := question.PosteriorOf([]float64{x, 0})[0]; !(math.Abs(got-fraction) <= 1e-13) {
			r.Fatalf("epsilon %v, logit %v: column %v, question %v", epsilon, x, fraction, got)
		}
		if got := lone.LogitFor(fraction); !(math.Abs(got-x) <= 1e-9*(1+epsilon+1/(1-fraction))) {
			r.Fatalf("epsilon %v: logit %v stands for %v, whose logit is %v", epsilon, x, fraction, got)
		}
		logits := question.LogitsFor([]float64{fraction, 1 - fraction})
		if got := logits[0] - logits[1]; !(math.Abs(got-x) <= 1e-9*(1+epsilon+1/(1-fraction))) {
			r.Fatalf("epsilon %v: logit %v stands for %v, whose logits are %v", epsilon, x, fraction, logits)
		}
	})
}

// The posterior rises with the logit for every ε, as derived, and LogitsFor inverts it for
// questions of any size.
func TestPoly1Inverts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		epsilon := rapid.Float64Range(-0.999, 99.9).Draw(r, "epsilon")
		x := rapid.Float64Range(-15, 15).Draw(r, "logit")
		step := rapid.Float64Range(0.01, 5).Draw(r, "step")
		if low, high := (binaryPoly1{epsilon}).PosteriorAt(x), (binaryPoly1{epsilon}).PosteriorAt(x+step); !(high > low) {
			r.Fatalf("epsilon %v: logit %v stands for %v, and %v for %v", epsilon, x, low, x+step, high)
		}
		l := categoricalPoly1{epsilon}
		y := rapid.SliceOfN(rapid.Float64Range(1e-6, 1), 2, 9).Draw(r, "votes")
		sum := 0.0
		for _, v := range y {
			sum += v
		}
		for k, p := range l.PosteriorOf(l.LogitsFor(y)) {
			if !(math.Abs(p-y[k]/sum) <= 1e-9) {
				r.Fatalf("epsilon %v: answer %d is %v, want %v", epsilon, k, p, y[k]/sum)
			}
		}
	})
	for _, epsilon := range []float64{-0.5, 0, 2} {
		for label, want := range map[float64]float64{0: math.Inf(-1), 1: math.Inf(1), 0.5: 0} {
			if got := (binaryPoly1{epsilon}).LogitFor(label); got != want {
				t.Errorf("epsilon %v: LogitFor(%v) is %v, want %v", epsilon, label, got, want)
			}
		}
	}
}
