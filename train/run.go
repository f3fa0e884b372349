package train

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/internal/durable"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// ErrStopped is returned by a run that its context ended: a checkpoint of its
// last step has been saved, and Run with Resume goes on from there.
var ErrStopped = errors.New("stopped before the last step; resume to go on")

// Mistake is an error of what Run was asked for: it was not begun.
type Mistake struct{ error }

// Unwrap returns the error that says what is wrong.
func (m Mistake) Unwrap() error { return m.error }

// Options are what Run needs beside the Config.
type Options struct {
	Dir    string
	Config Config
	// Cache is open and the one that Config.Cache names.
	Cache *data.Cache
	// Cluster, when set, has other processes that Run with the same Config at the
	// same time. The chief alone has a use for Dir: it reads and writes the run.
	Cluster *graph.Cluster
	// GPUMemory says how much of each GPU's memory the run takes.
	GPUMemory graph.GPUMemory
	// Version is the program's, which all workers have to be of.
	Version string
	// Resume goes on from the last checkpoint in Dir, or starts afresh where
	// there is none. Without it Dir must not exist.
	Resume bool
	// Heartbeat is a file to write signs of life to; "" is none. Another run must
	// not write the same.
	Heartbeat string
	Observers []Observer
	// Started, when set, is told before the first step how many updates the
	// checkpoint that the run goes on from has made; 0 for a fresh start.
	Started func(step int64)
	// Notice, when set, is told what a person should know.
	Notice func(text string)
}

// Summary is what a run came to.
type Summary struct {
	Step int64            `json:"step"`
	Best *checkpoint.Best `json:"best"`
	// Early tells that the run has ended by Config.Patience.
	Early bool `json:"stopped_early,omitempty"`
}

// run is a Run under way.
type run struct {
	Options
	objective *objective.Objective
	store     *checkpoint.Store
	trainer   *graph.Trainer
	loader    *data.Loader
	feeder    *feeder
	journals  []journal
	finite    finite
	config    json.RawMessage
	devices   []string
	machine   string // that this process computes on

	fresh  bool                   // the folder is still to be made
	last   *checkpoint.Checkpoint // to go on from, or nil
	locked *os.File

	state    checkpoint.State // of the updates made so far
	saved    int64            // step of the newest checkpoint, -1 for none
	savedAt  time.Time        // when that was begun, or the run
	saving   chan error       // gets what comes of one that is being written; nil for none
	lastBeat Heartbeat
}

// Run trains until Config.Schedule.Total updates are made and leaves the last
// and the best checkpoint in the run folder. Nothing is written before all that
// the run needs has been found sound.
func Run(ctx context.Context, o Options) (Summary, error) { return newRun(o).run(ctx) }

func newRun(o Options) *run {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return &run{Options: o, finite: finite{notice: o.Notice}, saved: -1, store: checkpoint.Open(filepath.Join(o.Dir, "checkpoints"))}
}

func (r *run) run(ctx context.Context) (_ Summary, err error) {
	defer func() {
		err = errors.Join(err, r.close())
		_ = r.beat(PhaseEnd)
	}()
	if err := r.beat(PhaseStart); err != nil {
		return Summary{}, Mistake{err}
	}
	if err := r.open(); err != nil {
		return Summary{}, err
	}
	if err := r.build(); err != nil {
		return Summary{}, r.explainMemory(ctx, err)
	}
	if err := r.start(); err != nil {
		return Summary{}, err
	}
	err = r.explainMemory(ctx, r.loop(ctx))
	if err == nil || errors.Is(err, ErrStopped) {
		err = errors.Join(err, r.part())
	}
	return Summary{Step: r.state.Step, Best: r.state.Best, Early: r.state.Step < r.Config.Schedule.Total && r.early()}, err
}

// session is how the run's graph is run.
func (r *run) session() graph.SessionConfig {
	return graph.SessionConfig{Threads: r.Config.Threads, GPUMemory: r.GPUMemory, XLA: r.Config.XLA}
}

// chief tells whether this process has the run's folder.
func (r *run) chief() bool { return r.Cluster.Index() == 0 }

