package data

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"galaxy/labels"
)

// copyOf keeps what a batch holds beyond the next call of Next.
func copyOf(b *Batch) Batch {
	c := *b
	c.Images, c.Rows, c.Labels, c.IDs = bytes.Clone(b.Images), slices.Clone(b.Rows), slices.Clone(b.Labels), slices.Clone(b.IDs)
	return c
}

// wantBatch is the slow twin of a loader: what batch number position must hold.
func wantBatch(c *Cache, config LoaderConfig, position int64) Batch {
	if config.Target == nil {
		config.Target = c.Schema()
	}
	var indices []int
	for _, i := range c.Indices(config.Split) {
		if config.Target.Has(c.Labels(i)) {
			indices = append(indices, i)
		}
	}
	steps := int64(len(indices) / config.Batch)
	epoch, step := position/steps, position%steps
	order := make([]int32, len(indices))
	permutation(order, config.Seed, epoch)
	b := Batch{Epoch: int(epoch)}
	batch, share := order[step*int64(config.Batch):][:config.Batch], config.Batch/max(1, config.Parts)
	for _, k := range batch[config.Part*share:][:share] {
		i := indices[k]
		image, err := imageOf(c, i)
		if err != nil {
			panic(err)
		}
		if !config.Held {
			b.Images = append(b.Images, image...)
		}
		b.Rows = append(b.Rows, int64(k))
		label := make([]float32, config.Target.Width())
		config.Target.Label(label, c.Labels(i))
		b.Labels = append(b.Labels, label...)
		b.IDs = append(b.IDs, c.ID(i))
	}
	return b
}

func sameBatch(t interface {
	Helper()
	Errorf(string, ...any)
}, got, want Batch) {
	t.Helper()
	if got.Epoch != want.Epoch || !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Rows, want.Rows) ||
		!slices.Equal(got.Labels, want.Labels) || !bytes.Equal(got.Images, want.Images) {
		t.Errorf("epoch %d, galaxies %v; want epoch %d, galaxies %v (or other pixels or labels)",
			got.Epoch, got.IDs, want.Epoch, want.IDs)
	}
}

// From any position on the stream is the same, and the one that the comments
// promise.
func TestLoaderResumesAnywhere(t *testing.T) {
	for _, schema := range schemas() {
		t.Run(schema.Name()+" "+schema.Values().String(), func(t *testing.T) { testLoaderResumesAnywhere(t, schema) })
	}
}

func testLoaderResumesAnywhere(t *testing.T, schema *labels.Schema) {
	c := openedOf(t, schema, 60)
	classes := schema.Classes()
	if n := len(c.Labelled(Train, classes)); classes.Width() > 0 && (n < 2 || n == len(c.Indices(Train))) {
		t.Fatalf("%d training examples have a class: too few or too many to show that others are left out", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		config := LoaderConfig{
			Split:    Split(rapid.IntRange(0, int(All)).Draw(t, "split")),
			Target:   rapid.SampledFrom([]*labels.Schema{schema, schema.Classes()}).Draw(t, "target"),
			Seed:     rapid.Int64().Draw(t, "seed"),
			Held:     rapid.Bool().Draw(t, "held"),
			Position: rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, 1<<40)).Draw(t, "position"),
		}
		n := len(c.Labelled(config.Split, config.Target))
		if n == 0 {
			return // the labels of test caches are few
		}
		config.Parts = rapid.IntRange(0, min(n, 4)).Draw(t, "parts")
		parts := max(1, config.Parts)
		config.Part = rapid.IntRange(0, parts-1).Draw(t, "part")
		config.Batch = parts * rapid.IntRange(1, n/parts).Draw(t, "share")
		l, err := NewLoader(c, config)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for i := range int64(rapid.IntRange(1, 12).Draw(t, "batches")) {
			if l.Position() != config.Position+i {
				t.Errorf("position %d after %d batches from %d", l.Position(), i, config.Position)
			}
			b, err := l.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			sameBatch(t, *b, wantBatch(c, config, config.Position+i))
		}
	})
}

