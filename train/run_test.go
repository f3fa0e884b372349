package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

const testSize = 32

// testCache prepares a cache of grey squares whose brightness decides the
// answer to question 1, so that a few steps show in the loss.
func testCache(t testing.TB, examples int) *data.Cache {
	t.Helper()
	return testCacheOf(t, labels.GalaxyZoo(), examples, func(y float64) map[string]float64 {
		// All volunteers say either smooth, in between and nothing odd, or star.
		return map[string]float64{"Class1.1": y, "Class1.3": 1 - y, "Class7.2": y, "Class6.2": 1}
	})
}

// testCacheOf is testCache with labels of a schema, from the brightness, 0 to 1.
func testCacheOf(t testing.TB, schema *labels.Schema, examples int, votes func(brightness float64) map[string]float64) *data.Cache {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "images")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var rows strings.Builder
	rows.WriteString("GalaxyID," + strings.Join(schema.Columns(), ",") + "\n")
	for id := range examples {
		y := r.Float64()
		writeGrey(t, folder, 100001+id, y)
		fmt.Fprintf(&rows, "%d", 100001+id)
		row := votes(y)
		for _, c := range schema.Columns() {
			fmt.Fprintf(&rows, ",%.6f", row[c])
		}
		rows.WriteString("\n")
	}
	table := filepath.Join(dir, "labels.csv")
	if err := os.WriteFile(table, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	decoder, err := images.NewDecoder(data.DefaultCrop, testSize)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	out := filepath.Join(dir, "cache")
	if _, err := data.Prepare(t.Context(), data.PrepareConfig{Schema: schema, Labels: table, Images: folder, Out: out, Size: testSize, Decoder: "test"}, decoder); err != nil {
		t.Fatal(err)
	}
	cache, err := data.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	return cache
}

// writeGrey writes the image of a galaxy, a grey square.
func writeGrey(t testing.TB, folder string, id int, brightness float64) {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, data.ImageSide, data.ImageSide))
	draw.Draw(picture, picture.Rect, image.NewUniform(color.Gray{uint8(250 * brightness)}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.jpg", id)), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func testConfig(cache *data.Cache, steps int64) train.Config {
	m := cache.Manifest()
	return train.Config{
		Cache: train.CacheRef{Path: cache.Dir(), Checksum: m.Checksum, Crop: m.Crop, Schema: m.Schema},
		Model: network.Config{
			Arch: "resnet6", Size: m.Size, Outputs: m.Schema.Width(), Precision: network.Float32, Dropout: .2, Mean: m.ChannelMean, Std: m.ChannelStd,
		},
		Objective: objective.Config{Head: objective.Independent, Loss: objective.Focal, Alpha: .25, Gamma: 2},
		Optimizer: graph.Optimizer{Kind: graph.AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: .01, ClipNorm: 1},
		Schedule:  train.Schedule{Kind: train.Cosine, Rate: 1e-3, Warmup: 2, Total: steps},
		Batch:     8, Seed: 3, EvalEvery: 4, CheckpointEvery: 3, LogEvery: 1,
	}
}

// hook is an observer made of functions.
type hook struct {
	step       func(train.StepResult) error
	evaluation func(train.EvaluationResult) error
}

func (h hook) OnStep(r train.StepResult) error {
	if h.step == nil {
		return nil
	}
	return h.step(r)
}

func (h hook) OnEvaluation(r train.EvaluationResult) error {
	if h.evaluation == nil {
		return nil
	}
	return h.evaluation(r)
}

// timeless returns metrics without the values that depend on the clock.
func timeless(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`"(images_per_second|[a-z_]+_seconds|time)":[^,}]*`).ReplaceAllString(string(raw), "")
}

