// Package checkpoint keeps the checkpoints of one run: atomic folders, complete or absent.
//
// A Store is the folder RUN/checkpoints and holds
//
//	step-00000120/variables.index                the bundle's table
//	step-00000120/variables.data-00000-of-00001  the values
//	step-00000120/state.json                     State
//	LATEST, BEST                                 the name of a folder, one line
//
// Save writes a folder with package durable, and only then moves LATEST. So LATEST always
// names a complete checkpoint, whenever a crash comes. The variables are a TensorFlow
// bundle, readable with tf.train.load_checkpoint("RUN/checkpoints/step-…/variables").
// docs/checkpoint-format.md describes the files.
package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"galaxy/internal/durable"
)

// Format is the version of the layout this package writes and reads.
const Format = 3

// The pointers of a Store.
const (
	latestName = "LATEST"
	bestName   = "BEST"
	stateName  = "state.json"
	prefixName = "variables"
	tempPrefix = "." // of files that package durable leaves after a crash
)

// ErrNone is returned if a store has no checkpoint of the requested kind.
var ErrNone = errors.New("no checkpoint")

// State holds what a run needs in addition to the variables in order to resume.
type State struct {
	Format int `json:"format"`
	// Step is the number of steps run, including those whose update was skipped.
	Step int64 `json:"step"`
	// Position is the number of batches read from the loader since the start of
	// the run.
	Position int64 `json:"position"`
	// BestEvaluation is the best evaluation so far, nil before the first.
	Best *BestEvaluation `json:"best,omitempty"`
	// SinceBest is the number of evaluations since Best.
	SinceBest int64 `json:"since_best,omitempty"`
	// Rollbacks is how often the run has rolled back to a checkpoint, and RolledBackTo
	// the step of the checkpoint it last rolled back to.
	Rollbacks    int64 `json:"rollbacks,omitempty"`
	RolledBackTo int64 `json:"rolled_back_to,omitempty"`
	// RateFactor is the factor on the learning rate set by plateaus so far; 0 means 1.
	RateFactor float64 `json:"rate_factor,omitempty"`
	// Evaluated is the step of the last evaluation.
	Evaluated int64 `json:"evaluated"`
	// LossSum and LossSteps are the sum of the training loss since the last evaluation
	// and its number of steps; the next evaluation reports their mean.
	LossSum   float64 `json:"loss_sum"`
	LossSteps int64   `json:"loss_steps"`
	// Files maps the run's append-only files, relative to the run folder, to their
	// size and checksum at this step. Later bytes were written by steps after the
	// checkpoint.
	Files map[string]File `json:"files"`
	// TensorFlow is the version of the library that wrote the variables.
	TensorFlow string `json:"tensorflow"`
	// Machine describes what the step was computed on, as in the run's configuration; "" if
	// the version of galaxy that wrote it did not record it.
	Machine string `json:"machine,omitempty"`
	// Config is the run's configuration, as in its config.json.
	Config json.RawMessage `json:"config"`
	// Checksums maps each file of the folder except this one to its XXH3, 16
	// hexadecimal digits.
	Checksums map[string]string `json:"checksums"`
	// Checksum is the XXH3 of state.json itself, with noChecksum in this field.
	Checksum string `json:"checksum"`
}

// noChecksum replaces Checksum in the bytes of which Checksum is computed.
const noChecksum = "0000000000000000"

// File describes the start of a file: a size in bytes and the XXH3 of these bytes, 16
// hexadecimal digits.
type File struct {
	Size     int64  `json:"size"`
	Checksum string `json:"checksum"`
}

// FileAt reads the first size bytes of the file at path. A shorter file is an error.
func FileAt(path string, size int64) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := xxh3.New()
	if n, err := io.CopyN(h, f, size); err != nil {
		return File{}, fmt.Errorf("read %s: %w after %d bytes of %d", path, err, n, size)
	}
	return File{size, digits(h.Sum64())}, nil
}

// BestEvaluation describes an evaluation: the step after which it ran and its validation RMSE or, of a run
// without labels, its validation loss.
type BestEvaluation struct {
	Step int64   `json:"step"`
	RMSE float64 `json:"rmse,omitzero"`
	Loss float64 `json:"loss,omitzero"`
}

// Checkpoint is a checkpoint that was read and checked.
type Checkpoint struct {
	Dir   string
	State State
}

// Prefix returns the common prefix of the bundle's files, as TensorFlow's RestoreV2 expects it.
func (c *Checkpoint) Prefix() string { return filepath.Join(c.Dir, prefixName) }

// Store is a folder of checkpoints. Its methods must not be called
// concurrently, nor by two processes.
type Store struct{ dir string }

// Open returns the store in dir, which need not exist yet.
func Open(dir string) *Store { return &Store{dir} }

func stepDir(step int64) string { return fmt.Sprintf("step-%08d", step) }

