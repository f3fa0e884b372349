package train

// Constant stays at the peak rate.
const Constant ScheduleKind = "constant"

func init() {
	curves[Constant] = curve{at: func(s Schedule, _ int64) float64 { return s.Rate }}
}
