// Package train runs the training loop and evaluates what comes out of it.
//
// A run lives in a folder:
//
//	RUN/config.json        Config, written once
//	RUN/checkpoints/       package checkpoint's store
//	RUN/metrics.jsonl      a line per step and a line per evaluation
//	RUN/metrics.csv        the same as a table
//	RUN/events.out.tfevents.0.galaxy  the same for TensorBoard
//
// Run makes the folder, or resumes from its last checkpoint. Before it, LargestBatch may
// find a batch that fits into the devices' memory, and FitBudget the number of steps
// that fit into a length of time. Evaluate scores any Predictor, a run's weights or a
// SavedModel, on a split of a cache.
//
// To watch a run, give Options an Observer; one that writes a file of the run folder is a
// FileObserver:
//
//	type rates struct{ *train.TextFile }
//
//	func (r rates) OnStep(s train.StepResult) error {
//		_, err := fmt.Fprintf(r, "%d,%g\n", s.Step, s.LearningRate)
//		return err
//	}
//
//	func (rates) OnEvaluation(train.EvaluationResult) error { return nil }
//
//	options.Observers = []train.Observer{rates{&train.TextFile{Name: "lr.csv", Header: "step,rate\n"}}}
//
// The code of a run: begin.go reads and builds what it needs, loop.go trains, saver.go
// keeps the checkpoints and files, notify.go informs the observers and writes the
// heartbeat, rollback.go handles numbers that are not finite.
//
// Errors are returned wrapped; a run that was asked to stop returns ErrStopped
// after it has saved a checkpoint.
package train
