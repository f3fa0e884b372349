package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// set assigns a scalar variable on every device.
func set(t *testing.T, tr *Trainer, name string, value float32) {
	t.Helper()
	s := op.NewScopeWithGraph(tr.replicas[0].graph).SubScope(fmt.Sprintf("set_%s_%d", strings.ReplaceAll(name, "/", "_"), int64(value))).WithDevice(session.HostDevice)
	var handles []tf.Output
	for _, r := range tr.replicas {
		handles = append(handles, r.output(network.HandleNode(name)))
	}
	if _, err := tr.sess.Run(nil, nil, assign(s, handles, tg.Const(s, value))); err != nil {
		t.Fatal(err)
	}
}

// Steps whose gradients overflow change nothing but the scale, with every
// optimizer and moving average; the others train as in float32.
func TestLossScaling(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 32)
	cfg.Devices, cfg.Average = cpus(2), .5
	cfg.Optimizer = Optimizer{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2} // and no clipping
	want := newTestTrainer(t, cfg)
	cfg.Model.Precision = network.Float16
	tr := newTestTrainer(t, cfg)
	images, labels := testBatch(cfg, 1)
	var step int64
	next := func(tr *Trainer) StepOutput {
		t.Helper()
		out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: step, LearningRate: 1e-3})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// Only two steps are compared. AdamW's first updates have the size of the learning rate,
	// whatever the size of the gradient, so gradients whose sign is decided by rounding
	// drive two correct computations apart. After the second step they differ by a third,
	// with any kernels.
	for ; step < 2; step++ {
		got, in32 := next(tr), next(want)
		if got.Skipped || got.LossScale != firstLossScale || in32.Skipped || in32.LossScale != 0 {
			t.Errorf("step %d: %+v, in float32 %+v: expected no skip, and a scale of %v in float16", step, got, in32, firstLossScale)
		}
		limit := .02
		if step > 0 {
			limit = .15
		}
		if math.Abs(got.Loss-in32.Loss) > limit*in32.Loss || math.Abs(got.GradientNorm-in32.GradientNorm) > limit*in32.GradientNorm {
			t.Errorf("step %d: loss %v, norm %v; in float32 %v, %v", step, got.Loss, got.GradientNorm, in32.Loss, in32.GradientNorm)
		}
	}

	const huge = 1 << 40
	set(t, tr, "loss_scale", huge)
	set(t, tr, "loss_scale/steps", 7)
	before := weightsOf(t, tr)
	out := next(tr)
	if !out.Skipped || out.LossScale != huge || math.IsNaN(out.Loss) {
		t.Errorf("%+v: expected a step that is skipped for its scale of %v", out, float64(huge))
	}
	before["loss_scale"], before["loss_scale/steps"] = []float32{huge / 2}, []float32{0}
	after := weightsOf(t, tr)
	for name, w := range before {
		if !slices.Equal(w, after[name]) {
			t.Errorf("%s has changed in a step that was skipped", name)
		}
	}
	replicasAgree(t, tr)

	set(t, tr, "loss_scale", 64)
	set(t, tr, "loss_scale/steps", lossScaleGrowth-1)
	before = weightsOf(t, tr)
	if out := next(tr); out.Skipped || out.LossScale != 64 {
		t.Errorf("%+v: expected a step with the scale 64", out)
	}
	after = weightsOf(t, tr)
	if s, n := after["loss_scale"][0], after["loss_scale/steps"][0]; s != 128 || n != 0 {
		t.Errorf("after %d steps without an overflow the scale is %v, %v steps old: expected 128, 0", lossScaleGrowth, s, n)
	}
	for _, name := range probes {
		if slices.Equal(before[name+liveSuffix], after[name+liveSuffix]) {
			t.Errorf("%s has not changed", name)
		}
	}
}

// A batch whose gradients are not finite leaves everything as it was.
func TestSkipNonFinite(t *testing.T) {
	t.Parallel()
	for _, o := range []Optimizer{
		{Kind: SGD, Momentum: .9, WeightDecay: 1e-2},
		{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2, ClipNorm: 1},
	} {
		t.Run(string(o.Kind), func(t *testing.T) {
			cfg := testTrainerConfig(32, 8)
			cfg.Optimizer, cfg.SkipNonFinite = o, true
			tr := newTestTrainer(t, cfg)
			trainSteps(t, tr, cfg, 0, 2)
			before := weightsOf(t, tr)
			skipStep(t, tr, cfg, 2)
			trainSteps(t, tr, cfg, 3, 4)
			for _, name := range probes {
				if slices.Equal(weightsOf(t, tr)[name], before[name]) {
					t.Errorf("%s has not changed in the step after it", name)
				}
			}
		})
	}
}

// skipStep runs a step whose gradients are not finite, so it changes nothing but the
// scale of the loss.
func skipStep(t *testing.T, tr *Trainer, cfg TrainerConfig, step int64) {
	t.Helper()
	before := weightsOf(t, tr)
	images, labels := testBatch(cfg, 9)
	labels[3] = float32(math.NaN())
	out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: step, LearningRate: .02})
	if err != nil || !out.Skipped || !math.IsNaN(out.Loss) {
		t.Errorf("%+v, %v: expected a step that is skipped", out, err)
	}
	for name, w := range weightsOf(t, tr) {
		if !slices.Equal(w, before[name]) && !strings.HasPrefix(name, "loss_scale") {
			t.Errorf("%s has changed in a step that was skipped", name)
		}
	}
}
