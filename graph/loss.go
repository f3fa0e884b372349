package graph

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// Loss builds a scalar float32 loss of logits and labels, both float32
// [N, outputs]: the mean over every element, so that losses of batches can be
// averaged.
//
// With TrainerConfig.Pairs it is the loss of the embeddings of two views of each image, both float32
// [N, outputs], in the place of logits and labels. Losses of this kind compare all examples of a batch, so
// the loss of a batch is the mean over its replicas and micro-batches, each of which sees its own
// examples only.
type Loss func(s *op.Scope, logits, labels tf.Output) tf.Output

// Posterior builds the probabilities, float32 [N, outputs], that correspond to
// logits (float32, same shape) under the training loss.
type Posterior func(s *op.Scope, logits tf.Output) tf.Output
