package session

import (
	"errors"
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// WriteBundle writes a TensorFlow bundle with the values, float32, of variables by name, each in row-major
// order of its shape: the files prefix.index and prefix.data-00000-of-00001.
func WriteBundle(prefix string, shapes map[string][]int64, values map[string][]float32) (err error) {
	if err := CheckPath(prefix); err != nil {
		return err
	}
	s := op.NewScope().WithDevice(HostDevice)
	feeds := map[tf.Output]*tf.Tensor{}
	var names, whole []string // a slice "" is the whole tensor
	var all []tf.Output
	for name, shape := range shapes {
		value, err := Float32Tensor(values[name], shape...)
		if err != nil {
			return fmt.Errorf("write %s: %s: %w", prefix, name, err)
		}
		fed := op.Placeholder(s.SubScope("value"), tf.Float)
		feeds[fed] = value
		names, whole, all = append(names, name), append(whole, ""), append(all, fed)
	}
	save := op.SaveV2(s, tg.Const(s.SubScope("prefix"), prefix), tg.Const(s.SubScope("names"), names), tg.Const(s.SubScope("slices"), whole), all)
	g, err := s.Finalize()
	if err != nil {
		return fmt.Errorf("write %s: %w", prefix, err)
	}
	sess, err := New(g, Config{}.On([]string{HostDevice}, nil))
	if err != nil {
		return fmt.Errorf("write %s: %w", prefix, err)
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	if _, err := sess.Run(feeds, nil, []*tf.Operation{save}); err != nil {
		return fmt.Errorf("write %s: %w", prefix, err)
	}
	return nil
}
