package train

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"galaxy/data/imagefile"
	"galaxy/labels"
	"galaxy/train/metric"
)

// lettered is an image of 3×3 pixels, abc/def/ghi, each in channels that differ, up to five.
func lettered(rows string, channels int) []byte {
	var out []byte
	for _, letter := range []byte(strings.ReplaceAll(rows, "/", "")) {
		out = append(out, []byte{letter, letter + 100, letter ^ 0x80, 3 * letter, 255 - letter}[:channels]...)
	}
	return out
}

// three is the shape of an image of letters in RGB.
var three = imagefile.Shape{Size: 3, Channels: 3}

func TestTurn(t *testing.T) {
	views := []string{
		"abc/def/ghi", "cba/fed/ihg", // as it is, left to right
		"ghi/def/abc", "ihg/fed/cba", // top to bottom, both (half a turn)
		"adg/beh/cfi", "gda/heb/ifc", // rows and columns exchanged, and then as above;
		"cfi/beh/adg", "ifc/heb/gda", // these are two quarter turns and two mirror images
	}
	for _, channels := range []int{1, 3, 5} {
		shape := imagefile.Shape{Size: 3, Channels: channels}
		src := slices.Concat(lettered(views[0], channels), lettered("jkl/mno/pqr", channels))
		for view, want := range views {
			dst := make([]byte, len(src))
			shape.Turn(dst, src, view)
			if !bytes.Equal(dst[:shape.Bytes()], lettered(want, channels)) {
				t.Errorf("%d channels, view %d is not %s", channels, view, want)
			}
			second := make([]byte, shape.Bytes())
			shape.Turn(second, src[shape.Bytes():], view)
			if !bytes.Equal(dst[shape.Bytes():], second) {
				t.Errorf("%d channels, view %d: the second image is not turned as a first", channels, view)
			}
		}
	}
	// Of the first 1, 2, 4 and 8, any two in sequence are one of them.
	for _, n := range []int{1, 2, 4, MaxViews} {
		for a := range n {
			for b := range n {
				once, twice := make([]byte, 27), make([]byte, 27)
				three.Turn(once, lettered(views[0], 3), a)
				three.Turn(twice, once, b)
				if !slices.ContainsFunc(views[:n], func(v string) bool { return bytes.Equal(twice, lettered(v, 3)) }) {
					t.Errorf("views %d and then %d are none of the first %d", a, b, n)
				}
			}
		}
	}
}

// corner predicts the first pixel of every image, and its square.
type corner struct {
	size  int
	calls int
	err   error // of the third call
}

func (c *corner) Predict(images []byte) (logits, probabilities []float32, err error) {
	if c.calls++; c.calls == 3 && c.err != nil {
		return nil, nil, c.err
	}
	for image := range slices.Chunk(images, c.size*c.size*3) {
		x := float32(image[0])
		logits, probabilities = append(logits, x, 2*x), append(probabilities, x*x, 1)
	}
	return logits, probabilities, nil
}

