package train

import "math"

// Cosine falls along half a cosine to Final (Loshchilov & Hutter 2017,
// arXiv 1608.03983, eq. 5, without restarts).
const Cosine ScheduleKind = "cosine"

func init() {
	curves[Cosine] = curve{
		takes:    []string{"final_rate"},
		validate: Schedule.validateFinal,
		at: func(s Schedule, step int64) float64 {
			return s.Final + (s.Rate-s.Final)*(1+math.Cos(math.Pi*s.done(step)))/2
		},
	}
}
