package session

import (
	"errors"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// Tensor holds float32 values in row-major order of Shape.
type Tensor struct {
	Shape  []int64
	Values []float32
}

// ReadBundle reads float32 tensors of the TensorFlow bundle with this path prefix: those whose
// names want accepts. The error of a missing file wraps fs.ErrNotExist.
func ReadBundle(prefix string, want func(name string) bool) (_ map[string]Tensor, err error) {
	if err := CheckPath(prefix); err != nil {
		return nil, err
	}
	var names, whole []string // a slice "" is the whole tensor
	var dtypes []tf.DataType
	err = readIndex(prefix, func(name string, e *pb.BundleEntryProto) {
		if e.GetDtype() == typespb.DataType_DT_FLOAT && want(name) {
			names, whole, dtypes = append(names, name), append(whole, ""), append(dtypes, tf.Float)
		}
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	s := op.NewScope().WithDevice(HostDevice)
	values := op.RestoreV2(s, tg.Const(s.SubScope("prefix"), prefix), tg.Const(s.SubScope("names"), names), tg.Const(s.SubScope("slices"), whole), dtypes)
	g, err := s.Finalize()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", prefix, err)
	}
	sess, err := New(g, Config{}.On([]string{HostDevice}, nil))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", prefix, err)
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	got, err := sess.Run(nil, values, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %s", prefix, FirstLine(err))
	}
	tensors := make(map[string]Tensor, len(names))
	for i, name := range names {
		floats, err := Floats(got[i])
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", name, prefix, err)
		}
		tensors[name] = Tensor{got[i].Shape(), floats}
	}
	return tensors, nil
}
