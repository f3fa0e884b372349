package stretch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"galaxy/internal/usage"
)

// A Function maps x, a pixel's place between the limits, to y. Both are from 0 to 1.
type Function string

// The functions. The softening is a. Log, Asinh and their constants are those of
// astropy.visualization.
const (
	Linear Function = "linear" // y = x
	Sqrt   Function = "sqrt"   // y = √x
	Log    Function = "log"    // y = ln(1000·x + 1) / ln 1001
	Asinh  Function = "asinh"  // y = asinh(x/a) / asinh(1/a)
	// Lupton is Asinh of the mean of three bands. Each band keeps its ratio to the mean (Lupton et al.
	// 2004, PASP 116, 133), which preserves colours. If a band would be above 1, all three are
	// divided by the largest.
	Lupton Function = "lupton"
)

var functions = []Function{Linear, Sqrt, Log, Asinh, Lupton}

func (f Function) soft() bool { return f == Asinh || f == Lupton }

// A Limit is the pixel value where a stretch starts or ends.
type Limit struct {
	// Value is the pixel value, or the percentile, 0 to 100.
	Value float64
	// Percentile means that Value is a percentile of the pixels of each image.
	Percentile bool
}

func (l Limit) String() string {
	text := strconv.FormatFloat(l.Value, 'g', -1, 64)
	if l.Percentile {
		text += "%"
	}
	return text
}

// A Stretch maps pixel values from Low to High to 1…255. Values outside are clipped. The zero value is
// no stretch, for images that have 8 bits already. Stretches can be compared by ==.
type Stretch struct {
	Function  Function
	Low, High Limit
	// Softening is the a of Asinh and Lupton: below it they are nearly linear. 0 for the others.
	Softening float64
	// Joint means that percentiles are those of all bands of an image together, which keeps the
	// ratios between bands. Otherwise each band has its own. Those of Lupton are always joint,
	// and Joint is false.
	Joint bool
}

// Default is the stretch of images that need one if nothing else is asked for. It keeps the sky's noise
// dark and the arms of galaxies visible.
var Default = Stretch{Function: Asinh, Low: Limit{0.5, true}, High: Limit{99.7, true}, Softening: 0.1}

// IsZero reports whether s is no stretch.
func (s Stretch) IsZero() bool { return s == Stretch{} }

// grammar describes what Parse reads.
const grammar = "linear, sqrt, log, asinh or lupton, and after commas, if you like, limits such as 0.5%..99.7% or -0.1..20, softening=0.1, joint"

// Parse reads a stretch as a person writes it: a function, and after commas in any order LOW..HIGH,
// each a percentile with % or a pixel value, softening=A and the word joint. What is not given is as in
// Default. Examples are "asinh", "linear,0%..100%,joint" and "asinh,-0.05..20,softening=0.02".
func Parse(text string) (Stretch, error) {
	name, rest, more := strings.Cut(text, ",")
	s := Default
	s.Function = Function(strings.ToLower(strings.TrimSpace(name)))
	if !slices.Contains(functions, s.Function) {
		return Stretch{}, wrong(text, grammar)
	}
	if !s.Function.soft() {
		s.Softening = 0
	}
	for more {
		var word string
		word, rest, more = strings.Cut(rest, ",")
		if err := s.set(strings.TrimSpace(word)); err != nil {
			return Stretch{}, wrong(text, err.Error())
		}
	}
	if s.Function == Lupton {
		s.Joint = false
	}
	return s, s.Validate()
}

// set reads one of the words after the function. The error is what was expected.
func (s *Stretch) set(word string) (err error) {
	if word == "joint" {
		s.Joint = true
		return nil
	}
	if number, ok := strings.CutPrefix(word, "softening="); ok {
		if s.Softening, err = strconv.ParseFloat(number, 64); err != nil {
			return fmt.Errorf("a number after softening=, such as 0.1")
		}
		return nil
	}
	low, high, ok := strings.Cut(word, "..")
	if s.Low, err = parseLimit(low); err != nil || !ok {
		return fmt.Errorf("%s", grammar)
	}
	if s.High, err = parseLimit(high); err != nil {
		return fmt.Errorf("a number after .., or a percentile such as 99.7%%")
	}
	return nil
}