// open finds out where the run begins: at a checkpoint, or afresh.
func (r *run) open() (err error) {
	if r.chief() {
		if err := r.openFolder(); err != nil {
			return err
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.chief() {
		if err := r.openCheckpoint(); err != nil {
			return err
		}
		if r.fresh {
			r.Config.Machine = r.machine
		}
		r.noticeMachine()
		// Runs in float32 that began before there was a choice go on with the op.
		if r.fresh || r.Config.Model.Precision != graph.Float32 || len(r.Config.FilterKernels) > 0 {
			if err := r.chooseKernels(); err != nil {
				return err
			}
		}
	}
	return r.agree()
}

// check finds out whether the configuration can be run on the cache and on this machine.
func (r *run) check() (err error) {
	if err := r.Config.Validate(); err != nil {
		return err
	}
	if r.objective, err = objective.New(r.Config.Objective); err != nil {
		return err
	}
	m := r.Cache.Manifest()
	if got, want := m.Checksum, r.Config.Cache.Checksum; got != want {
		return fmt.Errorf("cache %s has the checksum %s, the run was configured for %s", r.Cache.Dir(), got, want)
	}
	if m.Counts.Validation == 0 {
		return fmt.Errorf("the validation split of %s is empty: prepare a cache of more galaxies", r.Cache.Dir())
	}
	r.machine = machine(r.Config.Threads)
	r.devices, err = r.Config.Devices.Resolve(r.session())
	return err
}

// openFolder finds out whether the run's folder is there, and the run's.
func (r *run) openFolder() error {
	_, err := os.Stat(r.Dir)
	r.fresh = errors.Is(err, fs.ErrNotExist)
	if err != nil || !r.Resume {
		return CheckNew(r.Dir)
	}
	was, err := ReadConfig(r.Dir)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := refuseChanges(was, r.Config); err != nil {
		return Mistake{err}
	}
	r.Config.FilterKernels, r.Config.Machine = was.FilterKernels, was.Machine
	return r.lock()
}

// CheckNew says what keeps a new run from having the folder dir.
func CheckNew(dir string) error {
	if err := graph.CheckPath(dir); err != nil {
		return Mistake{fmt.Errorf("make run folder: %w", err)}
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		return Mistake{fmt.Errorf("run folder %s exists and is empty: name one inside it, such as %s", dir, filepath.Join(dir, "run"))}
	}
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return Mistake{fmt.Errorf("run folder %s: it is a file: name a folder that does not exist yet", dir)}
		}
		return Mistake{fmt.Errorf("run folder %s exists; go on with it by --resume, or name another", dir)}
	}
	if err := durable.Vacant(dir); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	return nil
}

// openCheckpoint finds the one to go on from, if there is one.
func (r *run) openCheckpoint() error {
	last, damaged, err := r.store.Latest()
	if damaged != nil {
		r.Notice(fmt.Sprintf("%v; going on from the checkpoint of step %d instead", damaged, last.State.Step))
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		return nil
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	}
	if err := sameRun(last, r.Config); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	r.last, r.state, r.saved = last, last.State, last.State.Step
	if damaged == nil { // what has been written after it, but not named
		if err := r.store.Rewind(last.State.Step); err != nil {
			return err
		}
	}
	if b := last.State.Best; b != nil {
		// A crash may have come between the checkpoint and its mark.
		return r.store.MarkBest(b.Step)
	}
	return nil
}

// build makes the trainer with the weights to begin with, and the loader.
func (r *run) build() (err error) {
	cfg := r.Config
	if r.trainer, err = graph.NewTrainer(r.trainerConfig(cfg)); err != nil {
		return err
	}
	switch {
	case !r.chief():
	case r.last != nil:
		err = r.trainer.Restore(r.last.Prefix())
	default:
		if err = r.trainer.Init(cfg.Seed); err == nil && cfg.InitFrom != "" {
			err = initFrom(r.trainer, cfg.InitFrom)
		}
	}
	if err != nil {
		return err
	}
	if err := r.trainer.Share(); err != nil {
		return err
	}
	if cfg.HoldOnDevice {
		if err := r.trainer.Hold(r.Cache.Images(r.examples())); err != nil {
			return err
		}
	}
	r.loader, err = data.NewLoader(r.Cache, data.LoaderConfig{
		Split: data.Train, Target: cfg.Objective.Target(), Batch: cfg.Batch, Seed: cfg.Seed, Position: r.state.Position, Held: cfg.HoldOnDevice,
		Part: r.Cluster.Index(), Parts: r.Cluster.Workers(),
	})
	return err
}

