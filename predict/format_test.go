package predict

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/labels/labelstest"
)

// writeRows writes a table of rows with keys in one of the formats, as Run does.
func writeRows(t rapid.TB, out string, keys Keys, names []string, columns int, rows []float32) {
	t.Helper()
	l := layout{key: keys, rows: len(names), exact: true}
	for j := range columns {
		l.columns = append(l.columns, fmt.Sprintf("f%03d", j))
	}
	err := writeTable(out, extension(out), l, func(t table) error {
		for i, name := range names {
			if err := t.add(name, rows[i*columns:(i+1)*columns], ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && extension(out) == ".npy" {
		err = os.WriteFile(IDsFile(out), []byte(strings.Join(names, "\n")+"\n"), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every float32 is read back from every format with its bits.
func TestEachRowReadsWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	count := 0
	rapid.Check(t, func(r *rapid.T) {
		n, columns := rapid.IntRange(1, 20).Draw(r, "n"), rapid.IntRange(1, 12).Draw(r, "columns")
		finite := rapid.Custom(func(r *rapid.T) float32 {
			v := math.Float32frombits(rapid.Uint32().Draw(r, "bits"))
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return 0
			}
			return v
		})
		rows := rapid.SliceOfN(finite, n*columns, n*columns).Draw(r, "rows")
		integers := rapid.Bool().Draw(r, "integers")
		var names []string
		for i := range n {
			name := strconv.Itoa(9007199254740993 + i) // beyond float64
			if !integers {
				name = "NGC, \"" + name
			}
			names = append(names, name)
		}
		for format := range formats {
			count++
			out := filepath.Join(dir, strconv.Itoa(count)+format)
			writeRows(r, out, Keys{data.IDColumn, integers}, names, columns, rows)
			var gotNames []string
			var got []float32
			if err := EachRow(out, func(key string, values []float32) error {
				gotNames, got = append(gotNames, key), append(got, values...)
				return nil
			}); err != nil {
				r.Fatalf("%s: %v", format, err)
			}
			same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a == 0 && b == 0 }
			if !slices.Equal(gotNames, names) || !slices.EqualFunc(got, rows, same) {
				r.Fatalf("%s: %q %v, expected %q %v", format, gotNames, got, names, rows)
			}
			stop := errors.New("stop")
			if err := EachRow(out, func(string, []float32) error { return stop }); !errors.Is(err, stop) {
				r.Fatalf("%s: %v, expected the caller's error", format, err)
			}
		}
	})
}

// The bytes are those of numpy.save(FILE, numpy.float32([[1, -2.5], [0, 3e-7]])), by NumPy 2.4.6.
func TestNPYIsNumPys(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.npy")
	writeRows(t, out, Keys{}, []string{"a", "b"}, 2, []float32{1, -2.5, 0, 3e-7})
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
	want := "\x93NUMPY\x01\x00\x76\x00" + header + strings.Repeat(" ", 118-len(header)-1) + "\n" +
		"\x00\x00\x80\x3f\x00\x00\x20\xc0\x00\x00\x00\x00\xb0\x0f\xa1\x34"
	if got := read(t, out); got != want {
		t.Errorf("%q, expected %q", got, want)
	}
}

func TestEachRowRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := filepath.Join(dir, "good.npy")
	writeRows(t, good, Keys{}, []string{"a", "b"}, 2, []float32{1, 2, 3, 4})
	bytes := read(t, good)
	withIDs := func(name, content, ids string) string {
		write(name+".ids.txt", ids)
		return write(name, content)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.npy"):                                        "no such file",
		write("alone.npy", bytes):                                             "alone.npy.ids.txt: no such file or directory: the ids of",
		withIDs("few.npy", bytes, "a\n"):                                      "1 lines: expected the 2 ids",
		withIDs("many.npy", bytes, "a\nb\nc\n"):                               "more lines than the 2 rows",
		withIDs("cut.npy", bytes[:len(bytes)-1], "a\nb\n"):                    "has 143 bytes: expected 144 for a matrix of 2×2",
		withIDs("text.npy", "GalaxyID,f000\n", "a\nb\n"):                      "not a .npy file of version 1.0",
		withIDs("empty.npy", "", "a\nb\n"):                                    "not a .npy file of version 1.0",
		withIDs("header.npy", bytes[:40], "a\nb\n"):                           "cut off in its header",
		withIDs("f8.npy", strings.Replace(bytes, "<f4", "<f8", 1), ""):        "expected a float32 matrix",
		withIDs("cube.npy", strings.Replace(bytes, "2, 2", "2, 2, 2", 1), ""): "expected a float32 matrix",
		withIDs("zero.npy", strings.Replace(bytes, "2, 2", "9, 0", 1), ""):    "expected 128 for a matrix of 9×0",
		write("one.csv", "GalaxyID\n7\n"):                                     "one.csv has 1 columns: expected ids and numbers",
		write("word.csv", "GalaxyID,f0\n7,1\n8,x\n"):                          `line 3: f0 is "x"; expected a number`,
	} {
		if err := EachRow(path, func(string, []float32) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected an error with %q", path, err, want)
		}
	}
}

// FuzzEachRow reads matrices of foreign bytes: each is an error, or has as many rows as its header and its size say.
func FuzzEachRow(f *testing.F) {
	out := filepath.Join(f.TempDir(), "x.npy")
	l := layout{columns: []string{"a", "b"}, rows: 1}
	if err := writeTable(out, ".npy", l, func(t table) error { return t.add("", []float32{1, 2}, "") }); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(read(f, out)), []byte("7\n"))
	f.Add([]byte(npyMagic+"\xff\xff"), []byte("\n\n"))
	f.Fuzz(func(t *testing.T, raw, ids []byte) {
		out := filepath.Join(t.TempDir(), "x.npy")
		if err := errors.Join(os.WriteFile(out, raw, 0o666), os.WriteFile(IDsFile(out), ids, 0o666)); err != nil {
			t.Fatal(err)
		}
		values := 0
		if err := EachRow(out, func(_ string, row []float32) error { values += len(row); return nil }); err != nil {
			return
		}
		if start := int(binary.LittleEndian.Uint16(raw[8:])) + 10; values*4 != len(raw)-start {
			t.Errorf("%d values in %d bytes after the header", values, len(raw)-start)
		}
	})
}

// The ids of a .npy file are beside it, also after an interruption, and never in place of what exists.
func TestRunNPY(t *testing.T) {
	const n = 9
	dir := folder(t, n, galaxyName)
	cfg := config(t, open(t, dir))
	cfg.Out, cfg.Class = filepath.Join(filepath.Dir(cfg.Out), "out.NPY"), true
	stop := errors.New("stop")
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width(), n: 6, at: func() error { return stop }}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var ids strings.Builder
	for i := range n {
		fmt.Fprintln(&ids, 100+n-1-i)
	}
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(IDsFile(cfg.Out), ids.String())
	_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
	wantError(t, err, "out.NPY.ids.txt exists already")
	write(filepath.Join(PartialFolder(cfg.Out), idsName), ids.String()) // as if the call had died behind it
	got, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
	if err != nil || got.IDs != IDsFile(cfg.Out) || got.TakenOver != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	row := 0
	if err := EachRow(cfg.Out, func(key string, values []float32) error {
		image := n - 1 - row
		if key != strconv.Itoa(100+image) || !slices.Equal(values, want(t, picture(image), zoo, zoo.Width())) {
			t.Errorf("row %d: %s %v", row, key, values)
		}
		row++
		return nil
	}); err != nil || row != n {
		t.Errorf("%d rows, %v", row, err)
	}
	if read(t, IDsFile(cfg.Out)) != ids.String() || len(entries(t, filepath.Dir(cfg.Out))) != 2 {
		t.Errorf("ids %q, files %v", read(t, IDsFile(cfg.Out)), entries(t, filepath.Dir(cfg.Out)))
	}
}

func TestRunNPYRefusesLineEnds(t *testing.T) {
	dir := folder(t, 2, func(i int) string { return []string{"a\nb.jpg", "c.jpg"}[i] })
	images, err := data.OpenImagesByPath(dir, data.TestImages)
	if err != nil {
		t.Skipf("no such names here: %v", err)
	}
	cfg := Config{Out: filepath.Join(t.TempDir(), "out.npy"), Source: backwards(images), Columns: []string{"x"}, Shape: imagefile.Shape{Size: testSize, Channels: 3}}
	_, err = Run(context.Background(), cfg, &hashPredictor{columns: 1})
	wantError(t, err, `the name "a\nb.jpg" has a line end in it`, "choose .parquet or .csv")
}

// eight is the smallest shape that a cache may have.
var eight = imagefile.Shape{Size: 8, Channels: 3}

// eightPredictor answers as hashPredictor does, with the columns of labelstest.Small.
type eightPredictor struct{}

func (eightPredictor) Predict(images []byte) (logits, probabilities []float32, err error) {
	for img := range slices.Chunk(images, eight.Bytes()) {
		probabilities = append(probabilities, answer(img, labelstest.Small().Width())...)
	}
	return nil, probabilities, nil
}

// A table of a cache is that of its images, and a damaged one is broken.
func TestRunGalaxies(t *testing.T) {
	const n = 9
	dir, schema := folder(t, n, galaxyName), labelstest.Small()
	table := "GalaxyID," + strings.Join(schema.Columns(), ",") + "\n"
	for i, row := range slices.Collect(slices.Chunk(labelstest.Rows(schema, n, 1), schema.Width())) {
		table += csvRow(strconv.Itoa(100+i), row)
	}
	labels, cacheDir := filepath.Join(t.TempDir(), "labels.csv"), filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(labels, []byte(table), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := data.Prepare(t.Context(), data.PrepareConfig{Schema: schema, Labels: labels, Images: dir, Out: cacheDir, Size: eight.Size, Decoder: "hash"}, new(hashDecoder)); err != nil {
		t.Fatal(err)
	}
	open := func() *data.Cache {
		cache, err := data.Open(cacheDir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cache.Close() })
		return cache
	}
	which := []int{2, 0, 7, 8, 1}
	images, err := data.OpenImages(dir, data.TestImages)
	if err != nil {
		t.Fatal(err)
	}
	files := configOf(t, images, schema)
	files.Shape = eight
	files.Source = Files{images, which, new(hashDecoder)}
	galaxies := files
	galaxies.Out, galaxies.Source = files.Out+".csv", Galaxies{open(), which}
	for _, cfg := range []Config{files, galaxies} {
		if _, err := Run(t.Context(), cfg, eightPredictor{}); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, files.Out) != read(t, galaxies.Out) {
		t.Errorf("of files\n%s\nof the cache\n%s", read(t, files.Out), read(t, galaxies.Out))
	}

	pixels := filepath.Join(cacheDir, "images.bin")
	raw := []byte(read(t, pixels))
	raw[len(raw)/n*7] ^= 1
	if err := os.WriteFile(pixels, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	galaxies.Out, galaxies.Source = files.Out+".2.csv", Galaxies{open(), which}
	_, err = Run(t.Context(), galaxies, eightPredictor{})
	wantError(t, err, "broken images: 1 of 5 in "+cacheDir, "107: ", "edited or damaged", "max_broken 1")
	galaxies.MaxBroken = 1
	if got, err := Run(t.Context(), galaxies, eightPredictor{}); err != nil || len(got.Broken) != 1 || got.TakenOver != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A row group, which is kept in memory, has at most rowGroupBytes of many columns, and rowGroup rows of few.
func TestGroupRows(t *testing.T) {
	for columns, want := range map[int]int64{1: rowGroup, 38: rowGroup, 513: 16352, 2049: 4094, 1 << 30: 1} {
		if got := groupRows(columns); got != want {
			t.Errorf("%d columns: %d rows, expected %d", columns, got, want)
		}
	}
}
