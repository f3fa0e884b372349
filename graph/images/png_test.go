package images_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data/imagefile"
	"galaxy/graph/images"
)

// decoded returns the image of a file in some channels.
func decoded(t rapid.TB, crop imagefile.Crop, size, channels int, encoded []byte) ([]byte, error) {
	t.Helper()
	file, err := imagefile.Open(encoded)
	if err != nil {
		return nil, err
	}
	d, err := images.NewDecoder(crop, size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	dst := make([]byte, size*size*channels)
	return dst, d.Decode(dst, file)
}

// plain returns an image of 8 bits without transparency and with noise: grey, colour or palette.
func plain(kind string, width, height int, seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 1))
	box := image.Rect(0, 0, width, height)
	switch kind {
	case "grey":
		m := image.NewGray(box)
		for i := range m.Pix {
			m.Pix[i] = uint8(r.Uint32())
		}
		return m
	case "palette":
		var colours color.Palette
		for range 200 {
			colours = append(colours, color.RGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255})
		}
		m := image.NewPaletted(box, colours)
		for i := range m.Pix {
			m.Pix[i] = uint8(r.IntN(len(colours)))
		}
		return m
	}
	pixels := make([]byte, 3*width*height)
	for i := range pixels {
		pixels[i] = uint8(r.Uint32())
	}
	return picture(pixels, width, height)
}

// TensorFlow's pixels of a PNG are those that Go has of a TIFF of the same image, in both bands and
// for every crop.
func TestDecodePlainPNG(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom([]string{"grey", "colour", "palette"}).Draw(rt, "kind")
		width, height := rapid.IntRange(8, 40).Draw(rt, "width"), rapid.IntRange(8, 40).Draw(rt, "height")
		channels := rapid.SampledFrom([]int{1, 3}).Draw(rt, "channels")
		crop := imagefile.Crop(rapid.IntRange(2, min(width, height)).Draw(rt, "crop"))
		if rapid.Bool().Draw(rt, "fraction") {
			crop = imagefile.Crop(rapid.Float64Range(.3, 1).Draw(rt, "crop"))
		}
		size := rapid.IntRange(1, crop.Side(width, height)).Draw(rt, "size")
		m := plain(kind, width, height, rapid.Uint64().Draw(rt, "seed"))
		encoded := encodePNG(t, m)
		file, err := imagefile.Open(encoded)
		if err != nil || file.PlainPNG(channels) != (channels == 3 || kind == "grey") {
			rt.Fatalf("%s in %d channels: PlainPNG %t, %v", kind, channels, file.PlainPNG(channels), err)
		}
		got, err := decoded(rt, crop, size, channels, encoded)
		want, wantErr := decoded(rt, crop, size, channels, encodeTIFF(t, m))
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			rt.Errorf("%s, %d×%d, %d channels, crop %v, size %d: PNG and TIFF differ (%v, %v)", kind, width, height, channels, crop, size, err, wantErr)
		}
	})
}

// A PNG that is cut or changed anywhere is broken for TensorFlow and Go alike, or has the same image.
func TestDecodeDamagedPNG(t *testing.T) {
	const size = 12
	d, err := images.NewDecoder(1, size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	whole := encodePNG(t, plain("colour", size, size, 3))
	check := func(what string, at int, encoded []byte) {
		t.Helper()
		file, err := imagefile.Open(encoded)
		if err != nil || file.Width != size || file.Height != size {
			return
		}
		got := make([]byte, size*size*3)
		err = d.Decode(got, file)
		m, goErr := png.Decode(bytes.NewReader(encoded))
		if (err == nil) != (goErr == nil) {
			t.Errorf("%s at %d: %v, Go has %v", what, at, err, goErr)
		} else if err == nil && !bytes.Equal(encodePNG(t, picture(got, size, size)), encodePNG(t, m)) {
			t.Errorf("%s at %d: another image than Go's", what, at)
		}
	}
	for at := range whole {
		check("cut", at, whole[:at])
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		check("changed", at, changed)
	}
}

// Files with transparency, 16 bits or parts without end are left to Go.
func TestPlainPNG(t *testing.T) {
	box := image.Rect(0, 0, 9, 9)
	seen := image.NewPaletted(box, color.Palette{color.RGBA{}, color.RGBA{1, 2, 3, 255}})
	colour := encodePNG(t, plain("colour", 9, 9, 1))
	endless := slices.Insert(bytes.Clone(colour), 33, []byte("\xff\xff\xff\xfftEXt")...) // after the header
	for name, encoded := range map[string][]byte{
		"16 bits": encodePNG(t, image.NewGray16(box)), "alpha": encodePNG(t, image.NewNRGBA(box)), "palette with transparency": encodePNG(t, seen),
		"header only": colour[:33], "TIFF": encodeTIFF(t, image.NewGray(box)), "endless": endless,
	} {
		if file, err := imagefile.Open(encoded); err == nil && file.PlainPNG(3) {
			t.Errorf("%s is a plain PNG", name)
		}
	}
	if file, err := imagefile.Open(colour); err != nil || !file.PlainPNG(3) || file.PlainPNG(1) {
		t.Errorf("colour: %v", err)
	}
}
