package metric_test

import (
	"fmt"
	"log"
	"math"
	"slices"

	"galaxy/train/metric"
)

// crossEntropy is a loss; focal.Params is the one that networks are trained with.
type crossEntropy struct{}

func (crossEntropy) LossAt(x, y float64) float64 {
	return math.Max(x, 0) - x*y + math.Log1p(math.Exp(-math.Abs(x)))
}

func (crossEntropy) LogitFor(y float64) float64 { return math.Log(y / (1 - y)) }

// Two galaxies of the train split make the baseline; a third is scored.
func Example() {
	row := func(smooth, disk, notOdd float32) []float32 {
		r := make([]float32, 37)
		r[0], r[1], r[13], r[14] = smooth, disk, 1-notOdd, notOdd
		return r
	}
	constant, err := metric.FitConstant(slices.Values([][]float32{row(0.8, 0.2, 0.9), row(0.4, 0.6, 0.8)}))
	if err != nil {
		log.Fatal(err)
	}
	loss := crossEntropy{}
	evaluation := metric.New(loss, constant)

	labels, probabilities := row(0.3, 0.7, 1), row(0.4, 0.6, 0.9)
	var logits []float32
	for _, p := range probabilities {
		logits = append(logits, float32(loss.LogitFor(max(float64(p), 1e-3))))
	}
	if err := evaluation.Add(logits, probabilities, labels); err != nil {
		log.Fatal(err)
	}
	result, err := evaluation.Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("rmse %.4f, constant %.4f\n", result.RMSE, result.Baseline.RMSE)
	fmt.Printf("largest of 37 %.0f, constant %.0f\n", result.AccuracyArgmax37, result.Baseline.AccuracyArgmax37)
	// Output:
	// rmse 0.0329, constant 0.0780
	// largest of 37 1, constant 1
}
