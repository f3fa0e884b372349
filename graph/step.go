package graph

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/graph/network"
)

// StepInput holds the inputs of a step.
type StepInput struct {
	// Batch holds the examples; if empty, the step uses the batch staged first.
	Batch
	// Step is the number of steps before this one.
	Step int64
	// Seed and Step together are the key of the step's random numbers: augmentation and
	// dropout.
	Seed         int64
	LearningRate float64
	// Size is the height and width to which the images are downscaled before the
	// step, pixels; 0 is Config.Size. Other sizes need TrainerConfig.Resize.
	Size int
	// Stop asks all workers to stop after this step; it has no effect without a Cluster.
	Stop bool
}

// StepOutput holds a step's loss, gradient norm and timings.
type StepOutput struct {
	Loss float64 // before the update, mean over the batch
	// GradientNorm is the global norm of the gradients before clipping.
	GradientNorm float64
	// LossScale is the factor of the loss in float16, otherwise 0.
	LossScale float64
	// Skipped reports that the gradients were not finite and that the step changed nothing
	// except the loss scale, which is halved, down to 1. A step is skipped with a scale
	// above 1, and with TrainerConfig.SkipNonFinite.
	Skipped bool
	// Stop reports that a worker requested to stop.
	Stop bool
	// Compute is the time until every replica's gradients were ready, AllReduce the time from
	// then until their means were ready (only the part not overlapped with Compute), and
	// Update the rest of the step.
	Compute, AllReduce, Update time.Duration
}

// Step runs one step, in one session run for each micro-batch.
func (t *Trainer) Step(in StepInput) (StepOutput, error) {
	out, err := t.step(in)
	if err != nil {
		return StepOutput{}, fmt.Errorf("step %d: %w", in.Step+1, err)
	}
	return out, nil
}

func (t *Trainer) step(in StepInput) (out StepOutput, err error) {
	c := t.setup
	n, err := network.Named(c.Model.Arch)
	if err != nil {
		return out, err
	}
	if size := cmp.Or(in.Size, c.Model.Size); size < n.Stride || size > c.Model.Size || size != c.Model.Size && !c.Resize {
		return out, fmt.Errorf("%d pixels: expected %d to %d, and Resize for less than that", size, n.Stride, c.Model.Size)
	}
	if in.Images != nil || in.Rows != nil {
		if err := t.Stage(in.Batch); err != nil {
			return out, err
		}
	}
	if t.staged.Load() < 1 {
		return out, errors.New("there is no batch: give one, or stage it before")
	}
	last := t.targets[nodeTrain]
	if _, due := averageDecay(c.Average, in.Step); due && c.averages() {
		last = t.targets[nodeAverage]
	}
	begin := time.Now()
	t.staged.Add(-1)
	var got []*tf.Tensor
	for i := range c.accumulate {
		feeds, err := t.feeds(in, i)
		if err != nil {
			return out, err
		}
		switch i {
		case c.accumulate - 1:
			got, err = c.Cluster.Run(t.sess, feeds, t.results.fetches, []*tf.Operation{last})
		case 0:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.targets[nodeAccumulateFirst]})
		default:
			_, err = t.sess.Run(feeds, nil, []*tf.Operation{t.targets[nodeAccumulateMore]})
		}
		if err != nil {
			return out, err
		}
	}
	return t.results.output(got, begin, time.Now(), c.SkipNonFinite), nil
}

// stepResults holds what a step fetches, and the index of each result in it.
type stepResults struct {
	fetches []tf.Output
	at      map[string]int
}

// output returns the StepOutput for the values got of a step that ran from begin to end.
func (r stepResults) output(got []*tf.Tensor, begin, end time.Time, skip bool) (out StepOutput) {
	scalar := func(name string) float64 { // 0 without such a result
		if i, ok := r.at[name]; ok {
			return float64(got[i].Value().(float32))
		}
		return 0
	}
	moment := func(name string, otherwise time.Time) time.Time {
		if i, ok := r.at[name]; ok {
			return time.UnixMicro(int64(1e6 * got[i].Value().(float64)))
		}
		return otherwise
	}
	computed := moment(nodeComputed, begin)
	reduced := moment(nodeReduced, computed)
	out = StepOutput{
		Loss: scalar(nodeLoss), GradientNorm: scalar(nodeNorm), LossScale: scalar(nodeScale), Stop: scalar(nodeStopped) > 0,
		// If the clock is set during a step, times must not be negative.
		Compute: max(0, computed.Sub(begin)), AllReduce: max(0, reduced.Sub(computed)), Update: max(0, end.Sub(reduced)),
	}
	finite := !math.IsInf(out.GradientNorm, 0) && !math.IsNaN(out.GradientNorm)
	out.Skipped = !finite && (out.LossScale > 1 || skip)
	return out
}

// clock adds the host's time at which all marks, float32 [], were ready: float64 [],
// seconds since 1970. The second output has to be fetched together with the first:
// TensorFlow prunes ops that only a control dependency refers to, and only a copy to
// the host waits for the GPU's earlier work.
func clock(s *op.Scope, marks []tf.Output) []tf.Output {
	sum := op.AddN(s, marks)
	if s.Err() != nil {
		return nil
	}
	return []tf.Output{op.Timestamp(s.WithControlDependencies(sum.Op)), sum}
}
