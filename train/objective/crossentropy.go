package objective

import (
	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// CrossEntropy is −yⱼ·log pⱼ − (1−yⱼ)·log(1−pⱼ) for independent columns, and −yⱼ·log qⱼ with the
// fraction qⱼ of those asked the question otherwise. (TensorFlow's SoftmaxCrossEntropyWithLogits
// does not fit: its gradient assumes labels that sum to 1, but a question's labels sum to the
// fraction of volunteers who are asked it.) The column yⱼ already is the fraction of all
// volunteers who gave answer j, so the log of the product p would count every question again for
// each question after it, and its minimum would not be at the vote fractions.
//
// For counts it is the cross-entropy weighted by votes, −Σⱼ kⱼ·log qⱼ: the negative logarithm of
// the multinomial probability.
const CrossEntropy Loss = "crossentropy"

func init() {
	register(CrossEntropy, lossRow{
		binary:      func(Config) binary { return binaryCrossEntropy{} },
		categorical: func(Config) categorical { return categoricalCrossEntropy{} },
		votes:       func(Config) likelihood { return multinomial{} },
	})
}

type multinomial struct{ properCategorical }

// Log multiplies no logarithm of 0: in float64 a log-softmax of float32 logits is finite.
func (multinomial) Log(s *op.Scope, logits, votes tf.Output) tf.Output {
	at := s.SubScope
	return sumColumns(at("sum"), op.Mul(at("weighted"), votes, op.LogSoftmax(at("log_softmax"), logits)))
}

func (multinomial) LogOf(logits, votes []float64) float64 {
	logSum, total := logSumExp(logits), 0.0
	for k, x := range logits {
		total += votes[k] * (x - logSum)
	}
	return total
}

func (multinomial) Spread([]float64) float64 { return 0 }

type binaryCrossEntropy struct{ properBinary }

func (binaryCrossEntropy) Elements(s *op.Scope, logits, labels tf.Output) tf.Output {
	half := sigmoid.Elements(s, logits, labels)
	if s.Err() != nil {
		return tf.Output{}
	}
	return op.AddV2(s.SubScope("twice"), half, half)
}

func (binaryCrossEntropy) LossAt(logit, label float64) float64 {
	return 2 * sigmoid.LossAt(logit, label)
}

type categoricalCrossEntropy struct{ properCategorical }

func (categoricalCrossEntropy) Elements(s *op.Scope, x outputs, labels tf.Output) tf.Output {
	at := s.SubScope
	return op.Neg(at("neg"), op.Mul(at("cross_entropy"), labels, x.logFractions(at("log_softmax"))))
}

func (categoricalCrossEntropy) LossAt(x output, label float64) float64 {
	if label == 0 { // not 0·∞
		return 0
	}
	return -label * x.logFraction
}
