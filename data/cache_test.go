package data

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"galaxy/labels"
)

var zooRecord = recordBytes(zoo.Width())

// The sizes are part of the format.
func TestRecordBytes(t *testing.T) {
	for schema, want := range map[*labels.Schema]int{zoo: 176, small: 56} {
		dir := preparedOf(t, schema, 20)
		if info, err := os.Stat(filepath.Join(dir, examplesName)); err != nil || info.Size() != int64(20*want) {
			t.Errorf("%v: %v, %v, want 20 records of %d bytes", schema, info, err, want)
		}
	}
}

// edit changes one file of a cache folder.
func edit(t testing.TB, dir, name string, f func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o666); err != nil {
		t.Fatal(err)
	}
}

// resign gives an edited manifest a right checksum, as someone who knows the
// format could.
func resign(b []byte) []byte {
	copy(b[len(checksumPrefix):], checksumZeros)
	copy(b[len(checksumPrefix):], hex(xxh3.Hash(b)))
	return b
}

func replace(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		want       []string
	}{
		{"another version", manifestName, replace(`"version": 1`, `"version": 3`), []string{"format version 3", "reads versions 1 and 2", "galaxy prepare"}},
		{"another format", manifestName, replace(cacheFormat, "other"), []string{`format is "other"`}},
		{"edited seed", manifestName, replace(`"split_seed": 0`, `"split_seed": 7`), []string{manifestName, "edited", "galaxy prepare"}},
		{"a space more", manifestName, replace("\n}\n", "\n} \n"), []string{"edited"}},
		{"other layout", manifestName, replace("{\n ", "{\n  "), []string{"edited"}},
		{"cut manifest", manifestName, func(b []byte) []byte { return b[:len(b)/2] }, []string{manifestName, "damaged", "galaxy prepare"}},
		{"empty manifest", manifestName, func([]byte) []byte { return nil }, []string{manifestName, "damaged"}},
		{"too many examples", manifestName, func(b []byte) []byte {
			return resign(replace(`"examples": 40`, `"examples": 4611686018427387904`)(b))
		}, []string{"impossible"}},
		{"more examples", manifestName, func(b []byte) []byte {
			return resign(replace(`"examples": 40`, `"examples": 99999999999`)(b))
		}, []string{examplesName, "truncated"}},
		{"no size", manifestName, func(b []byte) []byte { return resign(replace(`"size": 8`, `"size": 0`)(b)) }, []string{"impossible sizes"}},
		{"other size", manifestName, func(b []byte) []byte { return resign(replace(`"size": 8`, `"size": 9`)(b)) }, []string{imagesName, "truncated"}},
		{"other counts", manifestName, func(b []byte) []byte { return resign(replace(`"train": `, `"train": 1`)(b)) }, []string{"train split", "the manifest says"}},
		{"cut images", imagesName, func(b []byte) []byte { return b[:len(b)-1] }, []string{imagesName, "truncated", "bytes; expected", "galaxy prepare"}},
		{"long images", imagesName, func(b []byte) []byte { return append(b, 0) }, []string{imagesName, "too long"}},
		{"cut labels", examplesName, func(b []byte) []byte { return b[:len(b)-zooRecord] }, []string{examplesName, "truncated"}},
		{"edited label", examplesName, func(b []byte) []byte { b[recordLabels+3] ^= 1; return b }, []string{examplesName, "edited or damaged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := prepared(t, 40)
			edit(t, dir, c.file, c.change)
			_, err := Open(dir)
			wantError(t, err, append(c.want, "open cache "+dir)...)
		})
	}

	// Records that only a program of another mind could have written.
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"order", func(b []byte) []byte { b[zooRecord] = 0; b[zooRecord+1] = 0; return b }, "ascending"},
		{"split", func(b []byte) []byte { b[recordSplit] = 3; return b }, "unknown split 3"},
		{"NaN", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[recordLabels:], math.Float32bits(float32(math.NaN())))
			return b
		}, "Class1.1 is NaN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := prepared(t, 40)
			var sum uint64
			edit(t, dir, examplesName, func(b []byte) []byte { b = c.change(b); sum = xxh3.Hash(b); return b })
			edit(t, dir, manifestName, func(b []byte) []byte {
				var m Manifest
				if err := json.Unmarshal(b, &m); err != nil {
					t.Fatal(err)
				}
				return resign(replace(m.ExamplesChecksum, hex(sum))(b))
			})
			_, err := Open(dir)
			wantError(t, err, c.want)
		})
	}

	t.Run("not a cache", func(t *testing.T) {
		dir := t.TempDir()
		_, err := Open(dir)
		wantError(t, err, dir, "not a cache", "galaxy prepare")
		_, err = Open(filepath.Join(dir, "absent"))
		wantError(t, err, "absent", "no such file")
		writeFile(t, filepath.Join(dir, "file"), nil)
		_, err = Open(filepath.Join(dir, "file"))
		wantError(t, err, "not a folder")
	})
}

