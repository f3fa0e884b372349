package objective

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"pgregory.net/rapid"

	"galaxy/data"
	"galaxy/graph/graphtest"
)

// configs is every head with every loss that goes with it, plain and with all
// that can be asked for.
func configs() []Config {
	series := func(n int) (weights []float64) {
		for i := range n {
			weights = append(weights, 0.5+float64(i%7)/3)
		}
		return weights
	}
	return []Config{
		{Head: Answers, Loss: Focal, Alpha: 0.25, Gamma: 2},
		{Head: Answers, Loss: Focal, Alpha: 0.4, Gamma: 1, Weights: series(data.Answers), Smoothing: 0.1},
		{Head: Answers, Loss: CrossEntropy},
		{Head: Answers, Loss: CrossEntropy, Weights: series(data.Answers), Smoothing: 0.2},
		{Head: Answers, Loss: MSE},
		{Head: Answers, Loss: MSE, Weights: series(data.Answers)},
		{Head: Tree, Loss: CrossEntropy},
		{Head: Tree, Loss: CrossEntropy, Weights: series(data.Questions), Smoothing: 0.1},
		{Head: Tree, Loss: MSE},
		{Head: Tree, Loss: MSE, Weights: series(data.Questions)},
		{Head: Five, Loss: CrossEntropy},
		{Head: Five, Loss: CrossEntropy, Weights: series(data.CleanClasses), Smoothing: 0.1},
		{Head: Five, Loss: MSE},
		{Head: Five, Loss: MSE, Weights: series(data.CleanClasses)},
	}
}

// name is c's, short enough for a file.
func name(c Config) string {
	text := string(c.Head) + "_" + string(c.Loss)
	if c.Weights != nil {
		text += "_weights"
	}
	return text
}

// built is the graph of an objective, and one session for all its runs.
type built struct {
	*Objective
	graph                                         *tf.Graph
	session                                       *tf.Session
	logits, labels, loss, gradient, probabilities tf.Output
}

