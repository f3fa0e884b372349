package images_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data/fits"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
)

var nan = float32(math.NaN())

// maskedAreaMean is the slow float64 reference of one band: the crop of a FITS image, whose bottom row comes
// first, to means [size, size] over the pixels that are finite, and NaN where none is. The top row
// comes first.
func maskedAreaMean(pixels []float32, width, height, crop, size int) []float64 {
	scale := float64(crop) / float64(size)
	covered := func(i, o int) float64 {
		return math.Max(0, math.Min(float64(i+1), float64(o+1)*scale)-math.Max(float64(i), float64(o)*scale))
	}
	left, top := (width-crop)/2, (height-crop)/2
	out := make([]float64, size*size)
	for o := range out {
		sum, weights := 0., 0.
		for y := range crop {
			for x := range crop {
				v := float64(pixels[(height-1-top-y)*width+left+x])
				if w := covered(y, o/size) * covered(x, o%size); w > 1e-9 && !math.IsNaN(v) && !math.IsInf(v, 0) {
					sum, weights = sum+w*v, weights+w
				}
			}
		}
		out[o] = sum / weights
	}
	return out
}

// anySky draws an image with holes.
func anySky(t *rapid.T, width, height int) []float32 {
	holes := rapid.SampledFrom([]int{0, 0, 1, 3, 9}).Draw(t, "holes of 10")
	seed := rapid.Uint32().Draw(t, "seed")
	pixels := make([]float32, width*height)
	for i := range pixels {
		seed = seed*1664525 + 1013904223
		pixels[i] = float32(seed>>16)/1e3 - 20
		if int(seed>>8%10) < holes {
			pixels[i] = []float32{nan, float32(math.Inf(1))}[seed>>20%2]
		}
	}
	return pixels
}

// Every band is cropped, downscaled over what is there and then stretched; bands may differ in size if
// the crop is a fraction.
func TestDecodePlanes(t *testing.T) {
	linear, err := stretch.Parse("linear,-30..60")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bands := imagefile.Bands(strings.Split("ugrizyjh", "")[:rapid.IntRange(1, 8).Draw(rt, "bands")])
		size := rapid.IntRange(2, 6).Draw(rt, "size")
		fraction := rapid.Bool().Draw(rt, "fraction")
		crop := imagefile.Crop(rapid.IntRange(size, 20).Draw(rt, "crop"))
		if fraction {
			crop = imagefile.Crop(rapid.Float64Range(.5, 1).Draw(rt, "crop"))
		}
		d := newDecoder(t, crop, size)
		var files [][]byte
		var want [][]float64
		width, height := 0, 0
		for i := range bands {
			if i == 0 || fraction {
				width, height = rapid.IntRange(20, 24).Draw(rt, "width"), rapid.IntRange(20, 24).Draw(rt, "height")
			}
			pixels := anySky(rt, width, height)
			files = append(files, fits.AppendImage(nil, "", pixels, width, height))
			want = append(want, maskedAreaMean(pixels, width, height, crop.Side(width, height), size))
		}
		file, err := imagefile.OpenPlanes(files, bands, linear)
		if err != nil {
			rt.Fatal(err)
		}
		dst := make([]byte, size*size*len(bands))
		if err := d.Decode(dst, file); err != nil {
			if strings.Contains(err.Error(), "it is blank") {
				rt.Skip("nothing there")
			}
			rt.Fatal(err)
		}
		for i := range bands {
			for p, v := range want[i] {
				level := 1 + 254*math.Max(0, math.Min(1, (v+30)/90))
				if got := dst[p*len(bands)+i]; math.IsNaN(v) != (got == 0) || math.Abs(float64(got)-level) > .501 {
					rt.Fatalf("band %s, pixel %d: %d, expected %v of %v", bands[i], p, got, level, v)
				}
			}
		}
	})
}

func TestDecodePlanesErrors(t *testing.T) {
	sky := make([]float32, 400)
	for i := range sky {
		sky[i] = float32(i % 7)
	}
	whole, small := fits.AppendImage(nil, "", sky, 20, 20), fits.AppendImage(nil, "", sky[:100], 10, 10)
	blank := fits.AppendImage(nil, "", make([]float32, 400), 20, 20)
	holes := make([]float32, 400)
	for i := range holes {
		holes[i] = nan
	}
	gone := fits.AppendImage(nil, "", holes, 20, 20)
	lupton, _ := stretch.Parse("lupton")
	for _, c := range []struct {
		name  string
		files [][]byte
		crop  imagefile.Crop
		by    stretch.Stretch
		want  string
	}{
		{"smaller", [][]byte{whole, small}, 8, stretch.Default, "band r: 10×10 pixels, but 20×20 of band g: a crop in pixels would show another field; choose one as a fraction"},
		{"too small", [][]byte{whole, small}, .5, stretch.Default, "band r: the image is 10×10 pixels, and a crop of 50% keeps 5×5, less than the 8×8 to make"},
		{"cut off", [][]byte{whole, whole[:3000]}, 1, stretch.Default, "band r: read the FITS file: HDU 0: expected data from byte 2880"},
		{"blank", [][]byte{blank, whole}, 1, stretch.Default, "band g: it is blank: all pixels with a value have the value 0"},
		{"nothing there", [][]byte{gone}, 1, stretch.Default, "it is blank: no pixel has a value"},
		{"two bands", [][]byte{whole, whole}, 1, lupton, "lupton, which is for 3 bands; these images have 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bands := imagefile.Bands{"g", "r"}[:len(c.files)]
			file, err := imagefile.OpenPlanes(c.files, bands, c.by)
			if err == nil {
				err = newDecoder(t, c.crop, 8).Decode(make([]byte, 8*8*len(c.files)), file)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
	file, err := imagefile.OpenPlanes([][]byte{whole}, imagefile.Grey, stretch.Default)
	if err != nil {
		t.Fatal(err)
	}
	if err := newDecoder(t, 1, 8).Decode(make([]byte, 8*8*3), file); err == nil || !strings.Contains(err.Error(), "expected a buffer of 64 bytes for 1 bands") {
		t.Error(err)
	}
}

// One op reads and stretches a FITS file that is in memory, on one core.
func BenchmarkDecodeFITS(b *testing.B) {
	for _, side := range []int{64, 199} {
		sky := make([]float32, side*side)
		for i := range sky {
			sky[i] = float32(math.Sin(float64(i))) + 300/float32(1+i%side)
		}
		encoded := fits.AppendImage(nil, "", sky, side, side)
		b.Run(imagefile.Shape{Size: side, Channels: 1}.String(), func(b *testing.B) {
			d, dst := newDecoder(b, 1, 64), make([]byte, 64*64)
			for b.Loop() {
				file, err := imagefile.OpenPlanes([][]byte{encoded}, imagefile.Grey, stretch.Default)
				if err == nil {
					err = d.Decode(dst, file)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
