package images

import (
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/graph/session"
)

// everything is an Augment with every setting on.
var everything = Augment{Rotate: 180, Flip: true, Shift: .1, Zoom: 1.5, Brightness: .3, Contrast: .4, Color: .2}

// mostChannels is the largest number of channels of these tests, and drawCount the number of
// parameters then.
const (
	mostChannels = 5
	drawCount    = drawColor + mostChannels
)

// drawn are the draws of one example; the zero value varies nothing.
type drawn [drawCount]float64

// augmented runs the network's normalisation with the given draws instead of
// random ones, and converts the result back to pixels.
func augmented(t *testing.T, in Input, size int, pixels []byte, examples ...drawn) [][]float64 {
	t.Helper()
	n, side := int64(len(examples)), int64(size)
	s := tg.NewRoot()
	channels := len(in.Mean)
	images := session.Placeholder(s, "images", tf.Uint8, n, side, side, int64(channels))
	seed := session.Placeholder(s, "seed", tf.Int64, 2)
	in.Augment = everything
	x := in.Normalise(s.SubScope("normalise"), images, Random{Key: seed})
	g := graphtest.Finalize(t, s)
	fed, err := session.Uint8Tensor(pixels, n, side, side, int64(channels))
	if err != nil {
		t.Fatal(err)
	}
	feeds := graphtest.Feeds{images: fed}
	unpack := g.Operation("normalise/augment/draw/Unpack")
	for i := range drawColor + channels {
		var column []float64
		for _, e := range examples {
			column = append(column, e[i])
		}
		feeds[unpack.Output(i)] = graphtest.Float32(t, column, n)
	}
	got := graphtest.Floats(t, graphtest.Run(t, g, feeds, x)[0])
	for i := range got {
		got[i] = 255 * (got[i]*in.Std[i%channels] + in.Mean[i%channels])
	}
	return slices.Collect(slices.Chunk(got, len(got)/len(examples)))
}

func randomPixels(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	pixels := make([]byte, n)
	for i := range pixels {
		pixels[i] = byte(r.IntN(256))
	}
	return pixels
}

// augmentTwin is Augment's formula in float64 and in complex numbers, where a
// rotation is a product: real to the right, imaginary up.
func augmentTwin(in Input, size int, pixels []byte, d drawn) []float64 {
	centre, channels := float64(size-1)/2, len(in.Mean)
	at := func(x, y, k int) float64 { // edges repeat
		x, y = min(max(x, 0), size-1), min(max(y, 0), size-1)
		return float64(pixels[(y*size+x)*channels+k])
	}
	turn := cmplx.Exp(complex(d[drawZoom], d[drawAngle]))
	out := make([]float64, 0, len(pixels))
	for y := range size {
		for x := range size {
			p := complex(float64(x)-centre-d[drawShiftX], -(float64(y)-centre-d[drawShiftY])) / turn
			fromX, fromY := real(p), -imag(p)
			if d[drawFlipX] < 0 {
				fromX = -fromX
			}
			if d[drawFlipY] < 0 {
				fromY = -fromY
			}
			edge := func(v float64) float64 { return min(max(v+centre, 0), float64(size-1)) }
			fromX, fromY = edge(fromX), edge(fromY)
			left, top := math.Floor(fromX), math.Floor(fromY)
			right, down := fromX-left, fromY-top
			for k := range channels {
				i, j := int(left), int(top)
				v := (1-down)*((1-right)*at(i, j, k)+right*at(i+1, j, k)) + down*((1-right)*at(i, j+1, k)+right*at(i+1, j+1, k))
				mean := 255 * in.Mean[k]
				out = append(out, mean+(1+d[drawContrast])*((1+d[drawBrightness])*(1+d[drawColor+k])*v-mean))
			}
		}
	}
	return out
}

// within reports the first pixel, on the scale 0…255, that differs by more than the
// tolerance.
func within(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			t.Errorf("%s: value %d is %v, expected %v ± %v", what, i, got[i], want[i], tolerance)
			return
		}
	}
}

