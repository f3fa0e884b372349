package data

import (
	"archive/zip"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galaxy/labels"
)

func TestReadCatalog(t *testing.T) {
	for _, schema := range schemas() {
		t.Run(schema.Name()+" "+schema.Values().String(), func(t *testing.T) { testReadCatalog(t, schema) })
	}
}

func testReadCatalog(t *testing.T, schema *labels.Schema) {
	ids := []int64{100123, 100008, 999967}
	text := catalogCSV(schema, ids)
	dir := t.TempDir()
	files := map[string][]byte{
		"plain.csv":   []byte(text),
		"windows.csv": []byte("\ufeff" + strings.ReplaceAll(text, "\n", "\r\n")),
		"no-end.csv":  []byte(strings.TrimSuffix(text, "\n")),
		"kaggle.zip":  zipBytes(t, zip.Deflate, member{"training_solutions_rev1.csv", []byte(text)}),
		"mac.zip":     zipBytes(t, zip.Store, member{"x/training_solutions_rev1.csv", []byte(text)}, member{"__MACOSX/x/._training_solutions_rev1.csv", nil}),
	}
	files["outer.zip"] = zipBytes(t, zip.Deflate, member{"all_zeros_benchmark.csv", nil}, member{"training_solutions_rev1.zip", files["kaggle.zip"]})
	files["several.zip"] = zipBytes(t, zip.Deflate, member{"all_zeros_benchmark.csv", nil}, member{"training_solutions_rev1.csv", []byte(text)})
	for name, body := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			writeFile(t, path, body)
			c, err := ReadCatalog(path, schema, KeyColumns{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(numberedAll(ids...), c.IDs); diff != "" {
				t.Error(diff)
			}
			for i, id := range ids {
				for j, want := range labelsOf(schema, id) {
					if got := c.Row(i)[j]; math.Abs(float64(got-want)) > 1e-6 {
						t.Errorf("galaxy %d: %s = %v, want %v", id, schema.Columns()[j], got, want)
					}
				}
				if err := schema.CheckSums(c.Row(i), labels.SumTolerance); err != nil {
					t.Errorf("galaxy %d: %v", id, err)
				}
			}
		})
	}
}

func TestReadSample(t *testing.T) {
	ids := []int64{100123, 100008}
	text := []byte(catalogCSV(zoo, ids))
	dir := t.TempDir()
	zipped := zipBytes(t, zip.Deflate, member{"all_zeros_benchmark.csv", text})
	for name, body := range map[string][]byte{
		"plain.csv": text, "kaggle.zip": zipped,
		"outer.zip": zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", nil}, member{"all_ones_benchmark.zip", nil}, member{"all_zeros_benchmark.zip", zipped}),
	} {
		path := filepath.Join(dir, name)
		writeFile(t, path, body)
		c, err := ReadSample(path, zoo)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(numberedAll(ids...), c.IDs); diff != "" {
			t.Error(diff)
		}
	}
	path := filepath.Join(dir, "bad.csv")
	writeFile(t, path, []byte("id,class\n1,2\n"))
	_, err := ReadSample(path, zoo)
	wantError(t, err, "read sample", path, "line 1", "GalaxyID")
	writeFile(t, path, nil)
	_, err = ReadSample(path, zoo)
	wantError(t, err, "read sample", path, "empty")
}