func TestEditedImage(t *testing.T) {
	dir := prepared(t, 40)
	const example = 5
	edit(t, dir, imagesName, func(b []byte) []byte { b[example*testSize*testSize*3+17] ^= 4; return b })
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err) // opening does not read the images
	}
	defer c.Close()
	for i := range c.Len() {
		_, err := imageOf(c, i)
		if i != example {
			if err != nil {
				t.Errorf("example %d: %v", i, err)
			}
			continue
		}
		wantError(t, err, dir, "galaxy 100015", imagesName, "galaxy prepare")
	}
	r := c.Images([]int{4, 2, example, 3})
	got := make([]byte, 2*c.row)
	if _, err := io.ReadFull(r, got); err != nil {
		t.Fatal(err)
	}
	for k, i := range []int{4, 2} {
		if image, err := imageOf(c, i); err != nil || !bytes.Equal(got[k*c.row:][:c.row], image) {
			t.Errorf("example %d is not image %d of those read one after the other (%v)", i, k, err)
		}
	}
	_, err = io.ReadAll(r)
	wantError(t, err, "galaxy 100015")
	if rest, err := io.ReadAll(c.Images([]int{0})); err != nil || len(rest) != c.row {
		t.Errorf("%d bytes of one image, %v", len(rest), err)
	}
}

// A file that shrinks while it is mapped must give an error, not end the
// process.
func TestImagesCutWhileOpen(t *testing.T) {
	dir := prepared(t, 40)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.Truncate(filepath.Join(dir, imagesName), 0); err != nil {
		t.Fatal(err)
	}
	_, err = imageOf(c, 0)
	wantError(t, err, "galaxy 100000", "cut short")
	err = c.copyImages(make([]byte, 2*c.row), []int{38, 39})
	wantError(t, err, "galaxy 100114", "cut short")
}

func TestClosedCache(t *testing.T) {
	c, err := Open(prepared(t, 40))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = imageOf(c, 0)
	wantError(t, err, "closed")
	wantError(t, c.copyImages(make([]byte, c.row), []int{0}), "closed")
	if c.Len() != 40 || len(c.Labels(3)) != zoo.Width() || c.Indices(Split(9)) != nil {
		t.Error("labels are in memory and stay")
	}
}

func TestManifestIsPlain(t *testing.T) {
	dir := prepared(t, 40)
	text := cacheBytes(t, dir)[manifestName]
	if strings.Contains(text, filepath.Dir(dir)) {
		t.Errorf("the manifest tells where the folder lies:\n%s", text)
	}
	if !strings.HasPrefix(text, checksumPrefix) {
		t.Errorf("the manifest does not begin with its checksum:\n%s", text)
	}
}

// FuzzOpen hands Open a foreign manifest and foreign labels, with checksums
// that fit, so that the fuzzer reaches what lies behind them.
func FuzzOpen(f *testing.F) {
	files := cacheBytes(f, prepared(f, 10))
	f.Add([]byte(files[manifestName]), []byte(files[examplesName]), true)
	f.Add([]byte(files[manifestName]), []byte(files[examplesName]), false)
	f.Add([]byte(`{"format":"galaxy-cache","version":1}`), []byte{}, false)
	f.Add([]byte(strings.Replace(files[manifestName], `"examples": 10`, `"examples": 1`, 1)), []byte(files[examplesName][:zooRecord]), true)
	f.Fuzz(func(t *testing.T, manifest, examples []byte, sign bool) {
		dir := t.TempDir()
		if sign && len(manifest) >= len(checksumPrefix)+len(checksumZeros) {
			var m Manifest
			if json.Unmarshal(manifest, &m) == nil && len(m.ExamplesChecksum) == len(checksumZeros) {
				manifest = replace(m.ExamplesChecksum, hex(xxh3.Hash(examples)))(manifest)
			}
			manifest = resign(bytes.Clone(manifest))
		}
		writeFile(t, filepath.Join(dir, manifestName), manifest)
		writeFile(t, filepath.Join(dir, examplesName), examples)
		writeFile(t, filepath.Join(dir, imagesName), []byte(files[imagesName]))
		c, err := Open(dir)
		if err != nil {
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("the error does not name the cache: %v", err)
			}
			return
		}
		defer c.Close()
		for i := range c.Len() {
			if b, err := imageOf(c, i); err == nil && len(b) != c.Size()*c.Size()*3 {
				t.Errorf("example %d has %d bytes", i, len(b))
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	dir := prepared(b, 2000)
	for b.Loop() {
		c, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
