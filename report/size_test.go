package report

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/labels"
)

// writeNoise writes n images of noise, which no encoder compresses, with random labels.
func writeNoise(dir string, n, px int, schema *labels.Schema) error {
	random := rand.New(rand.NewPCG(3, 4))
	table := "GalaxyID," + strings.Join(schema.Columns(), ",") + "\n"
	for k := range n {
		m := image.NewNRGBA(image.Rect(0, 0, px, px))
		for i := range m.Pix {
			m.Pix[i] = byte(random.Uint32()) | byte(255*(i%4/3))
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("g%03d.png", k)))
		if err != nil {
			return err
		}
		if err := errors.Join((&png.Encoder{CompressionLevel: png.NoCompression}).Encode(f, m), f.Close()); err != nil {
			return err
		}
		table += fmt.Sprintf("g%03d", k)
		for _, q := range schema.Questions() {
			chosen := random.IntN(len(q.Answers))
			for a := range q.Answers {
				table += map[bool]string{true: ",1", false: ",0"}[a == chosen]
			}
		}
		table += "\n"
	}
	return os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(table), 0o644)
}

// A report stays below its limit with the largest images and many questions, alone and of three runs. If it must, it shows less and says so.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it draws the largest reports there can be")
	}
	var questions []labels.Question
	for q := range 40 {
		question := labels.Question{Text: fmt.Sprintf("What about feature number %d?", q+1)}
		for a := range 8 {
			name := fmt.Sprintf("q%d_answer_%d", q+1, a+1)
			question.Answers = append(question.Answers, labels.Answer{Name: name, Text: "the long text of an answer, " + name})
		}
		questions = append(questions, question)
	}
	schema, err := labels.New(labels.Definition{Name: "many", Values: labels.Fractions, Questions: questions})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cache, run, pictures := filepath.Join(dir, "cache"), filepath.Join(dir, "run"), filepath.Join(dir, "images")
	if err := errors.Join(os.Mkdir(pictures, 0o755), writeNoise(pictures, 60, 424, schema),
		prepareAs(data.PrepareConfig{Schema: schema, Images: pictures, Out: cache, Size: 64}), trainRun(t.Context(), run, cache, 2, 1)); err != nil {
		t.Fatal(err)
	}
	alone, one := gather(t, Options{Runs: []string{run}})
	_, three := gather(t, Options{Runs: []string{run, copyOf(t, run), copyOf(t, run)}})
	t.Logf("%d bytes of one run, %d of three", len(one), len(three))
	if len(one) > maxBytes || len(three) > maxBytesSeveral {
		t.Errorf("the reports have %d and %d bytes, expected at most %d and %d", len(one), len(three), maxBytes, maxBytesSeveral)
	}
	before := len(one) + 1
	for k := range rooms {
		r := *alone
		page, err := r.within(before - 1) // less than there was
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.within(before - 1)
		if err != nil || string(again) != string(page) {
			t.Errorf("room %d: the second page differs: %v", k, err)
		}
		if k == len(rooms)-1 {
			if strings.Contains(string(page), `<section id="galaxies"`) {
				t.Error("the smallest report has galleries")
			}
			continue
		}
		if len(page) >= before {
			t.Errorf("room %d: %d bytes, expected less than %d", k, len(page), before)
		}
		if said := strings.Contains(string(page), "fewer images than it could"); said != (r.crowded != "") {
			t.Errorf("room %d: the page says so: %v, expected %v", k, said, !said)
		}
		before = len(page)
	}
}

// Dim images of one channel are brightened in the report; those of red, green and blue stay as they are.
func TestDimImages(t *testing.T) {
	schema := testSchema(labels.Fractions)
	dir := t.TempDir()
	table := "GalaxyID,bright,dark,very,little\n"
	for n := range 12 {
		m := image.NewGray(image.Rect(0, 0, side, side))
		m.Pix[side*side/2], m.Pix[side*side/2+1] = 255, 5
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("g%d.png", n)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, m), f.Close()); err != nil {
			t.Fatal(err)
		}
		table += fmt.Sprintf("g%d,1,0,1,0\n", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bands imagefile.Bands
		faint byte // what 5 of 255 becomes
		note  string
	}{{imagefile.Grey, 48, "dim"}, {imagefile.RGB, 5, ""}} {
		out := filepath.Join(t.TempDir(), "cache")
		if err := prepareAs(data.PrepareConfig{Schema: schema, Images: dir, Out: out, Size: side, Bands: c.bands}); err != nil {
			t.Fatal(err)
		}
		cache, err := data.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		p := newPictures(cache)
		pixels, err := p.read(0)
		if err != nil {
			t.Fatal(err)
		}
		at := side * side / 2 * len(c.bands)
		if black, white, faint := pixels[0], pixels[at], pixels[at+len(c.bands)]; black != 0 || white != 255 || faint != c.faint {
			t.Errorf("%v: black is %d, white %d, and 5 became %d: expected 0, 255 and %d", c.bands, black, white, faint, c.faint)
		}
		if note := string(p.note()); (note == "") != (c.note == "") || !strings.Contains(note, c.note) {
			t.Errorf("%v: the note is %q", c.bands, note)
		}
		pairs, err := pairSheet(p, "pairs", []leakPair{{a: 0, b: 1}})
		if err != nil || strings.Contains(string(pairs), "dim") != p.dim {
			t.Errorf("%v: the pairs do not say whether they are brightened: %v", c.bands, err)
		}
	}
}