func TestReadCatalogRoundsIntoRange(t *testing.T) {
	text := catalogCSV(zoo, []int64{7})
	line := strings.Split(strings.Split(text, "\n")[1], ",")
	line[1], line[2] = "1.000001", "-0.000001"
	c, err := catalogOf(t, strings.Split(text, "\n")[0]+"\n"+strings.Join(line, ","), zoo, KeyColumns{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Labels[0] != 1 || c.Labels[1] != 0 {
		t.Errorf("%v and %v; want 1 and 0", c.Labels[0], c.Labels[1])
	}
}

// catalogOf reads a table named x.csv.
func catalogOf(t testing.TB, text string, schema *labels.Schema, keys KeyColumns) (*Catalog, error) {
	path := filepath.Join(t.TempDir(), "x.csv")
	writeFile(t, path, []byte(text))
	return ReadCatalog(path, schema, keys)
}

func TestReadCatalogErrors(t *testing.T) {
	text := catalogCSV(zoo, []int64{100008, 100023, 100053})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	// with returns the file with one field replaced; line counts from 1.
	with := func(line, field int, value string) string {
		out := append([]string(nil), lines...)
		fields := strings.Split(out[line-1], ",")
		fields[field] = value
		out[line-1] = strings.Join(fields, ",")
		return strings.Join(out, "\n")
	}
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"empty", "", []string{"x.csv", "empty"}},
		{"only a header", lines[0], []string{"no galaxies"}},
		{"another file", "id,score\n1,2\n", []string{"line 1", `"GalaxyID"`, "there are id, score", "id_column", "path_column"}},
		{"HTML", "<!DOCTYPE html>\n<html>", []string{"HTML page"}},
		{"a column twice", with(1, 3, "Class1.2"), []string{"line 1", `two columns have the name "Class1.2"`}},
		{"another column", with(1, 3, "Class1.33"), []string{"line 1", `"Class1.3"; did you mean "Class1.33"`, "Galaxy Zoo"}},
		{"no id column", with(1, 0, "galaxyid"), []string{"line 1", `"GalaxyID"; did you mean "galaxyid"`}},
		{"NaN", with(3, 5, "NaN"), []string{"line 3", "galaxy 100023", "Class2.2", "NaN"}},
		{"infinite", with(3, 5, "+Inf"), []string{"line 3", "galaxy 100023", "Class2.2", "Inf"}},
		{"above one", with(4, 37, "1.01"), []string{"line 4", "galaxy 100053", "Class11.6", "1.01", "0 to 1"}},
		{"negative", with(2, 1, "-0.2"), []string{"line 2", "galaxy 100008", "Class1.1", "-0.2"}},
		{"not a number", with(2, 1, "many"), []string{"line 2", "galaxy 100008", `Class1.1 is "many"; expected a number from 0 to 1`}},
		{"blank field", with(2, 1, ""), []string{"line 2", "galaxy 100008", `""`}},
		{"duplicate", with(4, 0, "100008"), []string{"line 4", "galaxy 100008", "already on line 2 (such rows: 1); keep one row for each galaxy"}},
		{"no id", with(2, 0, " "), []string{"line 2", "GalaxyID", `""`}},
		{"id that was a float", with(2, 0, "1.23764872121077e+18"), []string{"line 2", "GalaxyID is 1.23764872121077e+18", "float"}},
		{"cut off", text[:len(text)-60], []string{"line 4", "fields; expected 38", "cut off"}},
		{"open quote", with(2, 1, `"0.5`), []string{"line 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalogOf(t, c.file, zoo, KeyColumns{})
			wantError(t, err, append(c.want, "x.csv")...)
		})
	}
	// All rows of a galaxy that another has are counted, so that they need not be found one by one.
	twice := strings.Replace(text+strings.Join(lines[1:], "\n"), "GalaxyID", "objid", 1)
	_, err := catalogOf(t, twice, zoo, KeyColumns{ID: "objid"})
	wantError(t, err, "line 5: galaxy 100008: already on line 2 (such rows: 3)", "id_column")
}