// bundle returns the bytes of the variables of a run's latest checkpoint.
func bundle(t *testing.T, run string) []byte {
	t.Helper()
	name, err := os.ReadFile(filepath.Join(run, "checkpoints", "LATEST"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(run, "checkpoints", strings.TrimSpace(string(name)), "variables.data-00000-of-00001"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wantHistory compares the entries of a run's history, of which each is its kind and the steps, and checks who wrote them.
func wantHistory(t *testing.T, run string, want ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(run, train.HistoryName))
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	var got []string
	for line := range bytes.Lines(raw) {
		var e train.HistoryEntry
		if err := json.Unmarshal(line, &e); err != nil {
			got = append(got, strings.TrimSpace(string(line)))
			continue
		}
		switch e.Kind {
		case train.Started:
			got = append(got, fmt.Sprint("start ", e.Step))
			if e.Host != host || e.Machine == "" || !slices.Equal(e.Command, []string{"galaxy", "a word"}) || time.Since(e.Time) > time.Hour {
				t.Errorf("%s: expected the host, the machine, the command and the time of now", line)
			}
		case train.RolledBack:
			got = append(got, fmt.Sprint("rollback ", e.From, " ", e.Step))
			if e.Reason == "" {
				t.Errorf("%s: no reason", line)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the history is %q, expected %q", got, want)
	}
}

// resumeEquals stops a run after a step, resumes it, and compares it with an
// uninterrupted run.
func resumeEquals(t *testing.T, o train.Options, uncut string, want train.Summary, after int64) {
	stopped := o
	stopped.Dir = filepath.Join(t.TempDir(), "run")
	ctx, stop := context.WithCancel(t.Context())
	stopped.Observers = []train.Observer{hook{step: func(r train.StepResult) error {
		if r.Step == after {
			stop()
		}
		return nil
	}}}
	if _, err := train.Run(ctx, stopped); !errors.Is(err, train.ErrStopped) {
		t.Fatalf("got %v, expected ErrStopped", err)
	}
	// Lines that a crash left after the checkpoint must not appear twice.
	jsonl := filepath.Join(stopped.Dir, "metrics.jsonl")
	f, err := os.OpenFile(jsonl, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"kind":"step","ste`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	resumed := stopped
	resumed.Resume = true
	resumed.Config.HoldOnDevice = true // computes the same
	var first int64
	resumed.Started = func(step int64) { first = step + 1 }
	var seen []int64
	resumed.Observers = []train.Observer{hook{step: func(r train.StepResult) error {
		seen = append(seen, r.Step)
		return nil
	}}}
	got, err := train.Run(t.Context(), resumed)
	if err != nil {
		t.Fatal(err)
	}
	wantHistory(t, stopped.Dir, "start 0", fmt.Sprint("start ", first-1))
	if first != seen[0] || first < 6 || seen[len(seen)-1] != want.Step {
		t.Errorf("resumed at step %d, steps %v: expected to go on where the run was stopped", first, seen)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("summary (-uncut +resumed):\n%s", d)
	}
	if d := cmp.Diff(timeless(t, filepath.Join(uncut, "metrics.jsonl")), timeless(t, jsonl)); d != "" {
		t.Errorf("metrics (-uncut +resumed):\n%s", d)
	}
	if !bytes.Equal(bundle(t, uncut), bundle(t, stopped.Dir)) {
		t.Error("the last checkpoint's variables differ from the uncut run's")
	}
}

func TestResumeIsExact(t *testing.T) {
	cache := testCache(t, 60)
	const steps = 10
	o := train.Options{Config: testConfig(cache, steps), Cache: cache, Command: []string{"galaxy", "a word"}}
	o.Config.Plateau, o.Config.PlateauFactor = 1, .9
	uncut := o
	uncut.Dir = filepath.Join(t.TempDir(), "run")
	want, err := train.Run(t.Context(), uncut)
	if err != nil {
		t.Fatal(err)
	}
	if want.Step != steps || want.Best == nil {
		t.Fatalf("summary %+v: expected %d steps and a best evaluation", want, steps)
	}

	for name, after := range map[string]int64{
		"between checkpoints":  5,
		"during an evaluation": 8, // an evaluation is due next, and ctx has ended
	} {
		t.Run(name, func(t *testing.T) { resumeEquals(t, o, uncut.Dir, want, after) })
	}
	t.Run("bfloat16", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short: it is as in float32, but for the choice of algorithms, which TestChooseKernels has")
		}
		t.Setenv("XDG_CACHE_HOME", t.TempDir()) // the stored filter algorithms are there
		o := o
		o.Config.Model.Precision = network.BFloat16
		uncut := o
		uncut.Dir = filepath.Join(t.TempDir(), "run")
		want, err := train.Run(t.Context(), uncut)
		if err != nil {
			t.Fatal(err)
		}
		resumeEquals(t, o, uncut.Dir, want, 5)
	})

	t.Run("finished", func(t *testing.T) {
		again := uncut
		again.Resume = true
		again.Observers = []train.Observer{hook{step: func(r train.StepResult) error { return fmt.Errorf("step %d", r.Step) }}}
		if got, err := train.Run(t.Context(), again); err != nil || !cmp.Equal(got, want) {
			t.Errorf("resume of a finished run: %+v, %v; expected %+v and no step", got, err, want)
		}
		wantHistory(t, uncut.Dir, "start 0")
	})
	t.Run("changed", func(t *testing.T) {
		again := uncut
		again.Resume = true
		again.Config.Optimizer.WeightDecay = .5
		again.Config.Threads = 1 // may change
		_, err := train.Run(t.Context(), again)
		if err == nil || !strings.Contains(err.Error(), "optimizer.weight_decay 0.5, where the run has 0.01") || strings.Contains(err.Error(), "threads 1") {
			t.Errorf("got %v, expected a refusal that names the weight decay only", err)
		}
	})
	t.Run("exists", func(t *testing.T) {
		if _, err := train.Run(t.Context(), uncut); err == nil || !strings.Contains(err.Error(), "go on with it by resume") {
			t.Errorf("got %v, expected a refusal to write into a run that exists", err)
		}
	})
	t.Run("best lost in a crash", func(t *testing.T) {
		// Between writing a checkpoint and marking it, BEST still names the previous one.
		checkpoints := filepath.Join(uncut.Dir, "checkpoints")
		if err := os.Remove(filepath.Join(checkpoints, "BEST")); err != nil {
			t.Fatal(err)
		}
		again := uncut
		again.Resume = true
		if _, err := train.Run(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		best, err := os.ReadFile(filepath.Join(checkpoints, "BEST"))
		if want := fmt.Sprintf("step-%08d\n", want.Best.Step); err != nil || (want == "step-00000010\n" && string(best) != want) {
			t.Errorf("BEST holds %q, %v: expected %q", best, err, want)
		}
	})
	t.Run("config.json edited", func(t *testing.T) {
		cfg, err := train.ReadConfig(uncut.Dir)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Objective.Alpha = .75
		if err := train.WithBest(uncut.Dir, cfg, func(*checkpoint.Checkpoint) error { return nil }); err == nil || !strings.Contains(err.Error(), "objective.alpha 0.75") {
			t.Errorf("got %v, expected an error about the edited alpha", err)
		}
	})
	t.Run("frozen, with rates by depth", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short: package graph tests that such a trainer restores what it saves")
		}
		o := o
		o.Config.InitFrom, o.Config.Freeze, o.Config.Optimizer.LayerDecay, o.Config.EMA = uncut.Dir, "1", .5, .5
		uncut := o
		uncut.Dir = filepath.Join(t.TempDir(), "run")
		want, err := train.Run(t.Context(), uncut)
		if err != nil {
			t.Fatal(err)
		}
		resumeEquals(t, o, uncut.Dir, want, 5)
	})
	t.Run("head on held features", func(t *testing.T) {
		o := o
		o.Config.InitFrom, o.Config.Freeze, o.Config.HoldFeatures = uncut.Dir, "all", true
		uncut := o
		uncut.Dir = filepath.Join(t.TempDir(), "run")
		want, err := train.Run(t.Context(), uncut)
		if err != nil {
			t.Fatal(err)
		}
		resumeEquals(t, o, uncut.Dir, want, 5)
	})
	t.Run("two at once", func(t *testing.T) {
		first := o
		first.Dir = filepath.Join(t.TempDir(), "run")
		var second error
		first.Observers = []train.Observer{hook{step: func(r train.StepResult) error {
			if r.Step == 1 {
				other := first
				other.Resume, other.Observers = true, nil
				_, second = train.Run(t.Context(), other)
			}
			return nil
		}}}
		if _, err := train.Run(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if second == nil || !strings.Contains(second.Error(), "another galaxy works on") {
			t.Errorf("the second run got %v, expected to be told of the first", second)
		}
	})
	t.Run("first weights from another run", func(t *testing.T) {
		next := o
		next.Dir = filepath.Join(t.TempDir(), "next")
		next.Config.InitFrom = uncut.Dir
		next.Config.Schedule = train.Schedule{Kind: train.Constant, Rate: 1e-12, Total: 1}
		var loss float64
		next.Observers = []train.Observer{hook{evaluation: func(r train.EvaluationResult) error {
			loss = r.Scores.RMSE
			return nil
		}}}
		if _, err := train.Run(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		// One step with almost no learning rate changes only the averages.
		if d := loss - want.Best.RMSE; !(d > -.1 && d < .1) {
			t.Errorf("RMSE %v, expected about the %v of the run it began from", loss, want.Best.RMSE)
		}
	})
}

// Evaluations that do not improve lower the rate and then end the run.
func TestPlateauAndPatience(t *testing.T) {
	cache := testCache(t, 60)
	o := train.Options{Config: testConfig(cache, 60), Cache: cache, Dir: filepath.Join(t.TempDir(), "run")}
	o.Config.EvalEvery, o.Config.CheckpointEvery = 1, 0
	o.Config.Schedule = train.Schedule{Kind: train.Constant, Rate: .05, Total: 60}
	o.Config.Plateau, o.Config.PlateauFactor, o.Config.Patience = 2, .5, 5
	rate, worse, step := .05, int64(0), int64(0)
	o.Observers = []train.Observer{hook{
		step: func(r train.StepResult) error {
			if step = r.Step; worse >= o.Config.Patience || r.LearningRate != rate {
				return fmt.Errorf("step %d of rate %v after %d evaluations that were no better: expected the rate %v, or none", r.Step, r.LearningRate, worse, rate)
			}
			return nil
		},
		evaluation: func(r train.EvaluationResult) error {
			if worse++; r.Best {
				worse = 0
			}
			if worse > 0 && worse%2 == 0 {
				rate *= .5
			}
			return nil
		},
	}}
	got, err := train.Run(t.Context(), o)
	if err != nil || !got.Early || got.Step != step || worse != o.Config.Patience || got.Best == nil || got.Best.Step != step-worse {
		t.Fatalf("%+v, %v after step %d, %d evaluations no better than the best: expected an early end after %d", got, err, step, worse, o.Config.Patience)
	}
	o.Resume = true
	if again, err := train.Run(t.Context(), o); err != nil || !cmp.Equal(again, got) {
		t.Errorf("resumed: %+v, %v, expected %+v and no step", again, err, got)
	}
	// More patience continues the run.
	o.Config.Patience += 3
	if more, err := train.Run(t.Context(), o); err != nil || more.Step <= got.Step {
		t.Errorf("with more patience: %+v, %v, expected more steps than %d", more, err, got.Step)
	}
}

// A checkpoint that cannot be written, while steps run, ends the run.
func TestFailedSaveEndsTheRun(t *testing.T) {
	cache := testCache(t, 60)
	o := train.Options{Config: testConfig(cache, 1000), Cache: cache, Dir: filepath.Join(t.TempDir(), "run")}
	o.Config.EvalEvery, o.Config.CheckpointEvery = 0, 2
	var last int64
	o.Observers = []train.Observer{hook{step: func(r train.StepResult) error {
		if last = r.Step; last == 3 {
			checkpoints := filepath.Join(o.Dir, "checkpoints")
			return errors.Join(os.Rename(checkpoints, checkpoints+" before"), os.WriteFile(checkpoints, nil, 0o666))
		}
		return nil
	}}}
	_, err := train.Run(t.Context(), o)
	// The checkpoint of step 2 may exist and not yet be marked.
	if err == nil || !regexp.MustCompile("save checkpoint|the checkpoint of LATEST").MatchString(err.Error()) || last > 6 {
		t.Errorf("got %v after step %d, expected the error of the checkpoint of step 4, or of step 2, soon", err, last)
	}
}

func TestNonFiniteLossNamesTheStep(t *testing.T) {
	cache := testCache(t, 40)
	o := train.Options{
		Dir: filepath.Join(t.TempDir(), "run"), Config: testConfig(cache, 20), Cache: cache,
	}
	o.Config.Schedule = train.Schedule{Kind: train.Constant, Rate: 1e25, Total: 20}
	o.Config.Optimizer = graph.Optimizer{Kind: graph.SGD}
	o.Config.CheckpointEvery, o.Config.EvalEvery = 1, 0
	_, err := train.Run(t.Context(), o)
	if err == nil || !regexp.MustCompile(`step [2-9]: the (loss|gradient norm) is .*GalaxyIDs.*schedule.rate`).MatchString(err.Error()) {
		t.Fatalf("got %v, expected an error that names the step, the galaxies and what to try", err)
	}
	wantJSON(t, o.Dir)

	// Skipping updates helps only if the weights are not at fault.
	o.Dir, o.Config.OnNonFinite = filepath.Join(t.TempDir(), "skipping"), train.SkipUpdate
	o.Config.Schedule.Total, o.Config.CheckpointEvery = 100, 0
	var notices []string
	o.Notice = func(text string) { notices = append(notices, text) }
	_, err = train.Run(t.Context(), o)
	if err == nil || !regexp.MustCompile(`step 2[1-8]: the (loss|gradient norm) is .*GalaxyIDs.*schedule.rate`).MatchString(err.Error()) {
		t.Fatalf("got %v, expected the error after 20 steps in a row", err)
	}
	if len(notices) != 19 || !regexp.MustCompile(`step [2-9]: the .* is .* .learning rate 1e\+25, GalaxyIDs .*: the update was left out`).MatchString(notices[0]) {
		t.Errorf("%d notices, the first %q", len(notices), notices)
	}
	wantJSON(t, o.Dir)
}

func wantJSON(t *testing.T, run string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("metrics line %q is not JSON", line)
		}
	}
}

// An evaluation may be the first to find non-finite weights.
func TestNonFiniteEvaluationNamesTheStep(t *testing.T) {
	cache := testCache(t, 40)
	o := train.Options{
		Dir: filepath.Join(t.TempDir(), "run"), Config: testConfig(cache, 1), Cache: cache,
	}
	o.Config.Schedule = train.Schedule{Kind: train.Constant, Rate: 1e30, Total: 1}
	o.Config.Optimizer = graph.Optimizer{Kind: graph.SGD}
	if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "after step 1 (learning rate 1e+30)") {
		t.Errorf("got %v, expected an error that names the step and the rate", err)
	}
}

// A run whose weights are not finite rolls back and continues with other batches, and
// so does a run that is interrupted after that.
func TestRollBack(t *testing.T) {
	cache := testCache(t, 60)
	o := train.Options{Config: testConfig(cache, 10), Cache: cache, Command: []string{"galaxy", "a word"}}
	o.Config.OnNonFinite = train.RollBack
	var wrong network.Weights
	poison := func() error {
		ours, err := objective.New(o.Config.Objective, o.Config.Schema())
		if err != nil {
			return err
		}
		tr, err := graph.NewTrainer(graph.TrainerConfig{
			Model: o.Config.Model, Loss: ours.Loss, Posterior: ours.Posterior, Optimizer: graph.Optimizer{Kind: graph.SGD}, Batch: 2,
		})
		if err != nil {
			return err
		}
		defer tr.Close()
		if err := tr.Init(1); err != nil {
			return err
		}
		b := graph.Batch{Images: make([]byte, 2*3*testSize*testSize), Labels: make([]float32, 2*labels.GalaxyZoo().Width())}
		b.Labels[0] = float32(math.NaN())
		if _, err := tr.Step(graph.StepInput{Batch: b, LearningRate: 1}); err != nil {
			return err
		}
		wrong, err = tr.Weights()
		return err
	}
	if err := poison(); err != nil {
		t.Fatal(err)
	}

	run := func(dir string, stopAfter int64, at ...int64) (steps []int64, ids [][]data.ID, notices []string, got train.Summary, err error) {
		o := o
		o.Dir, o.Resume, o.Observers = dir, true, []train.Observer{newLearningRates()}
		o.Notice = func(text string) { notices = append(notices, text) }
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		got, err = train.RunWith(ctx, o, func(tr *graph.Trainer, r train.StepResult) error {
			steps, ids = append(steps, r.Step), append(ids, slices.Clone(r.IDs))
			if len(notices) > 0 && r.Step == stopAfter {
				stop()
			}
			if len(at) > 0 && r.Step == at[0] {
				at = at[1:]
				return tr.LoadModel(wrong)
			}
			return nil
		})
		return steps, ids, notices, got, err
	}

	// There are checkpoints after steps 3, 6 and 9, and after the best evaluations, 4 and
	// 8.
	dir := filepath.Join(t.TempDir(), "run")
	steps, ids, notices, got, err := run(dir, 0, 7)
	if err != nil || got.Step != 10 {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := []int64{1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10}; !slices.Equal(steps, want) {
		t.Errorf("the steps were %v, expected %v", steps, want)
	}
	if len(notices) != 1 || !regexp.MustCompile(`^step 8: the (loss|gradient norm) is .*GalaxyIDs.*; going back to step 6, and on with other galaxies .1 of at most 5 times.$`).MatchString(notices[0]) {
		t.Errorf("notices %q", notices)
	}
	if slices.Equal(ids[6], ids[7]) {
		t.Errorf("step 7 was made twice with the galaxies %v", ids[6])
	}
	// A run interrupted after a rollback ends the same.
	cut := filepath.Join(t.TempDir(), "cut")
	if _, _, _, _, err := run(cut, 8, 7); !errors.Is(err, train.ErrStopped) {
		t.Fatal(err)
	}
	history := filepath.Join(cut, train.HistoryName)
	before, err := os.ReadFile(history)
	if err == nil { // a power cut
		err = os.WriteFile(history, append(before, `{"kind":"sta`...), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	if steps, _, _, _, err := run(cut, 0); err != nil || !slices.Equal(steps, []int64{9, 10}) {
		t.Fatalf("resumed: steps %v, %v", steps, err)
	}
	if d := cmp.Diff(timeless(t, filepath.Join(dir, "metrics.jsonl")), timeless(t, filepath.Join(cut, "metrics.jsonl"))); d != "" {
		t.Errorf("metrics (-uncut +resumed):\n%s", d)
	}
	if !bytes.Equal(bundle(t, dir), bundle(t, cut)) {
		t.Error("the last checkpoint's variables differ from the uncut run's")
	}
	wantHistory(t, dir, "start 0", "rollback 8 6")
	wantHistory(t, cut, "start 0", "rollback 8 6", `{"kind":"sta`, "start 8")
	for _, run := range []string{dir, cut} {
		wantRates(t, run, o, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	}

	// The second time it rolls back to the best.
	_, _, notices, _, err = run(filepath.Join(t.TempDir(), "again"), 0, 7, 7)
	if err != nil || len(notices) != 2 || !strings.Contains(notices[1], "going back to step 4, ") {
		t.Errorf("got %v, notices %q, expected the second to go back to step 4", err, notices)
	}
	// An evaluation finds the non-finite weights first.
	steps, _, notices, _, err = run(filepath.Join(t.TempDir(), "evaluation"), 0, 4)
	if err != nil || len(notices) != 1 || !strings.Contains(notices[0], "is NaN: not finite; going back to step 3, ") {
		t.Errorf("got %v after the steps %v, notices %q", err, steps, notices)
	}

	// The run gives up if nothing helps.
	o.Config.Schedule = train.Schedule{Kind: train.Constant, Rate: 1e25, Total: 20}
	o.Config.Optimizer, o.Config.EvalEvery = graph.Optimizer{Kind: graph.SGD}, 0
	_, _, notices, _, err = run(filepath.Join(t.TempDir(), "bad"), 0)
	if err == nil || !strings.Contains(err.Error(), "after the run has gone back 5 times; begin a new run with a lower schedule.rate") || len(notices) != 5 || !strings.Contains(notices[0], "going back to step 0, ") {
		t.Errorf("got %v, notices %q", err, notices)
	}
}

// A rejected run leaves nothing behind that would prevent another try.
func TestRefusedRunLeavesNothing(t *testing.T) {
	cache, small := testCache(t, 40), testCache(t, 8)
	if n := small.Manifest().Counts.Validation; n != 0 {
		t.Fatalf("%d validation examples of 8, the test needs a cache with none", n)
	}
	for _, c := range []struct {
		name   string
		change func(*train.Options)
		want   string
	}{
		{"first weights that are not there", func(o *train.Options) { o.Config.InitFrom = "nowhere" }, "take first weights"},
		{"frozen random weights", func(o *train.Options) { o.Config.Freeze = "stem" }, "freeze stem: expected none without init_from"},
		{"more frozen blocks than there are", func(o *train.Options) { o.Config.Freeze = "3" }, "expected none, stem, 1 to 2 blocks (of resnet6), or all"},
		{"rates by depth of a head alone", func(o *train.Options) {
			o.Config.InitFrom, o.Config.Freeze, o.Config.Optimizer.LayerDecay = "run", "all", .5
		}, "optimizer.layer_decay 0.5: expected none beside freeze all"},
		{"features of trained blocks", func(o *train.Options) {
			o.Config.InitFrom, o.Config.Freeze, o.Config.HoldFeatures = "run", "1", true
		}, "only with freeze all"},
		{"features of augmented images", func(o *train.Options) {
			o.Config.InitFrom, o.Config.Freeze, o.Config.HoldFeatures, o.Config.Augment.Flip = "run", "all", true, true
		}, "hold_features features: expected host or device: features are the same in every step only without augment.flip true"},
		{"batch too large", func(o *train.Options) { o.Config.Batch = 500 }, "500"},
		{"no validation split", func(o *train.Options) { o.Cache, o.Config = small, testConfig(small, 4) }, "the validation split of"},
		{"another cache", func(o *train.Options) { o.Config.Cache.Checksum = "0" }, "was configured for 0"},
		{"no steps", func(o *train.Options) { o.Config.Schedule.Total = 0 }, "steps 0"},
		{"two observers with one file", func(o *train.Options) { o.Observers = []train.Observer{newLearningRates(), newLearningRates()} }, "lr.csv, which the run has already"},
		{"a file of the run's own", func(o *train.Options) {
			o.Observers = []train.Observer{learningRates{&train.TextFile{Name: "metrics.csv"}}}
		}, "metrics.csv, which the run has already"},
		{"a file elsewhere", func(o *train.Options) {
			o.Observers = []train.Observer{learningRates{&train.TextFile{Name: "../lr.csv"}}}
		}, `"../lr.csv": expected a name without a folder`},
	} {
		o := train.Options{Dir: filepath.Join(t.TempDir(), "run"), Config: testConfig(cache, 4), Cache: cache}
		c.change(&o)
		if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected an error about %q", c.name, err, c.want)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s: the run folder was made", c.name)
		}
	}
}

func TestMetricsFilesAgree(t *testing.T) {
	cache := testCache(t, 40)
	o := train.Options{Dir: filepath.Join(t.TempDir(), "run"), Config: testConfig(cache, 4), Cache: cache}
	o.Config.LogEvery = 3
	if _, err := train.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(o.Dir, "metrics.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(raw)), "\n")
	var kinds []string
	for _, row := range rows {
		kinds = append(kinds, strings.Join(strings.SplitN(row, ",", 3)[:2], " "))
	}
	// Every third step and the last.
	if want := []string{"kind step", "step 3", "step 4", "evaluation 4"}; !slices.Equal(kinds, want) {
		t.Errorf("rows of metrics.csv: %q, expected %q", kinds, want)
	}
	got, err := train.ReadConfig(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if o.Config.Machine = got.Machine; !strings.Contains(got.Machine, "threads") {
		t.Errorf("config.json tells of the machine %q", got.Machine)
	}
	if o.Config.FilterAlgorithms = got.FilterAlgorithms; len(got.FilterAlgorithms) == 0 {
		t.Error("config.json tells of no kernels for the gradients of kernels")
	}
	if d := cmp.Diff(o.Config, got); d != "" {
		t.Errorf("config.json (-given +read):\n%s", d)
	}
}
