package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train"
)

// workerOf returns this process's worker and cluster, from the flags or
// otherwise from TF_CONFIG; nil if there is none.
func (t *request) workerOf() (*session.Worker, error) {
	var w *session.Worker
	_, numbered := t.given["worker"]
	if list := t.clusterHosts; list != "" {
		if !numbered {
			return nil, errors.New("--cluster without --worker: which one of them is this, counted from 0?")
		}
		w = &session.Worker{Index: t.workerIndex}
		for address := range strings.SplitSeq(list, ",") {
			w.Cluster = append(w.Cluster, strings.TrimSpace(address))
		}
	} else {
		var err error
		if w, err = session.ParseTFConfig(os.Getenv("TF_CONFIG")); err != nil {
			return nil, err
		}
		if w != nil && numbered {
			return nil, errors.New("--worker without --cluster, but with TF_CONFIG, which says it too: leave one of them out")
		}
	}
	if w == nil {
		for _, name := range []string{"worker", "listen", "worker-timeout"} {
			if v, ok := t.given[name]; ok {
				return nil, fmt.Errorf("%s without --cluster, or TF_CONFIG with several workers", settingOf(name).given(v, ""))
			}
		}
		return nil, nil
	}
	w.Listen, w.Timeout = t.listen, time.Duration(t.workerTimeout)
	if len(w.Cluster) < 2 {
		return nil, errors.New("--cluster has one worker: a cluster has two or more")
	}
	return w, w.Validate()
}

// joinCluster makes this process a worker and learns which run the chief resumes.
func (t *trainCall) joinCluster() error {
	w := t.worker
	if w == nil {
		return nil
	}
	config, err := t.session()
	if err != nil {
		return usage.Error{Err: err}
	}
	devices, err := t.plan.Config.Devices.Resolve(config)
	if err != nil {
		return usage.Error{Err: err}
	}
	if w.Index == 0 && !t.resume { // fails before others wait for it
		if err := train.CheckNew(t.out); err != nil {
			return err
		}
	}
	if path := t.heartbeat; path != "" { // the other workers may start much later
		beat := func() error { return train.Heartbeat{Time: time.Now(), Phase: train.PhaseStart}.Write(path) }
		if err := beat(); err != nil {
			return usage.Error{Err: err}
		}
		w.Waiting = func() { _ = beat() }
	}
	fmt.Fprintf(t.cli.App.ErrWriter, "worker %d of %d: waiting for the others\n", w.Index, len(w.Cluster))
	if t.cluster, err = session.JoinCluster(t.cli.Context, *w, devices, config); err != nil {
		return err
	}
	if t.run, err = train.Begun(t.cluster, t.resume, t.run); err != nil {
		return err
	}
	// A worker joins with its devices before it learns which run the chief resumes.
	if _, given := t.given["devices"]; t.run != nil && !given && t.run.Devices != t.plan.Config.Devices {
		return fmt.Errorf("the chief began this run with --devices %s: give --devices again, on every worker", t.run.Devices)
	}
	return nil
}
