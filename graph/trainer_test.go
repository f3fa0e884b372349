package graph

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// squaredError is a simple loss, so that this package's tests need no other
// package of the project.
func squaredError(s *op.Scope, logits, labels tf.Output) tf.Output {
	d := op.Square(s, op.Sub(s, op.Sigmoid(s, logits), labels))
	return op.Mean(s, d, tg.Const(s, []int32{0, 1}))
}

func sigmoid(s *op.Scope, logits tf.Output) tf.Output { return op.Sigmoid(s, logits) }

func testConfig(size int, p network.Precision) network.Config {
	return network.Config{Arch: small, Size: size, Outputs: 5, Precision: p, Mean: []float64{.1, .2, .3}, Std: []float64{.2, .2, .3}}
}

func testTrainerConfig(size, batch int) TrainerConfig {
	return TrainerConfig{
		Model: testConfig(size, network.Float32), Loss: squaredError, Posterior: sigmoid, Batch: batch,
		Optimizer: Optimizer{Kind: SGD, Momentum: .9, WeightDecay: 1e-4, ClipNorm: 1},
	}
}

func prepared(t testing.TB, cfg TrainerConfig) setup {
	t.Helper()
	c, err := cfg.prepare()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newTestTrainer(t testing.TB, cfg TrainerConfig) *Trainer {
	t.Helper()
	tr, err := NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := tr.Init(1); err != nil {
		t.Fatal(err)
	}
	return tr
}

// testBatch makes images whose brightness is their label, so that there is
// something to learn.
func testBatch(cfg TrainerConfig, seed uint64) (images []byte, labels []float32) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range cfg.Batch {
		y := r.Float64()
		for range cfg.Model.Shape().Bytes() {
			images = append(images, byte(math.Min(255, 200*y+50*r.Float64())))
		}
		for range cfg.Model.Outputs {
			labels = append(labels, float32(y))
		}
	}
	return images, labels
}

func TestTrainerLearnsAndRestores(t *testing.T) {
	full := inFull(t)
	for _, o := range []Optimizer{
		{Kind: SGD, Momentum: .9, WeightDecay: 1e-4, ClipNorm: 1},
		{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2},
		{Kind: Muon, Momentum: .9, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2},
	} {
		t.Run(string(o.Kind), func(t *testing.T) {
			arch := small
			if o.Kind == AdamW {
				arch = full
			}
			cfg := testTrainerConfig(32, 8)
			cfg.Optimizer, cfg.Model.Arch, cfg.Model.Dropout = o, arch, .2
			rate := map[OptimizerKind]float64{SGD: .05, AdamW: 1e-3, Muon: 1e-3}[o.Kind]
			tr := newTestTrainer(t, cfg)
			step := func(tr *Trainer, i int64) StepOutput {
				images, labels := testBatch(cfg, uint64(i))
				out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, Seed: 7, LearningRate: rate})
				if err != nil {
					t.Fatal(err)
				}
				out.Compute, out.AllReduce, out.Update = 0, 0, 0 // times differ
				return out
			}
			var first, last float64
			for i := range int64(20) {
				out := step(tr, i)
				if i < 4 {
					first += out.Loss / 4
				}
				if i >= 16 {
					last += out.Loss / 4
				}
			}
			if !(last < .7*first) {
				t.Errorf("mean loss of the first 4 steps %.4f, of the last 4 %.4f: expected a fall by 30 %%", first, last)
			}
			// A trainer restored from a save continues bit for bit.
			prefix := filepath.Join(t.TempDir(), "variables")
			if err := tr.Save(prefix); err != nil {
				t.Fatal(err)
			}
			again := newTestTrainer(t, cfg)
			if err := again.Restore(prefix); err != nil {
				t.Fatal(err)
			}
			for i := range int64(3) {
				if a, b := step(tr, 20+i), step(again, 20+i); a != b {
					t.Fatalf("step %d: %v, after a restore %v", 20+i, a, b)
				}
			}
			a, err := tr.Weights()
			if err != nil {
				t.Fatal(err)
			}
			b, err := again.Weights()
			if err != nil {
				t.Fatal(err)
			}
			for name := range a {
				if !slices.Equal(a[name], b[name]) { // cmp.Diff would take a minute over 64 million values
					t.Errorf("%s differs after a restore", name)
				}
			}
		})
	}
}

