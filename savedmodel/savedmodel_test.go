package savedmodel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/labels"
	"galaxy/savedmodel"
	"galaxy/train/objective"
)

const (
	size    = 32
	outputs = 5
	crop    = 48
)

var params = focal.Params{Alpha: 0.3, Gamma: 1.5}

func modelConfig(precision network.Precision) network.Config {
	return network.Config{
		Arch: "resnet6", Size: size, Outputs: outputs, Precision: precision,
		Mean: []float64{0.1, 0.2, 0.15}, Std: []float64{0.2, 0.1, 0.15},
	}
}

// checkpoint writes one bundle of random weights for all tests: He-normal
// kernels, and batch norm with scales, shifts and averages that all affect the
// result.
var checkpoint = sync.OnceValues(func() (string, error) {
	inf, err := graph.NewInferenceGraph(modelConfig(network.Float32), params.Posterior, nil)
	if err != nil {
		return "", err
	}
	s := tg.NewRoot()
	var names, slices []string
	var values []tf.Output
	for i, v := range inf.Variables {
		s := s.SubScope("value")
		fan := 1.0
		for _, d := range v.Shape[:len(v.Shape)-1] {
			fan *= float64(d)
		}
		x := op.StatelessRandomNormal(s, tg.Const(s, v.Shape), tg.Const(s, []int64{3, int64(i)}))
		scaled := func(by, plus float64) tf.Output {
			return op.AddV2(s, op.Mul(s, x, tg.Const(s, float32(by))), tg.Const(s, float32(plus)))
		}
		switch {
		case strings.HasSuffix(v.Name, "/gamma"):
			x = scaled(0.1, 0.7)
		case strings.HasSuffix(v.Name, "/moving_variance"):
			x = op.Exp(s, scaled(0.3, 0))
		case len(v.Shape) == 1:
			x = scaled(0.2, 0)
		default:
			x = scaled(math.Sqrt(2/fan), 0)
		}
		names, slices, values = append(names, v.Name), append(slices, ""), append(values, x)
	}
	prefix := filepath.Join(temp, "weights")
	save := op.SaveV2(s, tg.Const(s, prefix), tg.Const(s, names), tg.Const(s, slices), values)
	g, err := s.Finalize()
	if err != nil {
		return "", err
	}
	session, err := tf.NewSession(g, nil)
	if err != nil {
		return "", err
	}
	defer session.Close()
	_, err = session.Run(nil, nil, []*tf.Operation{save})
	return prefix, err
})

// temp is a folder for files that several tests share.
var temp string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var err error
		if temp, err = os.MkdirTemp("", "savedmodel-*"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(temp)
		return m.Run()
	}())
}

func exportConfig(t testing.TB, out string) savedmodel.Config {
	t.Helper()
	prefix, err := checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	return savedmodel.Config{
		Out: out, Checkpoint: prefix, Model: modelConfig(network.Float32), Posterior: params.Posterior, Crop: crop,
		Metadata: savedmodel.Metadata{
			Galaxy: "1.2.3", Run: "a run", Step: 7, Answers: []string{"a", "b", "c", "d", "e"},
			Objective: objective.Config{Head: objective.Independent, Loss: objective.Focal, Alpha: params.Alpha, Gamma: params.Gamma},
		},
	}
}

