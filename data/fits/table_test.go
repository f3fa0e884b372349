package fits

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openTable(t testing.TB, file []byte) (*TableReader, error) {
	t.Helper()
	f, err := openBytes(file)
	if err != nil {
		return nil, err
	}
	h, err := f.First(Table)
	if err != nil {
		return nil, err
	}
	return h.Table()
}

// All forms by hand: what Value and Text return.
func TestTableForms(t *testing.T) {
	var row []byte
	for _, v := range []any{
		uint8('T'), uint8(0), uint8(200), int16(-5), int32(-6), int64(math.MaxInt64), []byte("ab c  \x00xx"), float32(0.1), float64(1e300), float32(math.NaN()),
		int16(-32768), int32(7), int64(-1), int16(3), []byte{0b10110000, 0b01000000}, [2]float32{1, 2}, float64(18), int32(-99),
	} {
		row = append(row, bigEndian(v)...)
	}
	forms := []string{"L", "1L", "B", "I", "J", "K", "9A", "E", "D", "E", "I", "J", "K", "I", "10X", "2E", "D", "J"}
	more := []string{fmt.Sprintf("TFIELDS = %d", len(forms)), "TZERO11 = 32768", "TNULL12 = 7", "TZERO13 = 9223372036854775808", "TSCAL14 = 0.5", "TZERO14 = 1", "TTYPE1 = 'flag'", "TUNIT9 = 'Jy'", "TTYPE16 = 'flux'", "TZERO18 = 99"}
	for i, f := range forms {
		more = append(more, fmt.Sprintf("TFORM%d = '%s'", i+1, f))
	}
	table := must[*TableReader](t)(openTable(t, append(empty(), tableHDU(len(row), 1, row, more...)...)))
	want := []struct {
		name  string
		value any
		text  string
		float float64
	}{
		{"flag", true, "true", 1},
		{"col2", nil, "", math.NaN()},
		{"col3", int64(200), "200", 200},
		{"col4", int64(-5), "-5", -5},
		{"col5", int64(-6), "-6", -6},
		{"col6", int64(math.MaxInt64), "9223372036854775807", 1 << 63},
		{"col7", "ab c", "ab c", 0},
		{"col8", float32(0.1), "0.1", float64(float32(0.1))},
		{"col9", 1e300, "1e+300", 1e300},
		{"col10", nil, "", math.NaN()},
		{"col11", int64(0), "0", 0},
		{"col12", nil, "", math.NaN()},
		{"col13", uint64(1<<63 - 1), "9223372036854775807", 1 << 63},
		{"col14", 2.5, "2.5", 2.5},
		{"col15", "1011000001", "1011000001", 0},
		{"flux_1", float32(1), "1", 1},
		{"flux_2", float32(2), "2", 2},
		{"col17", 18.0, "18", 18},
		{"col18", int64(0), "0", 0},
	}
	if len(table.Columns) != len(want) || table.Columns[8].Unit != "Jy" {
		t.Fatalf("columns %v", table.Columns)
	}
	for i, w := range want {
		value := must[any](t)(table.Value(0, i))
		text := must[string](t)(table.Text(0, i))
		if table.Columns[i].Name != w.name || value != w.value || text != w.text {
			t.Errorf("column %d: %s %#v %q, expected %s %#v %q", i, table.Columns[i].Name, value, text, w.name, w.value, w.text)
		}
		x, err := table.Float(0, i)
		if _, isText := w.value.(string); isText {
			if err == nil || !strings.Contains(err.Error(), "expected a number in column "+w.name) {
				t.Errorf("column %d: %v", i, err)
			}
		} else if err != nil || !sameBits(x, w.float) {
			t.Errorf("column %d: %v %v, expected %v", i, x, err, w.float)
		}
	}
	if _, err := table.Text(1, 0); err == nil {
		t.Error("row 1 of 1 is no error")
	}
}

