package data

import (
	"archive/zip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"galaxy/labels"
)

// classesOf returns the class of each row, "" for none.
func classesOf(c *Catalog) (names []string) {
	for row := range c.IDs {
		name := ""
		if k := c.Schema.ClassOf(c.Row(row)); k != labels.NoClass {
			name = c.Schema.ClassName(k)
		}
		names = append(names, name)
	}
	return names
}

func galaxy10(t testing.TB) *labels.Schema {
	t.Helper()
	s, err := labels.Read(strings.NewReader(`
name = "galaxy10"
[[questions]]
text = "What is it?"
answers = [{column = "barred", text = "bars"}, {column = "spiral", text = "arms"}, {column = "ring", text = "a ring"}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = s.WithClasses(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReadClasses is about columns of classes that can be read.
func TestReadClasses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		schema     *labels.Schema
		columns    []string
		classes    []string
	}{
		{"text in the order of bytes", "id,type\n1,spiral\n2,Sb\n3,barred\n4,spiral\n", nil, []string{"Sb", "barred", "spiral"}, []string{"spiral", "Sb", "barred", "spiral"}},
		{"quoted commas and blanks", "id,type\n1,\"Compact,-not-star\"\n2,  E \n3,E\n", nil, []string{"Compact,-not-star", "E"}, []string{"Compact,-not-star", "E", "E"}},
		{"numbers by value, as written", "id,type\n1,10\n2,-3\n3,2\n4,18.0\n", nil, []string{"-3", "2", "10", "18.0"}, []string{"10", "-3", "2", "18.0"}},
		{"not all numbers", "id,type\n1,10\n2,9\n3,irr\n", nil, []string{"10", "9", "irr"}, []string{"10", "9", "irr"}},
		{"no class", "id,type\n1,a\n2,\n3,b\n4,  \n5,NaN\n6,null\n", nil, []string{"a", "b"}, []string{"a", "", "b", "", "", ""}},
		{"a schema", "id,type\n1,ring\n2,barred\n3,\n", galaxy10(t), []string{"barred", "spiral", "ring"}, []string{"ring", "barred", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := catalogOf(t, c.text, c.schema, KeyColumns{ID: "id", Class: "type"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.columns, got.Schema.Columns()) + cmp.Diff(c.classes, classesOf(got)); diff != "" {
				t.Error(diff)
			}
			if !got.Schema.OfClasses() || c.schema != nil && got.Schema != c.schema {
				t.Errorf("the schema is %v", got.Schema)
			}
		})
	}
}

// columnText is a table with a column of classes made by of(0), of(1), …
func columnText(n int, of func(i int) string) string {
	var b strings.Builder
	b.WriteString("id,type\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%s\n", i, of(i))
	}
	return b.String()
}

// TestReadClassesErrors is about columns that hold no classes.
func TestReadClassesErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		schema *labels.Schema
		want   []string
	}{
		"no such column":  {"id,typ\n1,a\n", nil, []string{"line 1", `"type"`, `did you mean "typ"`}},
		"blank":           {"id,type\n1,\n2, \n", nil, []string{"the column type has no class in any of its 2 rows"}},
		"one class":       {"id,type\n1,a\n2,a\n", nil, []string{"one class, a, for all galaxies", "two or more", "class_column"}},
		"two spellings":   {"id,type\n1,2\n2,1\n3,1.0\n", nil, []string{"line 4", "the class 1.0 is written 1 on line 3", "one spelling"}},
		"unclear":         {"id,type\n1,a\n2,unclear\n", nil, []string{"line 3", "unclear has the name of galaxies without a class", "rename"}},
		"control":         {"id,type\n1,a\n2,\"b\nc\"\n", nil, []string{"the class \"b\\nc\" has line ends"}},
		"Latin 1":         {"id,type\n1,a\n2,\xe9\n", nil, []string{"line 3", "not UTF-8", "iconv"}},
		"long":            {"id,type\n1,a\n2," + strings.Repeat("x", 201) + "\n", nil, []string{"line 3", "201 bytes", "at most 200"}},
		"not in a schema": {"id,type\n1,ring\n2,barred\n3,spirals\n", galaxy10(t), []string{"line 4", `"spirals"`, "not in the schema galaxy10", `did you mean "spiral"?`}},
		"a quantity":      {columnText(60, func(i int) string { return fmt.Sprint(float64(i%30) / 8) }), nil, []string{"30 different values, such as 0, 0.125", "a measured quantity", "binned"}},
		"ids":             {columnText(60, func(i int) string { return fmt.Sprint("J", i) }), nil, []string{"60 different values, such as J0, J1", "60 of the 60 galaxies have a value of their own"}},
		"too many":        {columnText(3003, func(i int) string { return fmt.Sprint(i % 1001) }), nil, []string{"1001 different values", "at most 1000 classes"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalogOf(t, c.text, c.schema, KeyColumns{ID: "id", Class: "type"})
			wantError(t, err, c.want...)
		})
	}
	// The limits themselves are no mistakes.
	for name, text := range map[string]string{
		"the largest number of classes":   columnText(3000, func(i int) string { return fmt.Sprint(i % 1000) }),
		"a few broken numbers":            columnText(60, func(i int) string { return fmt.Sprint(float64(i%20) / 2) }),
		"a few classes of one member":     columnText(20, func(i int) string { return fmt.Sprint("J", i) }),
		"half of the galaxies are single": columnText(60, func(i int) string { return fmt.Sprint(min(i, 30)) }),
	} {
		if _, err := catalogOf(t, text, nil, KeyColumns{ID: "id", Class: "type"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAlike(t *testing.T) {
	c, err := catalogOf(t, "id,type\n1,sb\n2,Sb\n3,SB\n4,E\n", nil, KeyColumns{ID: "id", Class: "type"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.classes.alike(); !strings.Contains(got, "the column type") || !strings.Contains(got, "SB and Sb, Sb and sb") {
		t.Errorf("got %q", got)
	}
}

// TestReadSplits is about columns of splits and groups.
func TestReadSplits(t *testing.T) {
	keys := KeyColumns{ID: "id", Class: "type", split: "set", group: "field"}
	c, err := catalogOf(t, "id,type,set,field\n1,a,Train,x\n2,b, VALID ,\n3,a,val,x \n4,a,dev,nan\n5,b,test,y\n6,b,,y\n7,b,training,7\n", nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Split{Train, Validation, Validation, Validation, Test, noSplit, Train}, c.splits) +
		cmp.Diff([]ID{"x", "", "x", "", "y", "y", "7"}, c.groups); diff != "" {
		t.Error(diff)
	}
	rows, left := c.labelled([]int{0, 1, 5})
	if !slices.Equal(rows, []int{0, 1}) || left != (unlabelled{split: 1}) {
		t.Errorf("rows %v, left out %+v", rows, left)
	}
	_, err = catalogOf(t, "id,type,set,field\n1,a,train,x\n2,b,1,x\n3,a,2,x\n4,a,1,x\n", nil, keys)
	wantError(t, err, "line 3", `the column set has "1", "2"; expected train, validation`)
	_, err = catalogOf(t, columnText(9, func(i int) string { return fmt.Sprint(i) }), nil, KeyColumns{ID: "id", Class: "type", split: "type"})
	wantError(t, err, `"0", "1", "2", "3", "4", …`)
}

// imagesNamed are images of which only the paths are known.
func imagesNamed(names ...string) *Images {
	m := &Images{path: "sky"}
	for _, name := range slices.Sorted(slices.Values(names)) {
		m.files = append(m.files, imageFile{name: name})
	}
	return m
}

// TestReadFolders is about layouts of folders.
func TestReadFolders(t *testing.T) {
	for _, c := range []struct {
		name, paths string
		ids         string // of each image
		classes     string
		splits      []Split
	}{
		{"classes", "spiral/1.jpg spiral/2.png ring/1.jpg", "ring/1 spiral/1 spiral/2", "ring spiral spiral", nil},
		{"a folder around them", "data/spiral/1.jpg data/ring/1.jpg", "ring/1 spiral/1", "ring spiral", nil},
		{"two folders around them", "./data/spiral/1.jpg ./data/ring/1.jpg", "ring/1 spiral/1", "ring spiral", nil},
		{"names that would be empty cells", "null/1.jpg NaN/1.jpg", "NaN/1 null/1", "NaN null", nil},
		{"deeper", "spiral/a/1.jpg spiral/b/1.jpg ring/1.jpg", "ring/1 spiral/a/1 spiral/b/1", "ring spiral spiral", nil},
		{"names with points", "E/hst.r.png S/hst.r.fits.gz", "E/hst.r S/hst.r", "E S", nil},
		{"splits", "train/E/1.jpg train/S/1.jpg valid/E/1.jpg test/S/1.jpg", "test/S/1 train/E/1 train/S/1 valid/E/1", "S E S E", []Split{Test, Train, Train, Validation}},
		{"splits in a folder", "x/Training/E/1.jpg x/Training/S/2.jpg x/dev/E/1.jpg", "Training/E/1 Training/S/2 dev/E/1", "E S E", []Split{Train, Train, Validation}},
		{"one split", "train/E/1.jpg train/S/1.jpg", "train/E/1 train/S/1", "E S", []Split{Train, Train}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, splits, err := readFolders(imagesNamed(strings.Fields(c.paths)...), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, id := range got.IDs {
				ids = append(ids, string(id))
			}
			if diff := cmp.Diff(strings.Fields(c.ids), ids) + cmp.Diff(strings.Fields(c.classes), classesOf(got)) + cmp.Diff(c.splits, got.splits); diff != "" {
				t.Error(diff)
			}
			if splits != (c.splits != nil) {
				t.Errorf("splits: %v", splits)
			}
		})
	}
	for _, c := range []struct {
		name, paths string
		want        []string
	}{
		{"no folders", "1.jpg 2.jpg", []string{"sky: 2 images outside of the folder of a class (1.jpg, 2.jpg)", "<class>/<image>", "allow_missing", "labels"}},
		{"one outside", "1.jpg E/1.jpg S/1.jpg", []string{"1 image outside of the folder of a class (1.jpg)"}},
		{"outside in a split", "train/1.jpg train/E/1.jpg test/S/1.jpg", []string{"(train/1.jpg)", "<split>/<class>/<image>"}},
		{"one class", "E/1.jpg E/2.jpg", []string{"sky: the folder of images has one class, E", "labels"}},
		{"splits without classes", "train/1.jpg test/2.jpg", []string{"2 images outside"}},
		{"mixed", "train/E/1.jpg test/E/1.jpg all/E/1.jpg", []string{"folders of splits (test, train) next to others (all)"}},
		{"the wrong way round", "E/train/1.jpg S/test/1.jpg", []string{"the folder of a split is inside of that of a class (E/train)"}},
		{"one id twice", "E/1.jpg E/1.png S/1.jpg", []string{"galaxy E/1 has two images (E/1.jpg, E/1.png)"}},
		{"a long id", strings.Repeat("x", 500) + "/" + strings.Repeat("y", 20) + ".jpg E/1.jpg", []string{"names no galaxy", "at most 512"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := readFolders(imagesNamed(strings.Fields(c.paths)...), nil, false)
			wantError(t, err, c.want...)
		})
	}
	c, _, err := readFolders(imagesNamed("1.jpg", "E/1.jpg", "S/1.jpg"), nil, true)
	if err != nil || !slices.Equal(c.IDs, []ID{"E/1", "S/1"}) {
		t.Errorf("allowed to miss rows: %v, %v", c, err)
	}
	if _, _, err = readFolders(imagesNamed("1.jpg"), nil, true); err == nil {
		t.Error("an image alone is a catalogue")
	}
	_, _, err = readFolders(imagesNamed("ring/1.jpg", "rings/1.jpg"), galaxy10(t), false)
	wantError(t, err, "the folder rings", `did you mean "ring"`)
}

// FuzzReadFolders reads any list of paths: every image becomes a galaxy with a class, or there is an error.
func FuzzReadFolders(f *testing.F) {
	for _, paths := range []string{"a/1.jpg\nb/1.jpg", "train/a/1.jpg\ntest/b/1.jpg\nval/a/2.jpg", "x/a/1.jpg\nx/b/1.jpg", "a/train/1.jpg\nb/2.jpg", "1.jpg", "./a/b\n./c/d"} {
		f.Add(paths, false)
	}
	f.Fuzz(func(t *testing.T, paths string, allowMissing bool) {
		names := slices.Compact(slices.Sorted(strings.SplitSeq(paths, "\n")))
		c, splits, err := readFolders(imagesNamed(names...), nil, allowMissing)
		if err != nil {
			return
		}
		if len(c.IDs) > len(names) || !allowMissing && len(c.IDs) < len(names) || len(c.Images) != len(c.IDs) || splits && len(c.splits) != len(c.IDs) {
			t.Fatalf("%d ids, %d images, %d splits of %d paths", len(c.IDs), len(c.Images), len(c.splits), len(names))
		}
		for row := range c.IDs {
			if c.Schema.ClassOf(c.Row(row)) == labels.NoClass {
				t.Errorf("%q has no class", c.Images[row])
			}
		}
	})
}

// classSource writes images into folders of classes, and returns the folder.
func classSource(t testing.TB, paths ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sky")
	for i, name := range paths {
		writeFile(t, filepath.Join(dir, name), galaxyJPEG(int64(i)))
	}
	return dir
}

func classPaths(n int, classes ...string) (paths []string) {
	for i := range n {
		paths = append(paths, fmt.Sprintf("%s/%04d.jpg", classes[i%len(classes)], i/len(classes)))
	}
	return paths
}

// prepareNotices prepares and returns the notices.
func prepareNotices(t testing.TB, config PrepareConfig) (*Manifest, string, error) {
	t.Helper()
	var all []string
	config.Notice = func(s string) { all = append(all, s) }
	m, err := Prepare(context.Background(), config, hashDecoder{})
	return m, strings.Join(all, "\n"), err
}

func openedCache(t testing.TB, dir string) *Cache {
	t.Helper()
	c, err := Open(dir)
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

// TestPrepareFolders prepares classes in folders, and the same in a zip.
func TestPrepareFolders(t *testing.T) {
	paths := classPaths(60, "train/E", "train/S", "valid/E", "valid/S", "test/S")
	dir := classSource(t, paths...)
	writeFile(t, filepath.Join(dir, "test", "E", "notes.txt"), []byte("none"))
	out := filepath.Join(t.TempDir(), "cache")
	config := PrepareConfig{Images: dir, Out: out, Size: testSize, Decoder: "test"}
	m, notices, err := prepareNotices(t, config)
	if err != nil {
		t.Fatal(err)
	}
	if m.Counts != (Counts{24, 24, 12}) || m.Split != (SplitRule{Folders: true}) || m.Sources.Labels != "" || m.Version != CacheVersionIDs {
		t.Errorf("manifest %+v", m)
	}
	for _, want := range []string{"1 folder without any image: test/E", "a text file (test/E/notes.txt)"} {
		if !strings.Contains(notices, want) {
			t.Errorf("notices %q lack %q", notices, want)
		}
	}
	c := openedCache(t, out)
	want := &Balance{
		Classes:   []ClassSummary{{Name: "E", Counts: Counts{12, 12, 0}}, {Name: "S", Counts: Counts{12, 12, 12}}},
		Imbalance: 1, Absent: []string{"E"},
	}
	if diff := cmp.Diff(want, c.Balance()); diff != "" {
		t.Error(diff)
	}
	for i := range c.Len() {
		parts := strings.Split(string(c.ID(i)), "/")
		split, _ := splitNamed(parts[0])
		if !slices.Contains(c.Indices(split), i) || c.Schema().ClassName(c.Schema().ClassOf(c.Labels(i))) != parts[1] {
			t.Errorf("%s is of class %d, and not in %v", c.ID(i), c.Schema().ClassOf(c.Labels(i)), split)
		}
	}
	if _, notices, err = prepareNotices(t, config); err != nil || !strings.Contains(notices, "nothing to do") {
		t.Errorf("the second time: %q, %v", notices, err)
	}

	var members []member
	for i, name := range paths {
		members = append(members, member{"sky/" + name, galaxyJPEG(int64(i))})
	}
	packed := filepath.Join(t.TempDir(), "sky.zip")
	writeFile(t, packed, zipBytes(t, zip.Store, members...))
	config.Images, config.Out = packed, filepath.Join(t.TempDir(), "packed")
	if _, _, err = prepareNotices(t, config); err != nil {
		t.Fatalf("the zip: %v", err)
	}
	if a, b := cacheBytes(t, out), cacheBytes(t, config.Out); a[examplesName] != b[examplesName] || a[imagesName] != b[imagesName] || a[idsName] != b[idsName] {
		t.Error("a zip of the folders gives other examples")
	}
}

// TestPrepareClassColumn prepares a class column: rows without a class are left out, whatever their order and the
// number of workers, and a continued call makes the same.
func TestPrepareClassColumn(t *testing.T) {
	s := makeSource(t, 60)
	rows := make([]string, len(s.ids))
	for i, id := range s.ids {
		rows[i] = fmt.Sprintf("%d,%s,x%d", id, []string{"a", "b", "c", ""}[id/3%4], id%5)
	}
	table := filepath.Join(t.TempDir(), "classes.csv")
	write := func() { writeFile(t, table, []byte("objid,type,field\n"+strings.Join(rows, "\n")+"\n")) }
	write()
	config := PrepareConfig{Labels: table, Images: s.images, Size: testSize, Decoder: "test", Keys: KeyColumns{ID: "objid", Class: "type"}, Split: SplitRule{Stratify: true, Shares: Shares{600_000, 200_000, 200_000}}}
	prepare := func(workers int) (string, *Manifest) {
		config.Out, config.Workers = filepath.Join(t.TempDir(), "cache"), workers
		m, _, err := prepareNotices(t, config)
		if err != nil {
			t.Fatal(err)
		}
		return config.Out, m
	}
	one, m := prepare(1)
	if m.Examples != 45 || m.RowsWithoutClass != 15 || m.Counts != (Counts{27, 9, 9}) || m.Sources.ClassColumn != "type" || m.ImagesWithoutRow != 0 {
		t.Errorf("manifest %+v", m)
	}
	for _, class := range openedCache(t, one).Balance().Classes {
		if class.Counts != (Counts{9, 3, 3}) {
			t.Errorf("%+v", class)
		}
	}
	many, _ := prepare(7)
	if diff := cmp.Diff(cacheBytes(t, one), cacheBytes(t, many)); diff != "" {
		t.Error(diff)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	write()
	shuffled, _ := prepare(3)
	if cacheBytes(t, one)[examplesName] != cacheBytes(t, shuffled)[examplesName] {
		t.Error("the order of the rows counts")
	}

	// An existing cache with another rule, or another column, is no result.
	for want, change := range map[string]func(*PrepareConfig){
		"another split (ids within each class, 60/20/20, asked for is ids, 80/10/10)": func(c *PrepareConfig) { c.Split = SplitRule{} },
		"asked for is groups of field, 60/20/20":                                      func(c *PrepareConfig) { c.Split.Stratify, c.Split.Group = false, "field" },
		"from other labels or images":                                                 func(c *PrepareConfig) { c.Keys.Class = "field" },
	} {
		other := config
		change(&other)
		_, _, err := prepareNotices(t, other)
		wantError(t, err, want)
	}
}

// TestContradictions is about one picture in two classes, under two names.
func TestContradictions(t *testing.T) {
	dir := classSource(t, classPaths(40, "E", "S")...)
	same, err := os.ReadFile(filepath.Join(dir, "E", "0003.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "S", "copy.jpg"), same)
	writeFile(t, filepath.Join(dir, "E", "copy.jpg"), same) // one class: no contradiction
	out := filepath.Join(t.TempDir(), "cache")
	if _, _, err := prepareNotices(t, PrepareConfig{Images: dir, Out: out, Size: testSize, Decoder: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := openedCache(t, out).Balance().Contradictions; !slices.Equal(got, [][2]ID{{"E/0003", "S/copy"}}) {
		t.Errorf("contradictions %v", got)
	}
	if opened(t, 20).Balance() != nil {
		t.Error("a cache of votes has a balance of classes")
	}
}

// TestPrepareClassesErrors is about settings that contradict each other, or the catalogue.
func TestPrepareClassesErrors(t *testing.T) {
	s := makeSource(t, 3)
	dir := classSource(t, classPaths(12, "train/E", "train/S", "test/E", "test/S")...)
	table := filepath.Join(t.TempDir(), "t.csv")
	writeFile(t, table, fmt.Appendf(nil, "id,type,set,none\n%d,a,test,\n%d,b,test,\n%d,a,,\n", s.ids[0], s.ids[1], s.ids[2]))
	column := KeyColumns{ID: "id", Class: "type"}
	half := Shares{500_000, 500_000, 0}
	for name, c := range map[string]struct {
		config PrepareConfig
		want   []string
	}{
		"a column without a table":     {PrepareConfig{Images: dir, Keys: KeyColumns{Class: "type"}}, []string{"class_column", "labels"}},
		"a group without a table":      {PrepareConfig{Images: dir, Split: SplitRule{Group: "x"}}, []string{"split_by_group", "labels"}},
		"stratify and groups":          {PrepareConfig{Labels: table, Images: s.images, Keys: column, Split: SplitRule{Stratify: true, Group: "set"}}, []string{"stratify and split_by_group together"}},
		"stratify and given splits":    {PrepareConfig{Images: dir, Split: SplitRule{Stratify: true}}, []string{"the folders decide on the splits", "divide its train galaxies with split"}},
		"a seed and given splits":      {PrepareConfig{Labels: table, Images: s.images, Keys: column, Split: SplitRule{Column: "set"}, SplitSeed: 1}, []string{"the words in the column set decide on"}},
		"shares":                       {PrepareConfig{Images: dir, Split: SplitRule{Shares: Shares{1, 2, 3}}}, []string{"expected a sum of 1000000"}},
		"stratify without classes":     {PrepareConfig{Labels: filepath.Join(filepath.Dir(table), "small.csv"), Images: s.images, Schema: noClasses(t), Split: SplitRule{Stratify: true}}, []string{"the schema plain has no classes"}},
		"a schema of several question": {PrepareConfig{Labels: table, Images: s.images, Keys: column, Schema: small}, []string{"schema: the schema small has 3 questions"}},
		"no train":                     {PrepareConfig{Labels: table, Images: s.images, Keys: column, Split: SplitRule{Column: "set"}}, []string{"the words in the column set, which puts none of the 2 images"}},
		"no split":                     {PrepareConfig{Labels: table, Images: s.images, Keys: column, Split: SplitRule{Column: "none", Shares: half}}, []string{"no galaxy that has an image has a class and a split"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "stratify without classes" {
				writeFile(t, c.config.Labels, []byte(catalogCSV(c.config.Schema, s.ids)))
			}
			c.config.Out, c.config.Size = filepath.Join(t.TempDir(), "cache"), testSize
			_, _, err := prepareNotices(t, c.config)
			wantError(t, err, c.want...)
			onlyEntries(t, filepath.Dir(c.config.Out))
		})
	}
	// Without validation, its galaxies come from train.
	out := filepath.Join(t.TempDir(), "cache")
	m, _, err := prepareNotices(t, PrepareConfig{Images: dir, Out: out, Size: testSize, Split: SplitRule{Shares: half, Stratify: true}, SplitSeed: 3})
	if err != nil || m.Counts != (Counts{3, 3, 6}) && m.Counts != (Counts{4, 2, 6}) {
		t.Errorf("%+v, %v", m, err)
	}
}

func noClasses(t testing.TB) *labels.Schema {
	t.Helper()
	s, err := labels.New(labels.Definition{Name: "plain", Questions: []labels.Question{{Text: "?", Answers: []labels.Answer{{Name: "yes"}, {Name: "no"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAssign compares rules for splits with what they promise, on random catalogues.
func TestAssign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "galaxies")
		c := &Catalog{classes: columnClasses("type")}
		for i := range n {
			c.IDs = append(c.IDs, ID(fmt.Sprintf("J%d", i)))
			c.classes.addCell(rapid.SampledFrom([]string{"a", "b", "b", "b", "rare", "c", ""}).Draw(t, "class"), "")
			c.groups = append(c.groups, rapid.SampledFrom([]ID{"", "x", "7", "north", "south"}).Draw(t, "group"))
			c.splits = append(c.splits, rapid.SampledFrom([]Split{Train, Validation, Test}).Draw(t, "split"))
		}
		if err := c.classes.label(c, nil); err != nil {
			t.Skip(err)
		}
		var s Shares
		s[Train] = rapid.Int64Range(1, million).Draw(t, "train")
		s[Validation] = rapid.Int64Range(0, million-s[Train]).Draw(t, "validation")
		s[Test] = million - s[Train] - s[Validation]
		seed := rapid.Int64().Draw(t, "seed")
		given := rapid.SampledFrom([]string{"", "set"}).Draw(t, "column")
		rows := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		})).Draw(t, "rows")

		strata := SplitRule{Column: given, Shares: s, Stratify: true}
		out := strata.assign(c, rows, seed)
		if !slices.Equal(out, strata.assign(c, slices.Sorted(slices.Values(rows)), seed)) {
			t.Fatal("the order of the rows counts")
		}
		members, counts := map[int]int{}, map[int]*[splits]int{}
		for row, split := range out {
			if given != "" && c.splits[row] != Train {
				if split != c.splits[row] {
					t.Fatalf("row %d is in %v; the catalogue has it in %v", row, split, c.splits[row])
				}
				continue
			}
			k := c.classes.of[row]
			if counts[k] == nil {
				counts[k] = &[splits]int{}
			}
			members[k]++
			counts[k][split]++
		}
		for k, n := range members {
			for split, got := range counts[k] {
				if exact := float64(n) * float64(s[split]) / million; float64(got) <= exact-1 || float64(got) >= exact+1 {
					t.Errorf("class %d has %d of its %d galaxies in %v: expected about %v", k, got, n, Split(split), exact)
				}
			}
		}

		byGroup := SplitRule{Column: given, Shares: s, Group: "field"}.assign(c, rows, seed)
		of := map[ID]Split{}
		for row, split := range byGroup {
			group := c.groups[row]
			if group == "" || given != "" && c.splits[row] != Train {
				continue
			}
			if other, ok := of[group]; ok && other != split {
				t.Errorf("group %s is in %v and %v", group, other, split)
			}
			of[group] = split
		}
	})
}
