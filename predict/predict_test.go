package predict

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/internal/durable"
	"galaxy/labels"
	"galaxy/labels/labelstest"
)

const testSize = 4 // px

// picture is a JPEG of 424×424 pixels that differs from that of every other n:
// one encoded picture with n in a comment segment.
func picture(n int) []byte {
	base := basePicture()
	comment := binary.BigEndian.AppendUint64([]byte{0xff, 0xfe, 0, 10}, uint64(n))
	return slices.Concat(base[:2], comment, base[2:])
}

var basePicture = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, data.ImageSide, data.ImageSide)), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// hashDecoder fills an image with bytes that depend on all of the file, and counts
// images.
type hashDecoder struct{ decoded atomic.Int64 }

func (d *hashDecoder) Decode(dst []byte, file imagefile.File) error {
	d.decoded.Add(1)
	h := xxh3.Hash(file.Encoded)
	for i := range dst {
		dst[i] = byte(h >> (i % 8 * 8))
	}
	return nil
}

// hashPredictor answers with shares that depend on the image, and after n images
// on what at says.
type hashPredictor struct {
	columns, images, n int
	at                 func() error
}

func (p *hashPredictor) Predict(images []byte) (logits, probabilities []float32, err error) {
	for img := range slices.Chunk(images, testSize*testSize*3) {
		if p.images++; p.images == p.n && p.at != nil {
			if err := p.at(); err != nil {
				return nil, nil, err
			}
		}
		probabilities = append(probabilities, answer(img, p.columns)...)
	}
	return nil, probabilities, nil
}

func answer(img []byte, columns int) []float32 {
	out := make([]float32, columns)
	for j := range out {
		out[j] = float32(xxh3.HashSeed(img, uint64(j))>>40) / (1 << 24)
	}
	return out
}

