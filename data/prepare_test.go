package data

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"galaxy/data/imagefile"
	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// cacheBytes reads the files of a cache.
func cacheBytes(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// onlyEntries checks that a folder holds what it should and no leftovers.
func onlyEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestPrepareWhole(t *testing.T) {
	for _, schema := range schemas() {
		t.Run(schema.Name()+" "+schema.Values().String(), func(t *testing.T) { testPrepareWhole(t, schema) })
	}
}

func testPrepareWhole(t *testing.T, schema *labels.Schema) {
	const n = 70
	s := sourceOf(t, schema, n)
	parent := t.TempDir()
	out := filepath.Join(parent, "new", "cache")
	config := s.config(out)
	var calls []int
	config.Progress = func(done, total int) {
		if total != n {
			t.Errorf("total is %d, want %d", total, n)
		}
		calls = append(calls, done)
	}
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(calls) || calls[len(calls)-1] != n {
		t.Errorf("progress went %v", calls)
	}
	onlyEntries(t, filepath.Dir(out), "cache")
	onlyEntries(t, out, manifestName, imagesName, examplesName)

	c, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if diff := cmp.Diff(*m, c.Manifest()); diff != "" {
		t.Errorf("the manifest on disk differs: %s", diff)
	}
	if c.Len() != n || c.Size() != testSize {
		t.Fatalf("%d examples of %d px", c.Len(), c.Size())
	}

	// A slow second opinion on everything that is derived.
	sorted := slices.Sorted(slices.Values(s.ids))
	var sum, squares [3]float64
	columnSum := make([]float64, schema.Width())
	train := 0
	pixels := make([]byte, testSize*testSize*3)
	for i, id := range sorted {
		if c.ID(i) != numbered(id) {
			t.Fatalf("example %d is galaxy %s, want %d", i, c.ID(i), id)
		}
		if err := (hashDecoder{}).Decode(pixels, imagefile.File{Encoded: galaxyJPEG(id)}); err != nil {
			t.Fatal(err)
		}
		got, err := imageOf(c, i)
		if err != nil || !bytes.Equal(got, pixels) {
			t.Errorf("galaxy %d: %v, or other pixels", id, err)
		}
		for j, want := range labelsOf(schema, id) {
			if d := math.Abs(float64(c.Labels(i)[j] - want)); d > 1e-6 {
				t.Errorf("galaxy %d: %s is off by %g", id, schema.Columns()[j], d)
			}
		}
		split := SplitOf(numbered(id), 0)
		if !slices.Contains(c.Indices(split), i) {
			t.Errorf("galaxy %d is not in %v", id, split)
		}
		if split == Train {
			train++
			for k, v := range pixels {
				sum[k%3] += float64(v) / 255
				squares[k%3] += float64(v) / 255 * float64(v) / 255
			}
			for j := range columnSum {
				columnSum[j] += float64(c.Labels(i)[j])
			}
		}
	}
	if m.Counts.Train != train || m.Counts.Train+m.Counts.Validation+m.Counts.Test != n || m.Examples != n {
		t.Errorf("counts %+v of %d", m.Counts, m.Examples)
	}
	count := float64(train * testSize * testSize)
	for ch := range 3 {
		mean := sum[ch] / count
		std := math.Sqrt(squares[ch]/count - mean*mean)
		if math.Abs(m.ChannelMean[ch]-mean) > 1e-12 || math.Abs(m.ChannelStd[ch]-std) > 1e-12 {
			t.Errorf("channel %d: mean %v, std %v, want %v, %v", ch, m.ChannelMean[ch], m.ChannelStd[ch], mean, std)
		}
	}
	for j := range columnSum {
		if math.Abs(m.ColumnMeans[j]-columnSum[j]/float64(train)) > 1e-12 {
			t.Errorf("%s: mean %v, want %v", schema.Columns()[j], m.ColumnMeans[j], columnSum[j]/float64(train))
		}
	}
	if m.SumRuleBreaks != 0 {
		t.Errorf("%d rows break the sum rules", m.SumRuleBreaks)
	}

	t.Run("again", func(t *testing.T) {
		before := cacheBytes(t, out)
		decoder := &countingDecoder{}
		config := s.config(out)
		var notices []string
		config.Notice = func(s string) { notices = append(notices, s) }
		again, err := Prepare(context.Background(), config, decoder)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("the manifest found differs: %s", diff)
		}
		if n := decoder.images.Load(); n != 0 || len(notices) != 1 || !strings.Contains(notices[0], "nothing to do") {
			t.Errorf("%d images decoded again, notices %q", n, notices)
		}
		for what, change := range map[string]func(*PrepareConfig){
			"another size":       func(c *PrepareConfig) { c.Size = 2 * testSize },
			"another crop":       func(c *PrepareConfig) { c.Crop = 200 },
			"another split seed": func(c *PrepareConfig) { c.SplitSeed = 1 },
			"another decoder":    func(c *PrepareConfig) { c.Decoder = "another" },
			"other labels or images": func(c *PrepareConfig) {
				c.Labels = filepath.Join(t.TempDir(), "other.csv")
				writeFile(t, c.Labels, []byte(catalogCSV(schema, s.ids)))
			},
		} {
			config := s.config(out)
			change(&config)
			_, err := Prepare(context.Background(), config, decoder)
			wantError(t, err, out, "exists already", what)
		}
		if diff := cmp.Diff(before, cacheBytes(t, out)); diff != "" {
			t.Error("a second run changed the cache")
		}
	})
}

