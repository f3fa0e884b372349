package train

import (
	"errors"
	"fmt"

	"galaxy/internal/usage"
	"galaxy/train/checkpoint"
)

// finite checks every step before observers are notified of it, so that no file records a
// step that a run cannot resume from.
type finite struct {
	notice  func(string)
	skipped int // steps in a row
}

// check returns an error if the step was not finite, and its update was not skipped either.
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
	what := fmt.Sprintf("step %d: %s (learning rate %.3g, GalaxyIDs %v)", r.Step, wrong, r.LearningRate, r.IDs)
	if r.Skipped && f.skipped < maxSkips {
		if r.LossScale <= 1 { // otherwise the next step has a smaller scale
			f.notice(what + ": the update was left out")
		}
		return nil
	}
	if r.Skipped && f.skipped > 1 {
		what += fmt.Sprintf(", and so were the %d steps before", f.skipped-1)
	}
	return errors.New(what)
}

// rollBack rolls back to a checkpoint because of non-finite numbers and continues with
// the next batches, or returns why it cannot. All workers of a cluster have seen the same
// numbers.
func (r *run) rollBack(why error) (err error) {
	if r.Config.OnNonFinite != RollBack || r.state.Rollbacks == maxRollbacks {
		if r.state.Rollbacks > 0 {
			why = fmt.Errorf("%w, after the run has gone back %d times", why, r.state.Rollbacks)
		}
		// The weights went wrong in an earlier step, and a checkpoint may hold them;
		// the best one was evaluated and does not.
		return usage.Errorf("%w; begin a new run with a lower {schedule.rate}, a {optimizer.clip_norm} or a longer {schedule.warmup_steps}: "+
			"its first weights can be this run's best ones by {init_from}, if there has been an evaluation", why)
	}
	var to checkpoint.State
	if r.chief() {
		good, err := r.saver.rollback(r.state)
		if err == nil {
			err = r.trainer.Restore(good.Prefix())
		}
		if err != nil {
			return fmt.Errorf("%w; going back: %w", why, err)
		}
		to = good.State
	}
	if r.Cluster != nil {
		all, err := gather(r.Cluster, to)
		if err != nil {
			return err
		}
		to = all[0]
	}
	if err := r.trainer.Broadcast(); err != nil {
		return err
	}
	from := r.state.Step
	to.Position, to.Rollbacks, to.RolledBackTo = r.state.Position, r.state.Rollbacks+1, to.Step
	r.state = to
	r.saver.outdate()
	r.Notice(fmt.Sprintf("%v; going back to step %d, and on with other galaxies (%d of at most %d times)", why, to.Step, to.Rollbacks, maxRollbacks))
	if !r.chief() {
		return nil
	}
	if err := r.saver.openFiles(to.Files); err != nil {
		return err
	}
	if err := r.record(HistoryEntry{Kind: RolledBack, Step: to.Step, From: from, Reason: why.Error()}); err != nil {
		return err
	}
	return r.save()
}
