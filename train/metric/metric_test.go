package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// quadratic is a loss whose minimiser is known: (x − y)² at x = y.
type quadratic struct{}

func (quadratic) LossAt(logit, label float64) float64 { return (logit - label) * (logit - label) }
func (quadratic) LogitFor(fraction float64) float64   { return fraction }

// entropy is binary cross-entropy, whose logit is infinite at 0 and 1.
type entropy struct{}

func (entropy) LossAt(x, y float64) float64 {
	return math.Max(x, 0) - x*y + math.Log1p(math.Exp(-math.Abs(x)))
}
func (entropy) LogitFor(y float64) float64 { return math.Log(y / (1 - y)) }

// mean is a Loss made of one for single columns.
type mean struct {
	column interface {
		LossAt(logit, label float64) float64
		LogitFor(label float64) float64
	}
}

func (m mean) LossOf(logits, labels []float32) float64 {
	total := 0.0
	for j, y := range labels {
		total += m.column.LossAt(float64(logits[j]), float64(y)) / float64(len(labels))
	}
	return total
}

func (m mean) LogitsFor(means []float64) (logits []float64) {
	for _, y := range means {
		logits = append(logits, m.column.LogitFor(y))
	}
	return logits
}

// row makes 37 labels from the columns that are not 0.
func row(columns map[int]float32) []float32 {
	r := make([]float32, 37)
	for j, v := range columns {
		r[j] = v
	}
	return r
}

// The columns of the tree, written out once more: the first column of each
// question, and the column whose value reaches it.
var (
	firstColumn  = []int{0, 3, 5, 7, 9, 13, 15, 18, 25, 28, 31, 37}
	parentColumn = []int{-1, 1, 4, 4, 4, -1, 0, 13, 3, 7, 7}
)

const (
	smooth, disk, star = 0, 1, 2
	notEdgeOn          = 4
	odd, notOdd        = 13, 14
	round, between     = 15, 16
)

// A smooth round galaxy, and a disk of which the model is wrong about some.
func TestByHand(t *testing.T) {
	labels := slices.Concat(
		row(map[int]float32{smooth: 0.75, disk: 0.25, notEdgeOn: 0.25, 6: 0.25, 8: 0.25, 10: 0.25, round: 0.5, between: 0.25, notOdd: 1}),
		row(map[int]float32{disk: 0.5, star: 0.5, 3: 0.5, 25: 0.5, notOdd: 1}))
	probabilities := slices.Concat(
		// Wrong about question 7; the rest of the choices as the labels'.
		row(map[int]float32{smooth: 0.75, disk: 0.25, notEdgeOn: 0.25, 6: 0.25, 8: 0.25, 10: 0.25, round: 0.25, between: 0.5, notOdd: 1}),
		// Wrong about questions 1 (the first of two equal labels is disk) and 6.
		row(map[int]float32{disk: 0.25, star: 0.75, 3: 0.5, 25: 0.5, odd: 1}))
	logits := make([]float32, len(labels)) // all 0: the quadratic loss is the mean square of the labels

	e := New(mean{quadratic{}}, nil)
	if err := e.Add(logits, probabilities, labels); err != nil {
		t.Fatal(err)
	}
	result, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	if result.Baseline != nil {
		t.Error("a baseline of nothing")
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if result.Examples != 2 {
		t.Errorf("%d examples", result.Examples)
	}
	// Squared errors: twice 1/16; twice 1/16 and twice 1.
	near("rmse", result.RMSE, math.Sqrt((2.0/16+2.0/16+2)/74))
	// Largest column 14 in both; the model says 14 and 13.
	near("accuracy_argmax37", result.AccuracyArgmax37, 0.5)
	// Squared labels: 9/16 + 5·1/16 + 1/4 + 1/16 + 1, then 4·1/4 + 1.
	near("loss", result.Loss, ((9+5+4+1+16)/16.0+2)/74)
	// Reached, right: Q1 1+1, 1+0; Q2 .25+.5, all; Q3, Q4, Q5 .25, all;
	// Q6 1+.5 (half said star), 1+0; Q7 .75, 0; Q8 none; Q9 .5, all.
	want := []QuestionScore{{1, 0.5, 1}, {2, 1, 0.375}, {3, 1, 0.125}, {4, 1, 0.125}, {5, 1, 0.125},
		{6, 1 / 1.5, 0.75}, {7, 0, 0.375}, {8, 0, 0}, {9, 1, 0.25}, {10, 0, 0}, {11, 0, 0}}
	for i, q := range result.Questions {
		near("accuracy of a question", q.Accuracy, want[i].Accuracy)
		near("share that reached it", q.Reached, want[i].Reached)
		if q.Question != i+1 {
			t.Errorf("question %d at %d", q.Question, i)
		}
	}
	near("question_accuracy", result.QuestionAccuracy, (1+0.75+0.75+1+0+0.5)/(2+0.75+0.75+1.5+0.75+0.5))
	// Of two galaxies a resample has none, one or both of each in time:
	// 25 %, 50 %, 25 %, so the interval spans both.
	if result.AccuracyArgmax37Interval != (Interval{0, 1}) {
		t.Errorf("interval of the accuracy is %v", result.AccuracyArgmax37Interval)
	}
	near("upper end of the rmse", result.RMSEInterval[1], math.Sqrt((2.0/16+2)/37))
}

// Question 8 is asked of those of 6.1, which is a share of those whom 1.3 did
// not send home.
func TestReached(t *testing.T) {
	labels := row(map[int]float32{smooth: 0.5, disk: 0.125, star: 0.375, notEdgeOn: 0.125, odd: 0.25, notOdd: 0.75})
	want := []float64{1, 0.125, 0.125, 0.125, 0.125, 0.625, 0.5, 0.625 * 0.25, 0, 0, 0}
	for i, w := range want {
		if got := reached(labels, i); got != w {
			t.Errorf("question %d is reached by %v, want %v", i+1, got, w)
		}
	}
}

// drawRows draws n rows of 37; ties and zeros are common.
func drawRows(t *rapid.T, name string, n int) []float32 {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.IntRange(0, 4), func(i int) float32 { return float32(i) / 4 }),
		rapid.Float32Range(0, 1)), 37*n, 37*n).Draw(t, name)
}

