package images_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
	"pgregory.net/rapid"

	"galaxy/data/imagefile"
)

// picture makes an image of pixels, uint8 [height, width, 3].
func picture(pixels []byte, width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		copy(m.Pix[4*i:], pixels[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}

// encodePNG returns m as a PNG file, encodeTIFF as a TIFF file.
func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeTIFF(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The pixels of a JPEG, written as PNG and as TIFF, give the same image as the JPEG itself,
// except if the JPEG decoder halves (TestDecodeHalves).
func TestFormatsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		side := rapid.IntRange(20, 90).Draw(rt, "side")
		crop := imagefile.Crop(rapid.IntRange(2, side).Draw(rt, "crop"))
		if rapid.Bool().Draw(rt, "fraction") {
			crop = imagefile.Crop(rapid.Float64Range(.1, 1).Draw(rt, "crop"))
		}
		square := crop.Side(side, side)
		size := rapid.IntRange(1, square).Draw(rt, "size")
		if crop > 1 && square%2 == 0 && square/2 >= size {
			size = square // the decoder would halve
		}
		var encoded bytes.Buffer
		if err := jpeg.Encode(&encoded, blob(side, side, rapid.Uint64().Draw(rt, "seed")), nil); err != nil {
			rt.Fatal(err)
		}
		// The pixels of the square alone: at its edges libjpeg interpolates colours less far than in
		// the whole image.
		m := picture(decode(t, crop, square, encoded.Bytes()), square, square)
		want := decode(t, crop, size, encoded.Bytes())
		if !bytes.Equal(decode(t, 1, size, encodePNG(t, m)), want) {
			rt.Errorf("%d px, crop %v, size %d: PNG and JPEG differ", side, crop, size)
		}
		if !bytes.Equal(decode(t, 1, size, encodeTIFF(t, m)), want) {
			rt.Errorf("%d px, crop %v, size %d: TIFF and JPEG differ", side, crop, size)
		}
	})
}

// Pixels that are known exactly, of images that are not square, against the float64 reference of
// the resize.
func TestDecodePixels(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		width, height := rapid.IntRange(2, 50).Draw(rt, "width"), rapid.IntRange(2, 50).Draw(rt, "height")
		crop := imagefile.Crop(rapid.Float64Range(.5, 1).Draw(rt, "crop"))
		m := blob(width, height, rapid.Uint64().Draw(rt, "seed"))
		square, err := crop.Square(width, height)
		if err != nil {
			rt.Fatal(err)
		}
		var pixels []byte
		for y := square.Min.Y; y < square.Max.Y; y++ {
			for x := square.Min.X; x < square.Max.X; x++ {
				c := m.RGBAAt(x, y)
				pixels = append(pixels, c.R, c.G, c.B)
			}
		}
		size := rapid.IntRange(1, square.Dx()).Draw(rt, "size")
		want := areaMean(pixels, square.Dx(), size)
		for i, v := range decode(t, crop, size, encodePNG(t, m)) {
			if math.Abs(float64(v)-want[i]) > 0.5+1e-4 {
				rt.Fatalf("%d×%d, crop %v, size %d: value %d is %d, want %v rounded", width, height, crop, size, i, v, want[i])
			}
		}
	})
}

// A fraction and the same crop in pixels are the same window.
func TestDecodeFractionInPlace(t *testing.T) {
	encoded := encode(t, blob(64, 50, 3))
	for _, size := range []int{25, 24, 13, 1} { // an odd crop is never halved
		if !bytes.Equal(decode(t, .5, size, encoded), decode(t, 25, size, encoded)) {
			t.Errorf("size %d: 50%% of 50 px and 25 px differ", size)
		}
	}
}

