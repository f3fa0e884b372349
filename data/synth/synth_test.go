package synth

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"galaxy/data"

	"pgregory.net/rapid"
)

// fingerprint hashes names and contents of every file under dir.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(rel), len(b))
		h.Write(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// wantEntries fails unless dir holds exactly the named entries.
func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestSameBytesOnAnyNumberOfWorkers(t *testing.T) {
	want := ""
	for _, workers := range []int{1, 2, 5} {
		out := filepath.Join(t.TempDir(), "set")
		cfg := Config{Out: out, Count: 16, Seed: 7, Workers: workers}
		if err := Generate(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		got := fingerprint(t, out)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%d workers write other bytes than 1", workers)
		}
	}
}

func TestSeedAndCount(t *testing.T) {
	dir := t.TempDir()
	generate := func(name string, count int, seed int64) string {
		out := filepath.Join(dir, name)
		if err := Generate(context.Background(), Config{Out: out, Count: count, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	small, large, other := generate("small", 6, 3), generate("large", 9, 3), generate("other", 6, 4)
	if fingerprint(t, small) == fingerprint(t, other) {
		t.Error("two seeds give the same data set")
	}
	// A larger data set of the same seed contains the smaller one.
	largeRows := readLabels(t, large)
	for id, line := range readLabels(t, small) {
		if largeRows[id] != line {
			t.Errorf("galaxy %d: labels depend on the count", id)
		}
		a, err := os.ReadFile(imagePath(small, id))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(imagePath(large, id))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("galaxy %d: the image depends on the count", id)
		}
	}
}

func imagePath(out string, id int64) string {
	return filepath.Join(out, ImagesDir, strconv.FormatInt(id, 10)+".jpg")
}

// readLabels returns the lines of a data set's labels by id, having checked
// their header and order.
func readLabels(t *testing.T, out string) map[int64]string {
	t.Helper()
	f, err := os.Open(filepath.Join(out, LabelsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan()
	if want := "GalaxyID," + strings.Join(schema.Columns(), ","); lines.Text() != want {
		t.Errorf("header %q, want %q", lines.Text(), want)
	}
	rows := make(map[int64]string)
	last := int64(0)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ",")
		id, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Errorf("id %d stands after %d", id, last)
		}
		last = id
		rows[id] = lines.Text()
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestLayout(t *testing.T) {
	parent := t.TempDir()
	out := filepath.Join(parent, "made", "on the way", "set")
	const count = 12
	var seen []int
	cfg := Config{Out: out, Count: count, Seed: 1, Workers: 3, Progress: func(done, total int) {
		if total != count {
			t.Errorf("progress out of %d, want %d", total, count)
		}
		seen = append(seen, done)
	}}
	if err := Generate(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	for i, done := range seen {
		if done != i+1 {
			t.Fatalf("progress went %v, want 1 to %d", seen, count)
		}
	}
	if len(seen) != count {
		t.Errorf("%d progress calls, want %d", len(seen), count)
	}
	wantEntries(t, filepath.Dir(out), "set")
	wantEntries(t, out, ImagesDir, LabelsFile)
	rows := readLabels(t, out)
	if len(rows) != count {
		t.Errorf("%d rows, want %d", len(rows), count)
	}
	images, err := os.ReadDir(filepath.Join(out, ImagesDir))
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != count {
		t.Errorf("%d images, want %d", len(images), count)
	}
	for id := range rows {
		f, err := os.Open(imagePath(out, id))
		if err != nil {
			t.Error(err)
			continue
		}
		c, err := jpeg.DecodeConfig(f)
		if err != nil || c.Width != data.ImageSide || c.Height != data.ImageSide {
			t.Errorf("image %d is %d×%d (%v), want %d×%d", id, c.Width, c.Height, err, data.ImageSide, data.ImageSide)
		}
		f.Close()
	}
}

func TestRefusesExistingOutput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{file, link, folder, folder + "/"} {
		err := Generate(context.Background(), Config{Out: out, Count: 1})
		if err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("output %s: error %v, want one that says that it exists", out, err)
		}
	}
	wantEntries(t, dir, "file", "folder", "link")
	wantEntries(t, folder)
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		cfg := Config{Out: filepath.Join(dir, "set"), Count: 1000, Workers: 2, Progress: func(done, _ int) {
			if done == 3 {
				cancel()
			}
		}}
		if err := Generate(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		wantEntries(t, dir)
	})
	t.Run("appeared meanwhile", func(t *testing.T) {
		dir := t.TempDir()
		out := filepath.Join(dir, "set")
		cfg := Config{Out: out, Count: 2, Workers: 1, Progress: func(done, _ int) {
			if done == 1 {
				if err := os.Mkdir(out, 0o700); err != nil {
					t.Error(err)
				}
			}
		}}
		if err := Generate(context.Background(), cfg); err == nil {
			t.Error("no error although the output appeared while drawing")
		}
		wantEntries(t, dir, "set")
		wantEntries(t, out)
	})
	t.Run("write fails", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		cfg := Config{Out: filepath.Join(dir, "set"), Count: 50, Workers: 2, Progress: func(done, _ int) {
			if done == 1 { // pull the folder away from under the workers
				found, err := filepath.Glob(filepath.Join(dir, ".set.tmp-*", ImagesDir))
				if err != nil || len(found) != 1 {
					t.Errorf("temporary folder: %v, %v", found, err)
					return
				}
				if err := os.Rename(found[0], filepath.Join(elsewhere, "images")); err != nil {
					t.Error(err)
				}
			}
		}}
		if err := Generate(context.Background(), cfg); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v, want one about the missing folder", err)
		}
		wantEntries(t, dir)
	})
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Count: 1}, "output folder"},
		{Config{Out: "x"}, "count is 0"},
		{Config{Out: "x", Count: -3}, "count is -3"},
		{Config{Out: "x", Count: maxCount + 1}, "count is"},
		{Config{Out: "x", Count: 1, Workers: -1}, "workers is -1"},
	} {
		if err := c.cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.cfg, err, c.want)
		}
		if err := Generate(context.Background(), c.cfg); err == nil {
			t.Errorf("%+v: Generate accepts it", c.cfg)
		}
	}
	if err := (Config{Out: "x", Count: 1}).Validate(); err != nil {
		t.Errorf("a sound Config: %v", err)
	}
}

