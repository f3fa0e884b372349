// Package checkpoint keeps the checkpoints of one run: folders that are there
// whole or not at all.
//
// A Store lives in RUN/checkpoints and holds
//
//	step-00000120/variables.index                the bundle's table
//	step-00000120/variables.data-00000-of-00001  the values
//	step-00000120/state.json                     State
//	LATEST, BEST                                 the name of a folder, one line
//
// Save writes a folder by package durable, which is there whole or not at all,
// and only then moves LATEST; a crash at any point leaves LATEST naming a whole
// checkpoint. The variables are a TensorFlow bundle, readable
// with tf.train.load_checkpoint("RUN/checkpoints/step-…/variables").
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
	tempPrefix = "." // of what package durable leaves behind in a crash
)

// ErrNone is returned when a store has no checkpoint of the kind asked for.
var ErrNone = errors.New("no checkpoint")

// State is what a run needs beside the variables in order to go on.
type State struct {
	Format int `json:"format"`
	// Step is the number of updates made.
	Step int64 `json:"step"`
	// Position is the number of batches taken from the loader since the
	// beginning of the run.
	Position int64 `json:"position"`
	// Best is the best evaluation so far, nil before the first.
	Best *Best `json:"best,omitempty"`
	// SinceBest is the number of evaluations after it.
	SinceBest int64 `json:"since_best,omitempty"`
	// Rollbacks is how often the run has gone back to a checkpoint, and RolledBackTo
	// the step of that, the last time.
	Rollbacks    int64 `json:"rollbacks,omitempty"`
	RolledBackTo int64 `json:"rolled_back_to,omitempty"`
	// RateFactor is what plateaus have made of the learning rate so far; 0 is 1.
	RateFactor float64 `json:"rate_factor,omitempty"`
	// Evaluated is the step after which the last evaluation was made.
	Evaluated int64 `json:"evaluated"`
	// LossSum and LossSteps are the training loss gathered since the last
	// evaluation, whose line reports their mean.
	LossSum   float64 `json:"loss_sum"`
	LossSteps int64   `json:"loss_steps"`
	// Files maps the run's append-only files, relative to the run folder, to what
	// they were at this step; whatever lies beyond was written by steps that the
	// checkpoint knows nothing of.
	Files map[string]File `json:"files"`
	// TensorFlow is the version of the library that wrote the variables.
	TensorFlow string `json:"tensorflow"`
	// Machine is what the step was computed on, as in the run's configuration; "" where the
	// version of galaxy that wrote it did not tell.
	Machine string `json:"machine,omitempty"`
	// Config is the run's configuration, as in its config.json.
	Config json.RawMessage `json:"config"`
	// Checksums maps each file of the folder but this one to its XXH3, 16
	// hexadecimal digits.
	Checksums map[string]string `json:"checksums"`
	// Checksum is that of state.json itself, with noChecksum in its place.
	Checksum string `json:"checksum"`
}

// noChecksum stands for Checksum in the bytes that it is taken of.
const noChecksum = "0000000000000000"

// File is the beginning of a file: its size in bytes and their XXH3, 16 hexadecimal
// digits.
type File struct {
	Size     int64  `json:"size"`
	Checksum string `json:"checksum"`
}

// FileAt reads the first size bytes of the file at path. A shorter one is an error.
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

// Best names an evaluation: the step it was made after and the validation RMSE
// it found.
type Best struct {
	Step int64   `json:"step"`
	RMSE float64 `json:"rmse"`
}

// Checkpoint is one that was read and checked.
type Checkpoint struct {
	Dir   string
	State State
}

// Prefix is what the bundle's files begin with, as RestoreV2 takes it.
func (c *Checkpoint) Prefix() string { return filepath.Join(c.Dir, prefixName) }

// Store is a folder of checkpoints. Its methods must not be called
// concurrently, nor by two processes.
type Store struct{ dir string }

// Open returns the store in dir, which need not exist yet.
func Open(dir string) *Store { return &Store{dir} }

func stepDir(step int64) string { return fmt.Sprintf("step-%08d", step) }

// Save adds a checkpoint of state, whose Format and Checksums it fills in, and
// makes it the latest. write puts the bundle's files under the prefix given to
// it. Where a checkpoint of the same step is there already only its state is
// replaced: a run comes by a step with one set of weights only.
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
	// What is there is damaged, and nothing may go on from it.
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

// MarkBest makes the checkpoint of a step, which must be there, the best.
func (s *Store) MarkBest(step int64) error { return s.point(bestName, stepDir(step)) }

// point moves a pointer, if it is not there already: the file's time tells when
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

// Prune removes every checkpoint but those that LATEST and BEST name and the
// keep newest others, and what crashes left behind.
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

// Rewind makes the checkpoint of a step, which must be there, the latest, and removes
// those of later steps: a run that goes on from it may come by them with other weights.
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
		return fmt.Errorf("go back to checkpoint %s: %w", name, err)
	}
	return nil
}

// Latest returns the newest checkpoint, or ErrNone. Where that is damaged it is the
// newest that is not, and damaged says what is wrong; only when there is no other
// that is the error, or where the machine failed to read what may be whole. Where nothing
// says which is the newest, as after a crash in the first save, it is the newest that is
// whole.
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

// Pointers holds what the store's pointers say. A checkpoint is removed only after one of
// them has moved away from it: while they stay the same, what they lead to is there.
func (s *Store) Pointers() string {
	latest, _ := s.pointer(latestName) // "" for none, or a damaged one
	best, _ := s.pointer(bestName)
	return latest + " " + best
}

// IsThere tells whether c is still in its folder: it may have been removed, or replaced by
// another of the same step.
func (c *Checkpoint) IsThere() bool {
	raw, err := durable.ReadFile(filepath.Join(c.Dir, stateName), durable.MaxText)
	var state State
	return err == nil && json.Unmarshal(raw, &state) == nil && maps.Equal(state.Checksums, c.State.Checksums)
}

// Best returns the checkpoint with the best evaluation, or ErrNone. Which one that is
// the newest says, if it is whole; what BEST names may have been changed since.
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

// read checks that a checkpoint's files are the ones that were written.
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
		return nil, fmt.Errorf("%s is damaged: its checksum is %s, and it says %s", path, got, c.State.Checksum)
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
			return nil, fmt.Errorf("%s is damaged: its checksum is %s, %s says %s", file, got, stateName, want)
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
