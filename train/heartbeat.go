package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"galaxy/internal/durable"
	"galaxy/internal/usage"
)

// Heartbeat shows external monitoring that a run is alive: a small JSON file that
// the run replaces about once a second.
type Heartbeat struct {
	Time  time.Time `json:"time"`
	Phase string    `json:"phase"` // one of the phases below
	Step  int64     `json:"step"`  // steps done
	Total int64     `json:"total"` // steps of the whole run
}

// The phases of a run. Every run ends in the last one, however it ends.
const (
	PhaseStart    = "starting"
	PhaseTrain    = "training"
	PhaseEvaluate = "evaluating"
	PhaseSave     = "saving"
	PhaseEnd      = "ended"
)

// Write replaces the file at path.
func (h Heartbeat) Write(path string) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// Not synced: after a crash of the machine the run is not alive anyway.
	temp := path + ".tmp"
	if err = os.WriteFile(temp, append(raw, '\n'), 0o666); err == nil {
		if err = os.Rename(temp, path); err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}
	if err != nil {
		return fmt.Errorf("write heartbeat %s: %w; expected the name of a file in a folder that is there", path, err)
	}
	return nil
}

// EndHeartbeat records in the file at path, if it exists, that the run has ended.
func EndHeartbeat(path string) {
	if h, err := ReadHeartbeat(path); err == nil && h.Phase != PhaseEnd {
		h.Time, h.Phase = time.Now(), PhaseEnd
		_ = h.Write(path) // the run has ended; a failed heartbeat is no reason to fail
	}
}

// ReadHeartbeat reads the file of Options.Heartbeat. The error wraps
// fs.ErrNotExist if no run has started.
func ReadHeartbeat(path string) (h Heartbeat, err error) {
	raw, err := durable.ReadFile(path, durable.MaxText)
	if err == nil {
		if err = json.Unmarshal(raw, &h); err == nil && h.Time.IsZero() {
			err = errors.New("it tells no time")
		}
		if err != nil {
			err = usage.Errorf("%w: is it the file of {heartbeat}?", err)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("read heartbeat %s: %w", path, err)
	}
	return h, err
}
