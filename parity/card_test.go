//go:build parity

package parity

import (
	"maps"
	"slices"
	"testing"

	"galaxy/data"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/modelcard"
	"galaxy/train"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// TestCard reads a model card with huggingface_hub, which checks its metadata.
func TestCard(t *testing.T) {
	text, err := modelcard.Card{
		Name: "a: [run]", License: "cc-by-4.0",
		Config: train.Config{Cache: train.CacheRef{Schema: labels.GalaxyZoo()}, Model: network.Config{Arch: "resnet6", Mean: channelMean[:3]}, Objective: objective.Config{Head: objective.Tree, Loss: objective.Focal}},
		Evaluation: &modelcard.Evaluation{Split: data.Test, Result: metric.Result{
			Scores: metric.Scores{RMSE: 0.1, AccuracyArgmax: 0.75, Questions: []metric.QuestionScore{{Question: 1}}},
		}},
	}.README()
	must(t, err)
	var got struct {
		Name, License, Library, Pipeline, Split string
		Tags                                    []string
		Metrics                                 map[string]float64
	}
	ask(t, "card.py", map[string]string{"card": writeFile(t, text)}, &got)
	want := map[string]float64{"RMSE": 0.1, "accuracy, largest of 37": 0.75, "accuracy over questions": 0, "loss": 0}
	if got.Name != "a: [run]" || got.License != "cc-by-4.0" || got.Library != "tensorflow" || got.Pipeline != "image-classification" || got.Split != "test" || !slices.Contains(got.Tags, "astronomy") || !maps.Equal(got.Metrics, want) {
		t.Errorf("huggingface_hub reads %+v, expected the metrics %v", got, want)
	}
}
