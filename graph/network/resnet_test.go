package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/data/imagefile"
	"galaxy/graph/graphtest"
	"galaxy/graph/images"
	"galaxy/graph/session"
)

func testConfig(size int, p Precision) Config {
	return Config{Size: size, Outputs: 5, Precision: p, Mean: []float64{.1, .2, .3}, Std: []float64{.2, .2, .3}}
}

// variablesOf lists the variables of a network.
func variablesOf(t *testing.T, cfg Config) []Variable {
	t.Helper()
	all, err := cfg.Variables()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// He et al. 2015, table 1. The layers are the head and the convolutions except projections. The
// numbers of parameters are torchvision's, with a head of 1,000 outputs.
func TestResNetsAreThePublishedOnes(t *testing.T) {
	for _, c := range []struct {
		arch               string
		layers, parameters int
	}{
		{"resnet18", 18, 11_689_512}, {"resnet34", 34, 21_797_672}, {"resnet50", 50, 25_557_032}, {"resnet101", 101, 44_549_160},
		{"resnet6", 6, 442_664}, {"resnet8", 8, 976_936},
	} {
		cfg := testConfig(64, Float32)
		cfg.Arch, cfg.Outputs = c.arch, 1000
		total, layers := 0, 1
		for _, v := range variablesOf(t, cfg) {
			if v.Trainable {
				total += v.Elements()
			}
			if len(v.Shape) == 4 && !strings.Contains(v.Name, "shortcut") {
				layers++
			}
			if want := strings.HasSuffix(v.Name, "/kernel"); v.Decay != want {
				t.Errorf("%s: weight decay %v, expected %v", v.Name, v.Decay, want)
			}
			if want := !strings.Contains(v.Name, "/moving_"); v.Trainable != want {
				t.Errorf("%s: trainable %v, expected %v", v.Name, v.Trainable, want)
			}
		}
		if total != c.parameters || layers != c.layers {
			t.Errorf("%s: %d layers and %d trainable parameters, expected %d and %d", c.arch, layers, total, c.layers, c.parameters)
		}
	}
}

// Every network's convolutions end at the size given by its stride, and a bottleneck
// block has its stride in the 3×3 convolution.
func TestConvolutions(t *testing.T) {
	for _, n := range networks {
		for _, size := range []int{n.Stride, 64, 69} {
			all, err := n.Convolutions(imagefile.Shape{Size: size, Channels: 3})
			if err != nil {
				t.Fatal(err)
			}
			if first := (Convolution{"stem/conv/kernel", 7, 3, 64, 2, int64(size)}); all[0] != first {
				t.Errorf("%s, %d px: the first convolution is %+v, expected %+v", n.Name, size, all[0], first)
			}
			if got := all[len(all)-1].OutputSize(); got != int64(n.FinalSize(size)) {
				t.Errorf("%s, %d px: the last convolution's output has %d px, expected %d", n.Name, size, got, n.FinalSize(size))
			}
			for _, c := range all[1:] {
				if c.Stride != 1 && c.Taps != 3 && !strings.Contains(c.Kernel, "shortcut") {
					t.Errorf("%s: %+v has a stride", n.Name, c)
				}
			}
		}
	}
	n, err := Named("resnet50")
	if err != nil {
		t.Fatal(err)
	}
	all, err := n.Convolutions(imagefile.Shape{Size: 64, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Convolution{
		{"stage1/block1/shortcut/conv/kernel", 1, 64, 256, 1, 16}, {"stage2/block1/conv1/kernel", 1, 256, 128, 1, 16},
		{"stage2/block1/conv2/kernel", 3, 128, 128, 2, 16}, {"stage4/block3/conv3/kernel", 1, 512, 2048, 1, 2},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("resnet50 has no %+v", want)
		}
	}
}

// Checkpoints are read by these names: changing a name changes the format.
func TestVariableNames(t *testing.T) {
	var names []string
	for _, v := range variablesOf(t, testConfig(32, Float32)) {
		names = append(names, fmt.Sprint(v.Name, v.Shape))
	}
	if len(names) != 36+36*4+2 {
		t.Errorf("%d variables, expected 36 kernels, 36 batch norms of 4 and the head's 2", len(names))
	}
	for _, want := range []string{
		"stem/conv/kernel[7 7 3 64]", "stem/bn/gamma[64]", "stem/bn/beta[64]", "stem/bn/moving_mean[64]", "stem/bn/moving_variance[64]",
		"stage1/block1/conv1/kernel[3 3 64 64]", "stage1/block3/bn2/gamma[64]",
		"stage2/block1/shortcut/conv/kernel[1 1 64 128]", "stage2/block1/shortcut/bn/moving_mean[128]",
		"stage2/block1/conv1/kernel[3 3 64 128]", "stage2/block4/conv2/kernel[3 3 128 128]",
		"stage3/block6/conv2/kernel[3 3 256 256]", "stage4/block3/conv2/kernel[3 3 512 512]",
		"head/kernel[512 5]", "head/bias[5]",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("no variable %s", want)
		}
	}
}

func TestDropout(t *testing.T) {
	const n, rate = 20_000, .3
	s := tg.NewRoot()
	x := op.Fill(s, tg.Const(s, []int32{n, 1}), tg.Const(s, float32(2)))
	seed := session.Placeholder(s, "seed", tf.Int64, 2)
	y := dropout(s.SubScope("dropout"), x, rate, images.Random{Key: seed})
	g := graphtest.Finalize(t, s)
	draw := func(key, step int64) []float32 {
		k, err := tf.NewTensor([]int64{key, step})
		if err != nil {
			t.Fatal(err)
		}
		values, err := session.Floats(graphtest.Run(t, g, graphtest.Feeds{seed: k}, y)[0])
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	a := draw(1, 1)
	zeros := 0
	for _, v := range a {
		switch {
		case v == 0:
			zeros++
		case math.Abs(float64(v)-2/(1-rate)) > 1e-6:
			t.Fatalf("value %v: expected 0 or %v", v, 2/(1-rate))
		}
	}
	if sd := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(zeros)-n*rate) > 5*sd {
		t.Errorf("%d of %d dropped, expected %v ± %v", zeros, n, n*rate, 5*sd)
	}
	if !slices.Equal(a, draw(1, 1)) {
		t.Error("the same key gave another mask")
	}
	for _, other := range [][2]int64{{1, 2}, {2, 1}} {
		if slices.Equal(a, draw(other[0], other[1])) {
			t.Errorf("key %v gave the mask of key [1 1]", other)
		}
	}
}

// The gradients of a convolution with batch norm in training mode, from
// TensorFlow's C++ code, are compared with central differences.
func TestConvNormGradient(t *testing.T) {
	for _, stride := range []int64{1, 2} {
		s := tg.NewRoot()
		r := rand.New(rand.NewPCG(uint64(stride), 3))
		random := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
			return v
		}
		feeds := graphtest.Feeds{}
		input := func(name string, shape ...int64) tf.Output {
			p := session.Placeholder(s, name, tf.Float, shape...)
			v, err := session.Float32Tensor(random(int(session.Elements(shape))), shape...)
			if err != nil {
				t.Fatal(err)
			}
			feeds[p] = v
			return p
		}
		x := input("x", 2, 5, 5, 3)
		kernel := Variable{Name: "conv/kernel", Shape: []int64{3, 3, 3, 4}}
		gamma, beta, mean, variance := normVariables("bn", 4)
		vars := NewVariables(s, "")
		for _, v := range []Variable{kernel, gamma, beta, mean, variance} {
			vars.Reads[v.Name] = input("in/"+v.Name, v.Shape...)
		}
		n := &Builder{Config: testConfig(32, Float32), Params: vars, Training: true, Stats: map[string]tf.Output{}}
		y := vars.convNorm(s.SubScope("layer"), n, x, kernel, "bn", stride, epilogue{})
		// A weighted sum: the plain one does not depend on x after batch norm.
		shape, err := y.Shape().ToSlice()
		if err != nil {
			t.Fatal(err)
		}
		w := input("weights", shape...)
		loss := op.Mean(s, op.Mul(s, y, w), tg.Const(s, []int32{0, 1, 2, 3}))
		g := graphtest.Finalize(t, s)
		for _, by := range []tf.Output{x, vars.Reads[kernel.Name], vars.Reads[gamma.Name], vars.Reads[beta.Name]} {
			graphtest.CheckGradient(t, graphtest.Gradient{Graph: g, Y: loss, X: by, Feeds: feeds, Noise: 64})
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Size = 31 }, "size 31: expected images of 32 to 1024 pixels"},
		{func(c *Config) { c.Arch = "vgg" }, "arch vgg: expected one of " + strings.Join(Names(), ", ")},
		{func(c *Config) { c.Arch, c.Size = "resnet6", 8 }, ""},
		{func(c *Config) { c.Outputs = 0 }, "outputs 0"},
		{func(c *Config) { c.Padding = Symmetric }, ""},
		{func(c *Config) { c.Padding = "valid" }, "padding valid: expected same or symmetric"},
		{func(c *Config) { c.Precision = Auto }, `precision auto: expected float32, bfloat16 or float16`},
		{func(c *Config) { c.Dropout = 1 }, "dropout 1"},
		{func(c *Config) { c.Dropout = math.NaN() }, "dropout NaN"},
		{func(c *Config) { c.Std[1] = 0 }, "channel 1"},
		{func(c *Config) { c.Mean[2] = math.Inf(1) }, "channel 2"},
	} {
		cfg := testConfig(32, Float32)
		c.change(&cfg)
		err := cfg.Validate()
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, expected %q", err, c.want)
		}
	}
}

func TestPrecision(t *testing.T) {
	if p := Auto.Resolve(false); p != Float32 && p != BFloat16 {
		t.Errorf("auto is %q, expected a precision a graph can be built in", p)
	}
	if p := Auto.Resolve(true); p != Float32 {
		t.Errorf("auto on a GPU is %q, expected the one that every GPU has", p)
	}
	if p := BFloat16.Resolve(true); p != BFloat16 {
		t.Errorf("bfloat16 is %q", p)
	}
	if err := Precision("float8").Validate(); err == nil || !strings.Contains(err.Error(), "float8") {
		t.Errorf("got %v, expected an error that names float8", err)
	}
}
