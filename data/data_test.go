package data

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"galaxy/data/imagefile"
	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// galaxyJPEG returns a 424×424 JPEG that no other id has: one encoded picture
// with the id in a comment segment. Encoding each would take most of the tests'
// time.
func galaxyJPEG(id int64) []byte {
	base := basePicture()
	comment := []byte{0xff, 0xfe, 0, 10}
	comment = binary.BigEndian.AppendUint64(comment, uint64(id))
	out := append([]byte(nil), base[:2]...)
	out = append(out, comment...)
	return append(out, base[2:]...)
}

var basePicture = sync.OnceValue(func() []byte {
	m := image.NewRGBA(image.Rect(0, 0, ImageSide, ImageSide))
	for y := range ImageSide {
		for x := range ImageSide {
			m.Set(x, y, color.RGBA{R: uint8(x / 2), G: uint8(y / 2), B: 60, A: 255})
		}
	}
	return encodeJPEG(m)
})

func flatPicture(c color.Color, side int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			m.Set(x, y, c)
		}
	}
	return m
}

func encodeJPEG(m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// hashDecoder fills an image with bytes that depend on every byte of the file:
// fast, and a mix-up of two images shows.
type hashDecoder struct{}

func (hashDecoder) Decode(dst []byte, file imagefile.File) error {
	state := xxh3.Hash(file.Encoded)
	for i := range dst {
		if i%8 == 0 {
			state = mix(state)
		}
		dst[i] = byte(state >> (i % 8 * 8))
	}
	return nil
}

// boxDecoder is a whole decoder in plain Go: centre crop, then the mean of the
// source pixels under each target pixel, with whole edges (crop must be a
// multiple of size).
type boxDecoder struct{ crop, size int }

func (d boxDecoder) Decode(dst []byte, file imagefile.File) error {
	m, err := jpeg.Decode(bytes.NewReader(file.Encoded))
	if err != nil {
		return err
	}
	if d.crop%d.size != 0 {
		return fmt.Errorf("crop %d is no multiple of size %d", d.crop, d.size)
	}
	first, box := (ImageSide-d.crop)/2, d.crop/d.size
	for y := range d.size {
		for x := range d.size {
			var sum [3]uint32
			for v := range box {
				for u := range box {
					r, g, b, _ := m.At(first+x*box+u, first+y*box+v).RGBA()
					sum[0], sum[1], sum[2] = sum[0]+r>>8, sum[1]+g>>8, sum[2]+b>>8
				}
			}
			for c := range 3 {
				dst[(y*d.size+x)*3+c] = byte((sum[c] + uint32(box*box/2)) / uint32(box*box))
			}
		}
	}
	return nil
}

// source is a small data set on disk.
type source struct {
	schema         *labels.Schema
	labels, images string
	ids            []int64
}

// zoo and small are the schemas of the tests: most use the first, those of what depends
// on the schema both.
var zoo, small = labels.GalaxyZoo(), labelstest.Small()

// schemas are what tests of code that takes a schema range over.
func schemas() []*labels.Schema { return append(labelstest.Schemas(), labelstest.SmallCounts()) }

// labelsOf makes a row that obeys the sum rules and belongs to no other id.
func labelsOf(schema *labels.Schema, id int64) []float32 {
	if schema.Values() == labels.Counts {
		return labelstest.Rows(schema, 1, uint64(id))
	}
	row := make([]float32, schema.Width())
	for _, q := range schema.Questions() {
		left := 1.0
		if len(q.Parents()) > 0 {
			left = 0
		}
		for _, column := range q.Parents() {
			left += float64(row[column])
		}
		for j := range q.Answers {
			v := left
			if j < len(q.Answers)-1 {
				v = left * float64(mix(uint64(id)*37+uint64(q.First+j))>>40) / (1 << 24)
			}
			row[q.First+j] = float32(v)
			left -= v
		}
	}
	return row
}

// numbered returns the id that is a number.
func numbered(id int64) ID { return ID(strconv.FormatInt(id, 10)) }

func numberedAll(ids ...int64) (out []ID) {
	for _, id := range ids {
		out = append(out, numbered(id))
	}
	return out
}

func catalogCSV(schema *labels.Schema, ids []int64) string {
	var b strings.Builder
	b.WriteString(IDColumn + "," + strings.Join(schema.Columns(), ",") + "\n")
	for _, id := range ids {
		fmt.Fprint(&b, id)
		for _, v := range labelsOf(schema, id) {
			fmt.Fprintf(&b, ",%.6f", v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// makeSource writes n galaxies of zoo as a CSV and a folder.
func makeSource(t testing.TB, n int) source {
	t.Helper()
	return sourceOf(t, zoo, n)
}

func sourceOf(t testing.TB, schema *labels.Schema, n int) source {
	t.Helper()
	dir := t.TempDir()
	s := source{schema: schema, labels: filepath.Join(dir, "training_solutions_rev1.csv"), images: filepath.Join(dir, "images_training_rev1")}
	for i := range n {
		// Not in file order, to see that the cache is sorted.
		s.ids = append(s.ids, 100000+int64((i*7919)%n)*3)
	}
	writeFile(t, s.labels, []byte(catalogCSV(schema, s.ids)))
	for _, id := range s.ids {
		writeFile(t, s.file(id), galaxyJPEG(id))
	}
	return s
}

func (s source) file(id int64) string {
	return filepath.Join(s.images, fmt.Sprintf("%d.jpg", id))
}

type member struct {
	name string
	body []byte
}

func zipBytes(t testing.TB, method uint16, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const testSize = 8

func (s source) config(out string) PrepareConfig {
	return PrepareConfig{Schema: s.schema, Labels: s.labels, Images: s.images, Out: out, Size: testSize, Decoder: "test"}
}

// prepared returns a cache folder of n galaxies of zoo, of 8 px.
func prepared(t testing.TB, n int) string {
	t.Helper()
	return preparedOf(t, zoo, n)
}

func preparedOf(t testing.TB, schema *labels.Schema, n int) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "cache")
	if _, err := Prepare(context.Background(), sourceOf(t, schema, n).config(out), hashDecoder{}); err != nil {
		t.Fatal(err)
	}
	return out
}

func opened(t testing.TB, n int) *Cache {
	t.Helper()
	return openedOf(t, zoo, n)
}

func openedOf(t testing.TB, schema *labels.Schema, n int) *Cache {
	t.Helper()
	c, err := Open(preparedOf(t, schema, n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
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

// imageOf returns the pixels of example i.
func imageOf(c *Cache, i int) ([]byte, error) {
	pixels := make([]byte, c.row)
	return pixels, c.copyImages(pixels, []int{i})
}
