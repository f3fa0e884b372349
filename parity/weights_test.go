//go:build parity && torch

package parity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/graph/torch"
	"galaxy/internal/safetensors"
)

// torchTolerance bounds the largest difference between our logits and PyTorch's over all images and
// outputs, as a fraction of the largest logit.
const torchTolerance = 1e-5

type torchCase struct {
	Size   int    `json:"size"`
	Count  int    `json:"count"`
	Images string `json:"images"`
	pixels []byte
}

type torchAnswer struct {
	Cases []struct {
		Logits   [][]float64 `json:"logits"`
		Logits64 [][]float64 `json:"logits64"`
	} `json:"cases"`
}

// askTorch is ask for the environment with PyTorch, which has no Keras: each question has a process of its own.
func askTorch(t *testing.T, question, answer any) {
	t.Helper()
	asked, err := json.Marshal(question)
	must(t, err)
	cmd, err := python("weights.py", writeFile(t, asked))
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("weights.py: %v\n%s", err, stderr.Bytes())
	}
	must(t, json.Unmarshal(printed, answer))
}

// torchCases draws images of each size.
func torchCases(t *testing.T, channels int, sizes ...int) (cases []torchCase) {
	for _, size := range sizes {
		const count = 4
		pixels := randomImages(rand.New(rand.NewPCG(uint64(size), 1)), count, size, channels)
		cases = append(cases, torchCase{size, count, writeFile(t, pixels), pixels})
	}
	return cases
}

// torchQuestion asks for logits of a network with the statistics mean and std.
func torchQuestion(do, path string, model network.Config, cases []torchCase) map[string]any {
	return map[string]any{
		"do": do, "path": path, "arch": model.Arch, "outputs": model.Outputs, "channels": len(model.Mean),
		"cases": cases, "mean": model.Mean, "std": model.Std,
	}
}

// ourLogits returns the logits of a network with weights as variables, and as constants with
// folded batch norm.
func ourLogits(t *testing.T, model network.Config, weights network.Weights, pixels []byte) (variables, constants []float32) {
	t.Helper()
	all, err := model.Variables()
	must(t, err)
	shapes := map[string][]int64{}
	for _, v := range all {
		shapes[v.Name] = v.Shape
	}
	prefix := filepath.Join(t.TempDir(), "weights")
	must(t, session.WriteBundle(prefix, shapes, weights))
	predict := func(weights network.Weights) []float32 {
		g, err := graph.NewInferenceGraph(model, focal.Default().Posterior, weights)
		must(t, err)
		i, err := g.Open(session.Config{})
		must(t, err)
		defer func() { must(t, i.Close()) }()
		if weights == nil {
			must(t, i.Restore(prefix))
		}
		logits, _, err := i.Predict(pixels)
		must(t, err)
		return logits
	}
	return predict(nil), predict(weights)
}

// compareTorch checks our logits on the cases against PyTorch's.
func compareTorch(t *testing.T, model network.Config, weights network.Weights, cases []torchCase, answer torchAnswer) {
	t.Helper()
	for k, c := range cases {
		model.Size = c.Size
		variables, constants := ourLogits(t, model, weights, c.pixels)
		theirs, exact := flat(answer.Cases[k].Logits), flat(answer.Cases[k].Logits64)
		scale := largest(exact)
		for _, form := range []struct {
			name string
			ours []float32
		}{{"variables", variables}, {"constants", constants}} {
			apart, err := farthest(form.ours, theirs)
			must(t, err)
			rounding, err := farthest(form.ours, exact)
			must(t, err)
			t.Logf("%s, %d px, %s: ours and PyTorch's differ by %.1e of the largest logit (%.3g), ours and float64 by %.1e", model.Arch, c.Size, form.name, apart/scale, scale, rounding/scale)
			if !(apart <= torchTolerance*scale) || !(rounding <= torchTolerance*scale) {
				t.Errorf("%s, %d px, %s: expected at most %v of the largest", model.Arch, c.Size, form.name, torchTolerance)
			}
		}
	}
}

