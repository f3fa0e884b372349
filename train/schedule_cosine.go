package train

import (
	"fmt"
	"math"

	"galaxy/internal/usage"
)

// Cosine falls along half a cosine to Final (Loshchilov & Hutter 2017,
// arXiv 1608.03983, eq. 5, without restarts).
const Cosine ScheduleKind = "cosine"

func init() {
	curves[Cosine] = curve{
		takes: []string{"final_rate"},
		validate: func(s Schedule) (errs []error) {
			if s.Rate >= 0 && !(s.Final >= 0 && s.Final <= s.Rate) {
				errs = append(errs, &usage.Field{Name: "final_rate", Got: s.Final, Expected: fmt.Sprintf("0 to the peak rate %v", s.Rate)})
			}
			return errs
		},
		at: func(s Schedule, step int64) float64 {
			done := 1.0
			if s.Total > s.Warmup {
				done = min(1, float64(step-s.Warmup)/float64(s.Total-s.Warmup))
			}
			return s.Final + (s.Rate-s.Final)*(1+math.Cos(math.Pi*done))/2
		},
	}
}