// export writes a model once and returns its folder, not to be changed.
func export(t testing.TB, precision network.Precision, frozen bool) string {
	t.Helper()
	dir := filepath.Join(temp, fmt.Sprintf("model-%s-%v", precision, frozen))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	cfg := exportConfig(t, dir)
	cfg.Model.Precision, cfg.Frozen = precision, frozen
	if err := savedmodel.Export(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copied returns a copy of a model that a test may damage.
func copied(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "a copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// photos returns JPEGs of different sizes and the images that serving_jpeg
// should decode from them, uint8 [n, size, size, 3].
func photos(t testing.TB, n int) (encoded []string, pixels []byte) {
	t.Helper()
	d, err := images.NewDecoder(crop, size)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 9))
		img := image.NewRGBA(image.Rect(0, 0, crop+i, crop+3*i))
		// Blocks of colour, few and different in each image.
		for y := 0; y < crop+3*i; y += 8 + 4*i {
			for x := 0; x < crop+i; x += 8 + 2*i {
				c := color.RGBA{R: uint8(r.IntN(256)), G: uint8(r.IntN(256)), B: uint8(r.IntN(40 * (i + 1))), A: 255}
				draw.Draw(img, image.Rect(x, y, x+60, y+60), image.NewUniform(c), image.Point{}, draw.Src)
			}
		}
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, nil); err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, buf.String())
		pixels = append(pixels, make([]byte, size*size*3)...)
		file, err := imagefile.Open(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(pixels[i*size*size*3:], file); err != nil {
			t.Fatal(err)
		}
	}
	return encoded, pixels
}

