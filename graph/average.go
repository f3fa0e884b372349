package graph

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// liveSuffix ends the checkpoint's keys of the raw weights: the weights that are trained if the
// model's weights are their moving averages.
const liveSuffix = "/live"

// ValidateAverage checks the decay of the weights' moving average.
func ValidateAverage(decay float64) error {
	if !(decay >= 0 && decay < 1) {
		return &usage.Field{Name: "ema", Got: decay, Expected: "a decay of 0 ≤ ema < 1, such as 0.999; 0 is none"}
	}
	return nil
}

// averageEvery is the number of steps between updates of the average, after the first
// averageEvery steps, which all update it. Each later update uses decay to the power
// averageEvery. The weights move little in between, and an update in every step would cost
// a tenth of the step.
const averageEvery = 8

// averageDecay returns the decay of the average's update in the step after step
// steps; due reports whether there is one. The decay is small at first, so that
// the random initial weights are soon forgotten. The formula is TensorFlow's
// ExponentialMovingAverage, except that the first decay is 0.
func averageDecay(decay float64, step int64) (value float64, due bool) {
	value = min(decay, float64(step)/float64(9+step))
	if step < averageEvery {
		return value, true
	}
	return math.Pow(value, averageEvery), (step+1)%averageEvery == 0
}

// averageWeights adds the moving average of the trained weights, updated after the ops in
// updates, and returns the trained variables. decay is float32 []. Skipped updates do not
// count.
func averageWeights(s *op.Scope, model, trained *network.Variables, decay, finite tf.Output, updates []*tf.Operation) (live []network.Variable) {
	after := s.SubScope("average_weights").WithControlDependencies(updates...)
	rs := s.SubScope("average_rest")
	rest := op.Sub(rs, tg.Const(rs.SubScope("one"), float32(1)), decay)
	rest = ifFinite(rs, finite, rest, 0)
	var begins, averages []*tf.Operation
	for _, v := range model.List {
		if v.Fixed {
			continue
		}
		as := after.SubScope(v.Name)
		now := op.ReadVariableOp(as, trained.Handles[v.Name], tf.Float)
		far := op.Mul(as, op.Sub(as, model.Reads[v.Name], now), rest)
		averages = append(averages, op.AssignSubVariableOp(as, model.Handles[v.Name], far))
		begins = append(begins, op.AssignVariableOp(s.SubScope("begin"), trained.Handles[v.Name], model.Reads[v.Name]))
		live = append(live, network.Variable{Name: v.Name + liveSuffix, Shape: v.Shape})
	}
	session.Group(s, nodeBegin, begins)
	session.Group(s, nodeAverage, averages)
	return live
}
