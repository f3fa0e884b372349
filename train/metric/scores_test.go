package metric

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// oneHot returns a label row of the clean classes of zoo.
func oneHot(class int) []float32 {
	row := make([]float32, zoo.Classes().Width())
	row[class] = 1
	return row
}

// Ten galaxies of round, in-between, cigar and spiral (none is edge-on); one is
// predicted as edge-on and none as spiral:
//
//	truth    0 0 0 1 1 2 2 2 2 4
//	answer   0 1 0 1 1 2 2 0 2 3
func TestFiveClassesByHand(t *testing.T) {
	truth := []int{0, 0, 0, 1, 1, 2, 2, 2, 2, 4}
	answer := []int{0, 1, 0, 1, 1, 2, 2, 0, 2, 3}
	constant, err := FitConstant(zoo.Classes(), slices.Values([][]float32{oneHot(2), oneHot(2), oneHot(2), oneHot(0)}))
	if err != nil {
		t.Fatal(err)
	}
	e := New(zoo.Classes(), quadratic{}, constant)
	for i := range truth {
		if err := e.Add(oneHot(answer[i]), oneHot(answer[i]), oneHot(truth[i])); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	f := got.CleanClasses
	if want := [][]int{{2, 1, 0, 0, 0}, {0, 2, 0, 0, 0}, {1, 0, 3, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 1, 0}}; !reflect.DeepEqual(f.Confusion, want) {
		t.Errorf("confusion %v, want %v", f.Confusion, want)
	}
	undefined := math.NaN()
	// As sklearn.metrics.precision_recall_fscore_support gives them, except that
	// 0/0 is undefined here.
	for k, want := range []struct {
		examples, predicted   int
		precision, recall, f1 float64
	}{
		{3, 3, 2.0 / 3, 2.0 / 3, 2.0 / 3},
		{2, 3, 2.0 / 3, 1, 0.8},
		{4, 3, 1, 0.75, 6.0 / 7},
		{0, 1, 0, undefined, 0},
		{1, 0, undefined, 0, 0},
	} {
		c := f.Classes[k]
		if c.Class != zoo.ClassName(k) || c.Examples != want.examples || c.Predicted != want.predicted {
			t.Errorf("class %d: %+v", k, c)
		}
		nearly(t, c.Class+" precision", float64(c.Precision), want.precision)
		nearly(t, c.Class+" recall", float64(c.Recall), want.recall)
		nearly(t, c.Class+" F1", float64(c.F1), want.f1)
	}
	nearly(t, "accuracy", float64(f.Accuracy), 0.7)
	nearly(t, "macro F1", float64(f.MacroF1), (2.0/3+0.8+6.0/7+0+0)/5)
	nearly(t, "balanced accuracy", float64(f.BalancedAccuracy), (2.0/3+1+0.75+0)/4) // edge-on does not occur
	// Of the 21 pairs of a round galaxy and another one, 12 are right, 6 + 2 tied and 1 wrong.
	nearly(t, "area of round", float64(f.Classes[0].ROCAUC), (12+4)/21.0)
	nearly(t, "area of edge-on", float64(f.Classes[3].ROCAUC), undefined)
	nearly(t, "log loss", float64(f.LogLoss), 0.3*23*math.Ln2)  // 0 for three, which are wrong
	nearly(t, "calibration", float64(f.Calibration.Error), 0.3) // sure of all, right about 7
	nearly(t, "rmse", got.RMSE, math.Sqrt(3*2.0/50))
	nearly(t, "loss", float64(got.Loss), 3*2.0/50)
	if f.Classes[4].PrecisionInterval != nil {
		t.Errorf("a precision that is not defined has the interval %v", *f.Classes[4].PrecisionInterval)
	}
	// One galaxy in ten: 35 % of the resamples lack it, and it is never found.
	if i := f.Classes[4].RecallInterval; i == nil || *i != (Interval{}) {
		t.Errorf("the interval of the spirals' recall is %v", i)
	}
	// If it is absent, macro F1 is undefined rather than higher.
	if i := f.MacroF1Interval; i == nil || !(i[1] <= 0.8) {
		t.Errorf("the interval of macro F1, of five classes with one always 0, is %v", i)
	}
	if got.Questions != nil || got.FractionCalibration != nil || !got.AccuracyArgmax.IsZero() || !got.QuestionAccuracy.IsZero() {
		t.Errorf("figures of fractions for five classes: %+v", got.Scores)
	}

	// The constant says cigar with 3/4, and is right about 4 of 10.
	b := got.Baseline
	nearly(t, "constant's accuracy", float64(b.CleanClasses.Accuracy), 0.4)
	nearly(t, "constant's calibration", float64(b.CleanClasses.Calibration.Error), 0.35)
	nearly(t, "constant's precision", float64(b.CleanClasses.Classes[2].Precision), 0.4)
	nearly(t, "constant's recall", float64(b.CleanClasses.Classes[2].Recall), 1)
	nearly(t, "constant's macro F1", float64(b.CleanClasses.MacroF1), 8.0/14/4)
	nearly(t, "constant's balanced accuracy", float64(b.CleanClasses.BalancedAccuracy), 0.25)
	nearly(t, "constant's area", float64(b.CleanClasses.ROCAUC), 0.5)
	// 1/4, 3/4 and, for classes that do not occur, half a galaxy's 1/8, of a sum of 11/8.
	nearly(t, "constant's log loss", float64(b.CleanClasses.LogLoss), math.Log(11.0/8)-(3*math.Log(0.25)+4*math.Log(0.75)+3*math.Log(0.125))/10)
	// Means 1/4, 0, 3/4, 0, 0 against rows of one 1.
	nearly(t, "constant's rmse", b.RMSE, math.Sqrt((3*(9.0/16+9.0/16)+4*(1.0/16+1.0/16)+3*(1+1.0/16+9.0/16))/50))
}

// With 37 columns the predicted class is the largest of five products, and its
// confidence the product's fraction of their sum.
func TestFiveClassesOfFractions(t *testing.T) {
	const (
		edgeOn = 3
		spiral = 7
	)
	spirals := row(map[int]float32{disk: 0.9, smooth: 0.1, notEdgeOn: 0.8, edgeOn: 0.1, spiral: 0.7, 8: 0.1, notOdd: 1})
	unclear := row(map[int]float32{disk: 0.5, smooth: 0.5, round: 0.4, notOdd: 1})
	e := New(zoo, nil, nil)
	for _, c := range []struct{ p, y []float32 }{
		// Right, with 0.5 of 0.8.
		{row(map[int]float32{disk: 0.5, spiral: 0.5, edgeOn: 0.125, round: 0.125, between: 0.0625, 17: -1}), spirals},
		// Wrong, with 0.25 of 0.375.
		{row(map[int]float32{spiral: 0.125, 17: 0.25}), spirals},
		// Nothing at all: the first class, with 1/5.
		{row(nil), spirals},
		// Not counted.
		{row(map[int]float32{round: 1}), unclear},
	} {
		if err := e.Add(nil, c.p, c.y); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Scores()
	if err != nil {
		t.Fatal(err)
	}
	f := got.CleanClasses
	if want := []int{1, 0, 1, 0, 1}; !slices.Equal(f.Confusion[4], want) || f.Examples != 3 {
		t.Errorf("confusion %v of %d, want %v", f.Confusion, f.Examples, want)
	}
	first := 0.5 / 0.8125
	want := []ReliabilityBin{
		{3.0 / 15, 4.0 / 15, 1, 0.2, 0},
		{9.0 / 15, 10.0 / 15, 1, first, 1},
		{10.0 / 15, 11.0 / 15, 1, 2.0 / 3, 0},
	}
	if len(f.Calibration.Bins) != len(want) {
		t.Fatalf("bins %+v, want %+v", f.Calibration.Bins, want)
	}
	for i, b := range f.Calibration.Bins {
		if b.Count != want[i].Count || b.From != want[i].From || b.To != want[i].To {
			t.Errorf("bin %+v, want %+v", b, want[i])
		}
		nearly(t, "confidence", b.Predicted, want[i].Predicted)
		nearly(t, "accuracy", b.Observed, want[i].Observed)
	}
	nearly(t, "expected calibration error", float64(f.Calibration.Error), (0.2+(1-first)+2.0/3)/3)
	if !got.Loss.IsZero() {
		t.Errorf("a loss out of nowhere: %v", got.Loss)
	}
}

// Predicting the votes themselves is right about every clean class.
func TestFiveClassesOfTheVotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawRows(t, "labels", 20, zoo.Width())
		for row := range slices.Chunk(labels, 37) {
			if err := zoo.Project(row); err != nil {
				t.Fatal(err)
			}
		}
		e := New(zoo, nil, nil)
		if err := e.Add(nil, labels, labels); err != nil {
			t.Fatal(err)
		}
		got, err := e.Scores()
		if err != nil {
			t.Fatal(err)
		}
		if got.CleanClasses == nil {
			return
		}
		for k, row := range got.CleanClasses.Confusion {
			for l, n := range row {
				// With half of the volunteers each, two of the first three classes fit.
				tie := k < l && l <= 2
				if n > 0 && k != l && !tie {
					t.Fatalf("%d galaxies of class %d are taken for %d", n, k, l)
				}
			}
		}
	})
}