// Save adds a checkpoint of state and makes it the latest. It fills in state's Format and
// Checksums. write writes the bundle's files under the given prefix. If a checkpoint of
// the same step exists, Save replaces only its state, because a run has only one set of
// weights at a step.
func (s *Store) Save(state State, write func(prefix string) error) error {
	name := stepDir(state.Step)
	if err := s.save(name, state, write); err != nil {
		return fmt.Errorf("save checkpoint %s: %w", filepath.Join(s.dir, name), err)
	}
	return s.point(latestName, name)
}

func (s *Store) save(name string, state State, write func(prefix string) error) error {
	final := filepath.Join(s.dir, name)
	state.Format = Format
	switch there, err := read(final); {
	case err == nil:
		state.Checksums = there.State.Checksums
		return writeState(final, state)
	case durable.Unread(err):
		return err
	}
	// The existing checkpoint is damaged, and no run may resume from it.
	if err := durable.Remove(final); err != nil {
		return err
	}
	return durable.Folder(final, func(dir string) error {
		if err := write(filepath.Join(dir, prefixName)); err != nil {
			return err
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		state.Checksums = map[string]string{}
		for _, e := range entries {
			if state.Checksums[e.Name()], err = checksum(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		return writeState(dir, state)
	})
}

// MarkBest makes the checkpoint of a step, which must exist, the best.
func (s *Store) MarkBest(step int64) error { return s.point(bestName, stepDir(step)) }

// point moves a pointer, unless it has that value already: the file's time shows when
// the checkpoint changed.
func (s *Store) point(pointer, name string) error {
	if was, err := s.pointer(pointer); err == nil && was == name {
		return nil
	}
	if err := durable.WriteFile(filepath.Join(s.dir, pointer), []byte(name+"\n")); err != nil {
		return fmt.Errorf("make %s the checkpoint of %s: %w", name, pointer, err)
	}
	return nil
}

// Prune removes all checkpoints except LATEST, BEST and the keep newest others. It also
// removes what crashes left.
func (s *Store) Prune(keep int) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("prune checkpoints: %w", err)
	}
	latest, err1 := s.pointer(latestName)
	best, err2 := s.pointer(bestName)
	for _, err := range []error{err1, err2} {
		if err != nil && !errors.Is(err, ErrNone) {
			return fmt.Errorf("prune checkpoints: %w", err)
		}
	}
	slices.Reverse(entries) // newest first: the names have a fixed width
	for _, e := range entries {
		name := e.Name()
		old := strings.HasPrefix(name, "step-") && name != latest && name != best
		if old && keep > 0 {
			keep--
			continue
		}
		if old || strings.HasPrefix(name, tempPrefix) {
			if err := durable.Remove(filepath.Join(s.dir, name)); err != nil {
				return fmt.Errorf("prune checkpoints: %w", err)
			}
		}
	}
	return nil
}

// Rewind makes the checkpoint of a step, which must exist, the latest, and removes the
// checkpoints of later steps: a run that resumes from it may reach those steps with other
// weights.
func (s *Store) Rewind(step int64) error {
	name := stepDir(step)
	if err := s.point(latestName, name); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "step-") && e.Name() > name {
			err = errors.Join(err, durable.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("roll back to checkpoint %s: %w", name, err)
	}
	return nil
}

// Latest returns the newest checkpoint, or ErrNone. If the newest is damaged, Latest
// returns the newest intact one, and damaged describes the damage. If there is no intact
// one, that damage is err. If the machine failed to read a checkpoint, which may be
// intact, that is err too. If LATEST is missing, as after a crash in the first save, Latest
// returns the newest intact one.
func (s *Store) Latest() (c *Checkpoint, damaged, err error) {
	c, err = s.named(latestName)
	if err == nil || durable.Unread(err) {
		return c, nil, err
	}
	entries, err2 := os.ReadDir(s.dir)
	if errors.Is(err2, fs.ErrNotExist) {
		return nil, nil, err
	}
	if err2 != nil {
		return nil, nil, errors.Join(err, err2)
	}
	slices.Reverse(entries)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "step-") {
			continue
		}
		other, err2 := read(filepath.Join(s.dir, e.Name()))
		if durable.Unread(err2) {
			return nil, nil, err2
		}
		if err2 == nil {
			if errors.Is(err, ErrNone) {
				err = nil
			}
			return other, err, nil
		}
	}
	return nil, nil, err
}

// Pointers returns the values of LATEST and BEST. A checkpoint is removed only after they
// have moved away from it, so while they stay the same, their checkpoints exist.
func (s *Store) Pointers() string {
	latest, _ := s.pointer(latestName) // "" for none, or a damaged one
	best, _ := s.pointer(bestName)
	return latest + " " + best
}

