package main

import (
	"math"
	"slices"
	"strings"
	"testing"
)

type given []float32

func (g given) Predict([]byte) (logits, probabilities []float32, err error) { return nil, g, nil }

// Logits are not accepted as probabilities; rounding errors are, and so are values that
// are not finite, which a later check names.
func TestCheckedProbabilities(t *testing.T) {
	for _, good := range []given{{0, 1, .5, -1e-4, 1 + 1e-4, float32(math.NaN())}, nil} {
		_, got, err := checked{good, "model", 3}.Predict(nil)
		if err != nil || len(got) != len(good) || len(got) > 0 && !slices.Equal(got[:5], good[:5]) {
			t.Errorf("%v became %v, %v", good, got, err)
		}
	}
	for _, c := range []struct {
		bad  given
		want string
	}{
		{given{0, 1, .5, .5, -.17, 0}, "SavedModel model gives -0.17 as a probability (answer 2): if that output holds logits, name it by --logits"},
		{given{0, 1, 1.25}, "gives 1.25 as a probability (answer 3)"},
		{given{float32(math.Inf(1)), 1, 1}, "gives +Inf as a probability (answer 1)"},
	} {
		if _, _, err := (checked{c.bad, "model", 3}).Predict(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.bad, err, c.want)
		}
	}
}
