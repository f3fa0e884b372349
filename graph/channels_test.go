package graph

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// channelConfig is testTrainerConfig for images of 1 to 5 channels.
func channelConfig(channels int) TrainerConfig {
	cfg := testTrainerConfig(32, 8)
	cfg.Model.Mean, cfg.Model.Std = []float64{.3, .4, .25, .5, .35}[:channels], []float64{.2, .3, .25, .1, .3}[:channels]
	return cfg
}

func logitsOf(t *testing.T, pixels []byte) func(g *InferenceGraph, err error) []float32 {
	return func(g *InferenceGraph, err error) []float32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		inference, err := g.Open(session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer inference.Close()
		logits, _, err := inference.Predict(pixels)
		if err != nil {
			t.Fatal(err)
		}
		return logits
	}
}

// away returns the distance of got from want, as a fraction of want's size.
func away(want, got []float32) float64 {
	var distance, size float64
	for i, x := range want {
		d := float64(x - got[i])
		distance, size = distance+d*d, size+float64(x)*float64(x)
	}
	return math.Sqrt(distance / size)
}

// Images of one channel and of five are fed, held, augmented, aligned, resized and split over
// devices as those of three; constants and int8 predict what the variables do.
func TestChannels(t *testing.T) {
	t.Parallel()
	all := []int{1, 5}
	if testing.Short() {
		all = []int{5} // TestGreyIsThreeEqualChannels has one
	}
	for _, channels := range all {
		t.Run(fmt.Sprint(channels), func(t *testing.T) {
			cfg := channelConfig(channels)
			cfg.Model.Align, cfg.Devices, cfg.Resize = true, cpus(2), true
			cfg.Augment = images.Augment{Rotate: 180, Flip: true, Shift: .1, Zoom: 1.2, Brightness: .1, Contrast: .1, Color: .1}
			pixels, labels := testBatch(cfg, 4)
			train := func(cfg TrainerConfig, batch Batch) (*Trainer, []float64) {
				tr := newTestTrainer(t, cfg)
				if batch.Rows != nil {
					if err := tr.Hold(bytes.NewReader(pixels)); err != nil {
						t.Fatal(err)
					}
				}
				var losses []float64
				for i := range int64(3) {
					out, err := tr.Step(StepInput{Batch: batch, Step: i, Seed: 3, LearningRate: 1e-2, Size: 24})
					if err != nil {
						t.Fatal(err)
					}
					losses = append(losses, out.Loss)
				}
				return tr, losses
			}
			tr, want := train(cfg, Batch{Images: pixels, Labels: labels})
			held := cfg
			held.Held = cfg.Batch
			if _, got := train(held, Batch{Rows: []int64{0, 1, 2, 3, 4, 5, 6, 7}, Labels: labels}); !slices.Equal(got, want) {
				t.Errorf("losses of held images are %v, of those that are fed %v", got, want)
			}

			logits, _, err := tr.Predict(pixels)
			if err != nil {
				t.Fatal(err)
			}
			weights, err := tr.Weights()
			if err != nil {
				t.Fatal(err)
			}
			predict := logitsOf(t, pixels)
			if far := away(logits, predict(NewInferenceGraph(cfg.Model, sigmoid, weights))); !(far < 1e-4) {
				t.Errorf("with constants logits are %.2g of their size away from the trainer's", far)
			}
			if _, _, err := tr.Predict(pixels[1:]); err == nil {
				t.Error("a part of an image was predicted")
			}
			needInt8(t)
			ranges, err := Calibrate(cfg.Model, weights, pixels, session.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if far := away(logits, predict(NewQuantizedGraph(cfg.Model, sigmoid, weights, ranges))); !(far < .05) {
				t.Errorf("in int8 logits are %.2g of their size away from the trainer's", far)
			}
		})
	}
}

// A network sees three equal channels as one channel whose kernel is the sum of theirs.
func TestGreyIsThreeEqualChannels(t *testing.T) {
	t.Parallel()
	one, three := channelConfig(1), channelConfig(3)
	for i := range three.Model.Mean {
		three.Model.Mean[i], three.Model.Std[i] = one.Model.Mean[0], one.Model.Std[0]
	}
	tr := newTestTrainer(t, three)
	weights, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	const stem, filters = "stem/conv/kernel", 64
	summed := network.Weights{}
	for name, w := range weights {
		summed[name] = w
	}
	summed[stem] = nil
	for taps := range slices.Chunk(weights[stem], 3*filters) {
		for f := range filters {
			summed[stem] = append(summed[stem], taps[f]+taps[filters+f]+taps[2*filters+f])
		}
	}
	grey, _ := testBatch(one, 9)
	var rgb []byte
	for _, v := range grey {
		rgb = append(rgb, v, v, v)
	}
	want := logitsOf(t, rgb)(NewInferenceGraph(three.Model, sigmoid, weights))
	if far := away(want, logitsOf(t, grey)(NewInferenceGraph(one.Model, sigmoid, summed))); !(far < 1e-5) {
		t.Errorf("logits of one channel are %.2g of their size away from those of three equal ones", far)
	}
}

func TestChannelsRefused(t *testing.T) {
	for name, change := range map[string]func(*network.Config){
		"none":       func(c *network.Config) { c.Mean, c.Std = nil, nil },
		"nine":       func(c *network.Config) { c.Mean, c.Std = make([]float64, 9), make([]float64, 9) },
		"unequal":    func(c *network.Config) { c.Std = c.Std[1:] },
		"a 0":        func(c *network.Config) { c.Std = []float64{.1, 0, .1} },
		"not finite": func(c *network.Config) { c.Mean = []float64{.1, math.Inf(1), .1} },
	} {
		cfg := channelConfig(3).Model
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
