package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

var zoo, small = labels.GalaxyZoo(), labelstest.Small()

// ofFractions is embedded by losses that are none of counts.
type ofFractions struct{}

func (ofFractions) Spread([]float32) []float64 { return nil }

// quadratic is a loss whose minimiser is known: (x − y)² at x = y.
type quadratic struct{ ofFractions }

func (quadratic) LossOf(logits, labels []float32) float64 {
	return mean(logits, labels, func(x, y float64) float64 { return (x - y) * (x - y) })
}
func (quadratic) LogitsFor(means []float64) []float64 { return means }

// entropy is binary cross-entropy, whose logit is infinite at 0 and 1.
type entropy struct{ ofFractions }

func (entropy) LossOf(logits, labels []float32) float64 { return mean(logits, labels, entropyAt) }
func (entropy) LogitsFor(means []float64) (logits []float64) {
	for _, y := range means {
		logits = append(logits, math.Log(y/(1-y)))
	}
	return logits
}

func entropyAt(x, y float64) float64 {
	return math.Max(x, 0) - x*y + math.Log1p(math.Exp(-math.Abs(x)))
}

func mean(logits, labels []float32, of func(x, y float64) float64) float64 {
	total := 0.0
	for j := range labels {
		total += of(float64(logits[j]), float64(labels[j]))
	}
	return total / float64(len(labels))
}

// row makes 37 labels from the columns that are not 0.
func row(columns map[int]float32) []float32 {
	r := make([]float32, 37)
	for j, v := range columns {
		r[j] = v
	}
	return r
}

// written is a schema written out independently.
type written struct {
	schema *labels.Schema
	first  []int // column of each question, and the end
	// reached returns the fraction of volunteers who were asked each question.
	reached func(y []float32) []float64
}

var writtenSchemas = []written{
	{zoo, []int{0, 3, 5, 7, 9, 13, 15, 18, 25, 28, 31, 37}, func(row []float32) []float64 {
		y := float64s(row)
		return []float64{1, y[1], y[4], y[4], y[4], 1 - y[star], y[0], (1 - y[star]) * y[13], y[3], y[7], y[7]}
	}},
	{small, []int{0, 3, 5, 8}, func(row []float32) []float64 {
		y := float64s(row)
		return []float64{1, y[1], y[0] + y[4]}
	}},
}

func float64s(row []float32) (out []float64) {
	for _, v := range row {
		out = append(out, float64(v))
	}
	return out
}

const (
	smooth, disk, star = 0, 1, 2
	notEdgeOn          = 4
	odd, notOdd        = 13, 14
	round, between     = 15, 16
)

