package objective

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"pgregory.net/rapid"

	"galaxy/graph/graphtest"
	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// TestMain lowers the number of random examples, because each test has them for every job.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "60"); err != nil {
		panic(err)
	}
	flag.Parse()
	if testing.Short() {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

var zoo, small, zooCounts = labels.GalaxyZoo(), labelstest.Small(), counted(labels.GalaxyZoo())

func counted(schema *labels.Schema) *labels.Schema {
	counts, err := schema.With(labels.Counts)
	if err != nil {
		panic(err)
	}
	return counts
}

func ofCounts(schema *labels.Schema) bool { return schema.Values() == labels.Counts }

// A job is a Config for the labels of a schema.
type job struct {
	Config
	schema *labels.Schema
}

// jobs returns the configs of every schema.
var jobs = sync.OnceValue(func() (all []job) {
	for _, schema := range append(labelstest.Schemas(), labelstest.SmallCounts(), zooCounts) {
		for _, c := range configs(schema) {
			all = append(all, job{c, schema})
		}
	}
	return all
})

// configs returns every head with every loss that it supports: plain, with weights, with
// smoothed labels, and with both and unusual constants; with -short the first and the last.
func configs(schema *labels.Schema) []Config {
	var all []Config
	for _, head := range Heads() {
		for _, loss := range Losses() {
			row, target := losses[loss], head.Target(schema)
			if target.Width() == 0 {
				continue // the schema has no classes
			}
			if groups := heads[head].groups(target); !row.has(target, groups) || ofCounts(target) && independent(groups) {
				continue
			}
			plain, weighted, other := Default(head, loss), Default(head, loss), Default(head, loss)
			for i := range head.ClassWeights(schema) {
				weighted.Weights = append(weighted.Weights, 0.5+float64(i%7)/3)
			}
			other.Weights = weighted.Weights
			for _, k := range row.constants {
				other.SetConstant(k.Name, (2*k.Low+k.Default)/3)
			}
			smoothed := plain
			if row.noSmoothing == "" && !ofCounts(target) {
				smoothed.Smoothing, other.Smoothing = 0.2, 0.1
			}
			all = append(all, plain, other)
			if testing.Short() {
				continue
			}
			all = append(all, weighted)
			if smoothed.Smoothing > 0 {
				all = append(all, smoothed)
			}
		}
	}
	return all
}

// name returns a name short enough for a file.
func (c job) name() string {
	text := string(c.Head) + "_" + string(c.Loss)
	if c.schema != zoo {
		text = strings.ReplaceAll(c.schema.Name(), " ", "-") + "_" + text
	}
	if ofCounts(c.schema) {
		text += "_counts"
	}
	if c.Weights != nil {
		text += "_weights"
	}
	if c.Smoothing > 0 {
		text += "_smoothed"
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

// graphs are the graphs that were built, by the schema's place and the config. Their sessions stay
// open: to build them takes most of the time of these tests.
var graphs = map[string]built{}

func build(t *testing.T, c job) built {
	t.Helper()
	key := fmt.Sprintf("%p %+v", c.schema, c.Config)
	if b, ok := graphs[key]; ok {
		return b
	}
	o, err := New(c.Config, c.schema)
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
	graphs[key] = b
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

// slopes returns the gradient of the loss of one example with respect to its logits.
func (b built) slopes(t *testing.T, logits, labels []float32) []float64 {
	t.Helper()
	n := int64(b.Outputs())
	got, err := b.session.Run(graphtest.Feeds{
		b.logits: graphtest.Float32(t, float64s(logits), 1, n),
		b.labels: graphtest.Float32(t, float64s(labels), 1, n),
	}, []tf.Output{b.gradient}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return graphtest.Floats(t, got[0])
}

// drawLabels draws labels like a catalogue's: the answers of a question sum to the fraction
// of those asked, and a class is one of several. Counts are none, few, or thousands.
func (b built) drawLabels(t *rapid.T, rows int) []float32 {
	var labels []float32
	if b.likelihood != nil {
		for range rows {
			for _, g := range b.groups {
				most := rapid.SampledFrom([]int{0, 1, 80, 5000}).Draw(t, "most votes")
				for range g.count {
					labels = append(labels, float32(rapid.IntRange(0, most).Draw(t, "votes")))
				}
			}
		}
		return labels
	}
	for range rows {
		row := rapid.SliceOfN(rapid.Float32Range(0, 1), b.Outputs(), b.Outputs()).Draw(t, "fractions")
		if b.head.byClass {
			clear(row)
			row[rapid.IntRange(0, len(row)-1).Draw(t, "class")] = 1
		}
		b.project(row)
		labels = append(labels, row...)
	}
	return labels
}

// project turns positive numbers into labels.
func (b built) project(row []float32) {
	for _, g := range b.groups {
		asked, sum := float32(g.asked(float64s(row))), float32(0)
		answers := row[g.first : g.first+g.count]
		for _, y := range answers {
			sum += y
		}
		for k := range answers {
			switch {
			case g.count == 1:
			case sum == 0:
				answers[k] = asked / float32(g.count)
			default:
				answers[k] = answers[k] / sum * asked // asked / sum may be infinite
			}
		}
	}
}

// lossFloor is the smallest tolerance between the graph and the float64 reference: the logarithm of a
// fraction near 1 is exact to 1e-7, and Poly-1 counts it 1+ε times.
const lossFloor = 4e-7

func drawLogits(t *rapid.T, n int, within float32) []float32 {
	return rapid.SliceOfN(rapid.Float32Range(-within, within), n, n).Draw(t, "logits")
}

func TestGraphAgainstTwin(t *testing.T) {
	for _, c := range jobs() {
		t.Run(c.name(), func(t *testing.T) {
			b := build(t, c)
			rapid.Check(t, func(r *rapid.T) {
				rows, width := rapid.IntRange(1, 4).Draw(r, "rows"), b.Outputs()
				labels, logits := b.drawLabels(r, rows), drawLogits(r, rows*width, 12)
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
				if !(math.Abs(got-want) <= 2e-5*want+lossFloor) {
					r.Fatalf("loss is %v, want %v", got, want)
				}
			})
		})
	}
}

func TestGradientByDifferences(t *testing.T) {
	for _, c := range jobs() {
		t.Run(c.name(), func(t *testing.T) {
			b := build(t, c)
			if b.likelihood != nil {
				return // its gradient is not that of the value: TestLikelihoodGradient
			}
			n := b.Outputs()
			logits, labels := make([]float64, n), make([]float64, n)
			for i := range logits {
				logits[i] = 2 * math.Sin(float64(3*i))
				labels[i] = math.Abs(math.Sin(float64(5 * i)))
			}
			if b.head.byClass {
				clear(labels)
				labels[1] = 1
			}
			graphtest.CheckGradient(t, graphtest.Gradient{Graph: b.graph, Y: b.loss, X: b.logits, DYDX: b.gradient,
				Feeds: graphtest.Feeds{b.logits: graphtest.Float32(t, logits, 1, int64(n)), b.labels: graphtest.Float32(t, labels, 1, int64(n))}})
		})
	}
}

// LogitsFor returns the minimum: every step away from it raises the loss, and
// Posterior there returns the labels, except for classes with different
// weights.
func TestMinimum(t *testing.T) {
	for _, c := range jobs() {
		t.Run(c.name(), func(t *testing.T) {
			b := build(t, c)
			if b.likelihood != nil {
				return // its minimum is over votes that are drawn: TestLikelihoodMinimum
			}
			n := b.Outputs()
			rapid.Check(t, func(r *rapid.T) {
				row := rapid.SliceOfN(rapid.Float32Range(0.05, 1), n, n).Draw(r, "label")
				for j := range row {
					if b.binary != nil {
						row[j] = min(row[j], 0.95)
					}
				}
				b.project(row)
				best := b.LogitsFor(float64s(row))
				logits := make([]float32, n)
				for j, x := range best {
					logits[j] = float32(x)
				}
				mean := func(x []float32) float64 {
					if !b.head.byClass {
						return b.LossOf(x, row)
					}
					total := 0.0 // over examples; a fraction row[j] of them is of class j
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
				if b.head.byClass && c.Weights != nil {
					return
				}
				if p := b.PosteriorOf(logits); !near(float64s(p), float64s(row), 3e-6) {
					r.Fatalf("fractions %v of the best logits, labels %v", p, row)
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

// For any logits, loss, gradient and probabilities are finite and agree with float64, and the
// probabilities of a question's answers sum to the probability that it is asked.
func TestExtremeLogits(t *testing.T) {
	for _, c := range jobs() {
		t.Run(c.name(), func(t *testing.T) {
			b := build(t, c)
			rapid.Check(t, func(r *rapid.T) {
				n := b.Outputs()
				within := rapid.SampledFrom([]float32{1, 30, 1e4}).Draw(r, "within")
				logits := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]float32{-within, 0, within}), rapid.Float32Range(-within, within)), n, n).Draw(r, "logits")
				labels := b.drawLabels(r, 1)
				loss, p := b.run(t, logits, labels)
				if want := b.LossOf(logits, labels); !(math.Abs(loss-want) <= 2e-5*want+lossFloor) {
					r.Fatalf("loss is %v, want %v", loss, want)
				}
				for j, slope := range b.slopes(t, logits, labels) {
					if math.IsNaN(slope) || math.IsInf(slope, 0) {
						r.Fatalf("gradient %d is %v", j, slope)
					}
				}
				twin := float64s(b.PosteriorOf(logits))
				for _, g := range b.groups {
					sum, asked := 0.0, g.asked(p)
					for j := g.first; j < g.first+g.count; j++ {
						if sum += p[j]; !(p[j] >= 0 && p[j] <= 1+1e-6) || !(math.Abs(p[j]-twin[j]) <= 2e-6) {
							r.Fatalf("probability %d is %v, want %v", j, p[j], twin[j])
						}
					}
					if g.count > 1 && !(math.Abs(sum-asked) <= 1e-5) {
						r.Fatalf("probabilities %v from %d on sum to %v, want %v", p[g.first:g.first+g.count], g.first, sum, asked)
					}
				}
			})
		})
	}
}

// The posterior of an independent column rises with its logit, so that the order of examples
// does not change.
func TestPosteriorRises(t *testing.T) {
	for _, c := range jobs() {
		o, err := New(c.Config, c.schema)
		if err != nil {
			t.Fatal(err)
		}
		if o.binary == nil {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				x := rapid.Float64Range(-5, 5).Draw(r, "logit") // in this range float64 separates fractions
				step := rapid.Float64Range(1e-3, 2).Draw(r, "step")
				if low, high := o.binary.PosteriorAt(x), o.binary.PosteriorAt(x+step); !(high > low) {
					r.Fatalf("logit %v stands for %v, and %v for %v", x, low, x+step, high)
				}
			})
		})
	}
}

// By hand: all volunteers say smooth, two thirds of them round, and the network
// predicts equal fractions.
func TestTreeByHand(t *testing.T) {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy}, zoo)
	if err != nil {
		t.Fatal(err)
	}
	labels, logits := make([]float32, zoo.Width()), make([]float32, zoo.Width())
	labels[0], labels[14], labels[15], labels[16] = 1, 1, 0.75, 0.25
	// Questions 1, 6 and 7 were asked, of 3, 2 and 3 answers.
	if got, want := o.LossOf(logits, labels), (math.Log(3)+math.Log(2)+math.Log(3))/37; math.Abs(got-want) > 1e-12 {
		t.Errorf("cross-entropy is %v, want %v", got, want)
	}
	o, err = New(Config{Head: Tree, Loss: MSE}, zoo)
	if err != nil {
		t.Fatal(err)
	}
	// 1.1 at 1/3, 2.2 at 1/6, 7.1 at 1/9, 3.1 at 1/12, 8.1 at 1/14, 4.1 at 1/12.
	want := map[int]float64{0: 1. / 3, 1: 1. / 3, 2: 1. / 3, 3: 1. / 6, 4: 1. / 6, 5: 1. / 12, 6: 1. / 12, 7: 1. / 12, 8: 1. / 12,
		9: 1. / 24, 13: 1. / 2, 14: 1. / 2, 15: 1. / 9, 18: 1. / 14, 25: 1. / 18, 28: 1. / 36, 31: 1. / 72}
	_, p := build(t, job{o.Config(), zoo}).run(t, logits, labels)
	for j, w := range want {
		if math.Abs(p[j]-w) > 1e-6 {
			t.Errorf("%s is %v, want %v", zoo.Columns()[j], p[j], w)
		}
	}
}

// By hand for the small schema, whose last question is asked after smooth and face-on: half of
// the galaxy's volunteers.
func TestSmallTreeByHand(t *testing.T) {
	labels, logits := []float32{0.25, 0.5, 0.25, 0.25, 0.25, 0.5, 0, 0}, make([]float32, small.Width())
	o, err := New(Config{Head: Tree, Loss: CrossEntropy}, small)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := o.LossOf(logits, labels), (math.Log(3)+math.Log(2)/2+math.Log(3)/2)/8; math.Abs(got-want) > 1e-12 {
		t.Errorf("cross-entropy is %v, want %v", got, want)
	}
	// Equal fractions: a third each, half of a third, and a third of 1/3 + 1/6.
	want := []float64{1. / 3, 1. / 3, 1. / 3, 1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6}
	if _, p := build(t, job{o.Config(), small}).run(t, logits, labels); !near(p, want, 1e-6) {
		t.Errorf("probabilities %v, want %v", p, want)
	}
}

func TestSwappedArguments(t *testing.T) {
	for _, c := range jobs() {
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
		{Config{Loss: Focal}, `head "": expected`},
		{Config{Head: Independent}, `loss "": expected`},
		{Config{Head: "leaf", Loss: Focal}, `head leaf: expected`},
		{Config{Head: Independent, Loss: Focal}, "alpha 0: expected a number above 0 and below 1, the constant of focal loss"},
		{Config{Head: Independent, Loss: MSE, Gamma: 2}, "gamma 2: expected none with loss mse: it is a constant of focal loss"},
		{Config{Head: Independent, Loss: MSE, Constants: map[string]float64{"gama": 2}}, "it is of no loss"},
		{Config{Head: Independent, Loss: MSE, Weights: five}, "expected 37 numbers with head answers"},
		{Config{Head: Tree, Loss: MSE, Weights: five}, "expected 11 numbers with head tree"},
		{Config{Head: Classes, Loss: MSE, Weights: five[1:]}, "round, in-between, cigar, edge-on, spiral"},
		{Config{Head: Classes, Loss: MSE, Weights: []float64{1, 1, 1, 1, 0}}, "above 0"},
		{Config{Head: Classes, Loss: MSE, Weights: []float64{1, 1, 1, 1, math.NaN()}}, "above 0"},
		{Config{Head: Tree, Loss: CrossEntropy, Smoothing: 1}, "label_smoothing 1: expected"},
		{Config{Head: Tree, Loss: MSE, Smoothing: 0.1}, "label_smoothing 0.1: expected 0 with loss mse"},
	} {
		if _, err := New(test.config, zoo); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want an error with %q", test.config, err, test.want)
		}
	}
}

// The number of weights must match the schema, and the head classes needs a schema with
// classes.
func TestRefusesOtherSchemas(t *testing.T) {
	without, err := labels.New(labels.Definition{Name: "plain", Questions: small.Questions()})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		config Config
		schema *labels.Schema
		want   string
	}{
		{Config{Head: Independent, Loss: MSE, Weights: make([]float64, 37)}, small, "expected 8 numbers"},
		{Config{Head: Tree, Loss: MSE, Weights: make([]float64, 11)}, small, "expected 3 numbers"},
		{Config{Head: Classes, Loss: MSE, Weights: make([]float64, 5)}, small, "expected 2 numbers with head classes (loner, blade)"},
		{Config{Head: Classes, Loss: MSE}, without, "the label schema plain has none; use head answers"},
		{Config{Head: Independent, Loss: CrossEntropy}, zooCounts, "every volunteer gives one answer to a question; use head tree"},
		{Config{Head: Tree, Loss: MSE}, zooCounts, "counts of votes: a squared error of fractions is no likelihood of votes; use loss dirichlet"},
		{Config{Head: Tree, Loss: Poly1, Constants: map[string]float64{"poly_epsilon": 2}}, zooCounts, "use loss dirichlet"},
		{Config{Head: Tree, Loss: Focal, Alpha: 0.25}, zooCounts, "use loss dirichlet"},
		{Config{Head: Classes, Loss: Dirichlet}, zooCounts, "use loss crossentropy"},
		{Config{Head: Tree, Loss: Dirichlet}, zoo, "a fraction does not say of how many votes it is; use loss crossentropy"},
		{Config{Head: Independent, Loss: Dirichlet}, zoo, "use loss focal"},
		{Config{Head: Tree, Loss: Dirichlet, Smoothing: 0.1, Constants: map[string]float64{"least_concentration": 1}}, zooCounts, "label_smoothing 0.1: expected 0 with labels that are counts"},
		{Config{Head: Tree, Loss: Dirichlet, Weights: make([]float64, 5)}, zooCounts, "expected 11 numbers"},
	} {
		if _, err := New(test.config, test.schema); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want an error with %q", test.config, err, test.want)
		}
	}
}

// A head is read by its former name, and written by its name.
func TestFormerHead(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(`{"head":"five","loss":"crossentropy"}`), &c); err != nil || c.Head != Classes {
		t.Errorf("head %q (%v)", c.Head, err)
	}
	if text, err := json.Marshal(c); err != nil || string(text) != `{"head":"classes","loss":"crossentropy"}` {
		t.Errorf("written as %s (%v)", text, err)
	}
	for _, head := range append(Heads(), "leaf", "") {
		var read Head
		if err := read.UnmarshalText([]byte(head)); err != nil || read != head {
			t.Errorf("%q is read as %q (%v)", head, read, err)
		}
	}
}

