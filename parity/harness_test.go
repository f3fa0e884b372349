//go:build parity

package parity

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/internal/kernels"
)

// outputs is the number of answers, which the scripts take for granted too.
const outputs = 37

// channelMean and channelStd differ between the channels, so that a network
// that mixes them up cannot pass. A network of n channels has the first n.
var (
	channelMean = []float64{0.45, 0.4, 0.35, 0.3, 0.5}
	channelStd  = []float64{0.25, 0.22, 0.2, 0.3, 0.27}
)

// python makes a command of the judge's environment.
func python(args ...string) (*exec.Cmd, error) {
	interpreter := os.Getenv("GALAXY_PYTHON")
	if interpreter == "" {
		return nil, errors.New("GALAXY_PYTHON is not set: expected a Python with the packages of parity/requirements.txt; run `make parity`, which makes one")
	}
	cmd := exec.Command(interpreter, args...)
	// The tolerances are those of a CPU's arithmetic, by the kernels that ours has.
	cmd.Env = append(cmd.Environ(), "CUDA_VISIBLE_DEVICES=-1", fmt.Sprintf("TF_ENABLE_ONEDNN_OPTS=%t", kernels.OneDNN()))
	return cmd, nil
}

// TestMain ends the judge after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if stopJudge != nil {
		stopJudge()
	}
	os.Exit(code)
}

// judge is a process of judge.py, which ends when its stdin does.
type judge struct {
	questions io.WriteCloser
	answers   *bufio.Reader
	stderr    *os.File
}

// stopJudge ends the process that theJudge has started.
var stopJudge func()

// theJudge starts it.
var theJudge = sync.OnceValues(func() (*judge, error) {
	cmd, err := python("judge.py")
	if err != nil {
		return nil, err
	}
	var j judge
	if j.questions, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	j.answers = bufio.NewReader(answers)
	if j.stderr, err = os.CreateTemp("", "judge"); err != nil {
		return nil, err
	}
	if err := os.Remove(j.stderr.Name()); err != nil {
		return nil, err
	}
	cmd.Stderr = j.stderr
	stopJudge = func() {
		_ = j.questions.Close()
		_ = cmd.Wait()
	}
	return &j, cmd.Start()
})

// ask hands question to a script of this folder and reads its answer.
func ask(t *testing.T, script string, question, answer any) {
	t.Helper()
	asked, err := json.Marshal(question)
	if err != nil {
		t.Fatalf("encode the question for %s: %v", script, err)
	}
	j, err := theJudge()
	must(t, err)
	must(t, json.NewEncoder(j.questions).Encode([]string{script, writeFile(t, asked)}))
	var answered struct {
		Answer string  `json:"answer"`
		Error  *string `json:"error"`
	}
	line, err := j.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &answered)
	}
	if err == nil && answered.Error != nil {
		err = errors.New(*answered.Error)
	}
	if err != nil {
		said, _ := io.ReadAll(io.NewSectionReader(j.stderr, 0, 1<<20))
		t.Fatalf("%s: %v\n%s", script, err, said)
	}
	if err := json.Unmarshal([]byte(answered.Answer), answer); err != nil {
		t.Fatalf("read the answer of %s: %v", script, err)
	}
}

// writeFile writes content to a file of the test's own and returns its path.
func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeFloats(t *testing.T, values []float32) string {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, b.Bytes())
}

// randomImages draws n images, uint8 [n, size, size, channels]: a soft disk of random
// place, width and colour on a noisy sky, so that neighbouring pixels go
// together as they do in photographs and no two images are alike.
func randomImages(rng *rand.Rand, n, size, channels int) []byte {
	images := make([]byte, 0, n*size*size*channels)
	for range n {
		cx, cy := float64(size)*(0.3+0.4*rng.Float64()), float64(size)*(0.3+0.4*rng.Float64())
		width := float64(size) * (0.05 + 0.25*rng.Float64())
		colour := make([]float64, channels)
		for c := range colour {
			colour[c] = 80 + 175*rng.Float64()
		}
		for y := range size {
			for x := range size {
				light := math.Exp(-(math.Pow(float64(x)-cx, 2) + math.Pow(float64(y)-cy, 2)) / (2 * width * width))
				for c := range channels {
					value := colour[c]*light + 40*rng.Float64()
					images = append(images, uint8(min(value, 255)))
				}
			}
		}
	}
	return images
}

// randomLabels draws n rows of vote fractions, float32 [n, 37]: most small, as
// in the catalogue.
func randomLabels(rng *rand.Rand, n int) []float32 {
	labels := make([]float32, n*outputs)
	for i := range labels {
		labels[i] = float32(math.Pow(rng.Float64(), 3))
	}
	return labels
}

func newTrainer(t *testing.T, arch string, size, channels, batch int, loss graph.Loss, optimizer graph.Optimizer) *graph.Trainer {
	t.Helper()
	return trainerOf(t, modelOf(arch, size, channels), batch, loss, optimizer)
}

func modelOf(arch string, size, channels int) network.Config {
	return network.Config{
		Arch: arch, Size: size, Outputs: outputs, Precision: network.Float32, Mean: channelMean[:channels], Std: channelStd[:channels],
	}
}

func trainerOf(t *testing.T, model network.Config, batch int, loss graph.Loss, optimizer graph.Optimizer) *graph.Trainer {
	t.Helper()
	trainer, err := graph.NewTrainer(graph.TrainerConfig{
		Model: model,
		Loss:  loss, Posterior: focal.Default().Posterior, Optimizer: optimizer, Batch: batch,
	})
	must(t, err)
	t.Cleanup(func() { must(t, trainer.Close()) })
	return trainer
}

// seasoned writes a checkpoint of a network after a few fast steps and returns
// its prefix. Fresh weights would hide mistakes: every gamma is 1, every beta
// and moving mean 0, so that two of them could be swapped unseen. The steps of
// rate 0 that follow let the moving averages catch up, so that inference gives
// logits of the usual size.
func seasoned(t *testing.T, arch string, channels int) string {
	t.Helper()
	return seasonedOf(t, modelOf(arch, 64, channels))
}

func seasonedOf(t *testing.T, model network.Config) string {
	t.Helper()
	const batch = 8
	size, channels := model.Size, len(model.Mean)
	rng := rand.New(rand.NewPCG(7, 0))
	trainer := trainerOf(t, model, batch, focal.Default().Loss, graph.Optimizer{Kind: graph.SGD, Momentum: 0.9})
	must(t, trainer.Init(1))
	for step := range int64(30) {
		rate := 0.0
		if step < 5 {
			rate = 0.05
		}
		_, err := trainer.Step(graph.StepInput{
			Batch: graph.Batch{Images: randomImages(rng, batch, size, channels), Labels: randomLabels(rng, batch)}, Step: step, Seed: 1, LearningRate: rate,
		})
		must(t, err)
	}
	prefix := filepath.Join(t.TempDir(), "seasoned")
	must(t, trainer.Save(prefix))
	return prefix
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// farthest returns the largest |a−b|; lengths that differ are an error.
func farthest[A, B float32 | float64](a []A, b []B) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("%d values against %d", len(a), len(b))
	}
	largest := 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return 0, fmt.Errorf("value %d: %v against %v", i, a[i], b[i])
		}
		largest = max(largest, d)
	}
	return largest, nil
}

// largest returns the largest |x|.
func largest[X float32 | float64](values []X) float64 {
	m := 0.0
	for _, v := range values {
		m = max(m, math.Abs(float64(v)))
	}
	return m
}

func flat(rows [][]float64) []float64 {
	var all []float64
	for _, row := range rows {
		all = append(all, row...)
	}
	return all
}
