package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"galaxy/graph/images"
	"galaxy/graph/network"
)

// everything is an Augment with every setting on.
var everything = images.Augment{Rotate: 180, Flip: true, Shift: .1, Zoom: 1.5, Brightness: .3, Contrast: .4, Color: .2}

// Settings that are off add no node: the graph without augmentation is the
// graph with it, minus the augmentation nodes, which only the training pass
// has.
func TestAugmentOffAddsNoNode(t *testing.T) {
	nodes := func(a images.Augment) map[string]string {
		cfg := testTrainerConfig(32, 4)
		cfg.Augment = a
		r, err := buildReplica(prepared(t, cfg))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, n := range replicaNodes(t, r) {
			found[n.Name] = n.Op
		}
		return found
	}
	on, off := nodes(everything), nodes(images.Augment{Zoom: 1})
	for name, kind := range off {
		if strings.Contains(name, "augment") {
			t.Errorf("without augmentation there is a node %s", name)
		}
		if on[name] != kind {
			t.Errorf("node %s of type %s is missing with augmentation", name, kind)
		}
	}
	added := 0
	for name := range on {
		if _, ok := off[name]; !ok {
			if added++; !strings.HasPrefix(name, "train/normalise/augment/") {
				t.Errorf("augmentation adds %s: expected nodes in the training pass's normalisation only", name)
			}
		}
	}
	if added == 0 {
		t.Error("augmentation adds no node")
	}
}

func TestTrainerAugments(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	pixels, labels := testBatch(cfg, 1)
	for i := range pixels { // a ramp, so that flips and shifts show
		pixels[i] = byte(i * 8 % 251)
	}
	loss := func(tr *Trainer, seed, step int64) float64 { // rate 0: the weights stay
		out, err := tr.Step(StepInput{Batch: Batch{Images: pixels, Labels: labels}, Seed: seed, Step: step})
		if err != nil {
			t.Fatal(err)
		}
		return out.Loss
	}
	plain := newTestTrainer(t, cfg)
	want, _, err := plain.Predict(pixels)
	if err != nil {
		t.Fatal(err)
	}
	unvaried := loss(plain, 1, 0)
	variations := map[string]images.Augment{"rotate": {Rotate: 90}, "everything": everything}
	if !testing.Short() { // package images has each of them
		maps.Copy(variations, map[string]images.Augment{
			"flip": {Flip: true}, "shift": {Shift: .2}, "zoom": {Zoom: 1.5}, "brightness": {Brightness: .5}, "contrast": {Contrast: .5}, "color": {Color: .5},
		})
	}
	for name, a := range variations {
		t.Run(name, func(t *testing.T) { // closes its trainer
			cfg := cfg
			cfg.Augment = a
			tr := newTestTrainer(t, cfg)
			logits, _, err := tr.Predict(pixels)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logits, want) {
				t.Error("images are varied in evaluation too")
			}
			first := loss(tr, 1, 0)
			if first == unvaried {
				t.Error("the images of a step are not varied")
			}
			if again := loss(tr, 1, 0); again != first {
				t.Errorf("loss %v, and %v in the same step again", first, again)
			}
			if loss(tr, 1, 1) == first || loss(tr, 2, 0) == first {
				t.Error("another step or another seed varies images alike")
			}
		})
	}
}

// BenchmarkAugment alternates a training step without augmentation and one with
// all of it, and reports the ratio of their median times.
func BenchmarkAugment(b *testing.B) {
	for _, size := range []int{64, 128} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			cfg := testTrainerConfig(size, 32)
			cfg.Model.Precision = network.Auto.Resolve(false)
			plain := newTestTrainer(b, cfg)
			cfg.Augment = everything
			varied := newTestTrainer(b, cfg)
			images, labels := testBatch(cfg, 1)
			step := func(tr *Trainer, i int64) float64 {
				begin := time.Now()
				if _, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, LearningRate: 1e-3}); err != nil {
					b.Fatal(err)
				}
				return time.Since(begin).Seconds()
			}
			step(plain, 0)
			step(varied, 0)
			var without, with []float64
			for i := int64(1); b.Loop(); i++ {
				without, with = append(without, step(plain, i)), append(with, step(varied, i))
			}
			slices.Sort(without)
			slices.Sort(with)
			b.ReportMetric(with[len(with)/2]/without[len(without)/2], "with/without")
		})
	}
}
