//go:build parity

package parity

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/graph/images"
)

// TestImages decodes images of all kinds that Pillow has written: the same pixels.
func TestImages(t *testing.T) {
	if n := compareImages(t, map[string]any{"make": t.TempDir(), "pixels": t.TempDir()}); n < 50 {
		t.Errorf("%d images compared, expected 50 or more", n)
	}
}

// TestImagesOfCatalogues compares real files, which are not part of the repository.
func TestImagesOfCatalogues(t *testing.T) {
	root := os.Getenv("GALAXY_CATALOGUES")
	if root == "" {
		t.Skip("GALAXY_CATALOGUES is not set: it is a folder with images-mixed, images-16bit and broken, images of several formats")
	}
	for _, folder := range []string{"images-mixed", "images-16bit", "broken"} {
		if n := compareImages(t, map[string]any{"root": filepath.Join(root, folder), "pixels": t.TempDir()}); n == 0 {
			t.Errorf("%s: no image compared", folder)
		}
	}
}

// compareImages returns the number of images that have the pixels that images.py says.
func compareImages(t *testing.T, question map[string]any) int {
	t.Helper()
	var files []struct {
		Path          string
		Width, Height int
		RGB, Grey     string
		Depth         int
	}
	ask(t, "images.py", question, &files)
	for _, f := range files {
		encoded, err := os.ReadFile(f.Path)
		must(t, err)
		file, err := imagefile.Open(encoded)
		if err != nil || file.Width != f.Width || file.Height != f.Height {
			t.Errorf("%s: %d×%d pixels, %v: expected %d×%d", f.Path, file.Width, file.Height, err, f.Width, f.Height)
			continue
		}
		for channels, pixels := range map[int]string{3: f.RGB, 1: f.Grey} {
			got, err := file.Pixels(nil, image.Rect(0, 0, f.Width, f.Height), channels)
			must(t, err)
			want, err := os.ReadFile(pixels)
			must(t, err)
			off, most := 0, 0.0
			for i, v := range got {
				d := math.Abs(float64(v) - float64(want[i]))
				if f.Depth == 16 && d <= 1 { // v/257 to nearest, and the high byte alone
					continue
				}
				if d > 0 {
					off++
				}
				most = max(most, d)
			}
			if off > 0 || len(got) != len(want) {
				t.Errorf("%s, %s, %d channels: %d of %d values differ, by %v at most", f.Path, file.Kind.Name, channels, off, len(want), most)
			}
		}
	}
	t.Logf("%d images", len(files))
	return len(files)
}

// TestJPEGsInGrey compares the grey of colour JPEGs with libjpeg's, which Pillow shows.
func TestJPEGsInGrey(t *testing.T) {
	files, got := encodeJPEGs(t, rand.New(rand.NewPCG(3, 4)), 3, 1, imagefile.Shape{Size: data.ImageSide, Channels: 1})
	for i, path := range files {
		want := filepath.Join(t.TempDir(), "pixels")
		ask(t, "images.py", map[string]any{"draft": path, "pixels": want}, new(any))
		pixels, err := os.ReadFile(want)
		must(t, err)
		if one := len(got) / len(files); !bytes.Equal(got[i*one:][:one], pixels) {
			t.Errorf("%s: other pixels in grey than libjpeg's", path)
		}
	}
}

// TestImagesSpeed logs how long it takes to decode a PNG and to reduce it to 64 px, on one core,
// compared with Pillow. It never fails: the times are the machine's.
func TestImagesSpeed(t *testing.T) {
	folder := t.TempDir()
	ask(t, "images.py", map[string]any{"make": folder, "pixels": t.TempDir()}, new(any))
	d, err := images.NewDecoder(1, 64)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	for _, kind := range []string{"rgb", "grey", "grey16"} {
		path := filepath.Join(folder, fmt.Sprintf("large-%s.png", kind))
		encoded, err := os.ReadFile(path)
		must(t, err)
		file, err := imagefile.Open(encoded)
		must(t, err)
		dst := make([]byte, 64*64*3)
		var times []float64
		for start := time.Now(); time.Since(start) < 2*time.Second; {
			one := time.Now()
			must(t, d.Decode(dst, file))
			times = append(times, time.Since(one).Seconds())
		}
		slices.Sort(times)
		var pillow struct{ Seconds float64 }
		ask(t, "images.py", map[string]any{"time": path, "seconds": 2}, &pillow)
		galaxy := times[len(times)/2]
		t.Logf("%s: galaxy %.2f ms, Pillow %.2f ms, ratio of speeds %.2f", kind, 1e3*galaxy, 1e3*pillow.Seconds, pillow.Seconds/galaxy)
	}
}
