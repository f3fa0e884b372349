package train

import (
	"slices"

	"galaxy/internal/usage"
)

// StepDecay multiplies the rate by Factor at each of Boundaries.
const StepDecay ScheduleKind = "step"

func init() {
	curves[StepDecay] = curve{
		takes: []string{"boundaries", "factor"},
		validate: func(s Schedule) (errs []error) {
			if !(s.Factor > 0 && s.Factor <= 1) {
				errs = append(errs, &usage.Field{Name: "factor", Got: s.Factor, Expected: "0 < factor ≤ 1"})
			}
			inside := !slices.ContainsFunc(s.Boundaries, func(b float64) bool { return !(b > 0 && b < 1) })
			if len(s.Boundaries) == 0 || !inside || !slices.IsSorted(s.Boundaries) {
				errs = append(errs, &usage.Field{Name: "boundaries", Got: s.Boundaries, Expected: "rising fractions of the run between 0 and 1"})
			}
			return errs
		},
		at: func(s Schedule, step int64) float64 {
			rate := s.Rate
			for _, b := range s.Boundaries {
				if float64(step) >= b*float64(s.Total) {
					rate *= s.Factor
				}
			}
			return rate
		},
	}
}
