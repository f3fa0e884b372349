package graph

import (
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/network"
)

// small is the network of tests that are not about a network. The tests of numbers that the
// depth of a network changes use a published one, except with -short.
const (
	small       = "resnet6"
	bottlenecks = "resnet8" // has the other kind of block
	published   = "resnet18"
)

// inFull returns the network for a test: the published one, which needs gigabytes of memory
// and all cores, or with -short the small one, in parallel with other tests. ResNet34 has more of
// the same blocks, and takes twice as long.
func inFull(t *testing.T) string {
	if testing.Short() {
		t.Parallel()
		return small
	}
	return published
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

// Through 34 layers (6 with -short), logits and loss stay near the float32 values, which the parity tests
// compare with float64: bfloat16 keeps 8 bits of a value, float16 11. This holds with every
// set of kernels. Gradients are tested layer by layer (TestConvolutions): batch norm and
// ReLU turn a rounding error in the first layer into half of the last layer's gradient, in
// any precision.
func TestPrecisionsAreNearFloat32(t *testing.T) {
	arch := network.Default
	if testing.Short() {
		arch = small
	}
	compute := func(p network.Precision) (loss float64, logits []float32) {
		cfg := testTrainerConfig(32, 8)
		cfg.Model.Arch, cfg.Model.Precision = arch, p
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
	wantLoss, want := compute(network.Float32)
	for _, c := range []struct {
		precision    network.Precision
		loss, logits float64
	}{{network.BFloat16, .02, .05}, {network.Float16, .01, .005}} {
		if testing.Short() {
			c.logits /= 5 // of fewer layers
		}
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
		{func(c *TrainerConfig) { c.Batch, c.Model.Size = 1, 8 }, "batch norm needs at least 2"},
		{func(c *TrainerConfig) { c.Model.Size = 7 }, "size 7: expected images of 8 to 1024"},
		{func(c *TrainerConfig) { c.Model.Arch = "vgg" }, "arch vgg: expected one of resnet18"},
		{func(c *TrainerConfig) { c.Optimizer.Kind = "lamb" }, "kind lamb: expected sgd, adamw or muon"},
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
