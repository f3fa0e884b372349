package data

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"galaxy/data/imagefile"
)

func TestIDs(t *testing.T) {
	// In ascending order.
	ids := []ID{"0", "7", "100008", "9223372036854775807", "", "+1", "-5", "00", "0100", "1.5", "9223372036854775808", "J000411.19+020924.0", "é"}
	for i, id := range ids {
		if n, ok := id.Integer(); ok != (i < 4) || ok && fmt.Sprint(n) != string(id) {
			t.Errorf("Integer of %q is %d, %v", id, n, ok)
		}
		for j, other := range ids {
			if got := CompareIDs(id, other); got != cmp.Compare(i, j) {
				t.Errorf("CompareIDs of %q and %q is %d", id, other, got)
			}
		}
		if key := id.key(); (key >= 0) != (i < 4) {
			t.Errorf("the key of %q is %d", id, key)
		}
		text, err := json.Marshal(id)
		if err != nil || strings.HasPrefix(string(text), `"`) != (i >= 4) {
			t.Errorf("%q as JSON is %s, %v", id, text, err)
		}
		var got ID
		if err := json.Unmarshal(text, &got); err != nil || got != id {
			t.Errorf("%s is read as %q, %v", text, got, err)
		}
	}
}

// TestSplitOfTexts works out the formula of the comment in big integers.
func TestSplitOfTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, seed := ID(rapid.String().Draw(t, "id")), rapid.Int64().Draw(t, "seed")
		n := xxh3.HashString(string(id))
		if i, ok := id.Integer(); ok {
			n = uint64(i)
		}
		bucket := new(big.Int).SetUint64(mix(mix(uint64(seed)) ^ n))
		want := Train
		switch bucket.Rsh(bucket.Mul(bucket, big.NewInt(10)), 64).Int64() {
		case 8:
			want = Validation
		case 9:
			want = Test
		}
		if got := SplitOf(id, seed); got != want {
			t.Errorf("%q is in %v; expected %v", id, got, want)
		}
	})
	// A promise, as splitGolden is: these hashes were computed by xxhash of Python.
	for id, want := range map[ID]Split{"J000411.19+020924.0": Validation, "0100": Train, "PGC0000212": Train, "9223372036854775808": Train} {
		if got := SplitOf(id, 0); got != want {
			t.Errorf("%q is in %v; expected %v", id, got, want)
		}
	}
}

