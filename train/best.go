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

// WithBest calls read with the checkpoint of the best evaluation of the run in
// dir, or the latest checkpoint if none has been evaluated. cfg is the run's
// configuration; a checkpoint with another configuration is an error.
//
// The run may be training and may replace its best checkpoint: if a checkpoint is
// removed before it was read, read is called again with the next one. So read should
// have no other effects, and its error must wrap fs.ErrNotExist if a file is missing.
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

// isGone reports whether a file was removed, by this machine or, on a network file system,
// by another.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE)
}

func bestOf(store *checkpoint.Store, cfg Config) (*checkpoint.Checkpoint, error) {
	best, err := store.Best()
	if errors.Is(err, checkpoint.ErrNone) {
		var damaged error
		if best, damaged, err = store.Latest(); damaged != nil {
			err = damaged // do not fall back to an older one
		}
	}
	if err != nil {
		return nil, err
	}
	return best, sameRun(best, cfg)
}

// sameRun checks that a checkpoint was made under cfg: people can edit
// config.json.
func sameRun(c *checkpoint.Checkpoint, cfg Config) error {
	var was Config
	if err := json.Unmarshal(c.State.Config, &was); err != nil {
		return fmt.Errorf("checkpoint %s: configuration: %w", c.Dir, err)
	}
	if d := Changes(was, cfg); len(d) > 0 {
		return fmt.Errorf("checkpoint %s was made under another configuration than the run's %s says now:\n  %s", c.Dir, configName, list(d, "the checkpoint", false).Error()) // named as in config.json: no flag was given
	}
	return nil
}