// Every metric of five classes against its definition, on random predictions.
func TestFiveClassesAgainstDirectForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "examples")
		e := New(zoo.Classes(), nil, nil)
		var truth, answer []int
		var confidence, hit []float32
		for range n {
			class := rapid.IntRange(0, 4).Draw(t, "class")
			p := rapid.SliceOfN(rapid.Float32Range(0.01, 1), 5, 5).Draw(t, "probabilities")
			if err := e.Add(nil, p, oneHot(class)); err != nil {
				t.Fatal(err)
			}
			truth, answer = append(truth, class), append(answer, largestOf(p))
			total := 0.0
			for _, v := range p {
				total += float64(v)
			}
			confidence = append(confidence, float32(float64(slices.Max(p))/total))
			hit = append(hit, 0)
			if largestOf(p) == class {
				hit[len(hit)-1] = 1
			}
		}
		got, err := e.Scores()
		if err != nil {
			t.Fatal(err)
		}
		right, f1s, classes := 0.0, 0.0, 0.0
		for k := range 5 {
			var tp, fp, fn float64
			for i := range n {
				switch {
				case truth[i] == k && answer[i] == k:
					tp++
				case answer[i] == k:
					fp++
				case truth[i] == k:
					fn++
				}
			}
			c := got.CleanClasses.Classes[k]
			precision, recall := tp/(tp+fp), tp/(tp+fn)
			nearly(t, "precision", float64(c.Precision), precision)
			nearly(t, "recall", float64(c.Recall), recall)
			if tp > 0 { // the harmonic mean of the two
				nearly(t, "F1", float64(c.F1), 2/(1/precision+1/recall))
			}
			if tp+fp+fn > 0 {
				f1s, classes = f1s+float64(c.F1), classes+1
			}
			right += tp
		}
		nearly(t, "accuracy", float64(got.CleanClasses.Accuracy), right/float64(n))
		nearly(t, "macro F1", float64(got.CleanClasses.MacroF1), f1s/classes)
		// Rounded to float32, a confidence can fall into the next bin, so only
		// the tables' sums are compared.
		bins := got.CleanClasses.Calibration.Bins
		var gap, mean float64
		for _, b := range bins {
			gap += float64(b.Count) / float64(n) * math.Abs(b.Predicted-b.Observed)
			mean += float64(b.Count) / float64(n) * b.Predicted
		}
		nearly(t, "expected calibration error", float64(got.CleanClasses.Calibration.Error), gap)
		want := 0.0
		for i := range confidence {
			want += float64(confidence[i]) / float64(n)
		}
		if math.Abs(mean-want) > 1e-6 {
			t.Errorf("mean confidence %v, want %v", mean, want)
		}
	})
}

