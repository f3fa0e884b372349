package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
)

// ErrStopped is returned by a run that its context ended: a checkpoint of its
// last step has been saved, and Run with Resume goes on from there.
var ErrStopped = errors.New("stopped before the last step; resume to go on")

// Functions are what a loss named in a Config means.
type Functions struct {
	Loss      graph.Loss
	Posterior graph.Posterior
	// Score is the same loss in float64, by which evaluations are scored.
	Score metric.Loss
}

// Options are what Run needs beside the Config.
type Options struct {
	Dir       string
	Config    Config
	Functions Functions
	// Cache is open and the one that Config.Cache names.
	Cache *data.Cache
	// Resume goes on from the last checkpoint in Dir, or starts afresh where
	// there is none. Without it Dir must not exist.
	Resume    bool
	Observers []Observer
	// Started, when set, is told before the first step how many updates the
	// checkpoint that the run goes on from has made; 0 for a fresh start.
	Started func(step int64)
}

// Summary is what a run came to.
type Summary struct {
	Step int64            `json:"step"`
	Best *checkpoint.Best `json:"best"`
}

// run is a Run under way.
type run struct {
	Options
	store     *checkpoint.Store
	trainer   *graph.Trainer
	loader    *data.Loader
	journals  []journal
	observers []Observer
	config    json.RawMessage

	state checkpoint.State // of the updates made so far
	saved int64            // step of the newest checkpoint, -1 for none
}

// Run trains until Config.Schedule.Total updates are made and leaves the last
// and the best checkpoint in the run folder.
func Run(ctx context.Context, o Options) (_ Summary, err error) {
	if err := o.Config.Validate(); err != nil {
		return Summary{}, err
	}
	if got, want := o.Cache.Manifest().Checksum, o.Config.Cache.Checksum; got != want {
		return Summary{}, fmt.Errorf("cache %s has the checksum %s, the run was configured for %s", o.Cache.Dir(), got, want)
	}
	r := &run{Options: o, saved: -1, store: checkpoint.Open(filepath.Join(o.Dir, "checkpoints"))}
	if err := r.open(); err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.start(); err != nil {
		return Summary{}, err
	}
	err = r.loop(ctx)
	return Summary{Step: r.state.Step, Best: r.state.Best}, err
}

// open makes the run folder, or checks that it is one that can be resumed.
func (r *run) open() error {
	asked, err := json.MarshalIndent(r.Config, "", "  ")
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	r.config = asked
	_, err = os.Stat(r.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r.create()
	case err != nil:
		return fmt.Errorf("open run folder: %w", err)
	case !r.Resume:
		return fmt.Errorf("run folder %s exists; go on with it by --resume, or name another", r.Dir)
	}
	was, err := ReadConfig(r.Dir)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return refuseChanges(was, r.Config)
}

// create makes the run folder with its configuration, under a temporary name
// first so that a folder of that name is always a run.
func (r *run) create() error {
	parent, name := filepath.Split(filepath.Clean(r.Dir))
	if err := os.MkdirAll(filepath.Clean(parent+"."), 0o755); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Clean(parent+"."), "."+name+".tmp-")
	if err == nil {
		err = errors.Join(os.Chmod(tmp, 0o755), os.WriteFile(filepath.Join(tmp, configName), append(r.config, '\n'), 0o644))
		if err == nil {
			err = os.Rename(tmp, r.Dir)
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}
	if err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	return nil
}

// start brings everything to where the last checkpoint stands.
func (r *run) start() error {
	last, err := r.store.Latest()
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		r.state = checkpoint.State{Files: map[string]int64{}}
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	default:
		r.state, r.saved = last.State, last.State.Step
	}
	cfg := r.Config
	r.trainer, err = graph.NewTrainer(graph.TrainerConfig{
		Model: cfg.Model, Loss: r.Functions.Loss, Posterior: r.Functions.Posterior,
		Optimizer: cfg.Optimizer, Batch: cfg.Batch, Session: graph.SessionConfig{Threads: cfg.Threads},
	})
	if err != nil {
		return err
	}
	switch {
	case last != nil:
		err = r.trainer.Restore(last.Prefix())
	default:
		if err = r.trainer.Init(cfg.Seed); err == nil && cfg.InitFrom != "" {
			err = initFrom(r.trainer, cfg.InitFrom)
		}
	}
	if err != nil {
		return err
	}
	if r.journals, err = openJournals(r.Dir, cfg.LogEvery, r.state.Files); err != nil {
		return err
	}
	r.observers = []Observer{finite{}}
	for _, j := range r.journals {
		r.observers = append(r.observers, j)
	}
	r.observers = append(r.observers, r.Observers...)
	r.loader, err = data.NewLoader(r.Cache, data.LoaderConfig{
		Split: data.Train, Batch: cfg.Batch, Seed: cfg.Seed, Position: r.state.Position,
	})
	if err != nil {
		return err
	}
	if r.Started != nil {
		r.Started(r.state.Step)
	}
	return nil
}

func (r *run) close() error {
	var errs []error
	if r.loader != nil {
		r.loader.Close()
	}
	if r.trainer != nil {
		errs = append(errs, r.trainer.Close())
	}
	return errors.Join(append(errs, closeJournals(r.journals))...)
}

