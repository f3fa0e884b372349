package session

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"galaxy/internal/usage"
)

// Worker is one of the processes that train together.
type Worker struct {
	// Cluster holds the addresses, host:port, of all workers, in the same order
	// on every worker. The first is the chief.
	Cluster []string
	Index   int // in Cluster
	// Listen is the IP address of this machine that the worker listens on. "" is the address
	// of its host in Cluster, and 0.0.0.0 is all addresses.
	Listen string
	// Timeout is how long workers wait for each other, at the start and in a step;
	// 0 is DefaultTimeout.
	Timeout time.Duration
	// Waiting, if set, is called repeatedly while JoinCluster waits.
	Waiting func() `json:"-"`
}

// DefaultTimeout is the default of Worker.Timeout.
const DefaultTimeout = 5 * time.Minute

// ParseTFConfig reads the environment variable TF_CONFIG of TensorFlow's
// MultiWorkerMirroredStrategy, a JSON object like
//
//	{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}
//
// A job "chief" of one address is worker 0, before the others. If text is
// empty, or the cluster has one process, ParseTFConfig returns nil.
func ParseTFConfig(text string) (*Worker, error) {
	wrong := func(format string, args ...any) (*Worker, error) {
		return nil, fmt.Errorf("TF_CONFIG: %s; expected "+
			`{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}`, fmt.Sprintf(format, args...))
	}
	var c struct {
		Cluster map[string][]string `json:"cluster"`
		Task    struct {
			Type  string       `json:"type"`
			Index *json.Number `json:"index"` // some launchers write a string
		} `json:"task"`
	}
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		if kind := new(json.UnmarshalTypeError); errors.As(err, &kind) {
			return wrong("there is a JSON %s at %q", kind.Value, cmp.Or(kind.Field, "the top"))
		}
		return wrong("%v", err)
	}
	if len(c.Cluster) == 0 {
		return nil, nil
	}
	for job := range c.Cluster {
		if job != "chief" && job != "worker" {
			return wrong("there is a job %q, but only chief and worker train here", job)
		}
	}
	chiefs, workers := c.Cluster["chief"], c.Cluster["worker"]
	if len(chiefs) > 1 {
		return wrong("%d chiefs", len(chiefs))
	}
	if c.Task.Index == nil {
		return wrong("the task has no index")
	}
	index, err := strconv.Atoi(c.Task.Index.String())
	if err != nil {
		return wrong("task index %s", c.Task.Index)
	}
	job, ok := c.Cluster[c.Task.Type]
	if !ok || index < 0 || index >= len(job) {
		return wrong("there is no task %q %d in the cluster", c.Task.Type, index)
	}
	if c.Task.Type == "worker" {
		index += len(chiefs)
	}
	w := &Worker{Cluster: slices.Concat(chiefs, workers), Index: index}
	if err := w.Validate(); err != nil {
		return wrong("%v", err)
	}
	if len(w.Cluster) == 1 {
		return nil, nil
	}
	return w, nil
}

// Validate checks the syntax of w.
func (w Worker) Validate() error {
	if w.Index < 0 || w.Index >= len(w.Cluster) {
		return fmt.Errorf("worker %d: expected 0 to %d, as the cluster has %d workers", w.Index, len(w.Cluster)-1, len(w.Cluster))
	}
	if w.Listen != "" {
		if _, err := netip.ParseAddr(w.Listen); err != nil {
			return &usage.Field{Name: "listen", Got: w.Listen, Expected: "an IP address of this machine, or 0.0.0.0 for all of them"}
		}
	}
	if w.Timeout < 0 {
		return &usage.Field{Name: "worker_timeout", Got: w.Timeout, Expected: "more than 0"}
	}
	for i, address := range w.Cluster {
		host, port, err := net.SplitHostPort(address)
		n, notNumber := strconv.Atoi(port)
		if err != nil || notNumber != nil || host == "" || n < 1 || n > 65535 {
			return fmt.Errorf("worker %d has the address %q: expected host:port, such as 10.0.0.4:2222", i, address)
		}
		if j := slices.Index(w.Cluster, address); j < i {
			return fmt.Errorf("workers %d and %d have the same address %s", j, i, address)
		}
	}
	return nil
}
