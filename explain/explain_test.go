package explain

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/savedmodel"
	"galaxy/train/objective"
)

const (
	size     = 32
	outputs  = 5
	channels = 128 // of the features of resnet6
	side     = 4   // of its feature maps
)

var config = network.Config{
	Arch: "resnet6", Size: size, Outputs: outputs, Precision: network.Float32,
	Mean: []float64{.1, .2, .15}, Std: []float64{.2, .1, .15},
}

func posterior(s *op.Scope, logits tf.Output) tf.Output { return op.Sigmoid(s, logits) }

// trained writes the bundle of a network with random weights, and returns its prefix and weights.
func trained(t testing.TB) (string, network.Weights) {
	t.Helper()
	tr, err := graph.NewTrainer(graph.TrainerConfig{
		Model: config, Posterior: posterior, Batch: 4, Optimizer: graph.Optimizer{Kind: graph.SGD},
		Loss: func(s *op.Scope, logits, labels tf.Output) tf.Output {
			return op.Mean(s, op.SquaredDifference(s, logits, labels), op.Const(s.SubScope("axes"), []int32{0, 1}))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	prefix := filepath.Join(t.TempDir(), "weights")
	if err := errors.Join(tr.Init(3), tr.Save(prefix)); err != nil {
		t.Fatal(err)
	}
	weights, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	return prefix, weights
}

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(4, 2))
	pixels := make([]byte, n*size*size*3)
	for i := range pixels {
		pixels[i] = byte(rng.IntN(256))
	}
	return pixels
}

func open(t testing.TB, g *graph.InferenceGraph, err error) *graph.Inference {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	inference, err := g.Open(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inference.Close() })
	return inference
}

// networks opens a network in every form: with variables, frozen, in int8, and as SavedModels, one of them
// of an older version, whose nodes have no names.
func networks(t *testing.T) (all map[string]*graph.Predictor, weights network.Weights) {
	t.Helper()
	prefix, weights := trained(t)
	variables, err := graph.NewInferenceGraph(config, posterior, nil)
	restored := open(t, variables, err)
	if err := restored.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	frozen, err := graph.NewInferenceGraph(config, posterior, weights)
	all = map[string]*graph.Predictor{"variables": restored.Network(), "frozen": open(t, frozen, err).Network()}
	dir := t.TempDir()
	for name, cfg := range map[string]savedmodel.Config{
		"saved":        {},
		"saved frozen": {Frozen: true},
		"saved int8":   {Frozen: true, Calibration: noise(4)},
	} {
		if cfg.Calibration != nil && !kernels.OneDNN() {
			continue // no other kernels for int8
		}
		cfg.Out, cfg.Checkpoint, cfg.Model, cfg.Posterior, cfg.Crop = filepath.Join(dir, name), prefix, config, posterior, imagefile.Crop(size)
		cfg.Metadata = savedmodel.Metadata{Answers: make([]string, outputs), Objective: objective.Config{Head: objective.Independent, Loss: objective.Focal}}
		if err := savedmodel.Export(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		loaded, err := savedmodel.Load(cfg.Out, savedmodel.LoadConfig{})
		if err != nil {
			t.Fatal(err)
		}
		all[name] = loaded.Network()
	}
	old := filepath.Join(dir, "saved frozen")
	rename(t, old)
	loaded, err := savedmodel.Load(old, savedmodel.LoadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	all["old"] = loaded.Network()
	return all, weights
}

// rename gives the named nodes of a SavedModel other names and removes its checksums.
func rename(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "saved_model.pb")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	model := new(pb.SavedModel)
	if err := proto.Unmarshal(raw, model); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{network.FeatureMaps: "relu", network.Features: "mean"}
	for _, n := range model.MetaGraphs[0].GraphDef.Node {
		if to := names[n.Name]; to != "" {
			n.Name = to
		}
		for i, in := range n.Input {
			if to := names[in]; to != "" {
				n.Input[i] = to
			}
		}
	}
	if raw, err = proto.Marshal(model); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, raw, 0o600), os.Remove(filepath.Join(dir, "assets.extra", "galaxy.json"))); err != nil {
		t.Fatal(err)
	}
}

