package train

import (
	"time"

	"galaxy/data"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// StepResult holds a step's loss, gradient norm and timings.
type StepResult struct {
	Step  int64 // number of this step, from 1
	Total int64 // steps of the whole run
	Epoch int   // completed epochs before this batch
	Loss  float64
	// GradientNorm is the gradients' global norm before clipping.
	GradientNorm float64
	// LossScale and Skipped are defined as in graph.StepOutput.
	LossScale float64
	Skipped   bool
	// LearningRate is the rate of this step, including the factor of Config.Plateau,
	// also if the update was skipped.
	LearningRate float64
	Examples     int
	IDs          []data.ID // ids of the batch, valid during the call
	// Times are the parts of the step's time, without evaluations and checkpoints
	// between steps.
	Times Times
	Time  time.Time
}

// Times are the parts of a step's time.
type Times struct {
	// Elapsed is the total, from the request for the batch to the end of the update.
	Elapsed time.Duration
	// DataWait is how long the step waited for its batch to be read, and CopyWait
	// for the copy to the devices; both are 0 if it was ready beforehand.
	DataWait, CopyWait time.Duration
	// Compute, AllReduce and Update are defined as in graph.StepOutput.
	Compute, AllReduce, Update time.Duration
}

// Add adds the times of another step.
func (t *Times) Add(o Times) {
	t.Elapsed += o.Elapsed
	t.DataWait += o.DataWait
	t.CopyWait += o.CopyWait
	t.Compute += o.Compute
	t.AllReduce += o.AllReduce
	t.Update += o.Update
}

// EvaluationResult holds the scores of an evaluation of the validation split.
type EvaluationResult struct {
	Step  int64
	Total int64
	Epoch int
	// TrainLoss is the mean loss of the steps since the previous evaluation.
	TrainLoss float64
	// Scores are empty in a run without labels, which has Embedding instead.
	Scores    metric.Scores
	Embedding *objective.EmbeddingScores
	// Best is true if no earlier evaluation had a lower RMSE or, without labels, a lower loss.
	Best bool
	Time time.Time
}

// Observer is notified of a run's steps and evaluations. An error ends the run: the
// current step is not saved, and a resume cuts off the lines that other observers
// wrote for it.
type Observer interface {
	OnStep(StepResult) error
	OnEvaluation(EvaluationResult) error
}

// FileObserver is an Observer that writes a file of the run folder. Each step and each
// evaluation is in that file once: a checkpoint records how long the file was, and a run
// that resumes, or rolls back, cuts it to that length and appends. TextFile implements
// everything except Observer, for a file of text lines.
//
// Several workers share one run folder: a FileObserver is notified on the chief only.
type FileObserver interface {
	Observer
	// FileName returns the name of the file in the run folder. Other observers must
	// use other names.
	FileName() string
	// Open opens the file at path, to append after its first size bytes, and removes what
	// follows them. Size 0 starts the file again, whether it exists or not. It is called
	// before the first step, and after Close at every rollback.
	Open(path string, size int64) error
	// Size returns the number of bytes that the file has with all that was written.
	Size() (int64, error)
	// Sync returns when everything written is on the disk. It is called while other
	// methods may be.
	Sync() error
	Close() error
}
