package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/data/imagefile"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// limitFigures compare the speed of TensorFlow's kernels for the convolutions of one
// training step with a large matrix product, the fastest that the machine can do.
type limitFigures struct {
	Precision string     `json:"precision"`
	Size      int        `json:"size"`
	Batch     int        `json:"batch"`
	Peak      float64    `json:"peak_gflops"`
	Kinds     []kindTime `json:"kinds"`
	Step      float64    `json:"step_seconds,omitempty"` // of the part step, 0 if it was not measured
}

// kindTime is the time of one kind of op in a step, all layers together.
type kindTime struct {
	Kind    string  `json:"kind"`
	Seconds float64 `json:"seconds"`
	GFLOPs  float64 `json:"gflops"` // per second
}

func (f limitFigures) print() {
	of := func(seconds float64) string {
		if f.Step == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f %%", 100*seconds/f.Step)
	}
	fmt.Printf("| %s, %d px, batch %d | s | GFLOP/s | of the peak | of the step |\n|---|---|---|---|---|\n", f.Precision, f.Size, f.Batch)
	fmt.Printf("| matrix product of %d × %d, the peak | | %.0f | 100 %% | |\n", peakSize, peakSize, f.Peak)
	for _, k := range f.Kinds {
		fmt.Printf("| %s | %.3f | %.0f | %.0f %% | %s |\n", k.Kind, k.Seconds, k.GFLOPs, 100*k.GFLOPs/f.Peak, of(k.Seconds))
	}
	fmt.Println()
}

// layer is a convolution, and how many identical ones the network has.
type layer struct {
	network.Convolution
	count int64
}

// layersOf lists the different convolutions of ResNet34 for images of a size.
func layersOf(size int) (all []layer, err error) {
	n, err := network.Named(network.Default)
	if err != nil {
		return nil, err
	}
	convolutions, err := n.Convolutions(imagefile.Shape{Size: size, Channels: 3})
	for _, c := range convolutions {
		c.Kernel = ""
		i := slices.IndexFunc(all, func(l layer) bool { return l.Convolution == c })
		if i < 0 {
			i, all = len(all), append(all, layer{Convolution: c})
		}
		all[i].count++
	}
	return all, err
}

const (
	peakSize   = 2048
	limitTurns = 7 // the median counts
)

// limit times the kernels of one size.
func (s settings) limit(_ context.Context, to *figures) error {
	for _, precision := range s.precisions {
		if network.Precision(precision).Emulated(false) {
			fmt.Fprintf(os.Stderr, "bench: no limit in %s, for which this CPU has no kernels: galaxy computes it in float32\n", precision)
			continue
		}
		step := 0.0
		for _, f := range to.Steps {
			if f.Precision == precision && f.Size == s.size() {
				step = f.Step[ours].Median
			}
		}
		f, err := s.kernels(precision, step)
		if err != nil {
			return err
		}
		f.print()
		to.Limit = append(to.Limit, f)
	}
	return nil
}

func (s settings) kernels(precision string, step float64) (f limitFigures, err error) {
	f = limitFigures{Precision: precision, Size: s.size(), Batch: s.batch, Step: step}
	dtype := map[string]tf.DataType{"float32": tf.Float, "bfloat16": tf.Bfloat16, "float16": tf.Half}[precision]
	seconds, err := timeOp(dtype, func(s *op.Scope, random func(shape ...int64) tf.Output) *tf.Operation {
		return op.MatMul(s, random(peakSize, peakSize), random(peakSize, peakSize)).Op
	})
	if err != nil {
		return f, err
	}
	f.Peak = 2 * peakSize * peakSize * peakSize / seconds / 1e9
	n := int64(s.batch)
	layers, err := layersOf(s.size())
	if err != nil {
		return f, err
	}
	for _, kind := range []struct {
		name string
		op   func(s *op.Scope, l layer, x, w, y tf.Output, in, kernel []int32, strides []int64) tf.Output
	}{
		{"convolutions forward", func(s *op.Scope, l layer, x, w, _ tf.Output, _, _ []int32, strides []int64) tf.Output {
			return op.Conv2D(s, x, w, strides, "SAME")
		}},
		{"their data gradients", func(s *op.Scope, l layer, _, w, y tf.Output, in, _ []int32, strides []int64) tf.Output {
			return op.Conv2DBackpropInput(s, op.Const(s.SubScope("in"), in), w, y, strides, "SAME")
		}},
		{"their weight gradients, by TensorFlow's kernel", func(s *op.Scope, l layer, x, _, y tf.Output, _, kernel []int32, strides []int64) tf.Output {
			return op.Conv2DBackpropFilter(s, x, op.Const(s.SubScope("kernel"), kernel), y, strides, "SAME")
		}},
	} {
		k, flops := kindTime{Kind: kind.name}, 0.0
		for i, l := range layers {
			if i == 0 && kind.name == "their data gradients" {
				continue // the gradient of the images is not needed
			}
			out := l.OutputSize()
			seconds, err := timeOp(dtype, func(s *op.Scope, random func(shape ...int64) tf.Output) *tf.Operation {
				return kind.op(s, l, random(n, l.Size, l.Size, l.In), random(l.Taps, l.Taps, l.In, l.Filters), random(n, out, out, l.Filters),
					[]int32{int32(n), int32(l.Size), int32(l.Size), int32(l.In)}, []int32{int32(l.Taps), int32(l.Taps), int32(l.In), int32(l.Filters)},
					[]int64{1, l.Stride, l.Stride, 1}).Op
			})
			if err != nil {
				return f, err
			}
			k.Seconds += seconds * float64(l.count)
			flops += 2 * float64(n*out*out*l.Taps*l.Taps*l.In*l.Filters*l.count)
		}
		k.GFLOPs = flops / k.Seconds / 1e9
		f.Kinds = append(f.Kinds, k)
	}
	return f, nil
}

// timeOp returns the seconds that an op takes on variables of random values.
func timeOp(dtype tf.DataType, build func(s *op.Scope, random func(shape ...int64) tf.Output) *tf.Operation) (seconds float64, err error) {
	g := tf.NewGraph()
	s := op.NewScopeWithGraph(g)
	var inits []*tf.Operation
	random := func(shape ...int64) tf.Output {
		rs := s.SubScope("random")
		value := op.Cast(rs, op.RandomStandardNormal(rs, op.Const(rs.SubScope("shape"), shape), tf.Float), dtype)
		v := op.VarHandleOp(rs, dtype, tf.MakeShape(shape...), op.VarHandleOpSharedName(fmt.Sprint(len(inits))))
		inits = append(inits, op.AssignVariableOp(rs, v, value))
		return op.ReadVariableOp(rs, v, dtype)
	}
	target := build(s, random)
	if err := s.Err(); err != nil {
		return 0, err
	}
	options, err := session.Config{}.Options()
	if err != nil {
		return 0, err
	}
	sess, err := tf.NewSession(g, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	if _, err := sess.Run(nil, nil, inits); err != nil {
		return 0, err
	}
	var took []float64
	for range limitTurns + 2 {
		begin := time.Now()
		if _, err := sess.Run(nil, nil, []*tf.Operation{target}); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	return median(took[2:]), nil
}
