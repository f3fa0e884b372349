package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"galaxy/train"
	"galaxy/train/checkpoint"
)

// Run holds the facts of a training run that its folder records.
type Run struct {
	Dir    string
	Config train.Config
	// Steps and Evaluations are the lines of metrics.jsonl, by ascending step.
	Steps       []Step
	Evaluations []Validation
	// History has the starts and rollbacks that the run has recorded, in order.
	History []train.HistoryEntry
	// State is the state of the latest checkpoint, nil if there is none that can be read.
	State *checkpoint.State
	// Missing has a sentence about everything that should be in the folder and is not.
	Missing []string

	name string // among other runs, if their folders share a name
}

// ReadRun reads the folder of a run, which may be training. The only errors are those of config.json: without it
// the folder is no run.
func ReadRun(dir string) (*Run, error) {
	cfg, err := train.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Config: cfg}
	if err := r.readLines(MetricsName, r.AddLine); err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.missing("There are no curves yet: the run has written no %s.", MetricsName)
		case len(r.Steps)+len(r.Evaluations) > 0:
			r.missing("The curves end before the first damaged line: %v.", err)
		default:
			r.missing("There are no curves: %v.", err)
		}
	}
	if err := r.ReadHistory(); err != nil && !errors.Is(err, fs.ErrNotExist) { // older versions wrote none
		r.missing("Starts of the run are missing: %v.", err)
	}
	latest, damaged, err := checkpoint.Open(filepath.Join(dir, "checkpoints")).Latest()
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		r.missing("The run has no checkpoint yet.")
	case err != nil:
		r.missing("The latest checkpoint cannot be read: %v.", err)
	default:
		r.State = &latest.State
		if damaged != nil {
			r.missing("The latest checkpoint is damaged, and an older one is used: %v.", damaged)
		}
		if !r.Finished() {
			r.missing("The run is at step %d of %d: it is training, or was stopped and can be resumed.", r.State.Step, cfg.Schedule.Total)
		}
	}
	return r, nil
}

func (r *Run) missing(format string, args ...any) {
	r.Missing = append(r.Missing, fmt.Sprintf(format, args...))
}

// Name returns the name of the run folder. The folders above it are included only if a report compares runs that it
// could not tell apart otherwise.
func (r *Run) Name() string {
	return cmp.Or(r.name, filepath.Base(r.path()))
}

// path returns the absolute path of the run folder, or the path as it was given if that fails.
func (r *Run) path() string {
	if path, err := filepath.Abs(r.Dir); err == nil {
		return path
	}
	return filepath.Clean(r.Dir)
}

// tellApart names runs by as many folders of their paths as are needed to tell them apart. A run that is given twice
// has one name.
func tellApart(runs []*Run) {
	for _, r := range runs {
		name, above := filepath.Base(r.path()), filepath.Dir(r.path())
		shared := func(o *Run) bool {
			return o.path() != r.path() && strings.HasSuffix(o.path(), string(filepath.Separator)+name)
		}
		for slices.ContainsFunc(runs, shared) && above != filepath.Dir(above) {
			name, above = filepath.Join(filepath.Base(above), name), filepath.Dir(above)
		}
		if slices.ContainsFunc(runs, shared) {
			name = r.path() // which ends the path of another run
		}
		r.name = name
	}
}

// best returns the step and the RMSE of the best evaluation of the validation split.
func (r *Run) best() (step int64, rmse float64, ok bool) {
	if r.State != nil && r.State.Best != nil {
		return r.State.Best.Step, r.State.Best.RMSE, true
	}
	if v := r.BestEvaluation(); v != nil && !math.IsNaN(float64(v.RMSE)) {
		return v.Step, float64(v.RMSE), true
	}
	return 0, 0, false
}

// BestEvaluation returns the best evaluation among the lines of the metrics, nil if there is none yet.
func (r *Run) BestEvaluation() *Validation {
	for i := len(r.Evaluations) - 1; i >= 0; i-- {
		if r.Evaluations[i].Best {
			return &r.Evaluations[i]
		}
	}
	return nil
}

// Finished reports whether all steps of the run are done, or Config.Patience has ended it.
func (r *Run) Finished() bool {
	return r.State != nil && (r.State.Step >= r.Config.Schedule.Total || r.Early())
}

// Early reports whether Config.Patience has ended the run before its last step.
func (r *Run) Early() bool {
	return r.State != nil && r.State.Step < r.Config.Schedule.Total && r.Config.Patience > 0 && r.State.SinceBest >= r.Config.Patience
}

// Part is a part of the time of a run.
type Part struct {
	Name string
	Time time.Duration
}

