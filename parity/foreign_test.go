//go:build parity

package parity

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"galaxy/data"
	"galaxy/data/synth"
	"galaxy/graph/images"
)

// foreignTolerance is how far our figures of a Keras network may lie from NumPy's:
// README.md says where it comes from.
const foreignTolerance = 1e-5

// TestForeignSavedModels lets Keras export networks of its own and galaxy eval
// score them: the figures must be those that NumPy makes of Keras' own
// predictions.
func TestForeignSavedModels(t *testing.T) {
	const size = 32
	folder := t.TempDir()
	program := filepath.Join(folder, "galaxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "galaxy/cmd/galaxy").CombinedOutput(); err != nil {
		t.Fatalf("build galaxy: %v\n%s", err, out)
	}
	sky, cachePath := filepath.Join(folder, "sky"), filepath.Join(folder, "cache")
	must(t, synth.Generate(t.Context(), synth.Config{Out: sky, Count: 120, Seed: 4}))
	decoder, err := images.NewDecoder(data.DefaultCrop, size)
	must(t, err)
	defer func() { must(t, decoder.Close()) }()
	_, err = data.Prepare(t.Context(), data.PrepareConfig{
		Labels: filepath.Join(sky, synth.LabelsFile), Images: filepath.Join(sky, synth.ImagesDir), Out: cachePath, Size: size, Decoder: "test",
	}, decoder)
	must(t, err)
	cache, err := data.Open(cachePath)
	must(t, err)
	defer func() { must(t, cache.Close()) }()

	type network struct {
		Dir        string  `json:"dir"`
		Pixels     string  `json:"pixels"`
		Activation *string `json:"activation"`
		Outputs    int     `json:"outputs"`
	}
	sigmoid, softmax := "sigmoid", "softmax"
	question := struct {
		Networks []network `json:"networks"`
		Images   string    `json:"images"`
		Labels   string    `json:"labels"`
		Classes  string    `json:"classes"`
		Count    int       `json:"count"`
		Size     int       `json:"size"`
	}{Size: size, Networks: []network{
		{filepath.Join(folder, "sigmoid"), "0..1", &sigmoid, 37},
		{filepath.Join(folder, "logits"), "0..255", nil, 37},
		{filepath.Join(folder, "softmax"), "0..1", &softmax, 5},
	}}
	var images []byte
	var labels, classes []float32
	schema := cache.Schema().Classes()
	for _, i := range cache.Indices(data.Train) { // the largest split
		image, class := make([]byte, size*size*3), make([]float32, schema.Width())
		must(t, cache.ReadImage(image, i))
		if y := cache.Labels(i); schema.Has(y) {
			schema.Label(class, y)
		}
		images, labels, classes = append(images, image...), append(labels, cache.Labels(i)...), append(classes, class...)
		question.Count++
	}
	question.Images, question.Labels, question.Classes = writeFile(t, images), writeFloats(t, labels), writeFloats(t, classes)
	type figures struct {
		RMSE      float64    `json:"rmse"`
		Accuracy  float64    `json:"accuracy"`
		Question7 float64    `json:"question7_rmse"`
		ECE       float64    `json:"ece"`
		Precision []*float64 `json:"precision"`
		Recall    []*float64 `json:"recall"`
		F1        []*float64 `json:"f1"`
		ROCAUC    []*float64 `json:"roc_auc"`
		Balanced  float64    `json:"balanced_accuracy"`
		MacroF1   float64    `json:"macro_f1"`
		MacroAUC  float64    `json:"macro_roc_auc"`
		LogLoss   float64    `json:"log_loss"`
		Confusion [][]int    `json:"confusion"`
	}
	var answer struct {
		Networks []figures `json:"networks"`
	}
	ask(t, "foreign.py", question, &answer)

	type calibration struct {
		ECE float64 `json:"ece"`
	}
	type scores struct {
		RMSE      float64 `json:"rmse"`
		Accuracy  float64 `json:"accuracy_argmax37"`
		Questions []struct {
			RMSE float64 `json:"rmse"`
		} `json:"questions"`
		Loss      *float64    `json:"loss"`
		Fractions calibration `json:"fraction_calibration"`
		Classes   struct {
			Accuracy  float64 `json:"accuracy"`
			Balanced  float64 `json:"balanced_accuracy"`
			MacroF1   float64 `json:"macro_f1"`
			MacroAUC  float64 `json:"roc_auc"`
			LogLoss   float64 `json:"log_loss"`
			Confusion [][]int `json:"confusion"`
			Classes   []struct {
				Precision *float64 `json:"precision"`
				Recall    *float64 `json:"recall"`
				F1        *float64 `json:"f1"`
				ROCAUC    *float64 `json:"roc_auc"`
			} `json:"classes"`
			Calibration calibration `json:"calibration"`
		} `json:"five_class"`
	}
	for i, flags := range [][]string{
		{"--pixels", "0..1"}, // all names are found
		{"--pixels", "0..255", "--signature", "serve", "--input", "pictures", "--logits", "output_0", "--loss", "crossentropy"},
		{"--pixels", "0..1"},
	} {
		n, want := question.Networks[i], answer.Networks[i]
		t.Run(filepath.Base(n.Dir), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, append([]string{"eval", "--json", "--model", n.Dir, "--data", cachePath, "--split", "train"}, flags...)...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			must(t, err)
			var got scores
			must(t, json.Unmarshal(out, &got))
			near := func(name string, ours, numpy *float64) {
				t.Helper()
				if (ours == nil) != (numpy == nil) || ours != nil && !(math.Abs(*ours-*numpy) <= foreignTolerance) {
					t.Errorf("%s is %v, NumPy's %v", name, show(ours), show(numpy))
				}
				t.Logf("%s: %v, NumPy's %v", name, show(ours), show(numpy))
			}
			near("rmse", &got.RMSE, &want.RMSE)
			if n.Outputs == 37 {
				near("accuracy", &got.Accuracy, &want.Accuracy)
				near("rmse of question 7", &got.Questions[6].RMSE, &want.Question7)
				near("calibration error", &got.Fractions.ECE, &want.ECE)
			} else {
				near("accuracy", &got.Classes.Accuracy, &want.Accuracy)
				near("balanced accuracy", &got.Classes.Balanced, &want.Balanced)
				near("macro F1", &got.Classes.MacroF1, &want.MacroF1)
				near("ROC-AUC", &got.Classes.MacroAUC, &want.MacroAUC)
				near("log loss", &got.Classes.LogLoss, &want.LogLoss)
				if !reflect.DeepEqual(got.Classes.Confusion, want.Confusion) {
					t.Errorf("confusion %v, scikit-learn's %v", got.Classes.Confusion, want.Confusion)
				}
				near("calibration error", &got.Classes.Calibration.ECE, &want.ECE)
				for k, c := range got.Classes.Classes {
					near("ROC-AUC of a class", c.ROCAUC, want.ROCAUC[k])
					near("precision", c.Precision, want.Precision[k])
					near("recall", c.Recall, want.Recall[k])
					near("F1", c.F1, want.F1[k])
				}
			}
			if known := n.Activation == nil; (got.Loss != nil) != known {
				t.Errorf("loss %v, but logits are there: %v", show(got.Loss), known)
			}
		})
	}
}

func show(x *float64) any {
	if x == nil {
		return "not defined"
	}
	return *x
}
