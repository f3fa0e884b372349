package train_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/objective"
)

// Any config.json gives a valid configuration or an error.
func FuzzReadConfig(f *testing.F) {
	whole, err := json.Marshal(train.Config{
		Cache:     train.CacheRef{Path: "cache", Checksum: "x", Crop: 212},
		Model:     network.Config{Size: 32, Outputs: labels.GalaxyZoo().Width(), Precision: network.Float32, Dropout: .2, Mean: []float64{.1, .1, .1}, Std: []float64{1, 1, 1}},
		Objective: objective.Config{Head: objective.Independent, Loss: objective.Focal, Alpha: .25, Gamma: 2},
		Sizes:     train.Sizes{{Size: 32, Until: 2}},
		Optimizer: graph.Optimizer{Kind: graph.AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: .01, ClipNorm: 1},
		Schedule:  train.Schedule{Kind: train.StepDecay, Rate: 1e-3, Warmup: 2, Total: 10, Boundaries: []float64{.5}, Factor: .1},
		Batch:     8, Seed: 3, EvalEvery: 4, CheckpointEvery: 3, LogEvery: 1, OnNonFinite: train.RollBack, Devices: "cpu:2",
	})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	read := func(t testing.TB, raw []byte) (train.Config, error) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		return train.ReadConfig(dir)
	}
	// Older versions had one network and did not name it.
	if cfg, err := read(f, whole); err != nil || cfg.Model.Arch != network.Default || strings.Contains(string(whole), `"arch"`) {
		f.Fatalf("%+v, %v", cfg.Model, err)
	}
	f.Add(whole)
	f.Add([]byte(`{"model":{"size":1e99}}`))
	f.Add([]byte(`{"schedule":{"total_steps":-1}} {}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cfg, err := read(t, raw)
		if err != nil {
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		for _, step := range []int64{0, 1, cfg.Schedule.Total - 1} {
			if rate, size := cfg.Schedule.At(step), cfg.Sizes.At(step); !(rate >= 0) || size < 0 || size > cfg.Model.Size {
				t.Errorf("%q: step %d of rate %v and size %d", raw, step, rate, size)
			}
		}
	})
}
