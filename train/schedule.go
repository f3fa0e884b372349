package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"galaxy/internal/usage"
)

// ScheduleKind names how the learning rate changes over a run. Each kind has its own file.
type ScheduleKind string

// curve describes how a kind of schedule changes the rate after the warm-up.
type curve struct {
	// takes lists the fields of Schedule, as in config.json, that apply to this kind.
	takes []string
	// validate, if set, checks those fields.
	validate func(s Schedule) []error
	// at returns the rate of a step, counted from 0, after the warm-up.
	at func(s Schedule, step int64) float64
}

// curves holds the schedules by kind.
var curves = map[ScheduleKind]curve{}

// Schedules returns the names of the schedules, sorted.
func Schedules() []string {
	var names []string
	for _, k := range slices.Sorted(maps.Keys(curves)) {
		names = append(names, string(k))
	}
	return names
}

// SchedulesWith returns the names of the schedules that use a field of Schedule, given by its
// name in config.json.
func SchedulesWith(field string) []string {
	return slices.DeleteFunc(Schedules(), func(name string) bool { return !slices.Contains(curves[ScheduleKind(name)].takes, field) })
}

// Schedule gives the learning rate of each step. Any kind can start with a
// linear warm-up (Goyal et al. 2017, arXiv 1706.02677, §2.2).
type Schedule struct {
	Kind ScheduleKind `json:"kind"`
	// Rate is the peak learning rate, above 0.
	Rate float64 `json:"rate"`
	// Warmup is the number of steps over which the rate rises linearly to
	// Rate; 0 is none. Step i < Warmup runs at Rate·(i+1)/Warmup.
	Warmup int64 `json:"warmup_steps"`
	// Total is the number of steps of the run; Cosine ends there.
	Total int64 `json:"total_steps"`
	// Final is the rate that Cosine ends at, 0 ≤ Final ≤ Rate.
	Final float64 `json:"final_rate"`
	// Boundaries are the fractions of Total, rising in (0, 1), at which StepDecay
	// multiplies the rate by Factor, in (0, 1].
	Boundaries []float64 `json:"boundaries,omitempty"`
	Factor     float64   `json:"factor,omitempty"`
}

// Validate checks every field. Its errors are usage.Fields.
func (s Schedule) Validate() error {
	var errs []error
	if !(s.Rate > 0) || math.IsInf(s.Rate, 0) {
		errs = append(errs, &usage.Field{Name: "rate", Got: s.Rate, Expected: "a number above 0"})
	}
	if s.Warmup < 0 || s.Warmup > s.Total {
		errs = append(errs, &usage.Field{Name: "warmup_steps", Got: s.Warmup, Expected: fmt.Sprintf("0 to the run's %d steps", s.Total)})
	}
	c, ok := curves[s.Kind]
	if !ok {
		errs = append(errs, &usage.Field{Name: "kind", Got: s.Kind, Expected: usage.OneOf(Schedules())})
	} else if c.validate != nil {
		errs = append(errs, c.validate(s)...)
	}
	return errors.Join(errs...)
}

// At returns the learning rate of a step; the first step is 0. After Total it
// stays at its last value.
func (s Schedule) At(step int64) float64 {
	if step < s.Warmup {
		return s.Rate * float64(step+1) / float64(s.Warmup)
	}
	c, ok := curves[s.Kind]
	if !ok { // Validate rejects this
		return s.Rate
	}
	return c.at(s, step)
}

// done returns the fraction of the steps after the warm-up that precede step, at most 1.
func (s Schedule) done(step int64) float64 {
	if s.Total <= s.Warmup {
		return 1
	}
	return min(1, float64(step-s.Warmup)/float64(s.Total-s.Warmup))
}

// validateFinal checks Final, for the schedules that end at it.
func (s Schedule) validateFinal() []error {
	if s.Rate >= 0 && !(s.Final >= 0 && s.Final <= s.Rate) {
		return []error{&usage.Field{Name: "final_rate", Got: s.Final, Expected: fmt.Sprintf("0 to the peak rate %v", s.Rate)}}
	}
	return nil
}
