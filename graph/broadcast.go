package graph

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// broadcast adds an op that sends the chief's values of the variables to all workers of
// c, and on to all devices of each worker.
func broadcast(c *session.Cluster, s *op.Scope, vars []network.Variable, handles map[string][]tf.Output, reads map[string]tf.Output) *tf.Operation {
	size, key := session.Number(s, c.Workers()), session.Number(s, session.HostGroup)
	var done []*tf.Operation
	for i, v := range vars {
		instance := session.Number(s, session.FirstBroadcast+i)
		vs := s.SubScope("variable")
		if i > 0 {
			// One after the other: together they would be in memory twice.
			vs = vs.WithControlDependencies(done[len(done)-1])
		}
		if c.Index() == 0 {
			done = append(done, op.CollectiveBcastSendV2(vs, op.Identity(vs, reads[v.Name]), size, key, instance).Op)
			continue
		}
		value := op.CollectiveBcastRecvV2(vs, size, key, instance, tg.Const(vs.SubScope("shape"), v.Shape), tf.Float)
		done = append(done, session.Group(vs, "received", assign(vs, handles[v.Name], value)))
	}
	return session.Group(s, "shared", done)
}