// live predicts with the variables of the checkpoint in float32.
func live(t testing.TB, images []byte) (logits, probabilities []float32) {
	t.Helper()
	cfg := exportConfig(t, "")
	inf, err := graph.NewInferenceGraph(cfg.Model, cfg.Posterior, nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := inf.Open(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Restore(cfg.Checkpoint); err != nil {
		t.Fatal(err)
	}
	logits, probabilities, err = session.Predict(images)
	if err != nil {
		t.Fatal(err)
	}
	return logits, probabilities
}

// gap returns the largest difference of two lists, relative to the largest value.
func gap(t testing.TB, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	var diff, scale float64
	for i := range got {
		diff = math.Max(diff, math.Abs(float64(got[i])-float64(want[i])))
		scale = math.Max(scale, math.Abs(float64(want[i])))
	}
	if math.IsNaN(diff) || scale == 0 {
		t.Fatalf("got %v, want %v", got, want)
	}
	return diff / scale
}

// serve runs a signature with the bindings only, without this package.
func serve(t testing.TB, dir, signature, input string, value *tf.Tensor) (logits, probabilities []float32, err error) {
	t.Helper()
	m, err := tf.LoadSavedModel(dir, []string{savedmodel.Tag}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Session.Close()
	tensor := func(info tf.TensorInfo) tf.Output {
		name, _, _ := strings.Cut(info.Name, ":")
		return m.Graph.Operation(name).Output(0)
	}
	s := m.Signatures[signature]
	out, err := m.Session.Run(
		map[tf.Output]*tf.Tensor{tensor(s.Inputs[input]): value},
		[]tf.Output{tensor(s.Outputs[savedmodel.OutputLogits]), tensor(s.Outputs[savedmodel.OutputProbabilities])}, nil)
	if err != nil {
		return nil, nil, err
	}
	return slices.Concat(out[0].Value().([][]float32)...), slices.Concat(out[1].Value().([][]float32)...), nil
}

// A served model predicts the same as the trained network, in every form and by
// both signatures. The bounds: float32 variables run the same ops on the same
// values and may differ only by the order of sums; folding rounds every kernel
// once more, over 34 layers; bfloat16 has 8 bits of mantissa, so each layer
// rounds by 2⁻⁹.
func TestRoundTrip(t *testing.T) {
	encoded, images := photos(t, 6)
	wantLogits, wantProbabilities := live(t, images)
	if gap(t, wantProbabilities[:outputs], wantProbabilities[outputs:2*outputs]) < 0.01 {
		t.Fatal("the test is blind: two images look the same to the network")
	}
	for _, c := range []struct {
		precision network.Precision
		frozen    bool
		tolerance float64
	}{
		{network.Float32, false, 1e-6},
		{network.Float32, true, 1e-5},
		{network.BFloat16, false, 0.05},
		{network.BFloat16, true, 0.05},
	} {
		t.Run(fmt.Sprintf("%s frozen=%v", c.precision, c.frozen), func(t *testing.T) {
			if c.precision == network.BFloat16 && kernels.Limited() {
				t.Skip("ONEDNN_MAX_CPU_ISA keeps TensorFlow from the kernels of bfloat16 that it asks for")
			}
			dir := export(t, c.precision, c.frozen)
			m, err := savedmodel.Load(dir, savedmodel.LoadConfig{Size: size, Outputs: outputs})
			if err != nil {
				t.Fatal(err)
			}
			logits, probabilities, err := m.Predict(images)
			if err != nil {
				t.Fatal(err)
			}
			worst := math.Max(gap(t, logits, wantLogits), gap(t, probabilities, wantProbabilities))
			t.Logf("differs from the live session by %.2g", worst)
			if worst > c.tolerance {
				t.Errorf("differs from the live session by %.2g, more than %g", worst, c.tolerance)
			}

			feed, err := tf.NewTensor(encoded)
			if err != nil {
				t.Fatal(err)
			}
			jpegLogits, jpegProbabilities, err := serve(t, dir, savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, feed)
			if err != nil {
				t.Fatal(err)
			}
			// The same pixels in another session: the threads may divide sums
			// differently.
			if worst := math.Max(gap(t, jpegLogits, logits), gap(t, jpegProbabilities, probabilities)); worst > c.tolerance {
				t.Errorf("the signatures differ by %.2g", worst)
			}
			if m.Shape.Size != size || m.Outputs != outputs {
				t.Errorf("shape %v, outputs %d", m.Shape, m.Outputs)
			}
			checkMetadata(t, dir, m.Metadata(), c.precision, c.frozen)
		})
	}
}

func checkMetadata(t *testing.T, dir string, got *savedmodel.Metadata, precision network.Precision, frozen bool) {
	t.Helper()
	want := exportConfig(t, "").Metadata
	want.TensorFlow, want.Arch, want.Size, want.Crop, want.Precision, want.Frozen = tf.Version(), modelConfig(precision).Arch, size, crop, precision, frozen
	want.SHA256, want.Schema = got.SHA256, labels.GalaxyZoo()
	if precision == network.BFloat16 {
		want.Needs = []savedmodel.Need{savedmodel.BFloat16}
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
	files := []string{"assets.extra/tf_serving_warmup_requests", "saved_model.pb"}
	if !frozen {
		files = append(files, "variables/variables.data-00000-of-00001", "variables/variables.index")
	}
	for _, name := range files {
		if len(got.SHA256[name]) != 64 {
			t.Errorf("no checksum of %s", name)
		}
	}
	var found []string
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(name))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	if diff := cmp.Diff(append([]string{"assets.extra/galaxy.json"}, files...), found); diff != "" {
		t.Error(diff)
	}
}

// The warm-up requests are those of TensorFlow Serving, and the model answers them.
func TestWarmups(t *testing.T) {
	t.Parallel()
	dir := export(t, network.Float32, true)
	requests, err := savedmodel.Warmups(dir)
	if err != nil || len(requests) != 2 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	for i, sig := range []struct{ name, input string }{{savedmodel.SignatureImages, savedmodel.InputImages}, {savedmodel.SignatureJPEGs, savedmodel.InputJPEGs}} {
		x := requests[i].Inputs[sig.input]
		if requests[i].ModelSpec.SignatureName != sig.name || x == nil {
			t.Fatalf("request %d is %v", i, requests[i])
		}
		var value *tf.Tensor
		if len(x.StringVal) > 0 {
			value, err = tf.NewTensor([]string{string(x.StringVal[0])})
		} else {
			value, err = session.Uint8Tensor(x.TensorContent, 1, size, size, 3)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := serve(t, dir, sig.name, sig.input, value); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}

	file := filepath.Join("assets.extra", "tf_serving_warmup_requests")
	damaged := copied(t, dir)
	if err := os.Truncate(filepath.Join(damaged, file), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := savedmodel.Warmups(damaged); err == nil || !strings.Contains(err.Error(), "read warm-up requests "+filepath.Join(damaged, file)) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := os.Remove(filepath.Join(damaged, file)); err != nil {
		t.Fatal(err)
	}
	if requests, err := savedmodel.Warmups(damaged); err != nil || requests != nil {
		t.Errorf("without a file: %v, %v", requests, err)
	}
}

func TestJPEGErrors(t *testing.T) {
	encoded, _ := photos(t, 2)
	feed, err := tf.NewTensor(append(encoded, "no jpeg"))
	if err != nil {
		t.Fatal(err)
	}
	dir := export(t, network.Float32, true)
	if _, _, err := serve(t, dir, savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, feed); err == nil {
		t.Error("a broken file gave an answer")
	}
}

func TestPredictChecksImages(t *testing.T) {
	m, err := savedmodel.Load(export(t, network.Float32, true), savedmodel.LoadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, size*size*3 - 1, size*size*3 + 1} {
		if _, _, err := m.Predict(make([]byte, n)); err == nil || !strings.Contains(err.Error(), "expected a multiple of 32×32×3") {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
}

func TestPredictConcurrently(t *testing.T) {
	_, images := photos(t, 4)
	m, err := savedmodel.Load(export(t, network.Float32, true), savedmodel.LoadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := m.Predict(images)
	if err != nil {
		t.Fatal(err)
	}
	const bytes = size * size * 3
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 5 {
				got, _, err := m.Predict(images[i*bytes:][:bytes])
				if err != nil {
					t.Error(err)
					return
				}
				// The library sums in another order for a single image than for
				// a batch of four.
				for j, x := range got {
					if y := want[i*outputs+j]; math.Abs(float64(x-y)) > 1e-4*math.Max(1, math.Abs(float64(y))) {
						t.Errorf("image %d, logit %d: got %v, want %v", i, j, x, y)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestExportRefuses(t *testing.T) {
	good := exportConfig(t, "")
	for _, c := range []struct {
		name   string
		change func(c *savedmodel.Config)
		want   string
	}{
		{"an existing folder", func(c *savedmodel.Config) { _ = os.Mkdir(c.Out, 0o777) }, "exists already"},
		{"an existing file", func(c *savedmodel.Config) { _ = os.WriteFile(c.Out, nil, 0o666) }, "exists already"},
		{"a broken link", func(c *savedmodel.Config) { _ = os.Symlink("nowhere", c.Out) }, "exists already"},
		{"no checkpoint", func(c *savedmodel.Config) { c.Checkpoint += "-not" }, filepath.Base(good.Checkpoint) + "-not"},
		{"another size of output", func(c *savedmodel.Config) {
			c.Model.Outputs, c.Metadata.Answers = 4, c.Metadata.Answers[:4]
		}, "5] is not compatible with expected shape ["},
		{"names missing", func(c *savedmodel.Config) { c.Metadata.Answers = nil }, "0 names of answers: expected one for each of the 5 outputs"},
		{"a small crop", func(c *savedmodel.Config) { c.Crop = size - 1 }, "crop 31, size 32"},
		{"a bad configuration", func(c *savedmodel.Config) { c.Model.Std = []float64{.2, 0, .1} }, "channel 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := good
			cfg.Out = filepath.Join(dir, "out")
			c.change(&cfg)
			before := listing(t, dir)
			err := savedmodel.Export(context.Background(), cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), cfg.Out) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Error("the folder changed:", diff)
			}
		})
	}
	t.Run("a parent that is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		cfg := good
		cfg.Out = filepath.Join(file, "out")
		if err := savedmodel.Export(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), file+" is not a folder; choose another place") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("weights that are not finite", func(t *testing.T) {
		cfg := good
		cfg.Out = filepath.Join(t.TempDir(), "out")
		cfg.Checkpoint = filepath.Join(t.TempDir(), "nan")
		spoil(t, good.Checkpoint, cfg.Checkpoint)
		if err := savedmodel.Export(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "variable head/bias holds NaN") {
			t.Errorf("got %v", err)
		}
	})
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// spoil copies a checkpoint with head/bias all NaN.
func spoil(t *testing.T, from, to string) {
	t.Helper()
	cfg := exportConfig(t, "")
	inf, err := graph.NewInferenceGraph(cfg.Model, cfg.Posterior, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := tg.NewRoot()
	var names, all []string
	var dtypes []tf.DataType
	bias := -1
	for i, v := range inf.Variables {
		names, all, dtypes = append(names, v.Name), append(all, ""), append(dtypes, tf.Float)
		if v.Name == "head/bias" {
			bias = i
		}
	}
	keys, whole := tg.Const(s, names), tg.Const(s, all)
	values := op.RestoreV2(s, tg.Const(s, from), keys, whole, dtypes)
	values[bias] = tg.Const(s, slices.Repeat([]float32{float32(math.NaN())}, outputs))
	save := op.SaveV2(s, tg.Const(s, to), keys, whole, values)
	g, err := s.Finalize()
	if err != nil {
		t.Fatal(err)
	}
	session, err := tf.NewSession(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if _, err := session.Run(nil, nil, []*tf.Operation{save}); err != nil {
		t.Fatal(err)
	}
}

// Exports are atomic: whenever one stops before the rename, only a hidden
// folder exists.
func TestExportAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	ctx := &countdown{Context: context.Background(), dir: dir}
	for ctx.left = 0; ; ctx.left++ {
		cfg := exportConfig(t, filepath.Join(dir, "deep", "out"))
		ctx.seen, ctx.calls = nil, 0
		err := savedmodel.Export(ctx, cfg)
		for _, names := range ctx.seen {
			for _, name := range names {
				if !strings.HasPrefix(name, ".out.tmp-") {
					t.Errorf("%s is there before the export is finished", name)
				}
			}
		}
		if err == nil {
			break
		}
		if got := listing(t, filepath.Join(dir, "deep")); len(got) != 0 {
			t.Fatalf("a stopped export left %v", got)
		}
	}
	if ctx.left == 0 {
		t.Error("the export never looked at its context")
	}
	if diff := cmp.Diff([]string{"out"}, listing(t, filepath.Join(dir, "deep"))); diff != "" {
		t.Error(diff)
	}
	if _, err := savedmodel.Load(filepath.Join(dir, "deep", "out"), savedmodel.LoadConfig{}); err != nil {
		t.Error(err)
	}
}

// countdown is a context that is cancelled at its left-th check and records the
// folder's content at each check.
type countdown struct {
	context.Context
	dir         string
	left, calls int
	seen        [][]string
}

func (c *countdown) Err() error {
	entries, _ := os.ReadDir(filepath.Join(c.dir, "deep"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	c.seen = append(c.seen, names)
	if c.calls++; c.calls > c.left {
		return context.Canceled
	}
	return nil
}

func TestLoadErrors(t *testing.T) {
	variables, frozen := export(t, network.Float32, false), export(t, network.Float32, true)
	edit := func(t *testing.T, dir string, change func(m *pb.SavedModel)) {
		t.Helper()
		path := filepath.Join(dir, "saved_model.pb")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := new(pb.SavedModel)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
		change(m)
		if b, err = proto.Marshal(m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(t *testing.T, path string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 0x40
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	metadata := filepath.Join("assets.extra", "galaxy.json")
	data := filepath.Join("variables", "variables.data-00000-of-00001")
	index := filepath.Join("variables", "variables.index")
	for _, c := range []struct {
		name   string
		model  string
		cfg    savedmodel.LoadConfig
		damage func(t *testing.T, dir string)
		want   string
	}{
		{"no folder", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) { remove(t, dir) }, "saved_model.pb: expected the folder of a SavedModel"},
		{"an empty folder", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			remove(t, dir)
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "saved_model.pb: expected the folder of a SavedModel"},
		{"text for a graph", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "saved_model.pb"), []byte("hello"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "saved_model.pb is damaged or no SavedModel"},
		{"half a graph", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "saved_model.pb"), 1<<20); err != nil {
				t.Fatal(err)
			}
		}, "saved_model.pb is damaged or no SavedModel"},
		{"a flipped bit in frozen weights", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, "saved_model.pb"))
		}, "saved_model.pb is damaged"},
		{"a flipped bit in variables", variables, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, data))
		}, data + " is damaged"},
		{"a flipped bit in variables, no metadata", variables, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, data))
			remove(t, filepath.Join(dir, metadata))
		}, "hecksum"},
		{"half the variables, no metadata", variables, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, data), 1<<20); err != nil {
				t.Fatal(err)
			}
			remove(t, filepath.Join(dir, metadata))
		}, "variables"},
		{"no variables", variables, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "variables"))
		}, index + " is missing"},
		{"no data of variables", variables, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, data))
		}, "variables.data-00000-of-* is missing"},
		{"broken metadata", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, metadata), []byte("{"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "galaxy.json"},
		{"metadata that looks elsewhere", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			text, err := json.Marshal(savedmodel.Metadata{SHA256: map[string]string{"../../secret": ""}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, metadata), text, 0o666); err != nil {
				t.Fatal(err)
			}
		}, `"../../secret" leads out of the model`},
		{"an empty graph", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "saved_model.pb"), 0); err != nil {
				t.Fatal(err)
			}
		}, "has no graph: it is damaged or no SavedModel"},
		{"another tag", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) { m.MetaGraphs[0].MetaInfoDef.Tags = []string{"serve", "tpu"} })
		}, "no meta graph tagged [serve], only [serve, tpu]"},
		{"another signature", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) { delete(m.MetaGraphs[0].SignatureDef, "serving_default") })
		}, "no signature serving_default, only serving_jpeg"},
		{"another input", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) {
				s := m.MetaGraphs[0].SignatureDef["serving_default"]
				s.Inputs = map[string]*pb.TensorInfo{"x": s.Inputs["images"], "y": s.Inputs["images"]}
			})
		}, "no input images, only x, y"},
		{"another dtype", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) { m.MetaGraphs[0].SignatureDef["serving_default"].Inputs["images"].Dtype = 3 })
		}, "input images is DT_INT32: expected DT_UINT8 or DT_FLOAT"},
		{"another shape", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) {
				m.MetaGraphs[0].SignatureDef["serving_default"].Inputs["images"].TensorShape.Dim[3].Size = 9
			})
		}, "the shape [-1, 32, 32, 9]: expected [-1, size, size, channels] with 1 to 8 channels"},
		{"a tensor that is not there", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) {
				m.MetaGraphs[0].SignatureDef["serving_default"].Outputs["logits"].Encoding = &pb.TensorInfo_Name{Name: "gone:0"}
			})
			remove(t, filepath.Join(dir, metadata))
		}, "gone"},
		{"another size of images", frozen, savedmodel.LoadConfig{Size: 64}, nil, "takes images of 32×32 pixels, the data has 64×64"},
		{"another number of answers", frozen, savedmodel.LoadConfig{Outputs: 37}, nil, "gives 5 answers: expected 37"},
		{"a range of pixels for bytes", frozen, savedmodel.LoadConfig{Pixels: graph.PixelsUnit}, nil, "input images is uint8: its pixels are 0 to 255, not 0..1"},
		{"an unknown range of pixels", frozen, savedmodel.LoadConfig{Pixels: "0..100"}, nil, `pixels "0..100": expected 0..255, 0..1 or -1..1`},
		{"no such signature", frozen, savedmodel.LoadConfig{Signature: "serve"}, nil, "no signature serve, only serving_default, serving_jpeg"},
		{"strings for images", frozen, savedmodel.LoadConfig{Signature: "serving_jpeg"}, nil, "input jpegs has the shape [-1]: expected 4 dimensions"},
		{"no such input", frozen, savedmodel.LoadConfig{Input: "x"}, nil, "no input x, only images"},
		{"no such logits", frozen, savedmodel.LoadConfig{Logits: "x"}, nil, "no output x, only logits, probabilities"},
		{"no such probabilities", frozen, savedmodel.LoadConfig{Probabilities: "x"}, nil, "no output x, only logits, probabilities"},
		{"an input of several tensors", frozen, savedmodel.LoadConfig{}, func(t *testing.T, dir string) {
			edit(t, dir, func(m *pb.SavedModel) {
				m.MetaGraphs[0].SignatureDef["serving_default"].Inputs["images"].Encoding = nil
			})
		}, "input images is no single tensor"},
		{"threads below 0", frozen, savedmodel.LoadConfig{Session: session.Config{Threads: -1}}, nil, "threads -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copied(t, c.model)
			if c.damage != nil {
				c.damage(t, dir)
			}
			_, err := savedmodel.Load(dir, c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TensorFlow reads some characters of the path of variables as a pattern.
func TestLoadFromPathOfPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "copy [1]")
	if err := os.CopyFS(dir, os.DirFS(export(t, network.Float32, false))); err != nil {
		t.Fatal(err)
	}
	if _, err := savedmodel.Load(dir, savedmodel.LoadConfig{}); err == nil || !strings.Contains(err.Error(), "a path without them") {
		t.Errorf("got %v", err)
	}
}

