package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/graph/session"
	"galaxy/train"
)

func clusterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cluster", Category: catCluster, Usage: "`HOST:PORT,…` of all workers, the same list on each; the first is the chief, which has the run folder (TF_CONFIG says the same, where this is left out)"},
		&cli.IntFlag{Name: "worker", Category: catCluster, DefaultText: "none", Usage: "which one of --cluster this is; 0 is the chief"},
		&cli.StringFlag{Name: "listen", Category: catCluster, Usage: "`IP` address of this machine to listen on; 0.0.0.0 is all of them", DefaultText: "this worker's host in --cluster"},
		&cli.DurationFlag{Name: "worker-timeout", Category: catCluster, Value: session.DefaultTimeout, Usage: "how long workers wait for each other, at the start and in a step"},
	}
}

// workerOf reads which worker of which cluster this is, from the flags, or else
// from TF_CONFIG; nil is none.
func workerOf(c *cli.Context) (*session.Worker, error) {
	var w *session.Worker
	if list := c.String("cluster"); list != "" {
		if !c.IsSet("worker") {
			return nil, errors.New("--cluster without --worker: which one of them is this, counted from 0?")
		}
		w = &session.Worker{Index: c.Int("worker")}
		for address := range strings.SplitSeq(list, ",") {
			w.Cluster = append(w.Cluster, strings.TrimSpace(address))
		}
	} else {
		var err error
		if w, err = session.ParseTFConfig(os.Getenv("TF_CONFIG")); err != nil {
			return nil, err
		}
		if w != nil && c.IsSet("worker") {
			return nil, errors.New("--worker without --cluster, but with TF_CONFIG, which says it too: leave one of them out")
		}
	}
	if w == nil {
		for _, name := range []string{"worker", "listen", "worker-timeout"} {
			if c.IsSet(name) {
				return nil, fmt.Errorf("--%s without --cluster, or TF_CONFIG with several workers", name)
			}
		}
		return nil, nil
	}
	w.Listen, w.Timeout = c.String("listen"), c.Duration("worker-timeout")
	if w.Timeout <= 0 {
		return nil, fmt.Errorf("--worker-timeout %v: expected more than 0", w.Timeout)
	}
	if len(w.Cluster) < 2 {
		return nil, errors.New("--cluster has one worker: a cluster has two or more")
	}
	return w, w.Validate()
}

// joinCluster makes this process a worker and finds out what run the chief goes on
// with, whose configuration begun is.
func joinCluster(c *cli.Context, w *session.Worker, begun *train.Config) (*session.Cluster, *train.Config, error) {
	if w == nil {
		return nil, begun, nil
	}
	sessionConfig, err := sessionOf(c)
	if err != nil {
		return nil, nil, err
	}
	devices, err := session.Devices(c.String("devices")).Resolve(sessionConfig)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--devices: %w", err)}
	}
	if w.Index == 0 && !c.Bool("resume") { // before anybody has waited for it
		if err := train.CheckNew(c.String("out")); err != nil {
			return nil, nil, err
		}
	}
	if path := c.String("heartbeat"); path != "" { // the others may take their time
		beat := func() error { return train.Heartbeat{Time: time.Now(), Phase: train.PhaseStart}.Write(path) }
		if err := beat(); err != nil {
			return nil, nil, usageError{err}
		}
		w.Waiting = func() { _ = beat() }
	}
	fmt.Fprintf(c.App.ErrWriter, "worker %d of %d: waiting for the others\n", w.Index, len(w.Cluster))
	cluster, err := session.JoinCluster(c.Context, *w, devices, sessionConfig)
	if err != nil {
		return nil, nil, err
	}
	if begun, err = train.Begun(cluster, c.Bool("resume"), begun); err != nil {
		return nil, nil, err
	}
	// A cluster is joined with its devices before anybody can be asked about a run.
	if begun != nil && !c.IsSet("devices") && begun.Devices != session.Devices(c.String("devices")) {
		return nil, nil, fmt.Errorf("the chief began this run with --devices %s: give --devices again, on every worker", begun.Devices)
	}
	return cluster, begun, nil
}
