package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// loop is the training loop. An evaluation and a checkpoint due after a step are made
// before the next step, so a run stopped in between makes them when it is resumed.
func (r *run) loop(ctx context.Context) error {
	work := ctx
	if r.Cluster != nil {
		work = context.WithoutCancel(ctx) // a worker stops only together with all others, after the same step
	}
	r.saver.savedAt = time.Now()
	r.feeder = newFeeder(r.loader, r.trainer)
	if r.state.Step == 0 { // to roll back to
		if err := r.save(); err != nil {
			return err
		}
	}
	for {
		if r.evaluationDue() {
			err := r.evaluate(work, ctx)
			if errors.Is(err, metric.ErrNotFinite) {
				if err := r.rollBack(err); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return r.end(err)
			}
		}
		if r.saver.due(r.state) {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.state.Step >= r.Config.Schedule.Total || r.early() {
			return r.saveAndWait()
		}
		if _, err := r.saver.poll(); err != nil {
			return err
		}

		_ = r.beat(PhaseTrain)
		start := time.Now()
		batch, err := r.feeder.next(work)
		if err != nil {
			return r.end(err)
		}
		result, stop, err := r.step(batch, ctx.Err() != nil)
		if err != nil {
			return r.end(err)
		}
		result.Time, result.Times.Elapsed = time.Now(), time.Since(start)
		if wrong := r.finite.check(result); wrong != nil {
			err = r.rollBack(wrong)
		} else {
			err = r.notify.step(result)
		}
		if err != nil {
			return err
		}
		if stop {
			return r.end(ErrStopped)
		}
	}
}

// due returns whether something that happens every that many steps, and after
// the last step, happens after this step.
func due(step, every, total int64) bool {
	return step == total || every > 0 && step > 0 && step%every == 0
}

// evaluationDue returns whether an evaluation after the last step is due and was not made.
func (r *run) evaluationDue() bool {
	return r.state.Evaluated < r.state.Step && due(r.state.Step, r.Config.EvalEvery, r.Config.Schedule.Total)
}

// early returns whether the run should end early because evaluations have stopped
// improving.
func (r *run) early() bool {
	return r.Config.Patience > 0 && r.state.SinceBest >= r.Config.Patience
}

// rate returns the learning rate of the step that follows the given one.
func (r *run) rate(step int64) float64 {
	return r.Config.Schedule.At(step) * cmp.Or(r.state.RateFactor, 1)
}

// step runs one step and counts it in the run's state. stop asks the workers of a
// cluster to stop after it; stopped is true if any worker has asked.
func (r *run) step(b staged, stop bool) (_ StepResult, stopped bool, err error) {
	rate := r.rate(r.state.Step)
	out, err := r.trainer.Step(graph.StepInput{
		Step: r.state.Step, Seed: r.Config.Seed, LearningRate: rate,
		Size: r.Config.Sizes.At(r.state.Step), Stop: stop,
	})
	if err != nil {
		return StepResult{}, false, err
	}
	r.state.Step++
	r.state.Position = b.position
	if isFinite(out.Loss) { // otherwise the step was skipped, or is the last
		r.state.LossSum += out.Loss
		r.state.LossSteps++
	}
	return StepResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total, Epoch: b.epoch, Loss: out.Loss, GradientNorm: out.GradientNorm, LossScale: out.LossScale, Skipped: out.Skipped,
		LearningRate: rate, Examples: r.Config.Batch, IDs: b.ids,
		Times: Times{DataWait: b.dataWait, CopyWait: b.copyWait, Compute: out.Compute, AllReduce: out.AllReduce, Update: out.Update},
	}, out.Stop, nil
}

