// Package train trains a network and evaluates networks.
//
// # Types
//
// Config holds the settings that decide what a run computes; config.json is a Config.
// Options adds to it the settings of this process: the folder, the open cache, the
// devices, what to report. An Observer receives every step (StepResult) and every
// evaluation (EvaluationResult). A Predictor is any network in inference mode: the one
// that trains, one read from a checkpoint, or a SavedModel.
//
// # Use
//
//	cache, err := data.Open("cache")
//	…                                                   // fill in Options and its Config
//	batch, err := train.LargestBatch(ctx, options, nil) // optional: the largest batch that fits
//	cfg, err := train.FitBudget(ctx, options, began, at) // optional: the steps that fit into a time
//	summary, err := train.Run(ctx, options)             // trains, or resumes from the last checkpoint
//	scores, err := train.Evaluate(ctx, predictor, train.Evaluation{…})
//
// ReadConfig reads the Config of an existing run. WithBest reads the checkpoint with the
// lowest validation RMSE, to evaluate, predict or export.
//
// # The run folder
//
//	RUN/config.json        Config, written once
//	RUN/checkpoints/       the Store of package checkpoint
//	RUN/metrics.jsonl      a line every LogEvery steps and a line per evaluation
//	RUN/metrics.csv        the same as a table
//	RUN/events.out.tfevents.0.galaxy  the same for TensorBoard
//
// docs/run-folder.md describes the files, docs/checkpoint-format.md the checkpoints.
//
// # Observers
//
// To watch a run, give Options an Observer. An observer that writes a file of the run
// folder is a FileObserver: a checkpoint records the size of its file, and a resumed run
// cuts the file back to that size, so that no line is there twice.
//
//	type learningRates struct{ *train.TextFile }
//
//	var _ train.FileObserver = learningRates{} // one that lacks a method would be an Observer without a file
//
//	func (l learningRates) OnStep(s train.StepResult) error {
//		_, err := fmt.Fprintf(l, "%d,%g\n", s.Step, s.LearningRate)
//		return err
//	}
//
//	func (learningRates) OnEvaluation(train.EvaluationResult) error { return nil }
//
//	options.Observers = []train.Observer{learningRates{&train.TextFile{Name: "lr.csv", Header: "step,learning_rate\n"}}}
//
// fileobserver_test.go runs it through a stop, a kill and a rollback.
//
// # Where the code is
//
// begin.go reads and builds what a run needs, loop.go trains, saver.go keeps the
// checkpoints and files, notify.go informs the observers and writes the heartbeat,
// rollback.go handles numbers that are not finite.
//
// # Errors
//
// Errors are returned wrapped with the verb that failed. A run that was asked to stop
// saves a checkpoint and returns ErrStopped. Settings that cannot be run, or not in this
// folder, are an error before anything is written. An error of an observer ends the run.
// Nothing panics on user input.
package train