// largestOf is the slow form of the largest column, the first of equals.
func largestOf(values []float32) int {
	for i, v := range values {
		if v == slices.Max(values) {
			return i
		}
	}
	return -1
}

func TestAgainstDirectForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "examples")
		labels, probabilities, logits := drawRows(t, "labels", n), drawRows(t, "probabilities", n), drawRows(t, "logits", n)
		e := New(mean{entropy{}}, nil)
		for at := 0; at < n; { // cut into batches anyhow
			end := at + rapid.IntRange(1, n-at).Draw(t, "batch")
			if err := e.Add(logits[37*at:37*end], probabilities[37*at:37*end], labels[37*at:37*end]); err != nil {
				t.Fatal(err)
			}
			at = end
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}

		var square, loss, hits, weights, rights float64
		for k := range labels {
			square += math.Pow(float64(probabilities[k]-labels[k]), 2)
			loss += entropy{}.LossAt(float64(logits[k]), float64(labels[k]))
		}
		for q := range 11 {
			var weight, right float64
			for i := range n {
				y, p := labels[37*i:37*i+37], probabilities[37*i:37*i+37]
				w := 1.0
				switch {
				case parentColumn[q] >= 0:
					w = float64(y[parentColumn[q]])
				case q == 5:
					w = 1 - float64(y[star])
				}
				if q == 7 { // 6.1 is a share of those who reached question 6
					w *= 1 - float64(y[star])
				}
				first, last := firstColumn[q], firstColumn[q+1]
				weight += w
				if largestOf(y[first:last]) == largestOf(p[first:last]) {
					right += w
				}
				if q == 0 && largestOf(y) == largestOf(p) {
					hits++
				}
			}
			score := got.Questions[q]
			if weight > 0 && math.Abs(score.Accuracy-right/weight) > 1e-12 || math.Abs(score.Reached-weight/float64(n)) > 1e-12 {
				t.Fatalf("question %d: got %+v, want accuracy %v, reached %v", q+1, score, right/weight, weight/float64(n))
			}
			weights, rights = weights+weight, rights+right
		}
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			// Squares of float32 differences carry float32's rounding.
			{"rmse", got.RMSE, math.Sqrt(square / float64(37*n))},
			{"loss", got.Loss, loss / float64(37*n)},
			{"accuracy_argmax37", got.AccuracyArgmax37, hits / float64(n)},
			{"question_accuracy", got.QuestionAccuracy, rights / weights},
		} {
			if !(math.Abs(c.got-c.want) <= 1e-7) {
				t.Fatalf("%s is %v, want %v", c.name, c.got, c.want)
			}
		}

		whole := New(mean{entropy{}}, nil)
		if err := whole.Add(logits, probabilities, labels); err != nil {
			t.Fatal(err)
		}
		if again, err := whole.Result(); err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("in batches %+v, in one %+v (%v)", got, again, err)
		}
	})
}

