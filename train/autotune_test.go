package train

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/train/objective"
)

// kernelRun returns a run that is only good for chooseFilterAlgorithms.
func kernelRun(t *testing.T, notices *[]string) *run {
	t.Helper()
	r := newRun(Options{
		Config: Config{Model: network.Config{Arch: "resnet6", Size: 32, Outputs: 37, Precision: network.Float32, Mean: make([]float64, 3)}, Batch: 4},
		Notice: func(text string) { *notices = append(*notices, text) },
	})
	r.devices = []string{"/device:CPU:0"}
	var err error
	if r.objective, err = objective.New(objective.Config{Head: objective.Independent, Loss: objective.MSE}, labels.GalaxyZoo()); err != nil {
		t.Fatal(err)
	}
	return r
}

// kernelLayers is the number of layer shapes of resnet6 that have a choice of algorithms.
const kernelLayers = 3

func TestChooseKernels(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	file := filepath.Join(home, "galaxy", "kernels.json")
	var notices []string
	choose := func(began network.FilterAlgorithms) network.FilterAlgorithms {
		t.Helper()
		r := kernelRun(t, &notices)
		r.Config.FilterAlgorithms = began
		if err := r.chooseFilterAlgorithms(); err != nil {
			t.Fatal(err)
		}
		return r.Config.FilterAlgorithms
	}
	first := choose(nil)
	if len(first) != kernelLayers {
		t.Fatalf("chose %v, expected %d layers", first, kernelLayers)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The memory decides for another run: reverse all its choices.
	const layer = "float32 4x8x8x64 to 128 stride 2"
	other := map[network.FilterAlgorithm]network.FilterAlgorithm{network.ConvolutionOp: network.Im2Col, network.Im2Col: network.ConvolutionOp, network.ShiftedMatMul: network.ConvolutionOp}
	turned := network.FilterAlgorithms{}
	text := string(raw)
	for l, k := range first {
		turned[l] = other[k]
		text = strings.Replace(text, `"`+l+`": "`+string(k)+`"`, `"`+l+`": "`+string(other[k])+`"`, 1)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	if got := choose(nil); !maps.Equal(got, turned) {
		t.Errorf("chose %v, expected what is remembered, %v", got, turned)
	}
	// A run keeps its first choices, whatever is remembered, and adds choices for other
	// layers.
	began := maps.Clone(first)
	delete(began, layer)
	want := maps.Clone(first)
	want[layer] = turned[layer]
	if got := choose(began); !maps.Equal(got, want) {
		t.Errorf("chose %v, expected %v", got, want)
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != text {
		t.Errorf("the memory was written where nothing was measured: %v\n%s", err, again)
	}
	if len(notices) > 0 {
		t.Errorf("notices: %q", notices)
	}
	// Unusable entries are measured again.
	for damage, said := range map[string]int{
		"": 1, "null": 0, "{": 1, `{"x": 7}`: 0, strings.ReplaceAll(text, string(turned[layer]), "magic"): 0,
		strings.Replace(text, `{`, `{"another machine": 7,`, 1): 0,
	} {
		write(damage)
		notices = nil
		if got := choose(nil); len(got) != kernelLayers || slices.Contains(slices.Collect(maps.Values(got)), "magic") || len(notices) != said {
			t.Errorf("with the memory %q: chose %v, notices %q", damage, got, notices)
		}
	}
	// Opening a named pipe does not block either.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o666); err != nil {
		t.Fatal(err)
	}
	notices = nil
	if got := choose(nil); len(got) != kernelLayers || len(notices) != 1 || !strings.Contains(notices[0], "is a pipe") {
		t.Errorf("with a pipe: chose %v, notices %q", got, notices)
	}
}

func TestChooseKernelsWithoutMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", file)
	var notices []string
	r := kernelRun(t, &notices)
	if err := r.chooseFilterAlgorithms(); err != nil {
		t.Fatal(err)
	}
	if len(r.Config.FilterAlgorithms) != kernelLayers || len(notices) != 1 || !strings.Contains(notices[0], "measured for this run alone") {
		t.Errorf("chose %v, notices %q", r.Config.FilterAlgorithms, notices)
	}
	// The folder is not needed if there is nothing to choose.
	notices = nil
	r.Config.Model.Precision, r.Config.FilterAlgorithms = network.Float16, nil
	if err := r.chooseFilterAlgorithms(); err != nil || len(r.Config.FilterAlgorithms) > 0 || len(notices) > 0 {
		t.Errorf("float16: %v, chose %v, notices %q", err, r.Config.FilterAlgorithms, notices)
	}
}
