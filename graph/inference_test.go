package graph

import (
	"math"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"google.golang.org/protobuf/proto"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// The nodes feature_maps and features change no bit of the predictions, are what their names say, and
// exist once in every form of the inference graph.
func TestNamedLayers(t *testing.T) {
	t.Parallel()
	needInt8(t)
	cfg := testTrainerConfig(64, 4)
	tr := newTestTrainer(t, cfg)
	weights, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	pixels, _ := testBatch(cfg, 5)
	ranges, err := Calibrate(cfg.Model, weights, pixels, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	half := cfg.Model
	half.Precision = network.BFloat16
	for name, build := range map[string]func() (*InferenceGraph, error){
		"variables": func() (*InferenceGraph, error) { return NewInferenceGraph(cfg.Model, sigmoid, nil) },
		"frozen":    func() (*InferenceGraph, error) { return NewInferenceGraph(cfg.Model, sigmoid, weights) },
		"bfloat16":  func() (*InferenceGraph, error) { return NewInferenceGraph(half, sigmoid, weights) },
		"int8":      func() (*InferenceGraph, error) { return NewQuantizedGraph(cfg.Model, sigmoid, weights, ranges) },
	} {
		t.Run(name, func(t *testing.T) {
			g, err := build()
			if err != nil {
				t.Fatal(err)
			}
			without := unnamed(t, g)
			predict := func(g *InferenceGraph) (*Inference, []float32, []float32) {
				inference, err := g.Open(session.Config{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { inference.Close() })
				if name == "variables" {
					prefix := t.TempDir() + "/weights"
					if err := tr.Save(prefix); err != nil {
						t.Fatal(err)
					}
					if err := inference.Restore(prefix); err != nil {
						t.Fatal(err)
					}
				}
				logits, probabilities, err := inference.Predict(pixels)
				if err != nil {
					t.Fatal(err)
				}
				return inference, logits, probabilities
			}
			inference, logits, probabilities := predict(g)
			if _, l, p := predict(without); !slices.Equal(l, logits) || !slices.Equal(p, probabilities) {
				t.Error("predictions differ from those of a graph without the named nodes")
			}

			n, feeds, err := inference.Feeds(pixels)
			if err != nil {
				t.Fatal(err)
			}
			got, err := inference.Run(feeds, []tf.Output{g.Graph.Operation(network.FeatureMaps).Output(0), g.Graph.Operation(network.Features).Output(0)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := []int64{int64(n), 8, 8, 128}; !slices.Equal(got[0].Shape(), want) {
				t.Fatalf("feature maps have the shape %v, expected %v", got[0].Shape(), want)
			}
			maps, err1 := session.Floats(got[0])
			features, err2 := session.Floats(got[1])
			if err1 != nil || err2 != nil || len(features) != n*128 {
				t.Fatal(len(features), err1, err2)
			}
			for i, feature := range features {
				image, channel, mean := i/128, i%128, 0.0
				for p := range 64 {
					mean += float64(maps[(image*64+p)*128+channel]) / 64
				}
				if math.Abs(mean-float64(feature)) > 1e-5*(1+mean) {
					t.Fatalf("feature %d of image %d is %v, the mean of its map %v", channel, image, feature, mean)
				}
			}
		})
	}
}

// unnamed returns g without the identities of Builder.Named.
func unnamed(t *testing.T, g *InferenceGraph) *InferenceGraph {
	t.Helper()
	def, err := session.Def(g.Graph)
	if err != nil {
		t.Fatal(err)
	}
	inputs, nodes := map[string]string{}, def.Node[:0]
	for _, n := range def.Node {
		if n.Name == network.FeatureMaps || n.Name == network.Features {
			inputs[n.Name] = n.Input[0]
			continue
		}
		nodes = append(nodes, n)
	}
	if len(inputs) != 2 {
		t.Fatalf("named nodes: %v, expected two", inputs)
	}
	for _, n := range nodes {
		for i, in := range n.Input {
			if from, ok := inputs[in]; ok {
				n.Input[i] = from
			}
			if strings.HasPrefix(in, "^") && inputs[in[1:]] != "" {
				t.Errorf("%s is a control input of %s", in, n.Name)
			}
		}
	}
	def.Node = nodes
	raw, err := proto.Marshal(def)
	if err != nil {
		t.Fatal(err)
	}
	out := *g
	out.Graph = tf.NewGraph()
	if err := out.Graph.Import(raw, ""); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*tf.Output{&out.Images, &out.Logits, &out.Probabilities, &out.Prefix} {
		if x.Op != nil {
			*x = out.Graph.Operation(x.Op.Name()).Output(x.Index)
		}
	}
	if g.Restored != nil {
		out.Restored = out.Graph.Operation(g.Restored.Name())
	}
	return &out
}