func (r *run) trainerConfig(cfg Config) graph.TrainerConfig {
	held := 0
	if cfg.HoldOnDevice {
		held = len(r.examples())
	}
	return graph.TrainerConfig{
		Model: cfg.Model, Augment: cfg.Augment, Loss: r.objective.Loss, Posterior: r.objective.Posterior,
		Optimizer: cfg.Optimizer, Average: cfg.EMA, Resize: len(cfg.Sizes) > 0, Batch: cfg.Batch,
		Devices: r.devices, Accumulate: cfg.Accumulate, Held: held, FilterKernels: cfg.FilterKernels, SkipNonFinite: cfg.OnNonFinite == SkipUpdate, Session: r.session(), Cluster: r.Cluster,
	}
}

// start opens what the run writes.
func (r *run) start() error {
	if r.chief() {
		if err := r.startFolder(); err != nil {
			return err
		}
	}
	if r.Started != nil {
		r.Started(r.state.Step)
	}
	return nil
}

func (r *run) startFolder() (err error) {
	if r.config, err = json.MarshalIndent(r.Config, "", "  "); err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if r.fresh {
		err := durable.Folder(r.Dir, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, configName), append(r.config, '\n'), 0o666)
		})
		if err != nil {
			return fmt.Errorf("make run folder: %w", err)
		}
		if err := r.lock(); err != nil {
			return err
		}
	}
	r.journals, err = openJournals(r.Dir, r.Config.LogEvery, r.state.Files, r.Notice)
	return err
}

// observers are all that are told of the run.
func (r *run) observers() []Observer {
	var all []Observer
	for _, j := range r.journals {
		all = append(all, j)
	}
	return append(all, r.Observers...)
}

// lock keeps a second process from writing the same run folder, until the
// process ends.
func (r *run) lock() (err error) {
	r.locked, err = durable.Lock(filepath.Join(r.Dir, configName), r.Notice)
	return err
}

// release gives the devices free.
func (r *run) release() error {
	err := r.finishSave()
	if r.feeder != nil {
		r.feeder.close()
	}
	if r.trainer != nil {
		err = errors.Join(err, r.trainer.Close())
	}
	r.feeder, r.trainer = nil, nil
	return err
}

func (r *run) close() error {
	errs := []error{r.release()}
	if r.loader != nil {
		r.loader.Close()
	}
	if r.locked != nil {
		errs = append(errs, r.locked.Close())
	}
	return errors.Join(append(errs, closeJournals(r.journals))...)
}