// A smooth round galaxy, and a disk that the model gets partly wrong.
func TestByHand(t *testing.T) {
	labels := slices.Concat(
		row(map[int]float32{smooth: 0.75, disk: 0.25, notEdgeOn: 0.25, 6: 0.25, 8: 0.25, 10: 0.25, round: 0.5, between: 0.25, notOdd: 1}),
		row(map[int]float32{disk: 0.5, star: 0.5, 3: 0.5, 25: 0.5, notOdd: 1}))
	probabilities := slices.Concat(
		// Wrong about question 7; otherwise the same choices as the labels.
		row(map[int]float32{smooth: 0.75, disk: 0.25, notEdgeOn: 0.25, 6: 0.25, 8: 0.25, 10: 0.25, round: 0.25, between: 0.5, notOdd: 1}),
		// Wrong about questions 1 (the first of two equal labels is disk) and 6.
		row(map[int]float32{disk: 0.25, star: 0.75, 3: 0.5, 25: 0.5, odd: 1}))
	logits := make([]float32, len(labels)) // all 0: the quadratic loss is the mean square of the labels

	e := New(zoo, quadratic{}, nil)
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
	near := func(name string, got Value, want float64) {
		t.Helper()
		nearly(t, name, float64(got), want)
	}
	if result.Examples != 2 {
		t.Errorf("%d examples", result.Examples)
	}
	// Squared errors: twice 1/16; twice 1/16 and twice 1.
	near("rmse", Value(result.RMSE), math.Sqrt((2.0/16+2.0/16+2)/74))
	// Largest column 14 in both; the model says 14 and 13.
	near("accuracy_argmax37", result.AccuracyArgmax, 0.5)
	// Squared labels: 9/16 + 5·1/16 + 1/4 + 1/16 + 1, then 4·1/4 + 1.
	near("loss", result.Loss, ((9+5+4+1+16)/16.0+2)/74)
	// Reached, right: Q1 1+1, 1+0; Q2 .25+.5, all; Q3, Q4, Q5 .25, all;
	// Q6 1+.5 (half said star), 1+0; Q7 .75, 0; Q8 none; Q9 .5, all.
	// Squared errors: Q1 two of 1/16 over 2·3 columns, Q6 two of 1 over 2·2, Q7
	// two of 1/16 over 2·3.
	never := math.NaN()
	want := []struct{ accuracy, reached, rmse float64 }{
		{0.5, 1, math.Sqrt(2.0 / 16 / 6)}, {1, 0.375, 0}, {1, 0.125, 0}, {1, 0.125, 0}, {1, 0.125, 0},
		{1 / 1.5, 0.75, math.Sqrt(2.0 / 4)}, {0, 0.375, math.Sqrt(2.0 / 16 / 6)}, {never, 0, 0}, {1, 0.25, 0}, {never, 0, 0}, {never, 0, 0}}
	for i, q := range result.Questions {
		near("accuracy of a question", q.Accuracy, want[i].accuracy)
		near("share that reached it", Value(q.Reached), want[i].reached)
		near("rmse of a question", q.RMSE, want[i].rmse)
		if q.Question != i+1 {
			t.Errorf("question %d at %d", q.Question, i)
		}
	}
	near("question_accuracy", result.QuestionAccuracy, (1+0.75+0.75+1+0+0.5)/(2+0.75+0.75+1.5+0.75+0.5))
	// A resample of two galaxies has the first zero, one or two times: 25 %, 50
	// %, 25 %, so the interval spans both.
	if *result.AccuracyArgmaxInterval != (Interval{0, 1}) {
		t.Errorf("interval of the accuracy is %v", result.AccuracyArgmaxInterval)
	}
	near("upper end of the rmse", Value(result.RMSEInterval[1]), math.Sqrt((2.0/16+2)/37))
	// Question 9 is reached only in the second galaxy, which a quarter of the
	// resamples lack; its accuracy is 1 in the others.
	if got := result.Questions[8].AccuracyInterval; got == nil || *got != (Interval{1, 1}) {
		t.Errorf("interval of question 9 is %v", got)
	}
	if got := result.Questions[7].AccuracyInterval; got != nil {
		t.Errorf("question 8 was never asked and has the interval %v", got)
	}
	// The first galaxy is round (1.1 ≥ .469, 7.1 ≥ .5) and predicted as in
	// between; the second has no clean class.
	if f := result.CleanClasses; f == nil || f.Examples != 1 || f.Confusion[0][1] != 1 {
		t.Errorf("five classes: %+v", f)
	}
}

// nearly compares two metrics; two undefined metrics are equal.
func nearly(t interface {
	Helper()
	Errorf(string, ...any)
}, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12) && !(math.IsNaN(got) && math.IsNaN(want)) {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

// drawRows draws n rows of a width; ties and zeros are common.
func drawRows(t *rapid.T, name string, n, width int) []float32 {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.IntRange(0, 4), func(i int) float32 { return float32(i) / 4 }),
		rapid.Float32Range(0, 1)), width*n, width*n).Draw(t, name)
}

// largestOf finds the largest column the slow way, the first of equals.
func largestOf(values []float32) int {
	for i, v := range values {
		if v == slices.Max(values) {
			return i
		}
	}
	return -1
}

func TestAgainstDirectForms(t *testing.T) {
	for _, w := range writtenSchemas {
		t.Run(w.schema.Name(), func(t *testing.T) {
			rapid.Check(t, w.againstDirectForms)
		})
	}
}