// A real JPEG decode with known colours: channel order, crop and place.
func TestPreparePixels(t *testing.T) {
	dir := t.TempDir()
	s := source{labels: filepath.Join(dir, "labels.csv"), images: filepath.Join(dir, "images")}
	colors := map[int64]color.RGBA{}
	for id := int64(1); id <= 12; id++ {
		s.ids = append(s.ids, id)
		colors[id] = color.RGBA{uint8(20 * id), uint8(255 - 20*id), 40, 255}
		writeFile(t, s.file(id), encodeJPEG(flatPicture(colors[id], ImageSide)))
	}
	writeFile(t, s.labels, []byte(catalogCSV(zoo, s.ids)))
	out := filepath.Join(dir, "cache")
	if _, err := Prepare(context.Background(), s.config(out), boxDecoder{DefaultCrop, testSize}); err != nil {
		t.Fatal(err)
	}
	c, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range c.Len() {
		pixels, err := imageOf(c, i)
		if err != nil {
			t.Fatal(err)
		}
		want := colors[s.ids[i]]
		for k, v := range pixels {
			if d := int(v) - int([]uint8{want.R, want.G, want.B}[k%3]); d < -3 || d > 3 {
				t.Fatalf("galaxy %s: byte %d is %d, want about %v", c.ID(i), k, v, want)
			}
		}
	}
}

func TestPrepareSameBytes(t *testing.T) {
	s := makeSource(t, 90)
	bad := s.ids[17]
	writeFile(t, s.file(bad), galaxyJPEG(bad)[:3000])
	dir := t.TempDir()
	config := func(name string, workers int) PrepareConfig {
		c := s.config(filepath.Join(dir, name))
		c.Workers, c.MaxBroken = workers, 1
		return c
	}
	first, err := Prepare(context.Background(), config("1", 1), hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	want := cacheBytes(t, filepath.Join(dir, "1"))
	for _, workers := range []int{2, 7, 64} {
		name := fmt.Sprint(workers)
		m, err := Prepare(context.Background(), config(name, workers), hashDecoder{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Checksum != first.Checksum || !cmp.Equal(want, cacheBytes(t, filepath.Join(dir, name))) {
			t.Errorf("%d workers give other bytes than one", workers)
		}
	}

	// The manifest names its sources; a zip of the same name gives the same cache.
	members := []member{}
	for _, id := range s.ids {
		body, err := os.ReadFile(s.file(id))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{fmt.Sprintf("images_training_rev1/%d.jpg", id), body})
	}
	c := config("zip", 3)
	c.Images = filepath.Join(dir, "images_training_rev1")
	writeFile(t, c.Images, zipBytes(t, zip.Store, members...))
	if _, err := Prepare(context.Background(), c, hashDecoder{}); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, cacheBytes(t, filepath.Join(dir, "zip"))) {
		t.Error("a zip gives another cache than its folder")
	}
}

// Whatever images are broken, the others are stored in order with their own
// labels, and the broken ones are listed.
func TestPrepareAnyBroken(t *testing.T) {
	s := makeSource(t, 50)
	sorted := slices.Sorted(slices.Values(s.ids))
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		broken := map[int64]bool{}
		for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, len(sorted)-1), rapid.ID[int]).Draw(t, "broken") {
			broken[sorted[i]] = true
		}
		run++
		c := s.config(filepath.Join(dir, fmt.Sprint(run)))
		c.Workers, c.MaxBroken = rapid.IntRange(1, 8).Draw(t, "workers"), len(broken)
		m, err := Prepare(context.Background(), c, refuse{sumsOf(broken)})
		inTrain := 0
		for _, id := range sorted {
			if !broken[id] && SplitOf(numbered(id), 0) == Train {
				inTrain++
			}
		}
		if inTrain == 0 {
			if err == nil {
				t.Fatal("no train galaxy left and no error")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		cache, err := Open(c.Out)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		i, k := 0, 0
		pixels := make([]byte, testSize*testSize*3)
		for _, id := range sorted {
			if broken[id] {
				if m.Broken[k] != (Broken{numbered(id), "refused"}) {
					t.Errorf("broken %d is %+v", k, m.Broken[k])
				}
				k++
				continue
			}
			if err := (hashDecoder{}).Decode(pixels, imagefile.File{Encoded: galaxyJPEG(id)}); err != nil {
				t.Fatal(err)
			}
			if got, err := imageOf(cache, i); cache.ID(i) != numbered(id) || err != nil || !bytes.Equal(got, pixels) {
				t.Fatalf("example %d is galaxy %s, want %d, or has other pixels, or %v", i, cache.ID(i), id, err)
			}
			i++
		}
		if i != cache.Len() || k != len(m.Broken) {
			t.Errorf("%d examples, %d broken; want %d and %d", cache.Len(), len(m.Broken), i, k)
		}
	})
}

