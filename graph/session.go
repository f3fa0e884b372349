package graph

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"
)

// TensorFlowVersion is the version of the library that is loaded, such as
// "2.21.0".
func TensorFlowVersion() string { return tf.Version() }

// SessionConfig says how a graph is run.
type SessionConfig struct {
	// Threads is the number of CPU threads inside one op, and of ops that run at
	// the same time; 0 is one a core.
	Threads int
}

// Validate checks the fields and says what was expected and what came.
func (c SessionConfig) Validate() error {
	if c.Threads < 0 {
		return fmt.Errorf("threads %d: expected 0 (one a core) or more", c.Threads)
	}
	return nil
}

// Options is the configuration as the bindings take it.
func (c SessionConfig) Options() (*tf.SessionOptions, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return sessionOptions(int32(c.Threads), int32(c.Threads))
}

// sessionOptions sets the number of threads inside an op and of ops at the same
// time; 0 is one a core, and −1 of the latter runs all in the calling thread.
func sessionOptions(intra, inter int32) (*tf.SessionOptions, error) {
	config, err := proto.Marshal(&pb.ConfigProto{IntraOpParallelismThreads: intra, InterOpParallelismThreads: inter})
	if err != nil {
		return nil, fmt.Errorf("encode session options: %w", err)
	}
	return &tf.SessionOptions{Config: config}, nil
}

// Devices lists the devices that TensorFlow finds.
func Devices() (_ []tf.Device, err error) {
	sess, err := newSession(tf.NewGraph(), SessionConfig{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	devices, err := sess.ListDevices()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return devices, nil
}

// HasGPU tells whether TensorFlow finds a GPU.
func HasGPU() (bool, error) {
	devices, err := Devices()
	return slices.ContainsFunc(devices, func(d tf.Device) bool { return d.Type == "GPU" }), err
}

func newSession(g *tf.Graph, c SessionConfig) (*tf.Session, error) {
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	sess, err := tf.NewSession(g, options)
	// The bindings hand over the C pointer alone: without this, a garbage
	// collection during the call could free a graph that nothing else refers
	// to, and the call would wait for ever on the freed lock.
	runtime.KeepAlive(g)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return sess, nil
}
