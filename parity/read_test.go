//go:build parity

package parity

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/labels"
	"galaxy/savedmodel"
	"galaxy/train/events"
)

// Tolerances of what another program computes from our files; README.md says
// where they come from.
const (
	servedTolerance      = 1e-5 // of probabilities, variables form
	foldedTolerance      = 5e-5 // of probabilities, frozen form
	int8Tolerance        = 1e-3 // of probabilities and of the largest logit: a last bit may decide how a pixel is rounded
	servedLogitTolerance = 1e-5 // of the largest logit, both forms
)

// TestSavedModels lets tf.saved_model.load and saved_model_cli run the forms of
// an export through both signatures: they must give the probabilities of the
// network that was exported, and of one in eight bits those that we have from it.
func TestSavedModels(t *testing.T) {
	testSavedModels(t, network.Default, imagefile.RGB)
	t.Run("grey", func(t *testing.T) { testSavedModels(t, "resnet6", imagefile.Grey) })
	t.Run("five bands", func(t *testing.T) { testSavedModels(t, "resnet6", imagefile.Bands{"u", "g", "r", "i", "z"}) })
}

func testSavedModels(t *testing.T, arch string, bands imagefile.Bands) {
	const size, crop, count = 64, 207, 3
	channels := bands.Channels()
	prefix := seasoned(t, arch, channels)
	rng := rand.New(rand.NewPCG(21, 0))
	model := network.Config{Arch: arch, Size: size, Outputs: outputs, Precision: network.Float32, Align: true, Mean: channelMean[:channels], Std: channelStd[:channels]}
	posterior := focal.Default().Posterior

	var files []string
	var decoded []byte
	if bands.Picture() {
		files, decoded = encodeJPEGs(t, rng, count, crop, imagefile.Shape{Size: size, Channels: channels})
	}
	pixels := randomImages(rng, count, size, channels)
	network, err := graph.NewInferenceGraph(model, posterior, nil)
	must(t, err)
	inference, err := network.Open(session.Config{})
	must(t, err)
	defer func() { must(t, inference.Close()) }()
	must(t, inference.Restore(prefix))
	type predicted struct{ logits, probabilities []float32 }
	predict := func(p *graph.Predictor) (got [2]predicted) {
		for i, images := range [][]byte{pixels, decoded} {
			if len(images) == 0 {
				continue
			}
			got[i].logits, got[i].probabilities, err = p.Predict(images)
			must(t, err)
		}
		return got
	}
	float := predict(&inference.Predictor)

	type savedModel struct {
		Dir    string   `json:"dir"`
		Images string   `json:"images"`
		Count  int      `json:"count"`
		Size   int      `json:"size"`
		JPEGs  []string `json:"jpegs"`
	}
	var question struct {
		SavedModels []savedModel `json:"savedmodels"`
	}
	forms := []string{"variables", "frozen"}
	if kernels.OneDNN() { // else nothing computes in int8
		forms = append(forms, "int8")
	}
	for _, form := range forms {
		out := filepath.Join(t.TempDir(), form)
		cfg := savedmodel.Config{
			Out: out, Checkpoint: prefix, Model: model, Posterior: posterior, Crop: crop, Frozen: form != "variables",
			Metadata: savedmodel.Metadata{Answers: labels.GalaxyZoo().Columns(), Bands: bands},
		}
		if form == "int8" {
			cfg.Calibration = pixels
		}
		must(t, savedmodel.Export(t.Context(), cfg))
		question.SavedModels = append(question.SavedModels, savedModel{out, writeFile(t, pixels), count, size, files})
	}
	type served struct {
		Input   string                 `json:"input"`
		DType   string                 `json:"dtype"`
		Shape   []int                  `json:"shape"`
		Outputs map[string][][]float64 `json:"outputs"`
		CLI     map[string][][]float64 `json:"cli"`
	}
	var answer struct {
		SavedModels []map[string]served `json:"savedmodels"`
	}
	ask(t, "read.py", question, &answer)

	for i, form := range forms {
		signatures := answer.SavedModels[i]
		tolerance := map[string]float64{"variables": servedTolerance, "frozen": foldedTolerance, "int8": int8Tolerance}[form]
		want, logitTolerance := float, servedLogitTolerance
		if form == "int8" {
			loaded, err := savedmodel.Load(question.SavedModels[i].Dir, savedmodel.LoadConfig{})
			must(t, err)
			want, logitTolerance = predict(&loaded.Predictor), int8Tolerance
		}
		type signature struct {
			signature, input, dtype string
			shape                   []int
		}
		expected := []signature{{savedmodel.SignatureImages, savedmodel.InputImages, "uint8", []int{-1, size, size, channels}}}
		if bands.Picture() {
			expected = append(expected, signature{savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, "string", []int{-1}})
		}
		if len(signatures) != len(expected) {
			t.Errorf("%s: %d signatures, want %v", form, len(signatures), expected)
		}
		for k, s := range expected {
			got := signatures[s.signature]
			if got.Input != s.input || got.DType != s.dtype || !slices.Equal(got.Shape, s.shape) {
				t.Errorf("%s, %s: takes %s %s %v, want %s %s %v", form, s.signature, got.Input, got.DType, got.Shape, s.input, s.dtype, s.shape)
			}
			for reader, answers := range map[string]map[string][][]float64{"tf.saved_model.load": got.Outputs, "saved_model_cli": got.CLI} {
				what := fmt.Sprintf("%s, %s, %s", form, s.signature, reader)
				apart, err := farthest(want[k].probabilities, flat(answers[savedmodel.OutputProbabilities]))
				if err != nil || !(apart <= tolerance) {
					t.Errorf("%s: probabilities differ by %.3g (%v), want at most %.0e", what, apart, err, tolerance)
				}
				allowed := logitTolerance * largest(want[k].logits)
				logits, err := farthest(want[k].logits, flat(answers[savedmodel.OutputLogits]))
				if err != nil || !(logits <= allowed) {
					t.Errorf("%s: logits differ by %.3g (%v), want at most %.3g", what, logits, err, allowed)
				}
				t.Logf("%s: probabilities differ by %.2g, logits by %.2g of %.3g", what, apart, logits, largest(want[k].logits))
			}
		}
	}
}