func build(t *testing.T, c Config) built {
	t.Helper()
	o, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := op.NewScope()
	open := op.PlaceholderShape(tf.MakeShape(-1, int64(o.Outputs())))
	b := built{
		Objective: o,
		logits:    op.Placeholder(s.SubScope("logits"), tf.Float, open),
		labels:    op.Placeholder(s.SubScope("labels"), tf.Float, open),
	}
	b.loss, b.probabilities = o.Loss(s, b.logits, b.labels), o.Posterior(s, b.logits)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	b.gradient = op.Gradients(s, []tf.Output{b.loss}, []tf.Output{b.logits})[0]
	b.graph = graphtest.Finalize(t, s)
	if b.session, err = tf.NewSession(b.graph, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.session.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// run feeds rows and returns the loss and the probabilities.
func (b built) run(t *testing.T, logits, labels []float32) (loss float64, probabilities []float64) {
	t.Helper()
	shape := []int64{int64(len(logits) / b.Outputs()), int64(b.Outputs())}
	got, err := b.session.Run(graphtest.Feeds{
		b.logits: graphtest.Float32(t, float64s(logits), shape...),
		b.labels: graphtest.Float32(t, float64s(labels), shape...),
	}, []tf.Output{b.loss, b.probabilities}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return graphtest.Floats(t, got[0])[0], graphtest.Floats(t, got[1])
}

// drawLabels draws rows as a catalogue has them: all sum rules hold for the
// tree and a class is one of five; plain fractions for independent answers.
func drawLabels(t *rapid.T, head Head, rows int) []float32 {
	var labels []float32
	for range rows {
		switch head {
		case Answers:
			labels = append(labels, rapid.SliceOfN(rapid.Float32Range(0, 1), data.Answers, data.Answers).Draw(t, "fractions")...)
		case Tree:
			row := rapid.SliceOfN(rapid.Float32Range(0, 1), data.Answers, data.Answers).Draw(t, "fractions")
			if err := data.ProjectTree(row); err != nil {
				t.Fatal(err)
			}
			labels = append(labels, row...)
		case Five:
			row := make([]float32, data.CleanClasses)
			row[rapid.IntRange(0, data.CleanClasses-1).Draw(t, "class")] = 1
			labels = append(labels, row...)
		}
	}
	return labels
}

func drawLogits(t *rapid.T, n int, within float32) []float32 {
	return rapid.SliceOfN(rapid.Float32Range(-within, within), n, n).Draw(t, "logits")
}

func TestGraphAgainstTwin(t *testing.T) {
	for _, c := range configs() {
		t.Run(name(c), func(t *testing.T) {
			b := build(t, c)
			rapid.Check(t, func(r *rapid.T) {
				rows, width := rapid.IntRange(1, 4).Draw(r, "rows"), b.Outputs()
				labels, logits := drawLabels(r, c.Head, rows), drawLogits(r, rows*width, 12)
				got, probabilities := b.run(t, logits, labels)
				want := 0.0
				for i := 0; i < len(labels); i += width {
					want += b.LossOf(logits[i:i+width], labels[i:i+width]) / float64(rows)
					for j, p := range b.PosteriorOf(logits[i : i+width]) {
						if !(math.Abs(probabilities[i+j]-float64(p)) <= 2e-6) {
							r.Fatalf("probability %d is %v, want %v", j, probabilities[i+j], p)
						}
					}
				}
				if !(math.Abs(got-want) <= 2e-5*want+1e-7) {
					r.Fatalf("loss is %v, want %v", got, want)
				}
			})
		})
	}
}

func TestGradientByDifferences(t *testing.T) {
	for _, c := range configs() {
		t.Run(name(c), func(t *testing.T) {
			b := build(t, c)
			n := b.Outputs()
			logits, labels := make([]float64, n), make([]float64, n)
			for i := range logits {
				logits[i] = 2 * math.Sin(float64(3*i))
				labels[i] = math.Abs(math.Sin(float64(5 * i)))
			}
			if c.Head == Five {
				clear(labels)
				labels[2] = 1
			}
			graphtest.CheckGradient(t, graphtest.Gradient{Graph: b.graph, Y: b.loss, X: b.logits, DYDX: b.gradient,
				Feeds: graphtest.Feeds{b.logits: graphtest.Float32(t, logits, 1, int64(n)), b.labels: graphtest.Float32(t, labels, 1, int64(n))}})
		})
	}
}

// LogitsFor gives the minimum: every step away from it costs, and Posterior
// there gives the labels back, but for classes that weigh differently.
func TestMinimum(t *testing.T) {
	for _, c := range configs() {
		t.Run(name(c), func(t *testing.T) {
			b := build(t, c)
			n := b.Outputs()
			rapid.Check(t, func(r *rapid.T) {
				row := rapid.SliceOfN(rapid.Float32Range(0.05, 1), n, n).Draw(r, "label")
				switch c.Head {
				case Answers:
					for j := range row {
						row[j] = min(row[j], 0.95)
					}
				case Tree:
					if err := data.ProjectTree(row); err != nil {
						r.Fatal(err)
					}
				case Five:
					sum := float32(0)
					for _, y := range row {
						sum += y
					}
					for j := range row {
						row[j] /= sum
					}
				}
				best := b.LogitsFor(float64s(row))
				logits := make([]float32, n)
				for j, x := range best {
					logits[j] = float32(x)
				}
				mean := func(x []float32) float64 {
					if c.Head != Five {
						return b.LossOf(x, row)
					}
					total := 0.0 // over examples of which row[j] are of class j
					for j, y := range row {
						one := make([]float32, n)
						one[j] = 1
						total += float64(y) * b.LossOf(x, one)
					}
					return total
				}
				least := mean(logits)
				away := slices.Clone(logits)
				j := rapid.IntRange(0, n-1).Draw(r, "column")
				away[j] += rapid.SampledFrom([]float32{-1, -0.1, 0.1, 1}).Draw(r, "step")
				if got := mean(away); !(got > least) {
					r.Fatalf("the loss is %v at the best logits and %v away from them", least, got)
				}
				if c.Head == Five && c.Weights != nil {
					return
				}
				if _, p := b.run(t, logits, row); !near(p, float64s(row), 3e-6) {
					r.Fatalf("probabilities %v of the best logits, labels %v", p, row)
				}
			})
		})
	}
}

func near(a, b []float64, tolerance float64) bool {
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tolerance) {
			return false
		}
	}
	return true
}

// Whatever the logits, the tree head obeys the sum rules and the five sum to 1.
func TestSums(t *testing.T) {
	for _, c := range configs() {
		if c.Head == Answers {
			continue
		}
		t.Run(name(c), func(t *testing.T) {
			b := build(t, c)
			label := make([]float32, b.Outputs())
			label[0] = 1
			rapid.Check(t, func(r *rapid.T) {
				within := rapid.SampledFrom([]float32{1, 30, 1e4}).Draw(r, "within")
				loss, p := b.run(t, drawLogits(r, b.Outputs(), within), label)
				if math.IsNaN(loss) || math.IsInf(loss, 0) {
					r.Fatalf("loss is %v", loss)
				}
				row := make([]float32, len(p))
				sum := 0.0
				for j, v := range p {
					row[j] = float32(v)
					sum += v
				}
				if c.Head == Five && !(math.Abs(sum-1) <= 1e-5) {
					r.Fatalf("%v sum to %v", p, sum)
				}
				if c.Head == Tree {
					if err := data.CheckSums(row, 1e-5); err != nil {
						r.Fatal(err)
					}
				}
			})
		})
	}
}

// By hand: a galaxy of which all say smooth and two thirds of them round, and a
// network that knows nothing.
func TestTreeByHand(t *testing.T) {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy})
	if err != nil {
		t.Fatal(err)
	}
	labels, logits := make([]float32, data.Answers), make([]float32, data.Answers)
	labels[0], labels[14], labels[15], labels[16] = 1, 1, 0.75, 0.25
	// Questions 1, 6 and 7 were asked, of 3, 2 and 3 answers.
	if got, want := o.LossOf(logits, labels), (math.Log(3)+math.Log(2)+math.Log(3))/37; math.Abs(got-want) > 1e-12 {
		t.Errorf("cross-entropy is %v, want %v", got, want)
	}
	o, err = New(Config{Head: Tree, Loss: MSE})
	if err != nil {
		t.Fatal(err)
	}
	// 1.1 at 1/3, 2.2 at 1/6, 7.1 at 1/9, 3.1 at 1/12, 8.1 at 1/14, 4.1 at 1/12.
	want := map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3, 3: 1. / 6, 4: 1. / 6, 5: 1. / 12, 6: 1. / 12, 7: 1. / 12, 8: 1. / 12,
		9: 1. / 24, 13: 1. / 2, 14: 1. / 2, 15: 1. / 9, 18: 1. / 14, 25: 1. / 18, 28: 1. / 36, 31: 1. / 72}
	_, p := build(t, o.Config()).run(t, logits, labels)
	for j, w := range want {
		if math.Abs(p[j]-w) > 1e-6 {
			t.Errorf("%s is %v, want %v", data.Columns()[j], p[j], w)
		}
	}
}

