package synth

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data"
)

// blank returns a painter with an empty square grid of n detector pixels, of
// which unit make up r90.
func blank(n int, unit float64) *painter {
	p := newPainter()
	p.n, p.unit, p.scale = n, unit, 1
	p.cx, p.cy = float64(n/2), float64(n/2)
	return p
}

// light returns the sum of the first plane and the variance of its
// distribution along the two axes.
func light(p *painter) (sum, varX, varY float64) {
	var x, y, xx, yy float64
	for j := range p.n {
		for i := range p.n {
			v := float64(p.plane[0][j*p.n+i])
			sum += v
			x += v * float64(i)
			y += v * float64(j)
			xx += v * float64(i) * float64(i)
			yy += v * float64(j) * float64(j)
		}
	}
	return sum, xx/sum - x/sum*x/sum, yy/sum - y/sum*y/sum
}

func near(t interface{ Errorf(string, ...any) }, what string, got, want, relative float64) {
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %v, want %v to within %g of it", what, got, want, relative)
	}
}

// A tabulated Sérsic profile holds the light asked for, half of it within the
// half-light radius.
func TestProfile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Float64Range(1, 4).Draw(t, "n")
		q := rapid.Float64Range(0.2, 1).Draw(t, "q")
		re := rapid.Float64Range(0.05, 0.5).Draw(t, "re")
		want := rapid.Float64Range(0.1, 10).Draw(t, "light")
		p := newProfile(want, re, n, q, 60*re)
		sum, half := 0.0, 0.0
		const steps = 60_000
		for i := range steps {
			r := (float64(i) + 0.5) / steps * 60 * re
			ring := 2 * math.Pi * q * r * p.at(r) * 60 * re / steps
			sum += ring
			if r < re {
				half += ring
			}
		}
		near(t, "light", sum, want, 0.03)
		near(t, "light within re", half, want/2, 0.03)
	})
}

func TestBlurIsAGaussian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sigma := rapid.Float64Range(0.8, 4).Draw(t, "sigma")
		p := blank(41, 10)
		p.plane[0][20*41+20] = 1
		p.blur(sigma)
		sum, varX, varY := light(p)
		near(t, "light", sum, 1, 1e-5)
		// Cutting the kernel at three sigma loses 3 % of its variance.
		near(t, "variance along x", varX, sigma*sigma, 0.05)
		near(t, "variance along y", varY, sigma*sigma, 0.05)
	})
}

func TestBlobHoldsItsLight(t *testing.T) {
	p := blank(81, 20)
	p.blob(0.1, -0.2, 0.15, 2, rgb{1, 1, 1})
	sum, varX, _ := light(p)
	near(t, "light", sum/(20*20), 2, 0.01)
	near(t, "variance", varX, 9, 0.05)
}

// A painted elliptical has its light, axis ratio and angle.
func TestDrawBody(t *testing.T) {
	p := blank(301, 50)
	b := body{size: 1, light: 3, bulge: 1, bulgeN: 1, bulgeRe: 0.3, bulgeQ: 0.5, bulgePow: 2, oldColour: rgb{1, 1, 1}}
	p.drawBody(&b, newStream(1, 1, streamSky))
	sum, varX, varY := light(p)
	near(t, "light", sum/(50*50), 3, 0.02)
	near(t, "axis ratio", math.Sqrt(varY/varX), 0.5, 0.02)
	p = blank(301, 50)
	b.angle = math.Pi / 2
	p.drawBody(&b, newStream(1, 1, streamSky))
	_, varX, varY = light(p)
	near(t, "axis ratio turned by 90 degrees", math.Sqrt(varX/varY), 0.5, 0.02)
}

// Interpolation weights sum to 1 and reproduce a slope.
func TestTaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPainter()
		p.scale = rapid.Float64Range(1, 8).Draw(t, "scale")
		p.n = min(maxGrid, int(math.Ceil(data.ImageSide/p.scale))+2*margin)
		shift := rapid.Float64Range(-1, 1).Draw(t, "shift")
		for i, tap := range p.taps(shift) {
			sum, at := 0.0, 0.0
			for k, w := range tap.w {
				sum += float64(w)
				at += float64(w) * float64(tap.at+k)
			}
			want := (float64(i)+0.5-data.ImageSide/2.0)/p.scale + float64(p.n)/2 - 0.5 + shift
			if math.Abs(sum-1) > 1e-5 || math.Abs(at-want) > 1e-3 {
				t.Fatalf("output pixel %d reads grid pixel %v with weight %v, want %v with weight 1", i, at, sum, want)
			}
		}
	})
}

// The stretch keeps colours: channel ratios of bright light survive it, and
// nothing leaves the range of a byte.
func TestDevelopKeepsColour(t *testing.T) {
	p := blank(data.ImageSide+2*margin, 50)
	for i := range p.n * p.n {
		p.plane[0][i], p.plane[1][i], p.plane[2][i] = 0.6, 0.3, 0.15
	}
	p.develop(0, newStream(1, 1, streamSky))
	c := p.out.RGBAAt(200, 200)
	near(t, "green over red", float64(c.G)/float64(c.R), 0.5, 0.02)
	near(t, "blue over red", float64(c.B)/float64(c.R), 0.25, 0.04)
	for i := range p.n * p.n {
		p.plane[0][i], p.plane[1][i], p.plane[2][i] = 1e6, 5e5, -3
	}
	p.develop(0, newStream(1, 1, streamSky))
	if c := p.out.RGBAAt(200, 200); c.R != 255 || c.G < 126 || c.G > 129 || c.B != 0 || c.A != 255 {
		t.Errorf("far too bright light gives %v, want full red, half green, no blue", c)
	}
}