func TestViews(t *testing.T) {
	images := slices.Concat(lettered("a c/   /g i", 3), lettered("AAA/AAA/AAA", 3))
	before := slices.Clone(images)
	// Every corner is the first pixel of two of the eight views.
	for n, seen := range map[int]string{1: "a", 2: "ac", 4: "acgi", 8: "acgi"} {
		var x, square float64
		for _, letter := range []byte(seen) {
			x += float64(letter) / float64(len(seen))
			square += float64(letter) * float64(letter) / float64(len(seen))
		}
		want := [2][]float64{{x, 2 * x, 'A', 2 * 'A'}, {square, 1, 'A' * 'A', 1}}
		inner := &corner{size: 3}
		logits, probabilities, err := Views{inner, three, n}.Predict(images)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range [2][]float32{logits, probabilities} {
			for j := range want[i] {
				if math.Abs(float64(got[j])-want[i][j]) > 1e-3 {
					t.Errorf("%d views: %v, want %v", n, got, want[i])
					break
				}
			}
		}
		if inner.calls != n {
			t.Errorf("%d views: %d predictions", n, inner.calls)
		}
	}
	if !bytes.Equal(images, before) {
		t.Error("the images have changed")
	}

	full := errors.New("out of memory")
	if _, _, err := (Views{&corner{size: 3, err: full}, three, 4}).Predict(images); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	for _, c := range []struct {
		views Views
		want  string
	}{
		{Views{&corner{size: 3}, three, 3}, "3 views: expected 1, 2, 4 or 8"},
		{Views{&corner{size: 3}, imagefile.Shape{Size: 5, Channels: 3}, 2}, "54 bytes of images"},
		{Views{&corner{size: 3}, imagefile.Shape{}, 2}, "54 bytes of images"},
	} {
		if _, _, err := c.views.Predict(images); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestTurning(t *testing.T) {
	schema, err := labels.FromClasses([]string{"first", "second"})
	if err != nil {
		t.Fatal(err)
	}
	turn := func(p Predictor, images []byte) *metric.Symmetry {
		t.Helper()
		turning := Turning{Predictor: p, Features: p, Shape: three, Seen: metric.NewViews(schema)}
		logits, probabilities, err := turning.Predict(images)
		if err != nil {
			t.Fatal(err)
		}
		wantLogits, wantProbabilities, _ := p.Predict(images)
		if !slices.Equal(logits, wantLogits) || !slices.Equal(probabilities, wantProbabilities) {
			t.Errorf("%v %v: expected the predictions of the images as they are, %v %v", logits, probabilities, wantLogits, wantProbabilities)
		}
		s, err := turning.Seen.Symmetry()
		if err != nil {
			t.Fatal(err)
		}
		if s.Views != MaxViews {
			t.Errorf("%d views, expected %d", s.Views, MaxViews)
		}
		return s
	}
	// Two views have each corner first, as in TestViews. Of the four, one is the image as it is.
	lopsided := lettered("a c/   /g i", 3)
	moved := turn(&corner{size: 3}, lopsided)
	a, c, g, i := 97.0*97, 99.0*99, 103.0*103, 105.0*105
	if want := 100 * 2 * ((c - a) + (g - a) + (i - a)) / 7 / 2; math.Abs(moved.MeanChange-want) > 1e-9*want || moved.LargestOfAll != 100*(i-a) {
		t.Errorf("changes %v and %v, expected %v and %v", moved.MeanChange, moved.LargestOfAll, want, 100*(i-a))
	}
	if moved.FeatureCosine >= 1 {
		t.Errorf("features are equal (%v), expected others", moved.FeatureCosine)
	}
	// An image that is symmetric, and a network that is: it averages all views, of which the sums are exact here.
	for name, still := range map[string]*metric.Symmetry{
		"image":   turn(&corner{size: 3}, lettered("aba/bcb/aba", 3)),
		"network": turn(Views{&corner{size: 3}, three, MaxViews}, lopsided),
	} {
		if still.MeanChange != 0 || still.LargestOfAll != 0 || still.AnswerChanges != 0 || still.ClassChanges != 0 || still.FeatureCosineSmallest != 1 {
			t.Errorf("symmetric %s: %+v, expected no change", name, still)
		}
	}

	full := errors.New("out of memory")
	if _, _, err := (Turning{Predictor: &corner{size: 3}, Features: &corner{size: 3, err: full}, Shape: three, Seen: metric.NewViews(schema)}).Predict(lopsided); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	if _, _, err := (Turning{Predictor: &corner{size: 3}, Shape: three}).Predict(lopsided[:5]); err == nil {
		t.Error("a part of an image: no error")
	}
}

func BenchmarkTurn(b *testing.B) {
	src := make([]byte, 64*64*64*3)
	dst := make([]byte, len(src))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		imagefile.Shape{Size: 64, Channels: 3}.Turn(dst, src, 7)
	}
	b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
