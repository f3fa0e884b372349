package graph

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// probes are variables of every kind: trained with and without decay, and batch
// norm's averages.
var probes = []string{"stem/conv/kernel", "stage2/block1/bn1/gamma", "head/bias", "stage2/block1/bn2/moving_variance", "stem/bn/moving_mean"}

func weightsOf(t *testing.T, tr *Trainer) network.Weights {
	t.Helper()
	w, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func valuesOf(tensors map[string]session.Tensor) network.Weights {
	w := network.Weights{}
	for name, tensor := range tensors {
		w[name] = tensor.Values
	}
	return w
}

func trainSteps(t *testing.T, tr *Trainer, cfg TrainerConfig, from, to int64) {
	t.Helper()
	for i := from; i < to; i++ {
		images, labels := testBatch(cfg, uint64(i))
		if _, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, Seed: 7, LearningRate: .02}); err != nil {
			t.Fatal(err)
		}
	}
}

// The model is the average of the trained weights, by the formula in float64.
func TestAverage(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 4)
	cfg.Average = .6
	tr := newTestTrainer(t, cfg)
	first := weightsOf(t, tr)
	plain := newTestTrainer(t, testTrainerConfig(32, 4))
	if want := weightsOf(t, plain); !slices.Equal(first["stem/conv/kernel"], want["stem/conv/kernel"]) {
		t.Error("the first weights depend on whether they are averaged")
	}
	want := map[string][]float64{}
	for _, name := range probes {
		if !slices.Equal(first[name], first[name+liveSuffix]) {
			t.Errorf("%s does not begin as the model's", name+liveSuffix)
		}
		want[name] = make([]float64, len(first[name]))
	}
	const steps = 3 * averageEvery
	for step := range int64(steps) {
		trainSteps(t, tr, cfg, step, step+1)
		w := weightsOf(t, tr)
		decay := min(.6, float64(step)/float64(9+step)) // .6 from step 14 on
		switch {
		case step < averageEvery:
		case step%averageEvery == averageEvery-1:
			decay = math.Pow(decay, averageEvery)
		default:
			decay = 1
		}
		for _, name := range probes {
			for i := range want[name] {
				want[name][i] = decay*want[name][i] + (1-decay)*float64(w[name+liveSuffix][i])
				if got := float64(w[name][i]); !(math.Abs(got-want[name][i]) <= 1e-5*(1+math.Abs(got))) {
					t.Fatalf("step %d: average %d of %s is %v, want %v", step, i, name, got, want[name][i])
				}
			}
		}
	}
	// Averaging does not change how the weights are trained.
	trainSteps(t, plain, cfg, 0, steps)
	if a, b := weightsOf(t, tr)["head/kernel"+liveSuffix], weightsOf(t, plain)["head/kernel"]; !slices.Equal(a, b) {
		t.Error("averaging changes what is trained")
	}

	// What a checkpoint holds under the model's names is what Predict uses.
	prefix := filepath.Join(t.TempDir(), "variables")
	if err := tr.Save(prefix); err != nil {
		t.Fatal(err)
	}
	images, _ := testBatch(cfg, 99)
	logits, _, err := tr.Predict(images)
	if err != nil {
		t.Fatal(err)
	}
	inf := openInference(t, cfg.Model, nil)
	if err := inf.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	if got, _, err := inf.Predict(images); err != nil || !slices.Equal(got, logits) {
		t.Errorf("a model of the checkpoint gives %v (%v), the trainer %v", got, err, logits)
	}

	// A restored trainer continues bit for bit; a trainer that restores only
	// the model trains from the average on.
	again := newTestTrainer(t, cfg)
	if err := again.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	trainSteps(t, tr, cfg, steps, steps+averageEvery)
	trainSteps(t, again, cfg, steps, steps+averageEvery)
	a, b := weightsOf(t, tr), weightsOf(t, again)
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s differs after a restore", name)
		}
	}
	model, err := session.ReadBundle(prefix, again.Loads)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.LoadModel(valuesOf(model)); err != nil {
		t.Fatal(err)
	}
	w := weightsOf(t, again)
	for _, name := range probes {
		if !slices.Equal(w[name], w[name+liveSuffix]) {
			t.Errorf("%s is not trained from the restored model on", name)
		}
	}
}

// A step on smaller images equals a step of a network of that size: the large
// images hold each pixel of the small ones four times.
func TestResize(t *testing.T) {
	t.Parallel()
	small, large := testTrainerConfig(32, 4), testTrainerConfig(64, 4)
	large.Resize = true
	a, b := newTestTrainer(t, small), newTestTrainer(t, large)
	pixels, labels := testBatch(small, 5)
	var twice []byte
	for n := range 4 {
		for y := range 64 {
			for x := range 64 {
				at := ((n*32+y/2)*32 + x/2) * 3
				twice = append(twice, pixels[at:at+3]...)
			}
		}
	}
	for step := range int64(3) {
		in := StepInput{Batch: Batch{Images: pixels, Labels: labels}, Step: step, LearningRate: .01}
		want, err := a.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		in.Images, in.Size = twice, 32
		got, err := b.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(got.Loss-want.Loss) <= 1e-5*want.Loss) || !(math.Abs(got.GradientNorm-want.GradientNorm) <= 1e-3*want.GradientNorm) {
			t.Errorf("step %d: %+v, of a network of that size %+v", step, got, want)
		}
	}
	x, y := weightsOf(t, a), weightsOf(t, b)
	for _, name := range probes {
		for i := range x[name] {
			if !(math.Abs(float64(x[name][i]-y[name][i])) <= 1e-4*(1+math.Abs(float64(x[name][i])))) {
				t.Fatalf("value %d of %s is %v, of a network of that size %v", i, name, y[name][i], x[name][i])
			}
		}
	}

	// At full size the trainer behaves like a trainer that cannot resize.
	c := newTestTrainer(t, testTrainerConfig(64, 4))
	b = newTestTrainer(t, large)
	in := StepInput{Batch: Batch{Images: twice, Labels: labels}, LearningRate: .01}
	want, err := c.Step(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Step(in); err != nil || !(math.Abs(got.Loss-want.Loss) <= 1e-6*want.Loss) {
		t.Errorf("on all pixels %+v (%v), without Resize %+v", got, err, want)
	}

	for _, test := range []struct {
		trainer *Trainer
		size    int
	}{{b, 7}, {b, 65}, {b, -1}, {c, 32}} {
		in.Size = test.size
		if _, err := test.trainer.Step(in); err == nil || !strings.Contains(err.Error(), "expected 8 to 64") {
			t.Errorf("size %d: got %v, want an error that says what is possible", test.size, err)
		}
	}
}

func TestValidateAverage(t *testing.T) {
	for _, decay := range []float64{-.1, 1, math.NaN()} {
		cfg := testTrainerConfig(32, 4)
		cfg.Average = decay
		if _, err := NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), "0 ≤ ema < 1") {
			t.Errorf("%v: got %v", decay, err)
		}
	}
}
