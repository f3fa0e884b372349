package metric

import (
	"fmt"
	"slices"

	"galaxy/labels"
)

// Headline is one of the main metrics of a Result: the Name of its Figure, and what people call it.
type Headline struct{ Name, Text string }

// Headlines returns the main metrics of models that were trained on labels of a schema, the most important first. Of plain
// classes that is what people expect of a classifier, and the RMSE by which a run chooses its best
// checkpoint. A Result may lack some of them.
func Headlines(s *labels.Schema) []Headline {
	classes := func(of string) []Headline {
		return []Headline{
			{"five_class.accuracy", of + "accuracy"},
			{"five_class.balanced_accuracy", of + "balanced accuracy"},
			{"five_class.macro_f1", of + "macro F1"},
			{"five_class.roc_auc", of + "ROC-AUC, mean of the classes"},
			{"five_class.log_loss", of + "log loss"},
			{"five_class.calibration.ece", of + "calibration error"},
		}
	}
	if s.OfClasses() {
		return append(classes(""), Headline{"rmse", "RMSE of the probabilities"}, Headline{"loss", "training loss"})
	}
	return slices.Concat([]Headline{
		{"rmse", "RMSE"},
		{"accuracy_argmax37", fmt.Sprintf("accuracy, largest of %d", s.Width())},
		{"question_accuracy", "accuracy over questions"},
		{"votes.noise_rmse", "RMSE of the votes' noise alone"},
		{"votes.log_likelihood", "log-likelihood of the votes"},
		{"votes.coverage_50", "votes inside the 50 % intervals"},
		{"votes.coverage_90", "votes inside the 90 % intervals"},
		{"fraction_calibration.ece", "calibration error of the fractions"},
		{"loss", "loss"},
	}, classes("clean classes: "))
}
