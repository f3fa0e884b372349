package fits

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// What AppendImage writes, the reader reads: names, axes and pixels, bit for bit.
func TestAppendImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file []byte
		type written struct {
			name   string
			axes   []int
			pixels []float32
		}
		var hdus []written
		for range rapid.IntRange(1, 4).Draw(t, "HDUs") {
			w := written{name: rapid.StringMatching(`[A-Za-z][A-Za-z0-9' ]{0,10}[a-z]|`).Draw(t, "name")}
			if rapid.Bool().Draw(t, "image") {
				w.axes = rapid.SliceOfN(rapid.IntRange(1, 9), 3, 3).Draw(t, "axes")
				n := int(product(w.axes, math.MaxInt64))
				w.pixels = rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "pixels")
				w.pixels[0] = float32(math.NaN())
			}
			if w.axes == nil {
				w.axes = []int{4, 4, 0}
			}
			file = AppendImage(file, w.name, w.pixels, w.axes[0], w.axes[1])
			hdus = append(hdus, w)
		}
		f, err := Open(bytes.NewReader(file), int64(len(file)), 1<<20)
		if err != nil || len(f.HDUs) != len(hdus) || len(file)%block != 0 {
			t.Fatalf("%d bytes: %v", len(file), err)
		}
		for i, w := range hdus {
			h := f.HDUs[i]
			if h.Name != w.name || (h.Kind == Image) != (w.axes[2] > 0) {
				t.Fatalf("%v is %s, expected %q of %v", h, h.Kind, w.name, w.axes)
			}
			if w.axes[2] == 0 {
				continue
			}
			width, height, planes, err := h.Shape()
			if err != nil || planes > 1 && (width != w.axes[0] || height != w.axes[1]) || width*height*planes != len(w.pixels) {
				t.Fatal(width, height, planes, err)
			}
			for plane := range planes {
				got, err := h.ReadPlane(nil, plane)
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range got {
					if want := float64(w.pixels[plane*width*height+k]); v != want && !(math.IsNaN(v) && math.IsNaN(want)) {
						t.Fatalf("pixel %d: %v, expected %v", k, v, want)
					}
				}
			}
		}
	})
}
