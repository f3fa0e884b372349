package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train/checkpoint"
)

// Begun sends the chief's existing run to every worker of a cluster, because only
// the chief has the run folder. On the chief, begun is the configuration of the
// run to resume, nil for a new run; on the others it is nil. resume is whether
// this worker was started with --resume, which must be the same on all workers.
// Without a cluster Begun returns begun.
func Begun(c *session.Cluster, resume bool, begun *Config) (*Config, error) {
	if c == nil {
		return begun, nil
	}
	type greeting struct {
		Resume bool
		Begun  *Config
	}
	all, err := gather(c, greeting{resume, begun})
	if err != nil {
		return nil, err
	}
	for i, g := range all {
		if g.Resume != all[0].Resume {
			time.Sleep(linger)
			return nil, usage.Error{Err: usage.Errorf("%s and %s were not both started with {resume}: start all workers alike", c.Name(0), c.Name(i))}
		}
	}
	return all[0].Begun, nil
}

// checkSameConfig returns an error unless all workers have the same configuration, and
// gives all of them the chief's state.
func (r *run) checkSameConfig() error {
	if r.Cluster == nil {
		return nil
	}
	type intent struct {
		Version    string
		TensorFlow string
		Config     Config
		Devices    string
		State      checkpoint.State
	}
	all, err := gather(r.Cluster, intent{r.Version, session.TensorFlowVersion(), r.Config, kinds(r.devices), r.state})
	if err != nil {
		return err
	}
	var errs []error
	for i, w := range all {
		var differ []Change
		for _, c := range []Change{
			{"", "galaxy " + all[0].Version, "galaxy " + w.Version}, {"", "TensorFlow " + all[0].TensorFlow, "TensorFlow " + w.TensorFlow},
			{"devices", all[0].Devices, w.Devices},
		} {
			if c.Was != c.Now {
				differ = append(differ, c)
			}
		}
		differ = append(differ, differences("workers", "", reflect.ValueOf(all[0].Config), reflect.ValueOf(w.Config))...)
		if len(differ) > 0 {
			errs = append(errs, fmt.Errorf("%s is about to train something else than %s:\n  %w\nstart all workers with the same settings",
				r.Cluster.Name(i), r.Cluster.Name(0), list(differ, "the chief", false)))
		}
	}
	r.state, r.Config.FilterAlgorithms = all[0].State, all[0].Config.FilterAlgorithms
	if len(errs) > 0 {
		time.Sleep(linger)
		return usage.Error{Err: errors.Join(errs...)}
	}
	return nil
}

// kinds returns the devices without their numbers, which may differ between workers.
func kinds(devices []string) string {
	kind := "CPU"
	if session.IsGPU(devices[0]) {
		kind = "GPU"
	}
	return fmt.Sprintf("%d × %s", len(devices), kind)
}

// protocol is the version of the messages between workers.
const protocol = 1

// gather sends own to all workers and returns every worker's value.
func gather[T any](c *session.Cluster, own T) ([]T, error) {
	type message struct {
		Protocol int
		Told     json.RawMessage
	}
	told, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("tell the other workers: %w", err)
	}
	raw, err := json.Marshal(message{protocol, told})
	if err != nil {
		return nil, fmt.Errorf("tell the other workers: %w", err)
	}
	got, err := c.Gather(raw)
	if err != nil {
		return nil, fmt.Errorf("hear from the other workers: %w", err)
	}
	all := make([]T, len(got))
	for i, raw := range got {
		var m message
		if err := json.Unmarshal(raw, &m); err != nil || m.Protocol != protocol {
			return nil, fmt.Errorf("%s is of another version of galaxy: start all workers with the same one", c.Name(i))
		}
		if err := json.Unmarshal(m.Told, &all[i]); err != nil {
			return nil, fmt.Errorf("%s is of another version of galaxy: start all workers with the same one (%w)", c.Name(i), err)
		}
	}
	return all, nil
}

// lockstep is the predictor of a run's evaluation: before is called before each batch, and its error ends the evaluation.
type lockstep struct {
	Predictor
	before func() error
}

func (l lockstep) Predict(images []byte) (logits, probabilities []float32, err error) {
	if err := l.before(); err != nil {
		return nil, nil, err
	}
	return l.Predictor.Predict(images)
}

// agreeToGoOn returns ErrStopped on all workers if one of them has to stop.
func agreeToGoOn(c *session.Cluster, stop bool) error {
	all, err := gather(c, stop)
	if err != nil {
		return err
	}
	if slices.Contains(all, true) {
		return ErrStopped
	}
	return nil
}

// linger is how long a worker stays after its last message, which may still be in
// transit.
const linger = time.Second

// barrier waits until all other workers have finished too.
func barrier(c *session.Cluster) error {
	if c == nil {
		return nil
	}
	if _, err := c.Gather(nil); err != nil {
		return fmt.Errorf("the last step is made, but not all workers came to the end: %w", err)
	}
	time.Sleep(linger)
	return nil
}