// loop is the training loop. What is due after a step is looked at before the
// next one, so that a run stopped in the middle of an evaluation makes it when
// it is resumed.
func (r *run) loop(ctx context.Context) error {
	total := r.Config.Schedule.Total
	r.savedAt = time.Now()
	r.feeder = newFeeder(r.loader, r.trainer)
	if r.Config.OnNonFinite == RollBack && r.state.Step == 0 {
		if err := r.save(); err != nil {
			return err
		}
	}
	work := ctx
	if r.Cluster != nil {
		work = context.WithoutCancel(ctx) // one worker stops where all do
	}
	for {
		if r.state.Evaluated < r.state.Step && due(r.state.Step, r.Config.EvalEvery, total) {
			err := r.evaluate(work, ctx)
			if errors.Is(err, graph.ErrWorkerLost) {
				return r.workerLost(err)
			}
			if errors.Is(err, metric.ErrNotFinite) {
				if err := r.rollBack(err); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return r.stopped(err)
			}
		}
		if due(r.state.Step, r.Config.CheckpointEvery, total) || r.checkpointTime() {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.state.Step >= total || r.early() {
			return errors.Join(r.save(), r.finishSave())
		}
		select {
		case err := <-r.saving:
			if r.saving = nil; err != nil {
				return err
			}
		default:
		}
		_ = r.beat(PhaseTrain)
		begin := time.Now()
		batch, err := r.feeder.next(work)
		if err != nil {
			return r.stopped(err)
		}
		result, stop, err := r.step(batch, ctx.Err() != nil)
		if errors.Is(err, graph.ErrWorkerLost) {
			return r.workerLost(err)
		}
		if err != nil {
			return err
		}
		result.Time, result.Times.Elapsed = time.Now(), time.Since(begin)
		if err := r.finite.check(result); err != nil {
			if err := r.rollBack(err); err != nil {
				return err
			}
		} else if err := r.told(result); err != nil {
			return err
		}
		if stop {
			return r.stopped(ErrStopped)
		}
	}
}

// early tells whether evaluations have not become better for long enough.
func (r *run) early() bool {
	return r.Config.Patience > 0 && r.state.SinceBest >= r.Config.Patience
}

// rate is the learning rate of the update after so many.
func (r *run) rate(step int64) float64 {
	return r.Config.Schedule.At(step) * cmp.Or(r.state.RateFactor, 1)
}

// checkpointTime tells whether it is time for a checkpoint of the last step.
func (r *run) checkpointTime() bool {
	every := r.Config.CheckpointSeconds
	return every > 0 && r.state.Step > 0 && time.Since(r.savedAt).Seconds() >= every
}

// workerLost saves what was done before a worker was lost, as a step in which one is has
// changed nothing, and says what to do about it.
func (r *run) workerLost(err error) error {
	saved := errors.Join(r.save(), r.finishSave())
	what := "to go on from the chief's last checkpoint"
	if r.chief() {
		switch last, _, err := r.store.Latest(); {
		case err == nil:
			what = fmt.Sprintf("to go on after step %d, which is saved", last.State.Step)
		case errors.Is(err, checkpoint.ErrNone):
			what = "to begin again: nothing was saved yet"
		}
	}
	return errors.Join(fmt.Errorf("%w; start all workers again with --resume %s", err, what), saved)
}

// due tells whether something that happens every so many steps, and after the
// last, happens after this one.
func due(step, every, total int64) bool {
	return step == total || every > 0 && step > 0 && step%every == 0
}

// step makes one update of the weights and of the run's state. stop asks the
// workers of a cluster to stop after it, and comes back when one of them has.
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
	if isFinite(out.Loss) { // else the step was skipped, or is the last
		r.state.LossSum += out.Loss
		r.state.LossSteps++
	}
	return StepResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total, Epoch: b.epoch, Loss: out.Loss, GradientNorm: out.GradientNorm, LossScale: out.LossScale, Skipped: out.Skipped,
		LearningRate: rate, Examples: r.Config.Batch, IDs: b.ids,
		Times: Times{DataWait: b.dataWait, CopyWait: b.copyWait, Compute: out.Compute, AllReduce: out.AllReduce, Update: out.Update},
	}, out.Stop, nil
}

// told tells the observers of a step.
func (r *run) told(result StepResult) error {
	for _, o := range r.observers() {
		if err := o.OnStep(result); err != nil {
			return err
		}
	}
	return nil
}

// rollBack goes back to a checkpoint because of numbers that are not finite, and on
// with the batches that come next, or returns why it does not. The workers of a
// cluster have all met the same numbers.
func (r *run) rollBack(why error) (err error) {
	if r.Config.OnNonFinite != RollBack || r.state.Rollbacks == maxRollbacks {
		if r.state.Rollbacks > 0 {
			why = fmt.Errorf("%w, after the run has gone back %d times", why, r.state.Rollbacks)
		}
		// The weights went wrong in an update before, and a checkpoint may hold them;
		// the best one was evaluated and does not.
		return fmt.Errorf("%w; begin a new run with a lower --lr, a --clip-norm or a longer --warmup: "+
			"its first weights can be this run's best ones by --init-from, if there has been an evaluation", why)
	}
	var to checkpoint.State
	if r.chief() {
		last, err := r.goodCheckpoint()
		if err == nil {
			err = r.store.Rewind(last.State.Step)
		}
		if err == nil {
			err = r.trainer.Restore(last.Prefix())
		}
		if err != nil {
			return fmt.Errorf("%w; going back: %w", why, err)
		}
		to = last.State
	}
	if r.Cluster != nil {
		all, err := gather(r.Cluster, to)
		if err != nil {
			return err
		}
		to = all[0]
	}
	if err := r.trainer.Share(); err != nil {
		return err
	}
	to.Position, to.Rollbacks, to.RolledBackTo = r.state.Position, r.state.Rollbacks+1, to.Step
	r.state, r.saved = to, -1
	r.Notice(fmt.Sprintf("%v; going back to step %d, and on with other galaxies (%d of at most %d times)", why, to.Step, to.Rollbacks, maxRollbacks))
	if !r.chief() {
		return nil
	}
	if err := closeJournals(r.journals); err != nil {
		return err
	}
	if r.journals, err = openJournals(r.Dir, r.Config.LogEvery, to.Files, r.Notice); err != nil {
		return err
	}
	return r.save()
}

