package explain

import (
	"image/color"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data/imagefile"
)

// resizeTwin evaluates the bilinear interpolation of m at the centre of every pixel, in float64.
func resizeTwin(m []float32, n, size int) (out []float64) {
	at := func(y, x int) float64 { return float64(m[min(max(y, 0), n-1)*n+min(max(x, 0), n-1)]) }
	for i := range size * size {
		y := (float64(i/size)+.5)*float64(n)/float64(size) - .5
		x := (float64(i%size)+.5)*float64(n)/float64(size) - .5
		var sum float64
		for dy := range 2 {
			for dx := range 2 {
				py, px := int(math.Floor(y))+dy, int(math.Floor(x))+dx
				sum += at(py, px) * (1 - math.Abs(y-float64(py))) * (1 - math.Abs(x-float64(px)))
			}
		}
		out = append(out, sum)
	}
	return out
}

func TestResizeAgainstTwin(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n, size := rapid.IntRange(1, 9).Draw(r, "n"), rapid.IntRange(1, 40).Draw(r, "size")
		m := rapid.SliceOfN(rapid.Float32Range(0, 10), n*n, n*n).Draw(r, "map")
		got, err := Resize(m, size)
		if err != nil {
			r.Fatal(err)
		}
		want := resizeTwin(m, n, size)
		if len(got) != len(want) {
			r.Fatalf("%d values, expected %d", len(got), len(want))
		}
		for i := range want {
			if math.Abs(float64(got[i])-want[i]) > 1e-5 {
				r.Fatalf("value %d is %v, expected %v", i, got[i], want[i])
			}
		}
	})
}

func TestOverlay(t *testing.T) {
	shape := imagefile.Shape{Size: 4, Channels: 3}
	pixels := make([]byte, shape.Bytes())
	for i := range pixels {
		pixels[i] = byte(10 * i)
	}
	// Only the top left of the map is above 0, so the last column stays.
	m, err := Overlay(pixels, shape, []float32{2, 0, 0, 0}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.RGBAAt(0, 0), Color(1); got != want {
		t.Errorf("top left is %v, expected %v", got, want)
	}
	if got, want := m.RGBAAt(3, 3), (color.RGBA{pixels[45], pixels[46], pixels[47], 255}); got != want {
		t.Errorf("bottom right is %v, expected %v of the image", got, want)
	}
	// Half of the colour over a grey image of one channel.
	grey := imagefile.Shape{Size: 1, Channels: 1}
	m, err = Overlay([]byte{100}, grey, []float32{1}, 0.5)
	if err != nil || m.RGBAAt(0, 0) != (color.RGBA{176, 178, 132, 255}) {
		t.Errorf("grey: %v, half of %v over 100 is %v", err, Color(1), m.RGBAAt(0, 0))
	}
	for _, none := range [][]float32{{0}, {float32(math.NaN())}} {
		if m, err := Overlay([]byte{100}, grey, none, 1); err != nil || m.RGBAAt(0, 0) != (color.RGBA{100, 100, 100, 255}) {
			t.Errorf("map %v changes the image: %v, %v", none, m, err)
		}
	}
	for _, c := range []struct {
		pixels  []byte
		m       []float32
		opacity float64
		want    string
	}{
		{nil, []float32{1}, 1, "0 bytes"},
		{[]byte{1}, []float32{1, 2}, 1, "expected a square map"},
		{[]byte{1}, nil, 1, "expected a square map"},
		{[]byte{1}, []float32{1}, 1.5, "opacity 1.5"},
		{[]byte{1}, []float32{1}, math.NaN(), "opacity NaN"},
	} {
		if _, err := Overlay(c.pixels, grey, c.m, c.opacity); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: expected an error with %q", err, c.want)
		}
	}
}

// The colours become lighter with the value, and the ends and the middle have the published values.
func TestColor(t *testing.T) {
	for value, want := range map[float64]color.RGBA{
		0: {0, 0, 4, 255}, 1: {252, 255, 164, 255}, 128. / 255: {188, 55, 84, 255},
		-1: {0, 0, 4, 255}, 7: {252, 255, 164, 255}, math.NaN(): {0, 0, 4, 255},
	} {
		if got := Color(value); got != want {
			t.Errorf("colour of %v is %v, expected %v", value, got, want)
		}
	}
	light := func(c color.RGBA) float64 { return .2126*float64(c.R) + .7152*float64(c.G) + .0722*float64(c.B) }
	for i := range 255 {
		if a, b := light(Color(float64(i)/255)), light(Color(float64(i+1)/255)); b < a-1 {
			t.Errorf("colour %d is darker than colour %d: %v, %v", i+1, i, b, a)
		}
	}
	if len(inferno) != 6*256 {
		t.Errorf("%d digits", len(inferno))
	}
}
