package synth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/data/fits"
	"galaxy/data/imagefile"
	"galaxy/internal/usage"
	"galaxy/labels/labelstest"
)

// Every format has the pixels that the painter paints, and the labels are the same.
func TestFormats(t *testing.T) {
	const seed, count = 5, 3
	dir := t.TempDir()
	var votes []byte
	for i, c := range []struct {
		format       Format
		bands        int
		extension    string
		grey         bool
		planes, side int
	}{
		{"", 0, ".jpg", false, 3, data.ImageSide}, {JPEG, 3, ".jpg", false, 3, data.ImageSide}, {JPEG, 1, ".jpg", true, 1, data.ImageSide},
		{PNG, 0, ".png", false, 3, data.ImageSide}, {PNG, 1, ".png", true, 1, data.ImageSide},
		{FITS, 0, ".fits", false, 1, 0}, {FITS, 5, ".fits", false, 5, 0},
	} {
		out := filepath.Join(dir, strconv.Itoa(i))
		if err := Generate(context.Background(), Config{Out: out, Count: count, Seed: seed, Format: c.format, Bands: c.bands}); err != nil {
			t.Fatal(err)
		}
		labels, err := os.ReadFile(filepath.Join(out, LabelsFile))
		if i == 0 {
			votes = labels
		}
		if err != nil || !bytes.Equal(labels, votes) {
			t.Errorf("%s: other labels, %v", c.format, err)
		}
		for g := range count {
			file, err := os.ReadFile(filepath.Join(out, ImagesDir, fmt.Sprint(galaxyID(seed, g), c.extension)))
			if err != nil {
				t.Fatal(err)
			}
			if c.format == FITS {
				if pixels, side := readCutout(t, file); len(pixels) != c.planes*side*side || slices.ContainsFunc(pixels, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
					t.Errorf("FITS of %d bands: %d finite pixels of %d px", c.planes, len(pixels), side)
				}
				continue
			}
			f, err := imagefile.Open(file)
			if err != nil || f.Width != c.side || f.Height != c.side || f.Grey != c.grey || f.JPEG() != (c.extension == ".jpg") {
				t.Fatalf("%s of %d bands: %+v, %v", c.format, c.bands, f.Kind, err)
			}
			if c.format != PNG {
				continue
			}
			m, err := png.Decode(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			want := newPainter().paint(newGalaxy(seed, g), newStream(seed, g, streamSky))
			for _, at := range []image.Point{{0, 0}, {211, 212}, {100, 300}, {423, 423}} {
				colour := color.Color(want.RGBAAt(at.X, at.Y))
				if c.grey {
					colour = color.GrayModel.Convert(colour)
				}
				wr, wg, wb, _ := colour.RGBA()
				if r, g, b, _ := m.At(at.X, at.Y).RGBA(); r != wr || g != wg || b != wb {
					t.Errorf("PNG of %d bands: pixel %v is %v, want %v", c.planes, at, m.At(at.X, at.Y), colour)
				}
			}
		}
	}
}

// readCutout returns the pixels of a FITS file, plane by plane, and the side.
func readCutout(t *testing.T, file []byte) (pixels []float64, side int) {
	t.Helper()
	f, err := fits.Open(bytes.NewReader(file), int64(len(file)), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	hdu, err := f.First(fits.Image)
	if err != nil {
		t.Fatal(err)
	}
	width, height, planes, err := hdu.Shape()
	if err != nil || width != height {
		t.Fatalf("%d×%d pixels, %v", width, height, err)
	}
	for k := range planes {
		plane, err := hdu.ReadPlane(nil, k)
		if err != nil {
			t.Fatal(err)
		}
		pixels = append(pixels, plane...)
	}
	return pixels, width
}

// ring returns the mean of a plane's pixels at a distance of from to to from the middle, in r90.
func ring(plane []float32, side int, unit, from, to float64) float64 {
	sum, n := 0.0, 0.0
	for i, v := range plane {
		r := math.Hypot(float64(i%side)-float64(side-1)/2, float64(i/side)-float64(side-1)/2) / unit
		if r >= from && r < to {
			sum, n = sum+float64(v), n+1
		}
	}
	return sum / n
}

// Bulges are redder than disks, and bulge-dominated galaxies than the others: the last bands have
// more of their light than the first.
func TestCutoutsAreColoured(t *testing.T) {
	p := newPainter()
	var old, young []float64 // red over blue, in the middle
	bluer, disks := 0, 0
	for i := range 200 {
		g := newGalaxy(3, i)
		if g.kind == artifact {
			continue
		}
		pixels, side := p.cutout(g, newStream(3, i, streamSky), 3)
		n := side * side
		inner := ring(pixels[2*n:], side, p.unit, 0, .15) / ring(pixels[:n], side, p.unit, 0, .15)
		switch {
		case g.main.bulge > .7:
			old = append(old, inner)
		case g.main.bulge < .2 && g.main.young > .3:
			young = append(young, inner)
		}
		if g.main.bulge > .15 && g.main.bulge < .6 && !g.main.edgeOn && g.sky < .03 {
			outer := ring(pixels[2*n:], side, p.unit, .4, .7) / ring(pixels[:n], side, p.unit, .4, .7)
			if disks++; outer < inner {
				bluer++
			}
		}
	}
	slices.Sort(old)
	slices.Sort(young)
	if len(old) < 10 || len(young) < 10 || !(old[len(old)/2] > 1.15*young[len(young)/2]) {
		t.Errorf("red over blue is %v in the middle of bulges (%d), %v in that of young disks (%d)", old, len(old), young, len(young))
	}
	if disks < 10 || bluer < 3*disks/4 {
		t.Errorf("%d of %d disks are bluer than their bulges", bluer, disks)
	}
}

func TestBandAt(t *testing.T) {
	for _, c := range []struct {
		k, n int
		want [3]float64
	}{
		{0, 1, [3]float64{0, 1, 0}}, {0, 2, [3]float64{0, 0, 1}}, {1, 2, [3]float64{1, 0, 0}},
		{0, 3, [3]float64{0, 0, 1}}, {1, 3, [3]float64{0, 1, 0}}, {2, 3, [3]float64{1, 0, 0}},
		{1, 5, [3]float64{0, .5, .5}}, {3, 5, [3]float64{.5, .5, 0}},
	} {
		if got := bandAt(c.k, c.n); got != c.want {
			t.Errorf("band %d of %d is %v, want %v", c.k, c.n, got, c.want)
		}
	}
	for n := 1; n <= imagefile.MaxBands; n++ {
		for k := range n {
			if w := bandAt(k, n); math.Abs(w[0]+w[1]+w[2]-1) > 1e-12 || slices.Min(w[:]) < 0 {
				t.Errorf("band %d of %d has the weights %v", k, n, w)
			}
		}
	}
}

// A FITS file's rows go up: turned over, the cutout is the image.
func TestCutoutsAreUpright(t *testing.T) {
	p := newPainter()
	for i := range 8 {
		g := newGalaxy(9, i)
		pixels, side := p.cutout(g, newStream(9, i, streamSky), 1)
		m := p.paint(g, newStream(9, i, streamSky))
		var upright, turned float64
		for y := range side {
			for x := range side {
				grey := float64(m.RGBAAt(x*data.ImageSide/side, y*data.ImageSide/side).G)
				light := math.Asinh(50 * float64(pixels[(side-1-y)*side+x]))
				upright += grey * light
				turned += grey * math.Asinh(50*float64(pixels[y*side+x]))
			}
		}
		if upright <= turned {
			t.Errorf("galaxy %d: the image is more like its cutout upside down (%v, %v)", i, turned, upright)
		}
	}
}

// As many volunteers as asked for, of any schema, without changing those of later data sets.
func TestVolunteers(t *testing.T) {
	dir := t.TempDir()
	generate := func(name string, cfg Config) string {
		cfg.Out, cfg.Count, cfg.Seed = filepath.Join(dir, name), 20, 4
		if err := Generate(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(cfg.Out, LabelsFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := generate("before", Config{})
	if other := generate("other", Config{Least: 5, Most: 5}); other == before {
		t.Error("5 volunteers vote as 32 to 56 do")
	}
	if after := generate("after", Config{}); after != before {
		t.Error("one data set's volunteers are another's")
	}
	seen := map[int]bool{}
	for line := range strings.Lines(generate("counts", Config{Schema: labelstest.SmallCounts(), Least: 5, Most: 7})) {
		cells := strings.Split(strings.TrimSpace(line), ",")
		if cells[0] == "GalaxyID" {
			continue
		}
		sum := 0
		for _, cell := range cells[1:4] { // of the first question
			n, err := strconv.Atoi(cell)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		seen[sum] = true
	}
	if len(seen) != 3 || !seen[5] || !seen[6] || !seen[7] {
		t.Errorf("numbers of volunteers are %v, want 5, 6 and 7", seen)
	}
}

func TestFormatErrors(t *testing.T) {
	for _, c := range []struct {
		field string
		cfg   Config
	}{
		{"format", Config{Format: "gif"}}, {"bands", Config{Bands: 2}}, {"bands", Config{Format: PNG, Bands: 5}}, {"bands", Config{Format: FITS, Bands: 9}}, {"bands", Config{Format: FITS, Bands: -1}},
		{"volunteers", Config{Least: 5}}, {"volunteers", Config{Most: 5}}, {"volunteers", Config{Least: 6, Most: 5}}, {"volunteers", Config{Least: 1, Most: maxVolunteers + 1}},
	} {
		c.cfg.Out, c.cfg.Count = "x", 1
		var field *usage.Field
		if err := c.cfg.Validate(); !errors.As(err, &field) || field.Name != c.field {
			t.Errorf("%+v: got %v", c.cfg, err)
		}
	}
}
