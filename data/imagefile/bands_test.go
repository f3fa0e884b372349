package imagefile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseBands(t *testing.T) {
	for text, want := range map[string]Bands{
		"rgb": RGB, "RGB": RGB, "grey": Grey, "gray": Grey, "g,r,z": {"g", "r", "z"}, " VIS, Y ": {"VIS", "Y"}, "f115w": {"f115w"},
	} {
		got, err := ParseBands(text)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
		if again, err := ParseBands(got.String()); err != nil || !again.Equal(got) {
			t.Errorf("%q is written as %v, which is read as %v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "names of 1 to 32", "g,": "names of 1 to 32", "g r": "names of 1 to 32", "ü": "names of 1 to 32", strings.Repeat("x", 33): "names of 1 to 32",
		"g,r,g": "every band once", "1,2,3,4,5,6,7,8,9": "1 to 8 bands",
	} {
		if _, err := ParseBands(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// Files of before have no bands, and RGB adds none.
func TestBandsInFiles(t *testing.T) {
	type file struct {
		Bands Bands `json:"bands,omitzero"`
	}
	for _, c := range []struct {
		bands Bands
		want  string
	}{{nil, `{}`}, {RGB, `{}`}, {Grey, `{"bands":["grey"]}`}, {Bands{"g", "r", "z"}, `{"bands":["g","r","z"]}`}} {
		text, err := json.Marshal(file{c.bands})
		if err != nil || string(text) != c.want {
			t.Errorf("%v is written as %s, %v, want %s", c.bands, text, err, c.want)
		}
		var got file
		if err := json.Unmarshal(text, &got); err != nil || !got.Bands.Equal(c.bands) || got.Bands.Channels() != c.bands.Channels() {
			t.Errorf("%s is read as %v, %v", text, got.Bands, err)
		}
	}
	if Bands(nil).Channels() != 3 || !RGB.Picture() || !Bands(nil).Picture() || !Grey.Picture() || (Bands{"g", "r", "z"}).Picture() {
		t.Error("other bands than RGB and grey are those of pictures")
	}
}

func TestShape(t *testing.T) {
	s := Shape{Size: 5, Channels: 2}
	if n, err := s.Count(make([]byte, 150)); n != 3 || err != nil {
		t.Errorf("150 bytes are %d images, %v", n, err)
	}
	for _, n := range []int{0, 49, 51} {
		if _, err := s.Count(make([]byte, n)); err == nil || !strings.Contains(err.Error(), fmt.Sprint(n)+" bytes of images: expected a multiple of 5×5×2") {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
	if _, err := (Shape{}).Count([]byte{1}); err == nil {
		t.Error("images of no size were counted")
	}
}

func jpegOf(m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// What is grey by its header, whatever its pixels are.
func TestGreyHeaders(t *testing.T) {
	r := image.Rect(0, 0, 4, 3)
	greys, colours := color.Palette{}, color.Palette{}
	for i := range 200 {
		greys, colours = append(greys, color.Gray{uint8(i)}), append(colours, color.NRGBA{uint8(i), uint8(i), uint8(i), 255})
	}
	colours[7] = color.NRGBA{1, 2, 3, 255}
	greyAlpha := encodePNG(image.NewNRGBA(r))
	greyAlpha[25] = 4 // the colour type, in the chunk of 17 bytes from byte 12 on
	binary.BigEndian.PutUint32(greyAlpha[29:], crc32.ChecksumIEEE(greyAlpha[12:29]))
	for name, c := range map[string]struct {
		file []byte
		grey bool
	}{
		"grey JPEG": {jpegOf(image.NewGray(r)), true}, "colour JPEG of grey pixels": {jpegOf(image.NewRGBA(r)), false},
		"grey PNG": {encodePNG(image.NewGray(r)), true}, "grey PNG of 16 bits": {encodePNG(image.NewGray16(r)), true},
		"colour PNG of grey pixels": {encodePNG(image.NewNRGBA(r)), false}, "grey PNG with alpha": {greyAlpha, true},
		"PNG with a grey palette": {encodePNG(image.NewPaletted(r, greys)), true}, "PNG with one colour in its palette": {encodePNG(image.NewPaletted(r, colours)), false},
		"grey TIFF": {encodeTIFF(image.NewGray(r), nil), true}, "grey TIFF of 16 bits": {encodeTIFF(image.NewGray16(r), nil), true}, "colour TIFF": {encodeTIFF(image.NewRGBA(r), nil), false},
		"grey BMP": {encodeBMP(image.NewGray(r)), true}, "colour BMP": {encodeBMP(image.NewRGBA(r)), false},
	} {
		f, err := Open(c.file)
		if err != nil || f.Grey != c.grey {
			t.Errorf("%s: grey %v, %v", name, f.Grey, err)
		}
	}
}

// Luma is the float64 sum of BT.601, rounded, and leaves grey as it is.
func TestLuma(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rgb := rapid.SliceOfN(rapid.Byte(), 30, 30).Draw(t, "pixels")
		copy(rgb[27:], []byte{rgb[27], rgb[27], rgb[27]})
		got := luma(slices.Clone(rgb))
		for i := range 10 {
			want := .299*float64(rgb[3*i]) + .587*float64(rgb[3*i+1]) + .114*float64(rgb[3*i+2])
			// The weights of 16 bits are off by up to 2⁻¹⁷ each.
			if math.Abs(float64(got[i])-want) > .5+3*255.0/(1<<17) {
				t.Errorf("luma of %v is %d, want %v rounded", rgb[3*i:3*i+3], got[i], want)
			}
		}
		if got[9] != rgb[27] {
			t.Errorf("grey %d became %d", rgb[27], got[9])
		}
	})
}
