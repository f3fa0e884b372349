package train_test

import (
	"syscall"
	"testing"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train"
	"galaxy/train/objective"
)

// BenchmarkEvaluate measures what intervals, constant, sizes and brightnesses
// add to an evaluation. The images are the smallest that networks are tested
// with, so that predicting is fastest and the added fraction is largest.
func BenchmarkEvaluate(b *testing.B) {
	cache := testCache(b, 600)
	cfg := testConfig(cache, 1)
	o, err := objective.New(cfg.Objective, cfg.Schema())
	if err != nil {
		b.Fatal(err)
	}
	trainer, err := graph.NewTrainer(graph.TrainerConfig{
		Model: cfg.Model, Loss: o.Loss, Posterior: o.Posterior, Optimizer: cfg.Optimizer, Batch: cfg.Batch,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer trainer.Close()
	if err := trainer.Init(1); err != nil {
		b.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		b.Run(map[bool]string{false: "run", true: "full"}[full], func(b *testing.B) {
			examples, begin := 0, processorTime(b)
			for b.Loop() {
				scores, err := train.Evaluate(b.Context(), trainer, train.Evaluation{
					Cache: cache, Split: data.Train, Loss: o, Full: full,
				})
				if err != nil {
					b.Fatal(err)
				}
				examples += scores.Examples
			}
			b.ReportMetric(float64(examples)/b.Elapsed().Seconds(), "img/s")
			// CPU time, which other work on the machine changes little.
			b.ReportMetric(float64((processorTime(b)-begin).Microseconds())/float64(examples), "cpu-µs/img")
		})
	}
}

// processorTime returns the CPU time that the process has spent on all cores.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
