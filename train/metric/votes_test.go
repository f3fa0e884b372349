package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

var smallCounts = labelstest.SmallCounts()

// spreads is a loss whose logits are probabilities and whose spread is the first logit's.
type spreads struct{ quadratic }

func (spreads) Spread(logits []float32) []float64 {
	return []float64{float64(logits[0]), float64(logits[0]), float64(logits[0])}
}

// By hand: three answers, of which two say featured; one of them sees it face-on and alone, and
// nobody answered the rest.
func TestCountsByHand(t *testing.T) {
	counts := [][]float32{
		{2, 2, 0, 1, 1, 0, 0, 1}, // N = 4, 2, 1
		{1, 0, 0, 0, 0, 0, 0, 0}, // N = 1, 0, 0
	}
	p := [][]float32{
		{0.5, 0.25, 0.25, 0.75, 0.25, 0.5, 0.25, 0.25},
		{0.5, 0.25, 0.25, 0.75, 0.25, 0.5, 0.25, 0.25},
	}
	e := New(smallCounts, nil, nil)
	if err := e.Add(nil, slices.Concat(p...), slices.Concat(counts...)); err != nil {
		t.Fatal(err)
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	// Squared errors times N: 4·(0 + 1/16 + 1/16), 2·(1/16 + 1/16), 1/4 + 1/16 + 9/16; then 1/4 + 1/16 + 1/16.
	squares := []float64{0.5 + 0.375, 0.25, 0.875}
	nearly(t, "rmse", got.RMSE, math.Sqrt((squares[0]+squares[1]+squares[2])/(5*3+2*2+1*3)))
	for i, weight := range []float64{15, 4, 3} {
		nearly(t, "rmse of a question", float64(got.Questions[i].RMSE), math.Sqrt(squares[i]/weight))
	}
	ln := math.Log
	// 6·(1/2)²·(1/4)², 2·3/4·1/4, 1/4; then 1/2.
	logs := []float64{ln(6./64) + ln(0.5), ln(6. / 16), ln(0.25)}
	nearly(t, "log-likelihood", float64(got.Votes.LogLikelihood), (logs[0]+logs[1]+logs[2])/2)
	for i, log := range logs {
		nearly(t, "log-likelihood of a question", float64(got.Questions[i].Votes.LogLikelihood), log/2)
	}
	nearly(t, "votes", got.Votes.Votes, 4)
	// p(1−p)·N/(N−1) summed over answers: 4/3·(1/4+1/4) for one galaxy of two, and 2·(1/4+1/4);
	// nobody knows of the last question.
	nearly(t, "noise of a question", float64(got.Questions[0].Votes.NoiseRMSE), math.Sqrt(2*(2./3)/15))
	nearly(t, "noise of a question", float64(got.Questions[1].Votes.NoiseRMSE), math.Sqrt(1./4))
	nearly(t, "noise of a question with one vote", float64(got.Questions[2].Votes.NoiseRMSE), math.NaN())
	nearly(t, "noise", float64(got.Votes.NoiseRMSE), math.Sqrt((4./3+1)/22))
	// Question 1 is right of neither: the first of two equal counts is smooth, and so is p's: right
	// in both. Question 2: edge-on, right; question 3: merging, wrong, with a weight of 1/4.
	nearly(t, "accuracy of a question", float64(got.Questions[0].Accuracy), 1)
	nearly(t, "accuracy of a question", float64(got.Questions[2].Accuracy), 0)
	nearly(t, "accuracy over questions", float64(got.QuestionAccuracy), (2+0.5)/(2+0.5+0.25))
	if len(got.Questions) != 3 || got.Questions[1].Reached != 0.25 {
		t.Errorf("questions %+v", got.Questions)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Errorf("as JSON: %v", err)
	}
}

// Votes that are drawn from the predicted distributions are inside their intervals as often as
// these say, and have the RMSE of the noise, whatever the number of volunteers and the spread. If the
// predicted spread is another, they are not.
func TestCoverage(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		most          int
		drawn, stated float64
	}{{10, 0, 0}, {10, 0.1, 0.1}, {80, 0.02, 0.02}, {80, 0.2, 0.2}, {80, 0.2, 0}, {80, 0, 0.2}} {
		e := New(smallCounts, spreads{}, nil)
		p := []float32{0.5, 0.375, 0.125, 0.25, 0.75, 0.125, 0.25, 0.625}
		logits := []float32{float32(test.stated), 0, 0, 0, 0, 0, 0, 0}
		for range 6000 {
			row := make([]float32, 8)
			for _, q := range smallCounts.Questions() {
				of := p[q.First : q.First+len(q.Answers)]
				urn(random, of, test.drawn, random.IntN(test.most+1), row[q.First:q.First+len(q.Answers)])
			}
			if err := e.Add(logits, p, row); err != nil {
				t.Fatal(err)
			}
		}
		got, err := e.Scores()
		if err != nil {
			t.Fatal(err)
		}
		right := test.drawn == test.stated
		if near := math.Abs(float64(got.Votes.Coverage50)-0.5) < 0.01 && math.Abs(float64(got.Votes.Coverage90)-0.9) < 0.007; near != right {
			t.Errorf("%+v: coverage %v and %v", test, got.Votes.Coverage50, got.Votes.Coverage90)
		}
		if noise := float64(got.Votes.NoiseRMSE); test.drawn == 0 && !(math.Abs(noise-got.RMSE) < 0.01*noise) {
			t.Errorf("%+v: RMSE %v, that of the noise %v", test, got.RMSE, noise)
		}
	}
}