// refuse is a decoder that fails on some files.
type refuse struct{ files map[uint64]bool }

func sumsOf(ids map[int64]bool) map[uint64]bool {
	out := map[uint64]bool{}
	for id := range ids {
		out[xxh3.Hash(galaxyJPEG(id))] = true
	}
	return out
}

func (r refuse) Decode(dst []byte, file imagefile.File) error {
	if r.files[xxh3.Hash(file.Encoded)] {
		return errors.New("refused")
	}
	return hashDecoder{}.Decode(dst, file)
}

func TestPrepareErrors(t *testing.T) {
	s := makeSource(t, 20)
	stranger := filepath.Join(s.images, "555.jpg")
	for _, c := range []struct {
		name string
		do   func(c *PrepareConfig) // changes the config or the files
		undo func()
		want []string
	}{
		{"no output", func(c *PrepareConfig) { c.Out = "" }, nil, []string{"no output folder"}},
		{"size", func(c *PrepareConfig) { c.Size = 0 }, nil, []string{"size is 0 pixels", "8 to 1024"}},
		{"large size", func(c *PrepareConfig) { c.Size = 1025 }, nil, []string{"size is 1025 pixels"}},
		{"crop", func(c *PrepareConfig) { c.Crop = 1.5 }, nil, []string{"crop is 1.5"}},
		{"workers", func(c *PrepareConfig) { c.Workers = -1 }, nil, []string{"workers is -1"}},
		{"max broken", func(c *PrepareConfig) { c.MaxBroken = -1 }, nil, []string{"max broken is -1"}},
		{"no labels", func(c *PrepareConfig) { c.Labels += "x" }, nil, []string{"catalog", "no such file"}},
		{"no images", func(c *PrepareConfig) { c.Images += "x" }, nil, []string{"images", "no such file"}},
		{"image without a row", func(*PrepareConfig) { writeFile(t, stranger, galaxyJPEG(555)) }, func() { os.Remove(stranger) },
			[]string{"1 image in " + s.images + " without a row in " + s.labels + " (555)", "allow_missing"}},
		{"row without an image", func(*PrepareConfig) { os.Remove(s.file(s.ids[3])); os.Remove(s.file(s.ids[4])) },
			func() {
				writeFile(t, s.file(s.ids[3]), galaxyJPEG(s.ids[3]))
				writeFile(t, s.file(s.ids[4]), galaxyJPEG(s.ids[4]))
			},
			[]string{"2 rows in", "without an image", fmt.Sprint(s.ids[3]), fmt.Sprint(s.ids[4]), "allow_missing"}},
		{"another data set", func(c *PrepareConfig) {
			c.Labels = filepath.Join(t.TempDir(), "other.csv")
			writeFile(t, c.Labels, []byte(catalogCSV(zoo, []int64{1, 2, 3, 4, 5, 6, 7})))
			c.AllowMissing = true
		}, nil, []string{"no galaxy has both", "7 rows", "1, 2, 3, 4, 5, …"}},
		{"truncated", func(*PrepareConfig) { writeFile(t, s.file(s.ids[0]), galaxyJPEG(s.ids[0])[:4000]) },
			func() { writeFile(t, s.file(s.ids[0]), galaxyJPEG(s.ids[0])) },
			[]string{"1 broken image", fmt.Sprintf("%d: the file is truncated", s.ids[0]), "max_broken 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent := t.TempDir()
			config := s.config(filepath.Join(parent, "cache"))
			c.do(&config)
			if c.undo != nil {
				defer c.undo()
			}
			_, err := Prepare(context.Background(), config, hashDecoder{})
			wantError(t, err, append(c.want, "prepare")...)
			if c.name == "truncated" { // which is only found by doing the work
				onlyEntries(t, parent, "cache.partial")
				list, err := os.ReadFile(filepath.Join(parent, "cache.partial", "broken.csv"))
				want := fmt.Sprintf("GalaxyID,reason\n%d,the file is truncated: no end-of-image marker\n", s.ids[0])
				if err != nil || string(list) != want {
					t.Errorf("broken.csv: %v, %q; want %q", err, list, want)
				}
				return
			}
			onlyEntries(t, parent)
		})
	}

	t.Run("all broken", func(t *testing.T) {
		config := s.config(filepath.Join(t.TempDir(), "cache"))
		config.MaxBroken = 100
		all := map[int64]bool{}
		for _, id := range s.ids {
			all[id] = true
		}
		_, err := Prepare(context.Background(), config, refuse{sumsOf(all)})
		wantError(t, err, "no usable image among 20", "refused")
	})
	t.Run("many broken", func(t *testing.T) {
		sorted := slices.Sorted(slices.Values(s.ids))
		broken := map[int64]bool{}
		for _, id := range sorted[3:10] {
			broken[id] = true
		}
		config := s.config(filepath.Join(t.TempDir(), "cache"))
		config.MaxBroken = 6
		_, err := Prepare(context.Background(), config, refuse{sumsOf(broken)})
		wantError(t, err, "7 broken images", fmt.Sprintf("(%d: refused; ", sorted[3]), fmt.Sprintf("%d: refused; …)", sorted[7]), "at most 6 allowed", "max_broken 7")
		config.MaxBroken = 7
		if _, err := Prepare(context.Background(), config, refuse{sumsOf(broken)}); err != nil {
			t.Errorf("as many broken as allowed: %v", err)
		}
	})
	t.Run("no decoder", func(t *testing.T) {
		_, err := Prepare(context.Background(), s.config(filepath.Join(t.TempDir(), "cache")), nil)
		wantError(t, err, "no decoder")
	})
	t.Run("output in a file", func(t *testing.T) {
		_, err := Prepare(context.Background(), s.config(filepath.Join(s.labels, "cache")), hashDecoder{})
		wantError(t, err, s.labels+" is not a folder", "choose another place")
	})
	t.Run("no train galaxy", func(t *testing.T) {
		id := int64(1)
		for SplitOf(numbered(id), 0) == Train {
			id++
		}
		dir := t.TempDir()
		lone := source{labels: filepath.Join(dir, "l.csv"), images: filepath.Join(dir, "i")}
		writeFile(t, lone.labels, []byte(catalogCSV(zoo, []int64{id})))
		writeFile(t, lone.file(id), galaxyJPEG(id))
		_, err := Prepare(context.Background(), lone.config(filepath.Join(dir, "cache")), hashDecoder{})
		wantError(t, err, "train split", "more are")
	})
}

