package network

import (
	"slices"
	"strings"
	"testing"
)

func TestNormalise(t *testing.T) {
	for _, c := range []struct {
		text      Normalise
		mean, std []float64
		wrong     bool
	}{
		{text: ""}, {text: NormaliseByCache},
		{text: NormaliseByImageNet, mean: []float64{0.485, 0.456, 0.406}, std: []float64{0.229, 0.224, 0.225}},
		{text: "0.5:0.25", mean: []float64{0.5}, std: []float64{0.25}},
		{text: "0.1,0.2:0.3,0.4", mean: []float64{0.1, 0.2}, std: []float64{0.3, 0.4}},
		{text: "0.1,0.2:0.3", wrong: true}, {text: "0.1", wrong: true}, {text: "0.1:", wrong: true}, {text: "a:b", wrong: true}, {text: "0.1:0.2:0.3", wrong: true},
	} {
		mean, std, err := c.text.Statistics()
		if c.wrong {
			if err == nil || !strings.Contains(err.Error(), "normalise "+string(c.text)+": expected cache, imagenet, or a mean for each") {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if err != nil || !slices.Equal(mean, c.mean) || !slices.Equal(std, c.std) {
			t.Errorf("%q: %v, %v, %v", c.text, mean, std, err)
		}
		if mean != nil && NormaliseBy(mean, std) != c.text {
			t.Errorf("%q becomes %q", c.text, NormaliseBy(mean, std))
		}
	}
}

// A size has no padding that matters if no strided layer sees an even one.
func TestPaddingMatters(t *testing.T) {
	for _, n := range networks {
		for size := n.Stride; size < 300; size++ {
			even := false
			for at, stride := size, n.Stride; stride > 1; at, stride = (at+1)/2, stride/2 {
				even = even || at%2 == 0
			}
			if n.PaddingMatters(size) != even {
				t.Errorf("%s, %d px: %v", n.Name, size, !even)
			}
		}
	}
}