// The head and the loss of a run that names none are those of its labels.
func TestDefaults(t *testing.T) {
	plain, err := labels.FromClasses([]string{"FRI", "FRII", "Bent"})
	if err != nil {
		t.Fatal(err)
	}
	for schema, want := range map[*labels.Schema]Config{
		zoo: {Head: Independent, Loss: Focal}, small: {Head: Independent, Loss: Focal}, zooCounts: {Head: Tree, Loss: Dirichlet},
		plain: {Head: Classes, Loss: CrossEntropy},
	} {
		head := DefaultHead(schema)
		if loss := head.DefaultLoss(schema); head != want.Head || loss != want.Loss {
			t.Errorf("%v: head %s, loss %s", schema, head, loss)
		}
	}
	if n := Classes.ClassWeights(plain); n != 3 {
		t.Errorf("%d class weights of three classes", n)
	}
}

// A constant outside its range, or of another loss, is rejected; the default, and the default
// read from JSON, is not.
func TestConstants(t *testing.T) {
	for _, k := range Constants() {
		c, schema := Default(Independent, k.Loss), zoo
		if losses[k.Loss].binary == nil {
			c, schema = Default(Tree, k.Loss), zooCounts
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var read Config
		if err := json.Unmarshal(raw, &read); err != nil || read.Validate(schema) != nil || read.Constant(k.Name) != k.Default {
			t.Errorf("%s: %v, %v, want a default of %v", raw, err, read.Validate(schema), k.Default)
		}
		if text := c.String(); !strings.Contains(text, fmt.Sprintf("%s %v", k.Name, k.Default)) {
			t.Errorf("%q does not tell %s", text, k.Name)
		}
		for _, value := range []float64{k.Low - 1, k.High + 1, math.NaN()} {
			bad := c
			if bad.SetConstant(k.Name, value); bad.Validate(schema) == nil {
				t.Errorf("%v is accepted", bad)
			}
		}
		for _, loss := range Losses() {
			if loss != k.Loss {
				other := Default(Independent, loss)
				if other.SetConstant(k.Name, k.Default); other.Validate(zoo) == nil {
					t.Errorf("%s is accepted with the loss %s", k.Name, loss)
				}
			}
		}
		if err := c.Validate(schema); err != nil {
			t.Errorf("setting a copy's constants changed %v: %v", c, err)
		}
	}
}

// The keys of config.json and of a SavedModel's metadata must not change.
func TestJSON(t *testing.T) {
	const text = `{"head":"answers","loss":"focal","alpha":0.4,"gamma":1,"weights":[1,2],"label_smoothing":0.1}`
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var c Config
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	want := Config{Head: Independent, Loss: Focal, Alpha: 0.4, Gamma: 1, Weights: []float64{1, 2}, Smoothing: 0.1}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if got, err := json.Marshal(c); err != nil || string(got) != text {
		t.Errorf("got %s, %v, want %s", got, err, text)
	}
}

func TestRefusesTensors(t *testing.T) {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy}, zoo)
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
	got, err := BalancedWeights(zoo.Classes(), []int{10, 5, 1, 20, 4})
	if err != nil || !near(got, []float64{0.8, 1.6, 8, 0.4, 2}, 1e-12) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := BalancedWeights(zoo.Classes(), []int{10, 5, 0, 20, 4}); err == nil || !strings.Contains(err.Error(), "cigar") {
		t.Errorf("got %v, want an error that names the class", err)
	}
}

func ExampleNew() {
	o, err := New(Config{Head: Tree, Loss: CrossEntropy}, zoo)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.Config(), o.Outputs())
	_, err = New(Config{Head: Tree, Loss: MSE, Smoothing: 0.1}, zoo)
	fmt.Println(err)
	// Output:
	// tree head, crossentropy 37
	// label_smoothing 0.1: expected 0 with loss mse: it keeps logits from growing without end, which mse does not ask of them; leave it out, or use loss crossentropy
}
