package imagefile

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"pgregory.net/rapid"
)

// noisy fills an image with random colours, all alphas among them.
func noisy(m interface {
	image.Image
	Set(x, y int, c color.Color)
}, seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 7))
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			v := func() uint16 { return uint16(r.Uint32()) }
			m.Set(x, y, color.NRGBA64{v(), v(), v(), v()})
		}
	}
	return m
}

func paletted(r image.Rectangle) *image.Paletted {
	var p color.Palette
	for i := range 200 {
		p = append(p, color.NRGBA{uint8(i), uint8(255 - i), uint8(3 * i), uint8(55 + i)})
	}
	m := image.NewPaletted(r, p)
	for i := range m.Pix {
		m.Pix[i] = uint8(i * 7 % 200)
	}
	return m
}

func encodePNG(m image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func encodeTIFF(m image.Image, o *tiff.Options) []byte {
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, o); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func encodeBMP(m image.Image) []byte {
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// overBlack is the slow reference of one channel, in float64: v of 0 to full is seen over black
// with alpha a, and scaled to 0 to 255.
func overBlack(v, a, full float64) float64 { return v * a / (full * full) * 255 }

// Every kind of pixels in every format, each value within half a level of the exact one (that of
// two roundings is a hair more).
func TestRGB(t *testing.T) {
	r := image.Rect(0, 0, 13, 9)
	kinds := map[string]image.Image{
		"grey 8": noisy(image.NewGray(r), 1), "grey 16": noisy(image.NewGray16(r), 2),
		"rgb 8": opaque(noisy(image.NewNRGBA(r), 3)), "rgb 16": opaque(noisy(image.NewNRGBA64(r), 4)),
		"rgba 8": noisy(image.NewNRGBA(r), 5), "rgba 16": noisy(image.NewNRGBA64(r), 6),
		"palette": paletted(r),
	}
	formats := map[string]func(image.Image) []byte{
		"png": encodePNG, "tiff": func(m image.Image) []byte { return encodeTIFF(m, nil) },
		"tiff deflate": func(m image.Image) []byte {
			return encodeTIFF(m, &tiff.Options{Compression: tiff.Deflate, Predictor: true})
		},
		"bmp": encodeBMP,
	}
	for kind, m := range kinds {
		for format, encode := range formats {
			opaqueBits := !strings.HasPrefix(kind, "rgba") && kind != "palette" && !strings.HasSuffix(kind, "16")
			if format == "bmp" && !opaqueBits || strings.HasPrefix(format, "tiff") && kind == "palette" {
				continue // the encoders have no such files
			}
			t.Run(format+" "+kind, func(t *testing.T) {
				f, err := Open(encode(m))
				if err != nil || f.Width != 13 || f.Height != 9 {
					t.Fatalf("%+v, %v", f.Kind, err)
				}
				window := image.Rect(2, 1, 11, 8)
				got, err := f.Pixels(nil, window, 3)
				if err != nil {
					t.Fatal(err)
				}
				i := 0
				for y := window.Min.Y; y < window.Max.Y; y++ {
					for x := window.Min.X; x < window.Max.X; x++ {
						c := color.NRGBA64Model.Convert(m.At(x, y)).(color.NRGBA64)
						if n, ok := m.(*image.NRGBA64); ok {
							c = n.NRGBA64At(x, y)
						}
						for ch, v := range []uint16{c.R, c.G, c.B} {
							if want := overBlack(float64(v), float64(c.A), 65535); math.Abs(float64(got[i])-want) > 0.51 {
								t.Fatalf("pixel (%d, %d), channel %d: got %d, want %v rounded", x, y, ch, got[i], want)
							}
							i++
						}
					}
				}
			})
		}
	}
}

func opaque(m image.Image) image.Image {
	switch m := m.(type) {
	case *image.NRGBA:
		for i := 3; i < len(m.Pix); i += 4 {
			m.Pix[i] = 255
		}
	case *image.NRGBA64:
		for i := 6; i < len(m.Pix); i += 8 {
			m.Pix[i], m.Pix[i+1] = 255, 255
		}
	}
	return m
}

// Eight bits stay what they are, and sixteen are divided by 257.
func TestTo8(t *testing.T) {
	for v := range 256 {
		if got := to8(uint16(257 * v)); got != uint8(v) {
			t.Errorf("%d became %d", v, got)
		}
	}
	for v := range 1 << 16 {
		if got, want := to8(uint16(v)), math.Round(float64(v)/257); float64(got) != want {
			t.Fatalf("%d/257 became %d, want %v", v, got, want)
		}
	}
}

// libwebp made these of a 6×5 picture: lossless, lossy (quality 60), lossy with alpha. The pixels
// are those that Pillow 13 shows, the last over black.
var webps = []struct{ name, encoded, pixels string }{
	{"lossless", "UklGRjQAAABXRUJQVlA4TCcAAAAvBQABALmM6H/sIqL/AUVt20DlT69s+r02CGLBFO+OpKGICVBwp28A",
		"CvoAMvoUWvoogvo8qvpQ0vpkCs0UMs0oWs08gs1Qqs1k0s14CqAoMqA8WqBQgqBkqqB40qCMCnM8MnNQWnNkgnN4qnOM0nOgCkZQMkZkWkZ4gkaMqkag0ka0"},
	{"lossy", "UklGRkYAAABXRUJQVlA4IDoAAADQAQCdASoGAAUAAoBCJbACdAEO/gOOAADiejpb6DJCx13/k7dXX12//FpGL/wXdcbs99dvm3QU8dAA",
		"JOUiPOowZ+9Giu5YsO5sy/d9GsYjNMwyXdFIgtBYqNFswtqAEpYxK5w/VqBVe6Bmn6F6uqqNEXA+K3ZNVHpieXp1n3qJuYSaCUhDI05RTlFnc1F4mVKMs1qf"},
	{"lossy with alpha", "UklGRnoAAABXRUJQVlA4WAoAAAAQAAAABQAABAAAQUxQSBkAAAABuYzof0BNACRM/4Yk4QW3ESImYAIUKr0BAFZQOCA6AAAAsAEAnQEqBgAFAAKAQiWwAnQBDv4C7ADiejpb6DJCx5DP5O357+u3/4tFSf88O2vnx67edpXRSwAAAA==",
		"KuMcN8QjR6UsSX8rP1smKjcaH7wcLaMjPYcrP2coNkciIScWFognJXcsNWEwNkkrLTEiGBgTFWExI1U0MUY0MTMuJyAhEQ0PDjozHDMzKiszKh8qHxMdCgYJ"},
	{"lossless with alpha", "UklGRjwAAABXRUJQVlA4TC8AAAAvBQABELmM6H/sIqL/AUVt20DlT69s+r02CGLBFO+OpKEQCybzJ4ykewIUeE5/AwA=",
		"CvoAKtMRPqwbRYQgP10eLTYWCsUTKKUgOoUnQGQnOUQhJSQVCZMlJnouN2ExO0gtMi8jHRYTCWU1JFM6M0E5Ni8xKx0kFQsQCDtDIjBFMCVAMBo0JQ8jDAQL"},
}

func TestWebP(t *testing.T) {
	for _, c := range webps {
		t.Run(c.name, func(t *testing.T) {
			encoded, err := base64.StdEncoding.DecodeString(c.encoded)
			if err != nil {
				t.Fatal(err)
			}
			want, err := base64.StdEncoding.DecodeString(c.pixels)
			if err != nil {
				t.Fatal(err)
			}
			f, err := Open(encoded)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Pixels(nil, image.Rect(0, 0, 6, 5), 3)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %v, %v\nwant %v", got, err, want)
			}
		})
	}
}

// hugePNG is a complete PNG header of a picture with few bytes.
func hugePNG(width, height uint32) []byte {
	chunk := func(name string, body []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		b = append(append(b, name...), body...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	var data bytes.Buffer
	z := zlib.NewWriter(&data)
	_, _ = z.Write(make([]byte, 100))
	_ = z.Close()
	b := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(header, 8, 2, 0, 0, 0))...)
	return append(append(b, chunk("IDAT", data.Bytes())...), chunk("IEND", nil)...)
}

func TestOpenErrors(t *testing.T) {
	small := image.NewGray(image.Rect(0, 0, 4, 4))
	whole := encodePNG(small)
	flip := func(b []byte, at int) []byte { b = bytes.Clone(b); b[at] ^= 0xff; return b }
	var animation bytes.Buffer
	if err := gif.Encode(&animation, small, nil); err != nil {
		t.Fatal(err)
	}
	grey16 := encodeTIFF(noisy(image.NewGray16(small.Rect), 1), nil)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "the file is empty"},
		{"text", []byte("GalaxyID,Class1.1\n"), "a text file; expected an image: JPEG, PNG"},
		{"half a character", []byte("café")[:4], "a text file"},
		{"page", []byte("\ufeff \n<!DOCTYPE html><html>"), "an HTML page: it is probably a website's message"},
		{"pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), "a Git LFS pointer: git lfs pull"},
		{"GIF", animation.Bytes(), "a GIF image: save it as PNG"},
		{"BigTIFF", []byte("II+\x00\x08\x00\x00\x00"), "a BigTIFF image"},
		{"zeros", make([]byte, 900), "a file of zeros: get the file again"},
		{"binary", []byte{1, 2, 3, 0xfe}, "an unknown format"},
		{"CMYK", cmyk(), "a CMYK image"},
		{"huge", hugePNG(60000, 60000), "60000×60000 pixels; expected at most 67108864"},
		{"wide", hugePNG(1<<31-1, 1<<31-1), "dimension overflow"},
		{"PNG header", whole[:20], "truncated"},
		{"PNG checksum", flip(whole, 18), "damaged"},
		{"TIFF header", grey16[:6], "truncated"},
		{"cut TIFF", grey16[:len(grey16)/2], "truncated"},
		{"WebP header", []byte("RIFF\x10\x00\x00\x00WEBPVP8 "), "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.file)
			wantError(t, err, c.want)
		})
	}
	// What only decoding shows.
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"cut PNG", whole[:len(whole)-20], "truncated"},
		{"PNG without an end", whole[:len(whole)-12], "truncated"},
		{"short PNG", hugePNG(100, 100), "truncated"},
		{"damaged PNG", flip(whole, len(whole)-20), "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Open(c.file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Pixels(nil, image.Rect(0, 0, f.Width, f.Height), 3)
			wantError(t, err, c.want)
		})
	}
}

