package stretch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"asinh", "asinh,0.5%..99.7%,softening=0.1"},
		{"Asinh, 0%..99.7%", "asinh,0%..99.7%,softening=0.1"},
		{"asinh,softening=0.02,-1..2e3", "asinh,-1..2000,softening=0.02"},
		{"linear,-0.5..-.25", "linear,-0.5..-0.25"},
		{"sqrt,0..99.9%,joint", "sqrt,0..99.9%,joint"},
		{"log,joint,1%..99%", "log,1%..99%,joint"},
		{"lupton", "lupton,0.5%..99.7%,softening=0.1"},
		{"lupton,joint,softening=1", "lupton,0.5%..99.7%,softening=1"},
	} {
		s, err := Parse(c.text)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: %v, %v; want %s", c.text, s, err, c.want)
		}
		if again, err := Parse(s.String()); err != nil || again != s {
			t.Errorf("%s: read again it is %v, %v", s, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "expected linear, sqrt, log, asinh or lupton", "zscale": `stretch zscale: expected linear`, "none": "expected linear",
		"asinh,": "limits such as", "asinh,5%": "limits such as", "asinh,..5": "limits such as", "asinh,5..x": "a number after ..",
		"asinh,5%..101%": "percentiles from 0% to 100%", "asinh,-1%..5%": "percentiles from 0% to 100%", "asinh,NaN%..5%": "percentiles from",
		"asinh,5..5": "a lower limit below", "asinh,99%..1%": "a lower limit below", "asinh,NaN..5": "a lower limit below", "asinh,0..Inf": "a lower limit below",
		"linear,softening=1": "a softening for asinh and lupton alone", "asinh,softening=0": "a softening from 0.001 to 1000",
		"asinh,softening=1e-9": "a softening from 0.001 to 1000", "asinh,softening=x": "a number after softening=", "asinh,Joint": "limits such as",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, s, err, want)
		}
	}
}

func TestJSON(t *testing.T) {
	type holder struct {
		S Stretch `json:"s,omitzero"`
	}
	for _, s := range []Stretch{{}, Default} {
		text, err := json.Marshal(holder{s})
		if err != nil {
			t.Fatal(err)
		}
		var back holder
		if err := json.Unmarshal(text, &back); err != nil || back.S != s {
			t.Errorf("%s: %v, %v", text, back.S, err)
		}
		if s.IsZero() != (string(text) == "{}") {
			t.Errorf("%v is %s", s, text)
		}
	}
}

func anyStretch(t *rapid.T) Stretch {
	s := Stretch{Function: rapid.SampledFrom(functions).Draw(t, "function"), Joint: rapid.Bool().Draw(t, "joint")}
	if s.Function.soft() {
		s.Softening = rapid.Float64Range(.001, 10).Draw(t, "softening")
	}
	if s.Function == Lupton {
		s.Joint = false
	}
	s.Low = Limit{rapid.Float64Range(0, 40).Draw(t, "low"), true}
	s.High = Limit{rapid.Float64Range(60, 100).Draw(t, "high"), true}
	if rapid.Bool().Draw(t, "value") {
		s.Low = Limit{rapid.Float64Range(-2, 0).Draw(t, "low value"), false}
		s.High = Limit{rapid.Float64Range(.1, 9).Draw(t, "high value"), false}
	}
	return s
}

func anyBands(t *rapid.T, n int) [][]float32 {
	pixels := rapid.IntRange(2, 40).Draw(t, "pixels")
	bands := make([][]float32, n)
	for i := range bands {
		bands[i] = rapid.SliceOfN(rapid.OneOf(rapid.Float32Range(-5, 50), rapid.Just(float32(math.NaN())), rapid.SampledFrom([]float32{0, 1, float32(math.Inf(1))})), pixels, pixels).Draw(t, "band")
	}
	return bands
}

// percentile is the slow reference: the pixels sorted, and a line between two.
func percentile(values []float64, p float64) float64 {
	slices.Sort(values)
	at := p / 100 * float64(len(values)-1)
	k := int(math.Floor(at))
	above := values[min(k+1, len(values)-1)]
	return values[k] + (above-values[k])*(at-float64(k))
}

// reference is the slow reference of Apply: the unrounded levels in float64, NaN where nothing is, or nil
// for an image that is an error.
func reference(s Stretch, bands [][]float32) [][]float64 {
	f := map[Function]func(x float64) float64{
		Linear: func(x float64) float64 { return x }, Sqrt: math.Sqrt,
		Log:   func(x float64) float64 { return math.Log1p(1000*x) / math.Log(1001) },
		Asinh: func(x float64) float64 { return math.Asinh(x/s.Softening) / math.Asinh(1/s.Softening) },
	}
	f[Lupton] = f[Asinh]
	there := make([][]float64, len(bands))
	var all []float64
	for i, band := range bands {
		for _, v := range band {
			if !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
				there[i] = append(there[i], float64(v))
			}
		}
		if len(there[i]) == 0 || slices.Min(there[i]) == slices.Max(there[i]) {
			return nil
		}
		all = append(all, there[i]...)
	}
	x := make([][]float64, len(bands))
	for i, band := range bands {
		of := there[i]
		if s.Joint || s.Function == Lupton {
			of = all
		}
		low, high := s.Low.Value, s.High.Value
		if s.Low.Percentile {
			low, high = percentile(of, low), percentile(of, high)
			if low == high {
				low, high = slices.Min(of), slices.Max(of)
			}
		}
		for _, v := range band {
			place := (float64(v) - low) / (high - low)
			if math.IsInf(float64(v), 0) {
				place = math.NaN()
			}
			x[i] = append(x[i], place)
		}
	}
	for p := range x[0] {
		if s.Function != Lupton {
			for i := range x {
				x[i][p] = f[s.Function](math.Max(0, math.Min(1, x[i][p])))
			}
			continue
		}
		sum, n := 0., 0
		for i := range x {
			if !math.IsNaN(x[i][p]) {
				sum, n = sum+x[i][p], n+1
			}
		}
		largest := 1.
		for i := range x {
			if mean := sum / float64(n); mean > 0 {
				x[i][p] = math.Max(0, x[i][p]*f[Lupton](mean)/mean)
			} else {
				x[i][p] *= 0
			}
			if x[i][p] > largest {
				largest = x[i][p]
			}
		}
		for i := range x {
			x[i][p] /= largest
		}
	}
	return x
}

func TestApplyAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyStretch(t)
		n := 3
		if s.Function != Lupton {
			n = rapid.IntRange(1, 8).Draw(t, "bands")
		}
		bands := anyBands(t, n)
		dst := make([]byte, n*len(bands[0]))
		err := s.Apply(dst, bands, strings.Split("abcdefgh", ""))
		want := reference(s, bands)
		if (err == nil) != (want != nil) {
			t.Fatalf("%v of %v: %v", s, bands, err)
		}
		for i := range want {
			for p, y := range want[i] {
				got := float64(dst[p*n+i])
				if math.IsNaN(y) != (got == 0) || math.Abs(got-1-254*y) > .5+1e-9 {
					t.Fatalf("%v: band %d, pixel %d (%v): got %v, expected %v rounded", s, i, p, bands[i][p], got, 1+254*y)
				}
			}
		}
	})
}

// What Parse reads is what String writes, for every stretch that Validate accepts.
func TestString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyStretch(t)
		if again, err := Parse(s.String()); err != nil || again != s {
			t.Errorf("%v: %v, %v", s, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"asinh", "lupton,1%..99%,softening=.3", "linear,-1..1e9,joint", "log,..", "sqrt,5%..5%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(s.String()); err != nil || again != s || s.IsZero() {
			t.Fatalf("%q: %v, again %v, %v", text, s, again, err)
		}
		dst := make([]byte, 6)
		_ = s.Apply(dst, [][]float32{{1, 2}, {3, 4}, {5, float32(math.NaN())}}, []string{"a", "b", "c"})
	})
}

func TestApplyErrors(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		stretch string
		bands   [][]float32
		want    string
	}{
		{"asinh", [][]float32{{nan, nan}}, "it is blank: no pixel has a value"},
		{"linear,0..1", [][]float32{{3.5, nan, 3.5}}, "it is blank: all pixels with a value have the value 3.5"},
		{"asinh", [][]float32{{1, 2}, {nan, nan}}, "band r: it is blank"},
		{"lupton", [][]float32{{1, 2}, {1, 2}, {0, 0}}, "band z: it is blank"},
		{"linear,5..99%", [][]float32{{1, 2}}, "from 5 to 99% goes from 5 to 1.99 in this image; choose limits between 1 and 2"},
		{"linear,5..99%", [][]float32{{1, 9}, {1, 2}}, "band r: the stretch from 5"},
	} {
		s, err := Parse(c.stretch)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Apply(make([]byte, 9), c.bands, []string{"g", "r", "z"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v of %v: %v; want %q", s, c.bands, err, c.want)
		}
	}
	if err := (Stretch{Function: Lupton}).CheckBands(4); err == nil || !strings.Contains(err.Error(), "for 3 bands; these images have 4") {
		t.Error(err)
	}
}

// If most pixels are equal, so are both percentiles, and the others are still seen.
func TestFlatSky(t *testing.T) {
	band := make([]float32, 1000)
	band[7] = 5
	dst := make([]byte, 1000)
	if err := Default.Apply(dst, [][]float32{band}, nil); err != nil || dst[0] != 1 || dst[7] != 255 {
		t.Errorf("sky %d, source %d, %v", dst[0], dst[7], err)
	}
}

func ExampleParse() {
	for _, text := range []string{"asinh", "linear,0..1000", "lupton,0.5%..99.9%,softening=0.05"} {
		s, err := Parse(text)
		fmt.Println(s, err)
	}
	// Output:
	// asinh,0.5%..99.7%,softening=0.1 <nil>
	// linear,0..1000 <nil>
	// lupton,0.5%..99.9%,softening=0.05 <nil>
}

func ExampleStretch_Apply() {
	s, _ := Parse("sqrt,0..4")
	levels := make([]byte, 4)
	err := s.Apply(levels, [][]float32{{-1, 1, 9, float32(math.NaN())}}, nil)
	fmt.Printf("%d %v\n", levels, err)
	// Output: [1 128 255 0] <nil>
}

func BenchmarkApply(b *testing.B) {
	band := make([]float32, 64*64)
	for i := range band {
		band[i] = float32(math.Sin(float64(i))) + 300/float32(1+i%64)
	}
	dst := make([]byte, len(band))
	for _, f := range []Function{Asinh, Linear} {
		s, _ := Parse(string(f))
		b.Run(string(f), func(b *testing.B) {
			for b.Loop() {
				if err := s.Apply(dst, [][]float32{band}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
