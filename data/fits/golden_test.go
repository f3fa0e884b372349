package fits

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// golden is what astropy reads from the files of testdata; parity/fits.py writes both.
type golden struct {
	Path string
	HDUs []struct {
		Name       string
		Compressed string
		Axes       []int
		Values     []string
		Columns    []goldenColumn
	}
}

// goldenColumn is [name, cells].
type goldenColumn struct {
	name  string
	cells []string
}

func (c *goldenColumn) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.name, &c.cells})
}

const testLimit = 1 << 20

func openBytes(b []byte) (*File, error) {
	return Open(bytes.NewReader(b), int64(len(b)), testLimit)
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func readGolden(t testing.TB) []golden {
	t.Helper()
	z := must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(must[[]byte](t)(os.ReadFile("testdata/values.json.gz")))))
	var g []golden
	if err := json.Unmarshal(must[[]byte](t)(io.ReadAll(z)), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// readAll returns the planes of an image one after the other.
func readAll(h *HDU) ([]float64, error) {
	_, _, planes, err := h.Shape()
	if err != nil {
		return nil, err
	}
	var all []float64
	for plane := range planes {
		one, err := h.ReadPlane(nil, plane)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

// sameBits compares floats; any NaN is equal to any other.
func sameBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestGoldenOfAstropy(t *testing.T) {
	images, columns := 0, 0
	for _, g := range readGolden(t) {
		f := must[*File](t)(openBytes(must[[]byte](t)(os.ReadFile("testdata/" + g.Path))))
		if len(f.HDUs) != len(g.HDUs) {
			t.Fatalf("%s: %d HDUs, expected %d", g.Path, len(f.HDUs), len(g.HDUs))
		}
		for i, want := range g.HDUs {
			h := f.HDUs[i]
			t.Run(fmt.Sprintf("%s/%d %s", g.Path, i, want.Name), func(t *testing.T) {
				if h.Name != want.Name || want.Axes != nil && !slices.Equal(h.Axes, want.Axes) {
					t.Fatalf("%q with axes %v, expected %q with %v", h.Name, h.Axes, want.Name, want.Axes)
				}
				switch {
				case want.Axes != nil:
					images++
					goldenImage(t, h, want.Compressed, want.Values)
				case want.Columns != nil:
					columns += len(want.Columns)
					goldenTable(t, h, want.Columns)
				}
			})
		}
	}
	if images < 140 || columns < 20 {
		t.Errorf("compared %d images and %d columns, expected 140 and 20", images, columns)
	}
}

func goldenImage(t *testing.T, h *HDU, method string, want []string) {
	got, err := readAll(h)
	refused := map[string]string{"LINE": "2 or 3 axes, got 1", "FOUR": "2 or 3 axes longer than 1, got 4", "HCOMPRESS_1": "funpack"}
	if text := refused[h.Name]; text != "" {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, expected an error with %q", err, text)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d values, expected %d", len(got), len(want))
	}
	for i := range want {
		if w := must[float64](t)(strconv.ParseFloat(want[i], 64)); !sameBits(got[i], w) {
			t.Fatalf("%s: value %d is %x, expected %x", method, i, got[i], w)
		}
	}
}

func goldenTable(t *testing.T, h *HDU, want []goldenColumn) {
	table := must[*TableReader](t)(h.Table())
	if len(table.Columns) != len(want) || len(table.Skipped) != 2 || table.Rows != len(want[0].cells) {
		t.Fatalf("%d columns, skipped %q, %d rows; expected %d columns, 2 skipped, %d rows", len(table.Columns), table.Skipped, table.Rows, len(want), len(want[0].cells))
	}
	for j, c := range want {
		if table.Columns[j].Name != c.name {
			t.Fatalf("column %d is %q, expected %q", j, table.Columns[j].Name, c.name)
		}
		for i, cell := range c.cells {
			if err := sameCell(table, i, j, cell); err != nil {
				t.Error(err)
			}
		}
	}
}

// sameCell compares a cell with astropy's text of it: a decimal integer, a hexadecimal float,
// True, False, null or a text.
func sameCell(table *TableReader, row, column int, want string) error {
	value, err := table.Value(row, column)
	if err != nil {
		return err
	}
	text, err := table.Text(row, column)
	if err != nil {
		return err
	}
	same := false
	switch v := value.(type) {
	case nil:
		same = want == "null" && text == ""
	case bool:
		same = strings.ToLower(want) == text && strconv.FormatBool(v) == text
	case string:
		same = v == want && text == want
	case int64, uint64:
		same = text == want
		if x, err := strconv.ParseFloat(want, 64); strings.HasPrefix(strings.TrimPrefix(want, "-"), "0x") {
			same = err == nil && text == strconv.FormatFloat(x, 'f', -1, 64)
		}
	case float32, float64:
		x, err := strconv.ParseFloat(want, 64)
		number, err2 := table.Float(row, column)
		bits := 64
		if _, is := v.(float32); is {
			bits = 32
		}
		parsed, err3 := strconv.ParseFloat(text, bits)
		same = err == nil && err2 == nil && err3 == nil && sameBits(number, x) && sameBits(parsed, x)
	}
	if !same {
		return fmt.Errorf("row %d, column %d: %q, expected %q", row, column, text, want)
	}
	return nil
}

func TestGoldenCards(t *testing.T) {
	f := must[*File](t)(openBytes(must[[]byte](t)(os.ReadFile("testdata/primary.fits.bz2"))))
	for key, want := range map[string]any{
		"LONG":                  strings.TrimRight(strings.Repeat("it's a 'long' one & goes on ", 6), " "),
		"ESO DET DIT":           5.5,
		"hierarch eso det dit":  5.5,
		"EMPTY":                 "",
		"BAND":                  "g",
		"exptime":               1.5e-3,
		"COUNT":                 int64(-12),
		"GOOD":                  true,
		"HISTORY":               nil,
		"SIMPLE":                true,
		"NAXIS1":                int64(6),
		"NAXIS":                 int64(2),
		"a key that is not set": nil,
	} {
		if got, ok := f.HDUs[0].Lookup(key); got != want || ok != (want != nil) {
			t.Errorf("%s: %#v %t, expected %#v", key, got, ok, want)
		}
	}
}