func parseLimit(text string) (l Limit, err error) {
	text, l.Percentile = strings.CutSuffix(text, "%")
	l.Value, err = strconv.ParseFloat(text, 64)
	return l, err
}

func wrong(text, expected string) error {
	return &usage.Field{Name: "stretch", Got: text, Expected: expected}
}

// String returns the text that Parse reads, with all limits, and "none" for no stretch.
func (s Stretch) String() string {
	if s.IsZero() {
		return "none"
	}
	text := fmt.Sprintf("%s,%v..%v", s.Function, s.Low, s.High)
	if s.Function.soft() {
		text += ",softening=" + strconv.FormatFloat(s.Softening, 'g', -1, 64)
	}
	if s.Joint {
		text += ",joint"
	}
	return text
}

// MarshalText returns String. A field of a Stretch needs the option omitzero: no stretch has no text.
func (s Stretch) MarshalText() ([]byte, error) { return []byte(s.String()), s.Validate() }

// UnmarshalText is Parse.
func (s *Stretch) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}

// Validate returns an error for settings out of range. No stretch is valid.
func (s Stretch) Validate() error {
	const most = 1000.0
	percentile := func(l Limit) bool { return l.Percentile && !(l.Value >= 0 && l.Value <= 100) }
	value := func(l Limit) bool { return math.IsNaN(l.Value) || math.IsInf(l.Value, 0) }
	switch {
	case s.IsZero():
		return nil
	case !slices.Contains(functions, s.Function):
		return wrong(s.String(), grammar)
	case percentile(s.Low) || percentile(s.High):
		return wrong(s.String(), "percentiles from 0% to 100%")
	case value(s.Low) || value(s.High) || s.Low.Percentile == s.High.Percentile && s.Low.Value >= s.High.Value:
		return wrong(s.String(), "a lower limit below the upper one")
	case !s.Function.soft() && s.Softening != 0:
		return wrong(s.String(), "a softening for asinh and lupton alone")
	case s.Function.soft() && !(s.Softening >= 1/most && s.Softening <= most):
		return wrong(s.String(), fmt.Sprintf("a softening from %v to %v", 1/most, most))
	}
	return nil
}

// CheckBands returns an error if s is not for images of n bands.
func (s Stretch) CheckBands(n int) error {
	if s.Function == Lupton && n != 3 {
		return &usage.Field{Name: "stretch", Got: s, Expected: fmt.Sprintf("another function than lupton, which is for 3 bands; these images have %d", n), Try: "asinh is the same for any number of bands"}
	}
	return nil
}

// Apply stretches an image of len(bands) bands, each float32 [pixels], and fills dst, uint8
// [pixels, len(bands)] in row-major order. A pixel that is not finite becomes 0: nothing is there.
// All others become 1 + 254·y, rounded to nearest.
//
// Percentiles are interpolated linearly between pixels, as in numpy.percentile. If both limits are
// percentiles and have the same value, the limits are the smallest and the largest pixel.
//
// These are errors, which name the band by names unless there is one: a band where nothing is there, a
// band with one value everywhere, and limits that are not ascending in this image.
func (s Stretch) Apply(dst []byte, bands [][]float32, names []string) error {
	limits := make([]limits, len(bands))
	finite := make([]float32, 0, len(bands)*len(bands[0]))
	for i, band := range bands {
		first := len(finite)
		for _, v := range band {
			if isFinite(v) {
				finite = append(finite, v)
			}
		}
		err := checkBlank(finite[first:])
		if err == nil && !s.joint() {
			limits[i], err = s.limits(finite)
			finite = finite[:0]
		}
		if err != nil && len(bands) > 1 {
			err = fmt.Errorf("band %s: %w", names[i], err)
		}
		if err != nil {
			return err
		}
	}
	if s.joint() {
		all, err := s.limits(finite)
		if err != nil {
			return err
		}
		for i := range limits {
			limits[i] = all
		}
	}
	if s.Function == Lupton {
		s.colours(dst, bands, limits[0])
		return nil
	}
	f := s.function()
	for i, band := range bands {
		for p, v := range band {
			level := byte(0)
			if isFinite(v) {
				level = toLevel(f(min(max(limits[i].place(v), 0), 1)))
			}
			dst[p*len(bands)+i] = level
		}
	}
	return nil
}

