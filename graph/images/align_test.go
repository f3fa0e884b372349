package images

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/graph/session"
)

// measured holds findAlignment's result for one image: the angle in radians from
// right to down, in (−π/2, π/2], and the factor.
type measured struct{ angle, zoom float64 }

func measure(t *testing.T, size int, images ...[]float64) []measured {
	t.Helper()
	s := tg.NewRoot()
	n, channels := int64(len(images)), int64(len(images[0])/(size*size))
	x := session.Placeholder(s, "x", tf.Float, -1, int64(size), int64(size), channels)
	p := findAlignment(s.SubScope("pose"), x)
	g := graphtest.Finalize(t, s)
	feeds := graphtest.Feeds{x: graphtest.Float32(t, slices.Concat(images...), n, int64(size), int64(size), channels)}
	out := graphtest.Run(t, g, feeds, p.cos, p.sin, p.zoom)
	cos, sin, zoom := graphtest.Floats(t, out[0]), graphtest.Floats(t, out[1]), graphtest.Floats(t, out[2])
	all := make([]measured, n)
	for i := range all {
		all[i] = measured{math.Atan2(sin[i], cos[i]), zoom[i]}
	}
	return all
}

// alignTwin is the reference implementation of findAlignment in float64, written as sums
// over pixels.
func alignTwin(size int, image []float64) measured {
	k, channels := max(1, size/32), len(image)/(size*size)
	side := size / k
	light := make([][]float64, side)
	var border []float64
	for row := range side {
		light[row] = make([]float64, side)
		for column := range side {
			for y := row * k; y < (row+1)*k; y++ {
				for x := column * k; x < (column+1)*k; x++ {
					for c := range channels {
						light[row][column] += image[(y*size+x)*channels+c] / float64(channels*k*k)
					}
				}
			}
			if row == 0 || column == 0 || row == side-1 || column == side-1 {
				border = append(border, light[row][column])
			}
		}
	}
	slices.Sort(border)
	sky := border[len(border)/2]
	moments := func(width2 float64) (total, xx, yy, xy float64) {
		for row := range side {
			for column := range side {
				u := (float64(column*k) + float64(k-1)/2 - float64(size-1)/2) / float64(size)
				v := (float64(row*k) + float64(k-1)/2 - float64(size-1)/2) / float64(size)
				w := max(0, light[row][column]-sky-3) * math.Exp(-(u*u+v*v)/(2*width2))
				total, xx, yy, xy = total+w, xx+w*u*u, yy+w*v*v, xy+w*u*v
			}
		}
		return total, xx, yy, xy
	}
	width2 := 1.0 / 64
	var xx, yy, xy float64
	for range 6 {
		var total float64
		total, xx, yy, xy = moments(width2)
		width2 = 0
		if total > 0 {
			width2 = (xx + yy) / total
		}
		width2 = min(max(width2, 1.0/400), 1.0/16)
	}
	return measured{math.Atan2(2*xy, xx-yy) / 2, math.Pow(.17/math.Sqrt(width2), .7)}
}

// ellipse draws a Gaussian galaxy on a sky of 10: its widths along the axes are
// fractions of the side, and its major axis lies at angle, from right to down. colours are its
// brightness in each channel; without any they are those of RGB.
func ellipse(size int, major, minor, angle float64, colours ...float64) []float64 {
	if colours == nil {
		colours = []float64{1, .8, .6}
	}
	image := make([]float64, 0, size*size*len(colours))
	centre := float64(size-1) / 2
	for y := range size {
		for x := range size {
			u, v := (float64(x)-centre)/float64(size), (float64(y)-centre)/float64(size)
			along, across := u*math.Cos(angle)+v*math.Sin(angle), v*math.Cos(angle)-u*math.Sin(angle)
			light := 200 * math.Exp(-along*along/(2*major*major)-across*across/(2*minor*minor))
			for _, colour := range colours {
				image = append(image, 10+light*colour)
			}
		}
	}
	return image
}

// apart returns the distance between two angles of an axis, which has no direction.
func apart(a, b float64) float64 { return math.Abs(math.Remainder(a-b, math.Pi)) }

func TestAlignmentIsItsTwin(t *testing.T) {
	for i, size := range []int{32, 33, 64, 75, 128, 64, 75} {
		r := rand.New(rand.NewPCG(1, uint64(size)))
		colours := [][]float64{{1, .8, .6}, {1}, {.2, .4, 1, .9, .7}}[max(0, i-4)]
		var images [][]float64
		for range 20 {
			image := ellipse(size, .06+.1*r.Float64(), .03+.06*r.Float64(), math.Pi*r.Float64(), colours...)
			star := len(colours) * (r.IntN(size)*size + r.IntN(size)) // and a neighbour, and noise
			image[star] = 255
			for i := range image {
				image[i] += 6 * r.Float64()
			}
			images = append(images, image)
		}
		for i, got := range measure(t, size, images...) {
			want := alignTwin(size, images[i])
			if !(apart(got.angle, want.angle) < 1e-3) || !(math.Abs(got.zoom-want.zoom) < 1e-4) {
				t.Errorf("%d px, %d channels, image %d: %+v, expected %+v", size, len(colours), i, got, want)
			}
		}
	}
}

