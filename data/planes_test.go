package data

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/data/fits"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
)

// planeDecoder stretches images that have the size of the result.
type planeDecoder struct{ size int }

func (d planeDecoder) Decode(dst []byte, file imagefile.File) error {
	var bands [][]float32
	for _, p := range file.Planes {
		band, _, err := p.Values(nil, image.Rect(0, 0, d.size, d.size), nil)
		if err != nil {
			return err
		}
		bands = append(bands, band)
	}
	return file.Stretch.Apply(dst, bands, file.Names)
}

const skySide = 8

// skyBand returns an image of its own for a galaxy and a band, with a hole.
func skyBand(id int64, band int) []float32 {
	pixels := make([]float32, skySide*skySide)
	for i := range pixels {
		pixels[i] = float32((i*7+int(id)*13+band*29)%97) + float32(band)
	}
	pixels[(int(id)+band)%len(pixels)] = float32(math.NaN())
	return pixels
}

// skySource is a source with the images of write for each id.
func skySource(t *testing.T, n int, write func(dir string, id int64)) (source, PrepareConfig) {
	t.Helper()
	s := sourceOf(t, small, n)
	if err := os.RemoveAll(s.images); err != nil {
		t.Fatal(err)
	}
	for _, id := range s.ids {
		write(s.images, id)
	}
	return s, PrepareConfig{Labels: s.labels, Images: s.images, Out: filepath.Join(t.TempDir(), "cache"), Schema: small, Size: skySide, Decoder: "planes"}
}

func oneFilePerBand(t *testing.T, bands ...string) func(dir string, id int64) {
	return func(dir string, id int64) {
		for k, band := range bands {
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%d_%s.fits", id, band)), fits.AppendImage(nil, "", skyBand(id, k), skySide, skySide))
		}
	}
}

func prepareSky(c PrepareConfig) (*Manifest, error) {
	return Prepare(context.Background(), c, planeDecoder{c.Size})
}

// The bands of a cache are those of each way to store them, and give the same pixels; statistics are of
// the pixels that are there; what made it is in the manifest, and found again.
func TestPrepareBands(t *testing.T) {
	bands := imagefile.Bands{"g", "r"}
	var want *Manifest
	for name, write := range map[string]func(dir string, id int64){
		"a file each": oneFilePerBand(t, "g", "r"),
		"HDUs": func(dir string, id int64) {
			file := fits.AppendImage(nil, "", nil, 0, 0)
			for k, band := range bands {
				file = fits.AppendImage(file, band, skyBand(id, k), skySide, skySide)
			}
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.fits", id)), file)
		},
		"cubes": func(dir string, id int64) {
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.fits", id)), fits.AppendImage(nil, "", append(skyBand(id, 0), skyBand(id, 1)...), skySide, skySide))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, config := skySource(t, 20, write)
			config.Bands = bands
			m, err := prepareSky(config)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Bands.Equal(bands) || m.Stretch != stretch.Default || m.Examples != 20 {
				t.Errorf("bands %v, stretch %v, %d examples", m.Bands, m.Stretch, m.Examples)
			}
			if want == nil {
				want = m
			}
			if m.ExamplesChecksum != want.ExamplesChecksum || !slices.Equal(m.ChannelMean, want.ChannelMean) {
				t.Error("the pixels depend on how bands are stored")
			}
			cache, err := Open(config.Out)
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			var sum, squares, n [2]float64
			for i := range cache.Len() {
				pixels := make([]byte, cache.Shape().Bytes())
				if err := cache.ReadImage(pixels, i); err != nil {
					t.Fatal(err)
				}
				for k, v := range pixels {
					if v == 0 || SplitOf(cache.ID(i), 0) != Train {
						continue
					}
					sum[k%2], squares[k%2], n[k%2] = sum[k%2]+float64(v)/255, squares[k%2]+float64(v)*float64(v)/255/255, n[k%2]+1
				}
			}
			for c := range 2 {
				mean := sum[c] / n[c]
				if math.Abs(m.ChannelMean[c]-mean) > 1e-9 || math.Abs(m.ChannelStd[c]-math.Sqrt(squares[c]/n[c]-mean*mean)) > 1e-9 || int(n[c])%(skySide*skySide) == 0 {
					t.Errorf("channel %d: mean %v, std %v of %v pixels", c, m.ChannelMean[c], m.ChannelStd[c], n[c])
				}
			}
			if again, err := prepareSky(config); err != nil || again.Checksum != m.Checksum {
				t.Errorf("the same again: %v", err)
			}
			config.Stretch, _ = stretch.Parse("linear")
			_, err = prepareSky(config)
			wantError(t, err, "another stretch")
		})
	}
}