// colours is Apply for Lupton.
func (s Stretch) colours(dst []byte, bands [][]float32, between limits) {
	f := s.function()
	var x [3]float64
	for p := range bands[0] {
		sum, n := 0., 0.
		for i, band := range bands {
			if isFinite(band[p]) {
				x[i] = between.place(band[p])
				sum += x[i]
				n++
			}
		}
		factor, largest := 0., 1.
		if mean := sum / n; mean > 0 {
			factor = f(mean) / mean
			for i, band := range bands {
				if isFinite(band[p]) {
					largest = max(largest, x[i]*factor)
				}
			}
		}
		for i, band := range bands {
			level := byte(0)
			if isFinite(band[p]) {
				level = toLevel(max(x[i]*factor, 0) / largest)
			}
			dst[3*p+i] = level
		}
	}
}

func (s Stretch) joint() bool { return s.Joint || s.Function == Lupton }

func isFinite(v float32) bool { return v-v == 0 }

// toLevel is the byte of y, from 0 to 1. 0 is kept for pixels where nothing is.
func toLevel(y float64) byte { return 1 + byte(254*y+.5) }

// function returns the map from x to y; of Lupton, that of the mean.
func (s Stretch) function() func(x float64) float64 {
	switch s.Function {
	case Sqrt:
		return math.Sqrt
	case Log:
		const a = 1000
		return func(x float64) float64 { return math.Log(a*x+1) / math.Log(a+1) }
	case Asinh, Lupton:
		a, scale := 1/s.Softening, 1/math.Asinh(1/s.Softening)
		return func(x float64) float64 { return math.Asinh(x*a) * scale }
	}
	return func(x float64) float64 { return x }
}

// limits are the pixel values between which an image is stretched.
type limits struct{ low, high float64 }

// place is 0 at the lower limit and 1 at the upper one.
func (l limits) place(v float32) float64 { return (float64(v) - l.low) / (l.high - l.low) }

// checkBlank returns an error for pixels that show nothing.
func checkBlank(finite []float32) error {
	if len(finite) == 0 {
		return fmt.Errorf("it is blank: no pixel has a value (all are NaN, infinite or BLANK)")
	}
	for _, v := range finite {
		if v != finite[0] {
			return nil
		}
	}
	return fmt.Errorf("it is blank: all pixels with a value have the value %v", finite[0])
}

// limits returns those of an image with these pixels, which differ, and changes their order.
func (s Stretch) limits(finite []float32) (limits, error) {
	l := limits{s.Low.of(finite), s.High.of(finite)}
	if l.low == l.high && s.Low.Percentile && s.High.Percentile {
		l = limits{float64(slices.Min(finite)), float64(slices.Max(finite))}
	}
	if l.low >= l.high {
		return l, fmt.Errorf("the stretch from %v to %v goes from %v to %v in this image; choose limits between %v and %v, or percentiles",
			s.Low, s.High, l.low, l.high, slices.Min(finite), slices.Max(finite))
	}
	return l, nil
}

// of returns the pixel value of a limit, and changes the order of the pixels.
func (l Limit) of(finite []float32) float64 {
	if !l.Percentile {
		return l.Value
	}
	at := l.Value / 100 * float64(len(finite)-1)
	k := min(int(at), len(finite)-1)
	partition(finite, k)
	low := float64(finite[k])
	if k+1 == len(finite) {
		return low
	}
	next := float64(slices.Min(finite[k+1:]))
	return low + (next-low)*(at-float64(k))
}

// partition moves the k-th smallest value to place k, with none above it before and none below it
// after (Hoare's quickselect). Sorting takes most of the time of a stretch.
func partition[T cmp.Ordered](v []T, k int) {
	for low, high := 0, len(v)-1; low < high; {
		pivot := v[low+(high-low)/2]
		i, j := low, high
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return
		}
	}
}
