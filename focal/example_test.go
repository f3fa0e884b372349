package focal_test

import (
	"fmt"
	"log"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/focal"
)

// A network trained with focal loss does not predict vote fractions: if 70 % of
// the volunteers said yes, its best sigmoid is 0.48. The posterior undoes that.
func ExampleParams_PosteriorAt() {
	params := focal.Default()
	logit := params.LogitFor(0.7) // where the loss for the label 0.7 is smallest
	fmt.Printf("logit %.4f\n", logit)
	fmt.Printf("fraction %.4f\n", params.PosteriorAt(logit))
	// Output:
	// logit -0.0939
	// fraction 0.7000
}

// The loss and the fractions of two examples with two answers each.
func ExampleParams_Loss() {
	params := focal.Params{Alpha: 0.25, Gamma: 2}
	s := op.NewScope()
	logits := op.Const(s.SubScope("logits"), [][]float32{{0, 2}, {-1, 1}})
	labels := op.Const(s.SubScope("labels"), [][]float32{{0.5, 1}, {0, 0.3}})
	loss := params.Loss(s, logits, labels)
	fractions := params.Posterior(s, logits)
	graph, err := s.Finalize() // returns the first error of all calls
	if err != nil {
		log.Fatal(err)
	}
	session, err := tf.NewSession(graph, nil)
	if err != nil {
		log.Fatal(err)
	}
	values, err := session.Run(nil, []tf.Output{loss, fractions}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("loss %.4f\n", values[0].Value())
	fmt.Printf("fractions %.3f\n", values[1].Value())
	if err := session.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// loss 0.1186
	// fractions [[0.750 0.998] [0.170 0.978]]
}
