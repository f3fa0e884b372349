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

func newSession(g *tf.Graph, c SessionConfig) (*tf.Session, error) {
	config, err := proto.Marshal(&pb.ConfigProto{
		IntraOpParallelismThreads: int32(c.Threads),
		InterOpParallelismThreads: int32(c.Threads),
	})
	if err != nil {
		return nil, fmt.Errorf("encode session options: %w", err)
	}
	sess, err := tf.NewSession(g, &tf.SessionOptions{Config: config})
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return sess, nil
}
