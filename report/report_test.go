package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

const (
	galaxies = 90
	side     = 32
	evil     = `<script>alert("x")</script>`
)

// A catalogue with HTML in every name that a person chooses.
func testSchema(values labels.Values) *labels.Schema {
	s, err := labels.New(labels.Definition{
		Name: "test <b>schema</b>", Values: values,
		Questions: []labels.Question{
			{Text: "Is it bright? " + evil, Answers: []labels.Answer{{Name: "bright", Text: "bright & <i>blue</i>"}, {Name: "dark", Text: evil}}},
			{Text: "How bright?", Answers: []labels.Answer{{Name: "very", Text: "very"}, {Name: "little", Text: "a little"}}, After: []string{"bright"}},
		},
	})
	if err != nil {
		panic(err)
	}
	return s
}

// writeGalaxies writes images with a bright square, and a table of votes that follow from its brightness. The first two
// images are the same, the third is broken.
func writeGalaxies(dir string, schema *labels.Schema) error {
	random := rand.New(rand.NewPCG(1, 2))
	var table strings.Builder
	table.WriteString("GalaxyID,bright,dark,very,little\n")
	for n := range galaxies {
		y := random.Float64()
		m := image.NewRGBA(image.Rect(0, 0, 40, 40))
		for i := range 1600 {
			v := 20 * random.Float64()
			if x, z := i%40, i/40; x > 12 && x < 28 && z > 12 && z < 28 {
				v += 200 * y
			}
			m.Set(i%40, i/40, color.RGBA{uint8(v), uint8(v / 2), uint8(v / 3), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			return err
		}
		name := filepath.Join(dir, fmt.Sprintf("<i>%03d.png", n))
		content := b.Bytes()
		if n == 1 {
			var err error
			if content, err = os.ReadFile(filepath.Join(dir, "<i>000.png")); err != nil {
				return err
			}
		}
		if n == 2 {
			content = content[:40]
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
		row := []float64{y, 1 - y, y * y, y - y*y}
		if schema.Values() == labels.Counts {
			bright := float64(int(20 * y))
			row = []float64{bright, 20 - bright, float64(int(bright * y)), bright - float64(int(bright*y))}
		}
		fmt.Fprintf(&table, "<i>%03d,%g,%g,%g,%g\n", n, row[0], row[1], row[2], row[3])
	}
	return os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(table.String()), 0o644)
}

// fixture is a run and its cache, which tests do not change.
type fixture struct {
	dir        string
	cache, run string
}

var shared = sync.OnceValues(func() (*fixture, error) {
	dir, err := os.MkdirTemp("", "galaxy-report-test-")
	if err != nil {
		return nil, err
	}
	f := &fixture{dir: dir, cache: filepath.Join(dir, "cache"), run: filepath.Join(dir, "run")}
	pictures := filepath.Join(dir, "images")
	schema := testSchema(labels.Fractions)
	if err := errors.Join(os.Mkdir(pictures, 0o755), writeGalaxies(pictures, schema)); err != nil {
		return nil, err
	}
	if err := prepare(pictures, f.cache, schema); err != nil {
		return nil, err
	}
	return f, trainRun(context.Background(), f.run, f.cache, 12, 1)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if f, err := shared(); err == nil {
		os.RemoveAll(f.dir)
	}
	os.Exit(code)
}

func prepare(pictures, out string, schema *labels.Schema) error {
	return prepareAs(data.PrepareConfig{Schema: schema, Images: pictures, Out: out, Size: side, MaxBroken: 1})
}

func prepareAs(c data.PrepareConfig) error {
	decoder, err := images.NewDecoder(1, c.Size)
	if err != nil {
		return err
	}
	defer decoder.Close()
	c.Labels, c.Decoder = filepath.Join(c.Images, "labels.csv"), "test"
	_, err = data.Prepare(context.Background(), c, decoder)
	return err
}

func trainRun(ctx context.Context, dir, cacheDir string, steps, seed int64, o ...train.Observer) (err error) {
	cache, err := data.Open(cacheDir)
	if err != nil {
		return err
	}
	defer cache.Close()
	m := cache.Manifest()
	cfg := train.Config{
		Cache: train.CacheRef{Path: cacheDir, Checksum: m.Checksum, Crop: m.Crop, Schema: m.Schema, Bands: m.Bands, Stretch: m.Stretch},
		Model: network.Config{
			Arch: "resnet6", Size: m.Size, Outputs: m.Schema.Width(), Precision: network.Float32, Mean: m.ChannelMean, Std: m.ChannelStd,
		},
		Objective: objective.Config{Head: objective.Independent, Loss: objective.Focal, Alpha: .25, Gamma: 2},
		Optimizer: graph.Optimizer{Kind: graph.AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, ClipNorm: 1},
		Schedule:  train.Schedule{Kind: train.Cosine, Rate: 1e-2, Warmup: 2, Total: steps},
		Batch:     8, Seed: seed, EvalEvery: 4, LogEvery: 1,
	}
	_, err = train.Run(ctx, train.Options{Dir: dir, Config: cfg, Cache: cache, Version: "test", Observers: o})
	return err
}

// open opens a run as the program does.
func open(dir string, cfg train.Config) (Model, error) {
	o, err := objective.New(cfg.Objective, cfg.Schema())
	if err != nil {
		return Model{}, err
	}
	g, err := graph.NewInferenceGraph(cfg.Model, o.Posterior, nil)
	if err != nil {
		return Model{}, err
	}
	i, err := g.Open(session.Config{})
	if err != nil {
		return Model{}, err
	}
	var step int64
	err = train.WithBest(dir, cfg, func(c *checkpoint.Checkpoint) error {
		step = c.State.Step
		return i.Restore(c.Prefix())
	})
	if err != nil {
		return Model{}, errors.Join(err, i.Close())
	}
	return Model{Predictor: i, Network: i.Network(), Target: o.Target(), Loss: o, Step: step, Close: i.Close}, nil
}

func get(t testing.TB) *fixture {
	t.Helper()
	f, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// gather returns a report and its page.
func gather(t testing.TB, o Options) (*Report, string) {
	t.Helper()
	o.Open, o.Version, o.Now = open, "test "+evil, time.Unix(1e9, 0)
	r, err := Gather(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return r, string(page)
}

// copyOf copies a folder, so that a test may damage it.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(dir))
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

var dataElement = regexp.MustCompile(`<data value="([^"]*)" data-metric="([^"]*)">`)

// The report's numbers are those of an evaluation as eval makes it, and the page shows every one of them.
func TestNumbersAreThoseOfAnEvaluation(t *testing.T) {
	f := get(t)
	r, page := gather(t, Options{Runs: []string{f.run}})
	cache, err := data.Open(f.cache)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	m, err := open(f.run, r.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	want, err := train.Evaluate(t.Context(), m, train.Evaluation{Cache: cache, Split: data.Test, Target: m.Target, Loss: m.Loss, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := json.Marshal(want)
	b, err2 := json.Marshal(r.Evaluation.Result)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("the report has the metrics\n%s\nand an evaluation gives\n%s", b, a)
	}
	shown := map[string]string{}
	for _, m := range dataElement.FindAllStringSubmatch(page, -1) {
		shown[html.UnescapeString(m[2])] = m[1]
	}
	for _, figure := range want.Figures() {
		if got, want := shown[figure.Name], fmt.Sprint(figure.Value); got != want && want != "NaN" {
			t.Errorf("the page shows %q for %s, expected %s", got, figure.Name, want)
		}
	}
}

// Names of files, classes, questions and schemas are text, whatever they contain, and the page asks no network for
// anything. Its identifiers are unique, and links inside it lead somewhere.
func TestPage(t *testing.T) {
	_, page := gather(t, Options{Runs: []string{get(t).run}})
	for _, bad := range []string{evil, "<i>", "<b>schema", `src="http`, `href="http`, "url(http", "@import"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %s", bad)
		}
	}
	if !strings.Contains(page, html.EscapeString(evil)) || !strings.Contains(page, "&lt;i&gt;0") {
		t.Error("the page does not show the names as they are")
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if seen[m[1]] {
			t.Errorf("two elements have the id %s", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !seen[m[1]] {
			t.Errorf("a link leads to #%s, which is not on the page", m[1])
		}
	}
	for _, section := range []string{"result", "run", "curves", "questions", "calibration", "slices", "galaxies", "data", "leaks", "metrics", "card"} {
		if !seen[section] {
			t.Errorf("there is no section %s", section)
		}
	}
	if len(page) > 3<<20 {
		t.Errorf("the page has %d bytes: expected 3 MB at most", len(page))
	}
	for _, text := range []string{"1 file", "have the same", "resnet6", "each weighted by how many volunteers were asked"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not contain %q", text)
		}
	}
}

// damageImage changes a byte of the first image of a split.
func damageImage(dir string, split data.Split) error {
	cache, err := data.Open(dir)
	if err != nil {
		return err
	}
	at := int64(cache.Indices(split)[0] * cache.Shape().Bytes())
	if err := cache.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "images.bin"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	old := make([]byte, 1)
	_, err = f.ReadAt(old, at)
	if err == nil {
		_, err = f.WriteAt([]byte{^old[0]}, at)
	}
	return errors.Join(err, f.Close())
}

// Whatever is missing or damaged is named, and the rest is shown.
func TestMissing(t *testing.T) {
	f := get(t)
	remove := func(names ...string) func(run, cache string) error {
		return func(run, _ string) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.RemoveAll(filepath.Join(run, name)))
			}
			return err
		}
	}
	truncate := func(pattern string) func(run, cache string) error {
		return func(run, _ string) (err error) {
			all, _ := filepath.Glob(filepath.Join(run, pattern))
			if len(all) == 0 {
				return fs.ErrNotExist
			}
			for _, name := range all {
				err = errors.Join(err, os.Truncate(name, 10))
			}
			return err
		}
	}
	for _, c := range []struct {
		name   string
		damage func(run, cache string) error
		want   string // a sentence
		shown  string // a section that is there all the same
		absent string // a section that is not
	}{
		{"no metrics", remove("metrics.jsonl"), "no metrics.jsonl", "questions", "curves"},
		{"no checkpoints", remove("checkpoints"), "no checkpoint yet", "data", "questions"},
		{"damaged checkpoints", truncate("checkpoints/*/variables.index"), "is damaged", "curves", "questions"},
		{"a torn metrics file", truncate("metrics.jsonl"), "", "questions", "curves"},
		{"damaged metrics", func(run, _ string) error {
			return os.WriteFile(filepath.Join(run, "metrics.jsonl"), []byte("{\"kind\":\"step\",\"step\":1,\"loss\":2}\n{]\n"), 0o644)
		}, "The curves end before the first damaged line: read metrics", "curves", "absent"},
		{"no cache", func(_, cache string) error { return os.RemoveAll(cache) }, "does not exist; if it has moved, give its folder with --data", "curves", "data"},
		{"damaged images", func(_, cache string) error {
			name := filepath.Join(cache, "images.bin")
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			return os.WriteFile(name, make([]byte, info.Size()), 0o644)
		}, "was edited or damaged", "curves", "questions"},
		{"a damaged image of the train split", func(_, cache string) error {
			return damageImage(cache, data.Train)
		}, "Damaged images are left out, and nearly equal ones were not searched for", `galaxies`, "absent"},
		{"a damaged cache", func(_, cache string) error { return os.Truncate(filepath.Join(cache, "examples.bin"), 3) }, "truncated", "curves", "data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run, cache := copyOf(t, f.run), copyOf(t, f.cache)
			if err := c.damage(run, cache); err != nil {
				t.Fatal(err)
			}
			r, page := gather(t, Options{Runs: []string{run}, Data: cache})
			if missing := strings.Join(r.AllMissing(), "\n"); !strings.Contains(missing, c.want) {
				t.Errorf("got %q, expected a sentence with %q", missing, c.want)
			}
			if missing := r.AllMissing(); strings.Count(strings.Join(missing, "\n"), "edited or damaged") > 1 {
				t.Errorf("got %q, expected one sentence about what is damaged", missing)
			}
			if !strings.Contains(page, `<section id="`+c.shown+`"`) {
				t.Errorf("there is no section %s", c.shown)
			}
			if strings.Contains(page, `<section id="`+c.absent+`"`) {
				t.Errorf("there is a section %s", c.absent)
			}
		})
	}
}

// stopAt ends a run's context after a step.
type stopAt struct {
	step int64
	stop context.CancelFunc
}

func (s stopAt) OnStep(r train.StepResult) error {
	if r.Step == s.step {
		s.stop()
	}
	return nil
}

func (stopAt) OnEvaluation(train.EvaluationResult) error { return nil }

// A run that is still training, or was stopped, has a report of what there is.
func TestStopped(t *testing.T) {
	f := get(t)
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	if err := trainRun(ctx, dir, f.cache, 12, 1, stopAt{5, cancel}); !errors.Is(err, train.ErrStopped) {
		t.Fatalf("got %v, expected a stopped run", err)
	}
	r, page := gather(t, Options{Runs: []string{dir}})
	if all := strings.Join(r.AllMissing(), " "); !strings.Contains(all, "is at step 5 of 12") || r.Finished() || r.Evaluation == nil {
		t.Errorf("got %q and evaluation %v, expected a run at step 5 that is evaluated", all, r.Evaluation != nil)
	}
	if !strings.Contains(page, "5 of them are done") {
		t.Error("the page does not say how much of the run is done")
	}
}

func TestUnreadableRun(t *testing.T) {
	f := get(t)
	for _, dir := range []string{t.TempDir(), filepath.Join(f.run, "config.json"), filepath.Join(t.TempDir(), "none")} {
		if _, err := Gather(t.Context(), Options{Runs: []string{dir}, Open: open}); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Gather(ctx, Options{Runs: []string{f.run}, Open: open}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, expected that of the context", err)
	}
}

// A run of the same configuration does not differ from the first, and one of another does.
func TestComparison(t *testing.T) {
	f := get(t)
	again := copyOf(t, f.run)
	other := filepath.Join(t.TempDir(), "other")
	if err := trainRun(t.Context(), other, f.cache, 3, 2); err != nil {
		t.Fatal(err)
	}
	r, page := gather(t, Options{Runs: []string{f.run, again, other, f.run + "/."}})
	if len(r.Others) != 3 {
		t.Fatalf("%d other runs, expected 3", len(r.Others))
	}
	if twice := r.Others[2]; twice.Evaluation != nil || len(twice.Missing) == 0 {
		t.Errorf("the same run was compared with itself: %+v", twice.Missing)
	}
	for _, d := range r.Others[0].Differences {
		if d.Interval != nil && (d.A != d.B || d.Interval[0] != 0 || d.Interval[1] != 0) {
			t.Errorf("%s differs between two copies of a run: %+v", d.Name, d)
		}
	}
	first := r.Evaluation.RMSE
	if d := r.Others[1].Differences[0]; d.Name != "rmse" || d.A != first || d.B != r.Others[1].Evaluation.RMSE || d.A == d.B {
		t.Errorf("got %+v, expected the RMSEs %v and %v", d, first, r.Others[1].Evaluation.RMSE)
	}
	for _, text := range []string{"do not differ in anything", "schedule.total_steps", "may be equal", "other: validation", "the same run was given twice"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not contain %q", text)
		}
	}
	if len(page) > 5<<20 {
		t.Errorf("the page has %d bytes: expected 5 MB at most", len(page))
	}
}