func TestPerfect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawRows(t, "labels", 5)
		e := New(mean{quadratic{}}, nil)
		if err := e.Add(labels, labels, labels); err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		if got.RMSE != 0 || got.Loss != 0 || got.AccuracyArgmax37 != 1 || got.QuestionAccuracy != 1 ||
			got.RMSEInterval != (Interval{}) || got.AccuracyArgmax37Interval != (Interval{1, 1}) {
			t.Fatalf("scores of the labels themselves: %+v", got)
		}
	})
}

func TestConstantByHand(t *testing.T) {
	rows := [][]float32{
		// 1.1 is the largest twice, but 6.2 has the largest mean.
		row(map[int]float32{smooth: 0.75, disk: 0.25, round: 0.75, notOdd: 0.5, odd: 0.5}),
		row(map[int]float32{smooth: 0.75, disk: 0.25, between: 0.75, notOdd: 0.75, odd: 0.25}),
		row(map[int]float32{disk: 1, notOdd: 1, notEdgeOn: 1}),
	}
	c, err := FitConstant(slices.Values(rows))
	if err != nil {
		t.Fatal(err)
	}
	if c.Means[smooth] != 0.5 || c.Means[notOdd] != 0.75 || c.Means[round] != 0.25 {
		t.Errorf("means are %v", c.Means)
	}
	if c.choices.column != smooth {
		t.Errorf("the column that is most often the largest is %d, want %d", c.choices.column, smooth)
	}
	// Question 7 is reached by equal shares for two answers: the first counts.
	if c.choices.question[0] != smooth || c.choices.question[1] != notEdgeOn || c.choices.question[6] != round {
		t.Errorf("choices are %v", c.choices.question)
	}

	e := New(mean{quadratic{}}, c)
	test := row(map[int]float32{smooth: 1, round: 1, notOdd: 1})
	if err := e.Add(test, test, test); err != nil {
		t.Fatal(err)
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	square := 0.0
	for j, m := range c.Means {
		square += (m - float64(test[j])) * (m - float64(test[j]))
	}
	b := got.Baseline
	if math.Abs(b.RMSE-math.Sqrt(square/37)) > 1e-7 || b.AccuracyArgmax37 != 1 || b.Examples != 1 || b.QuestionAccuracy != 1 {
		t.Errorf("baseline is %+v, want the RMSE %v", *b, math.Sqrt(square/37))
	}
	// Columns with mean 0 get the fraction of half an example, 1/6: the 28
	// columns besides 1.1, 1.2, 2.2, 6.1, 6.2, 7.1, 7.2.
	zeros := 37 - 7
	want := (square + float64(zeros)/36) / 37
	if math.Abs(b.Loss-want) > 1e-7 {
		t.Errorf("baseline loss is %v, want %v", b.Loss, want)
	}
}

// Nothing that gives one answer to all does better on the rows it was fitted to.
func TestConstantIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "examples")
		labels := drawRows(t, "labels", n)
		c, err := FitConstant(slices.Chunk(labels, 37))
		if err != nil {
			t.Fatal(err)
		}
		other := drawRows(t, "other constant", 1)
		repeated := slices.Repeat(other, n)
		e := New(mean{quadratic{}}, c)
		if err := e.Add(repeated, repeated, labels); err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		b := got.Baseline
		if b.RMSE > got.RMSE+1e-7 || b.AccuracyArgmax37 < got.AccuracyArgmax37 || b.QuestionAccuracy < got.QuestionAccuracy-1e-12 {
			t.Fatalf("constant %+v, another constant %+v", *b, got.Scores)
		}
	})
}

// An answer nobody gave in the train split must not cost an infinite loss.
func TestConstantLossIsFinite(t *testing.T) {
	c, err := FitConstant(slices.Values([][]float32{row(map[int]float32{smooth: 1, notOdd: 1})}))
	if err != nil {
		t.Fatal(err)
	}
	e := New(mean{entropy{}}, c)
	test := row(map[int]float32{star: 1, notOdd: 1})
	if err := e.Add(test, test, test); err != nil {
		t.Fatal(err)
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	// One example: a fraction of 1/2 for columns of mean 0 and 1.
	if math.Abs(got.Baseline.Loss-math.Ln2) > 1e-7 {
		t.Errorf("loss is %v, want %v", got.Baseline.Loss, math.Ln2)
	}
}

// For the mean of n values the interval is near mean ± 1.96·σ/√n.
func TestBootstrapIsNearTheNormalInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const n = 2000
	hits, values := make([]float64, n), make([]float64, n)
	for i := range n {
		values[i] = random.ExpFloat64()
		if random.Float64() < 0.7 {
			hits[i] = 1
		}
	}
	intervals := [2]Interval{}
	intervals[0], intervals[1] = bootstrap(hits, values)
	for k, sample := range [][]float64{hits, values} {
		mean, variance := sum(sample)/n, 0.0
		for _, v := range sample {
			variance += (v - mean) * (v - mean) / (n - 1)
		}
		half := 1.96 * math.Sqrt(variance/n)
		got := intervals[k]
		// A percentile of 1,000 resamples is itself known to about 6 % of half.
		if math.Abs(got[0]-(mean-half)) > 0.2*half || math.Abs(got[1]-(mean+half)) > 0.2*half {
			t.Errorf("interval %v, normal theory %v ± %v", got, mean, half)
		}
	}
	a, b := bootstrap(hits, values)
	if a != intervals[0] || b != intervals[1] {
		t.Error("a second call gives other intervals")
	}
}

