package graph

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/images"
	"galaxy/graph/network"
)

// spreadViews is a loss of two views that has no minimum at a point: views apart, and examples alike.
func spreadViews(s *op.Scope, first, second tf.Output) tf.Output {
	mean := func(s *op.Scope, x tf.Output) tf.Output {
		return op.Mean(s, x, tg.Const(s.SubScope("axes"), []int32{0, 1}))
	}
	apart := mean(s.SubScope("apart"), op.SquaredDifference(s.SubScope("difference"), first, second))
	centre := op.Mean(s.SubScope("centre"), first, tg.Const(s.SubScope("rows"), int32(0)), op.MeanKeepDims(true))
	spread := mean(s.SubScope("spread"), op.Square(s.SubScope("far"), op.Sub(s.SubScope("from_centre"), first, centre)))
	return op.Sub(s, apart, op.Log1p(s, spread))
}

func pairsConfig(batch int) TrainerConfig {
	cfg := testTrainerConfig(32, batch)
	cfg.Model.Projector, cfg.Model.Outputs = network.Projector{Width: 6, Layers: 3}, 6
	cfg.Pairs, cfg.Loss, cfg.Posterior = true, spreadViews, nil
	cfg.Augment = images.Augment{Rotate: 180, Flip: true, Zoom: 1.5, Color: .2}
	return cfg
}

// pairLosses runs steps without labels.
func pairLosses(t *testing.T, tr *Trainer, from, n int64) (losses []float64) {
	t.Helper()
	for i := from; i < from+n; i++ {
		pixels, _ := testBatch(tr.setup.TrainerConfig, uint64(i))
		out, err := tr.Step(StepInput{Batch: Batch{Images: pixels}, Step: i, Seed: 3, LearningRate: .01})
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, out.Loss)
	}
	return losses
}

// Each image has two views, which are a pure function of the key and the row and the same without
// augmentation.
func TestViewsOfPairs(t *testing.T) {
	t.Parallel()
	cfg := pairsConfig(4)
	tr := newTestTrainer(t, cfg)
	pixels, _ := testBatch(cfg, 5)
	predict := func(tr *Trainer, pixels []byte, key [2]int64) (first, second []float32) {
		t.Helper()
		first, second, err := tr.PredictPairs(pixels, key)
		if err != nil {
			t.Fatal(err)
		}
		return first, second
	}
	first, second := predict(tr, pixels, [2]int64{1, 2})
	if len(first) != 4*6 || len(second) != len(first) || slices.Equal(first, second) {
		t.Fatalf("views %v and %v: expected two different ones of 4 images", first, second)
	}
	if again, other := predict(tr, pixels, [2]int64{1, 2}); !slices.Equal(again, first) || !slices.Equal(other, second) {
		t.Error("the same key gives other views")
	}
	if again, _ := predict(tr, pixels, [2]int64{1, 3}); slices.Equal(again, first) {
		t.Error("another key gives the same views")
	}
	few, _ := predict(tr, pixels[:len(pixels)/2], [2]int64{1, 2})
	for i, x := range few {
		if math.Abs(float64(x-first[i])) > 1e-5*(1+math.Abs(float64(x))) {
			t.Fatalf("the first two images alone have %v, expected %v", few, first[:len(few)])
		}
	}
	if testing.Short() {
		return
	}
	if _, _, err := newTestTrainer(t, testTrainerConfig(32, 4)).PredictPairs(pixels, [2]int64{}); err == nil {
		t.Error("a trainer with labels predicts pairs")
	}
	cfg.Augment = images.Augment{}
	first, second = predict(newTestTrainer(t, cfg), pixels, [2]int64{1, 2})
	for i, x := range first {
		if math.Abs(float64(x-second[i])) > 1e-5*(1+math.Abs(float64(x))) { // a sum's order depends on the row
			t.Fatalf("without augmentation the views differ: %v and %v", first, second)
		}
	}
}

// A run without labels continues bit for bit after a restore, learns, and has the same weights on
// all devices; two devices compute what one computes in two micro-batches.
func TestTrainPairs(t *testing.T) {
	skipUnderRace(t, "it computes in one goroutine")
	cfg := pairsConfig(8)
	cfg.Devices, cfg.Average = cpus(2), .9
	tr := newTestTrainer(t, cfg)
	if !slices.ContainsFunc(tr.Variables(), func(v network.Variable) bool { return v.Name == "head/projector3/kernel" }) {
		t.Error("there is no projector")
	}
	pixels, labels := testBatch(cfg, 1)
	if err := tr.Stage(Batch{Images: pixels, Labels: labels}); err == nil || !strings.Contains(err.Error(), "labels: expected 0") {
		t.Errorf("labels are taken: %v", err)
	}
	losses := pairLosses(t, tr, 0, 4)
	if !(losses[3] < losses[0]) {
		t.Errorf("losses %v: expected a fall", losses)
	}
	replicasAgree(t, tr)
	if testing.Short() {
		return // the rest of a run is a test of package train
	}
	prefix := filepath.Join(t.TempDir(), "variables")
	if err := tr.Save(prefix); err != nil {
		t.Fatal(err)
	}
	want := pairLosses(t, tr, 4, 2)
	again := newTestTrainer(t, cfg)
	if err := again.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	if got := pairLosses(t, again, 4, 2); !slices.Equal(got, want) {
		t.Errorf("losses %v after a restore, expected %v", got, want)
	}
	cfg.Devices, cfg.Accumulate = cpus(1), 2
	alone := newTestTrainer(t, cfg)
	if gap := largestGap(pairLosses(t, alone, 0, 2), losses[:2]); !(gap < 1e-5) {
		t.Errorf("two micro-batches differ from two devices by %v", gap)
	}
}
