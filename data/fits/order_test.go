package fits

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// floatImage is a file of an image of floating-point pixels whose bytes are in an order.
func floatImage(bitpix, width int, pixels []float64, order binary.AppendByteOrder) []byte {
	var data []byte
	for _, v := range pixels {
		if bitpix == -32 {
			data = order.AppendUint32(data, math.Float32bits(float32(v)))
		} else {
			data = order.AppendUint64(data, math.Float64bits(v))
		}
	}
	return imageHDU(bitpix, []int{width, len(pixels) / width}, data)
}

// Ordinary images are read, and the same in the wrong byte order are refused; what is odd is not mistaken for it.
func TestByteOrder(t *testing.T) {
	const width, height = 40, 30
	random := rand.New(rand.NewPCG(1, 2))
	star := func(x, y int) float64 {
		return math.Exp(-math.Hypot(float64(x-width/2), float64(y-height/2)) / 5)
	}
	for name, c := range map[string]struct {
		pixel func(x, y int) float64
		wrong bool // is found in the wrong order
	}{
		"noise":          {func(int, int) float64 { return random.NormFloat64() }, true},
		"faint":          {func(x, y int) float64 { return 1e-18 * (star(x, y) + .01*random.NormFloat64()) }, true},
		"bright":         {func(x, y int) float64 { return 1e15 * (star(x, y) + .01*random.NormFloat64()) }, true},
		"whole numbers":  {func(x, y int) float64 { return float64(random.IntN(1000)) }, true},
		"half undefined": {func(x, y int) float64 { return math.Sqrt(float64(20-x)) * (1 + star(x, y)) }, true},
		"no noise":       {func(x, y int) float64 { return 1e3 * star(x, y) }, true},
		"a profile of a hundred decades": {func(x, y int) float64 {
			return math.Exp(-math.Hypot(float64(x-width/2), float64(y-height/2)) * 4)
		}, false},
		"janskys":         {func(x, y int) float64 { return 1e-33 * random.NormFloat64() }, false},
		"zeros":           {func(int, int) float64 { return 0 }, false},
		"undefined":       {func(int, int) float64 { return math.NaN() }, false},
		"infinite":        {func(x, y int) float64 { return math.Inf(x%2 - y%2) }, false},
		"one value":       {func(int, int) float64 { return 1 }, true},
		"a few pixels":    {func(x, y int) float64 { return float64(max(0, 2-x-y)) }, false},
		"largest numbers": {func(x, y int) float64 { return math.MaxFloat32 * random.Float64() }, false},
	} {
		pixels := make([]float64, width*height)
		for i := range pixels {
			pixels[i] = c.pixel(i%width, i/width)
		}
		for _, bitpix := range []int{-32, -64} {
			if err := readFirst(floatImage(bitpix, width, pixels, binary.BigEndian)); err != nil {
				t.Errorf("%s, BITPIX %d: %v", name, bitpix, err)
			}
			err := readFirst(floatImage(bitpix, width, pixels, binary.LittleEndian))
			if found := err != nil && strings.Contains(err.Error(), "the bytes are in the wrong order"); found != c.wrong {
				t.Errorf("%s, BITPIX %d in the wrong order: %v", name, bitpix, err)
			}
		}
	}
}

// A compressed file takes no more memory than its headers ask for, and none for an image that is too large to be read. What
// follows such an image can be read.
func TestBombMemory(t *testing.T) {
	const limit = 64 << 20
	image := imageHDU(8, []int{10, 10}, make([]byte, 100))
	large := imageHDU(8, []int{5000, 5000}, make([]byte, 5000*5000))
	extension := bytes.Replace(image, []byte("SIMPLE  =                    T"), []byte("XTENSION= 'IMAGE   '          "), 1)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"zeros at the end": {append(image, make([]byte, 2*limit)...), "expected at most 67108864 bytes (the limit)"},
		"an empty promise": {imageHDU(-64, []int{2000, 2000}, nil), "HDU 0: expected data from byte 2880 to byte 32002880, got a file of 2880 bytes"},
		"a large image":    {append(large, extension...), "HDU 0: expected at most 8388608 pixels (the limit), got 5000 × 5000"},
	} {
		bomb := gzipped(c.file)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Open(bytes.NewReader(bomb), int64(len(bomb)), limit)
		runtime.ReadMemStats(&after)
		if err == nil {
			_, err = f.HDUs[0].ReadPlane(nil, 0)
			for _, next := range f.HDUs[1:] {
				if pixels, err := next.ReadPlane(nil, 0); err != nil || len(pixels) != 100 {
					t.Errorf("%s: %d pixels, %v: expected 100 of the image that follows", name, len(pixels), err)
				}
			}
			if name == "a large image" && len(f.HDUs) != 2 {
				t.Errorf("%d HDUs, expected 2", len(f.HDUs))
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: expected %s", name, err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 17<<20 {
			t.Errorf("%s: %d bytes", name, took)
		}
	}
}