func TestPercentiles(t *testing.T) {
	var values []float64
	for i := range 41 { // 0, 1, … 40: percentile 2.5 is 1, 97.5 is 39
		values = append(values, float64(40-i))
	}
	if got := percentiles(values); got != (Interval{1, 39}) {
		t.Errorf("got %v", got)
	}
	if got := percentiles([]float64{4, 0}); math.Abs(got[0]-0.1) > 1e-15 || math.Abs(got[1]-3.9) > 1e-15 {
		t.Errorf("between two values: %v", got)
	}
	if got := percentiles([]float64{7}); got != (Interval{7, 7}) {
		t.Errorf("of one value: %v", got)
	}
}

func TestErrors(t *testing.T) {
	good := row(nil)
	with := func(j int, v float64) []float32 { return row(map[int]float32{j: float32(v)}) }
	for _, test := range []struct {
		name, want                    string
		logits, probabilities, labels []float32
	}{
		{"nothing", "0 logits", nil, nil, nil},
		{"36 columns", "multiple of 37", good[1:], good[1:], good[1:]},
		{"sizes", "37 logits, 74 probabilities", good, slices.Repeat(good, 2), good},
		{"no logits", "0 logits", nil, good, good},
		{"NaN probability", "the probability of example 1, Class7.2, is NaN", good, with(16, math.NaN()), good},
		{"infinite logit", "the logit of example 1, Class1.1, is +Inf", with(0, math.Inf(1)), good, good},
		{"NaN label", "the label of example 1", good, good, with(3, math.NaN())},
	} {
		e := New(mean{quadratic{}}, nil)
		if err := e.Add(good, good, good); err != nil {
			t.Fatal(err)
		}
		if err := e.Add(test.logits, test.probabilities, test.labels); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
		if got, err := e.Result(); err != nil || got.Examples != 1 {
			t.Errorf("%s: after the refusal there are %d examples (%v)", test.name, got.Examples, err)
		}
	}
	if err := New(nil, nil).Add(good, good, good); err == nil {
		t.Error("no loss is accepted")
	}
	if _, err := New(mean{quadratic{}}, nil).Result(); err == nil {
		t.Error("scores of nothing")
	}
	for _, rows := range [][][]float32{nil, {good[1:]}, {good, with(2, 1.5)}, {with(2, -0.5)}, {with(2, math.NaN())}} {
		if _, err := FitConstant(slices.Values(rows)); err == nil {
			t.Errorf("a constant of %v", rows)
		}
	}
}

// The names are part of `galaxy eval --json`.
func TestJSON(t *testing.T) {
	raw, err := json.Marshal(Result{Scores: Scores{Questions: []QuestionScore{{Question: 1}}}, Baseline: &Scores{}})
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	scores := []string{"examples", "rmse", "rmse_interval", "accuracy_argmax37", "accuracy_argmax37_interval", "question_accuracy", "questions", "loss"}
	for _, name := range append(scores, "baseline") {
		if _, ok := object[name]; !ok {
			t.Errorf("no %q in %s", name, raw)
		}
	}
	for _, name := range scores {
		if _, ok := object["baseline"].(map[string]any)[name]; !ok {
			t.Errorf("no %q under baseline in %s", name, raw)
		}
	}
	if without, err := json.Marshal(Result{}); err != nil || strings.Contains(string(without), "baseline") {
		t.Errorf("without a baseline: %s, %v", without, err)
	}
}

func BenchmarkResult(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	const n = 6158 // a tenth of the real catalogue
	rows := make([]float32, 37*n)
	for i := range rows {
		rows[i] = random.Float32()
	}
	e := New(mean{entropy{}}, nil)
	if err := e.Add(rows, rows, rows); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Result(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	rows := make([]float32, 37*64)
	c, err := FitConstant(slices.Chunk(rows, 37))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e := New(mean{entropy{}}, c)
		if err := e.Add(rows, rows, rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "examples/s")
}