// A rotation by 90°, a flip and a shift by whole pixels can be written as index
// maps.
func TestAugmentMovesPixels(t *testing.T) {
	for _, size := range []int{32, 33} {
		edge := func(v int) int { return min(max(v, 0), size-1) }
		cases := []struct {
			name string
			draw drawn
			from func(x, y int) (int, int) // the input pixel of an output pixel
		}{
			{"nothing", drawn{}, func(x, y int) (int, int) { return x, y }},
			{"anticlockwise by 90°", drawn{drawAngle: math.Pi / 2}, func(x, y int) (int, int) { return size - 1 - y, x }},
			{"clockwise by 90°", drawn{drawAngle: -math.Pi / 2}, func(x, y int) (int, int) { return y, size - 1 - x }},
			{"by 180°", drawn{drawAngle: math.Pi}, func(x, y int) (int, int) { return size - 1 - x, size - 1 - y }},
			{"left to right", drawn{drawFlipX: -1}, func(x, y int) (int, int) { return size - 1 - x, y }},
			{"top to bottom", drawn{drawFlipY: -1}, func(x, y int) (int, int) { return x, size - 1 - y }},
			{"flipped, then turned", drawn{drawFlipX: -1, drawAngle: math.Pi / 2}, func(x, y int) (int, int) { return y, x }},
			{"shifted", drawn{drawShiftX: 3, drawShiftY: -5}, func(x, y int) (int, int) { return edge(x - 3), edge(y + 5) }},
			{"turned, then shifted", drawn{drawAngle: math.Pi / 2, drawShiftX: 2}, func(x, y int) (int, int) { return size - 1 - y, edge(x - 2) }},
		}
		// Random bytes: a pixel in the wrong place is far off.
		pixels := randomPixels(len(cases) * size * size * 3)
		var examples []drawn
		for _, c := range cases {
			examples = append(examples, c.draw)
		}
		got := augmented(t, testInput(3), size, pixels, examples...)
		for i, c := range cases {
			image := pixels[i*len(got[i]):][:len(got[i])]
			want := make([]float64, 0, len(image))
			for y := range size {
				for x := range size {
					fromX, fromY := c.from(x, y)
					for k := range 3 {
						want = append(want, float64(image[(fromY*size+fromX)*3+k]))
					}
				}
			}
			// 1e-3 of a pixel for the angles, whose cosines are not exact in
			// float32; otherwise only normalising rounds.
			tolerance := 1e-4
			if c.draw[drawAngle] != 0 {
				tolerance = 1e-3 * 255
			}
			within(t, fmt.Sprintf("%d px, %s", size, c.name), got[i], want, tolerance)
		}
	}
}

func TestAugmentIsItsFormula(t *testing.T) {
	for _, size := range []int{32, 45} {
		examples := []drawn{
			{drawAngle: .3}, {drawAngle: -2}, {drawZoom: math.Log(1.3)}, {drawZoom: -math.Log(1.3)},
			{drawShiftX: 1.25, drawShiftY: -7.5}, {drawBrightness: -.3}, {drawContrast: .4}, {drawContrast: -.25},
			{drawColor: .2, drawColor + 1: -.1, drawColor + 2: .05}, {drawBrightness: .2, drawContrast: .3, drawColor + 2: -.2},
		}
		r := rand.New(rand.NewPCG(5, 6))
		for range 10 { // everything at once
			d := drawn{drawAngle: math.Pi, drawFlipX: 1, drawFlipY: 1, drawShiftX: 6, drawShiftY: 6, drawZoom: .4,
				drawBrightness: .3, drawContrast: .3, drawColor: .2, drawColor + 1: .2, drawColor + 2: .2, drawColor + 3: .2, drawColor + 4: .2}
			for i := range d {
				d[i] *= 2*r.Float64() - 1
			}
			examples = append(examples, d)
		}
		for _, channels := range []int{1, 3, mostChannels} {
			pixels := randomPixels(len(examples) * size * size * channels)
			for i, got := range augmented(t, testInput(channels), size, pixels, examples...) {
				image := pixels[i*len(got):][:len(got)]
				within(t, fmt.Sprintf("%d px, %d channels, %v", size, channels, examples[i]), got, augmentTwin(testInput(channels), size, image, examples[i]), .02)
			}
		}
	}
}

// sampled draws the parameters of n examples.
func sampled(t *testing.T, a Augment, n, size int64, seed, step int64) [][]float32 {
	t.Helper()
	s := tg.NewRoot()
	images := session.Placeholder(s, "images", tf.Uint8, n, size, size, mostChannels)
	d := a.draw(s.SubScope("draw"), images, Random{Key: tg.Const(s, []int64{seed, step})})
	var columns [][]float32
	for _, v := range graphtest.Run(t, graphtest.Finalize(t, s), nil, d.values...) {
		columns = append(columns, v.Value().([]float32))
	}
	return columns
}