func TestCrop(t *testing.T) {
	for _, c := range []struct {
		text   string
		want   Crop
		back   string
		middle string
	}{
		{"224", 224, "224", "the middle 224 px"}, {"0.53", .53, "53%", "the middle 53%"}, {"53%", .53, "53%", "the middle 53%"},
		{"53.3%", .533, "53.3%", ""}, {"1", 1, "100%", ""}, {"100%", 1, "100%", ""}, {"0.07", .07, "7%", ""}, {"1e-3", .001, "0.1%", ""},
	} {
		got, err := ParseCrop(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%s: %v (%v), %v, want %v", c.text, float64(got), got, err, c.back)
		}
		if c.middle != "" && got.Middle() != c.middle {
			t.Errorf("%s: %s, want %s", c.text, got.Middle(), c.middle)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "224.5", "70000", "101%", "22400%", "53 %", "NaN", "Inf", "x", "5%%", "0%"} {
		if got, err := ParseCrop(text); err == nil {
			t.Errorf("%q gave %v", text, got)
		}
	}
	for _, c := range []struct {
		crop          Crop
		width, height int
		want          image.Rectangle
	}{
		{224, 424, 424, image.Rect(100, 100, 324, 324)},
		{224, 425, 300, image.Rect(100, 38, 324, 262)},
		{1, 300, 199, image.Rect(50, 0, 249, 199)},
		{.5, 88, 90, image.Rect(22, 23, 66, 67)},
		{.5, 5, 5, image.Rect(1, 1, 3, 3)}, // 2.5 is rounded to even
		{.5, 7, 7, image.Rect(1, 1, 5, 5)}, // 3.5 too
	} {
		if got, err := c.crop.Square(c.width, c.height); err != nil || got != c.want {
			t.Errorf("%v of %d×%d: %v, %v, want %v", c.crop, c.width, c.height, got, err, c.want)
		}
	}
	_, err := Crop(224).Square(300, 100)
	wantError(t, err, "300×100 pixels, smaller than the crop of 224×224")
	_, err = Crop(.01).Square(10, 10)
	wantError(t, err, "smaller")
}

// Whatever a person types gives the same crop when it is printed and read again, and a square
// that lies in the image.
func TestCropProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := fmt.Sprintf("%v", rapid.Float64Range(1e-6, 1).Draw(t, "fraction"))
		if rapid.Bool().Draw(t, "percent") {
			text = fmt.Sprintf("%v%%", rapid.Float64Range(1e-4, 100).Draw(t, "percent"))
		}
		c, err := ParseCrop(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseCrop(c.String()); err != nil || again != c {
			t.Errorf("%s: %v printed as %v gives %v, %v", text, float64(c), c, float64(again), err)
		}
		width, height := rapid.IntRange(1, 9000).Draw(t, "width"), rapid.IntRange(1, 9000).Draw(t, "height")
		square, err := c.Square(width, height)
		if err != nil {
			return // below one pixel
		}
		left, right := square.Min.X, width-square.Max.X
		if square.Dx() != square.Dy() || square.Dx() < 1 || !square.In(image.Rect(0, 0, width, height)) || right-left < 0 || right-left > 1 {
			t.Errorf("%v of %d×%d: %v", c, width, height, square)
		}
	})
}

