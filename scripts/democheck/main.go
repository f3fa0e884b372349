// Command democheck reads the two results of the demo, of the run and of the
// SavedModel exported from it, prints them side by side, and fails if the
// network did not learn or the two disagree.
//
//	democheck [-max-rmse-ratio R] eval-run.json eval-savedmodel.json
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
)

// agreement is how far apart the metrics of the run and of its SavedModel may
// be. Both run the same ops in the same precision; TensorFlow may fuse them
// differently, which in bfloat16 moves a logit by some hundredths and, averaged
// over the galaxies, the metrics by less than this.
const agreement = 1e-4

// scores are the metrics of one predictor, as `galaxy eval --json` prints them.
type scores struct {
	RMSE             float64 `json:"rmse"`
	Accuracy         float64 `json:"accuracy_argmax37"`
	QuestionAccuracy float64 `json:"question_accuracy"`
	Loss             float64 `json:"loss"`
	// Classes is what a network that predicts classes is judged by, and the fields of answers are 0.
	Classes classScores `json:"five_class"`
}

type classScores struct {
	Accuracy         float64    `json:"accuracy"`
	AccuracyCI95     [2]float64 `json:"accuracy_interval"`
	BalancedAccuracy float64    `json:"balanced_accuracy"`
	MacroF1          float64    `json:"macro_f1"`
}

// result is the part that democheck needs of the object that `galaxy eval --json` prints.
type result struct {
	scores
	Examples        int        `json:"examples"`
	ImagesPerSecond float64    `json:"images_per_second"`
	AccuracyCI95    [2]float64 `json:"accuracy_argmax37_interval"` // bootstrap interval of Accuracy
	Baseline        scores     `json:"baseline"`                   // the constant predictor
}

func main() {
	ratio := flag.Float64("max-rmse-ratio", 0.75, "highest share of the constant predictor's RMSE that counts as learned; 0: any does")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: democheck [-max-rmse-ratio R] RUN.json SAVEDMODEL.json")
		os.Exit(2)
	}
	if err := check(os.Stdout, *ratio, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "democheck:", err)
		os.Exit(1)
	}
}

func check(out io.Writer, maxRatio float64, runPath, savedPath string) error {
	run, err := read(runPath)
	if err != nil {
		return err
	}
	saved, err := read(savedPath)
	if err != nil {
		return err
	}
	print(out, run, saved)
	return errors.Join(learned(run, maxRatio), agree(run, saved))
}

// ofClasses reports whether the network predicts classes and no answers.
func (r result) ofClasses() bool { return r.QuestionAccuracy == 0 }

func read(path string) (result, error) {
	var r result
	b, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("read result: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read result %s: %w", path, err)
	}
	if r.ofClasses() {
		r.AccuracyCI95 = r.Classes.AccuracyCI95
		r.Accuracy, r.Baseline.Accuracy = r.Classes.Accuracy, r.Baseline.Classes.Accuracy
	}
	if r.Examples == 0 || r.RMSE == 0 || r.Baseline.RMSE == 0 {
		return r, fmt.Errorf("read result %s: it lacks examples, rmse or baseline.rmse", path)
	}
	return r, nil
}

// learned compares the run with the constant predictor; a maxRatio of 0 skips it.
func learned(r result, maxRatio float64) error {
	if maxRatio == 0 {
		return nil
	}
	var errs []error
	if got := r.RMSE / r.Baseline.RMSE; !(got <= maxRatio) {
		errs = append(errs, fmt.Errorf("the test RMSE is %.3f of the constant predictor's, expected at most %.3f", got, maxRatio))
	}
	if low := r.AccuracyCI95[0]; !(low > r.Baseline.Accuracy) {
		errs = append(errs, fmt.Errorf("the accuracy's lower 95%% bound %.4f is not above the majority's accuracy %.4f", low, r.Baseline.Accuracy))
	}
	return errors.Join(errs...)
}

func agree(run, saved result) error {
	var errs []error
	if run.Examples != saved.Examples {
		errs = append(errs, fmt.Errorf("the run was evaluated on %d examples, the SavedModel on %d", run.Examples, saved.Examples))
	}
	for _, f := range []struct {
		name       string
		run, saved float64
	}{{"RMSE", run.RMSE, saved.RMSE}, {"loss", run.Loss, saved.Loss}} {
		if !(math.Abs(f.run-f.saved) <= agreement) {
			errs = append(errs, fmt.Errorf("%s of the run %.6f and of the SavedModel %.6f differ by more than %g", f.name, f.run, f.saved, agreement))
		}
	}
	return errors.Join(errs...)
}

func print(out io.Writer, run, saved result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "test split, %d examples\trun\tSavedModel\tconstant predictor\t\n", run.Examples)
	row := func(name string, of func(scores) float64) {
		fmt.Fprintf(w, "%s\t%.5f\t%.5f\t%.5f\t\n", name, of(run.scores), of(saved.scores), of(run.Baseline))
	}
	row("RMSE", func(s scores) float64 { return s.RMSE })
	if run.ofClasses() {
		row("accuracy", func(s scores) float64 { return s.Accuracy })
		row("balanced accuracy", func(s scores) float64 { return s.Classes.BalancedAccuracy })
		row("macro F1", func(s scores) float64 { return s.Classes.MacroF1 })
	} else {
		row("largest-answer accuracy", func(s scores) float64 { return s.Accuracy })
		row("question accuracy", func(s scores) float64 { return s.QuestionAccuracy })
	}
	row("loss", func(s scores) float64 { return s.Loss })
	fmt.Fprintf(w, "images per second\t%.0f\t%.0f\t\t\n", run.ImagesPerSecond, saved.ImagesPerSecond)
	w.Flush()
	fmt.Fprintf(out, "RMSE is %.3f of the constant predictor's; the accuracy's 95%% interval is %.4f to %.4f\n",
		run.RMSE/run.Baseline.RMSE, run.AccuracyCI95[0], run.AccuracyCI95[1])
}
