package graph

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/internal/arch"
)

// resNet34 has a test build the published network, also with -short. Such a test cannot be
// parallel: those that are begin when all others have ended.
func resNet34(t *testing.T) {
	was := arch.Stages
	t.Cleanup(func() { arch.Stages = was })
	arch.Stages = arch.ResNet34
}

// inFull has a test build the published network, in gigabytes of memory and on all cores, or
// with -short the small one beside other tests.
func inFull(t *testing.T) {
	if testing.Short() {
		t.Parallel()
	} else {
		resNet34(t)
	}
}

// inferenceVariables builds the network and lists its variables.
func inferenceVariables(t *testing.T, cfg Config) []Variable {
	t.Helper()
	g, err := NewInferenceGraph(cfg, sigmoid, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g.Variables
}

// He et al. 2016, table 1: 3+4+6+3 basic blocks of two convolutions, a stem and
// a head are 34 layers; the three projections are not counted. The number of
// parameters is that of every ResNet34 in circulation, which has 21,797,672
// with a head of 1,000 outputs.
func TestResNet34IsThePublishedOne(t *testing.T) {
	resNet34(t)
	cfg := testConfig(64, Float32)
	cfg.Outputs = 1000
	total, convolutions := 0, 0
	for _, v := range inferenceVariables(t, cfg) {
		if v.Trainable {
			total += v.Elements()
		}
		if len(v.Shape) == 4 && !strings.Contains(v.Name, "shortcut") {
			convolutions++
		}
		if want := strings.HasSuffix(v.Name, "/kernel"); v.Decay != want {
			t.Errorf("%s: weight decay %v, expected %v", v.Name, v.Decay, want)
		}
		if want := !strings.Contains(v.Name, "/moving_"); v.Trainable != want {
			t.Errorf("%s: trainable %v, expected %v", v.Name, v.Trainable, want)
		}
	}
	if total != 21_797_672 {
		t.Errorf("%d trainable parameters, expected 21797672", total)
	}
	if convolutions != 33 {
		t.Errorf("%d convolutions on the main path, expected 33", convolutions)
	}
}

// Checkpoints are read by these names: changing one is changing the format.
func TestVariableNames(t *testing.T) {
	resNet34(t)
	var names []string
	for _, v := range inferenceVariables(t, testConfig(32, Float32)) {
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

func TestInit(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 2)
	tr := newTestTrainer(t, cfg)
	a, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Init(2); err != nil {
		t.Fatal(err)
	}
	b, err := tr.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range tr.Variables() {
		w := a[v.Name]
		var sum, squares, largest float64
		for _, x := range w {
			sum, squares, largest = sum+float64(x), squares+float64(x)*float64(x), math.Max(largest, math.Abs(float64(x)))
		}
		n := float64(len(w))
		switch {
		case strings.HasSuffix(v.Name, "/kernel"):
			fanIn := n / float64(v.Shape[len(v.Shape)-1])
			want := math.Sqrt(2 / fanIn)
			// Five standard errors of a standard deviation.
			if got := math.Sqrt(squares / n); math.Abs(got/want-1) > 5/math.Sqrt(2*n) {
				t.Errorf("%s: standard deviation %v, expected √(2/%v) = %v", v.Name, got, fanIn, want)
			}
			if math.Abs(sum/n) > 5*want/math.Sqrt(n) {
				t.Errorf("%s: mean %v, expected about 0", v.Name, sum/n)
			}
			if cut := 2 * want / .87962566103423978; largest > cut*1.0001 {
				t.Errorf("%s: largest value %v, expected none beyond %v", v.Name, largest, cut)
			}
			if slices.Equal(w, b[v.Name]) {
				t.Errorf("%s: the same values from two seeds", v.Name)
			}
		case strings.HasSuffix(v.Name, "/gamma"), strings.HasSuffix(v.Name, "/moving_variance"):
			if sum != n || squares != n {
				t.Errorf("%s: expected ones", v.Name)
			}
		default:
			if largest != 0 {
				t.Errorf("%s: expected zeros", v.Name)
			}
		}
	}
	if slices.Equal(a["stage1/block1/conv1/kernel"], a["stage1/block1/conv2/kernel"]) {
		t.Error("two kernels of one shape have the same first values")
	}
}

func TestNormalise(t *testing.T) {
	s := tg.NewRoot()
	cfg := testConfig(32, Float32)
	pixels := make([]byte, 3*256)
	for i := range pixels {
		pixels[i] = byte(i / 3)
	}
	in, err := uint8Tensor(pixels, 1, 16, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	x := (&network{cfg: cfg}).normalise(s.SubScope("normalise"), tg.Const(s, in), random{})
	got, err := floats(graphtest.Run(t, graphtest.Finalize(t, s), nil, x)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		want := (float64(pixels[i])/255 - cfg.Mean[i%3]) / cfg.Std[i%3]
		if math.Abs(float64(g)-want) > 1e-6*(1+math.Abs(want)) {
			t.Fatalf("channel %d, pixel %d: %v, expected %v", i%3, pixels[i], g, want)
		}
	}
}

func TestDropout(t *testing.T) {
	const n, rate = 20_000, .3
	s := tg.NewRoot()
	x := op.Fill(s, tg.Const(s, []int32{n, 1}), tg.Const(s, float32(2)))
	seed := placeholder(s, "seed", tf.Int64, 2)
	y := dropout(s.SubScope("dropout"), x, rate, random{seed: seed})
	g := graphtest.Finalize(t, s)
	draw := func(key, step int64) []float32 {
		k, err := tf.NewTensor([]int64{key, step})
		if err != nil {
			t.Fatal(err)
		}
		values, err := floats(graphtest.Run(t, g, graphtest.Feeds{seed: k}, y)[0])
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

// The gradients of a convolution with batch norm in training mode, by
// TensorFlow's C++ code, against central differences.
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
			p := placeholder(s, name, tf.Float, shape...)
			v, err := float32Tensor(random(int(elements(shape))), shape...)
			if err != nil {
				t.Fatal(err)
			}
			feeds[p] = v
			return p
		}
		x := input("x", 2, 5, 5, 3)
		kernel := Variable{Name: "conv/kernel", Shape: []int64{3, 3, 3, 4}}
		gamma, beta, mean, variance := normVariables("bn", 4)
		vars := newVariables(s, "")
		for _, v := range []Variable{kernel, gamma, beta, mean, variance} {
			vars.reads[v.Name] = input("in/"+v.Name, v.Shape...)
		}
		n := &network{cfg: testConfig(32, Float32), params: vars, training: true, stats: map[string]tf.Output{}}
		y := vars.convNorm(s.SubScope("layer"), n, x, kernel, "bn", stride, after{})
		// A weighted sum: the plain one does not depend on x after batch norm.
		shape, err := y.Shape().ToSlice()
		if err != nil {
			t.Fatal(err)
		}
		w := input("weights", shape...)
		loss := op.Mean(s, op.Mul(s, y, w), tg.Const(s, []int32{0, 1, 2, 3}))
		g := graphtest.Finalize(t, s)
		for _, by := range []tf.Output{x, vars.reads[kernel.Name], vars.reads[gamma.Name], vars.reads[beta.Name]} {
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
		{func(c *Config) { c.Size = 31 }, "image size 31: expected 32 to 1024"},
		{func(c *Config) { c.Outputs = 0 }, "outputs 0"},
		{func(c *Config) { c.Precision = Auto }, `precision "auto": expected float32, bfloat16 or float16`},
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

// Through 34 layers logits and loss stay near those of float32, which parity holds against
// float64: bfloat16 keeps 8 bits of a value, float16 11. So it is with every set of kernels.
// Gradients are judged layer by layer (TestConvolutions): batch norm and ReLU make of a
// rounding error in the first layer half of the last one's gradient, in any precision.
func TestPrecisionsAreNearFloat32(t *testing.T) {
	resNet34(t)
	compute := func(p Precision) (loss float64, logits []float32) {
		cfg := testTrainerConfig(32, 8)
		cfg.Model.Precision = p
		tr := newTestTrainer(t, cfg)
		images, labels := testBatch(cfg, 5)
		out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, LearningRate: 1e-6})
		if err != nil {
			t.Fatal(err)
		}
		if logits, _, err = tr.Predict(images); err != nil {
			t.Fatal(err)
		}
		return out.Loss, logits
	}
	wantLoss, want := compute(Float32)
	for _, c := range []struct {
		precision    Precision
		loss, logits float64
	}{{BFloat16, .02, .05}, {Float16, .01, .005}} {
		loss, logits := compute(c.precision)
		var distance, size float64
		for i, x := range want {
			d := float64(x - logits[i])
			distance, size = distance+d*d, size+float64(x)*float64(x)
		}
		far := math.Sqrt(distance / size)
		t.Logf("%s: loss %v, in float32 %v; logits %.5f of their size away from float32's", c.precision, loss, wantLoss, far)
		if !(math.Abs(loss-wantLoss) <= c.loss*wantLoss) {
			t.Errorf("%s: loss %v, in float32 %v: expected at most %v of it between them", c.precision, loss, wantLoss, c.loss)
		}
		if !(far <= c.logits) || far == 0 {
			t.Errorf("%s: logits are %.5f of their size away from float32's, expected at most %v, and more than 0", c.precision, far, c.logits)
		}
	}
}

func TestTrainerRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*TrainerConfig)
		want   string
	}{
		{func(c *TrainerConfig) { c.Batch = 1 }, "batch norm needs at least 2"},
		{func(c *TrainerConfig) { c.Model.Size = 8 }, "image size 8"},
		{func(c *TrainerConfig) { c.Optimizer.Kind = "lamb" }, `optimizer "lamb"`},
		{func(c *TrainerConfig) { c.Session.Threads = -1 }, "threads -1"},
		{func(c *TrainerConfig) {
			c.Loss = func(s *op.Scope, logits, labels tf.Output) tf.Output { return op.MatMul(s, logits, labels) }
		}, "MatMul"},
		{func(c *TrainerConfig) {
			c.Posterior = func(*op.Scope, tf.Output) tf.Output { panic("boom") }
		}, "boom"},
	} {
		cfg := testTrainerConfig(32, 2)
		c.change(&cfg)
		tr, err := NewTrainer(cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, expected an error about %q", err, c.want)
		}
		if tr != nil {
			t.Error("a trainer came with the error")
		}
	}
	cfg := testTrainerConfig(32, 4)
	tr := newTestTrainer(t, cfg)
	images, labels := testBatch(cfg, 1)
	if _, err := tr.Step(StepInput{Batch: Batch{Images: images[1:], Labels: labels}}); err == nil || !strings.Contains(err.Error(), "bytes of images") {
		t.Errorf("got %v, expected an error about the images", err)
	}
	if _, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels[1:]}}); err == nil || !strings.Contains(err.Error(), "labels: expected") {
		t.Errorf("got %v, expected an error about the labels", err)
	}
	if err := tr.Restore(t.TempDir() + "/nothing"); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "restore variables") {
		t.Errorf("got %v, expected an error about the bundle", err)
	}
}
