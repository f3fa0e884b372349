package main

import (
	"fmt"
	"time"

	"galaxy/train"
	"galaxy/train/metric"
)

// epochTable is the table that a training run prints as it goes: a row for each evaluation, and for each epoch without
// one at its end.
type epochTable struct {
	print   func(format string, args ...any)
	begun   bool // the header is printed
	classes bool // and has the balanced accuracy of classes
	// pretrain is set for a run without labels: the rows have what its evaluations have.
	pretrain bool

	// What the next row is about: the steps since the last one.
	epoch, steps, examples int
	step                   int64
	loss                   float64 // sum
	elapsed                time.Duration
}

// onStep prints the row of the epoch that ended with the step before, unless it has been evaluated, and counts a step. warm is
// false of a first step, whose time says nothing about the others.
func (t *epochTable) onStep(r train.StepResult, warm bool) {
	if t.steps > 0 && r.Epoch > t.epoch {
		t.row(train.EvaluationResult{Step: t.step, Epoch: t.epoch, TrainLoss: t.loss / float64(t.steps)}, nil)
	}
	t.epoch, t.step = r.Epoch, r.Step
	if !r.Skipped {
		t.steps++
		t.loss += r.Loss
	}
	if warm {
		t.examples += r.Examples
		t.elapsed += r.Times.Elapsed
	}
}

// row prints a row; scores is nil without an evaluation.
func (t *epochTable) row(r train.EvaluationResult, scores *metric.Scores) {
	speed, best := "-", ""
	if r.Best {
		best = "  best"
	}
	if t.elapsed > 0 {
		speed = fmt.Sprintf("%.0f", float64(t.examples)/t.elapsed.Seconds())
	}
	t.steps, t.examples, t.loss, t.elapsed = 0, 0, 0, 0
	if t.pretrain {
		t.pretrainRow(r, speed, best)
		return
	}
	loss, rmse, accuracy, balanced := "-", "-", "-", "-"
	classes := t.classes
	if scores != nil {
		loss, rmse, accuracy = decimals(5, scores.Loss), decimals(4, metric.Value(scores.RMSE)), decimals(3, scores.AccuracyArgmax)
		f := scores.CleanClasses
		if classes = scores.AccuracyArgmax.IsZero() && f != nil; classes {
			accuracy, balanced = decimals(3, f.Accuracy), decimals(3, f.BalancedAccuracy)
		}
	}
	line := func(epoch, step, trainLoss, loss, rmse, accuracy, balanced, speed, best string) {
		if classes {
			accuracy = fmt.Sprintf("%8s  %8s", accuracy, balanced)
		}
		t.print("%5s  %8s  %10s  %9s  %6s  %8s  %7s%s", epoch, step, trainLoss, loss, rmse, accuracy, speed, best)
	}
	if !t.begun || classes != t.classes {
		t.begun, t.classes = true, classes
		line("epoch", "step", "train loss", "loss", "RMSE", "accuracy", "balanced", "img/s", "")
	}
	line(fmt.Sprint(r.Epoch+1), fmt.Sprint(r.Step), decimals(5, metric.Value(r.TrainLoss)), loss, rmse, accuracy, balanced, speed, best)
}

// pretrainRow prints the row of a run without labels.
func (t *epochTable) pretrainRow(r train.EvaluationResult, speed, best string) {
	loss, std, rank := "-", "-", "-"
	if e := r.Embedding; e != nil {
		loss, std, rank = decimals(4, metric.Value(e.Loss)), decimals(4, metric.Value(e.Std)), decimals(1, metric.Value(e.Rank))
	}
	const line = "%5v  %8v  %10s  %9s  %7s  %6s  %7s%s"
	if !t.begun {
		t.begun = true
		t.print(line, "epoch", "step", "train loss", "loss", "std", "rank", "img/s", "")
	}
	t.print(line, r.Epoch+1, r.Step, decimals(4, metric.Value(r.TrainLoss)), loss, std, rank, speed, best)
}

// decimals shows a score, or - for none.
func decimals(n int, v metric.Value) string {
	if v.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.*f", n, float64(v))
}