// mixedSource has galaxies of all kinds of ids. Their images are in a folder that a column names.
func mixedSource(t *testing.T, n int) (PrepareConfig, []ID) {
	t.Helper()
	dir := t.TempDir()
	rows := strings.Split(strings.TrimSpace(catalogCSV(small, make([]int64, n))), "\n")
	rows[0] = strings.Replace(rows[0], IDColumn, "file_loc,id_str", 1)
	var ids []ID
	for i := range n {
		id := []ID{ID(fmt.Sprint(1237648721210769659 + i)), ID(fmt.Sprintf("J%d+1.0", i)), ID(fmt.Sprintf("0%d", i)), ID(fmt.Sprintf("NGC %d, é", i))}[i%4]
		ids = append(ids, id)
		image := fmt.Sprintf("x/%d.jpg", (i*7)%n)
		writeFile(t, filepath.Join(dir, "images", image), galaxyJPEG(int64(i)))
		_, cells, _ := strings.Cut(rows[1+i], ",")
		rows[1+i] = strings.ReplaceAll(image, "/", `\`) + `,"` + string(id) + `",` + cells
	}
	config := PrepareConfig{
		Labels: filepath.Join(dir, "labels.csv"), Images: filepath.Join(dir, "images"), Out: filepath.Join(t.TempDir(), "cache"),
		Schema: small, Keys: KeyColumns{ID: "id_str", Path: "file_loc"}, Size: testSize, Decoder: "test",
	}
	writeFile(t, config.Labels, []byte(strings.Join(rows, "\n")))
	return config, ids
}

func TestPrepareIDs(t *testing.T) {
	const n = 90
	config, ids := mixedSource(t, n)
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	onlyEntries(t, config.Out, manifestName, examplesName, imagesName, idsName)
	if m.Version != CacheVersionIDs || m.Examples != n {
		t.Errorf("version %d, %d examples", m.Version, m.Examples)
	}
	c, err := Open(config.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sorted := slices.SortedFunc(slices.Values(ids), CompareIDs)
	want := make([]byte, testSize*testSize*3)
	for i, id := range sorted {
		if c.ID(i) != id {
			t.Fatalf("example %d is %q; expected %q", i, c.ID(i), id)
		}
		if got, ok := c.Find(id); !ok || got != i {
			t.Errorf("%q is found at %d (%v); expected %d", id, got, ok, i)
		}
		if got, ok := c.Find(id + "1"); ok {
			t.Errorf("%q1 is found at %d", id, got)
		}
		if !slices.Contains(c.Indices(SplitOf(id, 0)), i) {
			t.Errorf("%q is not in %v", id, SplitOf(id, 0))
		}
		if err := (hashDecoder{}).Decode(want, imagefile.File{Encoded: galaxyJPEG(int64(slices.Index(ids, id)))}); err != nil {
			t.Fatal(err)
		}
		if got, err := imageOf(c, i); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q has the pixels of another galaxy, or %v", id, err)
		}
	}

	t.Run("again", func(t *testing.T) {
		if _, err := Prepare(context.Background(), config, hashDecoder{}); err != nil {
			t.Error(err)
		}
		other := config
		other.Keys = KeyColumns{Path: "file_loc"}
		_, err := Prepare(context.Background(), other, hashDecoder{})
		wantError(t, err, "exists already", "other labels")
	})
	t.Run("interrupted", func(t *testing.T) {
		config := config
		config.Out, config.Workers, config.MaxBroken = filepath.Join(t.TempDir(), "cache"), 1, 3
		for _, stop := range []int64{20, 50, 1000} {
			ctx, cancel := context.WithCancel(context.Background())
			_, err = Prepare(ctx, config, &countingDecoder{n: stop, at: cancel})
			cancel()
		}
		if err != nil {
			t.Fatal(err)
		}
		whole := config
		whole.Out = filepath.Join(t.TempDir(), "cache")
		if _, err := Prepare(context.Background(), whole, &countingDecoder{n: 1000, at: func() {}}); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(cacheBytes(t, whole.Out), cacheBytes(t, config.Out)); diff != "" {
			t.Error("another cache than in one go")
		}
	})
	t.Run("damaged", func(t *testing.T) {
		name := filepath.Join(config.Out, idsName)
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{nil, whole[1:], append(slices.Clone(whole), "x\n"...), []byte(strings.Replace(string(whole), "J1", "J2", 1))} {
			writeFile(t, name, b)
			_, err := Open(config.Out)
			wantError(t, err, config.Out, idsName, "checksum", "galaxy prepare")
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		_, err = Open(config.Out)
		wantError(t, err, config.Out, idsName, "galaxy prepare")
		// The checksum fits, the ids do not.
		m := c.Manifest()
		for _, b := range [][]byte{{}, whole[len("00\n"):], slices.Concat(whole, []byte("x\n"))} {
			m.IDsChecksum = hex(xxh3.Hash(b))
			text, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, name, b)
			writeFile(t, filepath.Join(config.Out, manifestName), text)
			_, err = Open(config.Out)
			wantError(t, err, config.Out, idsName, "galaxy prepare")
		}
	})
}

// Images that are missing or broken are named by their ids and paths.
func TestPrepareMissingPaths(t *testing.T) {
	config, ids := mixedSource(t, 40)
	if err := os.Remove(filepath.Join(config.Images, "x", "7.jpg")); err != nil { // of row 1
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(config.Images, "x", "14.jpg"), []byte("the file is a text file")) // of row 2
	_, err := Prepare(context.Background(), config, hashDecoder{})
	wantError(t, err, "1 row in", "without an image", "x/7.jpg", "allow_missing")
	config.AllowMissing = true
	_, err = Prepare(context.Background(), config, hashDecoder{})
	wantError(t, err, "1 broken image", string(ids[2])+": the file is a text file")
	config.MaxBroken = 1
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	if m.RowsWithoutImage != 1 || m.Examples != 38 || len(m.Broken) != 1 || m.Broken[0].ID != ids[2] {
		t.Errorf("%+v", m)
	}
	text, err := os.ReadFile(filepath.Join(config.Out, manifestName))
	if err != nil || !strings.Contains(string(text), `"id": "02"`) {
		t.Errorf("the manifest does not name the broken image as a text: %v", err)
	}
}

// BenchmarkOpenMillion opens a cache of a million galaxies.
func BenchmarkOpenMillion(b *testing.B) {
	const n = 1_000_000
	for _, kind := range []string{"integers", "texts"} {
		b.Run(kind, func(b *testing.B) {
			ids := make([]ID, n)
			for i := range ids {
				ids[i] = ID(fmt.Sprint(1237648721210769659 + i))
				if kind == "texts" {
					ids[i] = "J" + ids[i]
				}
			}
			dir := b.TempDir()
			record := recordBytes(zoo.Width())
			examples, list := make([]byte, n*record), []byte{}
			m := Manifest{Format: cacheFormat, Version: CacheVersion, Schema: zoo, Size: 1, Crop: 8, Examples: n, Counts: Counts{Train: n}, ColumnMeans: make([]float64, zoo.Width())}
			for i, id := range ids {
				binary.LittleEndian.PutUint64(examples[i*record+recordID:], uint64(id.key()))
				if id.key() < 0 {
					list, m.Version = append(append(list, id...), '\n'), CacheVersionIDs
				}
			}
			m.ExamplesChecksum, m.IDsChecksum = hex(xxh3.Hash(examples)), hex(xxh3.Hash(list))
			writeFile(b, filepath.Join(dir, examplesName), examples)
			writeFile(b, filepath.Join(dir, idsName), list)
			writeFile(b, filepath.Join(dir, imagesName), make([]byte, 3*n))
			text, err := m.encode()
			if err != nil {
				b.Fatal(err)
			}
			writeFile(b, filepath.Join(dir, manifestName), text)
			for b.Loop() {
				c, err := Open(dir)
				if err != nil {
					b.Fatal(err)
				}
				if c.ID(n-1) != ids[n-1] {
					b.Fatal(c.ID(n - 1))
				}
				if err := errors.Join(c.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