// Times returns when the run started and when the last line of the metrics was written, and the parts of the time
// between them. Every line of a step stands for the steps since the line before. The last part is the rest: evaluations
// and checkpoints.
func (r *Run) Times() (from, to time.Time, parts []Part) {
	if len(r.Steps) == 0 {
		return from, to, nil
	}
	from, to = r.Steps[0].Time, r.Steps[len(r.Steps)-1].Time
	if n := len(r.Evaluations); n > 0 && r.Evaluations[n-1].Time.After(to) {
		to = r.Evaluations[n-1].Time
	}
	names := []string{"waiting for data", "copying to the devices", "computing gradients", "all-reduce", "update"}
	var seconds [5]float64
	total, before := 0.0, int64(0)
	for _, s := range r.Steps {
		n := float64(max(s.Step-before, 1))
		for k, v := range []Number{s.DataWait, s.CopyWait, s.Compute, s.AllReduce, s.Update} {
			seconds[k] += n * max(v.or(0), 0)
		}
		total += n * max(s.Seconds.or(0), 0)
		before = s.Step
	}
	from = from.Add(-duration(r.Steps[0].Seconds.or(0) * float64(r.Steps[0].Step)))
	if len(r.History) > 0 && r.History[0].Step == 0 {
		from = r.History[0].Time
	}
	for k, name := range names {
		if seconds[k] > 0 {
			parts = append(parts, Part{name, duration(seconds[k])})
		}
	}
	rest := to.Sub(from) - duration(total)
	var pauses time.Duration
	for _, p := range r.Resumes() {
		pauses += p.Pause
	}
	if pauses = min(pauses, rest); pauses > 0 {
		parts, rest = append(parts, Part{"pauses, and steps that were lost", pauses}), rest-pauses
	}
	if rest > 0 {
		parts = append(parts, Part{"evaluations and checkpoints", rest})
	}
	return from, to, parts
}

// A Resume is a start of the run after its first.
type Resume struct {
	Step int64 // the last one done before
	// Pause is the time since the last line of the metrics that the run has kept, or since the start before: the run
	// was stopped, or its steps are lost.
	Pause time.Duration
	// Start is what the run has recorded; nil if it has not, and the pause alone shows that it was stopped.
	Start *train.HistoryEntry
}

// leastPause is the least time that counts as a pause if the run has recorded no start: a checkpoint that delays the
// next step takes seconds.
const leastPause = 30 * time.Second

// Resumes returns the starts of the run after its first. Of the time before its first record, in which an older version
// trained it, Resumes returns the pauses that the times of its metrics show: between the line of a step or of an
// evaluation and the line of the next step is at least leastPause, and ten times as long as the steps between them took. A
// run that was resumed at once shows none.
func (r *Run) Resumes() []Resume {
	var all []Resume
	evaluations := r.Evaluations
	for k := 1; k < len(r.Steps); k++ {
		before, s := &r.Steps[k-1], &r.Steps[k]
		if len(r.History) > 0 && s.Time.After(r.History[0].Time) {
			break
		}
		last := before.Time
		for len(evaluations) > 0 && evaluations[0].Step < s.Step {
			if evaluations[0].Time.After(last) {
				last = evaluations[0].Time
			}
			evaluations = evaluations[1:]
		}
		steps := duration(s.Seconds.or(0) * float64(s.Step-before.Step))
		if gap := s.Time.Sub(last) - steps; gap >= max(leastPause, 10*steps) {
			all = append(all, Resume{Step: s.Step - 1, Pause: gap})
		}
	}
	var previous time.Time // start
	for k := range r.History {
		e := &r.History[k]
		if e.Kind != train.Started {
			continue
		}
		if e.Step > 0 || k > 0 {
			resume := Resume{Step: e.Step, Start: e}
			if last := r.lastLine(e.Time); last.After(previous) {
				previous = last
			}
			if !previous.IsZero() {
				resume.Pause = max(e.Time.Sub(previous), 0)
			}
			all = append(all, resume)
		}
		previous = e.Time
	}
	return all
}

// lastLine returns the time of the last line of the metrics before another time, and the zero time if there is none.
func (r *Run) lastLine(before time.Time) (last time.Time) {
	if k, _ := slices.BinarySearchFunc(r.Steps, before, func(s Step, t time.Time) int { return s.Time.Compare(t) }); k > 0 {
		last = r.Steps[k-1].Time
	}
	if k, _ := slices.BinarySearchFunc(r.Evaluations, before, func(v Validation, t time.Time) int { return v.Time.Compare(t) }); k > 0 && r.Evaluations[k-1].Time.After(last) {
		last = r.Evaluations[k-1].Time
	}
	return last
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