// folder writes n images under dir, named by name.
func folder(t testing.TB, n int, name func(i int) string) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		path := filepath.Join(dir, name(i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, picture(i), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func galaxyName(i int) string { return strconv.Itoa(100+i) + ".jpg" }

func open(t testing.TB, dir string) *data.Images {
	t.Helper()
	images, err := data.OpenImages(dir, data.TestImages)
	if err != nil {
		t.Fatal(err)
	}
	return images
}

var zoo = labels.GalaxyZoo()

// config predicts zoo's columns of all images, the last first.
func config(t testing.TB, images *data.Images) Config { return configOf(t, images, zoo) }

func configOf(t testing.TB, images *data.Images, schema *labels.Schema) Config {
	return Config{
		Out: filepath.Join(t.TempDir(), "out.csv"), Source: backwards(images), Columns: schema.Columns(),
		Shape: imagefile.Shape{Size: testSize, Channels: 3}, Batch: 4, Workers: 2, Project: schema, Settings: "settings",
	}
}

// backwards is a Source of all images, the last first.
func backwards(images *data.Images) Files {
	f := Files{Images: images, Decoder: new(hashDecoder)}
	for i := range images.Len() {
		f.Order = append(f.Order, images.Len()-1-i)
	}
	return f
}

// want is the row that an image must get, with a schema projected onto its sum rules.
func want(t testing.TB, file []byte, schema *labels.Schema, columns int) []float32 {
	img := make([]byte, testSize*testSize*3)
	_ = new(hashDecoder).Decode(img, imagefile.File{Encoded: file})
	row := answer(img, columns)
	if schema != nil {
		if err := schema.Project(row); err != nil {
			t.Fatal(err)
		}
	}
	return row
}

func csvRow(key string, values []float32) string {
	fields := []string{key}
	for _, v := range values {
		fields = append(fields, fmt.Sprintf("%.5f", v))
	}
	return strings.Join(fields, ",") + "\n"
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// entries lists a folder.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

func TestRunCSV(t *testing.T) {
	for _, schema := range labelstest.Schemas() {
		t.Run(schema.Name(), func(t *testing.T) { testRunCSV(t, schema) })
	}
}

// A batch need not fit into the memory if there are fewer images.
func TestRunOfAHugeBatch(t *testing.T) {
	for _, batch := range []int{1 << 50, math.MaxInt} {
		cfg := config(t, open(t, folder(t, 5, galaxyName)))
		cfg.Batch = batch
		if got, err := Run(t.Context(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil || got.Rows != 5 {
			t.Errorf("batches of %d: %+v, %v", batch, got, err)
		}
	}
}

func testRunCSV(t *testing.T, schema *labels.Schema) {
	for _, n := range []int{1, 3, 4, 13} {
		images := open(t, folder(t, n, galaxyName))
		text := "GalaxyID," + strings.Join(schema.Columns(), ",") + "\n"
		for i := range n {
			text += csvRow(strconv.Itoa(100+n-1-i), want(t, picture(n-1-i), schema, schema.Width()))
		}
		for _, workers := range []int{0, 1, 5} {
			cfg := configOf(t, images, schema)
			cfg.Workers = workers
			var calls []int
			cfg.Progress = func(done, total int) {
				if total != n {
					t.Errorf("total %d, want %d", total, n)
				}
				calls = append(calls, done)
			}
			got, err := Run(context.Background(), cfg, &hashPredictor{columns: schema.Width()})
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != n || got.TakenOver != 0 || got.Broken == nil || len(got.Broken) != 0 {
				t.Errorf("result %+v", got)
			}
			if read(t, cfg.Out) != text {
				t.Errorf("%d images, %d workers: got\n%s\nwant\n%s", n, workers, read(t, cfg.Out), text)
			}
			if names := entries(t, filepath.Dir(cfg.Out)); len(names) != 1 {
				t.Errorf("left behind: %v", names)
			}
			if calls[0] != 0 || calls[len(calls)-1] != n || !slices.IsSorted(calls) {
				t.Errorf("progress went %v", calls)
			}
		}
	}
}

// Rows of a CSV satisfy the sum rules although they are rounded.
func TestRunObeysTheTree(t *testing.T) {
	cfg := config(t, open(t, folder(t, 50, galaxyName)))
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(read(t, cfg.Out)), "\n")[1:] {
		var row []float32
		for _, field := range strings.Split(line, ",")[1:] {
			v, err := strconv.ParseFloat(field, 32)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, float32(v))
		}
		if err := zoo.CheckSums(row, 1e-4); err != nil {
			t.Error(err)
		}
	}
}

func TestRunPaths(t *testing.T) {
	name := func(i int) string { return []string{"a, b/NGC 1300.jpg", "c/d/e.JPEG", "=x.jpg"}[i] }
	dir := folder(t, 3, name)
	images, err := data.OpenImagesByPath(dir, data.TestImages)
	if err != nil {
		t.Fatal(err)
	}
	columns := []string{"round", "in-between", "cigar", "edge-on", "spiral"}
	cfg := Config{Out: filepath.Join(t.TempDir(), "new", "out.CSV"), Source: Files{images, []int{0, 1, 2}, new(hashDecoder)}, Columns: columns, Shape: imagefile.Shape{Size: testSize, Channels: 3}}
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: 5}); err != nil {
		t.Fatal(err)
	}
	text := "path,round,in-between,cigar,edge-on,spiral\n" +
		csvRow("=x.jpg", want(t, picture(2), nil, 5)) + csvRow(`"a, b/NGC 1300.jpg"`, want(t, picture(0), nil, 5)) +
		csvRow("c/d/e.JPEG", want(t, picture(1), nil, 5))
	if got := read(t, cfg.Out); got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestRunParquet(t *testing.T) {
	const n = 9
	dir := folder(t, n, galaxyName)
	byPath, err := data.OpenImagesByPath(dir, data.TestImages)
	if err != nil {
		t.Fatal(err)
	}
	for column, images := range map[string]*data.Images{"GalaxyID": open(t, dir), "path": byPath} {
		cfg := config(t, images)
		cfg.Out = strings.TrimSuffix(cfg.Out, ".csv") + ".parquet"
		if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil {
			t.Fatal(err)
		}
		raw := []byte(read(t, cfg.Out))
		f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, field := range f.Schema().Fields() {
			names = append(names, field.Name())
			if kind := field.Type().Kind(); field.Optional() || field.Name() != column && kind != parquet.Float {
				t.Errorf("column %s is %v, optional %v", field.Name(), kind, field.Optional())
			}
		}
		if !slices.Equal(names, append([]string{column}, zoo.Columns()...)) {
			t.Errorf("columns %v", names)
		}
		reader := parquet.NewReader(bytes.NewReader(raw))
		rows := make([]parquet.Row, n+1)
		if got, _ := reader.ReadRows(rows); got != n {
			t.Fatalf("%d rows, want %d", got, n)
		}
		for i, row := range rows[:n] {
			image := n - 1 - i
			if column == "path" && string(row[0].ByteArray()) != galaxyName(image) || column != "path" && row[0].Int64() != int64(100+image) {
				t.Errorf("row %d has the key %v", i, row[0])
			}
			for j, v := range want(t, picture(image), zoo, zoo.Width()) {
				if row[1+j].Float() != v {
					t.Errorf("row %d, %s: %v, want %v", i, zoo.Columns()[j], row[1+j], v)
				}
			}
		}
		// The same bytes again.
		first := cfg.Out
		cfg.Out = filepath.Join(t.TempDir(), "again.parquet")
		if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil {
			t.Fatal(err)
		}
		if read(t, cfg.Out) != read(t, first) {
			t.Error("other bytes the second time")
		}
	}
}

// Runs that end early anywhere, and lose any part of the rows behind the last that
// reached the disk, end with the bytes of one go.
func TestRunGoesOn(t *testing.T) {
	const n = 61
	dir := folder(t, n, galaxyName)
	if err := os.WriteFile(filepath.Join(dir, galaxyName(20)), []byte("broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	images := open(t, dir)
	whole := config(t, images)
	whole.MaxBroken = 1
	if _, err := Run(context.Background(), whole, &hashPredictor{columns: zoo.Width()}); err != nil {
		t.Fatal(err)
	}
	text, list := read(t, whole.Out), read(t, BrokenFile(whole.Out))
	rapid.Check(t, func(r *rapid.T) {
		cfg := whole
		parent, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		cfg.Out = filepath.Join(parent, "out.csv")
		cfg.Workers = rapid.IntRange(1, 4).Draw(r, "workers")
		predicted, lost := 0, false
		stops := rapid.IntRange(0, 3).Draw(r, "stops")
		for range stops {
			ctx, cancel := context.WithCancel(context.Background())
			full := errors.New("full")
			p := &hashPredictor{columns: zoo.Width(), n: rapid.IntRange(1, n).Draw(r, "stop at"), at: func() error { return full }}
			if rapid.Bool().Draw(r, "signal") {
				p.at = func() error { cancel(); return nil }
			}
			_, err := Run(ctx, cfg, p)
			cancel()
			predicted += p.images
			if err == nil {
				break // so little was left that it went through
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, full) {
				r.Fatal(err)
			}
			if exists(cfg.Out) {
				r.Fatal("a file that is not whole")
			}
			if rapid.Bool().Draw(r, "crash") {
				lost = true
				rows := filepath.Join(PartialFolder(cfg.Out), rowsName)
				b := []byte(read(t, rows))
				b = b[:len(b)-rapid.IntRange(0, len(b)).Draw(r, "bytes lost")]
				if len(b) > 0 && rapid.Bool().Draw(r, "garbage") {
					b[rapid.IntRange(0, len(b)-1).Draw(r, "at")] ^= 1
				}
				if err := os.WriteFile(rows, b, 0o666); err != nil {
					r.Fatal(err)
				}
			}
		}
		if !exists(cfg.Out) {
			p := &hashPredictor{columns: zoo.Width()}
			got, err := Run(context.Background(), cfg, p)
			if err != nil {
				r.Fatal(err)
			}
			predicted += p.images
			if got.TakenOver+p.images != n || len(got.Broken) != 1 || got.Broken[0].Image != "120" {
				r.Errorf("%d predicted, result %+v", p.images, got)
			}
		}
		if read(t, cfg.Out) != text || read(t, BrokenFile(cfg.Out)) != list {
			r.Error("other bytes than in one go")
		}
		if names := entries(t, parent); len(names) != 2 {
			r.Errorf("left behind: %v", names)
		}
		// Each stop can cost no more than the batch it fell into.
		if !lost && predicted > n+stops*cfg.Batch {
			r.Errorf("%d predictions for %d images in %d stops", predicted, n, stops)
		}
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// What decides the bytes decides whether work can be gone on with.
func TestRunRefusesOtherWork(t *testing.T) {
	images := open(t, folder(t, 12, galaxyName))
	stop := errors.New("stop")
	for _, c := range []struct {
		name   string
		change func(cfg *Config)
		other  string // what is named as another, "" where the work is gone on with
	}{
		{"nothing", func(*Config) {}, ""},
		{"workers", func(cfg *Config) { cfg.Workers = 1 }, ""},
		{"max broken", func(cfg *Config) { cfg.MaxBroken = 3 }, ""},
		{"settings", func(cfg *Config) { cfg.Settings = "others" }, `settings "settings" (asked for is "others")`},
		{"batch", func(cfg *Config) { cfg.Batch = 8 }, "batch 4 (asked for is 8)"},
		{"raw", func(cfg *Config) { cfg.Project = nil }, "project true (asked for is false)"},
		{"order", func(cfg *Config) {
			cfg.Source = Files{images, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, new(hashDecoder)}
		}, "order"},
		{"fewer", func(cfg *Config) { cfg.Source = Files{images, backwards(images).Order[:11], new(hashDecoder)} }, "rows 12 (asked for is 11)"},
		{"images", func(cfg *Config) {
			cfg.Source = Files{open(t, folder(t, 13, galaxyName)), backwards(images).Order, new(hashDecoder)}
		}, "images"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(t, images)
			_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width(), n: 9, at: func() error { return stop }})
			if !errors.Is(err, stop) {
				t.Fatal(err)
			}
			var notice string
			cfg.Notice = func(s string) { notice += s }
			changed := cfg
			c.change(&changed)
			if c.other != "" {
				_, err := Run(context.Background(), changed, &hashPredictor{columns: zoo.Width()})
				wantError(t, err, PartialFolder(cfg.Out)+" holds unfinished work that was begun with", c.other, "remove the folder")
				changed = cfg
			}
			got, err := Run(context.Background(), changed, &hashPredictor{columns: zoo.Width()})
			if err != nil {
				t.Fatal(err)
			}
			if got.TakenOver != 8 || !strings.Contains(notice, "going on with") {
				t.Errorf("%d rows taken over, want 8; notice %q", got.TakenOver, notice)
			}
		})
	}
}

func TestRunBroken(t *testing.T) {
	const n = 10
	dir := folder(t, n, galaxyName)
	damage := map[int][]byte{2: picture(2)[:500], 7: nil, 8: []byte("<html>")}
	for i, body := range damage {
		if err := os.WriteFile(filepath.Join(dir, galaxyName(i)), body, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config(t, open(t, dir))
	_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
	list := filepath.Join(PartialFolder(cfg.Out), listName)
	wantError(t, err, "broken images: 3 of 10", dir, "108: the file is an HTML page", "max_broken 3", list)
	if text := read(t, list); !strings.HasPrefix(text, "GalaxyID,reason\n108,") || strings.Count(text, "\n") != 4 {
		t.Errorf("list\n%s", text)
	}
	if exists(cfg.Out) || exists(BrokenFile(cfg.Out)) {
		t.Error("something was written")
	}

	// With permission nothing is predicted again; and the first is mended.
	if err := os.WriteFile(filepath.Join(dir, galaxyName(7)), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	cfg.MaxBroken = 3
	p := &hashPredictor{columns: zoo.Width()}
	got, err := Run(context.Background(), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	if p.images != 0 || got.TakenOver != n || len(got.Broken) != 3 {
		t.Errorf("%d predicted, result %+v", p.images, got)
	}
	mean := make([]float64, zoo.Width())
	for i := range n {
		if _, broken := damage[i]; !broken {
			for j, v := range want(t, picture(i), zoo, zoo.Width()) {
				mean[j] += float64(v) / (n - 3)
			}
		}
	}
	lines := strings.Split(read(t, cfg.Out), "\n")
	for i := range damage {
		fields := strings.Split(lines[n-i], ",")
		if fields[0] != strconv.Itoa(100+i) {
			t.Fatalf("row %d is of %s", n-i, fields[0])
		}
		for j, field := range fields[1:] {
			if v, err := strconv.ParseFloat(field, 64); err != nil || math.Abs(v-mean[j]) > 1e-5 {
				t.Errorf("galaxy %d, %s: %s, want the mean %.6f", 100+i, zoo.Columns()[j], field, mean[j])
			}
		}
	}
	if read(t, BrokenFile(cfg.Out)) == "" {
		t.Error("no list")
	}

	t.Run("mended", func(t *testing.T) {
		cfg := cfg
		cfg.Out, cfg.MaxBroken = filepath.Join(t.TempDir(), "out.csv"), 0
		// As long as the good file, so that only looking at it again can tell.
		file := filepath.Join(dir, galaxyName(8))
		for i, body := range [][]byte{make([]byte, len(picture(8))), picture(8)} {
			if err := os.WriteFile(file, body, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
			wantError(t, err, fmt.Sprintf("broken images: %d of 10", 3-i))
		}
	})
	t.Run("all", func(t *testing.T) {
		dir := folder(t, 5, galaxyName)
		for i := range 5 {
			if err := os.WriteFile(filepath.Join(dir, galaxyName(i)), []byte("broken"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		cfg := config(t, open(t, dir))
		cfg.MaxBroken = 5
		_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
		wantError(t, err, "no usable image among 5 (104: ")
		if exists(cfg.Out) || exists(BrokenFile(cfg.Out)) {
			t.Error("something was written")
		}
	})
}

func TestRunRefuses(t *testing.T) {
	images := open(t, folder(t, 5, galaxyName))
	good := func(*hashPredictor) {}
	for _, c := range []struct {
		name   string
		change func(cfg *Config)
		model  func(p *hashPredictor)
		want   string
	}{
		{"format", func(cfg *Config) { cfg.Out += ".xlsx" }, good, "expected a name that ends with .csv, .parquet or .npy"},
		{"batch", func(cfg *Config) { cfg.Batch = -1 }, good, "batch is -1"},
		{"workers", func(cfg *Config) { cfg.Workers = 2000 }, good, "workers is 2000"},
		{"max broken", func(cfg *Config) { cfg.MaxBroken = -1 }, good, "max broken is -1"},
		{"no images", func(cfg *Config) { cfg.Source = Files{Images: images} }, good, "no images"},
		{"no tree", func(cfg *Config) { cfg.Columns = cfg.Columns[:5] }, good, "cannot satisfy the sum rules of the label schema Galaxy Zoo challenge"},
		{"another network", func(*Config) {}, func(p *hashPredictor) { p.columns = 5 }, "20 answers to 4 images: expected 37 each"},
		{"columns of one name", func(cfg *Config) {
			cfg.Out, cfg.Project, cfg.Columns = strings.Replace(cfg.Out, ".csv", ".parquet", 1), nil, []string{"a", "a"}
		}, func(p *hashPredictor) { p.columns = 2 }, "two columns have the same name"},
		{"there", func(cfg *Config) {
			if err := os.WriteFile(cfg.Out, nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}, good, "exists already"},
		{"list there", func(cfg *Config) {
			if err := os.WriteFile(BrokenFile(cfg.Out), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}, good, "out.csv.broken.csv exists already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, p := config(t, images), &hashPredictor{columns: zoo.Width()}
			c.change(&cfg)
			c.model(p)
			_, err := Run(context.Background(), cfg, p)
			wantError(t, err, c.want, cfg.Out)
		})
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		cfg := config(t, images)
		_, err := Run(context.Background(), cfg, constant(bad))
		wantError(t, err, "the model's answer to 104 is", "another checkpoint")
	}
}

// constant answers every image with the same number.
type constant float64

func (c constant) Predict(images []byte) (logits, probabilities []float32, err error) {
	return nil, slices.Repeat([]float32{float32(c)}, len(images)/(testSize*testSize*3)*zoo.Width()), nil
}

// A call that died between writing the list of broken images and naming the table
// is gone on with.
func TestRunGoesOnBehindTheList(t *testing.T) {
	dir := folder(t, 5, galaxyName)
	if err := os.WriteFile(filepath.Join(dir, galaxyName(1)), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, open(t, dir))
	_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
	wantError(t, err, "broken images: 1 of 5")
	cfg.MaxBroken = 1
	if err := durable.WriteFile(BrokenFile(cfg.Out), []byte(read(t, filepath.Join(PartialFolder(cfg.Out), listName)))); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil {
		t.Fatal(err)
	}
}

// The offsets of blocks meet without gaps, and what is read is what was written.
func TestRowFile(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		rows := rowFile{f, rapid.IntRange(1, 5).Draw(r, "columns"), rapid.IntRange(1, 5).Draw(r, "batch"), rapid.IntRange(1, 20).Draw(r, "total")}
		var wrote []block
		for at := 0; at < rows.total; at += rows.batch {
			b := newBlock(min(rows.batch, rows.total-at), rows.columns)
			for i := range b.values {
				b.values[i] = rapid.Float32().Draw(r, "value")
			}
			for i := range b.broken {
				b.broken[i] = rapid.Bool().Draw(r, "broken")
			}
			if err := rows.write(at, b); err != nil {
				r.Fatal(err)
			}
			wrote = append(wrote, b)
		}
		if info, err := f.Stat(); err != nil || info.Size() != rows.offset(rows.total) {
			r.Fatalf("%d bytes, want %d (%v)", info.Size(), rows.offset(rows.total), err)
		}
		for k, w := range wrote {
			got, err := rows.read(k * rows.batch)
			if err != nil {
				r.Fatal(err)
			}
			if !slices.Equal(got.values, w.values) || !slices.Equal(got.broken, w.broken) {
				r.Errorf("block %d: %v, want %v", k, got, w)
			}
		}
	})
}

// FuzzRowFile reads blocks of foreign bytes: each is an error or what write makes
// of what was read.
func FuzzRowFile(f *testing.F) {
	dir := f.TempDir()
	seed, err := os.Create(filepath.Join(dir, "seed"))
	if err != nil {
		f.Fatal(err)
	}
	rows := rowFile{seed, 3, 2, 3}
	if err := errors.Join(rows.write(0, newBlock(2, 3)), rows.write(2, newBlock(1, 3)), seed.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(read(f, seed.Name())))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := os.Create(filepath.Join(t.TempDir(), "rows"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(raw); err != nil {
			t.Fatal(err)
		}
		rows := rowFile{file, 3, 2, 3}
		for _, at := range []int{0, 2} {
			b, err := rows.read(at)
			if err != nil {
				continue
			}
			if err := rows.write(at, b); err != nil {
				t.Fatal(err)
			}
			again, err := rows.read(at)
			if err != nil || !slices.Equal(again.broken, b.broken) {
				t.Errorf("block %d: %v, want %v (%v)", at, again, b, err)
			}
		}
	})
}

// A file of another kind is made from the rows, also from those of a call that was interrupted.
func TestRunWrites(t *testing.T) {
	dir := folder(t, 9, galaxyName)
	if err := os.Truncate(filepath.Join(dir, galaxyName(4)), 1000); err != nil {
		t.Fatal(err)
	}
	images := open(t, dir)
	cfg := config(t, images)
	cfg.Out, cfg.Batch, cfg.MaxBroken = filepath.Join(t.TempDir(), "list.npy"), 3, 1 // .npy, but without a file of ids
	asked := 0
	cfg.Write = func(path string, rows Rows) error {
		for range 2 {
			asked = 0
			err := rows(func(row int, values []float32, broken bool) error {
				expected := want(t, picture(8-row), zoo, len(cfg.Columns)) // the source is backwards
				if broken {
					expected = make([]float32, len(cfg.Columns))
				}
				if row != asked || broken != (row == 4) || !slices.Equal(values, expected) {
					t.Errorf("row %d, broken %v: %v, want %v", row, broken, values, expected)
				}
				asked++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return os.WriteFile(path, []byte("made"), 0o666)
	}
	stop := errors.New("stop")
	_, err := Run(t.Context(), cfg, &hashPredictor{columns: len(cfg.Columns), n: 5, at: func() error { return stop }})
	if !errors.Is(err, stop) {
		t.Fatalf("interrupted: %v", err)
	}
	result, err := Run(t.Context(), cfg, &hashPredictor{columns: len(cfg.Columns)})
	if err != nil {
		t.Fatal(err)
	}
	if result.Rows != 9 || result.TakenOver != 3 || len(result.Broken) != 1 || result.IDs != "" || asked != 9 || read(t, cfg.Out) != "made" {
		t.Errorf("%+v, %d rows", result, asked)
	}
}
