package synth

import (
	"image"
	"math"
	"slices"
	"testing"

	"golang.org/x/image/draw"

	"galaxy/data"
)

// What package data measures in a prepared picture orders galaxies as the truth
// does: by the half-light radius and the surface brightness of the light as it
// was painted, before seeing, noise, stretch and shrinking.
func TestPhotometryOrdersGalaxies(t *testing.T) {
	if raceDetector {
		t.Skip("paints galaxies, and has no shared state to race for")
	}
	const crop, size, want = 224, 64, 60
	photometer := data.NewPhotometer(data.Manifest{Size: size, Crop: crop})
	p := newPainter()
	var radii, measuredRadii, faintness, brightness []float64
	for i := 0; len(radii) < want; i++ {
		g := newGalaxy(3, i)
		if g.kind == artifact || g.second.light > 0 || g.other > 0 || g.trail > 0 {
			continue
		}
		got := photometer.Measure(prepared(p.paint(g, newStream(3, i, streamSky)), crop, size))
		radius, level := halfLight(g, i)
		radii, measuredRadii = append(radii, radius), append(measuredRadii, got.Radius)
		faintness, brightness = append(faintness, level), append(brightness, got.Brightness)
	}
	for _, c := range []struct {
		what            string
		truth, measured []float64
		least           float64
	}{{"radius", radii, measuredRadii, 0.6}, {"brightness", faintness, brightness, 0.6}} {
		got := rankCorrelation(c.truth, c.measured)
		t.Logf("%s: rank correlation %.3f", c.what, got)
		if !(got >= c.least) {
			t.Errorf("%s: the rank correlation of truth and measurement is %.3f, want at least %.2f", c.what, got, c.least)
		}
	}
}

// prepared is the middle of a picture, shrunk as prepare does, uint8
// [size, size, 3].
func prepared(picture *image.RGBA, crop, size int) []byte {
	from := (data.ImageSide - crop) / 2
	small := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.BiLinear.Scale(small, small.Rect, picture, image.Rect(from, from, from+crop, from+crop), draw.Src, nil)
	pixels := make([]byte, 0, size*size*3)
	for i := 0; i < len(small.Pix); i += 4 {
		pixels = append(pixels, small.Pix[i:i+3]...)
	}
	return pixels
}

// halfLight is the radius √(A/π) of the brightest area with half of a galaxy's
// light, in pixels of the picture, and the mean brightness there.
func halfLight(g *galaxy, i int) (radius, brightness float64) {
	p := blank(data.ImageSide, r90Pixels)
	p.drawBody(&g.main, newStream(3, i, streamSky))
	light := make([]float64, p.n*p.n)
	total := 0.0
	for k := range light {
		for c := range p.plane {
			light[k] += float64(p.plane[c][k])
		}
		total += light[k]
	}
	slices.Sort(light)
	slices.Reverse(light)
	sum, n := 0.0, 0
	for ; sum < total/2; n++ {
		sum += light[n]
	}
	return math.Sqrt(float64(n) / math.Pi), sum / float64(n)
}

// rankCorrelation is Spearman's, for values that are all different.
func rankCorrelation(a, b []float64) float64 {
	n := len(a)
	ranks := func(values []float64) []float64 {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int {
			if values[i] < values[j] {
				return -1
			}
			return 1
		})
		ranks := make([]float64, n)
		for rank, i := range order {
			ranks[i] = float64(rank)
		}
		return ranks
	}
	square := 0.0
	ra, rb := ranks(a), ranks(b)
	for i := range ra {
		square += (ra[i] - rb[i]) * (ra[i] - rb[i])
	}
	return 1 - 6*square/float64(n*(n*n-1))
}
