package savedmodel_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/savedmodel"
)

// Models of one channel and of five predict, when loaded, what the network does that was exported;
// one of grey also serves JPEGs, which it sees in grey.
func TestBands(t *testing.T) {
	for _, bands := range []imagefile.Bands{imagefile.Grey, {"u", "g", "r", "i", "z"}} {
		t.Run(bands.String(), func(t *testing.T) {
			channels := bands.Channels()
			cfg := exportConfig(t, filepath.Join(t.TempDir(), "model"))
			cfg.Model.Arch, cfg.Model.Precision = "resnet6", network.Float32
			cfg.Model.Mean, cfg.Model.Std = []float64{.1, .2, .3, .2, .1}[:channels], []float64{.2, .1, .3, .2, .4}[:channels]
			cfg.Metadata.Bands, cfg.Checkpoint = bands, filepath.Join(t.TempDir(), "weights")
			trainer, err := graph.NewTrainer(graph.TrainerConfig{
				Model: cfg.Model, Loss: params.Loss, Posterior: params.Posterior, Optimizer: graph.Optimizer{Kind: graph.SGD}, Batch: 2,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			if err := trainer.Init(1); err != nil {
				t.Fatal(err)
			}
			if err := trainer.Save(cfg.Checkpoint); err != nil {
				t.Fatal(err)
			}
			if err := savedmodel.Export(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			m, err := savedmodel.Load(cfg.Out, savedmodel.LoadConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Shape != cfg.Model.Shape() || !m.Metadata().Bands.Equal(bands) {
				t.Errorf("images of %v, bands %v; want %v, %v", m.Shape, m.Metadata().Bands, cfg.Model.Shape(), bands)
			}
			pixels := make([]byte, 3*m.Shape.Bytes())
			r := rand.New(rand.NewPCG(1, 2))
			for i := range pixels {
				pixels[i] = byte(r.IntN(256))
			}
			want, _, err := trainer.Predict(pixels)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := m.Predict(pixels); err != nil || gap(t, got, want) > 1e-5 {
				t.Errorf("%v; logits are %v, want %v", err, got, want)
			}

			if !bands.Picture() {
				_, err := savedmodel.Load(cfg.Out, savedmodel.LoadConfig{Signature: savedmodel.SignatureJPEGs})
				if err == nil || !strings.Contains(err.Error(), "no signature serving_jpeg, only serving_default") {
					t.Errorf("a model of %v serves JPEGs: %v", bands, err)
				}
				return
			}
			encoded, _ := photos(t, 1)
			file, err := imagefile.Open([]byte(encoded[0]))
			if err != nil {
				t.Fatal(err)
			}
			decoder, err := images.NewDecoder(crop, size)
			if err != nil {
				t.Fatal(err)
			}
			defer decoder.Close()
			photo := make([]byte, m.Shape.Bytes())
			if err := decoder.Decode(photo, file); err != nil {
				t.Fatal(err)
			}
			feed, err := tf.NewTensor(encoded)
			if err != nil {
				t.Fatal(err)
			}
			served, _, err := serve(t, cfg.Out, savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, feed)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := m.Predict(photo); err != nil || gap(t, served, got) > 1e-5 {
				t.Errorf("%v; logits of a JPEG are %v, of its pixels %v", err, served, got)
			}
		})
	}
	cfg := exportConfig(t, filepath.Join(t.TempDir(), "model"))
	cfg.Metadata.Bands = imagefile.Grey
	if err := savedmodel.Export(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "1 bands (grey): expected one for each of the 3 channels") {
		t.Errorf("got %v", err)
	}
}