func TestReadCatalogFileErrors(t *testing.T) {
	dir := t.TempDir()
	text := []byte(catalogCSV(zoo, []int64{1}))
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"two.zip", zipBytes(t, zip.Store, member{"a.csv", text}, member{"b.csv", text}), "2 tables (a.csv, b.csv)"},
		{"none.zip", zipBytes(t, zip.Store, member{"1.jpg", nil}, member{"2.jpg", nil}), "no table"},
		{"nothing.zip", zipBytes(t, zip.Store), "no files"},
		{"self.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", nil})}), "empty"},
		{"inner.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", []byte("hello")}), "GalaxyID"},
		{"cut.zip", zipBytes(t, zip.Store, member{"a.csv", text})[:200], "zip"},
	} {
		path := filepath.Join(dir, c.name)
		writeFile(t, path, c.file)
		_, err := ReadCatalog(path, zoo, KeyColumns{})
		wantError(t, err, path, c.want)
	}
	_, err := ReadCatalog(dir, zoo, KeyColumns{})
	wantError(t, err, dir, "not a file")
	_, err = ReadCatalog(filepath.Join(dir, "absent.csv"), zoo, KeyColumns{})
	wantError(t, err, "absent.csv", "no such file")
}

func FuzzReadCatalog(f *testing.F) {
	text := catalogCSV(zoo, []int64{100008, 100023})
	f.Add([]byte(text))
	f.Add([]byte(text[:len(text)-30]))
	f.Add([]byte(strings.Replace(text, "0.", "NaN", 1)))
	f.Add([]byte(strings.Replace(text, "100008", `"100008"`, 1)))
	f.Add([]byte("GalaxyID,type,set,field\n1,a,train,x\n2,\"b,c\",,\n3, b ,dev,y\n"))
	path := filepath.Join(f.TempDir(), "labels.csv")
	f.Fuzz(func(t *testing.T, file []byte) {
		writeFile(t, path, file)
		if c, err := ReadCatalog(path, nil, KeyColumns{Class: "type", split: "set", group: "field"}); err == nil {
			if n := len(c.IDs); len(c.classes.of) != n || len(c.splits) != n || len(c.groups) != n || len(c.Labels) != n*c.Schema.Width() || c.Schema.Width() < 2 {
				t.Errorf("a catalogue of classes %+v", c)
			}
		}
		c, err := ReadCatalog(path, zoo, KeyColumns{})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if len(c.IDs) == 0 || len(c.Labels) != len(c.IDs)*zoo.Width() {
			t.Fatalf("%d ids, %d labels", len(c.IDs), len(c.Labels))
		}
		seen := map[ID]bool{}
		for i, id := range c.IDs {
			if seen[id] {
				t.Errorf("galaxy %s twice", id)
			}
			seen[id] = true
			for _, v := range c.Row(i) {
				if !(v >= 0 && v <= 1) {
					t.Errorf("galaxy %s: %v", id, v)
				}
			}
		}
	})
}

// A column of totals is read if the schema names it, and compared with the answers.
func TestReadCatalogTotals(t *testing.T) {
	schema, err := labels.Read(strings.NewReader(`
name = "rings"
values = "counts"
[[questions]]
text = "Is there a ring?"
total = "n"
answers = [{column = "yes", text = "yes"}, {column = "no", text = "no"}]`))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rings.csv")
	for _, c := range []struct{ table, want string }{
		{"GalaxyID,yes,no,n\n1,3,4,7\n2,0,0,5\n", ""},
		{"GalaxyID,yes,no,n\n1,3,4,7\n2,3,4,6\n", "line 3: galaxy 2: question 1 has the total 6: expected at least 7, the sum of its answers; correct the row"},
		{"GalaxyID,yes,no,n\n1,3,4,\n", "line 2: galaxy 1: n is \"\"; expected a number"},
		{"GalaxyID,yes,no\n1,3,4\n", `no column has the name "n"`},
	} {
		writeFile(t, path, []byte(c.table))
		_, err := ReadCatalog(path, schema, KeyColumns{})
		if c.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		wantError(t, err, path, c.want)
	}
}

