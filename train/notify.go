package train

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// notifier informs a run's observers and writes its heartbeat.
type notifier struct {
	observers []Observer
	heartbeat string // file; "" for none
	last      Heartbeat
}

// observers returns all observers of the run, its metrics files first, and separately
// the observers that write a file of the run folder. Workers other than the chief have
// no run folder, so no such observers.
func (p *setup) observers() (all []Observer, files []FileObserver, err error) {
	for _, f := range metricsFiles(p.Config.LogEvery, p.Config.Pretrain.IsSet()) {
		all = append(all, f)
	}
	all = append(all, p.Observers...)
	used := map[string]bool{configName: true, checkpointsName: true, HistoryName: true}
	var notified []Observer
	for _, o := range all {
		f, ok := o.(FileObserver)
		if ok && !p.chief() {
			continue
		}
		notified = append(notified, o)
		if !ok {
			continue
		}
		name := f.FileName()
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, nil, fmt.Errorf("observer %T writes the file %q: expected a name without a folder, such as lr.csv", o, name)
		}
		if used[name] {
			return nil, nil, fmt.Errorf("observer %T writes the file %s, which the run has already: choose another name", o, name)
		}
		used[name] = true
		files = append(files, f)
	}
	return notified, files, nil
}

// step notifies the observers of a step.
func (n *notifier) step(r StepResult) error {
	for _, o := range n.observers {
		if err := o.OnStep(r); err != nil {
			return err
		}
	}
	return nil
}

// evaluation notifies the observers of an evaluation.
func (n *notifier) evaluation(r EvaluationResult) error {
	for _, o := range n.observers {
		if err := o.OnEvaluation(r); err != nil {
			return err
		}
	}
	return nil
}

// beatEvery is the least time between two heartbeats of one phase.
const beatEvery = time.Second

// beat writes the heartbeat, if it has a file and the last one is old enough.
func (n *notifier) beat(phase string, step, total int64) error {
	now := time.Now()
	if n.heartbeat == "" || phase == n.last.Phase && now.Sub(n.last.Time) < beatEvery {
		return nil
	}
	n.last = Heartbeat{Time: now, Phase: phase, Step: step, Total: total}
	return n.last.Write(n.heartbeat)
}