// Without --bands, images say what they are.
func TestPrepareOwnBands(t *testing.T) {
	for _, c := range []struct {
		planes int
		want   string
	}{{1, "grey"}, {3, "plane0,plane1,plane2"}} {
		_, config := skySource(t, 20, func(dir string, id int64) {
			var pixels []float32
			for k := range c.planes {
				pixels = append(pixels, skyBand(id, k)...)
			}
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.fits", id)), fits.AppendImage(nil, "", pixels, skySide, skySide))
		})
		m, err := prepareSky(config)
		if err != nil || m.Bands.String() != c.want || len(m.ChannelMean) != c.planes || m.Stretch != stretch.Default {
			t.Errorf("%d planes: %v, %v", c.planes, m, err)
		}
	}
}

// 16 bits are stretched if asked for.
func TestPrepareDeepPNG(t *testing.T) {
	_, config := skySource(t, 20, func(dir string, id int64) {
		m := image.NewGray16(image.Rect(0, 0, skySide, skySide))
		for i := range m.Pix {
			m.Pix[i] = byte(i % 2 * (i + int(id))) // low bytes alone
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.png", id)), b.Bytes())
	})
	config.Stretch, _ = stretch.Parse("linear,0%..100%")
	m, err := prepareSky(config)
	if err != nil || m.Bands.String() != "grey" || m.ChannelMean[0] < .3 || m.ChannelStd[0] < .2 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestPrepareBandsErrors(t *testing.T) {
	whole := oneFilePerBand(t, "g", "r")
	remove := func(file string) func(c *PrepareConfig) {
		return func(c *PrepareConfig) {
			if err := os.Remove(filepath.Join(c.Images, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(file string, b []byte) func(c *PrepareConfig) {
		return func(c *PrepareConfig) { writeFile(t, filepath.Join(c.Images, file), b) }
	}
	blank := fits.AppendImage(nil, "", make([]float32, skySide*skySide), skySide, skySide)
	for _, c := range []struct {
		name   string
		change func(c *PrepareConfig)
		want   string
	}{
		{"a band missing", remove("100003_r.fits"), "1 broken image in"},
		{"its reason", remove("100003_r.fits"), "(100003: band r: there is no file for it), at most 0 allowed"},
		{"a blank band", write("100003_g.fits", blank), "100003: band g: it is blank: all pixels with a value have the value 0"},
		{"a JPEG among them", write("100003_g.fits", basePicture()), "100003: band g: a JPEG has been stretched already"},
		{"cut off", write("100003_r.fits", blank[:2900]), "100003: read the FITS file: HDU 0: expected data from byte 2880 to byte 3136, got a file of 2900 bytes"},
		{"lupton", func(c *PrepareConfig) { c.Stretch, _ = stretch.Parse("lupton") }, "lupton, which is for 3 bands; these images have 2"},
		{"no bands", func(c *PrepareConfig) { c.Bands = nil }, "no galaxy has both a row and an image"},
		{"a pattern", func(c *PrepareConfig) { c.Bands = nil }, "the names of the files hold the ids: give their pattern with files, such as {id}_g"},
		{"a bad pattern", func(c *PrepareConfig) { c.Files = "x" }, "has no {id}"},
		{"bands of a file", func(c *PrepareConfig) { c.Bands, c.Files = imagefile.Bands{"g", "r"}, "{id}_g" }, "has no band g: it has HDU 0 of 8×8 pixels"},
		{"not stretched", func(c *PrepareConfig) {
			if err := os.RemoveAll(c.Images); err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				writeFile(t, filepath.Join(c.Images, fmt.Sprintf("%d_g.png", 100000+3*i)), basePicture())
			}
		}, "the bands g,r are not those of JPEG, PNG and so on without a stretch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, config := skySource(t, 20, whole)
			config.Bands = imagefile.Bands{"g", "r"}
			c.change(&config)
			_, err := prepareSky(config)
			wantError(t, err, c.want)
		})
	}
	// A galaxy that lacks a band is one without an image, if those may be missing.
	_, config := skySource(t, 20, whole)
	config.Bands, config.AllowMissing = imagefile.Bands{"g", "r"}, true
	remove("100003_r.fits")(&config)
	m, err := prepareSky(config)
	if err != nil || m.RowsWithoutImage != 1 || m.Examples != 19 || len(m.Broken) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// FITS among other images is broken, and not an image of another kind.
func TestPrepareMixedFITS(t *testing.T) {
	s := sourceOf(t, small, 20)
	if err := os.Remove(s.file(100003)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, strings.TrimSuffix(s.file(100003), ".jpg")+".fits", fits.AppendImage(nil, "", skyBand(1, 1), skySide, skySide))
	_, err := Prepare(context.Background(), PrepareConfig{Labels: s.labels, Images: s.images, Out: filepath.Join(t.TempDir(), "c"), Schema: small, Size: skySide}, hashDecoder{})
	wantError(t, err, "100003: a FITS file, which needs a stretch, among images without one")
}
