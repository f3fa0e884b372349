package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fitsOf writes a FITS file with binary tables of columns of equal length: []int64, []float64,
// []float32, []bool and []string of at most 8 bytes.
func fitsOf(t testing.TB, names []string, tables ...[]field) []byte {
	t.Helper()
	var out bytes.Buffer
	header := func(cards ...string) {
		for _, c := range append(cards, "END") {
			fmt.Fprintf(&out, "%-80s", c)
		}
		out.WriteString(string(bytes.Repeat([]byte(" "), (2880-out.Len()%2880)%2880)))
	}
	header("SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0")
	for k, fields := range tables {
		var rows [][]byte
		width := 0
		var cards []string
		add := func(i int, form string, value any) {
			if i == len(rows) {
				rows = append(rows, nil)
			}
			var err error
			if rows[i], err = binary.Append(rows[i], binary.BigEndian, value); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				n := len(cards)/2 + 1
				cards = append(cards, fmt.Sprintf("TFORM%-3d= '%s'", n, form), fmt.Sprintf("TTYPE%-3d= '%s'", n, fields[n-1].name))
				width = len(rows[0])
			}
		}
		for _, f := range fields {
			switch values := f.values.(type) {
			case []int64:
				for i, v := range values {
					add(i, "K", v)
				}
			case []float64:
				for i, v := range values {
					add(i, "D", v)
				}
			case []float32:
				for i, v := range values {
					add(i, "E", v)
				}
			case []bool:
				for i, v := range values {
					add(i, "L", map[bool]byte{true: 'T', false: 'F'}[v])
				}
			case []string:
				for i, v := range values {
					add(i, "8A", []byte(fmt.Sprintf("%-8s", v)))
				}
			case []struct{}: // descriptors of arrays of variable length
				for i := range values {
					add(i, "1PE(0)", [2]int32{})
				}
			}
		}
		header(append([]string{
			"XTENSION= 'BINTABLE'", "BITPIX  =                    8", "NAXIS   =                    2",
			fmt.Sprintf("NAXIS1  = %20d", width), fmt.Sprintf("NAXIS2  = %20d", len(rows)), "PCOUNT  =                    0", "GCOUNT  =                    1",
			fmt.Sprintf("TFIELDS = %20d", len(fields)), fmt.Sprintf("EXTNAME = '%s'", names[k]),
		}, cards...)...)
		out.Write(bytes.Join(rows, nil))
		out.Write(make([]byte, (2880-out.Len()%2880)%2880))
	}
	return out.Bytes()
}

func TestFITS(t *testing.T) {
	fields := []field{
		{"objid", []int64{1237648721210769659, -1}}, {"spectrum", make([]struct{}, 2)}, {"votes", []float64{18, math.NaN()}}, {"ra", []float32{0.1, 1e9}},
		{"flag", []bool{true, false}}, {"name", []string{"NGC 1300", "M 51"}}, {"id_float", []float64{1e18, 7}},
	}
	want := [][]string{{"1237648721210769659", "18", "0.1", "true", "NGC 1300", "1e+18"}, {"-1", "", "1e+09", "false", "M 51", "7"}}
	one := fitsOf(t, []string{"VOTES"}, fields)
	for name, body := range map[string][]byte{"plain": one, "gzip": gzipped(t, one), "zip": zipOf(t, member{"x/labels.fits.gz", gzipped(t, one)})} {
		path := file(t, "labels", body)
		columns, got, err := read(path, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff([]string{"objid", "votes", "ra", "flag", "name", "id_float"}, columns) + cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	path := file(t, "x.fits", one)
	tb, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	wantError(t, tb.Select("spectrum"), path, `"spectrum"`, "1PE(0)", "variable length")
	if err := tb.Select("id_float", "votes", "objid"); err != nil {
		t.Fatal(err)
	}
	for row := 1; tb.Next() == nil; row++ {
		if tb.Where() != fmt.Sprintf("row %d", row) {
			t.Errorf("row %d is %s", row, tb.Where())
		}
		id, err := tb.ID(0)
		votes, err2 := tb.Integer(1)
		if row == 1 {
			wantError(t, err, "id_float", "float")
			if err2 != nil || votes != 18 {
				t.Errorf("%d votes, %v", votes, err2)
			}
		} else if err != nil || id != "7" || !tb.Empty(1) {
			t.Errorf("id %s, %v; votes %q", id, err, tb.Text(1))
		}
	}

	two := file(t, "two.fits", fitsOf(t, []string{"VOTES", "OTHER"}, fields, fields[:1]))
	_, _, err = read(two, "")
	wantError(t, err, two, "2 tables (VOTES, OTHER)", "FILE/VOTES")
	for _, name := range []string{"other", "2"} {
		if columns, rows, err := read(two+"/"+name, ""); err != nil || len(columns) != 1 || len(rows) != 2 {
			t.Errorf("%s: %q, %d rows, %v", name, columns, len(rows), err)
		}
	}
	_, _, err = read(two+"/none", "")
	wantError(t, err, two, `"none"`, "VOTES, OTHER")
	_, _, err = read(file(t, "image.fits", fitsOf(t, nil)), "")
	wantError(t, err, "image.fits", "binary table", "no data")
	_, _, err = read(file(t, "cut.fits", one[:len(one)-2880]), "")
	wantError(t, err, "cut.fits")
}

func FuzzFITS(f *testing.F) {
	f.Add(fitsOf(f, []string{"VOTES"}, []field{{"objid", []int64{1, 2}}, {"votes", []float64{1, math.NaN()}}, {"name", []string{"a", "b"}}}))
	f.Add(fitsOf(f, []string{"A", "B"}, []field{{"flag", []bool{true}}}, []field{{"x", []float32{1}}, {"y", make([]struct{}, 1)}}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte) { fuzz(t, dir, body) })
}
