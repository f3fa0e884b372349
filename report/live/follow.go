package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"galaxy/report"
	"galaxy/train"
	"galaxy/train/checkpoint"
)

// maxSteps is the number of lines about steps that are kept; beyond that, every second one.
const maxSteps = 1 << 15

// follower follows the files of a run.
type follower struct {
	run     report.Run
	problem string // why there is nothing to show, or not all

	config   os.FileInfo
	history  os.FileInfo
	pointers string // of the checkpoints, when State was read
	offset   int64  // of the first byte of the metrics that is not read
	last     []byte // the line before offset
	damaged  int    // lines that are no JSON
	changed  bool   // of run, since poll began
}

// poll reads what the files have gained or lost, and reports whether that is anything.
func (f *follower) poll() (changed bool) {
	f.problem, f.changed = "", false
	// A run writes the file first that is read last here: a line is not shown before the start that led to it.
	err := f.pollMetrics()
	f.pollState()
	f.pollHistory()
	if err := f.pollConfig(); err != nil {
		f.problem = fmt.Sprintf("Waiting for the run: %v.", err)
	}
	switch {
	case f.problem != "":
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(f.run.Steps)+len(f.run.Evaluations) == 0:
		f.problem = "Waiting for the run's first metrics."
	case err != nil:
		f.problem = fmt.Sprintf("The metrics cannot be read: %v.", err)
	case f.damaged > 0:
		f.problem = fmt.Sprintf("Lines of %s that are damaged: %d. They are not shown.", report.MetricsName, f.damaged)
	}
	return f.changed
}

// pollConfig reads the configuration, which a resumed run may change.
func (f *follower) pollConfig() error {
	info, err := os.Stat(filepath.Join(f.run.Dir, "config.json"))
	if err == nil && same(info, f.config) {
		return nil
	}
	cfg, err := train.ReadConfig(f.run.Dir)
	if err != nil {
		f.config = nil
		return err
	}
	f.run.Config, f.config, f.changed = cfg, info, true
	return nil
}

// pollHistory reads the starts and rollbacks. Damaged lines are left to the report to name.
func (f *follower) pollHistory() {
	info, err := os.Stat(filepath.Join(f.run.Dir, train.HistoryName))
	if err != nil {
		f.changed = f.changed || f.history != nil
		f.run.History, f.history = nil, nil
		return
	}
	if !same(info, f.history) {
		f.history, f.changed = info, true
		_ = f.run.ReadHistory()
	}
}

// same reports whether a file is as it was.
func same(info, was os.FileInfo) bool {
	return was != nil && info.ModTime().Equal(was.ModTime()) && info.Size() == was.Size()
}

// pollState reads the state of the latest checkpoint.
func (f *follower) pollState() {
	store := checkpoint.Open(filepath.Join(f.run.Dir, "checkpoints"))
	pointers := store.Pointers()
	if pointers == f.pointers {
		return
	}
	if state, err := store.LatestState(); err == nil { // else the next poll tries again
		f.run.State, f.pointers, f.changed = &state, pointers, true
	}
}

// pollMetrics reads the lines that were added. If the file is not the continuation of what was read, it reads all of it
// again.
func (f *follower) pollMetrics() error {
	file, err := os.Open(filepath.Join(f.run.Dir, report.MetricsName))
	if err != nil {
		f.restart()
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	before := make([]byte, len(f.last))
	if _, err := file.ReadAt(before, f.offset-int64(len(f.last))); info.Size() >= f.offset && err == nil && bytes.Equal(before, f.last) {
		return f.read(file, info.Size())
	}
	f.restart()
	return f.read(file, info.Size())
}

func (f *follower) restart() {
	f.changed = f.changed || f.offset > 0
	f.run.Steps, f.run.Evaluations = nil, nil
	f.offset, f.last, f.damaged = 0, nil, 0
}

// read reads the complete lines up to a size. A line that is not complete yet is left for later.
func (f *follower) read(file io.ReaderAt, size int64) error {
	err := report.EachLine(io.NewSectionReader(file, f.offset, size-f.offset), func(line []byte) error {
		f.offset, f.changed = f.offset+int64(len(line)), true
		f.last = append(f.last[:0], line...)
		if f.run.AddLine(line) != nil {
			f.damaged++
		}
		if len(f.run.Steps) > maxSteps {
			thin := f.run.Steps[:0]
			for i := 1; i < len(f.run.Steps); i += 2 {
				thin = append(thin, f.run.Steps[i])
			}
			f.run.Steps = thin
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("after byte %d, %w", f.offset, err)
	}
	return nil
}