// encodeJPEGs writes count JPEGs of the challenge's format and returns their
// paths and what the decoder of prepare makes of them, in the given shape.
func encodeJPEGs(t *testing.T, rng *rand.Rand, count int, crop imagefile.Crop, shape imagefile.Shape) (files []string, decoded []byte) {
	t.Helper()
	decoder, err := images.NewDecoder(crop, shape.Size)
	must(t, err)
	defer func() { must(t, decoder.Close()) }()
	for range count {
		const side = data.ImageSide
		pixels := randomImages(rng, 1, side, 3)
		picture := image.NewRGBA(image.Rect(0, 0, side, side))
		for i := range side * side {
			picture.Set(i%side, i/side, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
		}
		var encoded bytes.Buffer
		must(t, jpeg.Encode(&encoded, picture, &jpeg.Options{Quality: 90}))
		files = append(files, writeFile(t, encoded.Bytes()))
		one := make([]byte, shape.Bytes())
		file, err := imagefile.Open(encoded.Bytes())
		must(t, err)
		must(t, decoder.Decode(one, file))
		decoded = append(decoded, one...)
	}
	return files, decoded
}

// TestCheckpoint lets tf.train.load_checkpoint read a checkpoint of a training
// with optimizer slots: every name, shape and value.
func TestCheckpoint(t *testing.T) {
	const size, batch = 32, 4
	rng := rand.New(rand.NewPCG(31, 0))
	trainer := newTrainer(t, network.Default, size, 3, batch, focal.Default().Loss, graph.Optimizer{Kind: graph.AdamW, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8})
	must(t, trainer.Init(2))
	_, err := trainer.Step(graph.StepInput{Batch: graph.Batch{Images: randomImages(rng, batch, size, 3), Labels: randomLabels(rng, batch)}, LearningRate: 1e-3})
	must(t, err)
	prefix := filepath.Join(t.TempDir(), "variables")
	must(t, trainer.Save(prefix))
	weights, err := trainer.Weights()
	must(t, err)

	var answer struct {
		Tensors map[string]struct {
			Shape  []int64   `json:"shape"`
			DType  string    `json:"dtype"`
			Values []float64 `json:"values"`
		} `json:"tensors"`
	}
	ask(t, "read.py", map[string]string{"checkpoint": prefix}, &answer)
	variables := trainer.Variables()
	if len(answer.Tensors) != len(variables) {
		t.Errorf("the checkpoint holds %d tensors, want %d", len(answer.Tensors), len(variables))
	}
	slots := 0
	for _, v := range variables {
		got, ok := answer.Tensors[v.Name]
		if !ok {
			t.Errorf("the checkpoint lacks %s", v.Name)
			continue
		}
		if strings.HasSuffix(v.Name, "/adam_m") || strings.HasSuffix(v.Name, "/adam_v") {
			slots++
		}
		if !slices.Equal(got.Shape, v.Shape) || got.DType != "float32" {
			t.Errorf("%s: %s %v, want float32 %v", v.Name, got.DType, got.Shape, v.Shape)
		}
		sum, absolute := 0.0, 0.0
		for _, x := range weights[v.Name] {
			sum += float64(x)
			absolute += math.Abs(float64(x))
		}
		for i, x := range got.Values[:len(got.Values)-1] {
			if x != float64(weights[v.Name][i]) {
				t.Errorf("%s, value %d: %v, want %v", v.Name, i, x, weights[v.Name][i])
			}
		}
		// The two sums are of the same numbers in another order.
		if got := got.Values[len(got.Values)-1]; math.Abs(got-sum) > 1e-12*absolute {
			t.Errorf("%s: the values sum to %v, want %v", v.Name, got, sum)
		}
	}
	if slots != 2*110 {
		t.Errorf("%d Adam slots, want two for each of 110 trained variables", slots)
	}
}

// TestEvents lets TensorBoard's own reader read an event file that was written,
// cut back to an earlier size as a resumed run does, and continued.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.out.tfevents.0.galaxy")
	write := func(w *events.Writer, from, to int64, scale float64) {
		for step := from; step < to; step++ {
			must(t, w.Scalars(step, time.Unix(1700000000+step, 0),
				events.Scalar{Tag: "train/loss", Value: scale / float64(step)},
				events.Scalar{Tag: "train/learning_rate", Value: 1e-3}))
		}
	}
	w, err := events.OpenAppend(path, 0)
	must(t, err)
	write(w, 1, 50, 1)
	kept := w.Size()
	write(w, 50, 80, -1) // lost when the run is resumed
	must(t, w.Close())
	w, err = events.OpenAppend(path, kept)
	must(t, err)
	write(w, 50, 101, 1)
	must(t, w.Close())

	var answer struct {
		Events map[string][][2]float64 `json:"events"`
	}
	ask(t, "read.py", map[string]string{"events": dir}, &answer)
	loss := answer.Events["train/loss"]
	if len(loss) != 100 || len(answer.Events["train/learning_rate"]) != 100 || len(answer.Events) != 2 {
		t.Fatalf("TensorBoard sees %d losses, %d learning rates and %d tags, want 100, 100 and 2", len(loss), len(answer.Events["train/learning_rate"]), len(answer.Events))
	}
	for i, point := range loss {
		if step := float64(i + 1); point[0] != step || float32(point[1]) != float32(1/step) {
			t.Errorf("point %d is step %v, loss %v: want step %v, loss %v", i, point[0], point[1], step, float32(1/step))
		}
	}
}
