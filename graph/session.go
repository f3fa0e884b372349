package graph

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"
)

// SessionConfig says how a graph is run.
type SessionConfig struct {
	// Threads is the number of CPU threads inside one op; 0 is one a core.
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

func newSession(g *tf.Graph, c SessionConfig) (*tf.Session, error) {
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	sess, err := tf.NewSession(g, options)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return sess, nil
}