// TestTorchNetworks reads weights that timm drew, in the files that safetensors writes, and
// compares logits; what we write of them has the same bits.
func TestTorchNetworks(t *testing.T) {
	for _, c := range []struct {
		arch     string
		channels int
		sizes    []int
		half     string
	}{
		{"resnet18", 3, []int{64, 65, 224}, ""}, {"resnet34", 3, []int{64, 65}, ""}, {"resnet50", 3, []int{64, 65}, ""}, {"resnet101", 3, []int{64, 65}, ""},
		{"resnet18", 1, []int{64}, ""}, {"resnet34", 5, []int{69}, ""}, {"resnet18", 3, []int{64}, "float16"}, {"resnet18", 3, []int{64}, "bfloat16"},
	} {
		t.Run(fmt.Sprintf("%s,%d%s", c.arch, c.channels, c.half), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "timm.safetensors")
			cases := torchCases(t, c.channels, c.sizes...)
			asked := network.Config{Arch: c.arch, Outputs: 11, Mean: channelMean[:c.channels], Std: channelStd[:c.channels]}
			question := torchQuestion("draw", path, asked, cases)
			question["half"] = c.half
			var answer torchAnswer
			askTorch(t, question, &answer)

			f, err := torch.Open(path)
			must(t, err)
			defer f.Close()
			if f.Model.Arch != c.arch || f.Model.Outputs != 11 || f.Channels != c.channels || f.Model.Padding != network.Symmetric {
				t.Fatalf("%+v of %d channels", f.Model, f.Channels)
			}
			weights, err := f.Weights()
			must(t, err)
			model := f.Model
			model.Size, model.Mean, model.Std = 64, asked.Mean, asked.Std
			compareTorch(t, model, weights, cases, answer)
			if c.half != "" {
				return
			}
			var out bytes.Buffer
			must(t, torch.Write(&out, model, weights))
			again, err := safetensors.Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
			must(t, err)
			theirs, err := safetensors.Open(path)
			must(t, err)
			defer theirs.Close()
			if len(again.Tensors) != len(theirs.Tensors) {
				t.Errorf("%d tensors after a round trip, expected %d", len(again.Tensors), len(theirs.Tensors))
			}
			for _, tensor := range theirs.Tensors {
				i := slices.IndexFunc(again.Tensors, func(a safetensors.Tensor) bool { return a.Name == tensor.Name })
				if i < 0 || !slices.Equal(again.Tensors[i].Shape, tensor.Shape) || again.Tensors[i].DType != tensor.DType {
					t.Errorf("%s %v is another tensor after a round trip", tensor.Name, tensor.Shape)
				} else if tensor.DType != safetensors.I64 {
					was, err := theirs.Floats(tensor)
					must(t, err)
					is, err := again.Floats(again.Tensors[i])
					must(t, err)
					if !slices.EqualFunc(was, is, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
						t.Errorf("%s has other bits after a round trip", tensor.Name)
					}
				}
			}
		})
	}
}

