package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

// ErrStopped is returned by a run whose context ended. It has saved a
// checkpoint of its last step, and Run with Resume continues from there.
var ErrStopped = errors.New("stopped before the last step")

// Options are what Run needs in addition to the Config.
type Options struct {
	Dir    string
	Config Config
	// Cache is the open cache that Config.Cache names.
	Cache *data.Cache
	// Cluster, if set, connects other processes that call Run with the same
	// Config at the same time. Only the chief uses Dir: it reads and writes the
	// run.
	Cluster *session.Cluster
	// GPUMemory sets how much of each GPU's memory the run may use.
	GPUMemory session.GPUMemory
	// Version is the program's version. All workers must have the same.
	Version string
	// Command has the words of the command line, for the run's history; nil is none.
	Command []string
	// Resume continues from the last checkpoint in Dir, or starts a new run if
	// there is none. Without it Dir must not exist.
	Resume bool
	// Heartbeat is the file to write heartbeats to; "" is none. Each run needs
	// its own.
	Heartbeat string
	// Observers are notified of every step and evaluation, after the run's own
	// metrics files. An observer that writes a file is a FileObserver.
	Observers []Observer
	// Started, if set, is called before the first step with the number of steps
	// of the checkpoint that the run resumes from; 0 for a new run.
	Started func(step int64)
	// Notice, if set, is called with messages for the user.
	Notice func(text string)
}

// Summary is the outcome of a run.
type Summary struct {
	Step int64                      `json:"step"`
	Best *checkpoint.BestEvaluation `json:"best"`
	// Early is true if Config.Patience has ended the run.
	Early bool `json:"stopped_early,omitempty"`
}

// setup holds a run's options and the devices, machine and objective found for them.
// Run, LargestBatch and FitBudget all start with one.
type setup struct {
	Options
	objective *objective.Objective // nil in a run without labels
	devices   []string             // one replica each
	machine   string               // as Config.Machine
}

// check returns an error if the configuration cannot be trained on the cache.
func (p *setup) check() error {
	if err := p.Config.Validate(); err != nil {
		return err
	}
	m := p.Cache.Manifest()
	if got, want := m.Checksum, p.Config.Cache.Checksum; got != want {
		return fmt.Errorf("cache %s has the checksum %s, the run was configured for %s", p.Cache.Dir(), got, want)
	}
	if m.Counts.Validation == 0 || p.Config.Pretrain.IsSet() && m.Counts.Validation < 2 {
		return fmt.Errorf("the validation split of %s is empty, or a single galaxy: prepare a cache of more galaxies", p.Cache.Dir())
	}
	return nil
}

// resolve finds the objective and the devices that the configuration names.
func (p *setup) resolve() (err error) {
	if !p.Config.Pretrain.IsSet() {
		if p.objective, err = objective.New(p.Config.Objective, p.Config.Schema()); err != nil {
			return err
		}
	}
	p.machine = machine(p.Config.Threads)
	p.devices, err = p.Config.Devices.Resolve(p.session())
	return err
}

// session returns the session configuration for the run's graph.
func (p *setup) session() session.Config {
	return session.Config{Threads: p.Config.Threads, GPUMemory: p.GPUMemory, XLA: p.Config.XLA}
}

// chief returns whether this process reads and writes the run folder.
func (p *setup) chief() bool { return p.Cluster.Index() == 0 }

// examples returns the examples of the train split.
func (p *setup) examples() []int { return p.Cache.Labelled(data.Train, p.Config.Target()) }

// trainerConfig returns the training graph's configuration for a batch size.
func (p *setup) trainerConfig(batch int) graph.TrainerConfig {
	cfg, held := p.Config, 0
	if cfg.holds() {
		held = len(p.examples())
	}
	c := graph.TrainerConfig{
		Model: cfg.Model, Freeze: cfg.Freeze, Augment: cfg.Augment, Pairs: cfg.Pretrain.IsSet(),
		Optimizer: cfg.Optimizer, Average: cfg.EMA, Resize: len(cfg.Sizes) > 0, Batch: batch,
		Devices: p.devices, Accumulate: cfg.Accumulate, Held: held, HoldFeatures: cfg.HoldFeatures, FilterAlgorithms: cfg.FilterAlgorithms,
		SkipNonFinite: cfg.OnNonFinite == SkipUpdate, Session: p.session(), Cluster: p.Cluster,
	}
	if c.Pairs {
		c.Loss = cfg.Pretrain.Graph
	} else {
		c.Loss, c.Posterior = p.objective.Loss, p.objective.Posterior
	}
	return c
}

// newTrainer builds the training graph for a batch size. load sets the chief's
// weights; the other workers get a copy.
func (p *setup) newTrainer(batch int, load func(*graph.Trainer) error) (_ *graph.Trainer, err error) {
	t, err := graph.NewTrainer(p.trainerConfig(batch))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if p.chief() {
		if err := load(t); err != nil {
			return nil, err
		}
	}
	if err := t.Broadcast(); err != nil {
		return nil, err
	}
	if p.Config.holds() {
		if err := t.Hold(p.Cache.Images(p.examples())); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// run is a training run in progress. Each duty has one owner: begin.go reads and
// builds what the run needs, loop.go trains, saver keeps the checkpoints, notifier
// informs observers.
type run struct {
	*setup
	trainer *graph.Trainer
	loader  *data.Loader
	feeder  *feeder
	state   checkpoint.State // after the last step
	finite  finite
	saver   *saver
	notify  *notifier
}

// Run trains until Config.Schedule.Total steps are done and leaves the last and
// the best checkpoint in the run folder. It writes nothing before all checks
// have passed.
func Run(ctx context.Context, o Options) (Summary, error) { return newRun(o).run(ctx) }

func newRun(o Options) *run {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	p := &setup{Options: o}
	return &run{
		setup: p, finite: finite{notice: o.Notice}, notify: &notifier{heartbeat: o.Heartbeat},
		saver: newSaver(p, filepath.Join(o.Dir, checkpointsName)),
	}
}

func (r *run) run(ctx context.Context) (_ Summary, err error) {
	defer func() {
		err = errors.Join(err, r.close())
		_ = r.beat(PhaseEnd)
	}()
	if err := r.beat(PhaseStart); err != nil {
		return Summary{}, usage.Error{Err: err}
	}
	if err := r.begin(); err != nil {
		return Summary{}, r.explainMemory(ctx, err, r.release)
	}
	err = r.explainMemory(ctx, r.loop(ctx), r.release)
	if err == nil || errors.Is(err, ErrStopped) {
		err = errors.Join(err, barrier(r.Cluster))
	}
	return Summary{Step: r.state.Step, Best: r.state.Best, Early: r.state.Step < r.Config.Schedule.Total && r.early()}, err
}

// beat writes the heartbeat. Only the first one has to succeed.
func (r *run) beat(phase string) error {
	return r.notify.beat(phase, r.state.Step, r.Config.Schedule.Total)
}

// release frees the devices.
func (r *run) release() error {
	err := r.saver.finish()
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
	err := r.release()
	if r.loader != nil {
		r.loader.Close()
	}
	return errors.Join(err, r.saver.close())
}
