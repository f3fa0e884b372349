package images_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"pgregory.net/rapid"

	"galaxy/data/imagefile"
	"galaxy/graph/images"
)

// blob draws a bright, coloured ellipse on noise, like a galaxy on the sky; it
// is a pure function of its arguments.
func blob(width, height int, seed uint64) *image.RGBA {
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := float64(x)-float64(width)/2, float64(y)-float64(height)/2
			light := 220 * math.Exp(-math.Hypot(dx/float64(width), 2*dy/float64(height))*8)
			level := func(gain float64) uint8 { return uint8(math.Max(0, math.Min(255, 8+gain*light+4*r.NormFloat64()))) }
			img.SetRGBA(x, y, color.RGBA{R: level(1), G: level(0.8), B: level(0.5), A: 255})
		}
	}
	return img
}

func encode(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// open returns an encoded image as a file.
func open(t testing.TB, encoded []byte) imagefile.File {
	t.Helper()
	file, err := imagefile.Open(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newDecoder(t testing.TB, crop imagefile.Crop, size int) *images.Decoder {
	t.Helper()
	d, err := images.NewDecoder(crop, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func decode(t testing.TB, crop imagefile.Crop, size int, encoded []byte) []byte {
	t.Helper()
	return decodeAs(t, crop, rgb(size), encoded)
}

func decodeAs(t testing.TB, crop imagefile.Crop, shape imagefile.Shape, encoded []byte) []byte {
	t.Helper()
	dst := make([]byte, shape.Bytes())
	if err := newDecoder(t, crop, shape.Size).Decode(dst, open(t, encoded)); err != nil {
		t.Fatal(err)
	}
	return dst
}

func rgb(size int) imagefile.Shape  { return imagefile.Shape{Size: size, Channels: 3} }
func grey(size int) imagefile.Shape { return imagefile.Shape{Size: size, Channels: 1} }

// areaMean is the slow float64 reference of the resize: pixels [crop, crop, 3]
// to means of equal areas [size, size, 3].
func areaMean(pixels []byte, crop, size int) []float64 {
	scale := float64(crop) / float64(size)
	// share is the fraction of pixel i that output o covers along one axis.
	share := func(i, o int) float64 {
		return math.Max(0, math.Min(float64(i+1), float64(o+1)*scale)-math.Max(float64(i), float64(o)*scale))
	}
	out := make([]float64, size*size*3)
	for oy := range size {
		for ox := range size {
			for y := range crop {
				for x := range crop {
					if w := share(y, oy) * share(x, ox); w > 0 {
						for c := range 3 {
							out[(oy*size+ox)*3+c] += w / (scale * scale) * float64(pixels[(y*crop+x)*3+c])
						}
					}
				}
			}
		}
	}
	return out
}

// The resize against a float64 reference: never off by more than the rounding
// to uint8, plus what float32 sums may push over a rounding edge.
func TestDecodeShrinksByArea(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		crop := rapid.IntRange(2, 40).Draw(t, "crop")
		size := rapid.IntRange(1, crop).Draw(t, "size")
		width := rapid.IntRange(crop, 60).Draw(t, "width")
		height := rapid.IntRange(crop, 60).Draw(t, "height")
		encoded := new(bytes.Buffer)
		if err := jpeg.Encode(encoded, blob(width, height, rapid.Uint64().Draw(t, "seed")), nil); err != nil {
			t.Fatal(err)
		}
		run := func(size int) []byte {
			d, err := images.NewDecoder(imagefile.Crop(crop), size)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			dst := make([]byte, size*size*3)
			file, err := imagefile.Open(encoded.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(dst, file); err != nil {
				t.Fatal(err)
			}
			return dst
		}
		decoded := crop
		if crop%2 == 0 && crop/2 >= size {
			decoded = crop / 2 // by the decoder itself: see TestDecodeHalves
		}
		want := areaMean(run(decoded), decoded, size)
		for i, v := range run(size) {
			if math.Abs(float64(v)-want[i]) > 0.5+1e-4 {
				t.Fatalf("crop %d, size %d: value %d is %d, want %v rounded", crop, size, i, v, want[i])
			}
		}
	})
}

// The decoder's own halving is close to the mean of each four pixels and in the
// right place: a neighbour is much further off. If a side is odd, the window
// may be half a pixel elsewhere.
func TestDecodeHalves(t *testing.T) {
	for _, c := range []struct{ width, height, crop int }{{424, 424, 224}, {424, 424, 424}, {128, 160, 64}, {121, 160, 64}, {160, 121, 64}} {
		t.Run(fmt.Sprintf("%dx%d to %d", c.width, c.height, c.crop), func(t *testing.T) {
			encoded := encode(t, blob(c.width, c.height, 1))
			side := c.crop / 2
			full := decode(t, imagefile.Crop(c.crop), c.crop, encoded)
			want := make([]float64, side*side*3)
			for y := range c.crop {
				for x := range c.crop {
					for ch := range 3 {
						want[(y/2*side+x/2)*3+ch] += float64(full[(y*c.crop+x)*3+ch]) / 4
					}
				}
			}
			got := decode(t, imagefile.Crop(c.crop), side, encoded)
			rms := func(dx, dy int) float64 {
				sum, n := 0.0, 0.0
				for y := 1; y < side-1; y++ {
					for x := 1; x < side-1; x++ {
						for ch := range 3 {
							sum += math.Pow(float64(got[((y+dy)*side+x+dx)*3+ch])-want[(y*side+x)*3+ch], 2)
							n++
						}
					}
				}
				return math.Sqrt(sum / n)
			}
			most := 1.0 // levels of 255
			if c.width%2 == 1 || c.height%2 == 1 {
				most = 3
			}
			if here := rms(0, 0); here > most {
				t.Errorf("%.2f levels from the mean of four pixels, want at most %v", here, most)
			}
			for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				if there := rms(d[0], d[1]); there < rms(0, 0) {
					t.Errorf("shifted by %v it is closer: %.2f levels, in place %.2f", d, there, rms(0, 0))
				}
			}
		})
	}
}

// Decoding and the window's position are compared with Go's own decoder. On
// grey files, which have no chroma to upsample, two decoders may differ by the
// rounding of the inverse transform only.
func TestDecodeCropsTheCentre(t *testing.T) {
	for _, c := range []struct{ width, height, crop int }{
		{64, 64, 64}, {64, 64, 32}, {65, 64, 32}, {64, 67, 32}, {33, 90, 33}, {424, 424, 224},
	} {
		t.Run(fmt.Sprintf("%dx%d to %d", c.width, c.height, c.crop), func(t *testing.T) {
			grey := image.NewGray(image.Rect(0, 0, c.width, c.height))
			for y := range c.height {
				for x := range c.width {
					grey.Set(x, y, color.Gray{Y: uint8(128 + 100*math.Sin(float64(x)/7)*math.Cos(float64(y)/5))})
				}
			}
			encoded := encode(t, grey)
			reference, err := jpeg.Decode(bytes.NewReader(encoded))
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, imagefile.Crop(c.crop), c.crop, encoded)
			x0, y0 := (c.width-c.crop)/2, (c.height-c.crop)/2
			for y := range c.crop {
				for x := range c.crop {
					want := int(reference.(*image.Gray).GrayAt(x0+x, y0+y).Y)
					for ch, v := range got[(y*c.crop+x)*3:][:3] {
						if math.Abs(float64(int(v)-want)) > 2 {
							t.Fatalf("pixel (%d, %d), channel %d: got %d, want %d", x, y, ch, v, want)
						}
					}
				}
			}
		})
	}
}

// Serving, a CMYK file gives RGB. Its colours equal an independent decoder's, up to the
// difference of two inverse transforms.
func TestDecodeCMYK(t *testing.T) {
	encoded, err := os.ReadFile("testdata/cmyk.jpg")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := jpeg.Decode(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeBatch(t, 32, rgb(32), []string{string(encoded)})
	if err != nil {
		t.Fatal(err)
	}
	for y := range 32 {
		for x := range 32 {
			r, g, b, _ := reference.At(8+x, 4+y).RGBA()
			for ch, want := range []uint32{r >> 8, g >> 8, b >> 8} {
				if v := got[(y*32+x)*3+ch]; math.Abs(float64(v)-float64(want)) > 8 {
					t.Fatalf("pixel (%d, %d), channel %d: got %d, want %d", x, y, ch, v, want)
				}
			}
		}
	}
}

// decodeBatch runs DecodeJPEGs on encoded files.
func decodeBatch(t *testing.T, crop imagefile.Crop, shape imagefile.Shape, encoded []string) ([]byte, error) {
	t.Helper()
	g := tf.NewGraph()
	jpegs, images, err := images.DecodeJPEGs(g, "jpeg", crop, shape)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("[?, %d, %d, %d]", shape.Size, shape.Size, shape.Channels); images.Shape().String() != want {
		t.Errorf("images have the shape %v, want %s", images.Shape(), want)
	}
	session, err := tf.NewSession(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	feed, err := tf.NewTensor(encoded)
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.Run(map[tf.Output]*tf.Tensor{jpegs: feed}, []tf.Output{images}, nil)
	if err != nil {
		return nil, err
	}
	if got := out[0].Shape(); got[0] != int64(len(encoded)) {
		t.Errorf("%d files gave %d images", len(encoded), got[0])
	}
	var buf bytes.Buffer
	if _, err := out[0].WriteContentsTo(&buf); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(out) // as in session.Floats
	return buf.Bytes(), nil
}

// A served model must see the same pixels, bit for bit, as in training.
func TestDecodeJPEGsEqualsDecoder(t *testing.T) {
	var encoded []string
	for i, shape := range [][2]int{{424, 424}, {225, 300}, {224, 224}, {301, 227}} {
		encoded = append(encoded, string(encode(t, blob(shape[0], shape[1], uint64(i)))))
	}
	for _, shape := range []imagefile.Shape{rgb(32), rgb(64), rgb(128), rgb(224), grey(32), grey(128)} {
		got, err := decodeBatch(t, 224, shape, encoded)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, e := range encoded {
			want = append(want, decodeAs(t, 224, shape, []byte(e))...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: a batch and single files gave different pixels", shape)
		}
	}
	t.Run("no files", func(t *testing.T) {
		if got, err := decodeBatch(t, 224, rgb(64), []string{}); err != nil || len(got) != 0 {
			t.Errorf("got %d bytes and %v, want none", len(got), err)
		}
	})
	t.Run("a broken file", func(t *testing.T) {
		if _, err := decodeBatch(t, 224, rgb(64), append(encoded, "no jpeg")); err == nil {
			t.Error("no error")
		}
	})
}

func TestDecodeErrors(t *testing.T) {
	whole := encode(t, blob(64, 64, 1))
	d := newDecoder(t, 48, 32)
	for _, c := range []struct {
		name    string
		dst     int
		encoded []byte
		want    string
	}{
		{"no quantization tables", 32 * 32 * 3, bytes.ReplaceAll(whole, []byte{0xff, 0xdb}, []byte{0xff, 0xfe}), "decode image: "},
		{"small image", 32 * 32 * 3, encode(t, blob(100, 40, 1)), "100×40 pixels, smaller than the crop of 48×48"},
		{"short buffer", 7, whole, "expected a buffer of 1024 bytes, or three times as many, got 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := bytes.Repeat([]byte{7}, c.dst)
			err := d.Decode(dst, open(t, c.encoded))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if strings.Trim(string(dst), "\x07") != "" {
				t.Error("the buffer was written to")
			}
		})
	}
	// If the decoder halves, it rounds sizes up: one pixel too few must still fail.
	for _, side := range [][2]int{{47, 60}, {60, 47}, {47, 47}} {
		err := newDecoder(t, 48, 24).Decode(make([]byte, 24*24*3), open(t, encode(t, blob(side[0], side[1], 1))))
		if err == nil || !strings.Contains(err.Error(), "smaller than the crop of 48×48") {
			t.Errorf("%d×%d pixels: got %v", side[0], side[1], err)
		}
	}
	for _, c := range []struct {
		crop imagefile.Crop
		size int
		want string
	}{
		{32, 33, "expected 1 ≤ size ≤ crop"}, {32, 0, "expected 1 ≤ size ≤ crop"}, {1, 0, "expected 1 ≤ size ≤ crop"},
		{0, 0, "crop is 0"}, {-1, -2, "crop is -1"}, {1.5, 1, "crop is 1.5"},
	} {
		if _, err := images.NewDecoder(c.crop, c.size); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("crop %v, size %d: got %v", c.crop, c.size, err)
		}
		if _, _, err := images.DecodeJPEGs(tf.NewGraph(), "p", c.crop, imagefile.Shape{Size: c.size, Channels: 3}); err == nil {
			t.Errorf("batch of crop %v, size %d: no error", c.crop, c.size)
		}
	}
	closed := newDecoder(t, 48, 32)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closed.Decode(make([]byte, 32*32*3), open(t, whole)); err == nil {
		t.Error("a closed decoder decodes")
	}
}

func TestDecodeConcurrently(t *testing.T) {
	d := newDecoder(t, 48, 32)
	var group sync.WaitGroup
	for i := range 8 {
		encoded := encode(t, blob(64+i, 64, uint64(i)))
		want := decode(t, 48, 32, encoded)
		group.Go(func() {
			got := make([]byte, len(want))
			for range 50 {
				if err := d.Decode(got, open(t, encoded)); err != nil {
					t.Error(err)
				} else if !bytes.Equal(got, want) {
					t.Error("pixels depend on what else is being decoded")
				}
			}
		})
	}
	group.Wait()
}

// Any bytes give an image or an error.
func FuzzDecode(f *testing.F) {
	whole := encode(f, blob(40, 36, 1))
	f.Add(whole)
	f.Add(whole[:len(whole)*9/10])
	f.Add([]byte{})
	d := newDecoder(f, 32, 16)
	f.Fuzz(func(_ *testing.T, encoded []byte) {
		if file, err := imagefile.Open(encoded); err == nil {
			_ = d.Decode(make([]byte, 16*16*3), file)
		}
	})
}

// One op decodes one 424-pixel file; img/s is over all threads.
func BenchmarkDecode(b *testing.B) {
	encoded := encode(b, blob(424, 424, 1))
	for _, size := range []int{64, 128, 224} {
		b.Run(fmt.Sprintf("224to%d", size), func(b *testing.B) {
			d := newDecoder(b, 224, size)
			b.SetBytes(int64(len(encoded)))
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				dst := make([]byte, size*size*3)
				for p.Next() {
					if err := d.Decode(dst, open(b, encoded)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
