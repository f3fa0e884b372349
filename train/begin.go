package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/train/checkpoint"
)

// begin finds where the run starts, at a checkpoint or at step 0, and builds and opens
// everything the run needs. It writes to the run folder last, after all checks have
// passed.
func (r *run) begin() (err error) {
	fresh := false                  // the run folder is still to be made
	var last *checkpoint.Checkpoint // to resume from, or nil
	if r.chief() {
		if fresh, err = r.openFolder(); err != nil {
			return err
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	if err := r.resolve(); err != nil {
		return err
	}
	if r.notify.observers, r.saver.files, err = r.observers(); err != nil {
		return err
	}
	if r.chief() {
		if last, err = r.openCheckpoint(); err != nil {
			return err
		}
		if err := r.chooseMachine(fresh, last); err != nil {
			return err
		}
	}
	if err := r.checkSameConfig(); err != nil {
		return err
	}
	if err := r.build(last); err != nil {
		return err
	}
	if r.chief() {
		if err := r.writeFolder(fresh); err != nil {
			return err
		}
	}
	if r.Started != nil {
		r.Started(r.state.Step)
	}
	return nil
}

// openFolder returns whether the run folder must still be created. For a run to
// resume, it locks the folder and compares the run's configuration with the given one.
func (r *run) openFolder() (fresh bool, err error) {
	_, err = os.Stat(r.Dir)
	fresh = errors.Is(err, fs.ErrNotExist)
	if err != nil || !r.Resume {
		return fresh, CheckNew(r.Dir)
	}
	was, err := ReadConfig(r.Dir)
	if err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	if err := refuseChanges(was, r.Config); err != nil {
		return false, usage.Error{Err: err}
	}
	r.Config.FilterAlgorithms, r.Config.Machine = was.FilterAlgorithms, was.Machine
	return false, r.saver.lock()
}

// CheckNew returns an error if dir cannot be the folder of a new run.
func CheckNew(dir string) error {
	if err := session.CheckPath(dir); err != nil {
		return usage.Error{Err: fmt.Errorf("make run folder: %w", err)}
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		return usage.Error{Err: fmt.Errorf("run folder %s exists and is empty: name one inside it, such as %s", dir, filepath.Join(dir, "run"))}
	}
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return usage.Error{Err: fmt.Errorf("run folder %s: it is a file: name a folder that does not exist yet", dir)}
		}
		return usage.Error{Err: usage.Errorf("run folder %s exists; go on with it by {resume}, or name another", dir)}
	}
	if err := durable.Vacant(dir); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	return nil
}

// openCheckpoint returns the checkpoint to resume from, nil if there is none, and loads
// the run's state from it.
func (r *run) openCheckpoint() (*checkpoint.Checkpoint, error) {
	last, err := r.saver.latest()
	if last == nil || err != nil {
		return nil, err
	}
	r.state = last.State
	return last, nil
}

// chooseMachine reports which guarantees a resumed run loses on another machine, and
// chooses how gradients of kernels are computed here.
func (r *run) chooseMachine(fresh bool, last *checkpoint.Checkpoint) error {
	if fresh {
		r.Config.Machine = r.machine
	}
	r.noticeMachine(last)
	// Runs in float32 from before there was a choice keep TensorFlow's op.
	if fresh || r.Config.Model.Precision != network.Float32 || len(r.Config.FilterAlgorithms) > 0 {
		return r.chooseFilterAlgorithms()
	}
	return nil
}

// build creates the loader, and the trainer with its initial weights: those of last,
// if it is not nil.
func (r *run) build(last *checkpoint.Checkpoint) (err error) {
	cfg := r.Config
	r.trainer, err = r.newTrainer(cfg.Batch, func(t *graph.Trainer) error {
		if last != nil {
			return t.Restore(last.Prefix())
		}
		if err := t.Init(cfg.Seed); err != nil || cfg.InitFrom == "" {
			return err
		}
		return r.loadInitial(t)
	})
	if err != nil {
		return err
	}
	r.loader, err = data.NewLoader(r.Cache, data.LoaderConfig{
		Split: data.Train, Target: cfg.Target(), Batch: cfg.Batch, Seed: cfg.Seed, Position: r.state.Position, Held: cfg.holds(),
		Part: r.Cluster.Index(), Parts: r.Cluster.Workers(),
	})
	return err
}

// writeFolder creates and locks the folder of a new run, opens the files
// written during the run, and records the start.
func (r *run) writeFolder(fresh bool) error {
	config, err := json.MarshalIndent(r.Config, "", "  ")
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if fresh {
		err := durable.Folder(r.Dir, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, configName), append(config, '\n'), 0o666)
		})
		if err != nil {
			return fmt.Errorf("make run folder: %w", err)
		}
		if err := r.saver.lock(); err != nil {
			return err
		}
	}
	r.saver.config = config
	if err := r.saver.openFiles(r.state.Files); err != nil {
		return err
	}
	return r.recordStart()
}
