package train_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/objective"
)

// pretrainConfig is testConfig for a run without labels.
func pretrainConfig(cache *data.Cache, steps int64) train.Config {
	c := testConfig(cache, steps)
	c.Objective, c.Pretrain = objective.Config{}, objective.DefaultPairs()
	c.Model.Projector, c.Model.Outputs, c.Model.Dropout = network.Projector{Width: 16, Layers: 2}, 16, 0
	c.Augment = images.Augment{Rotate: 180, Flip: true, Brightness: .2}
	return c
}

// unlabelled prepares the images of a test cache without their labels.
func unlabelled(t *testing.T, cache *data.Cache) *data.Cache {
	t.Helper()
	decoder, err := images.NewDecoder(data.DefaultCrop, testSize)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	dir := filepath.Dir(cache.Dir())
	out := filepath.Join(dir, "unlabelled")
	config := data.PrepareConfig{
		Schema: labels.None(), Images: filepath.Join(dir, "images"), Out: out, Size: testSize, Crop: data.DefaultCrop, Bands: cache.Manifest().Bands, Decoder: "test",
	}
	if _, err := data.Prepare(t.Context(), config, decoder); err != nil {
		t.Fatal(err)
	}
	c, err := data.Open(out)
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

// A run without labels reads none: on a cache that has none it computes the same. It resumes bit for bit, and its
// evaluations say how far its embeddings are from a collapse.
func TestPretrain(t *testing.T) {
	cache := testCache(t, 60)
	bare := unlabelled(t, cache)
	const steps = 8
	o := train.Options{Config: pretrainConfig(bare, steps), Cache: bare, Command: []string{"galaxy", "a word"}}
	uncut := o
	uncut.Dir = filepath.Join(t.TempDir(), "run")
	var evaluations []train.EvaluationResult
	uncut.Observers = []train.Observer{hook{evaluation: func(r train.EvaluationResult) error {
		evaluations = append(evaluations, r)
		return nil
	}}}
	want, err := train.Run(t.Context(), uncut)
	if err != nil {
		t.Fatal(err)
	}
	if len(evaluations) != 2 {
		t.Fatalf("%d evaluations, expected 2", len(evaluations))
	}
	least := math.Inf(1)
	for _, r := range evaluations {
		e := r.Embedding
		if e == nil || e.Examples != bare.Manifest().Counts.Validation || !(e.Std > 0) || !(e.Rank >= 1 && e.Rank <= 16) {
			t.Fatalf("evaluation %+v: expected that of embeddings", e)
		}
		least = min(least, e.Loss)
	}
	if want.Best == nil || want.Best.Loss != least || want.Best.RMSE != 0 {
		t.Errorf("best %+v, expected the loss %v", want.Best, least)
	}
	if !testing.Short() { // TestResumeIsExact covers what is common
		resumeEquals(t, o, uncut.Dir, want, 7)
	}

	labelled := train.Options{Dir: filepath.Join(t.TempDir(), "run"), Config: pretrainConfig(cache, steps), Cache: cache}
	if _, err := train.Run(t.Context(), labelled); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bundle(t, uncut.Dir), bundle(t, labelled.Dir)) {
		t.Error("the same images with labels give other weights")
	}
	raw, err := os.ReadFile(filepath.Join(uncut.Dir, "metrics.csv"))
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(raw), "\n")
	if !strings.Contains(header, "validation_loss,validation_invariance,validation_variance,validation_covariance,embedding_std,embedding_rank") || strings.Contains(header, "rmse") {
		t.Errorf("columns %s", header)
	}

	if testing.Short() {
		return // a script of the command has the rest
	}
	// Its weights start a run with labels.
	var said []string
	next := train.Options{Dir: filepath.Join(t.TempDir(), "run"), Config: testConfig(cache, 1), Cache: cache, Notice: func(text string) { said = append(said, text) }}
	next.Config.InitFrom, next.Config.Schedule.Warmup = uncut.Dir, 0
	if _, err := train.Run(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, "\n"); !regexp.MustCompile(`loaded 30 of 32 tensors.*(?s:.*)fresh +head/kernel`).MatchString(text) {
		t.Errorf("notices %s", text)
	}
}

// An evaluation of embeddings that are not finite ends a run with the step's number.
func TestPretrainMistakes(t *testing.T) {
	cache := testCache(t, 60)
	for name, change := range map[string]func(*train.Config){
		"head beside":  func(c *train.Config) { c.Objective.Head = objective.Tree },
		"no projector": func(c *train.Config) { c.Model.Projector = network.Projector{} },
		"no views":     func(c *train.Config) { c.Augment = images.Augment{Brightness: .2} },
		"no loss":      func(c *train.Config) { c.Pretrain = objective.Pairs{} },
		"dropout":      func(c *train.Config) { c.Model.Dropout = .2 },
		"no variance":  func(c *train.Config) { c.Pretrain.Variance = 0 },
	} {
		c := pretrainConfig(cache, 1)
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	c := testConfig(unlabelled(t, cache), 1)
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "no labels: galaxy pretrain") {
		t.Errorf("labels of a cache that has none: %v", err)
	}
	o := train.Options{Dir: filepath.Join(t.TempDir(), "run"), Config: pretrainConfig(cache, 6), Cache: cache}
	o.Config.Optimizer.ClipNorm, o.Config.Schedule.Rate, o.Config.Schedule.Warmup = 0, 1e38, 0
	if _, err := train.Run(t.Context(), o); err == nil || errors.Is(err, train.ErrStopped) {
		t.Errorf("a rate of 1e38: %v", err)
	}
}