// urn draws the votes of n volunteers from a Dirichlet-multinomial distribution as Pólya's urn does: every
// vote makes the next one for the same answer more likely.
func urn(random *rand.Rand, p []float32, spread float64, n int, counts []float32) {
	for i := range n {
		u := random.Float64() * (1 + float64(i)*spread)
		j := 0
		for u -= float64(p[0]) + float64(counts[0])*spread; u >= 0 && j < len(p)-1; u -= float64(p[j]) + float64(counts[j])*spread {
			j++
		}
		counts[j]++
	}
}

// The constant predictor has the fractions of all votes, and the spread that the rows were drawn with.
func TestConstantOfCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, spread := range []float64{0, 0.02, 0.3} {
		p := []float32{0.5, 0.375, 0.125, 0.25, 0.75, 0.125, 0.25, 0.625}
		var rows []float32
		for range 20000 {
			row := make([]float32, 8)
			urn(random, p[:3], spread, random.IntN(60), row[:3])
			urn(random, p[3:5], spread, random.IntN(5), row[3:5]) // nobody answers question 3
			rows = append(rows, row...)
		}
		c, err := FitConstant(smallCounts, slices.Chunk(rows, 8))
		if err != nil {
			t.Fatal(err)
		}
		for j, want := range []float64{0.5, 0.375, 0.125, 0.25, 0.75, 1. / 3, 1. / 3, 1. / 3} {
			if !(math.Abs(c.Means[j]-want) < 0.01) {
				t.Errorf("spread %v: mean %d is %v, want %v", spread, j, c.Means[j], want)
			}
		}
		for i, want := range []float64{spread, spread, 0} {
			if !(math.Abs(c.spread[i]-want) < 0.01+0.05*want) {
				t.Errorf("spread of question %d is %v, want %v", i+1, c.spread[i], want)
			}
		}
	}
}

// No constant has a smaller RMSE on the rows than the means of all votes, and the log-likelihoods
// of the questions sum to that of all.
func TestConstantOfCountsIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "examples")
		rows := labelstest.Rows(smallCounts, n, rapid.Uint64().Draw(t, "seed"))
		c, err := FitConstant(smallCounts, slices.Chunk(rows, 8))
		if err != nil {
			t.Fatal(err)
		}
		other := labelstest.Rows(smallCounts.Predicted(), 1, rapid.Uint64().Draw(t, "other seed"))
		e := New(smallCounts, nil, c)
		if err := e.Add(nil, slices.Repeat(other, n), rows); err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Baseline; !(b.RMSE <= got.RMSE+1e-6) {
			t.Fatalf("the constant's RMSE is %v, another constant's %v", b.RMSE, got.RMSE)
		}
		sum := 0.0
		for _, q := range got.Questions {
			sum += float64(q.Votes.LogLikelihood)
		}
		if !(math.Abs(sum-float64(got.Votes.LogLikelihood)) <= 1e-9*(1+math.Abs(sum))) {
			t.Fatalf("log-likelihood %v, of the questions %v", got.Votes.LogLikelihood, sum)
		}
	})
}

// Galaxies of which nobody voted have no score, and an answer that nobody gave in the train split
// costs no infinite log-likelihood.
func TestCountsWithoutVotes(t *testing.T) {
	none := make([]float32, 8)
	c, err := FitConstant(smallCounts, slices.Values([][]float32{{4, 0, 0, 0, 0, 0, 0, 0}}))
	if err != nil {
		t.Fatal(err)
	}
	p := []float32{1, 0, 0, 0.5, 0.5, 0.25, 0.25, 0.5}
	e := New(smallCounts, nil, c)
	if err := e.Add(nil, p, none); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Scores(); err == nil {
		t.Error("scores of no votes")
	}
	if err := e.Add(nil, p, []float32{1, 3, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	got, err := e.Result()
	if err != nil {
		t.Fatal(err)
	}
	if math.IsInf(float64(got.Votes.LogLikelihood), 0) || !(got.Baseline.Votes.LogLikelihood > -20) {
		t.Errorf("log-likelihood %v, of the constant %v", got.Votes.LogLikelihood, got.Baseline.Votes.LogLikelihood)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Errorf("as JSON: %v", err)
	}
	if _, err := FitConstant(smallCounts, slices.Values([][]float32{{0.5, 0, 0, 0, 0, 0, 0, 0}})); err == nil {
		t.Error("half a vote is accepted")
	}
}

// The classes of counts are those of the schema's rules, and the largest column is of all volunteers.
func TestCountsChoices(t *testing.T) {
	target := newTarget(smallCounts)
	truth, answer := target.newChoices(), target.newChoices()
	// 10 featured, of whom 9 see it edge-on.
	target.readTruth(&truth, []float32{2, 10, 0, 9, 0, 2, 0, 0})
	target.readAnswer(&answer, []float32{0.2, 0.8, 0, 0.9, 0.1, 1, 0, 0})
	if truth.column != 1 || answer.column != 1 || truth.class != 1 || answer.class != 1 {
		t.Errorf("truth %+v, answer %+v", truth, answer)
	}
	if !slices.Equal(truth.question, answer.question) || labels.NoClass == truth.class {
		t.Errorf("truth %+v, answer %+v", truth, answer)
	}
}

// The distribution of predictions in float32 has fractions that sum to 1.
func TestDistributions(t *testing.T) {
	got := newTarget(smallCounts).distributions([]float32{0.5, 0.25, 0.251, 0.5, 0.5, 0, 0, 1}, []float64{1, 2, 3})
	for i, d := range got {
		sum := 0.0
		for _, p := range d.Fractions {
			sum += p
		}
		if !(math.Abs(sum-1) <= 1e-12) || d.Spread != float64(i+1) {
			t.Errorf("question %d: %+v", i+1, d)
		}
	}
}
