package imagefile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
	"pgregory.net/rapid"

	"galaxy/data/fits"
	"galaxy/data/stretch"
)

// counted returns n pixels first, first+1 and so on.
func counted(first float32, n int) []float32 {
	pixels := make([]float32, n)
	for i := range pixels {
		pixels[i] = first + float32(i)
	}
	return pixels
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// withCard returns a FITS file of one HDU with a card more, in place of END and what follows it.
func withCard(file []byte, key, value string) []byte {
	file = bytes.Clone(file)
	at := bytes.Index(file, []byte("END     "))
	copy(file[at:], fmt.Sprintf("%-80s%-80s", fmt.Sprintf("%-8s= %20s", key, value), "END"))
	return file
}

// Which HDU or plane each band is, by the first pixel's value.
func TestOpenPlanes(t *testing.T) {
	single := fits.AppendImage(nil, "", counted(100, 6), 3, 2)
	cube := fits.AppendImage(nil, "", counted(0, 18), 3, 2)
	banded := withCard(withCard(withCard(cube, "BAND0", "'g       '"), "BAND1", "'r       '"), "BAND2", "'z       '")
	several := fits.AppendImage(nil, "", nil, 0, 0)
	for i, name := range []string{"SCI", "err", "", "g"} {
		several = fits.AppendImage(several, name, counted(float32(100*i), 6), 3, 2)
	}
	several = fits.AppendImage(several, "cube", counted(900, 12), 3, 2)
	grey16 := image.NewGray16(image.Rect(0, 0, 3, 2))
	grey16.SetGray16(0, 0, color.Gray16{Y: 4000})
	colour := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	colour.SetNRGBA(0, 0, color.NRGBA{10, 20, 30, 255})
	deep := image.NewNRGBA64(image.Rect(0, 0, 3, 2))
	deep.SetNRGBA64(0, 0, color.NRGBA64{1000, 2000, 3000, 0xffff})
	one := func(b []byte) [][]byte { return [][]byte{b} }
	for _, c := range []struct {
		name  string
		files [][]byte
		bands string
		first []float32 // the top left pixel of each band
		err   string
	}{
		{"single", one(single), "grey", []float32{103}, ""},
		{"a name", one(single), "f814w", []float32{103}, ""},
		{"by number", one(single), "hdu0", []float32{103}, ""},
		{"gzip", one(gzipped(single)), "grey", []float32{103}, ""},
		{"cube", one(cube), "g,r,z", []float32{3, 9, 15}, ""},
		{"colours", one(cube), "rgb", []float32{3, 9, 15}, ""},
		{"planes", one(cube), "plane2,plane0", []float32{15, 3}, ""},
		{"cards", one(banded), "z,g", []float32{15, 3}, ""},
		{"the first with pixels", one(several), "grey", []float32{3}, ""},
		{"names of HDUs", one(several), "G,sci,hdu2", []float32{303, 3, 103}, ""},
		{"a file each", [][]byte{single, gzipped(several), single}, "g,r,z", []float32{103, 3, 103}, ""},
		{"16 bits", one(encodePNG(grey16)), "grey", []float32{4000}, ""},
		{"TIFF", one(encodeTIFF(grey16, &tiff.Options{Compression: tiff.Deflate})), "r", []float32{4000}, ""},
		{"8 bits", one(encodePNG(opaque(colour))), "rgb", []float32{10, 20, 30}, ""},
		{"deep colour", one(encodePNG(opaque(deep))), "a,b,c", []float32{1000, 2000, 3000}, ""},

		{"planes missing", one(single), "plane1", nil, "HDU 0 has no plane1: its planes are 0 to 0"},
		{"a cube for one", one(cube), "grey", nil, "the FITS file has no band grey: it has HDU 0 of 3×2 pixels and 3 planes; name as bands HDUs by EXTNAME or as hdu0, or planes as plane0"},
		{"a cube as an HDU", one(several), "cube", nil, "HDU 5 (cube) has 2 planes; expected 1 for the band cube"},
		{"some names", one(several), "g,r", nil, "has no band r: it has HDU 0 of no data, HDU 1 (SCI) of 3×2 pixels"},
		{"no such HDU", one(single), "hdu1", nil, "has no band hdu1"},
		{"an empty HDU", one(several), "hdu0", nil, "has no band hdu0"},
		{"a cube in a file of a band", [][]byte{single, cube}, "g,r", nil, "band r: the FITS file has no band r: it has HDU 0 of 3×2 pixels and 3 planes"},
		{"channels", one(encodePNG(grey16)), "rgb", nil, "the image has 1 channel; expected 3: rgb"},
		{"JPEG", one(basePicture()), "rgb", nil, "a JPEG has been stretched already"},
		{"text", [][]byte{single, []byte("text")}, "g,r", nil, "band r: the file is a text file; expected an image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bands, err := ParseBands(c.bands)
			if err != nil {
				t.Fatal(err)
			}
			f, err := OpenPlanes(c.files, bands, stretch.Default)
			if c.err != "" {
				wantError(t, err, c.err)
				return
			}
			if err != nil || len(f.Planes) != len(c.first) || f.Width != 3 || f.Height != 2 || f.Stretch != stretch.Default || !slices.Equal(f.Names, bands.Names()) {
				t.Fatalf("%+v, %v", f.Planes, err)
			}
			for i, p := range f.Planes {
				got, _, err := p.Values(nil, image.Rect(0, 0, 3, 2), nil)
				if err != nil || len(got) != 6 || got[0] != c.first[i] {
					t.Errorf("band %s: %v, %v; want %v first", bands[i], got, err, c.first[i])
				}
			}
		})
	}
}

