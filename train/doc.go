// Package train runs the training loop and evaluates what comes out of it.
//
// A run lives in a folder:
//
//	RUN/config.json        Config, written once
//	RUN/checkpoints/       package checkpoint's store
//	RUN/metrics.jsonl      a line a step and a line an evaluation
//	RUN/metrics.csv        the same as a table
//	RUN/events.out.tfevents.0.galaxy  the same for TensorBoard
//
// FitBudget, for a run of a given length of time, first finds the number of steps.
// Run makes the folder, or goes on where its last checkpoint stands. Evaluate
// scores any Predictor, be it a run's weights or a SavedModel, on a split of a
// cache.
//
// Errors are returned wrapped; a run that was asked to stop returns ErrStopped
// after it has saved a checkpoint.
package train