// The same for the small schema's two classes, by hand: their columns are alone (7) and
// edge-on (3).
func TestSmallClasses(t *testing.T) {
	loner := []float32{1, 0, 0, 0, 0, 0, 0.25, 0.75}
	blade := []float32{0, 1, 0, 0.75, 0.25, 0.25, 0, 0}
	unclear := []float32{0, 0, 1, 0, 0, 0, 0, 0}
	constant, err := FitConstant(small, slices.Values([][]float32{blade, blade, loner, unclear}))
	if err != nil {
		t.Fatal(err)
	}
	e := New(small, nil, constant)
	for _, c := range []struct{ p, y []float32 }{
		{loner, loner}, {blade, loner}, {blade, blade}, {loner, unclear},
		{[]float32{0, 0, 0, 0.5, 0, 0, 0, 0.25}, blade}, // sure of it by 2/3
	} {
		if err := e.Add(nil, c.p, c.y); err != nil {
			t.Fatal(err)
		}
	}
	result, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	f := result.CleanClasses
	if want := [][]int{{1, 1}, {0, 2}}; f.Examples != 4 || !reflect.DeepEqual(f.Confusion, want) {
		t.Errorf("confusion %v of %d, want %v of 4", f.Confusion, f.Examples, want)
	}
	if f.Classes[0].Class != "loner" || f.Classes[1].Class != "blade" || len(f.Classes) != 2 {
		t.Errorf("classes %+v", f.Classes)
	}
	nearly(t, "accuracy", float64(f.Accuracy), 0.75)
	nearly(t, "precision of blades", float64(f.Classes[1].Precision), 2.0/3)
	// Certain of three, two of them right; 2/3 certain of one, which is right.
	nearly(t, "calibration", float64(f.Calibration.Error), (1+1.0/3)/4)
	nearly(t, "constant's accuracy", float64(result.Baseline.CleanClasses.Accuracy), 0.5)
	nearly(t, "constant's calibration", float64(result.Baseline.CleanClasses.Calibration.Error), 2.0/3-0.5)

	// A network that predicts the classes themselves.
	e = New(small.Classes(), quadratic{}, nil)
	if err := e.Add([]float32{1, 0, 1, 0}, []float32{0.75, 0.25, 0.75, 0.25}, []float32{1, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	scores, err := e.Scores()
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "accuracy of classes", float64(scores.CleanClasses.Accuracy), 0.5)
	nearly(t, "rmse of classes", scores.RMSE, math.Sqrt((2.0/16+2*9.0/16)/4))
	nearly(t, "loss of classes", float64(scores.Loss), 0.5)
}

// A schema with many questions and no classes has all other metrics.
func TestManyQuestions(t *testing.T) {
	d := labels.Definition{Name: "many"}
	for i := range 70 {
		yes, no := fmt.Sprintf("yes%d", i), fmt.Sprintf("no%d", i)
		d.Questions = append(d.Questions, labels.Question{Answers: []labels.Answer{{Name: yes}, {Name: no}}})
	}
	many, err := labels.New(d)
	if err != nil {
		t.Fatal(err)
	}
	rows := labelstest.Rows(many, 3, 1)
	constant, err := FitConstant(many, slices.Chunk(rows, many.Width()))
	if err != nil {
		t.Fatal(err)
	}
	e := New(many, nil, constant)
	if err := e.Add(nil, rows, rows); err != nil {
		t.Fatal(err)
	}
	result, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Questions) != 70 || result.QuestionAccuracy != 1 || result.Questions[69].Accuracy != 1 || result.CleanClasses != nil || result.Baseline.CleanClasses != nil {
		t.Errorf("%+v", result.Scores)
	}
}

