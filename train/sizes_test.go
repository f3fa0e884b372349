package train

import (
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	s := Sizes{{32, 10}, {48, 30}}
	for step, want := range map[int64]int{0: 32, 9: 32, 10: 48, 29: 48, 30: 0, 99: 0} {
		if got := s.At(step); got != want {
			t.Errorf("size %d at step %d, want %d", got, step, want)
		}
	}
	if got := Sizes(nil).At(5); got != 0 {
		t.Errorf("size %d without a schedule", got)
	}
	for _, test := range []struct {
		sizes Sizes
		want  string
	}{
		{s, ""}, {nil, ""},
		{Sizes{{16, 10}}, "16 px"},
		{Sizes{{80, 10}}, "80 px"},
		{Sizes{{32, 10}, {48, 10}}, "48 px from step 10 to 10"},
		{Sizes{{32, 0}}, "from step 0 to 0"},
		{Sizes{{32, 101}}, "the run's 100 steps"},
		{Sizes{{32, 100}}, "to all pixels"},
	} {
		err := test.sizes.Validate(32, 64, 100)
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %q", test.sizes, err, test.want)
		}
	}
}
