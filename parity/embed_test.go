//go:build parity

package parity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/explain"
	"galaxy/focal"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/predict"
	"galaxy/savedmodel"
)

// TestEmbed compares the features of a SavedModel in three formats, as Python reads them, with those that TensorFlow's Python
// computes, bit by bit, and the nearest galaxies with scikit-learn's.
func TestEmbed(t *testing.T) {
	const arch, size, count, k = "resnet6", 64, 24, 5
	pixels := randomImages(rand.New(rand.NewPCG(5, 2)), count, size, 3)
	dir := filepath.Join(t.TempDir(), "model")
	must(t, savedmodel.Export(t.Context(), savedmodel.Config{
		Out: dir, Checkpoint: seasoned(t, arch, 3), Posterior: focal.Default().Posterior, Crop: data.DefaultCrop, Frozen: true,
		Model:    network.Config{Arch: arch, Size: size, Outputs: outputs, Precision: network.Float32, Mean: channelMean[:3], Std: channelStd[:3]},
		Metadata: savedmodel.Metadata{Answers: labels.GalaxyZoo().Columns(), Bands: imagefile.RGB},
	}))
	loaded, err := savedmodel.Load(dir, savedmodel.LoadConfig{})
	must(t, err)
	defer loaded.Close()
	model, err := explain.New(loaded)
	must(t, err)

	question := struct {
		SavedModel string `json:"savedmodel"`
		Images     string `json:"images"`
		Count      int    `json:"count"`
		Size       int    `json:"size"`
		Parquet    string `json:"parquet"`
		NPY        string `json:"npy"`
		CSV        string `json:"csv"`
		K          int    `json:"k"`
	}{dir, writeFile(t, pixels), count, size, filepath.Join(t.TempDir(), "f.parquet"), filepath.Join(t.TempDir(), "f.npy"), filepath.Join(t.TempDir(), "f.csv"), k}
	var columns []string
	for i := range model.Channels() {
		columns = append(columns, fmt.Sprintf("f%03d", i))
	}
	for _, out := range []string{question.Parquet, question.NPY, question.CSV} {
		_, err := predict.Run(t.Context(), predict.Config{
			Out: out, Source: numbered{pixels, loaded.Shape}, Columns: columns, Exact: true, Shape: loaded.Shape, Batch: count,
		}, embedding{model})
		must(t, err)
	}
	var judge struct {
		Features  [][]float64        `json:"features"`
		Different map[string]int     `json:"different"`
		IDs       map[string][]int64 `json:"ids"`
		Types     map[string]string  `json:"types"`
		Nearest   [][]int            `json:"nearest"`
		Distances [][]float64        `json:"distances"`
	}
	ask(t, "embed.py", question, &judge)
	for format, different := range judge.Different {
		if different != 0 {
			t.Errorf("%s: %d of %d values differ from TensorFlow's in a bit", format, different, count*model.Channels())
		}
	}
	for format, ids := range judge.IDs {
		if !slices.Equal(ids, longIDs(count)) {
			t.Errorf("%s: ids %v", format, ids)
		}
	}
	if got := judge.Types; got["parquet"] != "float, int64" || got["npy"] != "float32 True" {
		t.Errorf("types %v", got)
	}

	features, err := model.Features(pixels)
	must(t, err)
	found, err := explain.Nearest(features, features, model.Channels(), k)
	must(t, err)
	for i, near := range found {
		for rank, n := range near {
			if d := 1 - float64(n.Similarity); math.Abs(d-judge.Distances[i][rank]) > 1e-6 {
				t.Errorf("galaxy %d, neighbour %d: distance %v, scikit-learn's %v", i, rank, d, judge.Distances[i][rank])
			}
			// Of two that are equally far but for rounding, either may come first.
			if other := judge.Nearest[i][rank]; n.Index != other && math.Abs(cosine(features, model.Channels(), i, other)-float64(n.Similarity)) > 1e-6 {
				t.Errorf("galaxy %d, neighbour %d: %d, scikit-learn's %d", i, rank, n.Index, other)
			}
		}
	}
}

func cosine(rows []float32, width, i, j int) float64 {
	var ab, aa, bb float64
	for c := range width {
		a, b := float64(rows[i*width+c]), float64(rows[j*width+c])
		ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
	}
	return ab / math.Sqrt(aa*bb)
}

// embedding is a Predictor that gives features.
type embedding struct{ *explain.Model }

func (e embedding) Predict(images []byte) (logits, features []float32, err error) {
	features, err = e.Features(images)
	return nil, features, err
}

// longIDs are ids beyond what a float64 holds.
func longIDs(n int) (ids []int64) {
	for i := range n {
		ids = append(ids, 1237648721210769659+int64(i))
	}
	return ids
}

// numbered is a Source of pixels with the ids of longIDs.
type numbered struct {
	pixels []byte
	shape  imagefile.Shape
}

func (n numbered) Len() int           { return len(n.pixels) / n.shape.Bytes() }
func (n numbered) Key(row int) string { return fmt.Sprint(longIDs(row + 1)[row]) }
func (n numbered) Keys() predict.Keys { return predict.Keys{Name: data.IDColumn, Integers: true} }
func (n numbered) Path() string       { return "memory" }

func (n numbered) Decode(dst []byte, row int, buf []byte) ([]byte, error) {
	copy(dst, n.pixels[row*n.shape.Bytes():])
	return buf, nil
}

func (n numbered) Checksums() (images, order string, err error) { return "", "", nil }
