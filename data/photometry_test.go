package data

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data/imagefile"
)

// drawn is a picture of light on a noisy sky, uint8 [size, size, 3]: the level
// above the sky at (x, y) of every channel is of(x, y).
func drawn(size int, sky, noise float64, of func(x, y float64) float64) []byte {
	random := rand.New(rand.NewPCG(4, 2))
	image := make([]byte, 0, size*size*3)
	for y := range size {
		for x := range size {
			level := of(float64(x)+0.5, float64(y)+0.5)
			for range 3 {
				v := sky + level + noise*random.NormFloat64()
				image = append(image, uint8(math.Round(min(max(v, 0), 255))))
			}
		}
	}
	return image
}

func photometer(size, crop int) *Photometer {
	return NewPhotometer(Manifest{Size: size, Crop: imagefile.Crop(crop)})
}

// A disk of one level has its half-light area by hand: half of its pixels.
func TestMeasureByHand(t *testing.T) {
	// 12 pixels of 40 above the sky of 10: half the light is 6 of them.
	image := drawn(16, 10, 0, func(x, y float64) float64 {
		if x > 6 && x < 10 && y > 7 && y < 10 {
			return 40
		}
		return 0
	})
	got := photometer(16, 32).Measure(image)
	want := Photometry{Radius: 2 * math.Sqrt(6/math.Pi), Brightness: 40}
	if math.Abs(got.Radius-want.Radius) > 1e-12 || math.Abs(got.Brightness-want.Brightness) > 1e-12 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// One pixel of 100 and eight of 20, in a square: 130 of 260 are the one and
	// 1.5 of the eight.
	image = drawn(16, 10, 0, func(x, y float64) float64 {
		switch dx, dy := math.Abs(x-7.5), math.Abs(y-7.5); {
		case dx+dy == 0:
			return 100
		case dx <= 1 && dy <= 1:
			return 20
		}
		return 0
	})
	got = photometer(16, 16).Measure(image)
	want = Photometry{Radius: math.Sqrt(2.5 / math.Pi), Brightness: 130 / 2.5}
	if math.Abs(got.Radius-want.Radius) > 1e-12 || math.Abs(got.Brightness-want.Brightness) > 1e-12 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An elliptical Gaussian of half axes a and b has half of its light within
// √(2 ln 2)·√(ab), where its mean is peak·½/ln 2. The light that the
// threshold cuts off makes the radius a little smaller; neighbours that do not
// touch change nothing.
func TestMeasureGaussians(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size, crop = 64, 224
		a := rapid.Float64Range(3, 8).Draw(t, "a")
		b := a * rapid.Float64Range(0.5, 1).Draw(t, "axis ratio")
		angle := rapid.Float64Range(0, math.Pi).Draw(t, "angle")
		peak := rapid.Float64Range(100, 220).Draw(t, "peak")
		noise := rapid.Float64Range(0, 2).Draw(t, "noise")
		cx, cy := 32+rapid.Float64Range(-2, 2).Draw(t, "dx"), 32+rapid.Float64Range(-2, 2).Draw(t, "dy")
		sin, cos := math.Sincos(angle)
		image := drawn(size, 8, noise, func(x, y float64) float64 {
			u, v := (x-cx)*cos+(y-cy)*sin, (y-cy)*cos-(x-cx)*sin
			star := 240 * math.Exp(-((x-3)*(x-3)+(y-30)*(y-30))/2)
			return peak*math.Exp(-u*u/(2*a*a)-v*v/(2*b*b)) + star
		})
		got := photometer(size, crop).Measure(image)
		radius := float64(crop) / size * math.Sqrt(2*math.Ln2*a*b)
		if ratio := got.Radius / radius; !(ratio > 0.88 && ratio < 1.02) {
			t.Errorf("radius %.2f is %.3f of the true one", got.Radius, ratio)
		}
		if ratio := got.Brightness / (peak / (2 * math.Ln2)); !(ratio > 0.98 && ratio < 1.1) {
			t.Errorf("brightness %.2f is %.3f of the true one", got.Brightness, ratio)
		}
	})
}

// Whatever the pixels, the figures are finite and possible.
func TestMeasureAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 12).Draw(t, "size")
		image := rapid.SliceOfN(rapid.Byte(), size*size*3, size*size*3).Draw(t, "pixels")
		p := photometer(size, 2*size)
		got := p.Measure(image)
		if !(got.Radius >= 0 && got.Radius <= 2*float64(size)) || !(got.Brightness >= 0 && got.Brightness <= 255) ||
			(got.Radius == 0) != (got.Brightness == 0) {
			t.Errorf("got %+v", got)
		}
		if again := p.Measure(image); again != got {
			t.Errorf("then %+v", again)
		}
	})
}

func TestMeasureNothing(t *testing.T) {
	p := photometer(64, 224)
	for name, image := range map[string][]byte{
		"black": make([]byte, 64*64*3),
		"noise": drawn(64, 20, 0.5, func(_, _ float64) float64 { return 0 }),
		"off the middle": drawn(64, 20, 0.5, func(x, y float64) float64 {
			return 200 * math.Exp(-((x-50)*(x-50)+(y-50)*(y-50))/4)
		}),
	} {
		if got := p.Measure(image); got != (Photometry{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func BenchmarkMeasure(b *testing.B) {
	for _, size := range []int{64, 128} {
		b.Run(map[int]string{64: "64px", 128: "128px"}[size], func(b *testing.B) {
			s := float64(size) / 8
			image := drawn(size, 8, 2, func(x, y float64) float64 {
				return 200 * math.Exp(-((x-4*s)*(x-4*s)+(y-4*s)*(y-4*s))/(2*s*s))
			})
			p := photometer(size, 224)
			for b.Loop() {
				p.Measure(image)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