// A broken FITS file is named as such, and nothing is allocated for what its header claims.
func TestOpenFITSErrors(t *testing.T) {
	good := fits.AppendImage(nil, "", counted(0, 64), 8, 8)
	edit := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	table := append(fits.AppendImage(nil, "", nil, 0, 0), edit("SIMPLE  =                    T", "XTENSION= 'BINTABLE'          ")...)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"a header alone", good[:80], "read the FITS file: HDU 0: "},
		{"half", good[:2880+128], "expected data from byte 2880 to byte 3136, got a file of 3008 bytes: it is truncated, or an axis is wrong"},
		{"a billion", edit("NAXIS1  =                    8", "NAXIS1  =           1000000000"), "the image is 1000000000×8 pixels; expected at most 67108864"},
		{"a billion both ways", bytes.ReplaceAll(edit("NAXIS1  =                    8", "NAXIS1  =           1000000000"), []byte("NAXIS2  =                    8"), []byte("NAXIS2  =           1000000000")), "the axes [1000000000 1000000000] with PCOUNT 0 and GCOUNT 1 make more bytes than a file can have"},
		{"axes", edit("NAXIS   =                    2", "NAXIS   =            123456789"), "NAXIS"},
		{"no image", fits.AppendImage(nil, "", nil, 0, 0), "the FITS file has no image: expected an HDU of the kind 'image', got HDU 0: no data"},
		{"a table", table, "got HDU 0: no data; HDU 1: binary table"},
		{"one axis", edit("NAXIS   =                    2", "NAXIS   =                    1"), "expected an image with 2 or 3 axes, got 1"},
		{"gzip cut off", gzipped(good)[:len(gzipped(good))-12], "expand the file by gzip"},
		{"bzip2 of something else", []byte("BZh91AY&SY"), "read the FITS file: expand the file by bzip2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := OpenPlanes([][]byte{c.file}, Grey, stretch.Default)
			if err == nil {
				_, _, err = f.Planes[0].Values(nil, image.Rect(0, 0, f.Width, f.Height), nil)
			}
			wantError(t, err, c.want)
		})
	}
}

// A window of FITS pixels is the same window of the image seen with its last row at the top.
func TestValuesOrientation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 9).Draw(t, "width"), rapid.IntRange(1, 9).Draw(t, "height")
		pixels := counted(0, width*height)
		f, err := OpenPlanes([][]byte{fits.AppendImage(nil, "", pixels, width, height)}, Grey, stretch.Default)
		if err != nil {
			t.Fatal(err)
		}
		r := image.Rect(rapid.IntRange(0, width).Draw(t, "x"), rapid.IntRange(0, height).Draw(t, "y"), width, height)
		got, _, err := f.Planes[0].Values(counted(0, 99), r, make([]float64, 3))
		if err != nil || len(got) != r.Dx()*r.Dy() {
			t.Fatal(len(got), err)
		}
		for i, v := range got {
			x, y := r.Min.X+i%r.Dx(), r.Min.Y+i/r.Dx()
			if want := pixels[(height-1-y)*width+x]; v != want {
				t.Fatalf("pixel (%d, %d): %v, expected %v", x, y, v, want)
			}
		}
	})
}

func TestBandsOfFile(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"plane", fits.AppendImage(nil, "", counted(0, 6), 3, 2), "grey"},
		{"cube", fits.AppendImage(nil, "", counted(0, 12), 3, 2), "plane0,plane1"},
		{"colour", basePicture(), "rgb"},
		{"too many", fits.AppendImage(nil, "", counted(0, 54), 3, 2), "HDU 0 has 9 planes; expected 1 to 8"},
	} {
		f, err := Open(c.file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Bands()
		if err != nil {
			wantError(t, err, c.want)
		} else if b.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, b, c.want)
		}
	}
}

func TestTransparentPixels(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	m.SetNRGBA(1, 0, color.NRGBA{1, 2, 3, 255})
	f, err := OpenPlanes([][]byte{encodePNG(m)}, RGB, stretch.Default)
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ := f.Planes[1].Values(nil, image.Rect(0, 0, 2, 1), nil)
	if !math.IsNaN(float64(got[0])) || got[1] != 2 {
		t.Error(got)
	}
}

// Whatever the bytes and the bands, there are planes or an error.
func FuzzOpenPlanes(f *testing.F) {
	f.Add(fits.AppendImage(nil, "", counted(0, 12), 3, 2), "g,r")
	f.Add(fits.AppendImage(fits.AppendImage(nil, "", nil, 0, 0), "SCI", counted(0, 4), 2, 2), "sci")
	f.Add(gzipped(fits.AppendImage(nil, "", counted(0, 4), 2, 2)), "plane0,hdu0")
	f.Add(encodePNG(image.NewGray16(image.Rect(0, 0, 2, 2))), "grey")
	f.Fuzz(func(t *testing.T, encoded []byte, text string) {
		bands, err := ParseBands(text)
		if err != nil {
			return
		}
		file, err := OpenPlanes([][]byte{encoded}, bands, stretch.Default)
		if err != nil {
			return
		}
		if len(file.Planes) != bands.Channels() || strings.Contains(file.Kind.Name, "JPEG") {
			t.Fatalf("%d planes of %s", len(file.Planes), file.Kind.Name)
		}
		for _, p := range file.Planes {
			if p.Width < 1 || p.Height < 1 || p.Width*p.Height > MaxPixels {
				t.Fatalf("%d×%d", p.Width, p.Height)
			}
			if p.Width*p.Height < 1<<16 {
				_, _, _ = p.Values(nil, image.Rect(0, 0, p.Width, p.Height), nil)
			}
		}
	})
}
