package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/train/checkpoint"
)

const checkpointsName = "checkpoints"

// saver owns what a run stores on the disk: the lock on the folder, the checkpoints and
// the files of its FileObservers. It decides whether a checkpoint is needed, and writes
// it while the steps continue. On workers other than the chief it saves nothing.
type saver struct {
	setup  *setup
	config json.RawMessage // setup.Config, as config.json has it
	store  *checkpoint.Store
	locked *os.File

	files []FileObserver // all files of the run
	open  []FileObserver // the open files

	saved   int64      // step of the newest checkpoint, -1 for none
	savedAt time.Time  // when that checkpoint was started; before the first, when the run was
	saving  chan error // receives the result of the checkpoint being written; nil if none is
}

func newSaver(p *setup, dir string) *saver {
	return &saver{setup: p, store: checkpoint.Open(dir), saved: -1, savedAt: time.Now()}
}

// lock keeps a second process from writing the same run folder, until close.
func (s *saver) lock() (err error) {
	s.locked, err = durable.Lock(filepath.Join(s.setup.Dir, configName), s.setup.Notice)
	return err
}

// latest returns the checkpoint to resume from, nil if there is none, and removes
// everything written after it.
func (s *saver) latest() (*checkpoint.Checkpoint, error) {
	last, damaged, err := s.store.Latest()
	if damaged != nil {
		s.setup.Notice(fmt.Sprintf("%v; going on from the checkpoint of step %d instead", damaged, last.State.Step))
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("resume: %w", err)
	}
	if err := sameRun(last, s.setup.Config); err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	if damaged == nil { // a later one was written, but LATEST does not name it
		if err := s.store.Rewind(last.State.Step); err != nil {
			return nil, err
		}
	}
	if b := last.State.Best; b != nil {
		// A crash may have prevented the mark after the checkpoint was written.
		if err := s.store.MarkBest(b.Step); err != nil {
			return nil, err
		}
	}
	s.saved = last.State.Step
	return last, nil
}

// rollback returns the checkpoint to roll back to from state: the latest or, if the
// run has rolled back to that one before, the best. It removes later checkpoints.
func (s *saver) rollback(state checkpoint.State) (*checkpoint.Checkpoint, error) {
	if err := s.finish(); err != nil {
		return nil, err
	}
	to, _, err := s.store.Latest()
	if err != nil {
		return nil, err
	}
	if state.Rollbacks > 0 && to.State.Step == state.RolledBackTo {
		if best, err := s.store.Best(); err == nil {
			to = best
		} else if !errors.Is(err, checkpoint.ErrNone) {
			return nil, err
		}
	}
	return to, s.store.Rewind(to.State.Step)
}

// due returns whether a checkpoint of state is due, by step or by time.
func (s *saver) due(state checkpoint.State) bool {
	cfg := s.setup.Config
	return due(state.Step, cfg.CheckpointEvery, cfg.Schedule.Total) ||
		cfg.CheckpointSeconds > 0 && state.Step > 0 && time.Since(s.savedAt).Seconds() >= cfg.CheckpointSeconds
}

// outdate makes the next save write a checkpoint even if its step already has one.
func (s *saver) outdate() { s.saved = -1 }

// needs returns whether save would write a checkpoint of state: there is none yet, and
// there is something to save.
func (s *saver) needs(state checkpoint.State) bool {
	return s.setup.chief() && s.saved != state.Step && (state.Step > 0 || s.setup.Config.OnNonFinite == RollBack)
}

// save makes a checkpoint of state and the trainer's variables, if one is needed. It
// copies the variables before it returns, and writes them while the steps continue:
// finish waits for the write.
func (s *saver) save(state checkpoint.State, t *graph.Trainer) error {
	if !s.needs(state) {
		return nil
	}
	if err := s.finish(); err != nil {
		return err
	}
	state.TensorFlow, state.Machine, state.Config = session.TensorFlowVersion(), s.setup.machine, s.config
	// A file whose observer this run lacks keeps its record, in case a later
	// resume has the observer again.
	if state.Files = maps.Clone(state.Files); state.Files == nil {
		state.Files = map[string]checkpoint.File{}
	}
	for _, f := range s.open {
		size, err := f.Size()
		if err != nil {
			return err
		}
		state.Files[f.FileName()] = checkpoint.File{Size: size}
	}
	if err := t.Snapshot(); err != nil {
		return err
	}
	if s.setup.Cluster.Late() { // the variables may be those of a step that no metrics file records
		return nil
	}
	done := make(chan error, 1)
	s.saved, s.savedAt, s.saving = state.Step, time.Now(), done
	go func() {
		err := s.write(state, t)
		session.TrimMemory()
		done <- err
	}()
	return nil
}

// write writes a checkpoint, after syncing the files whose size it records.
func (s *saver) write(state checkpoint.State, t *graph.Trainer) error {
	for _, f := range s.open {
		if err := f.Sync(); err != nil {
			return err
		}
		name := f.FileName()
		var err error
		if state.Files[name], err = checkpoint.FileAt(filepath.Join(s.setup.Dir, name), state.Files[name].Size); err != nil {
			return err
		}
	}
	if err := s.store.Save(state, t.SaveSnapshot); err != nil {
		return err
	}
	if state.Best != nil && state.Best.Step == state.Step {
		if err := s.store.MarkBest(state.Step); err != nil {
			return err
		}
	}
	return s.store.Prune(s.setup.Config.Keep)
}

// finish waits for the checkpoint that is being written, if there is one.
func (s *saver) finish() (err error) {
	if s.saving != nil {
		err = <-s.saving
		s.saving = nil
	}
	return err
}

// poll is finish without waiting: it returns whether a checkpoint is still being written,
// and the error of a finished one.
func (s *saver) poll() (writing bool, err error) {
	select {
	case err = <-s.saving:
		s.saving = nil
	default:
	}
	return s.saving != nil, err
}

// openFiles opens the files of the observers at the sizes recorded in a checkpoint; nil
// starts them empty. A missing file is started again. Notice is called with the names of
// missing and of changed files.
func (s *saver) openFiles(recorded map[string]checkpoint.File) (err error) {
	if err := s.closeFiles(); err != nil {
		return err
	}
	for _, f := range s.files {
		path := filepath.Join(s.setup.Dir, f.FileName())
		was, known := recorded[f.FileName()]
		if known {
			switch is, err := checkpoint.FileAt(path, was.Size); {
			case errors.Is(err, fs.ErrNotExist):
				s.setup.Notice(path + " is gone: it is begun anew, without the lines of the steps before")
				was.Size = 0
			case err == nil && is != was:
				s.setup.Notice(path + " was changed, or is damaged, before the step that the run goes on from: its lines are not those that the run has written")
			}
		}
		err := f.Open(path, was.Size)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w; make the run folder writable, or resume a copy of it", err)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("open a file of the run: %w", err), s.closeFiles())
		}
		s.open = append(s.open, f)
	}
	return durable.Sync(s.setup.Dir) // the folder holds their names
}

func (s *saver) closeFiles() error {
	var errs []error
	for _, f := range s.open {
		errs = append(errs, f.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}

// close closes the files and gives up the lock. Call finish first.
func (s *saver) close() error {
	err := s.closeFiles()
	if s.locked != nil {
		err = errors.Join(err, s.locked.Close())
	}
	return err
}