// The graph and Crop.Side round alike: what is served of a fraction has the same pixels.
func TestDecodeJPEGsOfFractions(t *testing.T) {
	for _, crop := range []imagefile.Crop{1, .53, .5, .375} {
		var encoded []string
		var want []byte
		for i, shape := range [][2]int{{424, 424}, {60, 61}, {97, 64}, {75, 301}, {77, 79}} {
			e := encode(t, blob(shape[0], shape[1], uint64(i)))
			encoded = append(encoded, string(e))
			want = append(want, decode(t, crop, 20, e)...)
		}
		got, err := decodeBatch(t, crop, rgb(20), encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("crop %v: a batch and single files gave different pixels", crop)
		}
	}
	// Neither enlarges an image.
	small := encode(t, blob(39, 60, 1))
	if _, err := decodeBatch(t, .5, rgb(20), []string{string(small)}); err != nil {
		t.Errorf("39/2 is 20 px: %v", err) // 19.5, to even
	}
	if _, err := decodeBatch(t, .5, rgb(21), []string{string(small)}); err == nil {
		t.Error("the batch made an image larger")
	}
	for _, file := range [][]byte{small, encodePNG(t, blob(39, 60, 1))} {
		err := newDecoder(t, .5, 21).Decode(make([]byte, 21*21*3), open(t, file))
		if err == nil || !strings.Contains(err.Error(), "39×60 pixels, and a crop of 50% keeps 20×20, less than the 21×21 to make") {
			t.Errorf("got %v", err)
		}
		err = newDecoder(t, 40, 20).Decode(make([]byte, 20*20*3), open(t, file))
		if err == nil || !strings.Contains(err.Error(), "39×60 pixels, smaller than the crop of 40×40") {
			t.Errorf("got %v", err)
		}
	}
}

// Grey becomes three equal channels in RGB and each of them alone in grey, in every format.
func TestDecodeGrey(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 40, 40))
	for i := range m.Pix {
		m.Pix[i] = uint8(i / 7)
	}
	for name, encoded := range map[string][]byte{"jpeg": encode(t, m), "png": encodePNG(t, m), "tiff": encodeTIFF(t, m)} {
		for _, size := range []int{30, 40} {
			got, one := decode(t, 1, size, encoded), decodeAs(t, 1, grey(size), encoded)
			for i, v := range one {
				if p := got[3*i : 3*i+3]; p[0] != v || p[1] != v || p[2] != v {
					t.Fatalf("%s: pixel %d is %v in RGB and %d in grey", name, i, p, v)
				}
			}
		}
	}
}

// Colour becomes its luma in grey: of a JPEG its own first component.
func TestDecodeColourAsGrey(t *testing.T) {
	m := blob(40, 40, 5)
	var pixels []byte
	for i := range 40 * 40 {
		c := m.RGBAAt(i%40, i/40)
		y := math.Floor(.299*float64(c.R) + .587*float64(c.G) + .114*float64(c.B) + .5)
		pixels = append(pixels, byte(y), byte(y), byte(y))
	}
	for _, size := range []int{40, 24} {
		want := areaMean(pixels, 40, size)
		for i, v := range decodeAs(t, 1, grey(size), encodePNG(t, m)) {
			// The weights of 16 bits may round one pixel in some thousands the other way.
			if math.Abs(float64(v)-want[3*i]) > 1.01 {
				t.Errorf("PNG, %d px: pixel %d is %d, want %v", size, i, v, want[3*i])
			}
		}
	}
	encoded := encode(t, m)
	reference, err := jpeg.Decode(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	ycc := reference.(*image.YCbCr)
	for i, v := range decodeAs(t, 1, grey(40), encoded) {
		// Another inverse transform, in integers too.
		if want := ycc.Y[ycc.YOffset(i%40, i/40)]; math.Abs(float64(v)-float64(want)) > 2 {
			t.Errorf("JPEG: pixel %d is %d, want %d", i, v, want)
		}
	}
	for _, n := range []int{0, 40*40 - 1, 2 * 40 * 40, 4 * 40 * 40} {
		if err := newDecoder(t, 1, 40).Decode(make([]byte, n), open(t, encoded)); err == nil || !strings.Contains(err.Error(), "expected a buffer of 1600 bytes, or three times as many") {
			t.Errorf("a buffer of %d bytes: got %v", n, err)
		}
	}
}

// One op decodes and downscales one file of 424 px to 64, on one core; parity/images.py measures
// Pillow with the same file.
func BenchmarkDecodeFormats(b *testing.B) {
	m := blob(424, 424, 1)
	for _, c := range []struct {
		name    string
		encoded []byte
	}{{"jpeg", encode(b, m)}, {"png", encodePNG(b, m)}, {"tiff", encodeTIFF(b, m)}} {
		b.Run(c.name, func(b *testing.B) {
			d, file, dst := newDecoder(b, 1, 64), open(b, c.encoded), make([]byte, 64*64*3)
			for b.Loop() {
				if err := d.Decode(dst, file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