// Whatever the bytes, there are pixels or an error, no panic, and never more pixels than the header
// says.
func FuzzOpen(f *testing.F) {
	small := image.Rect(0, 0, 5, 4)
	f.Add([]byte{})
	for _, m := range []image.Image{noisy(image.NewGray(small), 1), noisy(image.NewNRGBA64(small), 2), paletted(small)} {
		f.Add(encodePNG(m))
	}
	f.Add(encodePNG(noisy(image.NewGray(small), 1))[:40])
	f.Add(encodeTIFF(noisy(image.NewGray16(small), 3), nil))
	f.Add(encodeTIFF(noisy(image.NewNRGBA(small), 4), &tiff.Options{Compression: tiff.Deflate, Predictor: true}))
	f.Add(encodeBMP(noisy(image.NewGray(small), 5)))
	f.Add(hugePNG(60000, 60000))
	f.Add([]byte("version https://git-lfs.github.com/spec/v1"))
	f.Add([]byte("SIMPLE  =                    T"))
	for _, w := range webps {
		b, _ := base64.StdEncoding.DecodeString(w.encoded)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		file, err := Open(encoded)
		if err != nil {
			return
		}
		if !file.Kind.Readable() || file.Width < 1 || file.Height < 1 || file.Width*file.Height > MaxPixels {
			t.Fatalf("%s, %d×%d", file.Kind.Name, file.Width, file.Height)
		}
		if file.JPEG() || file.Width*file.Height > 1<<16 { // decoding more is slow
			return
		}
		pixels, err := file.Pixels(nil, image.Rect(0, 0, file.Width, file.Height), 3)
		if err == nil && len(pixels) != 3*file.Width*file.Height {
			t.Errorf("%d bytes of %d×%d pixels", len(pixels), file.Width, file.Height)
		}
	})
}

