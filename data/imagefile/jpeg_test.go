package imagefile

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

var basePicture = sync.OnceValue(func() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 424, 424))
	for y := range 424 {
		for x := range 424 {
			m.Set(x, y, color.RGBA{R: uint8(x / 2), G: uint8(y / 2), B: 60, A: 255})
		}
	}
	return encodeJPEG(m)
})

func encodeJPEG(m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// wantError checks that err holds every one of the given parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q\nlacks %q", err, part)
		}
	}
}

func TestScanJPEG(t *testing.T) {
	good := basePicture()
	h, err := scanJPEG(good)
	if want := (jpegHeader{424, 424, 3}); err != nil || h != want {
		t.Fatalf("scanJPEG = %+v, %v, want %+v", h, err, want)
	}
	if _, err := scanJPEG(append(bytes.Clone(good), "trailing"...)); err != nil {
		t.Errorf("bytes behind the end: %v", err)
	}

	frame := bytes.Index(good, []byte{0xff, markerSOF0})
	scan := bytes.Index(good, []byte{0xff, markerSOS})
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not a JPEG"},
		{"one byte", good[:1], "not a JPEG"},
		{"text", []byte("<html>not found</html>"), "not a JPEG"},
		{"PNG", []byte("\x89PNG\r\n\x1a\n0123456789"), "not a JPEG"},
		{"only start", good[:2], "truncated"},
		{"cut in a marker", good[:3], "truncated"},
		{"cut in a length", good[:5], "truncated"},
		{"cut in a segment", good[:40], "truncated"},
		{"no end", good[:len(good)-2], "truncated"},
		{"half an end", good[:len(good)-1], "truncated"},
		{"stuffing at the end", append(bytes.Clone(good[:len(good)-2]), 0xff, 0), "truncated"},
		{"padded with zeros", append(bytes.Clone(good[:len(good)*9/10]), make([]byte, 500)...), "truncated"},
		{"no data", []byte{0xff, markerSOI, 0xff, markerEOI}, "no picture data"},
		{"scan without frame", append(bytes.Clone(good[:frame]), good[scan:]...), "before the frame header"},
		{"two frames", append(bytes.Clone(good[:scan]), good[frame:]...), "two frame headers"},
		{"length 1", edit(func(b []byte) []byte { b[4], b[5] = 0, 1; return b }), "length 1"},
		{"no marker", edit(func(b []byte) []byte { b[2] = 7; return b }), "no marker at byte 2"},
		{"second start", edit(func(b []byte) []byte { b[3] = markerSOI; return b }), "unexpected marker 0xd8"},
		{"12 bits", edit(func(b []byte) []byte { b[frame+4] = 12; return b }), "12 bits"},
		{"frame too short", edit(func(b []byte) []byte { b[frame+9] = 4; return b }), "bad frame header"},
		{"arithmetic", edit(func(b []byte) []byte { b[frame+1] = 0xc9; return b }), "not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := scanJPEG(c.file)
			wantError(t, err, c.want)
		})
	}
}

// No prefix of a JPEG may pass: that is what the walk is for.
func TestScanJPEGFindsEveryCut(t *testing.T) {
	good := basePicture()
	for n := range good {
		if _, err := scanJPEG(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes passed", n, len(good))
		}
	}
}

func TestScanJPEGAgreesWithDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 70).Draw(t, "width"), rapid.IntRange(1, 70).Draw(t, "height")
		var m draw.Image = image.NewRGBA(image.Rect(0, 0, w, h))
		want := jpegHeader{w, h, 3}
		if rapid.Bool().Draw(t, "grey") {
			m, want.Components = image.NewGray(image.Rect(0, 0, w, h)), 1
		}
		noise := uint64(rapid.Int().Draw(t, "noise"))
		for y := range h {
			for x := range w {
				noise = noise*6364136223846793005 + 1442695040888963407
				m.Set(x, y, color.RGBA{uint8(noise), uint8(noise >> 8), uint8(noise >> 16), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: rapid.IntRange(1, 100).Draw(t, "quality")}); err != nil {
			t.Fatal(err)
		}
		if got, err := scanJPEG(b.Bytes()); err != nil || got != want {
			t.Errorf("scanJPEG = %+v, %v, want %+v", got, err, want)
		}
	})
}

// cmyk is a picture with a fourth component in its frame header, which is all that is looked at.
func cmyk() []byte {
	b := bytes.Clone(basePicture())
	frame := bytes.Index(b, []byte{0xff, markerSOF0})
	b[frame+3] += 3
	b[frame+9] = 4
	return append(b[:frame+19:frame+19], append([]byte{4, 0x11, 0}, b[frame+19:]...)...)
}

func FuzzScanJPEG(f *testing.F) {
	small := encodeJPEG(image.NewRGBA(image.Rect(0, 0, 9, 9)))
	f.Add(small)
	f.Add(small[:len(small)*9/10])
	f.Add([]byte{0xff, markerSOI, 0xff, 0xff, 0xff, markerEOI})
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := scanJPEG(file)
		if err != nil {
			return
		}
		// Whoever passes must have all its bytes: cutting off the marker that
		// was found must fail.
		end := bytes.LastIndex(file, []byte{0xff, markerEOI})
		if end < 0 {
			t.Fatal("passed without an end-of-image marker")
		}
		if config, err := jpeg.DecodeConfig(bytes.NewReader(file)); err == nil && (config.Width != h.Width || config.Height != h.Height) {
			t.Errorf("%d×%d pixels, image/jpeg says %d×%d", h.Width, h.Height, config.Width, config.Height)
		}
	})
}

func BenchmarkScanJPEG(b *testing.B) {
	file := basePicture()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := scanJPEG(file); err != nil {
			b.Fatal(err)
		}
	}
}
