package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// The area under the drawn ROC curve is the ROC-AUC of the scores, which is computed from pairs.
func TestCurveHasTheArea(t *testing.T) {
	classes, err := labels.FromClasses([]string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		e := &Evaluation{Target: classes}
		for range n {
			truth := rapid.IntRange(0, 2).Draw(t, "truth")
			for k := range 3 {
				e.Probabilities = append(e.Probabilities, float32(rapid.IntRange(1, 5).Draw(t, "score"))/5)
				e.Labels = append(e.Labels, map[bool]float32{true: 1}[k == truth])
			}
		}
		m := metric.New(classes, nil, nil)
		if err := m.Add(nil, e.Probabilities, e.Labels); err != nil {
			t.Fatal(err)
		}
		scores, err := m.Scores()
		if err != nil {
			t.Fatal(err)
		}
		c := choiceOf(e, n)
		for k, class := range scores.CleanClasses.Classes {
			points := c.curve(k)
			if points == nil {
				if !math.IsNaN(float64(class.ROCAUC)) {
					t.Fatalf("class %d has no curve, and the area %v", k, class.ROCAUC)
				}
				continue
			}
			area := 0.0
			for i := 1; i < len(points); i++ {
				a, b := points[i-1], points[i]
				if b.FalsePositive < a.FalsePositive || b.Recall < a.Recall {
					t.Fatalf("the curve goes back: %v", points)
				}
				area += (b.FalsePositive - a.FalsePositive) * (a.Recall + b.Recall) / 2
			}
			if last := points[len(points)-1]; last.FalsePositive != 1 || last.Recall != 1 || math.Abs(area-float64(class.ROCAUC)) > 1e-9 {
				t.Fatalf("class %d: the curve ends at %v and has the area %v, expected %v", k, last, area, class.ROCAUC)
			}
		}
	})
}

// choiceOf returns the choices of an evaluation of n galaxies, whose labels are rows of a cache.
func choiceOf(e *Evaluation, n int) *choice {
	for k := range n {
		e.Examples = append(e.Examples, k)
	}
	return newChoice(e, func(i int) []float32 { return e.label(i) })
}

