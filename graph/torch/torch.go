// Package torch reads and writes the weights of ResNets as safetensors files in PyTorch's world have
// them: under the names that torchvision (torchvision/models/resnet.py) and timm (timm/models/resnet.py)
// share, in PyTorch's layouts.
//
//	f, err := torch.Open(path)        // which network it is, by the names and shapes of all tensors
//	weights, err := f.Weights()       // under the names and in the layouts of package network
//	err = torch.Write(w, cfg, weights)
//
// The network of a file has network.Symmetric padding. Its logits are PyTorch's up to rounding, if images
// are normalised as the weights expect: File.Model has the mean and standard deviation if the file's
// writer recorded them.
package torch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"galaxy/data/imagefile"
	"galaxy/graph/network"
	"galaxy/internal/durable"
	"galaxy/internal/safetensors"
	"galaxy/internal/usage"
)

// Keys of a file's metadata that Write adds: JSON of the fields with these names in config.json.
const (
	keyPadding = "galaxy.padding"
	keyMean    = "galaxy.channel_mean"
	keyStd     = "galaxy.channel_std"
)

// Extension is the end of the names of files that Open reads.
const Extension = ".safetensors"

// File is an open file with a network's weights.
type File struct {
	// Model describes the network: Arch, Padding, Outputs and the number of channels (Mean, Std). Size is the
	// least. Outputs is 0 for a file without a head. Mean and Std are the statistics that the weights
	// expect, those of ImageNet for three channels if nothing records them, and nil if they are unknown.
	Model network.Config
	// Channels is the number of an image's channels.
	Channels int
	// Source names what recorded Mean and Std: the file, a config.json or ImageNet.
	Source string
	// Variables are those of the network, in the order of computation, without the head's if there is none.
	Variables []network.Variable

	file    *safetensors.File
	tensors map[string]safetensors.Tensor
}