// goodCheckpoint is the one to go back to: the last, or, where the run has gone back to
// that before, the best.
func (r *run) goodCheckpoint() (*checkpoint.Checkpoint, error) {
	if err := r.finishSave(); err != nil {
		return nil, err
	}
	last, _, err := r.store.Latest()
	if err != nil || r.state.Rollbacks == 0 || last.State.Step != r.state.RolledBackTo {
		return last, err
	}
	if best, err := r.store.Best(); !errors.Is(err, checkpoint.ErrNone) {
		return best, err
	}
	return last, nil
}

// evaluate scores the validation split and, when it is the best so far, keeps
// the checkpoint. The workers of a cluster all do it, rather than wait for one:
// the end of signals stops them in the same batch.
func (r *run) evaluate(ctx, signals context.Context) error {
	var predictor Predictor = r.trainer
	if r.Cluster != nil {
		predictor = lockstep{r.trainer, r.Cluster, func() bool { return signals.Err() != nil }}
	}
	scores, err := Evaluate(ctx, predictor, Evaluation{
		Cache: r.Cache, Split: data.Validation, Target: r.Config.Objective.Target(), Loss: r.objective,
		Progress: func(int, int) { _ = r.beat(PhaseEvaluate) },
	})
	if err != nil {
		return fmt.Errorf("after step %d (learning rate %.3g): %w", r.state.Step, r.rate(r.state.Step-1), err)
	}
	graph.TrimMemory()
	best := r.state.Best == nil || scores.RMSE < r.state.Best.RMSE
	result := EvaluationResult{
		Step: r.state.Step, Total: r.Config.Schedule.Total,
		Epoch:     int((r.state.Position - 1) / int64(r.loader.StepsPerEpoch())),
		TrainLoss: r.state.LossSum / float64(r.state.LossSteps), Scores: scores.Scores, Best: best, Time: time.Now(),
	}
	for _, o := range r.observers() {
		if err := o.OnEvaluation(result); err != nil {
			return err
		}
	}
	r.state.LossSum, r.state.LossSteps, r.state.Evaluated = 0, 0, r.state.Step
	r.saved = -1 // a checkpoint of this step made before lacks the evaluation
	if !best {
		if r.state.SinceBest++; r.Config.Plateau > 0 && r.state.SinceBest%r.Config.Plateau == 0 {
			r.state.RateFactor = cmp.Or(r.state.RateFactor, 1) * r.Config.PlateauFactor
		}
		return nil
	}
	r.state.SinceBest = 0
	r.state.Best = &checkpoint.Best{Step: r.state.Step, RMSE: scores.RMSE}
	return r.save()
}

// stopped turns err into ErrStopped, after saving what has been done, when it is
// that of a context that has ended, or another worker's.
func (r *run) stopped(err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrStopped) {
		return err
	}
	if r.state.Step == 0 {
		return fmt.Errorf("%w (before the first step: there was nothing to save)", ErrStopped)
	}
	if err := errors.Join(r.save(), r.finishSave()); err != nil {
		return err
	}
	if !r.chief() {
		return fmt.Errorf("%w (the chief saves what has been done)", ErrStopped)
	}
	return fmt.Errorf("%w (saved after step %d)", ErrStopped, r.state.Step)
}