// Eight galaxies by size: quartiles of two, except that equal sizes stay together.
func TestSlicesByHand(t *testing.T) {
	constant, err := FitConstant(zoo.Classes(), slices.Values([][]float32{oneHot(0)}))
	if err != nil {
		t.Fatal(err)
	}
	e := New(zoo.Classes(), nil, constant)
	for i := range 8 {
		p := oneHot(0)
		if i >= 6 { // the two last are wrong
			p = oneHot(1)
		}
		if err := e.Add(nil, p, oneHot(0)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Result(
		Trait{"size", "px", []float64{1, 2, 3, 4, 5, 6, 8, 7}},
		Trait{"brightness", "", []float64{9, 9, 9, 9, 9, 9, 1, 1}},
		Trait{"nothing", "", make([]float64, 8)})
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		name           string
		from, to       float64
		examples       int
		rmse, accuracy float64
	}
	want := []part{
		{"size.1", 1, 2.75, 2, 0, 1}, {"size.2", 2.75, 4.5, 2, 0, 1}, {"size.3", 4.5, 6.25, 2, 0, 1}, {"size.4", 6.25, 8, 2, math.Sqrt(0.4), 0},
		// Quartiles at 7, 9 and 9.
		{"brightness.1", 1, 7, 2, math.Sqrt(0.4), 0}, {"brightness.2", 7, 9, 6, 0, 1},
	}
	var found []part
	for _, s := range got.Slices {
		found = append(found, part{fmt.Sprintf("%s.%d", s.By, s.Quartile), s.From, s.To, s.Examples, float64(s.RMSE), float64(s.Accuracy)})
		if s.RMSEInterval == nil || s.AccuracyInterval == nil || s.RMSEInterval[0] != float64(s.RMSE) || s.AccuracyInterval[1] != float64(s.Accuracy) {
			t.Errorf("%s.%d: intervals %v and %v of what is the same in all galaxies", s.By, s.Quartile, s.RMSEInterval, s.AccuracyInterval)
		}
	}
	if !slices.Equal(found, want) {
		t.Errorf("got %+v\nwant %+v", found, want)
	}
	if b := got.Baseline.Slices; len(b) != len(want) || b[3].RMSE != 0 || b[3].Accuracy != 1 || b[3].Examples != 2 {
		t.Errorf("baseline %+v", b)
	}
}

// The names are part of `galaxy eval --json` and --csv.
func TestNames(t *testing.T) {
	rows := benchmarkRows(200)
	constant, err := FitConstant(zoo, slices.Chunk(rows, 37))
	if err != nil {
		t.Fatal(err)
	}
	e := New(zoo, entropy{}, constant)
	if err := e.Add(rows, rows, rows); err != nil {
		t.Fatal(err)
	}
	size := make([]float64, 200)
	for i := range size {
		size[i] = float64(i)
	}
	result, err := e.Result(Trait{"size", "px", size})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	// Paths of keys; an array stands for its first element.
	has := func(path string) bool {
		var at any = object
		for key := range strings.SplitSeq(path, ".") {
			if list, ok := at.([]any); ok && len(list) > 0 {
				at = list[0]
			}
			m, ok := at.(map[string]any)
			if !ok {
				return false
			}
			if at, ok = m[key]; !ok {
				return false
			}
		}
		return true
	}
	figures := []string{"rmse", "accuracy_argmax37", "question_accuracy", "loss", "fraction_calibration.ece",
		"questions.accuracy", "questions.rmse", "five_class.accuracy", "five_class.balanced_accuracy", "five_class.macro_f1", "five_class.roc_auc", "five_class.log_loss", "five_class.calibration.ece",
		"five_class.classes.precision", "five_class.classes.recall", "five_class.classes.f1", "five_class.classes.roc_auc", "slices.rmse", "slices.accuracy"}
	for _, path := range figures {
		if !has(path) || !has(path+"_interval") || !has("baseline."+path) || has("baseline."+path+"_interval") {
			t.Errorf("%s: not a figure with an interval, and under baseline without", path)
		}
	}
	for _, path := range []string{"examples", "questions.question", "questions.reached", "five_class.examples", "five_class.confusion",
		"five_class.classes.class", "five_class.classes.examples", "five_class.classes.predicted",
		"slices.by", "slices.quartile", "slices.from", "slices.to", "slices.unit", "slices.examples",
		"fraction_calibration.bins.from", "fraction_calibration.bins.to", "fraction_calibration.bins.count",
		"fraction_calibration.bins.predicted", "fraction_calibration.bins.observed", "five_class.calibration.bins.from"} {
		if !has(path) {
			t.Errorf("no %s", path)
		}
	}

	var names []string
	for _, f := range result.Figures() {
		names = append(names, f.Name)
		if f.Name == "rmse" && (f.Value != result.RMSE || f.Constant != result.Baseline.RMSE || f.Interval != result.RMSEInterval) {
			t.Errorf("rmse: %+v", f)
		}
	}
	want := []string{"rmse", "accuracy_argmax37", "question_accuracy", "loss", "fraction_calibration.ece"}
	for q := range 11 {
		want = append(want, fmt.Sprintf("question.%d.accuracy", q+1), fmt.Sprintf("question.%d.rmse", q+1))
	}
	want = append(want, "five_class.accuracy", "five_class.balanced_accuracy", "five_class.macro_f1", "five_class.roc_auc", "five_class.log_loss")
	for _, class := range zoo.Classes().Columns() {
		want = append(want, "five_class."+class+".precision", "five_class."+class+".recall", "five_class."+class+".f1", "five_class."+class+".roc_auc")
	}
	want = append(want, "five_class.calibration.ece")
	for q := range 4 {
		want = append(want, fmt.Sprintf("slice.size.%d.rmse", q+1), fmt.Sprintf("slice.size.%d.accuracy", q+1))
	}
	if !slices.Equal(names, want) {
		t.Errorf("figures %q\nwant %q", names, want)
	}
}

// An undefined metric is null, and a metric that was not computed is absent.
func TestUndefinedInJSON(t *testing.T) {
	e := New(zoo.Classes(), nil, nil)
	if err := e.Add(nil, oneHot(1), oneHot(0)); err != nil {
		t.Fatal(err)
	}
	result, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"loss":null`, `{"class":"cigar","examples":0,"predicted":0,"precision":null,"recall":null,"f1":null,"roc_auc":null}`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("no %s in %s", part, raw)
		}
	}
	for _, name := range []string{"NaN", "baseline", `"loss_interval`, "accuracy_argmax37", "questions", "fraction_calibration", "slices"} {
		if strings.Contains(string(raw), name) {
			t.Errorf("%s in %s", name, raw)
		}
	}
	for _, f := range result.Figures() {
		if !math.IsNaN(f.Constant) {
			t.Errorf("%s: a constant's %v without a constant", f.Name, f.Constant)
		}
	}
}