func TestTableErrors(t *testing.T) {
	table := func(rowBytes, rows int, more ...string) []byte {
		return append(empty(), tableHDU(rowBytes, rows, make([]byte, rowBytes*rows), more...)...)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"only an image": {imageHDU(8, []int{1, 1}, []byte{0}), "expected an HDU of the kind 'binary table', got HDU 0: image"},
		"no TFIELDS":    {table(4, 1), "from 0 to 999 in a card TFIELDS, got no such card"},
		"no TFORM1":     {table(4, 1, "TFIELDS = 1"), "expected a form such as 16A, J or 3E in a card TFORM1, got no such card"},
		"form Z":        {table(4, 1, "TFIELDS = 1", "TFORM1 = '3Z'"), `expected a form such as 16A, J or 3E, got "TFORM1  = '3Z'`},
		"too wide":      {table(4, 1, "TFIELDS = 2", "TFORM1 = 'J'", "TFORM2 = 'B'"), "expected at most the 0 bytes that are left of a row (NAXIS1)"},
		"very wide":     {table(4, 1, "TFIELDS = 1", "TFORM1 = '9999999999999999E'"), "expected at most the 4 bytes"},
		"wider":         {table(4, 1, "TFIELDS = 1", "TFORM1 = '99999999999999999999E'"), "expected a form such as"},
		"TNULL a text":  {table(4, 1, "TFIELDS = 1", "TFORM1 = 'J'", "TNULL1 = 'x'"), "expected a whole number"},
		"TZERO a text":  {table(4, 1, "TFIELDS = 1", "TFORM1 = 'J'", "TZERO1 = 'x'"), "expected a number"},
		"no bytes":      {table(0, 9, "TFIELDS = 0"), "expected rows of at least one byte"},
		"ZTABLE":        {table(4, 1, "TFIELDS = 1", "TFORM1 = 'J'", "ZTABLE = T"), "compressed in tiles (ZTABLE); the program funpack"},
		"truncated":     {table(4, 2000, "TFIELDS = 1", "TFORM1 = 'J'")[:9000], "expected data from byte 5760 to byte 13760, got a file of 9000 bytes"},
		"a long row":    {table(2<<20, 1, "TFIELDS = 0"), "expected rows of at most 1048576 bytes (the limit)"},
	} {
		if _, err := openTable(t, c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestSkippedColumns(t *testing.T) {
	file := append(empty(), tableHDU(8+8+16+8008+4, 0, nil, "TFIELDS = 5", "TFORM1 = '1PE(9)'", "TFORM2 = 'C'", "TFORM3 = 'M'", "TFORM4 = '1001D'", "TFORM5 = 'J'", "TTYPE1 = 'spectrum'", "TTYPE5 = 'last'")...)
	table := must[*TableReader](t)(openTable(t, file))
	if len(table.Columns) != 1 || table.Columns[0].Name != "last" {
		t.Errorf("columns %v", table.Columns)
	}
	want := []string{`column spectrum (TFORM1 "1PE(9)"): arrays of variable length are not read`, `column col2 (TFORM2 "C"): complex numbers are not read`, `column col3 (TFORM3 "M"): complex numbers are not read`, `column col4 (TFORM4 "1001D"): expected from 1 to 1000 values in a cell, got 1001`}
	var got []string
	for _, s := range table.Skipped {
		got = append(got, s.String())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("skipped %q", got)
	}
}

// Rows come in any order, over the borders of the buffer.
func TestTableProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Wide rows, so that few of them fill the buffer.
		filler := rapid.SampledFrom([]int{0, 1000, 300_000}).Draw(t, "filler")
		rows := rapid.IntRange(1, 12).Draw(t, "rows")
		ids := rapid.SliceOfN(rapid.Int64(), rows, rows).Draw(t, "ids")
		names := rapid.SliceOfN(rapid.StringMatching(`[a-z ]{0,5}[a-z]`), rows, rows).Draw(t, "names")
		var data []byte
		for i := range rows {
			data = append(data, bigEndian(ids[i])...)
			data = append(data, make([]byte, filler)...)
			data = append(data, fmt.Sprintf("%-6s", names[i])...)
		}
		file := append(empty(), tableHDU(8+filler+6, rows, data, "TFIELDS = 3", "TFORM1 = 'K'", fmt.Sprintf("TFORM2 = '%dB'", filler), "TFORM3 = '6A'")...)
		f, err := Open(bytes.NewReader(file), int64(len(file)), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		table, err := f.HDUs[1].Table()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, rows-1), 1, 30).Draw(t, "order") {
			id, err := table.Text(i, 0)
			if err != nil || id != fmt.Sprint(ids[i]) {
				t.Fatalf("row %d: %s %v, expected %d", i, id, err, ids[i])
			}
			if name, err := table.Text(i, len(table.Columns)-1); err != nil || name != names[i] {
				t.Fatalf("row %d: %q %v, expected %q", i, name, err, names[i])
			}
		}
	})
}

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	n int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	c.n += len(b)
	return c.ReaderAt.ReadAt(b, at)
}

// A table is read once, in a buffer of about a megabyte.
func TestTableStreams(t *testing.T) {
	const rows = 1_000_000
	file := append(empty(), tableHDU(8, rows, make([]byte, 8*rows), "TFIELDS = 1", "TFORM1 = 'K'")...)
	r := &counting{ReaderAt: bytes.NewReader(file)}
	f := must[*File](t)(Open(r, int64(len(file)), 2<<20))
	table := must[*TableReader](t)(f.HDUs[1].Table())
	for i := range rows {
		if x, err := table.Float(i, 0); x != 0 || err != nil {
			t.Fatal(x, err)
		}
	}
	if cap(table.buffer) > 1<<20 || r.n > 8*rows+100_000 {
		t.Errorf("a buffer of %d bytes, %d bytes read", cap(table.buffer), r.n)
	}
}