// Grad-CAM of every form of a network equals its definition: with α from central differences of
// the logits, and with α from the weights of the last layer, because after a global average a gradient is
// the weight over the number of pixels (Selvaraju et al. 2017, section 3.1: Grad-CAM is CAM there).
func TestGradCAM(t *testing.T) {
	t.Parallel()
	all, weights := networks(t)
	const n = 3
	pixels := noise(n)
	selected := []int{4, 0, 2}
	for name, p := range all {
		t.Run(name, func(t *testing.T) {
			m, err := New(p)
			if name == "old" {
				if _, _, wrong := p.Predict(pixels); wrong != nil || !errors.Is(err, ErrUnrecorded) {
					t.Fatalf("a model without names: %v, %v", wrong, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			before, _, err := p.Predict(pixels)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.GradCAM(pixels, selected)
			if err != nil {
				t.Fatal(err)
			}
			features, err := m.Features(pixels)
			if err != nil || m.Channels() != channels {
				t.Fatal(err, m.Channels())
			}
			if after, _, err := p.Predict(pixels); err != nil || !slices.Equal(after, before) {
				t.Errorf("predictions changed: %v", err)
			}
			maps := featureMaps(t, p, pixels)
			for i, o := range selected {
				dense, numerical := make([]float64, channels), make([]float64, channels)
				logit := float64(weights["head/bias"][o])
				for k := range channels {
					w := float64(weights["head/kernel"][k*outputs+o])
					dense[k], numerical[k] = w/(side*side), slope(t, p, maps, i, k, o)
					logit += w * float64(features[i*channels+k])
				}
				if math.Abs(logit-float64(before[i*outputs+o])) > 1e-4*(1+math.Abs(logit)) {
					t.Errorf("image %d: the logit by the features is %v, the network's %v", i, logit, before[i*outputs+o])
				}
				near(t, "CAM", got[i], twin(maps[i*side*side*channels:], dense), 1e-5)
				near(t, "central differences", got[i], twin(maps[i*side*side*channels:], numerical), 1e-2)
			}
			again, err := New(p) // shares the nodes
			if err != nil {
				t.Fatal(err)
			}
			if one, err := again.GradCAM(pixels, selected); err != nil || !slices.Equal(one[1], got[1]) {
				t.Errorf("a second Model gives %v, the first %v (%v)", one, got, err)
			}
		})
	}
}

func featureMaps(t *testing.T, p *graph.Predictor, pixels []byte) []float32 {
	t.Helper()
	_, feeds, err := p.Feeds(pixels)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Run(feeds, []tf.Output{p.Graph.Operation(network.FeatureMaps).Output(0)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := session.Floats(got[0])
	if err != nil {
		t.Fatal(err)
	}
	return maps
}

// slope returns the mean gradient of logit o by feature map k of image i: how the logit changes if the map
// does by a constant, over its number of pixels.
func slope(t *testing.T, p *graph.Predictor, maps []float32, i, k, o int) float64 {
	t.Helper()
	const step = 0.25
	at := func(by float32) float64 {
		moved := slices.Clone(maps)
		for pixel := range side * side {
			moved[(i*side*side+pixel)*channels+k] += by
		}
		n := int64(len(maps) / (side * side * channels))
		feed, err := session.Float32Tensor(moved, n, side, side, channels)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Run(map[tf.Output]*tf.Tensor{p.Graph.Operation(network.FeatureMaps).Output(0): feed}, []tf.Output{p.Logits}, nil)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := session.Floats(got[0])
		if err != nil {
			t.Fatal(err)
		}
		return float64(logits[i*outputs+o])
	}
	return (at(step) - at(-step)) / (2 * step) / (side * side)
}

// twin is ReLU(Σ_k α_k A_k) of one image's feature maps, [side, side, channels], in float64.
func twin(maps []float32, alpha []float64) []float64 {
	out := make([]float64, side*side)
	for pixel := range out {
		for k, a := range alpha {
			out[pixel] += a * float64(maps[pixel*channels+k])
		}
		out[pixel] = max(out[pixel], 0)
	}
	return out
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	scale := slices.Max(want)
	if len(got) != len(want) || scale == 0 {
		t.Fatalf("%s: %d values, expected %d with some above 0", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Abs(float64(v)-want[i]) > tolerance*scale {
			t.Errorf("%s: value %d is %v, expected %v", what, i, v, want[i])
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	_, weights := trained(t)
	g, err := graph.NewInferenceGraph(config, posterior, weights)
	p := open(t, g, err).Network()
	m, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	pixels := noise(2)
	for want, call := range map[string]func() error{
		"bytes of images":         func() error { _, err := m.Features(pixels[1:]); return err },
		"1 outputs for 2 images":  func() error { _, err := m.GradCAM(pixels, []int{0}); return err },
		"output 5 of image 1":     func() error { _, err := m.GradCAM(pixels, []int{0, outputs}); return err },
		"output -1 of image 0":    func() error { _, err := m.GradCAM(pixels, []int{-1, 0}); return err },
		"Grad-CAM: 1 bytes of im": func() error { _, err := m.GradCAM(pixels[:1], nil); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: expected an error with %q", err, want)
		}
	}
	for name, change := range map[string]func(*graph.Predictor){
		"no logits": func(p *graph.Predictor) { p.Logits = tf.Output{} },
		"no graph":  func(p *graph.Predictor) { p.Graph = nil },
		"names of another program's nodes": func(p *graph.Predictor) {
			s := op.NewScope()
			op.Placeholder(s, tf.Float)
			p.Graph, _ = s.Finalize()
		},
	} {
		changed := graph.Predictor{Graph: p.Graph, Images: p.Images, Logits: p.Logits, Shape: p.Shape, Outputs: p.Outputs, Run: p.Run}
		change(&changed)
		if _, err := New(&changed); !errors.Is(err, ErrUnrecorded) {
			t.Errorf("%s: %v, expected ErrUnrecorded", name, err)
		}
	}
	if _, err := New(struct{ Predictor }{p}); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("not a network of TensorFlow: %v, expected ErrUnrecorded", err)
	}
}