// A third-party model has no metadata but loads.
func TestLoadWithoutMetadata(t *testing.T) {
	dir := copied(t, export(t, network.Float32, false))
	if err := os.RemoveAll(filepath.Join(dir, "assets.extra")); err != nil {
		t.Fatal(err)
	}
	m, err := savedmodel.Load(dir, savedmodel.LoadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Metadata() != nil {
		t.Errorf("metadata out of nowhere: %+v", m.Metadata())
	}
	if _, _, err := m.Predict(make([]byte, size*size*3)); err != nil {
		t.Error(err)
	}
}

// thumbnails writes a third-party SavedModel: a signature "call" from x, of the
// given dtype and sides, to the mean of each channel and, with both, to its
// negative as well.
func thumbnails(t *testing.T, dtype tf.DataType, side int64, outputs ...string) string {
	t.Helper()
	s := op.NewScope()
	x := op.Placeholder(s.SubScope("x"), dtype, op.PlaceholderShape(tf.MakeShape(-1, side, side, 3)))
	mean := op.Mean(s.SubScope("mean"), op.Cast(s.SubScope("cast"), x, tf.Float), op.Const(s.SubScope("axes"), []int32{1, 2}))
	tensors := map[string]tf.Output{outputs[0]: mean}
	if len(outputs) > 1 {
		tensors[outputs[1]] = op.Neg(s.SubScope("neg"), mean)
	}
	g, err := s.Finalize()
	if err != nil {
		t.Fatal(err)
	}
	def, err := session.Def(g)
	if err != nil {
		t.Fatal(err)
	}
	info := func(x tf.Output, dtype tf.DataType, dims ...int64) *pb.TensorInfo {
		shape := new(shapepb.TensorShapeProto)
		for _, d := range dims {
			shape.Dim = append(shape.Dim, &shapepb.TensorShapeProto_Dim{Size: d})
		}
		return &pb.TensorInfo{Encoding: &pb.TensorInfo_Name{Name: x.Op.Name() + ":0"}, Dtype: typespb.DataType(dtype), TensorShape: shape}
	}
	signature := &pb.SignatureDef{
		Inputs:  map[string]*pb.TensorInfo{"x": info(x, dtype, -1, side, side, 3)},
		Outputs: map[string]*pb.TensorInfo{},
	}
	for name, x := range tensors {
		signature.Outputs[name] = info(x, tf.Float, -1, 3)
	}
	model, err := proto.Marshal(&pb.SavedModel{SavedModelSchemaVersion: 1, MetaGraphs: []*pb.MetaGraphDef{{
		MetaInfoDef:  &pb.MetaGraphDef_MetaInfoDef{Tags: []string{savedmodel.Tag}},
		GraphDef:     def,
		SignatureDef: map[string]*pb.SignatureDef{"call": signature},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "saved_model.pb"), model, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A third-party model: its tensors are found or named, and its pixels have the
// range that it expects.
func TestForeign(t *testing.T) {
	const side = 4
	images := make([]byte, 2*side*side*3)
	r := rand.New(rand.NewPCG(8, 8))
	var mean [6]float64
	for i := range images {
		images[i] = uint8(r.IntN(256))
		mean[i/(side*side*3)*3+i%3] += float64(images[i]) / (side * side)
	}
	scaled := func(scale, offset float64) (values []float32) {
		for _, m := range mean {
			values = append(values, float32(m*scale+offset))
		}
		return values
	}
	call := savedmodel.LoadConfig{Signature: "call", Size: side}
	with := func(change func(*savedmodel.LoadConfig)) savedmodel.LoadConfig {
		cfg := call
		change(&cfg)
		return cfg
	}
	bytes, unit, signed := scaled(1, 0), scaled(1.0/255, 0), scaled(2.0/255, -1)
	for _, c := range []struct {
		name                  string
		dir                   string
		cfg                   savedmodel.LoadConfig
		logits, probabilities []float32
	}{
		{"one output is probabilities", thumbnails(t, tf.Uint8, side, "out"), call, nil, bytes},
		{"one output is named logits", thumbnails(t, tf.Uint8, side, "out"), with(func(c *savedmodel.LoadConfig) { c.Logits = "out" }), bytes, nil},
		{"one output is called logits", thumbnails(t, tf.Uint8, side, "logits"), call, bytes, nil},
		{"one of two outputs", thumbnails(t, tf.Uint8, side, "a", "b"), with(func(c *savedmodel.LoadConfig) { c.Probabilities = "a" }), nil, bytes},
		{"both outputs", thumbnails(t, tf.Uint8, side, "a", "b"), with(func(c *savedmodel.LoadConfig) { c.Logits, c.Probabilities = "b", "a" }), scaled(-1, 0), bytes},
		{"any size", thumbnails(t, tf.Uint8, -1, "out"), call, nil, bytes},
		{"floats to 255", thumbnails(t, tf.Float, side, "out"), with(func(c *savedmodel.LoadConfig) { c.Pixels = graph.Pixels255 }), nil, bytes},
		{"floats to 1", thumbnails(t, tf.Float, side, "out"), with(func(c *savedmodel.LoadConfig) { c.Pixels = graph.PixelsUnit }), nil, unit},
		{"floats from -1", thumbnails(t, tf.Float, side, "out"), with(func(c *savedmodel.LoadConfig) { c.Pixels = graph.PixelsSigned }), nil, signed},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := savedmodel.Load(c.dir, c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			logits, probabilities, err := m.Predict(images)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range []struct {
				name      string
				got, want []float32
			}{{"logits", logits, c.logits}, {"probabilities", probabilities, c.probabilities}} {
				if len(x.got) != len(x.want) || len(x.want) > 0 && gap(t, x.got, x.want) > 1e-6 {
					t.Errorf("%s are %v, want %v", x.name, x.got, x.want)
				}
			}
		})
	}
	for _, c := range []struct {
		name, dir, want string
		cfg             savedmodel.LoadConfig
	}{
		{"which output", thumbnails(t, tf.Uint8, side, "a", "b"), "signature call: it has no output logits or probabilities, only a, b; name", call},
		{"which range", thumbnails(t, tf.Float, side, "out"), "input x is float32, and the signature does not tell in which range it expects pixels: say (pixels) 0..255, 0..1 or -1..1", call},
		{"any size, but which", thumbnails(t, tf.Uint8, -1, "out"), "input x takes images of any size; say of which", savedmodel.LoadConfig{Signature: "call"}},
	} {
		if _, err := savedmodel.Load(c.dir, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// The time of one batch of 64 in each form; img/s is over all threads.
func BenchmarkPredict(b *testing.B) {
	images := make([]byte, 64*size*size*3)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range images {
		images[i] = uint8(r.IntN(256))
	}
	for _, precision := range []network.Precision{network.Float32, network.BFloat16} {
		for _, frozen := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/frozen=%v", precision, frozen), func(b *testing.B) {
				m, err := savedmodel.Load(export(b, precision, frozen), savedmodel.LoadConfig{})
				if err != nil {
					b.Fatal(err)
				}
				// The first run optimises the graph.
				if _, _, err := m.Predict(images); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, _, err := m.Predict(images); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "img/s")
			})
		}
	}
}
