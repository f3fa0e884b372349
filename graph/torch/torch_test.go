package torch

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/graph/network"
	"galaxy/internal/safetensors"
)

// small is the configuration of a network with every kind of layer of a kind of block.
func small(arch string, channels, outputs int) network.Config {
	cfg := network.Config{Arch: arch, Size: 32, Outputs: outputs, Precision: network.Float32, Padding: network.Symmetric}
	for c := range channels {
		cfg.Mean, cfg.Std = append(cfg.Mean, 0.1*float64(c+1)), append(cfg.Std, 0.2+0.1*float64(c))
	}
	return cfg
}

func randomWeights(t *testing.T, cfg network.Config) network.Weights {
	t.Helper()
	variables, err := cfg.Variables()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	weights := network.Weights{}
	for _, v := range variables {
		for range v.Elements() {
			x := r.NormFloat64()
			if strings.HasSuffix(v.Name, "/moving_variance") {
				x = math.Abs(x)
			}
			weights[v.Name] = append(weights[v.Name], float32(x))
		}
	}
	return weights
}

// write writes a network's weights, after change has had its way with the tensors.
func write(t *testing.T, cfg network.Config, change func([]safetensors.Values, map[string]string) []safetensors.Values) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, cfg, randomWeights(t, cfg)); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		f, err := safetensors.Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var all []safetensors.Values
		for _, tensor := range f.Tensors {
			v := safetensors.Values{Name: tensor.Name, DType: tensor.DType, Shape: tensor.Shape, Values: make([]float32, tensor.Elements())}
			if tensor.DType != safetensors.I64 {
				if v.Values, err = f.Floats(tensor); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, v)
		}
		all = change(all, f.Metadata)
		out.Reset()
		if err := safetensors.Write(&out, all, f.Metadata); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "model"+Extension)
	if err := os.WriteFile(path, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// The names and layouts of a file that knows nothing of this code (testdata/golden.py). Its tensors have
// the order of dimensions of PyTorch, and values that tell their place.
func TestGolden(t *testing.T) {
	f, err := safetensors.Open("testdata/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	variables, err := variablesOf(small("resnet8", 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]network.Variable{}
	for _, v := range variables {
		names[nameOf(v.Name)] = v
	}
	found := 0
	for _, tensor := range f.Tensors {
		v, ok := names[tensor.Name]
		if !ok {
			if !strings.HasSuffix(tensor.Name, "num_batches_tracked") {
				t.Errorf("no variable is %s", tensor.Name)
			}
			continue
		}
		found++
		if len(v.Shape) != len(tensor.Shape) {
			t.Errorf("%s has the shape %v, %s %v", v.Name, v.Shape, tensor.Name, tensor.Shape)
			continue
		}
		values, err := f.Floats(tensor)
		if err != nil {
			t.Fatal(err)
		}
		back := inverse(order(len(v.Shape)))
		values = transpose(values, tensor.Shape, back)
		shape := reorder(tensor.Shape, back)
		offset := map[string]float32{"gamma": 1, "beta": 2, "moving_mean": 3, "moving_variance": 4}[v.Name[strings.LastIndexByte(v.Name, '/')+1:]]
		for i, got := range values {
			at := make([]int64, len(shape)) // the place here: row-major
			for d, rest := len(shape)-1, int64(i); d >= 0; d-- {
				at[d], rest = rest%shape[d], rest/shape[d]
			}
			var want int64
			switch len(shape) {
			case 4: // [height, width, in, out] here, [out, in, height, width] there
				want = 512*at[3] + 64*at[2] + 8*at[0] + at[1]
			case 2: // [in, out] here, [out, in] there
				want = 8*at[1] + at[0]
			default:
				want = at[0]
			}
			if got != float32(want)+offset {
				t.Fatalf("%s at %v is %v, expected %v", v.Name, at, got, float32(want)+offset)
			}
		}
	}
	if found != len(variables) {
		t.Errorf("%d of %d variables are in the file", found, len(variables))
	}
}

func TestNames(t *testing.T) {
	for ours, want := range map[string]string{
		"stage3/block23/conv3/kernel": "layer3.22.conv3.weight", "stage4/block1/shortcut/conv/kernel": "layer4.0.downsample.0.weight",
		"stage4/block1/shortcut/bn/moving_variance": "layer4.0.downsample.1.running_var", "stem/bn/moving_mean": "bn1.running_mean", "head/bias": "fc.bias",
	} {
		if got := nameOf(ours); got != want {
			t.Errorf("%s is %s, expected %s", ours, got, want)
		}
	}
}

// A transposition is undone by its inverse, and is the slow one.
func TestTranspose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.Int64Range(1, 4), 0, 5).Draw(t, "shape")
		var to []int
		for i := range shape {
			to = append(to, i)
		}
		to = rapid.Permutation(to).Draw(t, "order")
		n := int(safetensors.Tensor{Shape: shape}.Elements())
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i)
		}
		got := transpose(values, shape, to)
		out := reorder(shape, to)
		for i, x := range values {
			at := make([]int64, len(shape))
			for d, rest := len(shape)-1, int64(i); d >= 0; d-- {
				at[d], rest = rest%shape[d], rest/shape[d]
			}
			j := int64(0)
			for d := range out {
				j = j*out[d] + at[to[d]]
			}
			if got[j] != x {
				t.Fatalf("%v by %v: value %d is at another place", shape, to, i)
			}
		}
		if back := transpose(got, out, inverse(to)); !slices.Equal(back, values) {
			t.Fatalf("%v by %v does not come back", shape, to)
		}
	})
}