func TestPrepareAllowMissing(t *testing.T) {
	s := makeSource(t, 20)
	if err := os.Remove(s.file(s.ids[2])); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.images, "5.jpg"), galaxyJPEG(5))
	writeFile(t, filepath.Join(s.images, "999999.jpg"), galaxyJPEG(999999))
	config := s.config(filepath.Join(t.TempDir(), "cache"))
	config.AllowMissing = true
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Examples != 19 || m.ImagesWithoutRow != 2 || m.RowsWithoutImage != 1 {
		t.Errorf("%d examples, %d images without a row, %d rows without an image", m.Examples, m.ImagesWithoutRow, m.RowsWithoutImage)
	}
}

func TestPrepareCountsSumRuleBreaks(t *testing.T) {
	s := makeSource(t, 20)
	text, err := os.ReadFile(s.labels)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	fields := strings.Split(lines[4], ",")
	fields[15] = "0.9" // Class6.2, with 6.1 as it was
	lines[4] = strings.Join(fields, ",")
	writeFile(t, s.labels, []byte(strings.Join(lines, "\n")))
	m, err := Prepare(context.Background(), s.config(filepath.Join(t.TempDir(), "cache")), hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	if m.SumRuleBreaks != 1 {
		t.Errorf("%d rows break the sum rules, want 1", m.SumRuleBreaks)
	}
}

// Counts are stored as they are, and checked as counts.
func TestPrepareCounts(t *testing.T) {
	schema := labelstest.SmallCounts()
	s := sourceOf(t, schema, 20)
	text, err := os.ReadFile(s.labels)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	write := func(change func(fields []string)) PrepareConfig {
		changed := slices.Clone(lines)
		for i := range changed[1:] {
			fields := strings.Split(changed[i+1], ",")
			change(fields)
			changed[i+1] = strings.Join(fields, ",")
		}
		writeFile(t, s.labels, []byte(strings.Join(changed, "\n")))
		return s.config(filepath.Join(t.TempDir(), "cache"))
	}
	few := write(func(fields []string) {
		if fields[0] == strconv.FormatInt(s.ids[3], 10) {
			fields[4] = "1000" // edge-on, where fewer than that saw features
		}
	})
	m, err := Prepare(context.Background(), few, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	if m.SumRuleBreaks != 1 || m.Schema.Values() != labels.Counts {
		t.Errorf("%d rows contradict the schema, expected 1; values are %v", m.SumRuleBreaks, m.Schema.Values())
	}
	_, err = Prepare(context.Background(), write(func(fields []string) { fields[4] = "1000" }), hashDecoder{})
	wantError(t, err, s.labels, "20 rows", "question 2 has", "galaxy schema check")
	for _, wrong := range []string{"18.5", "-1", "NaN", "1e30"} {
		_, err = Prepare(context.Background(), write(func(fields []string) { fields[2] = wrong }), hashDecoder{})
		wantError(t, err, s.labels, "line 2: galaxy ", "featured is ", "a count of votes is a whole number")
	}
	_, err = Prepare(context.Background(), write(func(fields []string) { fields[2] = "" }), hashDecoder{})
	wantError(t, err, s.labels, "line 2: galaxy ", `featured is ""; expected a number of votes, 0 or more and whole`)
}

// A table with Kaggle's ids and columns that does not hold labels.
func TestPrepareRefusesBenchmark(t *testing.T) {
	s := makeSource(t, 20)
	var zeros strings.Builder
	zeros.WriteString(IDColumn + "," + strings.Join(zoo.Columns(), ",") + "\n")
	for _, id := range s.ids {
		fmt.Fprintf(&zeros, "%d%s\n", id, strings.Repeat(",0", zoo.Width()))
	}
	writeFile(t, s.labels, []byte(zeros.String()))
	parent := t.TempDir()
	_, err := Prepare(context.Background(), s.config(filepath.Join(parent, "cache")), hashDecoder{})
	wantError(t, err, s.labels+" holds no vote fractions: none of its 20 rows", fmt.Sprintf("galaxy %d: the answers of question 1 sum to 0", s.ids[0]), "training_solutions_rev1.csv")
	onlyEntries(t, parent)
}

// countingDecoder counts what it decodes, and calls at when it has counted to n.
type countingDecoder struct {
	images atomic.Int64
	n      int64
	at     func()
}

func (d *countingDecoder) Decode(dst []byte, file imagefile.File) error {
	if d.images.Add(1) == d.n {
		d.at()
	}
	return hashDecoder{}.Decode(dst, file)
}

// However often and wherever it is stopped, the cache ends with the same bytes,
// and little is done twice.
func TestPrepareGoesOn(t *testing.T) {
	const n, workers = 600, 3
	s := makeSource(t, n)
	for _, i := range []int{0, 100, 101, n - 1} {
		writeFile(t, s.file(s.ids[i]), []byte("not a picture"))
	}
	config := s.config(filepath.Join(t.TempDir(), "cache"))
	config.MaxBroken, config.Workers = 4, workers
	whole, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	want := cacheBytes(t, config.Out)

	rapid.Check(t, func(r *rapid.T) {
		parent, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		config := config
		config.Out = filepath.Join(parent, "cache")
		decoded, stops := 0, 0
		for {
			ctx, cancel := context.WithCancel(context.Background())
			decoder := &countingDecoder{n: int64(rapid.IntRange(1, n).Draw(r, "images before the stop")), at: cancel}
			m, err := Prepare(ctx, config, decoder)
			cancel()
			decoded += int(decoder.images.Load())
			if err == nil {
				if diff := cmp.Diff(whole, m); diff != "" {
					r.Fatalf("another manifest: %s", diff)
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				r.Fatal(err)
			}
			onlyEntries(t, parent, "cache.partial")
			if stops++; stops > 2*n {
				r.Fatal("it does not get on")
			}
			cut := rapid.SampledFrom([]string{"", imagesName, examplesName}).Draw(r, "file that a crash cuts")
			if cut != "" {
				name := filepath.Join(config.Out+".partial", "cache", cut)
				info, err := os.Stat(name)
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				if err != nil {
					r.Fatal(err)
				}
				lost := rapid.Int64Range(0, min(info.Size(), 40*testSize*testSize*3)).Draw(r, "bytes lost")
				if err := os.Truncate(name, info.Size()-lost); err != nil {
					r.Fatal(err)
				}
				decoded = 0 // a crash may undo any amount
			}
		}
		// Blocks in flight and one that was half written are done again.
		if again := (stops + 1) * (2*workers + 3) * blockImages; decoded > n+again {
			r.Errorf("%d images decoded for %d galaxies in %d stops", decoded, n, stops)
		}
		onlyEntries(t, parent, "cache")
		if diff := cmp.Diff(want, cacheBytes(t, config.Out)); diff != "" {
			r.Error("another cache than in one go")
		}
	})
}

// A large cache is stored while it is made, and an error of the disk is not lost: here, of
// a file that somebody has removed meanwhile.
func TestPrepareStoresEarly(t *testing.T) {
	config := makeSource(t, 3*flushBytes/(2*ImageSide*ImageSide*3)).config(filepath.Join(t.TempDir(), "cache"))
	config.Size, config.Crop = ImageSide, ImageSide
	remove := func() {
		if err := os.Remove(filepath.Join(PartialFolder(config.Out), "cache", imagesName)); err != nil {
			t.Error(err)
		}
	}
	_, err := Prepare(context.Background(), config, &countingDecoder{n: 1, at: remove})
	if err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), imagesName) {
		t.Errorf("%v: expected that %s could not be stored", err, imagesName)
	}
	if _, err := os.Lstat(config.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a cache: %v", err)
	}
}

// What lies in the partial folder is checked before it is used.
func TestPrepareDistrustsPartial(t *testing.T) {
	const n = 64
	s := makeSource(t, n)
	writeFile(t, s.file(s.ids[5]), []byte("broken"))
	config := s.config(filepath.Join(t.TempDir(), "cache"))
	config.MaxBroken = 1
	if _, err := Prepare(context.Background(), config, hashDecoder{}); err != nil {
		t.Fatal(err)
	}
	want := cacheBytes(t, config.Out)

	for _, c := range []struct {
		name   string
		damage func(t *testing.T, config *PrepareConfig, dir string)
		redone int64 // images decoded again at the most
	}{
		{name: "nothing", damage: func(*testing.T, *PrepareConfig, string) {}},
		{name: "a pixel", redone: n - 16, damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, dir, imagesName, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}},
		{name: "a label", redone: n - 16, damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, dir, examplesName, func(b []byte) []byte { b[20*zooRecord+recordLabels] ^= 1; return b })
		}},
		{name: "an id", redone: n - 16, damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, dir, examplesName, func(b []byte) []byte { b[20*zooRecord]--; return b })
		}},
		{name: "a record left out", redone: n, damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, dir, examplesName, func(b []byte) []byte { return slices.Delete(b, 0, zooRecord) })
		}},
		{name: "plan", redone: n, damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, filepath.Dir(dir), "PLAN", func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{name: "a longer file", damage: func(t *testing.T, _ *PrepareConfig, dir string) {
			edit(t, dir, imagesName, func(b []byte) []byte { return append(b, 1, 2, 3) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := config
			config.Out = filepath.Join(t.TempDir(), "cache")
			config.MaxBroken = 0 // which is judged when all is written
			_, err := Prepare(context.Background(), config, hashDecoder{})
			wantError(t, err, "1 broken image")
			config.MaxBroken = 1
			c.damage(t, &config, filepath.Join(PartialFolder(config.Out), "cache"))
			decoder := &countingDecoder{}
			notice := ""
			config.Notice = func(s string) { notice += s }
			if _, err := Prepare(context.Background(), config, decoder); err != nil {
				t.Fatal(err)
			}
			if what := map[bool]string{true: "beginning anew", false: "going on with"}[c.redone == n]; c.name != "a record left out" && !strings.Contains(notice, what) {
				t.Errorf("notice %q, want %q", notice, what)
			}
			if diff := cmp.Diff(want, cacheBytes(t, config.Out)); diff != "" {
				t.Error("another cache than in one go")
			}
			if got := decoder.images.Load(); got > c.redone || got == 0 && c.redone > 0 {
				t.Errorf("%d images decoded again, want up to %d", got, c.redone)
			}
		})
	}

	t.Run("another process", func(t *testing.T) {
		config := config
		config.Out = filepath.Join(t.TempDir(), "cache")
		var second error
		decoder := &countingDecoder{n: 3, at: func() { _, second = Prepare(context.Background(), config, hashDecoder{}) }}
		if _, err := Prepare(context.Background(), config, decoder); err != nil {
			t.Fatal(err)
		}
		wantError(t, second, "another galaxy works on "+PartialFolder(config.Out))
	})

	t.Run("mended source", func(t *testing.T) {
		config := config
		config.Out, config.MaxBroken = filepath.Join(t.TempDir(), "cache"), 0
		// As long as the good file, so that only looking at it again can tell.
		mended := galaxyJPEG(s.ids[5])
		writeFile(t, s.file(s.ids[5]), make([]byte, len(mended)))
		_, err := Prepare(context.Background(), config, hashDecoder{})
		wantError(t, err, "1 broken image", "broken.csv")
		writeFile(t, s.file(s.ids[5]), mended)
		m, err := Prepare(context.Background(), config, hashDecoder{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Examples != n {
			t.Errorf("%d examples of %d", m.Examples, n)
		}
	})
}

func TestAddChannels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Up to 424 px and white, where a sum of squares would overflow first.
		side := rapid.IntRange(1, ImageSide).Draw(t, "side")
		noise, white := uint64(rapid.Int().Draw(t, "noise")), rapid.Bool().Draw(t, "white")
		channels := rapid.IntRange(1, imagefile.MaxBands).Draw(t, "channels")
		pixels := make([]byte, side*side*channels)
		var want [2]channelTotals
		for i := range pixels {
			noise += golden
			pixels[i] = byte(noise >> 56)
			if white {
				pixels[i] = 255
			}
			want[0][i%channels] += uint64(pixels[i])
			want[1][i%channels] += uint64(pixels[i]) * uint64(pixels[i])
		}
		var sum, squares channelTotals
		addChannels(pixels, channels, &sum, &squares)
		if got := [2]channelTotals{sum, squares}; got != want {
			t.Errorf("%d px, %d channels: sums %v, want %v", side, channels, got, want)
		}
	})
}

