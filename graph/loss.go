package graph

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Loss builds a scalar float32 loss of logits and labels, both float32
// [N, outputs]: the mean over every element, so that losses of batches can be
// averaged.
type Loss func(s *op.Scope, logits, labels tf.Output) tf.Output

// Posterior builds the probabilities, float32 [N, outputs], that correspond to
// logits (float32, same shape) under the training loss.
type Posterior func(s *op.Scope, logits tf.Output) tf.Output