func (schema written) againstDirectForms(t *rapid.T) {
	width, questions := schema.schema.Width(), len(schema.first)-1
	n := rapid.IntRange(1, 8).Draw(t, "examples")
	labels, probabilities, logits := drawRows(t, "labels", n, width), drawRows(t, "probabilities", n, width), drawRows(t, "logits", n, width)
	e := New(schema.schema, entropy{}, nil)
	for at := 0; at < n; { // cut into random batches
		end := at + rapid.IntRange(1, n-at).Draw(t, "batch")
		if err := e.Add(logits[width*at:width*end], probabilities[width*at:width*end], labels[width*at:width*end]); err != nil {
			t.Fatal(err)
		}
		at = end
	}
	got, err := e.Scores()
	if err != nil {
		t.Fatal(err)
	}

	var square, loss, hits, weights, rights, weighted float64
	for k := range labels {
		square += math.Pow(float64(probabilities[k])-float64(labels[k]), 2)
		loss += entropyAt(float64(logits[k]), float64(labels[k]))
	}
	if len(got.Questions) != questions {
		t.Fatalf("%d questions, want %d", len(got.Questions), questions)
	}
	for q := range questions {
		var weight, right, squares float64
		first, last := schema.first[q], schema.first[q+1]
		for i := range n {
			y, p := labels[width*i:width*(i+1)], probabilities[width*i:width*(i+1)]
			w := schema.reached(y)[q]
			for j := first; j < last; j++ {
				squares += math.Pow(float64(p[j])-float64(y[j]), 2)
			}
			weight += w
			if largestOf(y[first:last]) == largestOf(p[first:last]) {
				right += w
			}
			if q == 0 && largestOf(y) == largestOf(p) {
				hits++
			}
		}
		score := got.Questions[q]
		nearly(t, "accuracy of a question", float64(score.Accuracy), right/weight)
		nearly(t, "share that reached it", score.Reached, weight/float64(n))
		nearly(t, "rmse of a question", float64(score.RMSE), math.Sqrt(squares/float64(n*(last-first))))
		weighted += float64(last-first) * float64(score.RMSE*score.RMSE)
		weights, rights = weights+weight, rights+right
	}
	nearly(t, "rmse", got.RMSE, math.Sqrt(square/float64(width*n)))
	nearly(t, "rmse from those of the questions", got.RMSE, math.Sqrt(weighted/float64(width)))
	nearly(t, "loss", float64(got.Loss), loss/float64(width*n))
	nearly(t, "accuracy_argmax37", float64(got.AccuracyArgmax), hits/float64(n))
	nearly(t, "question_accuracy", float64(got.QuestionAccuracy), rights/weights)
	nearly(t, "fraction_calibration", float64(got.FractionCalibration.Error), slowECE(probabilities, labels, got.FractionCalibration.Bins))

	whole := New(schema.schema, entropy{}, nil)
	if err := whole.Add(logits, probabilities, labels); err != nil {
		t.Fatal(err)
	}
	again, err := whole.Scores()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encoded(t, got), encoded(t, again); got != want {
		t.Fatalf("in batches %s, in one %s", got, want)
	}
}

// slowECE is Σ over bins of |mean prediction − mean outcome|, weighted by how many
// predictions fall into the bin, from the bins' definition.
func slowECE(predicted, observed []float32, bins []ReliabilityBin) float64 {
	total, inBins := 0.0, 0
	for _, b := range bins {
		var p, y float64
		n := 0
		for k, v := range predicted {
			if x := float64(v); x >= b.From && (x < b.To || b.To == 1) {
				p += x
				y += float64(observed[k])
				n++
			}
		}
		if n != b.Count || math.Abs(p/float64(n)-b.Predicted) > 1e-12 || math.Abs(y/float64(n)-b.Observed) > 1e-12 {
			return math.Inf(1)
		}
		total += float64(n) / float64(len(predicted)) * math.Abs(p/float64(n)-y/float64(n))
		inBins += n
	}
	if inBins != len(predicted) {
		return math.Inf(1)
	}
	return total
}

