package chart

import (
	"math"
	"strconv"
	"strings"
)

// Axis describes one axis.
type Axis struct {
	Label   string // what the axis shows and its unit: "loss", "time (h)"
	Log     bool   // logarithmic, base 10; values that are not positive leave a gap
	Percent bool   // values are fractions, which are shown as percentages
	Whole   bool   // only whole numbers have ticks: steps, counts
	Range   *Range // what the axis covers at least; nil: what the values cover
}

// Range is a closed interval on an axis.
type Range struct{ From, To float64 }

// Unit is the range of fractions and probabilities.
var Unit = &Range{0, 1}

// drawable tells whether a value has a place on the axis. The limit keeps differences of two values finite.
func (a Axis) drawable(v float64) bool {
	return math.Abs(v) <= 1e100 && (!a.Log || v >= 1e-100)
}

// text formats a value with four significant digits, or five before the decimal point.
func (a Axis) text(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a.Percent:
		return decimal(v*100, 1) + " %"
	}
	return number(v)
}

func number(v float64) string {
	size := math.Abs(v)
	switch {
	case v == math.Trunc(v) && size < 1e9:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case size >= 1e6 || size < 1e-3:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return decimal(v, max(0, 3-int(math.Floor(math.Log10(size)))))
}

// decimal formats a value with at most so many decimals.
func decimal(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		s = "0"
	}
	return grouped(s)
}

// grouped puts commas between thousands from five digits on.
func grouped(s string) string {
	whole, rest, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if len(whole) < 5 {
		return s
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return sign + whole
}

// scale maps the values of an axis to units of the drawing.
type scale struct {
	axis     Axis
	lo, hi   float64 // lo < hi, both drawable
	from, to float64 // units at lo and at hi
}

// newScale covers the drawable ones of values. margin is the fraction of the span that is added at both ends.
// It returns false if no value is drawable.
func newScale(axis Axis, values []float64, margin float64) (scale, bool) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if axis.drawable(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		return scale{axis: axis, lo: 1, hi: 2}, false
	}
	if axis.Log {
		lo, hi = math.Log10(lo), math.Log10(hi)
	}
	// Values that are nearly equal, or one value, get room on both sides, in which 10 to the power of the ends of a
	// logarithmic axis differ too.
	least, pad := max(1e-9*max(math.Abs(lo), math.Abs(hi)), 1e-99), max(math.Abs(hi)/10, 1e-90)
	switch {
	case axis.Log:
		least, pad = 1e-6, 0.1
	case hi == 0:
		pad = 1
	}
	if span := hi - lo; span <= least {
		lo, hi = lo-pad, hi+pad
	} else {
		lo, hi = lo-margin*span, hi+margin*span
	}
	if r := axis.Range; r != nil && axis.drawable(r.From) && axis.drawable(r.To) && r.From < r.To {
		from, to := r.From, r.To
		if axis.Log {
			from, to = math.Log10(from), math.Log10(to)
		}
		// The margin must not push an axis of fractions beyond 0 and 1.
		if axis.inside(values) {
			lo, hi = from, to
		}
		lo, hi = min(lo, from), max(hi, to)
	}
	if axis.Log {
		lo, hi = math.Pow(10, lo), math.Pow(10, hi)
	}
	return scale{axis: axis, lo: lo, hi: hi}, true
}

// inside tells whether all drawable values are in the axis' range.
func (a Axis) inside(values []float64) bool {
	for _, v := range values {
		if a.drawable(v) && (v < a.Range.From || v > a.Range.To) {
			return false
		}
	}
	return true
}

// at returns the place of a value, and whether it has one. A value at the end may miss it by rounding, so the
// place is kept between the ends.
func (s scale) at(v float64) (float64, bool) {
	if !s.axis.drawable(v) {
		return 0, false
	}
	lo, hi := s.lo, s.hi
	if s.axis.Log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(v)
	}
	f := min(1, max(0, (v-lo)/(hi-lo)))
	return s.from + f*(s.to-s.from), true
}

// ticks returns about count values at which to label the axis: steps of 1, 2 or 5 times a power of ten
// (Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990), on a logarithmic axis powers of ten.
// gonum's plot.DefaultTicks gives the same kind of values, but plot adds 6.7 MB of fonts and drawing backends to
// a program. The page's script has the same function for the zoom.
func (s scale) ticks(count int) []float64 {
	if s.axis.Log {
		if t := logTicks(s.lo, s.hi, count); len(t) > 1 {
			return t
		}
	}
	step := niceStep((s.hi - s.lo) / float64(max(1, count)))
	if s.axis.Whole {
		step = max(1, step)
	}
	var t []float64
	for i := math.Ceil(s.lo/step - 1e-9); i*step <= s.hi+1e-9*step && len(t) <= 2*count+2; i++ {
		t = append(t, i*step)
	}
	return t
}

// niceStep returns the step nearest to a rough one, on a logarithmic scale.
func niceStep(rough float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	switch f := rough / power; {
	case f < 1.4:
		return power
	case f < 3.2:
		return 2 * power
	case f < 7:
		return 5 * power
	}
	return 10 * power
}

func logTicks(lo, hi float64, count int) []float64 {
	first, last := math.Ceil(math.Log10(lo)-1e-9), math.Floor(math.Log10(hi)+1e-9)
	every := math.Max(1, math.Ceil((last-first+1)/float64(count+2)))
	factors := []float64{1}
	if last-first < 2 {
		factors = []float64{1, 2, 5}
		first--
	}
	var t []float64
	for p := first; p <= last; p += every {
		for _, f := range factors {
			if v := f * math.Pow(10, p); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				t = append(t, v)
			}
		}
	}
	return t
}

// tickTexts formats ticks with as many decimals as the distance between them needs.
func (a Axis) tickTexts(ticks []float64) []string {
	texts := make([]string, len(ticks))
	for i, v := range ticks {
		switch {
		case a.Log && !a.Percent && (v >= 1e6 || v < 1e-3):
			texts[i] = strconv.FormatFloat(v, 'g', 4, 64)
			continue
		case a.Log || len(ticks) < 2:
			texts[i] = a.text(v)
			continue
		}
		step, unit := ticks[1]-ticks[0], ""
		if a.Percent {
			v, step, unit = v*100, step*100, " %"
		}
		largest := max(math.Abs(ticks[0]), math.Abs(ticks[len(ticks)-1]))
		if largest >= 1e7 || step < 1e-5 {
			if math.Abs(v) < step/2 {
				v = 0
			}
			texts[i] = strconv.FormatFloat(v, 'g', 4, 64) + unit
			continue
		}
		texts[i] = decimal(v, max(0, -int(math.Floor(math.Log10(step)+1e-9)))) + unit
	}
	return texts
}
