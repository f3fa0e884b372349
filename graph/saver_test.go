package graph

import (
	"os"
	"path/filepath"
	"testing"

	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// bundler saves and restores two small variables.
type bundler struct {
	saver
	sess *tf.Session
	init *tf.Operation
}

func newBundler(t testing.TB) bundler {
	t.Helper()
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	vars := []network.Variable{{Name: "a/kernel", Shape: []int64{2, 3}}, {Name: "b", Shape: []int64{4}}}
	handles := map[string][]tf.Output{}
	var values []tf.Output
	var inits []*tf.Operation
	for _, v := range vars {
		handle, read := network.NewVariable(s, v)
		handles[v.Name], values = []tf.Output{handle}, append(values, read)
		inits = append(inits, op.AssignVariableOp(s.SubScope("init"), handle, op.Fill(s.SubScope("fill"), op.Const(s.SubScope("shape"), v.Shape), op.Const(s.SubScope("one"), float32(1)))))
	}
	b := bundler{saver: newSaver(s.SubScope("saver"), vars, handles, values), init: session.Group(s, "init", inits)}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.sess, err = session.New(g, session.Config{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sess.Run(nil, nil, []*tf.Operation{b.init}); err != nil {
		t.Fatal(err)
	}
	return b
}

// Reading any bundle gives variables or an error.
func FuzzRestore(f *testing.F) {
	b := newBundler(f)
	prefix := filepath.Join(f.TempDir(), "variables")
	if err := b.save(b.sess, prefix); err != nil {
		f.Fatal(err)
	}
	if err := b.restore(b.sess, prefix); err != nil {
		f.Fatal(err)
	}
	read := func(name string) []byte {
		raw, err := os.ReadFile(prefix + name)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	index, data := read(".index"), read(".data-00000-of-00001")
	f.Add(index, data)
	f.Add(index, data[:len(data)-1])
	f.Add(index[:len(index)/2], data)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, index, data []byte) {
		prefix := filepath.Join(t.TempDir(), "variables")
		for name, raw := range map[string][]byte{".index": index, ".data-00000-of-00001": data} {
			if err := os.WriteFile(prefix+name, raw, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		_ = b.restore(b.sess, prefix) // with or without an error, it returns
	})
}