func TestPerfect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := rapid.SampledFrom(labelstest.Schemas()).Draw(t, "schema")
		labels := drawRows(t, "labels", 5, schema.Width())
		e := New(schema, quadratic{}, nil)
		if err := e.Add(labels, labels, labels); err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		if got.RMSE != 0 || got.Loss != 0 || got.AccuracyArgmax != 1 || got.QuestionAccuracy != 1 ||
			*got.RMSEInterval != (Interval{}) || *got.AccuracyArgmaxInterval != (Interval{1, 1}) || got.FractionCalibration.Error != 0 {
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
	c, err := FitConstant(zoo, slices.Values(rows))
	if err != nil {
		t.Fatal(err)
	}
	if c.Means[smooth] != 0.5 || c.Means[notOdd] != 0.75 || c.Means[round] != 0.25 {
		t.Errorf("means are %v", c.Means)
	}
	if c.choices.column != smooth {
		t.Errorf("the column that is most often the largest is %d, want %d", c.choices.column, smooth)
	}
	// In question 7 two answers have equal fractions: the first counts.
	if c.choices.question[0] != smooth || c.choices.question[1] != notEdgeOn || c.choices.question[6] != round {
		t.Errorf("choices are %v", c.choices.question)
	}

	e := New(zoo, quadratic{}, c)
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
	if math.Abs(b.RMSE-math.Sqrt(square/37)) > 1e-7 || b.AccuracyArgmax != 1 || b.Examples != 1 || b.QuestionAccuracy != 1 {
		t.Errorf("baseline is %+v, want the RMSE %v", *b, math.Sqrt(square/37))
	}
	// Columns with mean 0 get the fraction of half an example, 1/6: the 28
	// columns besides 1.1, 1.2, 2.2, 6.1, 6.2, 7.1, 7.2.
	zeros := 37 - 7
	want := (square + float64(zeros)/36) / 37
	if math.Abs(float64(b.Loss)-want) > 1e-7 {
		t.Errorf("baseline loss is %v, want %v", b.Loss, want)
	}
}

// No other constant prediction scores better on the rows it was fitted to.
func TestConstantIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "examples")
		schema := rapid.SampledFrom(labelstest.Schemas()).Draw(t, "schema")
		labels := drawRows(t, "labels", n, schema.Width())
		c, err := FitConstant(schema, slices.Chunk(labels, schema.Width()))
		if err != nil {
			t.Fatal(err)
		}
		other := drawRows(t, "other constant", 1, schema.Width())
		repeated := slices.Repeat(other, n)
		e := New(schema, quadratic{}, c)
		if err := e.Add(repeated, repeated, labels); err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		b := got.Baseline
		if b.RMSE > got.RMSE+1e-7 || b.AccuracyArgmax < got.AccuracyArgmax || b.QuestionAccuracy < got.QuestionAccuracy-1e-12 {
			t.Fatalf("constant %+v, another constant %+v", *b, got.Scores)
		}
	})
}

// An answer that nobody gave in the train split must not cause an infinite loss.
func TestConstantLossIsFinite(t *testing.T) {
	c, err := FitConstant(zoo, slices.Values([][]float32{row(map[int]float32{smooth: 1, notOdd: 1})}))
	if err != nil {
		t.Fatal(err)
	}
	e := New(zoo, entropy{}, c)
	test := row(map[int]float32{star: 1, notOdd: 1})
	if err := e.Add(test, test, test); err != nil {
		t.Fatal(err)
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	// One example: a fraction of 1/2 for columns of mean 0 and 1.
	if math.Abs(float64(got.Baseline.Loss)-math.Ln2) > 1e-7 {
		t.Errorf("loss is %v, want %v", got.Baseline.Loss, math.Ln2)
	}
}

// For the mean of n values the interval is near mean ± 1.96·σ/√n, and also for the
// mean of some of them.
func TestBootstrapIsNearTheNormalInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const n = 2000
	e := New(zoo.Classes(), nil, nil)
	var squares, hits, rounds []float64
	for range n {
		class, square := random.IntN(3), random.ExpFloat64()
		answer := class
		if random.Float64() > 0.7 {
			answer = (class + 1) % 3
		}
		labels, p := make([]float32, 5), make([]float32, 5)
		labels[class], p[answer] = 1, 1
		// This error does not change the largest column.
		p[4] = -float32(math.Sqrt(square))
		if err := e.Add(nil, p, labels); err != nil {
			t.Fatal(err)
		}
		hit := 0.0
		if answer == class {
			hit = 1
		}
		squares = append(squares, float64(p[4])*float64(p[4])+2*(1-hit))
		hits = append(hits, hit)
		if class == 0 {
			rounds = append(rounds, hit)
		}
	}
	result, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	square := *result.RMSEInterval
	square[0], square[1] = square[0]*square[0]*5, square[1]*square[1]*5
	for _, c := range []struct {
		name   string
		got    Interval
		sample []float64
	}{
		{"mean square", square, squares},
		{"accuracy", *result.CleanClasses.AccuracyInterval, hits},
		{"recall", *result.CleanClasses.Classes[0].RecallInterval, rounds},
	} {
		m := sum(c.sample) / float64(len(c.sample))
		variance := 0.0
		for _, v := range c.sample {
			variance += (v - m) * (v - m) / float64(len(c.sample)-1)
		}
		half := 1.96 * math.Sqrt(variance/float64(len(c.sample)))
		// A percentile of 1,000 resamples itself varies by about 6 % of half.
		if math.Abs(c.got[0]-(m-half)) > 0.2*half || math.Abs(c.got[1]-(m+half)) > 0.2*half {
			t.Errorf("%s: interval %v, normal theory %v ± %v", c.name, c.got, m, half)
		}
	}
	again, err := e.Result()
	if err != nil || encoded(t, again) != encoded(t, result) {
		t.Errorf("a second call gives other figures (%v)", err)
	}
}

