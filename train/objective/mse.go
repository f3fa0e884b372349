package objective

import (
	"math"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
)

// MSE is (pⱼ − yⱼ)², whose mean is the square of the reported RMSE.
const MSE Loss = "mse"

func init() {
	register(MSE, lossRow{
		binary:      func(Config) binary { return binarySquaredError{} },
		categorical: func(Config) categorical { return categoricalSquaredError{} },
		lacks:       "a squared error of fractions is no likelihood of votes",
		noSmoothing: "it keeps logits from growing without end, which mse does not ask of them",
	})
}

type binarySquaredError struct{ properBinary }

func (e binarySquaredError) Elements(s *op.Scope, logits, labels tf.Output) tf.Output {
	return op.SquaredDifference(s.SubScope("squared_error"), e.Posterior(s.SubScope("sigmoid"), logits), labels)
}

func (binarySquaredError) LossAt(logit, label float64) float64 {
	return square(1/(1+math.Exp(-logit)) - label)
}

type categoricalSquaredError struct{ properCategorical }

func (categoricalSquaredError) Elements(s *op.Scope, x outputs, labels tf.Output) tf.Output {
	return op.SquaredDifference(s.SubScope("squared_error"), x.probabilities(s.SubScope("probabilities")), labels)
}

func (categoricalSquaredError) LossAt(x output, label float64) float64 {
	return square(x.probability - label)
}

func square(x float64) float64 { return x * x }
