package metric_test

import (
	"fmt"
	"log"
	"math"
	"slices"

	"galaxy/labels"
	"galaxy/train/metric"
)

// crossEntropy is a loss; package objective has the losses for training.
type crossEntropy struct{}

func (crossEntropy) LossOf(logits, labels []float32) float64 {
	sum := 0.0
	for j := range labels {
		x, y := float64(logits[j]), float64(labels[j])
		sum += math.Max(x, 0) - x*y + math.Log1p(math.Exp(-math.Abs(x)))
	}
	return sum / float64(len(labels))
}

// Spread is of losses of counts.
func (crossEntropy) Spread([]float32) []float64 { return nil }

func (crossEntropy) LogitsFor(means []float64) (logits []float64) {
	for _, y := range means {
		logits = append(logits, math.Log(y/(1-y)))
	}
	return logits
}

// Two galaxies of the train split make the baseline; a third is scored.
func Example() {
	row := func(smooth, disk, notOdd float32) []float32 {
		r := make([]float32, 37)
		r[0], r[1], r[13], r[14] = smooth, disk, 1-notOdd, notOdd
		return r
	}
	constant, err := metric.FitConstant(labels.GalaxyZoo(), slices.Values([][]float32{row(0.8, 0.2, 0.9), row(0.4, 0.6, 0.8)}))
	if err != nil {
		log.Fatal(err)
	}
	loss := crossEntropy{}
	evaluation := metric.New(labels.GalaxyZoo(), loss, constant)

	labels, probabilities := row(0.3, 0.7, 1), row(0.4, 0.6, 0.9)
	logits := make([]float32, len(probabilities))
	for j, p := range probabilities {
		logits[j] = float32(math.Log(max(float64(p), 1e-3) / (1 - float64(p))))
	}
	if err := evaluation.Add(logits, probabilities, labels); err != nil {
		log.Fatal(err)
	}
	result, err := evaluation.Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("rmse %.4f, constant %.4f\n", result.RMSE, result.Baseline.RMSE)
	fmt.Printf("largest of 37 %.0f, constant %.0f\n", result.AccuracyArgmax, result.Baseline.AccuracyArgmax)
	// Output:
	// rmse 0.0329, constant 0.0780
	// largest of 37 1, constant 1
}
