package savedmodel_test

import (
	"context"
	"fmt"
	"log"

	"galaxy/focal"
	"galaxy/graph/network"
	"galaxy/savedmodel"
)

// Export a checkpoint in the frozen form and predict with the result.
func Example() {
	loss := focal.Default()
	err := savedmodel.Export(context.Background(), savedmodel.Config{
		Out:        "model",
		Checkpoint: "run/checkpoints/step-00001000/variables",
		Model: network.Config{
			Size: 64, Outputs: 2, Precision: network.Float32,
			Mean: []float64{0.04, 0.04, 0.03}, Std: []float64{0.1, 0.09, 0.08},
		},
		Posterior: loss.Posterior,
		Crop:      224,
		Frozen:    true,
		Metadata:  savedmodel.Metadata{Answers: []string{"smooth", "featured"}},
	})
	if err != nil {
		log.Fatal(err)
	}

	m, err := savedmodel.Load("model", savedmodel.LoadConfig{Size: 64})
	if err != nil {
		log.Fatal(err)
	}
	images := make([]byte, 3*64*64*3) // three images
	_, probabilities, err := m.Predict(images)
	if err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		fmt.Println(probabilities[i*m.Outputs:][:m.Outputs])
	}
}
