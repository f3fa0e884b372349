package session

import (
	"fmt"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Gather returns every worker's payload, by worker number. All workers have to
// call it in the same order, and not concurrently.
func (c *Cluster) Gather(payload []byte) ([][]byte, error) {
	lengths, err := c.gather([]int32{int32(len(payload))})
	if err != nil {
		return nil, err
	}
	row := make([]int32, slices.Max(lengths))
	for i, b := range payload {
		row[i] = int32(b)
	}
	if len(row) == 0 {
		return make([][]byte, c.Workers()), nil
	}
	all, err := c.gather(row)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, c.Workers())
	for i, length := range lengths {
		for _, b := range all[i*len(row):][:length] {
			out[i] = append(out[i], byte(b))
		}
	}
	return out, nil
}

// gathering is the graph and session that gather rows of one length.
type gathering struct {
	sess     *tf.Session
	row, all tf.Output // int32 [n], [workers * n]
}

// gather concatenates the equally long rows of all workers.
func (c *Cluster) gather(row []int32) ([]int32, error) {
	g, ok := c.gatherings[len(row)]
	if !ok {
		var err error
		if g, err = c.newGathering(len(row)); err != nil {
			return nil, err
		}
		c.gatherings[len(row)] = g
	}
	value, err := tf.NewTensor(row)
	if err != nil {
		return nil, err
	}
	got, err := c.Run(g.sess, map[tf.Output]*tf.Tensor{g.row: value}, []tf.Output{g.all}, nil)
	if err != nil {
		return nil, err
	}
	return got[0].Value().([]int32), nil
}

func (c *Cluster) newGathering(length int) (_ gathering, err error) {
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g).WithDevice(c.Job() + HostDevice)
	defer RecoverBuild(s, &err)
	row := Placeholder(s, "row", tf.Int32, int64(length))
	// A key has one shape.
	key := Number(s, len(c.gatherings)+1)
	all := op.CollectiveGatherV2(s, row, Number(s, c.Workers()), Number(s, HostGroup), key, nil)
	if err := s.Err(); err != nil {
		return gathering{}, fmt.Errorf("build gather: %w", err)
	}
	sess, err := New(g, Config{devices: c.devices, cluster: c})
	return gathering{sess, row, all}, err
}
