package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"galaxy/train/checkpoint"
)

// WithBest calls read with the checkpoint of the run in dir with the best
// evaluation, or the latest where none has been evaluated yet. cfg is the run's
// configuration; a checkpoint of another is an error.
//
// The run may be under way, and remove what it has replaced by a better one: where the
// checkpoint was gone before it was read, read is called again with the next. It should
// do no more than read, and its error wrap fs.ErrNotExist where a file was missing.
func WithBest(dir string, cfg Config, read func(*checkpoint.Checkpoint) error) error {
	store := checkpoint.Open(filepath.Join(dir, checkpointsName))
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
	if d := Changes(was, cfg); len(d) > 0 {
		return fmt.Errorf("checkpoint %s was made under another configuration than the run's %s says now:\n  %s", c.Dir, configName, list(d, "the checkpoint", false).Error()) // as config.json names them: no flag was given
	}
	return nil
}