// TestTorchExport gives weights that galaxy trained to timm's network, which has symmetric padding. A
// network with TensorFlow's has the same logits at 65 px, where both are the same, and
// others at 64 px.
func TestTorchExport(t *testing.T) {
	for _, c := range []struct {
		arch    string
		padding network.Padding
		size    int
		equal   bool
	}{{"resnet34", network.Symmetric, 64, true}, {"resnet18", network.Same, 65, true}, {"resnet18", network.Same, 64, false}} {
		t.Run(fmt.Sprintf("%s,%d", c.padding, c.size), func(t *testing.T) {
			const channels = 1
			model := modelOf(c.arch, c.size, channels)
			model.Padding = c.padding
			weights, err := graph.ReadWeights(model, seasonedOf(t, model))
			must(t, err)
			var out bytes.Buffer
			must(t, torch.Write(&out, model, weights))
			path := filepath.Join(t.TempDir(), "galaxy.safetensors")
			must(t, os.WriteFile(path, out.Bytes(), 0o666))
			cases := torchCases(t, channels, c.size)
			var answer torchAnswer
			askTorch(t, torchQuestion("load", path, model, cases), &answer)
			if c.equal {
				compareTorch(t, model, weights, cases, answer)
				return
			}
			ours, _ := ourLogits(t, model, weights, cases[0].pixels)
			theirs := flat(answer.Cases[0].Logits)
			apart, err := farthest(ours, theirs)
			must(t, err)
			t.Logf("%s, padding same at %d px: ours and PyTorch's differ by %.2g of the largest logit (%.3g)", c.arch, c.size, apart/largest(theirs), largest(theirs))
			if apart < 1e-3*largest(theirs) {
				t.Errorf("the paddings cannot be told apart: %v", apart)
			}
		})
	}
}

// TestTorchFiles writes tensors of every dtype, which safetensors' own reader reads and writes in
// the same bytes, and reads the files that it writes of them.
func TestTorchFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -2.5, 65504, 65520, 1e-7, 6e-8, 3.4e38, 1e-42}
	for i := range special {
		special = append(special, float32(rng.NormFloat64())*special[i])
	}
	n := int64(len(special))
	written := []safetensors.Values{
		{Name: "a \"ü\"", DType: safetensors.F32, Shape: []int64{2, n / 2}, Values: special},
		{Name: "half", DType: safetensors.F16, Shape: []int64{n}, Values: special},
		{Name: "brain", DType: safetensors.BF16, Shape: []int64{1, n, 1}, Values: special},
		{Name: "scalar", DType: safetensors.F32, Shape: []int64{}, Values: special[3:4]},
		{Name: "count", DType: safetensors.I64, Shape: []int64{}, Values: special[2:3]},
		{Name: "none", DType: safetensors.F32, Shape: []int64{0, 3}},
	}
	var out bytes.Buffer
	must(t, safetensors.Write(&out, written, map[string]string{"format": "pt"})) // two texts have no fixed order
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(path("ours"), out.Bytes(), 0o666))
	dtypes := map[string]safetensors.DType{"float32": safetensors.F32, "float16": safetensors.F16, "bfloat16": safetensors.BF16, "float64": safetensors.F64}
	outs := map[string]string{}
	for dtype := range dtypes {
		outs[dtype] = path(dtype)
	}
	var answer map[string]map[string][]string
	askTorch(t, map[string]any{"do": "convert", "path": path("ours"), "again": path("again"), "outs": outs}, &answer)
	again, err := os.ReadFile(path("again"))
	must(t, err)
	if !bytes.Equal(again, out.Bytes()) {
		t.Error("safetensors' own writer writes other bytes")
	}
	for name, dtype := range dtypes {
		f, err := safetensors.Open(path(name))
		must(t, err)
		defer f.Close()
		if len(f.Tensors) != len(written) || len(answer[name]) != len(written) {
			t.Fatalf("%s: %d tensors, %d in Python, expected %d", name, len(f.Tensors), len(answer[name]), len(written))
		}
		for _, tensor := range f.Tensors {
			values, err := f.Floats(tensor)
			must(t, err)
			i := slices.IndexFunc(written, func(v safetensors.Values) bool { return v.Name == tensor.Name })
			if tensor.DType != dtype || i < 0 || !slices.Equal(tensor.Shape, written[i].Shape) || len(values) != len(written[i].Values) {
				t.Errorf("%+v, expected %s of %v", tensor, dtype, written)
				continue
			}
			for j, x := range answer[name][tensor.Name] {
				if want, err := strconv.ParseFloat(x, 64); err != nil || float32(want) != values[j] {
					t.Errorf("%s, %s, value %d: %v, and in Python %v", name, tensor.Name, j, values[j], x)
				}
			}
		}
	}
}