func TestLoaderEpoch(t *testing.T) {
	c := opened(t, 60)
	n := len(c.Indices(Train))
	const batch = 8
	l, err := NewLoader(c, LoaderConfig{Split: Train, Batch: batch, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.StepsPerEpoch() != n/batch {
		t.Errorf("%d steps an epoch of %d examples", l.StepsPerEpoch(), n)
	}
	var orders [2][]ID
	for epoch := range 2 {
		seen := map[ID]bool{}
		for range l.StepsPerEpoch() {
			b, err := l.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b.Epoch != epoch || b.Len() != batch {
				t.Errorf("epoch %d, %d examples; want %d, %d", b.Epoch, b.Len(), epoch, batch)
			}
			for _, id := range b.IDs {
				if seen[id] || SplitOf(id, 0) != Train {
					t.Errorf("galaxy %s comes twice in an epoch, or is not for training", id)
				}
				seen[id] = true
			}
			orders[epoch] = append(orders[epoch], b.IDs...)
		}
	}
	if slices.Equal(orders[0], orders[1]) {
		t.Error("two epochs have the same order")
	}
}

func TestLoaderOnce(t *testing.T) {
	c := opened(t, 60)
	for _, split := range []Split{Train, Validation, Test} {
		n := len(c.Indices(split))
		for _, batch := range []int{1, 3, n, n + 5, 1000} {
			l, err := NewLoader(c, LoaderConfig{Split: split, Batch: batch, Once: true})
			if err != nil {
				t.Fatal(err)
			}
			at, steps := 0, 0
			for {
				b, err := l.Next(context.Background())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if want := min(batch, n-at); b.Len() != want || len(b.Labels) != want*zoo.Width() || len(b.Images) != want*c.row {
					t.Errorf("batch %d has %d examples, want %d", steps, b.Len(), want)
				}
				for k, id := range b.IDs {
					i := c.Indices(split)[at]
					image, err := imageOf(c, i)
					if err != nil {
						t.Fatal(err)
					}
					if id != c.ID(i) || !bytes.Equal(b.Images[k*c.row:(k+1)*c.row], image) || !slices.Equal(b.Labels[k*zoo.Width():(k+1)*zoo.Width()], c.Labels(i)) {
						t.Errorf("example %d is galaxy %s, want %s, or has other pixels or labels", at, id, c.ID(i))
					}
					at++
				}
				steps++
			}
			if at != n || steps != l.StepsPerEpoch() {
				t.Errorf("%v: %d of %d examples in %d batches, want %d", split, at, n, steps, l.StepsPerEpoch())
			}
			// The end stays the end.
			if _, err := l.Next(context.Background()); !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %v", err)
			}
			l.Close()
		}
	}
}

// A batch must not be written to while the caller has it.
func TestLoaderKeepsItsHandsOff(t *testing.T) {
	c := opened(t, 60)
	l, err := NewLoader(c, LoaderConfig{Split: Train, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 20 {
		b, err := l.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		before := copyOf(b)
		for range 50 {
			runtime.Gosched()
		}
		sameBatch(t, *b, before)
	}
}

func TestNewLoaderErrors(t *testing.T) {
	c := opened(t, 60)
	train := len(c.Indices(Train))
	for _, l := range []struct {
		config LoaderConfig
		want   []string
	}{
		{LoaderConfig{Split: Train}, []string{"batch is 0"}},
		{LoaderConfig{Split: All + 1, Batch: 1}, []string{"unknown split(4)"}},
		{LoaderConfig{Split: Train, Batch: 1, Position: -1}, []string{"position is -1"}},
		{LoaderConfig{Split: Train, Batch: 4, Part: 2, Parts: 2}, []string{"part 2 of 2"}},
		{LoaderConfig{Split: Train, Batch: 4, Part: -1, Parts: 2}, []string{"part -1 of 2"}},
		{LoaderConfig{Split: Train, Batch: 5, Parts: 2}, []string{"batch of 5", "divisible by the number of parts"}},
		{LoaderConfig{Split: Train, Batch: 4, Parts: 2, Once: true}, []string{"only 1 part with Once"}},
		{LoaderConfig{Split: Train, Batch: 1, Target: small}, []string{"labels of the schema Galaxy Zoo challenge", "of small"}},
		{LoaderConfig{Split: Train, Batch: 1, Target: small.Classes()}, []string{"labels of the schema Galaxy Zoo challenge", "of small"}},
		{LoaderConfig{Split: Train, Batch: train + 1}, []string{"train split", "fewer than a batch", "smaller batch"}},
	} {
		_, err := NewLoader(c, l.config)
		wantError(t, err, l.want...)
	}

	// One train galaxy and nothing else.
	id := int64(1)
	for SplitOf(numbered(id), 0) != Train {
		id++
	}
	dir := t.TempDir()
	lone := source{labels: filepath.Join(dir, "l.csv"), images: filepath.Join(dir, "i")}
	writeFile(t, lone.labels, []byte(catalogCSV(zoo, []int64{id})))
	writeFile(t, lone.file(id), galaxyJPEG(id))
	config := lone.config(filepath.Join(dir, "cache"))
	if _, err := Prepare(context.Background(), config, hashDecoder{}); err != nil {
		t.Fatal(err)
	}
	few, err := Open(config.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer few.Close()
	_, err = NewLoader(few, LoaderConfig{Split: Test, Batch: 1, Once: true})
	wantError(t, err, "test split", "empty")
}

func TestLoaderDamagedCache(t *testing.T) {
	dir := prepared(t, 60)
	edit(t, dir, imagesName, func(b []byte) []byte {
		for i := 0; i < len(b); i += testSize * testSize * 3 {
			b[i] ^= 1
		}
		return b
	})
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := NewLoader(c, LoaderConfig{Split: Train, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 { // the error stays
		_, err = l.Next(context.Background())
		wantError(t, err, dir, "galaxy 100", "checksum")
	}
	if l.Position() != 0 {
		t.Errorf("position %d after no batch", l.Position())
	}
}

func TestLoaderCancelAndClose(t *testing.T) {
	before := runtime.NumGoroutine()
	c := opened(t, 60)
	config := LoaderConfig{Split: Train, Batch: 2, Seed: 9}
	for consume := range 6 {
		l, err := NewLoader(c, config)
		if err != nil {
			t.Fatal(err)
		}
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		for i := range int64(consume) {
			if _, err := l.Next(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("Next with a cancelled context: %v", err)
			}
			// The cancelled call must not have swallowed a batch.
			b, err := l.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			sameBatch(t, *b, wantBatch(c, config, i))
		}
		l.Close()
		l.Close()
		_, err = l.Next(context.Background())
		wantError(t, err, "closed")
	}
	for range 6000 { // a minute
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Next must give up waiting when its context ends, and go on where it was.
func TestLoaderWaitEnds(t *testing.T) {
	c := opened(t, 60)
	config := LoaderConfig{Split: Train, Batch: 4}
	c.mu.Lock() // no image can be read
	l, err := NewLoader(c, config)
	if err != nil {
		c.mu.Unlock()
		t.Fatal(err)
	}
	defer l.Close()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = l.Next(ctx)
	c.mu.Unlock()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if w, all := l.DataWait(), time.Since(begin); w <= 0 || w > all {
		t.Errorf("waited %v of %v", w, all)
	}
	b, err := l.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameBatch(t, *b, wantBatch(c, config, 0))
}

func TestLoaderAfterCacheClosed(t *testing.T) {
	c, err := Open(prepared(t, 60))
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLoader(c, LoaderConfig{Split: Train, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 * prefetch { // what was ready before may still come
		if _, err = l.Next(context.Background()); err != nil {
			break
		}
	}
	wantError(t, err, "the cache is closed")
}

// BenchmarkLoader measures how many images of 128 px the loader gives a second
// to someone who does nothing with them, from the page cache. The goal is
// 20,000 on one core.
func BenchmarkLoader(b *testing.B) {
	s := makeSource(b, 1500)
	config := s.config(filepath.Join(b.TempDir(), "cache"))
	config.Size = 128
	if _, err := Prepare(context.Background(), config, freeDecoder{}); err != nil {
		b.Fatal(err)
	}
	c, err := Open(config.Out)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const batch = 32
	l, err := NewLoader(c, LoaderConfig{Split: Train, Batch: batch})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	b.SetBytes(int64(batch * c.row))
	for b.Loop() {
		if _, err := l.Next(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(batch*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}

func BenchmarkPermutation(b *testing.B) {
	order := make([]int32, 50000)
	for b.Loop() {
		permutation(order, 1, 2)
	}
}

// TestRealSample prepares the real files when GALAXY_ZOO_SAMPLE names a folder
// with them.
func TestRealSample(t *testing.T) {
	dir := os.Getenv("GALAXY_ZOO_SAMPLE")
	if dir == "" {
		t.Skip("GALAXY_ZOO_SAMPLE does not name a folder with training_solutions_rev1.csv and images_training_rev1.zip")
	}
	if testing.Short() {
		t.Skip("decodes thousands of images in plain Go")
	}
	config := PrepareConfig{
		Labels:  filepath.Join(dir, "training_solutions_rev1.csv"),
		Images:  filepath.Join(dir, "images_training_rev1.zip"),
		Out:     filepath.Join(t.TempDir(), "cache"),
		Size:    56,
		Decoder: "image/jpeg, box",
	}
	m, err := Prepare(context.Background(), config, boxDecoder{DefaultCrop, config.Size})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Broken) > 0 || m.SumRuleBreaks > 0 {
		t.Errorf("%d broken images, %d rows break the sum rules", len(m.Broken), m.SumRuleBreaks)
	}
	for c := range 3 {
		if m.ChannelMean[c] < 0.01 || m.ChannelMean[c] > 0.3 || m.ChannelStd[c] < 0.02 || m.ChannelStd[c] > 0.3 {
			t.Errorf("channel %d: mean %v, std %v: not a dark sky with galaxies", c, m.ChannelMean[c], m.ChannelStd[c])
		}
	}
	cache, err := Open(config.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	// The score of always giving the column means, as known for real galaxies.
	sum := 0.0
	for _, i := range cache.Indices(Test) {
		for j, y := range cache.Labels(i) {
			sum += math.Pow(float64(y)-m.ColumnMeans[j], 2)
		}
	}
	rmse := math.Sqrt(sum / float64(len(cache.Indices(Test))*zoo.Width()))
	t.Logf("%d examples, %+v, mean %.4f, std %.4f, constant predictor's RMSE %.4f", m.Examples, m.Counts, m.ChannelMean, m.ChannelStd, rmse)
	if rmse < 0.15 || rmse > 0.175 {
		t.Errorf("the constant predictor's RMSE is %.4f; want about 0.16", rmse)
	}
}
