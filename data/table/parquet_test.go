package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// A field is a column of a Parquet file that a test writes.
type field struct {
	name   string
	values any // a slice
}

// ordered is a group whose fields keep their order.
type ordered struct {
	parquet.Group
	names []string
}

func (g ordered) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name()) })
	return fields
}

// parquetOf writes columns of equal length, 1000 rows a group. NaN stands for null in
// float64 columns.
func parquetOf(t testing.TB, fields []field) []byte {
	t.Helper()
	group := ordered{Group: parquet.Group{}}
	rows := 0
	for _, f := range fields {
		group.names = append(group.names, f.name)
		switch v := f.values.(type) {
		case []int64:
			group.Group[f.name], rows = parquet.Leaf(parquet.Int64Type), len(v)
		case []int32:
			group.Group[f.name], rows = parquet.Int(32), len(v)
		case []uint64:
			group.Group[f.name], rows = parquet.Uint(64), len(v)
		case []float64:
			group.Group[f.name], rows = parquet.Optional(parquet.Leaf(parquet.DoubleType)), len(v)
		case []float32:
			group.Group[f.name], rows = parquet.Leaf(parquet.FloatType), len(v)
		case []bool:
			group.Group[f.name], rows = parquet.Leaf(parquet.BooleanType), len(v)
		case []string:
			group.Group[f.name], rows = parquet.Encoded(parquet.String(), &parquet.RLEDictionary), len(v)
		case [][]byte:
			group.Group[f.name], rows = parquet.Leaf(parquet.ByteArrayType), len(v)
		case []struct{}:
			group.Group[f.name], rows = parquet.List(parquet.Leaf(parquet.Int64Type)), len(v)
		default:
			t.Fatalf("no column of %T", v)
		}
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, parquet.NewSchema("x", group), parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1000), parquet.PageBufferSize(2000))
	for i := range rows {
		row := make(parquet.Row, len(fields))
		for k, f := range fields {
			defined := 0
			switch v := f.values.(type) {
			case []int64:
				row[k] = parquet.Int64Value(v[i])
			case []int32:
				row[k] = parquet.Int32Value(v[i])
			case []uint64:
				row[k] = parquet.Int64Value(int64(v[i]))
			case []float64:
				if row[k] = parquet.NullValue(); !math.IsNaN(v[i]) {
					row[k], defined = parquet.DoubleValue(v[i]), 1
				}
			case []float32:
				row[k] = parquet.FloatValue(v[i])
			case []bool:
				row[k] = parquet.BooleanValue(v[i])
			case []string:
				row[k] = parquet.ByteArrayValue([]byte(v[i]))
			case [][]byte:
				row[k] = parquet.ByteArrayValue(v[i])
			case []struct{}:
				row[k] = parquet.NullValue()
			}
			row[k] = row[k].Level(0, defined, k)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquet(t *testing.T) {
	const n = 3001 // several groups, pages and blocks
	ids, small, large, votes, means, flags, names := make([]int64, n), make([]int32, n), make([]uint64, n), make([]float64, n), make([]float32, n), make([]bool, n), make([]string, n)
	var want [][]string
	for i := range n {
		ids[i], small[i], large[i] = 1237648721210769659+int64(i), int32(-i), math.MaxUint64-uint64(i)
		votes[i], means[i], flags[i], names[i] = float64(i), float32(i)/10, i%2 == 0, strings.Repeat("é", i%7)
		vote := fmt.Sprint(i)
		if i%5 == 0 {
			votes[i], vote = math.NaN(), ""
		}
		want = append(want, []string{fmt.Sprint(ids[i]), fmt.Sprint(small[i]), fmt.Sprint(large[i]), vote, fmt.Sprint(means[i]), fmt.Sprint(flags[i]), names[i]})
	}
	path := file(t, "x.parquet", parquetOf(t, []field{
		{"pictures", make([][]byte, n)}, {"ids", ids}, {"small", small}, {"large", large}, {"votes", votes}, {"lists", make([]struct{}, n)}, {"means", means}, {"flags", flags}, {"names", names},
	}))
	columns, got, err := read(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ids", "small", "large", "votes", "means", "flags", "names"}, columns) + cmp.Diff(want, got); diff != "" {
		t.Error(diff[:min(len(diff), 1000)])
	}

	tb, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	if diff := cmp.Diff([]Skipped{{"pictures", "bytes, such as images"}, {"lists", "several values (it is nested)"}}, tb.Skipped()); diff != "" {
		t.Error(diff)
	}
	wantError(t, tb.Select("pictures"), path, "pictures", "bytes")
	if err := tb.Select("votes", "ids", "means"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := tb.Next(); err != nil {
			t.Fatal(err)
		}
		vote, err := tb.Integer(0)
		if i%5 == 0 {
			wantError(t, err, `votes is ""`)
			if !tb.Empty(0) {
				t.Error("a null is not empty")
			}
		} else if err != nil || vote != int64(i) {
			t.Fatalf("row %d: %d votes, %v", i, vote, err)
		}
		if id, err := tb.ID(1); err != nil || id != want[i][0] {
			t.Fatalf("row %d: id %s, %v", i, id, err)
		}
		if v, err := tb.Number(2); err != nil || float32(v) != means[i] {
			t.Fatalf("row %d: %v, %v", i, v, err)
		}
	}
	if got := tb.Where(); got != "row 3001" {
		t.Errorf("at %s", got)
	}
	if err := tb.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v; expected io.EOF", err)
	}
}

// TestParquetIDs is about ids that a program has stored as floats.
func TestParquetIDs(t *testing.T) {
	path := file(t, "x.parquet", parquetOf(t, []field{
		{"good", []float64{20686062}}, {"lost", []float64{1237648721210769659}}, {"part", []float64{1.5}}, {"short", []float32{16777218}}, {"flag", []bool{true}},
	}))
	tb, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	if err := tb.Next(); err != nil {
		t.Fatal(err)
	}
	if id, err := tb.ID(0); err != nil || id != "20686062" {
		t.Errorf("got %s, %v", id, err)
	}
	for i, want := range []string{1: "lost is 1.2376487212107697e+18", 2: "part is 1.5", 3: "short is", 4: "truth value"} {
		if i > 0 {
			_, err := tb.ID(i)
			wantError(t, err, want)
		}
	}
}

// TestDamagedParquet changes bytes at random. A file of a kilobyte must not take a gigabyte.
func TestDamagedParquet(t *testing.T) {
	seed := parquetOf(t, []field{{"id", []int64{1, 2}}, {"class", []string{"E", "Sa"}}, {"votes", []float64{1, math.NaN()}}})
	rng, dir := rand.New(rand.NewPCG(1, 0)), t.TempDir()
	for range 2000 {
		body := bytes.Clone(seed)
		for range 1 + rng.IntN(3) {
			body[rng.IntN(len(body))] = byte(rng.IntN(256))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fuzz(t, dir, body)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
			t.Errorf("%d bytes took %d of memory: %x", len(body), took, body)
		}
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetOf(f, []field{{"id", []int64{1, 2}}, {"class", []string{"E", "Sa"}}, {"votes", []float64{1, math.NaN()}}}))
	f.Add(parquetOf(f, []field{{"flag", []bool{true}}, {"f", []float32{1}}, {"i", []int32{-1}}, {"u", []uint64{1 << 63}}, {"b", [][]byte{{1}}}, {"l", make([]struct{}, 1)}}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte) { fuzz(t, dir, body) })
}

// BenchmarkRead reads 300,000 rows of 40 columns as numbers: ids, paths and fractions.
func BenchmarkRead(b *testing.B) {
	const rows = 300_000
	ids, paths := make([]int64, rows), make([]string, rows)
	fields := []field{{"id", ids}, {"path", paths}}
	for i := range rows {
		ids[i], paths[i] = int64(i), fmt.Sprintf("%d.jpg", i%1000)
	}
	for c := range 38 {
		values := make([]float64, rows)
		for i := range values {
			values[i] = float64(i*(c+7)%40) / 40
		}
		fields = append(fields, field{fmt.Sprintf("c%d", c), values})
	}
	text := func() []byte {
		var out []byte
		for _, f := range fields {
			out = append(append(out, f.name...), ',')
		}
		out = out[:len(out)-1]
		for i := range rows {
			out = fmt.Appendf(out, "\n%d,%s", ids[i], paths[i])
			for _, f := range fields[2:] {
				out = strconv.AppendFloat(append(out, ','), f.values.([]float64)[i], 'g', -1, 64)
			}
		}
		return out
	}
	for format, body := range map[string]func() []byte{
		"Parquet": func() []byte { return parquetOf(b, fields) }, "FITS": func() []byte { return fitsOf(b, []string{""}, fields) }, "CSV": text,
	} {
		b.Run(format, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "labels")
			if err := os.WriteFile(path, body(), 0o666); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				readAll(b, path, rows)
			}
		})
	}
}

// readAll reads the first column as ids, the second as texts and the others as numbers.
func readAll(b *testing.B, path string, rows int) {
	t, err := Open(path, "")
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	n := len(t.Columns())
	for range rows {
		if err := t.Next(); err != nil {
			b.Fatal(err)
		}
		if _, err := t.ID(0); err != nil {
			b.Fatal(err)
		}
		t.Text(1)
		for i := 2; i < n; i++ {
			if _, err := t.Number(i); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := t.Next(); !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
}