func BenchmarkAddChannels(b *testing.B) {
	pixels := make([]byte, 128*128*3)
	var sum, squares channelTotals
	b.SetBytes(int64(len(pixels)))
	for b.Loop() {
		addChannels(pixels, 3, &sum, &squares)
	}
}

// freeDecoder costs nothing, so that what is left is this package's own work.
type freeDecoder struct{}

func (freeDecoder) Decode(dst []byte, _ imagefile.File) error { return nil }

// BenchmarkPrepare measures everything but the decoding, at 128 px, from a
// folder and from a zip. The goal is far above 4,500 images/s.
func BenchmarkPrepare(b *testing.B) {
	const n = 2000
	s := makeSource(b, n)
	members := []member{}
	for _, id := range s.ids {
		members = append(members, member{fmt.Sprintf("%d.jpg", id), galaxyJPEG(id)})
	}
	packed := filepath.Join(b.TempDir(), "images.zip")
	writeFile(b, packed, zipBytes(b, zip.Store, members...))
	for _, images := range []string{s.images, packed} {
		b.Run(filepath.Base(images), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				config := s.config(filepath.Join(b.TempDir(), "cache"))
				config.Images, config.Size = images, 128
				if _, err := Prepare(context.Background(), config, freeDecoder{}); err != nil {
					b.Fatal(err)
				}
				if err := os.RemoveAll(config.Out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
