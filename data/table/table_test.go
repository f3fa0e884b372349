package table

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"
)

// read returns the columns and all cells of a table as texts.
func read(path, prefer string) (columns []string, cells [][]string, err error) {
	t, err := Open(path, prefer)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for {
		if err := t.Next(); errors.Is(err, io.EOF) {
			return t.Columns(), cells, nil
		} else if err != nil {
			return nil, nil, err
		}
		row := make([]string, len(t.columns))
		for i := range row {
			row[i] = strings.Clone(t.Text(i))
		}
		cells = append(cells, row)
	}
}

func file(t testing.TB, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; expected one with %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
}

type member struct {
	name string
	body []byte
}

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.Create(m.name)
		if err == nil {
			_, err = w.Write(m.body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packed(t testing.TB, body []byte, to func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := to(&b)
	_, err := w.Write(body)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, body []byte) []byte {
	return packed(t, body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

// utf16Of encodes a text; high and low are the places of a code unit's bytes.
func utf16Of(s string, high, low int) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		two := [2]byte{}
		two[high], two[low] = byte(u>>8), byte(u)
		b = append(b, two[:]...)
	}
	return b
}

// bzipped is "id,class\n1,E\n2,Sa\n" compressed by bzip2, which the standard library cannot write.
const bzipped = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x6e\x65\x73\x66\x00\x00\x07\x5f\x80\x00\x10\x00\x04\x30\x00\x02\x00\x08\x00\x2c\x24\x08\x00\x20\x00\x31\x03\x40\xd0\x20\x4c\x26\x7a\x84\xdc\xd6\x52\x5a\x7c\x72\x03\x78\x5d\xc9\x14\xe1\x42\x41\xb9\x95\xcd\x98"

func TestText(t *testing.T) {
	columns, rows := []string{"id", "class"}, [][]string{{"1", "E"}, {"2", "Sa"}}
	plain := "id,class\n1,E\n2,Sa\n"
	for name, body := range map[string][]byte{
		"commas":             []byte(plain),
		"tabs":               []byte("id\tclass\n1\tE\n2\tSa\n"),
		"semicolons":         []byte("id;class\n1;E\n2;Sa\n"),
		"blanks":             []byte("  id   class\n1 \tE\n2    Sa   \n"),
		"no end":             []byte(strings.TrimSuffix(plain, "\n")),
		"CRLF":               []byte(strings.ReplaceAll(plain, "\n", "\r\n")),
		"CR":                 []byte(strings.ReplaceAll(plain, "\n", "\r")),
		"mark":               []byte("\ufeff" + plain),
		"mark and CR":        []byte("\ufeff" + strings.ReplaceAll(plain, "\n", "\r")),
		"UTF-16 LE":          append([]byte{0xff, 0xfe}, utf16Of(plain, 1, 0)...),
		"UTF-16 BE":          append([]byte{0xfe, 0xff}, utf16Of(plain, 0, 1)...),
		"UTF-16 LE, no mark": utf16Of(plain, 1, 0),
		"UTF-16 BE, no mark": utf16Of(plain, 0, 1),
		"comments":           []byte("# by hand\n\n#\n" + plain + "# the end\n"),
		"padded comment":     []byte("\"# by, hand\",\n" + plain),
		"empty lines":        []byte("\n\nid,class\n\n1,E\n\n2,Sa\n\n"),
		"empty rows":         []byte(plain + ",\n,\n , \n"),
		"commas at the end":  []byte("id,class,\n1,E,\n2,Sa,,,\n"),
		"blanks in a header": []byte(" id , class\n1,E\n2,Sa\n"),
		"quoted":             []byte("\"id\",\"class\"\n\"1\",E\n2,\"Sa\"\n"),
		"commented header":   []byte("# made by hand\n# id class\n1 E\n2 Sa\n"),
		"gzip":               gzipped(t, []byte(plain)),
		"gzip twice":         gzipped(t, gzipped(t, []byte(plain))),
		"zip":                zipOf(t, member{"x/labels.csv", []byte(plain)}, member{"__MACOSX/x/._labels.csv", nil}, member{"x/", nil}),
		"zip from Windows":   zipOf(t, member{`x\`, nil}, member{`x\labels.csv`, []byte(plain)}),
		"zip, other name":    zipOf(t, member{"labels", []byte(plain)}),
		"zip and a read-me":  zipOf(t, member{"README.txt", []byte("read me")}, member{"labels.tsv", []byte("id\tclass\n1\tE\n2\tSa\n")}),
		"zip of gzip":        zipOf(t, member{"labels.csv.gz", gzipped(t, []byte(plain))}),
		"zip of a zip":       zipOf(t, member{"labels.zip", zipOf(t, member{"labels.csv", []byte(plain)})}),
		"bzip2":              []byte(bzipped),
		"zstd":               packed(t, []byte(plain), func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z }),
		"lz4":                packed(t, []byte(plain), func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }),
		"Parquet":            parquetOf(t, []field{{"id", []int64{1, 2}}, {"class", []string{"E", "Sa"}}}),
		"gzip of Parquet":    gzipped(t, parquetOf(t, []field{{"id", []int64{1, 2}}, {"class", []string{"E", "Sa"}}})),
	} {
		t.Run(name, func(t *testing.T) {
			// The name says nothing.
			gotColumns, got, err := read(file(t, "labels.jpg", body), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(columns, gotColumns) + cmp.Diff(rows, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCells(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"as written":               {"a,b\n 1 ,1e5\n\"\"\"x\"\"\",0100\n", [][]string{{" 1 ", "1e5"}, {`"x"`, "0100"}}},
		"line end in quotes":       {"a,b\n\"x\ny\",1\nz,2\n", [][]string{{"x\ny", "1"}, {"z", "2"}}},
		"separator in quotes":      {"path,type\na.fits,\"Compact,-not-star\"\n", [][]string{{"a.fits", "Compact,-not-star"}}},
		"paths of Windows":         {"a,b\nD:\\x\\y.fits,-1\n", [][]string{{`D:\x\y.fits`, "-1"}}},
		"quotes between tabs":      {"a\tb\nfive \"inch\t1\n", [][]string{{`five "inch`, "1"}}},
		"commas between tabs":      {"a\tb\nx,y\t1,5\n", [][]string{{"x,y", "1,5"}}},
		"empty cells":              {"a,b,c\n1,,\n,2,\n", [][]string{{"1", "", ""}, {"", "2", ""}}},
		"one column":               {"objid\n1\n2\n", [][]string{{"1"}, {"2"}}},
		"blanks in one column":     {"name\nNGC 4660\nM 51\n", [][]string{{"NGC 4660"}, {"M 51"}}},
		"quoted blanks":            {"name v\n\"NGC 4660\" 1\nM51 2\n", [][]string{{"NGC 4660", "1"}, {"M51", "2"}}},
		"a number sign in a cell":  {"a,b\nx#1,2\n", [][]string{{"x#1", "2"}}},
		"another alphabet":         {"a,b\nгалактика,é\n", [][]string{{"галактика", "é"}}},
		"numbered rows":            {"#,name,type\n1,NGC 1300,E\n2,M 51,Sa\n", [][]string{{"1", "NGC 1300", "E"}, {"2", "M 51", "Sa"}}},
		"commented header, commas": {"# a,b\n1,2.5\n3,4\n", [][]string{{"1", "2.5"}, {"3", "4"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got, err := read(file(t, "x.csv", []byte(c.text)), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLongText compares a text that does not fit into any buffer with what was written.
func TestLongText(t *testing.T) {
	var rows [][]string
	for i := range 20_000 {
		rows = append(rows, []string{fmt.Sprint(i), strings.Repeat("x", i%300), fmt.Sprint(i * i)})
	}
	for _, separator := range []string{",", "\t", ";", "  "} {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			var b strings.Builder
			b.WriteString(strings.Join([]string{"id", "text", "square"}, separator) + end)
			want := rows
			if separator == "  " { // no empty cells
				want = slices.DeleteFunc(slices.Clone(rows), func(r []string) bool { return r[1] == "" })
			}
			for _, r := range want {
				b.WriteString(strings.Join(r, separator) + end)
			}
			_, got, err := read(file(t, "x", []byte(b.String())), "")
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%q, %q: %d rows, expected %d", separator, end, len(got), len(want))
			}
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Fatalf("%q, %q: row %d is %q, expected %q", separator, end, i, got[i], want[i])
				}
			}
		}
	}
}

// TestRoundTrip writes random cells in a random form, quoted where this is necessary or at
// random, and reads them back.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		separator := rapid.SampledFrom([]string{",", "\t", ";"}).Draw(t, "separator")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		columns := rapid.IntRange(2, 6).Draw(t, "columns")
		cell := rapid.StringOfN(rapid.SampledFrom([]rune("aé0 .-_\n\"#,;\t")), 0, 6, -1)
		var names []string
		for i := range columns {
			names = append(names, fmt.Sprintf("c%d", i))
		}
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, columns, columns), 1, 6).Draw(t, "rows")
		text := strings.Join(names, separator) + end
		want := [][]string{}
		for _, row := range rows {
			row[0] = "x" + row[0] // neither a comment nor an empty row
			quoted := slices.Clone(row)
			for i, c := range row {
				if strings.ContainsAny(c, "\"\n"+separator) || rapid.Bool().Draw(t, "quote") {
					quoted[i] = `"` + strings.ReplaceAll(c, `"`, `""`) + `"`
				}
			}
			text += strings.Join(quoted, separator) + end
			want = append(want, row)
		}
		path := filepath.Join(dir, "x")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		gotNames, got, err := read(path, "")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(names, gotNames) + cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	csv := []byte("id,class\n1,E\n")
	encrypted := zipOf(t, member{"a.csv", csv})
	for at := range encrypted { // of the directory and of the file's own header
		if bytes.HasPrefix(encrypted[at:], []byte("PK\x01\x02")) {
			encrypted[at+8] |= 1
		}
	}
	method := func(n byte) []byte {
		z := zipOf(t, member{"a.csv", csv})
		z[bytes.Index(z, []byte("PK\x01\x02"))+10] = n
		return z
	}
	split := append(bytes.Repeat([]byte{0, 1, 2, 250}, 30), zipOf(t)...)
	split[len(split)-18] = 1
	cut := gzipped(t, bytes.Repeat(csv, 1000))
	for name, c := range map[string]struct {
		file []byte
		want []string
	}{
		"empty":              {nil, []string{"empty"}},
		"blank":              {[]byte("\n  \n"), []string{"empty"}},
		"comments only":      {[]byte("# nothing\n"), []string{"comments", "names of the columns"}},
		"HTML":               {[]byte("\n <!DOCTYPE html>\n<html>"), []string{"HTML page"}},
		"LFS":                {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n"), []string{"Git LFS pointer", "git lfs pull"}},
		"JSON":               {[]byte("[{\"id\": 1}]"), []string{"JSON", "read_json"}},
		"VOTable":            {[]byte("<?xml version='1.0'?>\n<VOTABLE>"), []string{"VOTable", "astropy"}},
		"XML":                {[]byte("<?xml version='1.0'?>\n<x>"), []string{"XML"}},
		"PNG":                {[]byte("\x89PNG\r\n\x1a\n\x00\x00"), []string{"PNG image"}},
		"JPEG":               {[]byte("\xff\xd8\xff\xe0\x00\x10"), []string{"JPEG image"}},
		"xz":                 {[]byte("\xfd7zXZ\x00\x00"), []string{"xz -dk"}},
		"7z":                 {[]byte("7z\xbc\xaf\x27\x1c\x00"), []string{"7z x"}},
		"HDF5":               {[]byte("\x89HDF\r\n\x1a\n\x00"), []string{"HDF5", "to_parquet"}},
		"UTF-32":             {[]byte("\xff\xfe\x00\x00i\x00\x00\x00"), []string{"UTF-32"}},
		"binary":             {[]byte("abc\x00\x01\xff"), []string{"binary"}},
		"numbers only":       {[]byte("1,2\n3,4\n"), []string{"line 1", "names of the columns"}},
		"uneven blanks":      {[]byte("a b c\n1 2 3\n1 3\n"), []string{"line 3", "2 columns", "3 on line 1", "commas or tabs"}},
		"first part":         {[]byte("PK\x07\x08PK\x03\x04\x00"), []string{"split zip", "zip -s 0"}},
		"part of 7-Zip":      {zipOf(t, member{"a.csv", csv})[:90], []string{"zip is truncated", "cat FILE.zip.* >whole.zip"}},
		"several zips":       {zipOf(t, member{"a.zip", nil}, member{"b.zip", nil}), []string{"no table", "a.zip, b.zip; if one of them is the table, give x/NAME"}},
		"last part":          {split, []string{"last part of a split zip", "zip -s 0"}},
		"cut zip":            {zipOf(t, member{"a.csv", csv})[:60], []string{"zip is truncated"}},
		"empty zip":          {zipOf(t), []string{"no files"}},
		"zip of images":      {zipOf(t, member{"1.jpg", nil}, member{"2.jpg", nil}), []string{"no table", "1.jpg, 2.jpg"}},
		"two tables":         {zipOf(t, member{"a.csv", csv}, member{"b.csv", csv}), []string{"2 tables (a.csv, b.csv)", "say which", "x/a.csv"}},
		"encrypted":          {encrypted, []string{"a.csv", "encrypted", "7z x"}},
		"Deflate64":          {method(9), []string{"a.csv", "Deflate64", "7z x"}},
		"LZMA":               {method(14), []string{"LZMA"}},
		"unknown method":     {method(77), []string{"method 77"}},
		"OpenDocument":       {zipOf(t, member{"mimetype", []byte("application/vnd.oasis.opendocument.spreadsheet")}, member{"content.xml", nil}), []string{"OpenDocument sheet", "CSV"}},
		"pickle":             {[]byte("\x80\x04\x95\x00\x00"), []string{"Python pickle", "to_parquet"}},
		"RTF":                {[]byte("{\\rtf1 hello}"), []string{"RTF"}},
		"git-annex":          {[]byte("/annex/objects/SHA256E-s5--0.csv\n"), []string{"git-annex pointer", "git annex get"}},
		"Excel":              {zipOf(t, member{"xl/workbook.xml", nil}), []string{"Excel", "CSV"}},
		"cut Parquet":        {parquetOf(t, []field{{"id", []int64{1, 2}}})[:40], []string{"Parquet", "truncated"}},
		"zips without end":   {nested(t, 5), []string{"packed more than"}},
		"cut gzip":           {cut[:5], []string{"gzip", "damaged"}},
		"unclosed quote":     {[]byte("a,b\n\"1,2\n3,4\n"), []string{"line 2", "quote"}},
		"quote in a field":   {[]byte("a,b\n1,2\"3\n"), []string{"line 2", "quote"}},
		"short line":         {[]byte("a,b\n1,2\n3\n"), []string{"line 3", "1 fields; expected 2", "cut off"}},
		"long line":          {[]byte("a,b\n1,2,3\n"), []string{"line 2", "3 fields; expected 2", "quoted"}},
		"end of a gzip":      {cut[:len(cut)/2], []string{"truncated"}},
		"late uneven blanks": {[]byte("a b\n" + strings.Repeat("1 2\n", 100) + "3\n"), []string{"line 102", "1 columns"}},
		"enormous cell":      {[]byte("a,b\n\"" + strings.Repeat("x", MaxRow+1<<20) + "\",1\n"), []string{"more than", "quote"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(file(t, "x", c.file), "")
			wantError(t, err, append(c.want, string(filepath.Separator)+"x")...)
		})
	}
	_, _, err := read(filepath.Join(t.TempDir(), "none.csv"), "")
	wantError(t, err, "none.csv", "no such file")
	_, _, err = read(t.TempDir(), "")
	wantError(t, err, "not a file")
}

func nested(t *testing.T, n int) []byte {
	if n == 0 {
		return []byte("a,b\n1,2\n")
	}
	return zipOf(t, member{"a.zip", nested(t, n-1)})
}

func TestMembers(t *testing.T) {
	table := func(s string) []byte { return []byte("id,class\n1," + s + "\n") }
	path := file(t, "x.zip", zipOf(t, member{"a.csv", table("a")}, member{"in/b.csv", table("b")}, member{"votes_2.csv", table("v")},
		member{"more.zip", zipOf(t, member{"c.csv", table("c")})}, member{"votes.zip", zipOf(t, member{"votes_1.csv", table("w")})}))
	windows := file(t, "w.zip", zipOf(t, member{`tables\a.csv`, table("a")}, member{`tables\b.csv`, table("b")}))
	for _, c := range []struct{ path, prefer, want string }{
		{path + "/a.csv", "", "a"},
		{path + "/in/b.csv", "", "b"},
		{path + "/more.zip", "", "c"},
		{path + "/more.zip/c.csv", "", "c"},
		{windows + "/tables/b.csv", "", "b"},
		{path, "votes_2", "v"},
		{path, "votes", "v"}, // before the zip
		{path, "more", "c"},  // in the zip
		{path, "a", "a"},     //
	} {
		_, rows, err := read(c.path, c.prefer)
		if err != nil {
			t.Fatalf("%s, %q: %v", c.path, c.prefer, err)
		}
		if got := rows[0][1]; got != c.want {
			t.Errorf("%s, %q: got %q; expected %q", c.path, c.prefer, got, c.want)
		}
	}
	for _, c := range []struct{ path, prefer, want string }{
		{path + "/d.csv", "", `x.zip: the zip holds no "d.csv"`},
		{path + "/more.zip/d.csv", "", `x.zip/more.zip: the zip holds no "d.csv"; there are c.csv`},
		{path, "", "3 tables (a.csv, in/b.csv, votes_2.csv); say which, as in x.zip/a.csv"},
		{path, "x", "say which"},
		{file(t, "y.csv", []byte("a,b\n1,2\n")) + "/a.csv", "", "y.csv: a.csv is looked for in it, but it is neither a zip nor a FITS file"},
	} {
		_, _, err := read(c.path, c.prefer)
		wantError(t, err, c.want)
	}
}

func TestSelect(t *testing.T) {
	path := file(t, "x.csv", []byte("id_str,ra,smooth,twice,twice,\n1,2,3,4,5,6\n"))
	tb, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	for name, want := range map[string]string{
		"id_st": `"id_st"; did you mean "id_str"`, "Smooth": `did you mean "smooth"`, "zzz": "there are id_str, ra, smooth", "twice": "two columns", "": `""`,
	} {
		wantError(t, tb.Select("ra", name), path, want)
	}
	if err := tb.Select("smooth", "id_str"); err != nil {
		t.Fatal(err)
	}
	if err := tb.Next(); err != nil {
		t.Fatal(err)
	}
	if got := tb.Text(0) + tb.Text(1); got != "31" {
		t.Errorf("got %q; expected smooth and id_str", got)
	}
}

func TestNumbers(t *testing.T) {
	tb, err := Open(file(t, "x.csv", []byte("v,w\n")), "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	for text, want := range map[string]struct {
		number  float64 // NaN for an error
		integer string
	}{
		"18": {18, "18"}, "18.0": {18, "18"}, " 18 ": {18, "18"}, "-3": {-3, "-3"}, "1e3": {1000, "1000"}, "0.5": {0.5, "whole number"},
		"9007199254740993": {9007199254740992, "9007199254740993"}, "9007199254740993.0": {9007199254740992, "whole number"},
		"": {math.NaN(), `""; expected a whole number`}, "many": {math.NaN(), `v is "many"`}, "0,5": {math.NaN(), "commas inside of numbers"}, "1e999": {math.NaN(), "1e999"},
		"1_0": {math.NaN(), `v is "1_0"`}, "0x1p3": {math.NaN(), `v is "0x1p3"`}, "inf": {math.NaN(), `v is "inf"`}, "Infinity": {math.NaN(), `v is "Infinity"`},
	} {
		tb.rows.(*textRows).record = []string{text, ""}
		got, err := tb.Number(0)
		if math.IsNaN(want.number) != (err != nil) || err == nil && got != want.number {
			t.Errorf("Number of %q: got %v, %v; expected %v", text, got, err, want.number)
		}
		whole, err := tb.Integer(0)
		if err != nil {
			wantError(t, err, want.integer)
		} else if fmt.Sprint(whole) != want.integer {
			t.Errorf("Integer of %q: got %v; expected %v", text, whole, want.integer)
		}
	}
}

func TestID(t *testing.T) {
	tb, err := Open(file(t, "x.csv", []byte("objid,w\n")), "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	for text, want := range map[string]string{
		"1237648721210769659": "1237648721210769659", "J000411.19+020924.0": "J000411.19+020924.0", " 7 ": "7", "0100": "0100", "-5": "-5", "59.0": "59.0", "1234e567": "1234e567", "a b": "a b",
		"":                       "!fill it in",
		"NaN":                    "!fill it in",
		"1.23e18":                "!objid is 1.23e18: the id was stored as a float",
		"1.23764872121077e+18":   "!16 digits",
		"1E+18":                  "!16 digits",
		"1.0E18":                 "!16 digits",
		"3E12":                   "3E12",
		"1237648721210769659.0":  "!16 digits",
		"x\ny":                   "!control",
		"\xff":                   "!UTF-8",
		strings.Repeat("x", 513): "!513 bytes",
	} {
		tb.rows.(*textRows).record = []string{text, ""}
		got, err := tb.ID(0)
		if message, bad := strings.CutPrefix(want, "!"); bad {
			wantError(t, err, "objid", message)
		} else if err != nil || got != want {
			t.Errorf("%q: got %q, %v; expected %q", text, got, err, want)
		}
	}
}

func TestErrorf(t *testing.T) {
	path := file(t, "x.csv", []byte("# comment\nid\n\n\"a\"\n"))
	tb, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	if err := tb.Next(); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("cause")
	if err := tb.Errorf("galaxy %d: %w", 7, cause); err.Error() != path+": line 4: galaxy 7: cause" || !errors.Is(err, cause) {
		t.Errorf("got %q", err)
	}
}

// TestChecksum says that only the table itself counts, not how it is packed.
func TestChecksum(t *testing.T) {
	body := []byte("\ufeffid,class\n1,E\n")
	sums := map[uint64]bool{}
	for _, b := range [][]byte{body, gzipped(t, body), zipOf(t, member{"a.csv", body})} {
		tb, err := Open(file(t, "x", b), "")
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = tb.Next()
		}
		sums[tb.Checksum()] = true
		if err := tb.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(sums) != 1 {
		t.Errorf("%d checksums of one table", len(sums))
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{
		"id,class\n1,E\n", "# id class\n1 2\n", "a;b\r\n\"x\r\ny\";1\r\n", "\ufeffa\tb\n\"\t\n", "a b\n\"x y\" 2\n", "\xff\xfea\x00,\x00b\x00\n\x00", "a,b\r1,2\r", "id\n1.5e18\n", ",,\n,\n",
	} {
		f.Add([]byte(s))
	}
	f.Add(gzipped(f, []byte("id,class\n1,E\n")))
	f.Add(zipOf(f, member{"a.csv", []byte("id,class\n1,E\n")}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte) { fuzz(t, dir, body) })
}

// fuzz reads everything of a table. There are no wrong answers except a panic, an error without the
// file's name, and a row of another width.
func fuzz(t *testing.T, dir string, body []byte) {
	path := filepath.Join(dir, "labels")
	if err := os.WriteFile(path, body, 0o666); err != nil {
		t.Fatal(err)
	}
	named := func(err error) {
		if !strings.HasPrefix(err.Error(), path) {
			t.Errorf("the error does not start with the file's name: %v", err)
		}
	}
	tb, err := Open(path, "")
	if err != nil {
		named(err)
		return
	}
	defer tb.Close()
	for range 10_000 {
		if err := tb.Next(); errors.Is(err, io.EOF) {
			tb.Checksum()
			return
		} else if err != nil {
			named(err)
			return
		}
		for i := range tb.Columns() {
			n, err := tb.Integer(i)
			if v, err2 := tb.Number(i); err == nil && (err2 != nil || v != float64(n)) {
				t.Errorf("%q is the integer %d and the number %v, %v", tb.Text(i), n, v, err2)
			}
			if id, err := tb.ID(i); err == nil && (id == "" || len(id) > MaxID || strings.Contains(id, "\n")) {
				t.Errorf("%q is taken for an id", id)
			}
			if tb.Empty(i) != (strings.TrimSpace(tb.Text(i)) == "") {
				t.Errorf("Empty of %q", tb.Text(i))
			}
		}
		_ = tb.Where()
	}
}
