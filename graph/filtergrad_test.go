package graph

import (
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// filterPrecisions returns this machine's precisions for which there is a choice of
// algorithms.
func filterPrecisions() []network.Precision {
	return slices.DeleteFunc([]network.Precision{network.Float32, network.BFloat16}, func(p network.Precision) bool { return p.Emulated(false) })
}

// The measured layers are exactly the layers of the graph: with another algorithm
// for all of them, no 3×3 kernel's gradient still uses the op.
func TestFilterLayersOfReplica(t *testing.T) {
	for _, p := range filterPrecisions() {
		testFilterLayersOfReplica(t, p)
	}
}

func testFilterLayersOfReplica(t *testing.T, p network.Precision) {
	for i, size := range []int{64, 70} {
		cfg := testTrainerConfig(size, 2)
		cfg.Resize, cfg.Devices, cfg.FilterAlgorithms = i > 0, []string{"/device:CPU:0"}, network.FilterAlgorithms{}
		cfg.Model.Precision = p
		cfg.Model.Arch = network.Default
		layers, err := cfg.FilterLayers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers { // of 7 shapes
			cfg.FilterAlgorithms[l.String()] = network.Im2Col
		}
		r, err := buildReplica(prepared(t, cfg))
		if err != nil {
			t.Fatal(err)
		}
		products := 0
		for _, n := range replicaNodes(t, r) {
			if n.Op == "MatMul" && strings.HasPrefix(n.Name, "filter_gradients/") {
				products++
			}
		}
		if want := 2 * 16; len(layers) != want || len(cfg.FilterAlgorithms) != 7 || products != want {
			t.Errorf("%s, %d px: %d layers of %d shapes and %d products, expected %d, 7 and %[6]d", p, size, len(layers), len(cfg.FilterAlgorithms), products, want)
		}
	}
}

func TestFilterLayers(t *testing.T) {
	cfg := testTrainerConfig(32, 4)
	cfg.Devices = []string{"/device:CPU:0"}
	for _, cfg.Model.Precision = range filterPrecisions() {
		layers, err := cfg.FilterLayers()
		if err != nil {
			t.Fatal(err)
		}
		if len(layers) == 0 {
			t.Errorf("%s: there is no layer to choose for", cfg.Model.Precision)
		}
		for _, l := range layers {
			kernel, err := l.Fastest(session.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(l.Algorithms(), kernel) {
				t.Errorf("%s: %q is none of %q", l, kernel, l.Algorithms())
			}
		}
	}
	cfg.Model.Precision = network.Float32
	for name, change := range map[string]func(*TrainerConfig){
		"float16": func(c *TrainerConfig) { c.Model.Precision = network.Float16 },
		"GPU":     func(c *TrainerConfig) { c.Devices = []string{"/device:GPU:0"} },
	} {
		other := cfg
		change(&other)
		if got, err := other.FilterLayers(); err != nil || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	const strided = "float32 4x8x8x64 to 128 stride 2"
	cfg.FilterAlgorithms = network.FilterAlgorithms{strided: network.ShiftedMatMul}
	if _, err := NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), `"nine products" is none of`) {
		t.Errorf("nine products with a stride: %v", err)
	}
}
