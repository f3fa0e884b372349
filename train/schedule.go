package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ScheduleKind names how the learning rate moves over a run.
type ScheduleKind string

// The schedules.
const (
	Constant ScheduleKind = "constant"
	// StepDecay multiplies the rate by Factor at each of Boundaries.
	StepDecay ScheduleKind = "step"
	// Cosine falls along half a cosine to Final (Loshchilov & Hutter 2017,
	// arXiv 1608.03983, eq. 5, without restarts).
	Cosine ScheduleKind = "cosine"
)

// Schedule gives the learning rate of each step. Any kind can begin with a
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
	// Final is the rate Cosine ends at, 0 ≤ Final ≤ Rate.
	Final float64 `json:"final_rate"`
	// Boundaries are the shares of Total, rising in (0, 1), at which StepDecay
	// multiplies the rate by Factor, in (0, 1].
	Boundaries []float64 `json:"boundaries,omitempty"`
	Factor     float64   `json:"factor,omitempty"`
}

// Validate checks every field and says what was expected and what came.
func (s Schedule) Validate() error {
	var errs []error
	if !(s.Rate > 0) || math.IsInf(s.Rate, 0) {
		errs = append(errs, fmt.Errorf("learning rate %v: expected a number above 0", s.Rate))
	}
	if s.Warmup < 0 || s.Warmup > s.Total {
		errs = append(errs, fmt.Errorf("warm-up of %d steps: expected 0 to the run's %d", s.Warmup, s.Total))
	}
	switch s.Kind {
	case Constant:
	case Cosine:
		if s.Rate >= 0 && !(s.Final >= 0 && s.Final <= s.Rate) {
			errs = append(errs, fmt.Errorf("final learning rate %v: expected 0 to the peak rate %v", s.Final, s.Rate))
		}
	case StepDecay:
		if !(s.Factor > 0 && s.Factor <= 1) {
			errs = append(errs, fmt.Errorf("factor %v of the step schedule: expected 0 < factor ≤ 1", s.Factor))
		}
		inside := !slices.ContainsFunc(s.Boundaries, func(b float64) bool { return !(b > 0 && b < 1) })
		if len(s.Boundaries) == 0 || !inside || !slices.IsSorted(s.Boundaries) {
			errs = append(errs, fmt.Errorf("boundaries %v of the step schedule: expected rising shares of the run between 0 and 1", s.Boundaries))
		}
	default:
		errs = append(errs, fmt.Errorf("schedule %q: expected %s, %s or %s", s.Kind, Constant, StepDecay, Cosine))
	}
	return errors.Join(errs...)
}

// At returns the learning rate of the step that makes update step+1 of the run:
// the first step is 0. Past Total it stays at its last value.
func (s Schedule) At(step int64) float64 {
	if step < s.Warmup {
		return s.Rate * float64(step+1) / float64(s.Warmup)
	}
	switch s.Kind {
	case Cosine:
		done := 1.0
		if s.Total > s.Warmup {
			done = min(1, float64(step-s.Warmup)/float64(s.Total-s.Warmup))
		}
		return s.Final + (s.Rate-s.Final)*(1+math.Cos(math.Pi*done))/2
	case StepDecay:
		rate := s.Rate
		for _, b := range s.Boundaries {
			if float64(step) >= b*float64(s.Total) {
				rate *= s.Factor
			}
		}
		return rate
	default:
		return s.Rate
	}
}