func TestAlignmentOfEllipses(t *testing.T) {
	for _, size := range []int{32, 64, 96} {
		var images [][]float64
		angles := []float64{0, .3, 1, -1.2, math.Pi/2 - .01}
		widths := []float64{.07, .1, .13}
		for _, angle := range angles {
			for _, width := range widths {
				images = append(images, ellipse(size, width, width/2, angle))
			}
		}
		got := measure(t, size, images...)
		for i, angle := range angles {
			for j := range widths {
				m := got[i*len(widths)+j]
				if !(apart(m.angle, angle) < .01) {
					t.Errorf("%d px, angle %v: found %v", size, angle, m.angle)
				}
				// Twice the size needs 2^−0.7 of the enlargement.
				if want := got[0].zoom * math.Pow(widths[j]/widths[0], -alignRescaled); !(math.Abs(m.zoom/want-1) < .03) {
					t.Errorf("%d px, width %v at %v: enlarged %v times, expected %v", size, widths[j], angle, m.zoom, want)
				}
			}
		}
	}
}

// Images without a galaxy have an alignment too.
func TestAlignmentOfNothing(t *testing.T) {
	const size = 40
	level := func(v float64) []float64 { return slices.Repeat([]float64{v}, size*size*3) }
	one := level(0)
	one[3*(20*size+20)] = 255
	largest := math.Pow(alignWidth/alignNarrowest, alignRescaled)
	for i, m := range measure(t, size, level(0), level(255), level(7), one) {
		if !(math.Abs(m.zoom-largest) < 1e-5) || i < 3 && m.angle != 0 || math.IsNaN(m.angle) {
			t.Errorf("image %d: %+v, expected angle 0, without light, and the factor %v", i, m, largest)
		}
	}
}

// Whatever the galaxy's angle, the network sees the same image, except for half
// turns and resampling.
func TestAlignedImagesAgree(t *testing.T) {
	const size = 64
	input := testInput(3)
	input.Align = true
	var pixels []byte
	angles := []float64{0, .7, -1.3, math.Pi / 2}
	for _, angle := range angles {
		for _, p := range ellipse(size, .12, .05, angle) {
			pixels = append(pixels, byte(p))
		}
	}
	n := int64(len(angles))
	s := tg.NewRoot()
	images := session.Placeholder(s, "images", tf.Uint8, -1, size, size, 3)
	x := input.Normalise(s.SubScope("normalise"), images, Random{})
	in, err := session.Uint8Tensor(pixels, n, size, size, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := graphtest.Floats(t, graphtest.Run(t, graphtest.Finalize(t, s), graphtest.Feeds{images: in}, x)[0])
	var all [][]float64
	for each := range slices.Chunk(got, len(got)/len(angles)) {
		for i := range each {
			each[i] = 255 * (each[i]*input.Std[i%3] + input.Mean[i%3])
		}
		all = append(all, each)
	}
	// The first is level already and only needs enlarging.
	zoom := alignTwin(size, ellipse(size, .12, .05, 0)).zoom
	within(t, "enlarged", all[0], ellipse(size, .12*zoom, .05*zoom, 0), 4)
	for i, each := range all[1:] {
		within(t, fmt.Sprintf("turned by %v", angles[i+1]), each, all[0], 6)
	}
}

// Augmentation comes after alignment, in the same resampling: rotated by 90°,
// the level galaxy is upright.
func TestAugmentAfterAlign(t *testing.T) {
	const size = 64
	input := testInput(3)
	input.Align = true
	var pixels []byte
	for _, p := range ellipse(size, .12, .05, .9) {
		pixels = append(pixels, byte(p))
	}
	zoom := alignTwin(size, ellipse(size, .12, .05, .9)).zoom
	got := augmented(t, input, size, slices.Concat(pixels, pixels), drawn{drawAngle: math.Pi / 2}, drawn{drawZoom: math.Log(1.2), drawFlipX: -1})
	within(t, "turned", got[0], ellipse(size, .12*zoom, .05*zoom, math.Pi/2), 6)
	within(t, "enlarged and flipped", got[1], ellipse(size, .12*zoom*1.2, .05*zoom*1.2, 0), 6)
}
