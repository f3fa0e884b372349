package main

import (
	"bytes"
	"math"
	"testing"
	"time"

	"galaxy/train"
	"galaxy/train/metric"
)

// A row is printed for each evaluation and for each epoch without one, where the output is no terminal too.
func TestEpochTable(t *testing.T) {
	var out bytes.Buffer
	p := newTrainProgress(&bar{what: "train", unit: "step", out: &out, begin: time.Now(), printed: time.Now()})
	step := func(n int64, epoch int) {
		r := train.StepResult{Step: n, Total: 99, Epoch: epoch, Loss: float64(n), Examples: 32, Times: train.Times{Elapsed: 100 * time.Millisecond}}
		if err := p.OnStep(r); err != nil {
			t.Fatal(err)
		}
	}
	evaluated := func(n int64, epoch int, best bool, s metric.Scores) {
		if err := p.OnEvaluation(train.EvaluationResult{Step: n, Total: 99, Epoch: epoch, TrainLoss: 0.5, Scores: s, Best: best}); err != nil {
			t.Fatal(err)
		}
	}
	votes := metric.Scores{RMSE: 0.1234, AccuracyArgmax: 0.75, Loss: 0.25}
	step(1, 0)
	step(2, 0)
	evaluated(2, 0, true, votes) // at the end of the epoch: one row
	step(3, 1)
	step(4, 1)
	step(5, 2) // an epoch without an evaluation has ended
	evaluated(5, 2, false, votes)
	step(6, 2)
	step(7, 1) // rolled back
	evaluated(7, 1, true, metric.Scores{RMSE: 0.2, AccuracyArgmax: metric.Value(math.NaN()), Loss: metric.Value(math.NaN()),
		CleanClasses: &metric.CleanClassScores{Accuracy: 0.5, BalancedAccuracy: 0.25}})
	const want = `step 1 of 99: loss 1.00000
epoch      step  train loss       loss    RMSE  accuracy    img/s
    1         2     0.50000    0.25000  0.1234     0.750      320  best
    2         4     3.50000          -       -         -      320
    3         5     0.50000    0.25000  0.1234     0.750      320
epoch      step  train loss       loss    RMSE  accuracy  balanced    img/s
    2         7     0.50000          -  0.2000     0.500     0.250      320  best
`
	if out.String() != want {
		t.Errorf("got\n%sexpected\n%s", out.String(), want)
	}
}