// scoreValidation scores the validation split. Without labels the result is embedding, otherwise scores. In a cluster
// every worker evaluates. When signals ends, all workers stop in the same batch.
func (r *run) scoreValidation(ctx, signals context.Context) (scores metric.Scores, embedding *objective.EmbeddingScores, err error) {
	before := func() error { return nil }
	if r.Cluster != nil {
		before = func() error { return agreeToGoOn(r.Cluster, signals.Err() != nil) }
	}
	progress := func(int, int) { _ = r.beat(PhaseEvaluate) }
	if r.Config.Pretrain.IsSet() {
		e, err := r.evaluatePairs(ctx, before, progress)
		return scores, &e, err
	}
	result, err := Evaluate(ctx, lockstep{r.trainer, before}, Evaluation{
		Cache: r.Cache, Split: data.Validation, Target: r.Config.Target(), Loss: r.objective, Progress: progress,
	})
	return result.Scores, nil, err
}

// evaluate scores the validation split and, if the score is the best so far, saves a
// checkpoint.
func (r *run) evaluate(ctx, signals context.Context) error {
	scores, embedding, err := r.scoreValidation(ctx, signals)
	if err != nil {
		return fmt.Errorf("after step %d (learning rate %.3g): %w", r.state.Step, r.rate(r.state.Step-1), err)
	}
	session.TrimMemory()
	this := checkpoint.BestEvaluation{Step: r.state.Step, RMSE: scores.RMSE}
	if embedding != nil {
		this.Loss = embedding.Loss
	}
	best := r.state.Best == nil || this.RMSE < r.state.Best.RMSE || this.Loss < r.state.Best.Loss // one of them is 0 in all evaluations of a run
	if err := r.notify.evaluation(EvaluationResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total,
		Epoch:     int((r.state.Position - 1) / int64(r.loader.StepsPerEpoch())),
		TrainLoss: r.state.LossSum / float64(r.state.LossSteps), Scores: scores, Embedding: embedding, Best: best, Time: time.Now(),
	}); err != nil {
		return err
	}
	r.state.LossSum, r.state.LossSteps, r.state.Evaluated = 0, 0, r.state.Step
	r.saver.outdate() // a checkpoint of this step made before lacks the evaluation
	if !best {
		if r.state.SinceBest++; r.Config.Plateau > 0 && r.state.SinceBest%r.Config.Plateau == 0 {
			r.state.RateFactor = cmp.Or(r.state.RateFactor, 1) * r.Config.PlateauFactor
		}
		return nil
	}
	r.state.SinceBest = 0
	r.state.Best = &this
	return r.save()
}

// save writes a checkpoint of the last step, if there is none yet.
func (r *run) save() error {
	if r.saver.needs(r.state) {
		_ = r.beat(PhaseSave)
	}
	return r.saver.save(r.state, r.trainer)
}

// saveAndWait calls save and waits until the checkpoint is on the disk.
func (r *run) saveAndWait() error { return errors.Join(r.save(), r.saver.finish()) }

// end is called with the error that ends the loop before its last step. If the cause is
// a lost worker, the end of the context or another worker's stop, it saves a checkpoint
// and adds how to resume.
func (r *run) end(err error) error {
	switch {
	case errors.Is(err, session.ErrWorkerLost):
		return r.workerLost(err)
	case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrStopped):
		return err
	case r.state.Step == 0:
		return fmt.Errorf("%w (before the first step: there was nothing to save)", ErrStopped)
	}
	if err := r.saveAndWait(); err != nil {
		return err
	}
	if !r.chief() {
		return usage.Errorf("%w; go on with {resume} (the chief saves what has been done)", ErrStopped)
	}
	return usage.Errorf("%w; go on with {resume} (saved after step %d)", ErrStopped, r.state.Step)
}

// workerLost saves a checkpoint after a worker was lost, which is safe because the
// interrupted step changes nothing, and adds how to resume.
func (r *run) workerLost(err error) error {
	saved := r.saveAndWait()
	what := "to go on from the chief's last checkpoint"
	if r.chief() {
		switch last, _, err := r.saver.store.Latest(); {
		case err == nil:
			what = fmt.Sprintf("to go on after step %d, which is saved", last.State.Step)
		case errors.Is(err, checkpoint.ErrNone):
			what = "to begin again: nothing was saved yet"
		}
	}
	return errors.Join(usage.Errorf("%w; start all workers again with {resume} %s", err, what), saved)
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