// What is written comes back bit by bit, with the network and the statistics.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		arch     string
		channels int
		padding  network.Padding
	}{{"resnet6", 3, network.Symmetric}, {"resnet8", 1, network.Same}, {"resnet6", 5, ""}} {
		cfg := small(c.arch, c.channels, 7)
		cfg.Padding = c.padding
		f, err := Open(write(t, cfg, nil))
		if err != nil {
			t.Fatal(err)
		}
		m := f.Model
		if m.Arch != c.arch || m.Padding != cmp.Or(c.padding, network.Same) || m.Outputs != 7 || f.Channels != c.channels || f.Source != "the file" || !slices.Equal(m.Mean, cfg.Mean) || !slices.Equal(m.Std, cfg.Std) {
			t.Errorf("%+v of %d channels by %s, expected %+v", m, f.Channels, f.Source, cfg)
		}
		weights, err := f.Weights()
		if err != nil {
			t.Fatal(err)
		}
		want := randomWeights(t, cfg)
		if len(weights) != len(want) {
			t.Errorf("%d variables, expected %d", len(weights), len(want))
		}
		for name, values := range want {
			if !slices.EqualFunc(weights[name], values, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Errorf("%s: %s differs", c.arch, name)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := Write(new(bytes.Buffer), small("resnet6", 3, 7), network.Weights{}); err == nil || !strings.Contains(err.Error(), "expected 9408 values, found 0") {
		t.Error(err)
	}
}

func TestWrongValues(t *testing.T) {
	cfg := small("resnet6", 3, 7)
	for _, c := range []struct {
		ours, theirs string
		value        float32
		want         string
	}{
		{"head/bias", "fc.bias", float32(math.Inf(1)), "holds +Inf: expected finite numbers"},
		{"stem/bn/moving_variance", "bn1.running_var", -0.5, "holds -0.5: a variance is 0 or more"},
	} {
		weights := randomWeights(t, cfg)
		weights[c.ours][1] = c.value
		if err := Write(new(bytes.Buffer), cfg, weights); err == nil || !strings.Contains(err.Error(), c.ours+" "+c.want) {
			t.Errorf("written: %v, expected %q", err, c.want)
		}
		f, err := Open(write(t, cfg, func(all []safetensors.Values, _ map[string]string) []safetensors.Values {
			at := slices.IndexFunc(all, func(v safetensors.Values) bool { return v.Name == c.theirs })
			all[at].Values[1] = c.value
			return all
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Weights(); err == nil || !strings.Contains(err.Error(), c.theirs+" "+c.want) {
			t.Errorf("read: %v, expected %q", err, c.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// without removes what is recorded about the statistics, as files of other programs lack it, and
// the tensors whose names begin so.
func without(prefixes ...string) func([]safetensors.Values, map[string]string) []safetensors.Values {
	return func(all []safetensors.Values, metadata map[string]string) []safetensors.Values {
		delete(metadata, keyMean)
		return slices.DeleteFunc(all, func(v safetensors.Values) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v.Name, p) })
		})
	}
}

func TestFilesOfOtherPrograms(t *testing.T) {
	open := func(path string) *File {
		t.Helper()
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	rgb := small("resnet6", 3, 7)
	path := write(t, rgb, without("fc."))
	if f := open(path); f.Source != "ImageNet" || network.NormaliseBy(f.Model.Mean, f.Model.Std) != network.NormaliseByImageNet || f.Model.Outputs != 0 || f.Model.Padding != network.Symmetric {
		t.Errorf("%+v, %s", f.Model, f.Source)
	} else if weights, err := f.Weights(); err != nil || weights["head/bias"] != nil || weights["stem/conv/kernel"] == nil {
		t.Errorf("a file without a head has %d tensors, %v", len(weights), err)
	}
	if f := open(write(t, small("resnet6", 4, 7), without())); f.Model.Mean != nil || f.Channels != 4 {
		t.Errorf("%+v", f.Model)
	}
	config := filepath.Join(filepath.Dir(path), "config.json")
	for _, c := range []struct{ text, want string }{
		{`{"architecture": "resnet6", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}`, ""},
		{`{"architecture": "resn`, "config.json"},
		{`[]`, "config.json"},
		{`{"architecture": "resnetblur50"}`, `the architecture "resnetblur50"`},
		{`{"architecture": "resnet6", "pretrained_cfg": {"mean": [0.5], "std": [0.25]}}`, "1 means of channels: expected 3"},
		{`{"architecture": "resnet6", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0]}}`, "channel 2"},
	} {
		if err := os.WriteFile(config, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.text, err, c.want)
		}
		if c.want == "" && (f.Model.Mean[0] != 0.5 || f.Model.Std[0] != 0.25 || f.Source != config) {
			t.Errorf("%+v by %s", f.Model, f.Source)
		}
	}
}

func TestOtherNetworks(t *testing.T) {
	add := func(v safetensors.Values) func([]safetensors.Values, map[string]string) []safetensors.Values {
		return func(all []safetensors.Values, _ map[string]string) []safetensors.Values { return append(all, v) }
	}
	shrink := func(name string, shape ...int64) func([]safetensors.Values, map[string]string) []safetensors.Values {
		return func(all []safetensors.Values, _ map[string]string) []safetensors.Values {
			for i := range all {
				if all[i].Name == name {
					all[i].Shape, all[i].Values = shape, all[i].Values[:safetensors.Tensor{Shape: shape}.Elements()]
				}
			}
			return all
		}
	}
	one := []float32{1}
	for _, c := range []struct {
		change func([]safetensors.Values, map[string]string) []safetensors.Values
		want   string
	}{
		{without("layer2.0.conv2"), "the nearest is resnet6: layer2.0.conv2.weight is missing"},
		{add(safetensors.Values{Name: "layer1.0.se.fc1.weight", DType: safetensors.F32, Shape: []int64{1}, Values: one}), `"layer1.0.se.fc1.weight" is none of its tensors`},
		{shrink("layer1.0.conv2.weight", 64, 2, 3, 3), "layer1.0.conv2.weight has the shape [64 2 3 3], expected [64 64 3 3]"},
		{shrink("conv1.weight", 64, 0, 7, 7), "images of 0 channels"},
		{shrink("fc.bias", 3), "fc.weight has the shape [7 128], expected [3 128]"},
		{shrink("fc.bias", 7, 1), "is none of its tensors"},
		{without("fc.bias"), "fc.weight"},
		{func(all []safetensors.Values, _ map[string]string) []safetensors.Values {
			for i := range all {
				all[i].Name = "module." + all[i].Name
			}
			return all
		}, `the names of a network's tensors begin with "module.": save them again without that`},
		{func([]safetensors.Values, map[string]string) []safetensors.Values { return nil }, "is missing"},
		{func(all []safetensors.Values, m map[string]string) []safetensors.Values { m[keyStd] = "x"; return all }, keyStd},
		{func(all []safetensors.Values, m map[string]string) []safetensors.Values {
			m[keyStd] = "[1]"
			return all
		}, "1 standard deviations"},
		{func(all []safetensors.Values, m map[string]string) []safetensors.Values {
			m[keyPadding] = `"x"`
			return all
		}, "padding x"},
	} {
		f, err := Open(write(t, small("resnet6", 3, 7), c.change))
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, expected %q", err, c.want)
		}
	}
	zip := filepath.Join(t.TempDir(), "resnet50.pth")
	if err := os.WriteFile(zip, []byte("PK\x03\x04 and so on, many bytes"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(zip); err == nil || !strings.Contains(err.Error(), "torch.save") {
		t.Error(err)
	}
}
