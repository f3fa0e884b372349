package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"galaxy/internal/durable"
)

// HistoryName is the name of the file in the run folder that records what happened to the run. It has a
// HistoryEntry a line, in JSON, and is only appended to: a resume and a rollback cut the metrics files, not this
// one. A run that galaxy has started before it wrote the file lacks it, or its beginning.
const HistoryName = "history.jsonl"

// HistoryKind is the kind of a HistoryEntry.
type HistoryKind string

// The kinds of entries. Readers skip others.
const (
	Started    HistoryKind = "start"    // a process starts or resumes the run
	RolledBack HistoryKind = "rollback" // the run has rolled back to a checkpoint
)

// HistoryEntry records a start or a rollback of a run.
type HistoryEntry struct {
	Kind HistoryKind `json:"kind"`
	Time time.Time   `json:"time"` // UTC
	// Step is the number of steps that are done: of the checkpoint that the run continues from, 0 for a new run.
	Step int64 `json:"step"`

	// Of a start: the words of the command line, the name of the host, Config.Machine of this process, and the
	// program's version. Several workers have those of the chief.
	Command []string `json:"command,omitempty"`
	Host    string   `json:"host,omitempty"`
	Machine string   `json:"machine,omitempty"`
	Version string   `json:"galaxy,omitempty"`

	// Of a rollback: the step after which the run rolled back, and why.
	From   int64  `json:"from,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// recordStart adds a start to the run's history, unless there is no step left to run.
func (r *run) recordStart() error {
	if r.state.Step >= r.Config.Schedule.Total || r.early() {
		return nil
	}
	host, _ := os.Hostname() // "" if it has none
	return r.record(HistoryEntry{Kind: Started, Step: r.state.Step, Command: r.Command, Host: host, Machine: r.machine, Version: r.Version})
}

// record adds an entry, with the time of now, to the run's history. If the disk is full, the file stays as it was.
func (r *run) record(e HistoryEntry) (err error) {
	e.Time = time.Now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(r.Dir, HistoryName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	if last := make([]byte, 1); size > 0 {
		if _, err := file.ReadAt(last, size-1); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
		if last[0] != '\n' { // a power cut has left a part of a line
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		return errors.Join(fmt.Errorf("write history: %w", err), file.Truncate(size))
	}
	return durable.SyncFile(file)
}
