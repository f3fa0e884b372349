package session

import (
	"bytes"
	"fmt"
	"runtime"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	graphpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/graph_go_proto"
	"google.golang.org/protobuf/proto"
)

// Def returns g as a proto, for changes that the bindings cannot express:
// functions, and changes to nodes.
func Def(g *tf.Graph) (*graphpb.GraphDef, error) {
	raw, err := serialise(g)
	if err != nil {
		return nil, err
	}
	def := new(graphpb.GraphDef)
	if err := proto.Unmarshal(raw, def); err != nil {
		return nil, fmt.Errorf("parse serialised graph: %w", err)
	}
	return def, nil
}

func serialise(g *tf.Graph) ([]byte, error) {
	var def bytes.Buffer
	_, err := g.WriteTo(&def)
	runtime.KeepAlive(g) // see New
	if err != nil {
		return nil, fmt.Errorf("serialise graph: %w", err)
	}
	return def.Bytes(), nil
}