func TestAugmentDraws(t *testing.T) {
	const n, size = 20_000, 64
	first := sampled(t, everything, n, size, 1, 5)
	largest := [drawCount]float64{
		drawAngle: math.Pi, drawFlipX: 1, drawFlipY: 1, drawShiftX: 6.4, drawShiftY: 6.4, drawZoom: math.Log(1.5),
		drawBrightness: .3, drawContrast: .4, drawColor: .2, drawColor + 1: .2, drawColor + 2: .2, drawColor + 3: .2, drawColor + 4: .2,
	}
	for i, column := range first {
		var sum, squares, below, low, high float64
		for _, v := range column {
			x := float64(v) / largest[i]
			sum, squares, low, high = sum+x, squares+x*x, min(low, x), max(high, x)
			if x < 0 {
				below++
			}
		}
		// A uniform on ±1 has the variance 1/3, and its square 4/45; The test
		// allows five standard errors.
		if mean := sum / n; math.Abs(mean) > 5*math.Sqrt(1./3/n) {
			t.Errorf("parameter %d: mean %v of the largest value, expected about 0", i, mean)
		}
		if square := squares / n; math.Abs(square-1./3) > 5*math.Sqrt(4./45/n) {
			t.Errorf("parameter %d: mean square %v of the largest value's, expected about 1/3", i, square)
		}
		if low < -1.000001 || high > 1.000001 || low > -.99 || high < .99 {
			t.Errorf("parameter %d: from %v to %v of the largest value, expected −1 to 1", i, low, high)
		}
		if math.Abs(below-n/2) > 5*math.Sqrt(n)/2 {
			t.Errorf("parameter %d: %v of %d below 0, expected about half", i, below, n)
		}
	}
	for i := range first {
		for j := range i {
			var product float64
			for e := range n {
				product += float64(first[i][e]) / largest[i] * float64(first[j][e]) / largest[j]
			}
			if r := 3 * product / n; math.Abs(r) > 5/math.Sqrt(n) {
				t.Errorf("parameters %d and %d have the correlation %v, expected about 0", i, j, r)
			}
		}
	}
	same := sampled(t, everything, n, size, 1, 5)
	for _, other := range [][]int64{{1, 6}, {2, 5}} {
		another := sampled(t, everything, n, size, other[0], other[1])
		for i := range first {
			if !slices.Equal(first[i], same[i]) {
				t.Fatal("the same seed and step drew other parameters")
			}
			if slices.Equal(first[i], another[i]) {
				t.Errorf("seed and step %v drew the same parameter %d as 1 and 5", other, i)
			}
		}
	}
	// Settings do not depend on each other; those that are off are exactly none.
	alone := sampled(t, Augment{Zoom: 1.5}, n, size, 1, 5)
	for i, column := range alone {
		if i == drawZoom {
			if !slices.Equal(column, first[i]) {
				t.Error("without the other settings, other factors of zoom were drawn")
			}
		} else if slices.ContainsFunc(column, func(v float32) bool { return v != 0 }) {
			t.Errorf("parameter %d is off and was drawn", i)
		}
	}
}

// Augmentation must not use dropout's random numbers: dropout draws from the seed itself.
func TestAugmentIsIndependentOfDropout(t *testing.T) {
	const n = 64
	s := tg.NewRoot()
	uniform := op.StatelessRandomUniform(s, tg.Const(s, []int64{n, drawCount}), tg.Const(s, []int64{1, 5}))
	plain := graphtest.Floats(t, graphtest.Run(t, graphtest.Finalize(t, s), nil, uniform)[0])
	for e, angle := range sampled(t, Augment{Rotate: 180}, n, 32, 1, 5)[drawAngle] {
		if math.Abs(float64(angle)/math.Pi-(2*plain[e*drawCount]-1)) > 1e-6 {
			return
		}
	}
	t.Error("angles follow the numbers that dropout draws")
}

func TestAugmentValidate(t *testing.T) {
	for _, c := range []struct {
		augment Augment
		want    string
	}{
		{Augment{}, ""},
		{everything, ""},
		{Augment{Zoom: 1}, ""},
		{Augment{Rotate: 181}, "rotate 181: expected 0 to 180 degrees"},
		{Augment{Rotate: -1}, "rotate -1"},
		{Augment{Rotate: math.NaN()}, "rotate NaN"},
		{Augment{Shift: .6}, "shift 0.6: expected a fraction of the side, 0 to 0.5"},
		{Augment{Zoom: .8}, "zoom 0.8: expected a factor of 1 to 4"},
		{Augment{Zoom: math.Inf(1)}, "zoom +Inf"},
		{Augment{Brightness: 1}, "brightness 1: expected 0 ≤ brightness < 1"},
		{Augment{Contrast: -.1}, "contrast -0.1"},
		{Augment{Color: math.NaN()}, "color NaN"},
	} {
		err := c.augment.Validate()
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, expected %q", c.augment, err, c.want)
		}
	}
}