// save makes a checkpoint of the updates made so far, if there is none yet. It is
// written while the steps go on: finishSave waits for it.
func (r *run) save() error {
	if r.saved == r.state.Step || !r.chief() || r.state.Step == 0 && r.Config.OnNonFinite != RollBack {
		return nil
	}
	_ = r.beat(PhaseSave)
	if err := r.finishSave(); err != nil {
		return err
	}
	state := r.state
	state.TensorFlow, state.Machine, state.Config, state.Files = graph.TensorFlowVersion(), r.machine, r.config, map[string]checkpoint.File{}
	for _, j := range r.journals {
		size, err := j.size()
		if err != nil {
			return err
		}
		state.Files[j.name()] = checkpoint.File{Size: size}
	}
	if err := r.trainer.Snapshot(); err != nil {
		return err
	}
	if r.Cluster.Late() { // the values may be those of a step that nobody knows of
		return nil
	}
	done := make(chan error, 1)
	r.saved, r.savedAt, r.saving = r.state.Step, time.Now(), done
	go func() {
		err := r.writeCheckpoint(state)
		graph.TrimMemory()
		done <- err
	}()
	return nil
}

func (r *run) writeCheckpoint(state checkpoint.State) error {
	for _, j := range r.journals {
		if err := j.sync(); err != nil {
			return err
		}
		var err error
		if state.Files[j.name()], err = checkpoint.FileAt(filepath.Join(r.Dir, j.name()), state.Files[j.name()].Size); err != nil {
			return err
		}
	}
	if err := r.store.Save(state, r.trainer.SaveSnapshot); err != nil {
		return err
	}
	if state.Best != nil && state.Best.Step == state.Step {
		if err := r.store.MarkBest(state.Step); err != nil {
			return err
		}
	}
	return r.store.Prune(r.Config.Keep)
}

// finishSave waits for the checkpoint that is being written, if there is one.
func (r *run) finishSave() (err error) {
	if r.saving != nil {
		err = <-r.saving
		r.saving = nil
	}
	return err
}

// initFrom reads a model's weights from a run folder's best checkpoint, or from
// a TensorFlow bundle by its prefix.
func initFrom(t *graph.Trainer, from string) error {
	restore := func() error { return t.RestoreModel(from) }
	if _, err := os.Stat(from + ".index"); err != nil {
		cfg, err := ReadConfig(from)
		if err != nil {
			return fmt.Errorf("take first weights: %w", err)
		}
		restore = func() error {
			return WithBest(from, cfg, func(best *checkpoint.Checkpoint) error { return t.RestoreModel(best.Prefix()) })
		}
	}
	if err := restore(); err != nil {
		return fmt.Errorf("take first weights from %s: %w", from, err)
	}
	return nil
}

// WithBest calls read with the checkpoint of the run in dir with the best
// evaluation, or the latest where none has been evaluated yet. cfg is the run's
// configuration; a checkpoint of another is an error.
//
// The run may be under way, and remove what it has replaced by a better one: where the
// checkpoint was gone before it was read, read is called again with the next. It should
// do no more than read, and its error wrap fs.ErrNotExist where a file was missing.
func WithBest(dir string, cfg Config, read func(*checkpoint.Checkpoint) error) error {
	store := checkpoint.Open(filepath.Join(dir, "checkpoints"))
	for {
		before := store.Pointers()
		best, err := bestOf(store, cfg)
		if err != nil {
			if isGone(err) && store.Pointers() != before {
				continue
			}
			return err
		}
		if err := read(best); err == nil || !isGone(err) || best.IsThere() {
			return err
		}
	}
}

// isGone tells whether a file was removed, here or by another machine of a network's disk.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE)
}

func bestOf(store *checkpoint.Store, cfg Config) (*checkpoint.Checkpoint, error) {
	best, err := store.Best()
	if errors.Is(err, checkpoint.ErrNone) {
		var damaged error
		if best, damaged, err = store.Latest(); damaged != nil {
			err = damaged // an older one is not what was asked for
		}
	}
	if err != nil {
		return nil, err
	}
	return best, sameRun(best, cfg)
}

// sameRun checks that a checkpoint was made under cfg: config.json is a file
// that people can edit.
func sameRun(c *checkpoint.Checkpoint, cfg Config) error {
	var was Config
	if err := json.Unmarshal(c.State.Config, &was); err != nil {
		return fmt.Errorf("checkpoint %s: configuration: %w", c.Dir, err)
	}
	if d := changes(was, cfg); len(d) > 0 {
		return fmt.Errorf("checkpoint %s was made under another configuration than the run's %s says now:\n  %s", c.Dir, configName, strings.Join(d, "\n  "))
	}
	return nil
}