// Open opens the safetensors file at path and finds its network: every tensor must have the name and shape of
// one in that network, or be a count of batches. A file config.json next to it, as Hugging Face's
// repositories of timm's weights have it, must be that of a ResNet of this package. Close must be
// called.
func Open(path string) (_ *File, err error) {
	s, err := safetensors.Open(path)
	if err != nil {
		return nil, pickled(path, err)
	}
	f := &File{file: s, tensors: map[string]safetensors.Tensor{}}
	for _, t := range s.Tensors {
		if !strings.HasSuffix(t.Name, ".num_batches_tracked") { // how many steps its averages have seen
			f.tensors[t.Name] = t
		}
	}
	if err = f.find(); err == nil {
		err = f.statistics(filepath.Join(filepath.Dir(path), "config.json"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("weights of %s: %w%s", path, err, f.prefixed()), s.Close())
	}
	return f, nil
}

// prefixed says what to do if the network is part of another module, such as "module." of DataParallel.
func (f *File) prefixed() string {
	for _, t := range f.file.Tensors { // in an order that does not change
		prefix, ok := strings.CutSuffix(t.Name, "conv1.weight")
		_, has := f.tensors[prefix+"layer1.0.conv1.weight"]
		if ok && has && prefix != "" {
			return fmt.Sprintf("; the names of a network's tensors begin with %.80q: save them again without that", prefix)
		}
	}
	return ""
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// pickled adds to an error what to do about a file of torch.save.
func pickled(path string, err error) error {
	f, e := os.Open(path)
	if e != nil {
		return err
	}
	defer f.Close()
	start := make([]byte, 4)
	if _, e := io.ReadFull(f, start); e != nil || string(start) != "PK\x03\x04" && start[0] != 0x80 {
		return err
	}
	return fmt.Errorf("%w; it looks like a file of torch.save, which is a program: in Python, safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW) writes its tensors alone", err)
}

// Published reports whether torchvision and timm have a network of this name. The others are too small for them.
func Published(arch string) bool {
	return slices.Contains([]string{"resnet18", "resnet34", "resnet50", "resnet101"}, arch)
}

// nameOf returns the name in PyTorch of a network's variable.
func nameOf(variable string) string {
	layer, part := variable[:strings.LastIndexByte(variable, '/')], variable[strings.LastIndexByte(variable, '/')+1:]
	part = map[string]string{
		"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
	}[part]
	var stage, block int
	switch n, _ := fmt.Sscanf(layer, "stage%d/block%d/", &stage, &block); {
	case n == 2:
		place := strings.SplitN(layer, "/", 3)[2]
		place = strings.NewReplacer("shortcut/conv", "downsample.0", "shortcut/bn", "downsample.1").Replace(place)
		layer = fmt.Sprintf("layer%d.%d.%s", stage, block-1, place)
	case layer == "head":
		layer = "fc"
	default: // stem/conv, stem/bn
		layer = strings.TrimPrefix(layer, "stem/") + "1"
	}
	return layer + "." + part
}

// order returns for a variable of this many dimensions the order of its dimensions in PyTorch: a
// convolution's kernel is [height, width, in, out] here and [out, in, height, width] there, a matrix
// [in, out] and [out, in].
func order(dimensions int) []int {
	return [][]int{{}, {0}, {1, 0}, nil, {3, 2, 0, 1}}[dimensions]
}

// reorder returns the dimensions of shape in an order.
func reorder(shape []int64, order []int) []int64 {
	out := make([]int64, len(shape))
	for i, from := range order {
		out[i] = shape[from]
	}
	return out
}

// transpose returns the values of a tensor with the dimensions in an order. shape is that of values, row-major.
func transpose(values []float32, shape []int64, order []int) []float32 {
	out := make([]float32, len(values))
	steps := make([]int, len(shape)) // in values, of each dimension
	step := 1
	for i, n := range slices.Backward(shape) {
		steps[i] = step
		step *= int(n)
	}
	to := reorder(shape, order)
	at := make([]int64, len(to))
	from := 0
	for i := range out {
		out[i] = values[from]
		for d := len(to) - 1; d >= 0; d-- { // the next place
			from += steps[order[d]]
			if at[d]++; at[d] < to[d] {
				break
			}
			from -= int(to[d]) * steps[order[d]]
			at[d] = 0
		}
	}
	return out
}

// inverse returns the order that undoes another.
func inverse(order []int) []int {
	back := make([]int, len(order))
	for i, from := range order {
		back[from] = i
	}
	return back
}

// find finds the network whose variables are the file's tensors, each by name and shape.
func (f *File) find() error {
	f.Channels = 3
	if t, ok := f.tensors["conv1.weight"]; ok && len(t.Shape) == 4 {
		f.Channels = int(min(t.Shape[1], imagefile.MaxBands+1))
	}
	if f.Channels < 1 || f.Channels > imagefile.MaxBands {
		return fmt.Errorf("images of %d channels: expected 1 to %d", f.tensors["conv1.weight"].Shape[1], imagefile.MaxBands)
	}
	outputs := 0
	if t, ok := f.tensors["fc.bias"]; ok && len(t.Shape) == 1 && t.Shape[0] > 0 && t.Shape[0] < 1<<20 {
		outputs = int(t.Shape[0])
	}
	var nearest error
	least := 0
	for _, arch := range network.Names() {
		n, err := network.Named(arch)
		if err != nil {
			return err
		}
		cfg := network.Config{Arch: arch, Padding: network.Symmetric, Precision: network.Float32, Size: n.Stride, Outputs: outputs, Mean: make([]float64, f.Channels), Std: make([]float64, f.Channels)}
		variables, err := variablesOf(cfg)
		if err != nil {
			return err
		}
		differs, err := f.compare(variables)
		if err == nil {
			cfg.Mean, cfg.Std = nil, nil
			f.Model, f.Variables = cfg, variables
			return nil
		}
		if nearest == nil || differs < least {
			least, nearest = differs, fmt.Errorf("it has no network that galaxy knows (%s); the nearest is %s: %w", usage.OneOf(network.Names()), arch, err)
		}
	}
	return nearest
}

// variablesOf lists the variables of a network, without the head's if it has no outputs or is a projector.
func variablesOf(cfg network.Config) ([]network.Variable, error) {
	headless := cfg.Outputs == 0 || cfg.Projector.IsSet()
	cfg.Outputs = max(1, cfg.Outputs)
	variables, err := cfg.Variables()
	if headless {
		variables = slices.DeleteFunc(variables, func(v network.Variable) bool { return strings.HasPrefix(v.Name, "head/") })
	}
	return variables, err
}

// compare returns how many tensors differ from those of a network, and describes them.
func (f *File) compare(variables []network.Variable) (differs int, err error) {
	var first string
	differ := func(format string, args ...any) {
		if differs++; first == "" {
			first = fmt.Sprintf(format, args...)
		}
	}
	known := map[string]bool{}
	for _, v := range variables {
		name := nameOf(v.Name)
		known[name] = true
		expected := reorder(v.Shape, order(len(v.Shape)))
		t, ok := f.tensors[name]
		switch {
		case !ok:
			differ("%s is missing", name)
		case !slices.Equal(t.Shape, expected):
			differ("%s has the shape %v, expected %v", name, t.Shape, expected)
		}
	}
	for _, t := range f.file.Tensors { // in an order that does not change
		if _, ours := f.tensors[t.Name]; ours && !known[t.Name] {
			differ("%.80q is none of its tensors", t.Name)
		}
	}
	switch differs {
	case 0:
		return 0, nil
	case 1:
		return 1, errors.New(first)
	}
	return differs, fmt.Errorf("%d tensors differ, the first: %s", differs, first)
}

// statistics finds the mean and standard deviation that the weights expect: in the file's metadata, in the config.json of timm's
// repositories, or ImageNet's.
func (f *File) statistics(config string) error {
	if _, ok := f.file.Metadata[keyMean]; ok {
		for key, to := range map[string]any{keyMean: &f.Model.Mean, keyStd: &f.Model.Std, keyPadding: &f.Model.Padding} {
			if err := json.Unmarshal([]byte(f.file.Metadata[key]), to); err != nil {
				return fmt.Errorf("metadata %s %q: %w", key, f.file.Metadata[key], err)
			}
		}
		f.Source = "the file"
		return f.checkStatistics("its metadata")
	}
	raw, err := durable.ReadFile(config, durable.MaxText)
	if err == nil {
		// https://huggingface.co/docs/timm has such files; those of other libraries have neither key.
		var timm struct {
			Architecture string `json:"architecture"`
			Pretrained   struct {
				Mean []float64 `json:"mean"`
				Std  []float64 `json:"std"`
			} `json:"pretrained_cfg"`
		}
		if err := json.Unmarshal(raw, &timm); err != nil {
			return fmt.Errorf("read %s, which may say what the weights expect: %w", config, err)
		}
		if timm.Architecture != "" {
			if timm.Architecture != f.Model.Arch {
				return fmt.Errorf("%s has the architecture %q, whose layers differ from %s's; expected one of %s", config, timm.Architecture, f.Model.Arch, usage.OneOf(network.Names()))
			}
			if len(timm.Pretrained.Mean) > 0 {
				f.Model.Mean, f.Model.Std, f.Source = timm.Pretrained.Mean, timm.Pretrained.Std, config
				return f.checkStatistics(config)
			}
		}
	}
	if f.Channels == 3 { // as torchvision's weights expect it, and timm's by default
		f.Model.Mean, f.Model.Std, err = network.NormaliseByImageNet.Statistics()
		f.Source = "ImageNet"
		return err
	}
	return nil
}

// checkStatistics checks what where records.
func (f *File) checkStatistics(where string) error {
	check := f.Model
	check.Outputs = max(1, check.Outputs)
	err := check.Validate()
	if err == nil && len(check.Mean) != f.Channels {
		err = fmt.Errorf("%d means of channels: expected %d", len(check.Mean), f.Channels)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// Weights reads the values of all Variables. One that is not finite is an error, and so is a negative variance.
func (f *File) Weights() (network.Weights, error) {
	weights := network.Weights{}
	for _, v := range f.Variables {
		values, err := f.file.Floats(f.tensors[nameOf(v.Name)])
		if err == nil {
			err = checkValues(v, nameOf(v.Name), values)
		}
		if err != nil {
			return nil, err
		}
		to := order(len(v.Shape))
		weights[v.Name] = transpose(values, reorder(v.Shape, to), inverse(to))
	}
	return weights, nil
}

// checkValues checks the values of v, which messages call by name.
func checkValues(v network.Variable, name string, values []float32) error {
	variance := strings.HasSuffix(v.Name, "/moving_variance")
	for _, x := range values {
		switch {
		case x-x != 0:
			return fmt.Errorf("tensor %s holds %v: expected finite numbers", name, x)
		case variance && x < 0:
			return fmt.Errorf("tensor %s holds %v: a variance is 0 or more", name, x)
		}
	}
	return nil
}

// Write writes the weights of the network that cfg describes to w, float32, without a projector's, with what cfg.Mean, cfg.Std and cfg.Padding record.
func Write(w io.Writer, cfg network.Config, weights network.Weights) error {
	variables, err := variablesOf(cfg)
	if err != nil {
		return err
	}
	var tensors []safetensors.Values
	for _, v := range variables {
		values := weights[v.Name]
		if len(values) != v.Elements() {
			return fmt.Errorf("weights of %s: expected %d values, found %d", v.Name, v.Elements(), len(values))
		}
		if err := checkValues(v, v.Name, values); err != nil {
			return err
		}
		to := order(len(v.Shape))
		tensors = append(tensors, safetensors.Values{
			Name: nameOf(v.Name), DType: safetensors.F32, Shape: reorder(v.Shape, to), Values: transpose(values, v.Shape, to),
		})
		if norm, ok := strings.CutSuffix(v.Name, "/moving_mean"); ok {
			// PyTorch counts the steps of batch norm for averages of no fixed momentum. These
			// networks have one, and nothing reads the count.
			name := strings.TrimSuffix(nameOf(norm+"/beta"), "bias") + "num_batches_tracked"
			tensors = append(tensors, safetensors.Values{Name: name, DType: safetensors.I64, Shape: []int64{}, Values: []float32{0}})
		}
	}
	metadata := map[string]string{"format": "pt"} // which libraries of PyTorch's world look for
	for key, value := range map[string]any{keyMean: cfg.Mean, keyStd: cfg.Std, keyPadding: cmp.Or(cfg.Padding, network.Same)} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode metadata %s: %w", key, err)
		}
		metadata[key] = string(text)
	}
	return safetensors.Write(w, tensors, metadata)
}