func TestChoices(t *testing.T) {
	zoo, counts, small := labels.GalaxyZoo(), labelstest.SmallCounts(), labelstest.Small()
	noClasses, err := labels.New(labels.Definition{Name: "plain", Questions: []labels.Question{
		{Text: "Which?", Answers: []labels.Answer{{Name: "a", Text: "A"}, {Name: "b", Text: "B"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(s *labels.Schema, values map[string]float32) []float32 {
		row := make([]float32, s.Width())
		for j, c := range s.Columns() {
			row[j] = values[c]
		}
		return row
	}
	for _, c := range []struct {
		name             string
		target           *labels.Schema
		label, predicted map[string]float32
		truth, answer    string // "" for none
		confidence       float64
		surprise         float64
	}{
		{"the challenge's classes", zoo,
			map[string]float32{"Class1.1": .9, "Class7.1": .8, "Class7.2": .1},
			map[string]float32{"Class1.1": .9, "Class7.1": .3, "Class7.2": .6, "Class4.1": .1}, "round", "in-between", .6, .6 - .1/.9},
		{"a galaxy without a class", zoo,
			map[string]float32{"Class1.1": .5, "Class7.1": .25, "Class7.2": .25}, map[string]float32{"Class7.1": .5}, "", "round", 1, .5},
		{"counts", counts,
			map[string]float32{"smooth": 2, "featured": 8, "edge-on": 6, "face-on": 2, "alone": 4},
			map[string]float32{"smooth": .5, "featured": .5, "edge-on": .5, "face-on": .5, "alone": 1}, "loner", "loner", .75, .75 - .4},
		{"without classes", noClasses, map[string]float32{"a": .2, "b": .8}, map[string]float32{"a": .6, "b": .4}, "B", "A", .6, .4},
		{"nobody voted", counts, nil, map[string]float32{"smooth": 1, "alone": 1}, "", "loner", 1, 1},
		{"derived classes", small.Classes(), map[string]float32{"blade": 1}, map[string]float32{"blade": .7, "loner": .3}, "blade", "blade", .7, -.3},
	} {
		e := &Evaluation{Target: c.target, Labels: at(c.target, c.label), Probabilities: at(c.target, c.predicted)}
		e.Examples = []int{0}
		source := e.Labels
		if c.target.Derived() { // a row of the cache
			source = at(small, map[string]float32{"featured": 1, "edge-on": 1})
		}
		got := newChoice(e, func(int) []float32 { return source })
		name := func(a int) string {
			if a < 0 {
				return ""
			}
			return got.names[a]
		}
		if name(got.truth[0]) != c.truth || name(got.predicted[0]) != c.answer {
			t.Errorf("%s: got %s and predicted %s, expected %s and %s", c.name, name(got.truth[0]), name(got.predicted[0]), c.truth, c.answer)
		}
		if math.Abs(got.confidence(0)-c.confidence) > 1e-6 || math.Abs(got.surprise(0)-c.surprise) > 1e-6 {
			t.Errorf("%s: got confidence %v and surprise %v, expected %v and %v", c.name, got.confidence(0), got.surprise(0), c.confidence, c.surprise)
		}
	}
}

func TestBest(t *testing.T) {
	c := &choice{names: []string{"a", "b"}, truth: []int{0, 0, 1, -1, 0}, predicted: []int{0, 1, 1, 0, 0},
		scores: [][]float64{{.6, .4}, {.1, .9}, {.3, .7}, {1, 0}, {.8, .2}}, votes: [][]float64{{1, 0}, {1, 0}, {0, 1}, {0, 0}, {1, 0}}}
	for _, want := range []struct {
		name string
		got  []int
		want string
	}{
		{"right", c.best(2, c.right, c.confidence), "[4 2]"},
		{"wrong", c.best(9, c.wrong, c.surprise), "[1]"},
		{"uncertain", c.best(2, func(int) bool { return true }, func(k int) float64 { return -c.margin(k) }), "[0 2]"},
		{"typical", c.typical(9, 0), "[0 4]"}, // both are as far from the mean
		{"typical of b", c.typical(9, 1), "[2]"},
	} {
		if fmt.Sprint(want.got) != want.want {
			t.Errorf("%s: got %v, expected %s", want.name, want.got, want.want)
		}
	}
}

// The walk goes through the questions that most volunteers were asked, or would be.
func TestWalk(t *testing.T) {
	s := labelstest.SmallCounts()
	label := []float32{2, 8, 0 /**/, 6, 2 /**/, 0, 0, 4}
	predicted := []float32{.9, .1, 0 /**/, .5, .5 /**/, .1, .1, .8}
	var got []string
	for _, n := range walk(s, label, predicted) {
		var answers []string
		for _, b := range n.Answers {
			mark := ""
			if b.Chosen {
				mark += "p"
			}
			if b.Largest {
				mark += "v"
			}
			answers = append(answers, fmt.Sprintf("%s %.2f %.2f %v%s", b.Text, b.Predicted, b.Voted, b.Votes, mark))
		}
		got = append(got, fmt.Sprint(n.Number, answers))
	}
	want := []string{
		"1 [smooth 0.90 0.20 2p featured 0.10 0.80 8v artifact 0.00 0.00 0]",
		"2 [edge on 0.50 0.75 6pv face on 0.50 0.25 2]",
		"3 [merging 0.10 0.00 0 disturbed 0.10 0.00 0 alone 0.80 1.00 4pv]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The bars of a question, weighted by what they are fractions of, and its confusion matrix.
func TestQuestions(t *testing.T) {
	s := labelstest.SmallCounts()
	e := &Evaluation{
		Target: s,
		Labels: []float32{
			2, 8, 0 /**/, 6, 2 /**/, 0, 0, 4,
			30, 0, 0 /**/, 0, 0 /**/, 15, 15, 0,
		},
		Probabilities: []float32{
			.9, .1, 0 /**/, .5, .5 /**/, .1, .1, .8,
			.5, .25, .25 /**/, 1, 0 /**/, .2, .3, .5,
		},
		Examples: []int{0, 1},
	}
	all := newQuestions(e)
	if got, want := fmt.Sprintf("%.4f %.4f %v", all[0].predicted, all[0].voted, all[0].confusion), "[0.6000 0.2125 0.1875] [0.8000 0.2000 0.0000] [[1 0 0] [1 0 0] [0 0 0]]"; got != want {
		t.Errorf("question 1: got %s, expected %s", got, want)
	}
	if got, want := fmt.Sprintf("%.3f %.3f %v %d", all[1].predicted, all[1].voted, all[1].confusion, all[1].asked), "[0.500 0.500] [0.750 0.250] [[1 0] [0 0]] 1"; got != want {
		t.Errorf("question 2: got %s, expected %s", got, want)
	}
}

func TestWilson(t *testing.T) {
	// The values are those of statsmodels 0.14, proportion_confint(method="wilson").
	for _, c := range []struct {
		p         float64
		n         int
		low, high float64
	}{
		{0.5, 10, 0.236593, 0.763407},
		{0, 5, 0, 0.434482},
		{1, 5, 0.565518, 1},
	} {
		if low, high := wilson(c.p, c.n); math.Abs(low-c.low) > 1e-5 || math.Abs(high-c.high) > 1e-5 {
			t.Errorf("%v of %d: got %v to %v, expected %v to %v", c.p, c.n, low, high, c.low, c.high)
		}
	}
}

// A catalogue of many classes speaks of labels rather than votes, and says what of it is not drawn.
func TestManyClasses(t *testing.T) {
	names := make([]string, 100)
	for k := range names {
		names[k] = fmt.Sprintf("class number %02d", k)
	}
	classes, err := labels.FromClasses(names)
	if err != nil {
		t.Fatal(err)
	}
	e := &Evaluation{Target: classes}
	const n = 200
	for i := range n {
		row := make([]float32, len(names))
		row[i%len(names)] = 1
		e.Labels = append(e.Labels, row...)
		e.Probabilities = append(e.Probabilities, row...)
	}
	m := metric.New(classes, nil, nil)
	if err := m.Add(nil, e.Probabilities, e.Labels); err != nil {
		t.Fatal(err)
	}
	if e.Scores, err = m.Scores(); err != nil {
		t.Fatal(err)
	}
	r := &Report{Evaluation: e, choice: choiceOf(e, n), room: rooms[0]}
	text := r.aboutGalleries() + string(e.table(rooms[0])) + firstOf(names, 3)
	for _, c := range r.classCharts(r.choice) {
		text += string(c)
	}
	for _, g := range newGalleries(r.choice, e.ofClasses()) {
		text += g.About
	}
	for _, want := range []string{
		"the first 8 of 100", "its label next to", "here 100", "class number 02 and 97 more", "label ↓", "ROC curves of the first 12 of 100 classes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("expected %q", want)
		}
	}
	if strings.Contains(text, "vote") {
		t.Error("a report of classes speaks of votes")
	}
}

// Constants that only one of two losses has are no difference of their own.
func TestOfOneLoss(t *testing.T) {
	focal, entropy := train.Config{}, train.Config{}
	focal.Objective = objective.Default(objective.Independent, objective.Focal)
	entropy.Objective = objective.Default(objective.Independent, objective.CrossEntropy)
	entropy.Objective.Smoothing = .1
	var shown []string
	for _, c := range train.Changes(focal, entropy) {
		if !ofOneLoss(c, focal, entropy) {
			shown = append(shown, c.Field)
		}
	}
	if got := strings.Join(shown, " "); got != "objective.loss objective.label_smoothing" {
		t.Errorf("got %s, expected the loss and the smoothing", got)
	}
}

func TestVerdict(t *testing.T) {
	classes, err := labels.FromClasses([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	result := func(value, low, high, constant float64) *Evaluation {
		var r metric.Result
		r.RMSE, r.RMSEInterval, r.Baseline = value, &metric.Interval{low, high}, &metric.Scores{RMSE: constant}
		return &Evaluation{Target: labelstest.Small(), Result: r, Examples: make([]int, 7)}
	}
	accurate := &Evaluation{Target: classes, Examples: make([]int, 9)}
	accurate.CleanClasses = &metric.CleanClassScores{Accuracy: .8, AccuracyInterval: &metric.Interval{.7, .9}}
	accurate.Baseline = &metric.Scores{CleanClasses: &metric.CleanClassScores{Accuracy: .5}}
	alone := result(.1, .1, .1, .2)
	alone.Examples = alone.Examples[:1]
	bad := &Evaluation{Target: classes, Examples: make([]int, 9), Result: accurate.Result}
	bad.CleanClasses = &metric.CleanClassScores{AccuracyInterval: &metric.Interval{}}
	for _, c := range []struct {
		e    *Evaluation
		want string
	}{
		{nil, "has not been evaluated"},
		{result(.1, .09, .11, .2), "0.1000 (95 % interval 0.0900 to 0.1100). That is 50 % better than a constant: the constant predictor, which ignores the image, has 0.2000."},
		{result(.19, .17, .21, .2), "may be no better than a constant"},
		{result(.2, .19, .21, .2), "is no better than a constant"},
		{result(.205, .19, .21, .2), "is no better than a constant"},
		{result(.3, .29, .31, .2), "is worse than a constant"},
		{result(.1, .1, .1, .2), "RMSE is 0.1000, and the constant predictor's, which ignores the image, is 0.2000. There is no interval"},
		{alone, "On the 1 galaxy of"},
		{bad, "accuracy is 0.0 %, and"},
		{accurate, "accuracy is 80.0 % (95 % interval 70.0 % to 90.0 %). That is 30.0 percentage points better than a constant: the constant predictor, which ignores the image, has 50.0 %."},
	} {
		r := &Report{Run: &Run{}, Evaluation: c.e}
		if got := r.Verdict(); !strings.Contains(got, c.want) {
			t.Errorf("got %q, expected %q in it", got, c.want)
		}
	}
	few := &Report{Run: &Run{}, Evaluation: bad}
	if v := few.resultView(); v.Note == "" || len(v.Headlines) == 0 || v.Headlines[0].Interval != "" {
		t.Errorf("got %+v, expected no interval and a note that says why", v)
	}
	if v := (&Report{Run: &Run{}, Evaluation: accurate}).resultView(); v.Note != "" || v.Headlines[0].Interval == "" {
		t.Errorf("got %+v, expected an interval and no note", v)
	}
	o := &Compared{Run: &Run{Dir: "other"}, Evaluation: accurate, Differences: []metric.Difference{{Name: "five_class.accuracy", A: .8, B: .9, Interval: &metric.Interval{.1, .1}}}}
	if got, want := o.verdict(few), "nobody can tell which run is better"; !strings.Contains(got, want) {
		t.Errorf("got %q, expected %q in it", got, want)
	}
	r := &Report{Run: &Run{Evaluations: []Validation{{Step: 4, RMSE: .4276, Best: true}, {Step: 8, RMSE: .5}}}}
	if got, want := r.Verdict(), "could not be evaluated on the test split; its best validation RMSE is 0.4276, at step 4."; !strings.Contains(got, want) {
		t.Errorf("got %q, expected %q in it", got, want)
	}
	r.State = &checkpoint.State{Best: &checkpoint.BestEvaluation{Step: 12, RMSE: .3}}
	if got, want := r.Verdict(), "RMSE is 0.3000, at step 12."; !strings.Contains(got, want) {
		t.Errorf("got %q, expected %q in it", got, want)
	}
}

// Runs whose folders share a name are named by as much of their paths as tells them apart.
func TestTellApart(t *testing.T) {
	for _, c := range []struct{ dirs, want []string }{
		{[]string{"/x/run"}, []string{"run"}},
		{[]string{"/x/a", "/x/b"}, []string{"a", "b"}},
		{[]string{"/x/a/run", "/x/b/run/", "/x/other"}, []string{"a/run", "b/run", "other"}},
		{[]string{"/a/x/run", "/b/x/run"}, []string{"a/x/run", "b/x/run"}},
		{[]string{"/x/run", "/y/x/run"}, []string{"/x/run", "y/x/run"}},
		{[]string{"/run", "/x/run"}, []string{"/run", "x/run"}},
		{[]string{"/x/run", "/x/../x/run"}, []string{"run", "run"}}, // the same
		{[]string{"/x/run", "/x/arun"}, []string{"run", "arun"}},
	} {
		var runs []*Run
		for _, dir := range c.dirs {
			runs = append(runs, &Run{Dir: dir})
		}
		tellApart(runs)
		for k, r := range runs {
			if r.Name() != c.want[k] {
				t.Errorf("%q: run %d is called %q, expected %q", c.dirs, k, r.Name(), c.want[k])
			}
		}
	}
}
