package train

import (
	"context"

	"galaxy/graph"
)

// RunWith is Run with a step observer that also gets the run's trainer.
func RunWith(ctx context.Context, o Options, step func(*graph.Trainer, StepResult) error) (Summary, error) {
	r := newRun(o)
	r.Observers = append(r.Observers, trainerHook{r, step})
	return r.run(ctx)
}

type trainerHook struct {
	run  *run
	step func(*graph.Trainer, StepResult) error
}

func (h trainerHook) OnStep(r StepResult) error { return h.step(h.run.trainer, r) }

func (trainerHook) OnEvaluation(EvaluationResult) error { return nil }
