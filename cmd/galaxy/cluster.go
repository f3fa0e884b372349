package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/train"
)

func clusterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cluster", Category: catCluster, Usage: "`HOST:PORT,…` of all workers, the same list on each; the first is the chief, which has the run folder (TF_CONFIG says the same)"},
		&cli.IntFlag{Name: "worker", Category: catCluster, Usage: "which one of --cluster this is; 0 is the chief"},
		&cli.StringFlag{Name: "listen", Category: catCluster, Usage: "`IP` address of this machine to listen on; 0.0.0.0 is all of them", DefaultText: "this worker's host in --cluster"},
		&cli.DurationFlag{Name: "worker-timeout", Category: catCluster, Value: graph.DefaultTimeout, Usage: "how long workers wait for each other, at the start and in a step"},
	}
}

// workerOf reads which worker of which cluster this is, from the flags, or else
// from TF_CONFIG; nil is none.
func workerOf(c *cli.Context) (*graph.Worker, error) {
	var w *graph.Worker
	if c.IsSet("cluster") {
		if !c.IsSet("worker") {
			return nil, errors.New("--cluster without --worker: which one of them is this, counted from 0?")
		}
		w = &graph.Worker{Cluster: strings.Split(c.String("cluster"), ","), Index: c.Int("worker")}
	} else {
		var err error
		if w, err = graph.ParseTFConfig(os.Getenv("TF_CONFIG")); err != nil {
			return nil, err
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
func joinCluster(c *cli.Context, w *graph.Worker, begun *train.Config) (*graph.Cluster, *train.Config, error) {
	if w == nil {
		return nil, begun, nil
	}
	session, err := sessionOf(c)
	if err != nil {
		return nil, nil, err
	}
	devices, err := graph.Devices(c.String("devices")).Resolve(session)
	if err != nil {
		return nil, nil, fmt.Errorf("--devices: %w", err)
	}
	fmt.Fprintf(c.App.ErrWriter, "worker %d of %d: waiting for the others\n", w.Index, len(w.Cluster))
	cluster, err := graph.JoinCluster(c.Context, *w, devices, session)
	if err != nil {
		return nil, nil, err
	}
	begun, err = train.Begun(cluster, c.Bool("resume"), begun)
	return cluster, begun, err
}