func TestIDsAreUnique(t *testing.T) {
	for _, seed := range []int64{0, 1, -5} {
		seen := make([]bool, idRange+100_000+100)
		for i := range idRange + 100 {
			id := galaxyID(seed, i)
			if id < 100_000 || id >= int64(len(seen)) || seen[id] {
				t.Fatalf("seed %d, galaxy %d: id %d is too short, too long or taken", seed, i, id)
			}
			seen[id] = true
		}
	}
}

// Any galaxy of any seed obeys the sum rules, and can be painted.
func TestAnyGalaxy(t *testing.T) {
	p := newPainter()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Int64().Draw(t, "seed")
		i := rapid.IntRange(0, maxCount).Draw(t, "i")
		g := newGalaxy(seed, i)
		labels := challenge.vote(g, newStream(seed, i, streamVotes))
		checkRow(t, labels)
		img := p.paint(g, newStream(seed, i, streamSky))
		if img.Bounds().Dx() != data.ImageSide || img.Bounds().Dy() != data.ImageSide {
			t.Errorf("image is %v", img.Bounds())
		}
	})
}

// checkRow holds a row to the eleven sum rules, at float32's precision.
func checkRow(t interface{ Errorf(string, ...any) }, labels []float64) {
	row := make([]float32, len(labels))
	for k, v := range labels {
		if !(v >= 0 && v <= 1) {
			t.Errorf("column %d is %v", k, v)
		}
		row[k] = float32(v)
	}
	if err := schema.CheckSums(row, 1e-6); err != nil {
		t.Errorf("%v", err)
	}
}

// When every volunteer sees a star nobody reaches question 6, and the rule
// that it sums to 1 still holds.
func TestNobodyReachesQuestion6(t *testing.T) {
	found := false
	for i := range 200 {
		g := newGalaxy(1, i)
		g.spoiled = 3
		labels := challenge.vote(g, newStream(1, i, streamVotes))
		checkRow(t, labels)
		if labels[2] == 1 {
			found = true
			if labels[q6+1] != 1 {
				t.Errorf("6.2 is %v, want 1", labels[q6+1])
			}
		}
	}
	if !found {
		t.Error("no galaxy without anybody at question 6")
	}
}

// BenchmarkGenerate writes whole data sets on all processors.
func BenchmarkGenerate(b *testing.B) {
	const count = 64
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		out := filepath.Join(dir, strconv.Itoa(n))
		if err := Generate(context.Background(), Config{Out: out, Count: count, Seed: 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "img/s")
}