// encoded returns metrics as text, in which undefined metrics are equal.
func encoded(t interface{ Fatal(...any) }, figures any) string {
	text, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

func TestPercentiles(t *testing.T) {
	nan := math.NaN()
	var values []float64
	for i := range 41 { // 0, 1, … 40: percentile 2.5 is 1, 97.5 is 39
		values = append(values, float64(40-i))
	}
	for _, c := range []struct {
		name   string
		values []float64
		want   *Interval
	}{
		{"41 values", values, &Interval{1, 39}},
		{"between two values", []float64{4, 0}, &Interval{0.1, 3.9}},
		{"one value", []float64{7}, &Interval{7, 7}},
		{"half are not defined", []float64{nan, 7, nan, 7}, &Interval{7, 7}},
		{"most are not defined", []float64{nan, 7, nan}, nil},
		{"none", nil, nil},
	} {
		got := percentiles(c.values)
		if (got == nil) != (c.want == nil) || got != nil && (math.Abs(got[0]-c.want[0]) > 1e-15 || math.Abs(got[1]-c.want[1]) > 1e-15) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
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
		e := New(zoo, quadratic{}, nil)
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
	e := New(zoo, quadratic{}, nil)
	if err := e.Add(good, good, good); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Result(Trait{Name: "size", Values: []float64{1, 2}}); err == nil || !strings.Contains(err.Error(), "2 values of size for 1 examples") {
		t.Errorf("two sizes of one example: %v", err)
	}
	if _, err := New(zoo, quadratic{}, nil).Result(); err == nil {
		t.Error("scores of nothing")
	}
	if _, err := New(zoo, quadratic{}, nil).Scores(); err == nil {
		t.Error("scores of nothing")
	}
	for _, rows := range [][][]float32{nil, {good[1:]}, {good, with(2, 1.5)}, {with(2, -0.5)}, {with(2, math.NaN())}} {
		if _, err := FitConstant(zoo, slices.Values(rows)); err == nil {
			t.Errorf("a constant of %v", rows)
		}
	}
}

// benchmarkRows returns n rows that satisfy the sum rules, so that some have a
// clean class.
func benchmarkRows(n int) []float32 {
	random := rand.New(rand.NewPCG(1, 1))
	rows := make([]float32, 37*n)
	for i := range rows {
		rows[i] = float32(math.Pow(random.Float64(), 4))
	}
	for row := range slices.Chunk(rows, 37) {
		if err := zoo.Project(row); err != nil {
			panic(err)
		}
	}
	return rows
}

// BenchmarkResult measures what galaxy eval adds to predicting: all metrics with their
// intervals.
func BenchmarkResult(b *testing.B) {
	const n = 6158 // a tenth of the real catalogue
	rows := benchmarkRows(n)
	e := New(zoo, entropy{}, nil)
	if err := e.Add(rows, rows, rows); err != nil {
		b.Fatal(err)
	}
	size := make([]float64, n)
	for i := range size {
		size[i] = float64(i * 7919 % n)
	}
	for b.Loop() {
		if _, err := e.Result(Trait{"size", "px", size}, Trait{"brightness", "", size}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScores measures what a run's validation adds to predicting.
func BenchmarkScores(b *testing.B) {
	const n = 6158
	rows := benchmarkRows(n)
	for b.Loop() {
		e := New(zoo, entropy{}, nil)
		if err := e.Add(rows, rows, rows); err != nil {
			b.Fatal(err)
		}
		if _, err := e.Scores(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "examples/s")
}