// loop is the training loop. What is due after a step is looked at before the
// next one, so that a run stopped in the middle of an evaluation makes it when
// it is resumed.
func (r *run) loop(ctx context.Context) error {
	total := r.Config.Schedule.Total
	for {
		if r.state.Evaluated < r.state.Step && due(r.state.Step, r.Config.EvalEvery, total) {
			if err := r.evaluate(ctx); err != nil {
				return r.stopped(ctx, err)
			}
		}
		if due(r.state.Step, r.Config.CheckpointEvery, total) {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.state.Step >= total {
			return nil
		}
		begin, waited := time.Now(), r.loader.DataWait()
		batch, err := r.loader.Next(ctx)
		if err != nil {
			return r.stopped(ctx, err)
		}
		wait := r.loader.DataWait() - waited
		result, err := r.step(batch)
		if err != nil {
			return err
		}
		result.Time, result.Elapsed, result.DataWait = time.Now(), time.Since(begin), wait
		for _, o := range r.observers {
			if err := o.OnStep(result); err != nil {
				return err
			}
		}
	}
}

// due tells whether something that happens every so many steps, and after the
// last, happens after this one.
func due(step, every, total int64) bool {
	return step == total || every > 0 && step > 0 && step%every == 0
}

// step makes one update of the weights and of the run's state.
func (r *run) step(b *data.Batch) (StepResult, error) {
	rate := r.Config.Schedule.At(r.state.Step)
	out, err := r.trainer.Step(graph.StepInput{
		Images: b.Images, Labels: b.Labels, Step: r.state.Step, Seed: r.Config.Seed, LearningRate: rate,
	})
	if err != nil {
		return StepResult{}, err
	}
	r.state.Step++
	r.state.Position = r.loader.Position()
	r.state.LossSum += out.Loss
	r.state.LossSteps++
	return StepResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total, Epoch: b.Epoch, Loss: out.Loss, GradientNorm: out.GradientNorm,
		LearningRate: rate, Examples: b.Len(), IDs: b.IDs,
	}, nil
}

// evaluate scores the validation split and, when it is the best so far, keeps
// the checkpoint.
func (r *run) evaluate(ctx context.Context) error {
	scores, err := Evaluate(ctx, r.trainer, Evaluation{Cache: r.Cache, Split: data.Validation, Loss: r.Functions.Score})
	if err != nil {
		return err
	}
	best := r.state.Best == nil || scores.RMSE < r.state.Best.RMSE
	result := EvaluationResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total,
		Epoch:     int((r.state.Position - 1) / int64(r.loader.StepsPerEpoch())),
		TrainLoss: r.state.LossSum / float64(r.state.LossSteps), Scores: scores.Scores, Best: best, Time: time.Now(),
	}
	for _, o := range r.observers {
		if err := o.OnEvaluation(result); err != nil {
			return err
		}
	}
	r.state.LossSum, r.state.LossSteps, r.state.Evaluated = 0, 0, r.state.Step
	r.saved = -1 // a checkpoint of this step made before lacks the evaluation
	if !best {
		return nil
	}
	r.state.Best = &checkpoint.Best{Step: r.state.Step, RMSE: scores.RMSE}
	if err := r.save(); err != nil {
		return err
	}
	return r.store.MarkBest(r.state.Step)
}

// stopped turns err into ErrStopped, after saving what has been done, when it
// came from the end of ctx.
func (r *run) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if r.state.Step > 0 {
		if err := r.save(); err != nil {
			return err
		}
	}
	return ErrStopped
}

// save makes a checkpoint of the updates made so far, if there is none yet.
func (r *run) save() error {
	if r.saved == r.state.Step {
		return nil
	}
	state := r.state
	state.TensorFlow, state.Config, state.Files = tf.Version(), r.config, map[string]int64{}
	for _, j := range r.journals {
		size, err := j.sync()
		if err != nil {
			return err
		}
		state.Files[j.name()] = size
	}
	if err := r.store.Save(state, r.trainer.Save); err != nil {
		return err
	}
	r.saved = r.state.Step
	return r.store.Prune(r.Config.Keep)
}

// initFrom reads a model's weights from a run folder's best checkpoint, or from
// a TensorFlow bundle by its prefix.
func initFrom(t *graph.Trainer, from string) error {
	prefix := from
	if _, err := os.Stat(from + ".index"); err != nil {
		best, err := BestCheckpoint(from)
		if err != nil {
			return fmt.Errorf("take first weights from %s: %w", from, err)
		}
		prefix = best.Prefix()
	}
	if err := t.RestoreModel(prefix); err != nil {
		return fmt.Errorf("take first weights from %s: %w", from, err)
	}
	return nil
}

// BestCheckpoint returns the checkpoint of a run with the best evaluation, or
// the latest where none has been evaluated yet.
func BestCheckpoint(dir string) (*checkpoint.Checkpoint, error) {
	store := checkpoint.Open(filepath.Join(dir, "checkpoints"))
	best, err := store.Best()
	if errors.Is(err, checkpoint.ErrNone) {
		best, err = store.Latest()
	}
	return best, err
}
