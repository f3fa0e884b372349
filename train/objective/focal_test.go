package objective

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"galaxy/focal"
)

// By hand: −α·y·(1−q)^γ·log q.
func TestFocalByHand(t *testing.T) {
	for _, test := range []struct{ alpha, gamma, q, want float64 }{
		{0.25, 2, 0.75, 0.25 * math.Log(4.0/3) / 16},
		{0.25, 2, 0.25, 0.25 * math.Log(4) * 9 / 16},
		{0.5, 0, 0.25, 0.5 * math.Log(4)},
		{0.5, 1, 1, 0},
	} {
		l := categoricalFocal{test.alpha, test.gamma}
		if got := l.LossAt(output{logFraction: math.Log(test.q)}, 1); !(math.Abs(got-test.want) <= 1e-15) {
			t.Errorf("%+v: loss is %v", test, got)
		}
	}
}

// A yes-or-no question is a column whose yes and no have equal weight: both forms have the same
// loss, posterior and inverse.
func TestFocalFormsAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		gamma := rapid.Float64Range(0, 8).Draw(r, "gamma")
		lone, question := focal.Params{Alpha: 0.5, Gamma: gamma}, categoricalFocal{0.5, gamma}
		x, y := rapid.Float64Range(-12, 12).Draw(r, "logit"), rapid.Float64Range(0, 1).Draw(r, "label")
		loss := question.LossAt(output{logFraction: logSigmoid(x)}, y) + question.LossAt(output{logFraction: logSigmoid(-x)}, 1-y)
		if want := lone.LossAt(x, y); !(math.Abs(loss-want) <= 1e-12*(1+want)) {
			r.Fatalf("gamma %v, logit %v, label %v: column %v, question %v", gamma, x, y, want, loss)
		}
		fraction := lone.PosteriorAt(x)
		if got := question.PosteriorOf([]float64{x, 0})[0]; !(math.Abs(got-fraction) <= 1e-11) {
			r.Fatalf("gamma %v, logit %v: column %v, question %v", gamma, x, fraction, got)
		}
		if fraction < 1e-9 || fraction > 1-1e-9 {
			return // the inverse separates nothing there
		}
		logits := question.LogitsFor([]float64{fraction, 1 - fraction})
		if got := logits[0] - logits[1]; !(math.Abs(got-x) <= 1e-5) {
			r.Fatalf("gamma %v: logit %v stands for %v, whose logits are %v", gamma, x, fraction, logits)
		}
	})
}

// LogitsFor inverts the posterior of questions of any size, with any constant.
func TestFocalInverts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := categoricalFocal{0.25, rapid.Float64Range(0, focal.MaxGamma).Draw(r, "gamma")}
		y := rapid.SliceOfN(rapid.Float64Range(1e-6, 1), 2, 9).Draw(r, "votes")
		sum := 0.0
		for _, v := range y {
			sum += v
		}
		for k, p := range l.PosteriorOf(l.LogitsFor(y)) {
			if !(math.Abs(p-y[k]/sum) <= 1e-9) {
				r.Fatalf("gamma %v: answer %d is %v, want %v", l.gamma, k, p, y[k]/sum)
			}
		}
	})
}
