//go:build parity

package parity

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	pixels "galaxy/data/stretch"
)

// stretchCase is an image that stretch.py stretches.
type stretchCase struct {
	Function   pixels.Function `json:"function"`
	Low        float64         `json:"low"`
	High       float64         `json:"high"`
	Percentile bool            `json:"percentile"`
	Joint      bool            `json:"joint"`
	Softening  float64         `json:"softening"`
	Bands      int             `json:"bands"`
	Pixels     int             `json:"pixels"`
}

// TestStretch compares every function, with limits of both kinds, per band and joint, with
// astropy.visualization, and Lupton's with make_lupton_rgb: every level is the exact one, rounded.
func TestStretch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var cases []stretchCase
	var raw []byte
	for i := range 200 {
		c := stretchCase{
			Function: []pixels.Function{pixels.Linear, pixels.Sqrt, pixels.Log, pixels.Asinh, pixels.Lupton}[i%5],
			Low:      5 * r.Float64(), High: 90 + 10*r.Float64(), Percentile: i/5%2 == 0, Joint: i/10%2 == 0, Bands: 1 + r.IntN(8), Pixels: 500,
		}
		if !c.Percentile {
			c.Low, c.High = -2*r.Float64(), 5+30*r.Float64()
		}
		if c.Function == pixels.Asinh || c.Function == pixels.Lupton {
			c.Softening = math.Pow(10, -2+2*r.Float64())
		}
		if c.Function == pixels.Lupton {
			c.Bands, c.Joint = 3, false
		}
		for k := range c.Bands * c.Pixels {
			v := r.NormFloat64() + 100*math.Exp(-20*r.Float64())*float64(1+k/c.Pixels)
			if r.IntN(20) == 0 && c.Function != pixels.Lupton { // where astropy's is undefined
				v = math.NaN()
			}
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		}
		cases = append(cases, c)
	}
	folder := t.TempDir()
	question := map[string]any{"cases": cases, "values": filepath.Join(folder, "values"), "levels": filepath.Join(folder, "levels")}
	must(t, os.WriteFile(filepath.Join(folder, "values"), raw, 0o666))
	ask(t, "stretch.py", question, new(any))
	levels, err := os.ReadFile(filepath.Join(folder, "levels"))
	must(t, err)
	compared := 0
	for _, c := range cases {
		s := pixels.Stretch{
			Function: c.Function, Low: pixels.Limit{Value: c.Low, Percentile: c.Percentile}, High: pixels.Limit{Value: c.High, Percentile: c.Percentile},
			Softening: c.Softening, Joint: c.Joint,
		}
		must(t, s.Validate())
		bands := make([][]float32, c.Bands)
		for i := range bands {
			for range c.Pixels {
				bands[i] = append(bands[i], math.Float32frombits(binary.LittleEndian.Uint32(raw)))
				raw = raw[4:]
			}
		}
		dst := make([]byte, c.Bands*c.Pixels)
		must(t, s.Apply(dst, bands, make([]string, c.Bands)))
		for i := range bands {
			for p := range c.Pixels {
				want := math.Float64frombits(binary.LittleEndian.Uint64(levels))
				levels = levels[8:]
				got := dst[p*c.Bands+i]
				if math.IsNaN(want) != (got == 0) || math.Abs(float64(got)-1-254*want) > .5+1e-6 {
					t.Fatalf("%v, band %d of %d, pixel %d (%v): %d, expected %v rounded", s, i, c.Bands, p, bands[i][p], got, 1+254*want)
				}
				compared++
			}
		}
	}
	t.Logf("%d pixels of %d images", compared, len(cases))
}
