package data

import (
	"archive/zip"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

func TestReadCatalog(t *testing.T) {
	for _, schema := range labelstest.Schemas() {
		t.Run(schema.Name(), func(t *testing.T) { testReadCatalog(t, schema) })
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
			c, err := ReadCatalog(path, schema)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ids, c.IDs); diff != "" {
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
		if diff := cmp.Diff(ids, c.IDs); diff != "" {
			t.Error(diff)
		}
	}
	path := filepath.Join(dir, "bad.csv")
	writeFile(t, path, []byte("id,class\n1,2\n"))
	_, err := ReadSample(path, zoo)
	wantError(t, err, "read sample", path, "line 1")
	writeFile(t, path, nil)
	_, err = ReadSample(path, zoo)
	wantError(t, err, "all_zeros_benchmark.csv")
}

func TestReadCatalogRoundsIntoRange(t *testing.T) {
	text := catalogCSV(zoo, []int64{7})
	line := strings.Split(strings.Split(text, "\n")[1], ",")
	line[1], line[2] = "1.000001", "-0.000001"
	c, err := solutions.parse("x.csv", strings.NewReader(strings.Split(text, "\n")[0]+"\n"+strings.Join(line, ",")), zoo)
	if err != nil {
		t.Fatal(err)
	}
	if c.Labels[0] != 1 || c.Labels[1] != 0 {
		t.Errorf("%v and %v; want 1 and 0", c.Labels[0], c.Labels[1])
	}
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
		{"empty", "", []string{"x.csv", "empty", "training_solutions_rev1.csv"}},
		{"only a header", lines[0], []string{"no galaxies"}},
		{"another file", "id,score\n1,2\n", []string{"line 1", "2 columns", "expected 38"}},
		{"HTML", "<!DOCTYPE html>\n<html>", []string{"line 1", "expected 38"}},
		{"swapped columns", with(1, 3, "Class1.2"), []string{"line 1", "column 4", `"Class1.2"`, `"Class1.3"`}},
		{"no id column", with(1, 0, "id"), []string{"line 1", `"id"`, "GalaxyID"}},
		{"NaN", with(3, 5, "NaN"), []string{"line 3", "galaxy 100023", "Class2.2", "NaN"}},
		{"infinite", with(3, 5, "+Inf"), []string{"line 3", "galaxy 100023", "Class2.2", "Inf"}},
		{"above one", with(4, 37, "1.01"), []string{"line 4", "galaxy 100053", "Class11.6", "1.01", "0 to 1"}},
		{"negative", with(2, 1, "-0.2"), []string{"line 2", "galaxy 100008", "Class1.1", "-0.2"}},
		{"not a number", with(2, 1, "many"), []string{"line 2", "galaxy 100008", `"many"`}},
		{"blank field", with(2, 1, ""), []string{"line 2", "galaxy 100008", `""`}},
		{"duplicate", with(4, 0, "100008"), []string{"line 4", "galaxy 100008", "already on line 2"}},
		{"id with a zero", with(2, 0, "0100008"), []string{"line 2", `"0100008"`}},
		{"negative id", with(2, 0, "-3"), []string{"line 2", `"-3"`}},
		{"id not a number", with(2, 0, "x"), []string{"line 2", `"x"`}},
		{"cut off", text[:len(text)-60], []string{"line 4", "galaxy 100053", "fields; expected 38"}},
		{"open quote", with(2, 1, `"0.5`), []string{"line 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := solutions.parse("x.csv", strings.NewReader(c.file), zoo)
			wantError(t, err, append(c.want, "x.csv")...)
		})
	}
}

func TestReadCatalogFileErrors(t *testing.T) {
	dir := t.TempDir()
	text := []byte(catalogCSV(zoo, []int64{1}))
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"two.zip", zipBytes(t, zip.Store, member{"a.csv", text}, member{"b.csv", text}), "two such files"},
		{"none.zip", zipBytes(t, zip.Store, member{"1.jpg", nil}), "no CSV file"},
		{"nothing.zip", zipBytes(t, zip.Store), "no CSV file"},
		{"up.zip", zipBytes(t, zip.Store, member{"../a.csv", text}), "unsafe path"},
		{"self.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", nil})}), "no CSV file"},
		{"inner.zip", zipBytes(t, zip.Store, member{"training_solutions_rev1.zip", []byte("hello")}), "zip"},
		{"cut.zip", zipBytes(t, zip.Store, member{"a.csv", text})[:200], "zip"},
	} {
		path := filepath.Join(dir, c.name)
		writeFile(t, path, c.file)
		_, err := ReadCatalog(path, zoo)
		wantError(t, err, path, c.want)
	}
	_, err := ReadCatalog(dir, zoo)
	wantError(t, err, dir, "not a file")
	_, err = ReadCatalog(filepath.Join(dir, "absent.csv"), zoo)
	wantError(t, err, "absent.csv", "no such file")
}

func FuzzReadCatalog(f *testing.F) {
	text := catalogCSV(zoo, []int64{100008, 100023})
	f.Add([]byte(text))
	f.Add([]byte(text[:len(text)-30]))
	f.Add([]byte(strings.Replace(text, "0.", "NaN", 1)))
	f.Add([]byte(strings.Replace(text, "100008", `"100008"`, 1)))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := solutions.parse("x.csv", strings.NewReader(string(file)), zoo)
		if err != nil {
			if !strings.Contains(err.Error(), "x.csv") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if len(c.IDs) == 0 || len(c.Labels) != len(c.IDs)*zoo.Width() {
			t.Fatalf("%d ids, %d labels", len(c.IDs), len(c.Labels))
		}
		seen := map[int64]bool{}
		for i, id := range c.IDs {
			if seen[id] {
				t.Errorf("galaxy %d twice", id)
			}
			seen[id] = true
			for _, v := range c.Row(i) {
				if !(v >= 0 && v <= 1) {
					t.Errorf("galaxy %d: %v", id, v)
				}
			}
		}
	})
}