func TestSwappedArguments(t *testing.T) {
	for _, c := range configs() {
		b := build(t, c)
		x, y := make([]float32, b.Outputs()), make([]float32, b.Outputs())
		x[0], y[0] = -3, 1
		if loss, _ := b.run(t, y, x); !math.IsNaN(loss) {
			t.Errorf("%v: logits given as labels have the loss %v", c, loss)
		}
	}
}

func TestRefuses(t *testing.T) {
	five := []float64{1, 1, 1, 1, 1}
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Loss: Focal}, `head ""`},
		{Config{Head: Answers}, `loss ""`},
		{Config{Head: Tree, Loss: Focal, Alpha: 0.25}, "use --head answers"},
		{Config{Head: Five, Loss: Focal, Alpha: 0.25}, "use --head answers"},
		{Config{Head: Answers, Loss: Focal}, "alpha is 0"},
		{Config{Head: Answers, Loss: MSE, Gamma: 2}, "constants of focal loss"},
		{Config{Head: Answers, Loss: MSE, Weights: five}, "takes 37"},
		{Config{Head: Tree, Loss: MSE, Weights: five}, "takes 11"},
		{Config{Head: Five, Loss: MSE, Weights: five[1:]}, "round, in-between, cigar, edge-on, spiral"},
		{Config{Head: Five, Loss: MSE, Weights: []float64{1, 1, 1, 1, 0}}, "above 0"},
		{Config{Head: Five, Loss: MSE, Weights: []float64{1, 1, 1, 1, math.NaN()}}, "above 0"},
		{Config{Head: Tree, Loss: CrossEntropy, Smoothing: 1}, "label smoothing 1"},
		{Config{Head: Tree, Loss: MSE, Smoothing: 0.1}, "label smoothing with mse"},
	} {
		if _, err := New(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want an error with %q", test.config, err, test.want)
		}
	}
}

func TestRefusesTensors(t *testing.T) {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dtype tf.DataType
		shape tf.Shape
		want  string
	}{
		{tf.Bfloat16, tf.MakeShape(-1, 37), "data type"},
		{tf.Float, tf.MakeShape(-1, 5), "[N, 37]"},
		{tf.Float, tf.MakeShape(37), "[N, 37]"},
		{tf.Float, tf.Shape{}, "[N, 37]"},
	} {
		s := op.NewScope()
		x := op.Placeholder(s, test.dtype, op.PlaceholderShape(test.shape))
		o.Posterior(s, x)
		o.Loss(s, x, x) // the first error stays, and nothing panics
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want an error with %q", test, err, test.want)
		}
	}
}

func TestBalancedWeights(t *testing.T) {
	got, err := BalancedWeights([]int{10, 5, 1, 20, 4})
	if err != nil || !near(got, []float64{0.8, 1.6, 8, 0.4, 2}, 1e-12) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := BalancedWeights([]int{10, 5, 0, 20, 4}); err == nil || !strings.Contains(err.Error(), "cigar") {
		t.Errorf("got %v, want an error that names the class", err)
	}
}

func ExampleNew() {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.Config(), o.Outputs())
	_, err = New(Config{Head: Tree, Loss: MSE, Smoothing: 0.1})
	fmt.Println(err)
	// Output:
	// tree head, crossentropy 37
	// label smoothing with mse: it keeps logits from growing without end, which mse does not ask of them; leave it out, or use crossentropy
}