// IsThere reports whether c is still in its folder: it may have been removed, or replaced by
// another checkpoint of the same step.
func (c *Checkpoint) IsThere() bool {
	state, err := readState(c.Dir)
	return err == nil && maps.Equal(state.Checksums, c.State.Checksums)
}

// LatestState returns the state of the checkpoint that LATEST names, or ErrNone. It is for whoever watches a run: it does
// not check for damage, for which all weights would have to be read.
func (s *Store) LatestState() (State, error) {
	name, err := s.pointer(latestName)
	if err != nil {
		return State{}, err
	}
	return readState(filepath.Join(s.dir, name))
}

// readState reads the state of a checkpoint without any check.
func readState(dir string) (state State, err error) {
	raw, err := durable.ReadFile(filepath.Join(dir, stateName), durable.MaxText)
	if err == nil {
		err = json.Unmarshal(raw, &state)
	}
	return state, err
}

// Best returns the checkpoint with the best evaluation, or ErrNone. The newest checkpoint
// records which one it is, if it is intact: a run that goes on may replace BEST between
// the reading of LATEST and of BEST.
func (s *Store) Best() (*Checkpoint, error) {
	last, damaged, err := s.Latest()
	if err != nil || damaged != nil || last.State.Best == nil {
		return s.named(bestName)
	}
	if last.State.Best.Step == last.State.Step {
		return last, nil
	}
	best, err := read(filepath.Join(s.dir, stepDir(last.State.Best.Step)))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; if it was removed, put it back, or resume the run, whose next best replaces it", err)
		}
		return nil, fmt.Errorf("read the best checkpoint: %w", err)
	}
	return best, nil
}

func (s *Store) named(pointer string) (*Checkpoint, error) {
	name, err := s.pointer(pointer)
	if err != nil {
		return nil, err
	}
	c, err := read(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint that %s names: %w", filepath.Join(s.dir, pointer), err)
	}
	return c, nil
}

func (s *Store) pointer(pointer string) (string, error) {
	path := filepath.Join(s.dir, pointer)
	raw, err := durable.ReadFile(path, durable.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s is missing", ErrNone, path)
	}
	if err != nil {
		return "", fmt.Errorf("read checkpoint name: %w", err)
	}
	name := strings.TrimSpace(string(raw))
	if digits, ok := strings.CutPrefix(name, "step-"); !ok || strings.Trim(digits, "0123456789") != "" || digits == "" {
		return "", fmt.Errorf("read checkpoint name: %s holds %.40q: expected step-NNNNNNNN", path, name)
	}
	return name, nil
}

// read reads a checkpoint and checks that its files are as they were written.
func read(dir string) (*Checkpoint, error) {
	path := filepath.Join(dir, stateName)
	raw, err := durable.ReadFile(path, durable.MaxText)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Dir: dir}
	if err := json.Unmarshal(raw, &c.State); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.State.Format != Format {
		return nil, fmt.Errorf("%s: format %d: expected %d, as this version of galaxy writes it", path, c.State.Format, Format)
	}
	if len(c.State.Checksums) == 0 || len(c.State.Checksum) != len(noChecksum) {
		return nil, fmt.Errorf("%s: no checksums: the file was not written by galaxy, or is damaged", path)
	}
	without := bytes.Replace(raw, []byte(c.State.Checksum), []byte(noChecksum), 1)
	if got := sum(without); got != c.State.Checksum {
		return nil, fmt.Errorf("%s is damaged: its checksum is %s, and it records %s", path, got, c.State.Checksum)
	}
	if c.State.Step < 0 || c.State.Position < 0 {
		return nil, fmt.Errorf("%s: step %d and position %d: expected 0 or more", path, c.State.Step, c.State.Position)
	}
	for name, was := range c.State.Files {
		if name != filepath.Base(name) || was.Size < 0 {
			return nil, fmt.Errorf("%s: %d bytes of %q: expected a file of the run's folder", path, was.Size, name)
		}
	}
	for name, want := range c.State.Checksums {
		if name != filepath.Base(name) {
			return nil, fmt.Errorf("%s: checksum of %q: expected a file of the same folder", path, name)
		}
		file := filepath.Join(dir, name)
		got, err := checksum(file)
		if err != nil {
			return nil, err
		}
		if got != want {
			return nil, fmt.Errorf("%s is damaged: its checksum is %s, %s records %s", file, got, stateName, want)
		}
	}
	return c, nil
}

func checksum(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	f, err := FileAt(path, info.Size())
	return f.Checksum, err
}

func sum(b []byte) string { return digits(xxh3.Hash(b)) }

func digits(sum uint64) string { return fmt.Sprintf("%016x", sum) }

func writeState(dir string, state State) error {
	state.Checksum = noChecksum
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	state.Checksum = sum(raw)
	if raw, err = json.MarshalIndent(state, "", "  "); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, stateName), append(raw, '\n'))
}