// openInference starts a network in inference mode; with weights nil its
// variables are still to be restored.
func openInference(t *testing.T, cfg network.Config, weights network.Weights) *Inference {
	t.Helper()
	g, err := NewInferenceGraph(cfg, sigmoid, weights)
	if err != nil {
		t.Fatal(err)
	}
	inf, err := g.Open(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := inf.Close(); err != nil {
			t.Error(err)
		}
	})
	return inf
}

func TestFrozenEqualsVariables(t *testing.T) {
	for _, arch := range []string{inFull(t), bottlenecks} {
		t.Run(arch, func(t *testing.T) { testFrozen(t, arch) })
	}
}

func testFrozen(t *testing.T, arch string) {
	cfg := testTrainerConfig(64, 8)
	cfg.Model.Arch = arch
	tr := newTestTrainer(t, cfg)
	for i := range int64(5) { // so that the moving averages change
		images, labels := testBatch(cfg, uint64(i))
		if _, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, LearningRate: .01}); err != nil {
			t.Fatal(err)
		}
	}
	weights, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	images, _ := testBatch(cfg, 99)
	want, _, err := tr.Predict(images)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := openInference(t, cfg.Model, weights).Predict(images)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d < 1e-4*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("logit %d: folded %v, variables %v", i, got[i], want[i])
		}
	}
}

// Restoring another network's bundle fails before training starts.
func TestRestoreRefusesAnotherNetwork(t *testing.T) {
	t.Parallel()
	other := testTrainerConfig(32, 2)
	other.Model.Outputs = 7
	prefix := filepath.Join(t.TempDir(), "variables")
	if err := newTestTrainer(t, other).Save(prefix); err != nil {
		t.Fatal(err)
	}
	tr := newTestTrainer(t, testTrainerConfig(32, 2))
	err := tr.Restore(prefix)
	if err == nil || !strings.Contains(err.Error(), prefix) || !strings.Contains(err.Error(), "in their shapes") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, expected one line that names the bundle and what was expected", err)
	}
	if err := tr.LoadModel(network.Weights{"head/bias": make([]float32, 7)}); err == nil || !strings.Contains(err.Error(), "load head/bias: 7 values: expected 5") {
		t.Errorf("got %v, expected an error about 7 values", err)
	}
}

// A snapshot keeps the values at the time it was taken, whatever steps run
// before it is saved.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	for _, o := range []Optimizer{
		{Kind: SGD, Momentum: .9, WeightDecay: 1e-2},
		{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2, ClipNorm: 1},
	} {
		t.Run(string(o.Kind), func(t *testing.T) {
			cfg := testTrainerConfig(32, 8)
			cfg.Optimizer, cfg.Average = o, .5
			tr := newTestTrainer(t, cfg)
			prefix := filepath.Join(t.TempDir(), "variables")
			if err := tr.SaveSnapshot(prefix); err == nil {
				t.Error("a snapshot was saved that nobody has taken")
			}
			var want network.Weights
			for step := range int64(3) { // the last snapshot is saved
				trainSteps(t, tr, cfg, 3*step, 3*step+3)
				want = weightsOf(t, tr)
				if err := tr.Snapshot(); err != nil {
					t.Fatal(err)
				}
			}
			saved := make(chan error)
			go func() { saved <- tr.SaveSnapshot(prefix) }()
			trainSteps(t, tr, cfg, 9, 12)
			if err := <-saved; err != nil {
				t.Fatal(err)
			}
			if slices.Equal(weightsOf(t, tr)["head/kernel"+liveSuffix], want["head/kernel"+liveSuffix]) {
				t.Fatal("three steps changed nothing")
			}
			if err := tr.Restore(prefix); err != nil {
				t.Fatal(err)
			}
			for name, w := range weightsOf(t, tr) {
				if !slices.Equal(w, want[name]) {
					t.Errorf("%s is not what it was at the snapshot", name)
				}
			}
		})
	}
}
