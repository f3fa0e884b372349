package graph

import (
	"errors"
	"fmt"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// calibrateBatch is the batch size of Calibrate.
const calibrateBatch = 64

// Calibrate measures the ranges on pixels, uint8 [N, Size, Size, channels], N ≥ 1. A few hundred
// images like those to predict are enough.
func Calibrate(cfg network.Config, weights network.Weights, pixels []byte, sess session.Config) (_ network.Ranges, err error) {
	maxima := map[string]tf.Output{}
	posterior := func(s *op.Scope, logits tf.Output) tf.Output { return logits }
	g, err := inferenceGraph(cfg, posterior, func(s *op.Scope) network.Params {
		return network.Calibration(s, weights, maxima)
	})
	if err != nil {
		return nil, err
	}
	var names []string
	var fetches []tf.Output
	for name, x := range maxima {
		names, fetches = append(names, name), append(fetches, x)
	}
	inference, err := g.Open(sess)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, inference.Close()) }()
	if _, err := cfg.Shape().Count(pixels); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	bytes := cfg.Shape().Bytes()
	ranges := network.Ranges{}
	for batch := range slices.Chunk(pixels, calibrateBatch*bytes) {
		feed, err := session.Uint8Tensor(batch, batchOf(len(batch)/bytes, cfg.Shape())...)
		if err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
		got, err := inference.sess.Run(map[tf.Output]*tf.Tensor{g.Images: feed}, fetches, nil)
		if err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
		for i, name := range names {
			ranges[name] = max(ranges[name], got[i].Value().(float32))
		}
	}
	return ranges, nil
}

// NewQuantizedGraph is NewInferenceGraph with constant weights and its blocks in Int8; the
// stem is in cfg.Precision. It needs oneDNN's kernels, so it runs on x86 CPUs only.
func NewQuantizedGraph(cfg network.Config, posterior Posterior, weights network.Weights, ranges network.Ranges) (*InferenceGraph, error) {
	return inferenceGraph(cfg, posterior, func(s *op.Scope) network.Params { return network.Quantized(s, weights, ranges) })
}