// Decoding alone, per core: a picture with noise, as galaxies have.
func BenchmarkRGB(b *testing.B) {
	r := image.Rect(0, 0, 424, 424)
	for name, m := range map[string]image.Image{"rgb": opaque(noisyBlob(image.NewNRGBA(r))), "grey": noisyBlob(image.NewGray(r)), "grey16": noisyBlob(image.NewGray16(r))} {
		encoded := encodePNG(m)
		b.Run("png "+name, func(b *testing.B) {
			f, err := Open(encoded)
			if err != nil {
				b.Fatal(err)
			}
			var dst []byte
			for b.Loop() {
				if dst, err = f.Pixels(dst, r, 3); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// noisyBlob draws a galaxy on noise.
func noisyBlob(m interface {
	image.Image
	Set(x, y int, c color.Color)
}) image.Image {
	rng := rand.New(rand.NewPCG(1, 1))
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	for y := range h {
		for x := range w {
			light := 200 * math.Exp(-math.Hypot(float64(x-w/2), float64(y-h/2))/40)
			level := func(gain float64) uint16 {
				return uint16(257 * math.Min(255, math.Abs(8+gain*light+4*rng.NormFloat64())))
			}
			m.Set(x, y, color.NRGBA64{level(1), level(.8), level(.5), 65535})
		}
	}
	return m
}
