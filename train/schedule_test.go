package train

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestScheduleAt(t *testing.T) {
	cosine := Schedule{Kind: Cosine, Rate: 1, Warmup: 10, Total: 110, Final: .2}
	steps := Schedule{Kind: StepDecay, Rate: 1, Total: 100, Boundaries: []float64{.5, .75}, Factor: .1}
	constant := Schedule{Kind: Constant, Rate: .3, Warmup: 3, Total: 9}
	for _, c := range []struct {
		s    Schedule
		step int64
		want float64
	}{
		{cosine, 0, .1}, {cosine, 4, .5}, {cosine, 9, 1}, {cosine, 10, 1},
		{cosine, 60, .6}, // half way, half of the fall
		{cosine, 35, .2 + .8*(1+math.Sqrt(.5))/2}, // a quarter: cos(π/4)
		{cosine, 110, .2}, {cosine, 10_000, .2},   // past the end
		{steps, 0, 1}, {steps, 49, 1}, {steps, 50, .1}, {steps, 74, .1}, {steps, 75, .01}, {steps, 99, .01},
		{constant, 0, .1}, {constant, 2, .3}, {constant, 8, .3},
		{Schedule{Kind: Cosine, Rate: 1, Warmup: 5, Total: 5}, 5, 0}, // nothing but warm-up
	} {
		if got := c.s.At(c.step); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s at step %d: %v, expected %v", c.s.Kind, c.step, got, c.want)
		}
	}
}

func TestScheduleValidate(t *testing.T) {
	for _, c := range []struct {
		s    Schedule
		want string
	}{
		{Schedule{Kind: Constant, Rate: 1, Total: 1}, ""},
		{Schedule{Kind: Constant, Total: 1}, "rate 0"},
		{Schedule{Kind: Constant, Rate: math.NaN(), Total: 1}, "rate NaN"},
		{Schedule{Kind: Constant, Rate: 1, Warmup: 2, Total: 1}, "warmup_steps 2: expected 0 to the run's 1"},
		{Schedule{Kind: Cosine, Rate: 1, Final: 2, Total: 1}, "final_rate 2"},
		{Schedule{Kind: StepDecay, Rate: 1, Factor: .1, Total: 1}, "boundaries []"},
		{Schedule{Kind: StepDecay, Rate: 1, Factor: .1, Boundaries: []float64{.9, .2}, Total: 1}, "rising"},
		{Schedule{Kind: StepDecay, Rate: 1, Factor: 2, Boundaries: []float64{.5}, Total: 1}, "factor 2"},
		{Schedule{Kind: "linear", Rate: 1, Total: 1}, `kind linear: expected constant, cosine or step`},
	} {
		err := c.s.Validate()
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.s, err, c.want)
		}
	}
}

// Every schedule, with its defaults, rises to the peak rate, stays between 0 and the peak, and
// stays at its last value.
func TestEverySchedule(t *testing.T) {
	for _, kind := range Schedules() {
		var like Plan
		like.Config.Schedule.Kind = ScheduleKind(kind)
		s := DefaultPlan(like).Config.Schedule
		s.Kind, s.Warmup, s.Total = ScheduleKind(kind), 10, 100
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if first, peak := s.At(0), s.At(10); first != s.Rate/10 || peak != s.Rate {
			t.Errorf("%s: begins at %v and rises to %v, expected %v and %v", kind, first, peak, s.Rate/10, s.Rate)
		}
		for step := range int64(200) {
			if rate := s.At(step); !(rate >= 0 && rate <= s.Rate) || step > 100 && rate != s.At(100) {
				t.Errorf("%s: the rate of step %d is %v", kind, step, rate)
			}
		}
		for _, field := range curves[ScheduleKind(kind)].takes {
			if !slices.Contains(SchedulesWith(field), kind) {
				t.Errorf("%s takes %s and is not found by it", kind, field)
			}
		}
	}
}
