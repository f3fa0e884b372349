package train

import (
	"errors"
	"fmt"
	"math"
	"time"

	"galaxy/train/metric"
)

// StepResult is what is known after one update.
type StepResult struct {
	Step  int64 // updates made, this one included
	Total int64 // updates the run will make
	Epoch int   // passes over the train split before the one this batch is of
	Loss  float64
	// GradientNorm is the gradients' global norm before clipping.
	GradientNorm float64
	// LossScale and Skipped are those of graph.StepOutput.
	LossScale    float64
	Skipped      bool
	LearningRate float64
	Examples     int
	IDs          []int64 // GalaxyIDs of the batch, valid during the call
	// Times tells where the step's went. Evaluations and checkpoints between steps
	// are not in it.
	Times Times
	Time  time.Time
}

// Times are the parts of a step's time.
type Times struct {
	// Elapsed is all of it, from asking for the batch to the end of the update.
	Elapsed time.Duration
	// DataWait is how long the step waited for its batch to be read, and CopyWait
	// for the copy to the devices; both are 0 where it was there beforehand.
	DataWait, CopyWait time.Duration
	// Compute, AllReduce and Update are those of graph.StepOutput.
	Compute, AllReduce, Update time.Duration
}

// Add adds those of another step.
func (t *Times) Add(o Times) {
	t.Elapsed += o.Elapsed
	t.DataWait += o.DataWait
	t.CopyWait += o.CopyWait
	t.Compute += o.Compute
	t.AllReduce += o.AllReduce
	t.Update += o.Update
}

// EvaluationResult is what is known after an evaluation of the validation
// split.
type EvaluationResult struct {
	Step  int64
	Total int64
	Epoch int
	// TrainLoss is the mean loss of the steps since the evaluation before.
	TrainLoss float64
	Scores    metric.Scores
	// Best is true when no evaluation before had a lower RMSE.
	Best bool
	Time time.Time
}

// Observer is told of a run as it goes. An error ends the run; nothing of the
// step that it was told of is saved.
type Observer interface {
	OnStep(StepResult) error
	OnEvaluation(EvaluationResult) error
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// finite looks at every step before an observer is told of it, so that none writes what
// cannot be resumed from.
type finite struct {
	notice  func(string)
	skipped int // steps in a row
}

// check returns an error where the step was not finite, and was not left out either.
func (f *finite) check(r StepResult) error {
	wrong := ""
	switch {
	case !isFinite(r.Loss):
		wrong = fmt.Sprintf("the loss is %v", r.Loss)
	case !isFinite(r.GradientNorm):
		wrong = fmt.Sprintf("the gradient norm is %v", r.GradientNorm)
	default:
		f.skipped = 0
		return nil
	}
	f.skipped++
	told := fmt.Sprintf("step %d: %s (learning rate %.3g, GalaxyIDs %v)", r.Step, wrong, r.LearningRate, r.IDs)
	if r.Skipped && f.skipped < maxSkips {
		if r.LossScale <= 1 { // else the next step has a smaller scale, and all is well
			f.notice(told + ": the update was left out")
		}
		return nil
	}
	if r.Skipped && f.skipped > 1 {
		told += fmt.Sprintf(", and so were the %d steps before", f.skipped-1)
	}
	return errors.New(told)
}