// TestReadCatalogKeys is about the columns that name galaxies and images.
func TestReadCatalogKeys(t *testing.T) {
	_, cells, _ := strings.Cut(strings.Split(catalogCSV(small, []int64{1}), "\n")[1], ",")
	text := func(rows ...string) string { // of pairs of an id and a path
		out := "objid;" + strings.Join(small.Columns(), ";") + ";z;file_loc\r\n"
		for _, row := range rows {
			id, path, _ := strings.Cut(row, " ")
			out += id + ";" + strings.ReplaceAll(cells, ",", ";") + ";0.1;" + path + "\r\n"
		}
		return out
	}
	both, ids, paths := KeyColumns{ID: "objid", Path: "file_loc"}, KeyColumns{ID: "objid"}, KeyColumns{Path: "file_loc"}
	for _, c := range []struct {
		name   string
		keys   KeyColumns
		rows   []string
		ids    []ID
		images []string
		err    []string
	}{
		{"ids", ids, []string{"1237648721210769659 a.jpg", "J0004.1+02.0 b.jpg"}, []ID{"1237648721210769659", "J0004.1+02.0"}, nil, nil},
		{"paths", paths, []string{`1 x\y\J0004.1.jpg`, "2 ./b.jpg", "3 x/../c.d/e"}, []ID{"J0004.1", "b", "e"}, []string{"x/y/J0004.1.jpg", "b.jpg", "c.d/e"}, nil},
		{"both", both, []string{"1 x/1.jpg", "2 "}, []ID{"1", "2"}, []string{"x/1.jpg", ""}, nil},
		{"up", both, []string{"1 a.jpg", "2 x/../../b.jpg"}, nil, nil, []string{"line 3", `"x/../../b.jpg" leaves the folder`, "below images"}},
		{"up as on Windows", both, []string{`1 ..\b.jpg`}, nil, nil, []string{"line 2", "leaves the folder"}},
		{"absolute", both, []string{"1 /data/a.jpg"}, nil, nil, []string{"line 2", "/data/a.jpg", "root of a disk", "id_column"}},
		{"drive", both, []string{`1 D:\data\a.jpg`}, nil, nil, []string{"line 2", "root of a disk"}},
		{"one name twice", paths, []string{"1 a/x.jpg", "2 b/x.jpg"}, nil, nil, []string{"line 3", "two images have the name x", "line 2", "id_column"}},
		{"no file name", paths, []string{"1 .jpg"}, nil, nil, []string{"line 2", `the path ".jpg" names no galaxy`, "id is empty"}},
		{"no such column", KeyColumns{ID: "objID"}, []string{"1 a"}, nil, nil, []string{"line 1", `did you mean "objid"`, "id_column"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := catalogOf(t, text(c.rows...), small, c.keys)
			if c.err != nil {
				wantError(t, err, c.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.ids, got.IDs) + cmp.Diff(c.images, got.Images); diff != "" {
				t.Error(diff)
			}
			if want := labelsOf(small, 1); math.Abs(float64(got.Row(1)[2]-want[2])) > 1e-6 {
				t.Errorf("labels %v; expected %v", got.Row(1), want)
			}
		})
	}
}

// BenchmarkReadCatalog reads as many galaxies as Kaggle's file has.
func BenchmarkReadCatalog(b *testing.B) {
	ids := make([]int64, 61578)
	for i := range ids {
		ids[i] = 100000 + 13*int64(i)
	}
	path := filepath.Join(b.TempDir(), "training_solutions_rev1.csv")
	writeFile(b, path, []byte(catalogCSV(zoo, ids)))
	for b.Loop() {
		if _, err := ReadCatalog(path, zoo, KeyColumns{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIDOfFile(t *testing.T) {
	for name, want := range map[string]string{
		"100008.jpg": "100008", "a/NGC 1300.JPG": "NGC 1300", "1.r.fits": "1.r", "100008": "100008", "J000411.19+020924.05": "J000411.19+020924.05", "a.b/1": "1",
		"J000411.19+020924.05.png": "J000411.19+020924.05",
	} {
		if got := idOfFile(name); got != want {
			t.Errorf("idOfFile(%q) = %q, want %q", name, got, want)
		}
	}
}
