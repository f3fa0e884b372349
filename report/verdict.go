package report

import (
	"fmt"
	"math"
	"strings"

	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train/metric"
)

// A headline is one of the metrics that the report begins with.
type headline struct {
	Text, Better string // Better says in which direction it is better
	Percent      bool
	// same is set if all resamples have the same value, so that there is no interval.
	same bool
	metric.Figure
}

const (
	higherIsBetter = "higher is better"
	lowerIsBetter  = "lower is better"
)

// headlines returns the four of metric.Headlines that matter the most for what the network predicts. A metric that is not
// defined is left out.
func (e *Evaluation) headlines() []headline {
	names := []string{"rmse", "question_accuracy", "five_class.accuracy", "accuracy_argmax37", "fraction_calibration.ece"}
	switch {
	case e.ofClasses():
		names = []string{"five_class.accuracy", "five_class.balanced_accuracy", "five_class.macro_f1", "five_class.roc_auc"}
	case e.Target.Values() == labels.Counts:
		names[4] = "votes.log_likelihood"
	}
	texts := map[string]string{}
	for _, h := range metric.Headlines(e.Target.Source()) {
		texts[h.Name] = h.Text
	}
	if c := e.CleanClasses; c != nil && c.Examples < len(e.Examples) && !e.ofClasses() {
		texts["five_class.accuracy"] += fmt.Sprintf(" (of %s)", usage.Count(c.Examples, "galaxy"))
	}
	figures := e.ByName()
	var defined []headline
	for _, name := range names {
		f, ok := figures[name]
		if !ok || math.IsNaN(f.Value) || len(defined) == 4 {
			continue
		}
		h := headline{Text: texts[name], Better: higherIsBetter, Percent: strings.Contains(name, "accuracy"), Figure: f, same: f.Interval != nil && !f.Interval.Varies()}
		if name == "rmse" || name == "fraction_calibration.ece" {
			h.Better = lowerIsBetter
		}
		defined = append(defined, h)
	}
	return defined
}

// ofClasses reports whether the network predicts classes.
func (e *Evaluation) ofClasses() bool { return e.Target.Derived() || e.Target.OfClasses() }

// noInterval says why metrics have no interval; "" if all that are defined have one.
func (e *Evaluation) noInterval() string {
	for _, f := range e.Figures() {
		if f.Interval != nil && !f.Interval.Varies() && !math.IsNaN(f.Value) {
			return "Where an interval is missing, all resamples of the galaxies give the same value. That does not make the value certain: there are few galaxies, or few of the kind."
		}
	}
	return ""
}

// value and interval format a metric for people.
func (h headline) value(v float64) string { return formatted(v, h.Percent) }

func formatted(v float64, percent bool) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case percent:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.4f", v)
}

func (h headline) interval() string {
	if !h.Interval.Varies() {
		return ""
	}
	return h.value(h.Interval[0]) + " to " + h.value(h.Interval[1])
}

// Verdict says in a sentence how good the network is.
func (r *Report) Verdict() string {
	e := r.Evaluation
	if e == nil {
		if r.Run != nil {
			if step, rmse, ok := r.best(); ok {
				return fmt.Sprintf("The network could not be evaluated on the test split; its best validation RMSE is %.4f, at step %d.", rmse, step)
			}
		}
		return "This run has not been evaluated, so nobody knows yet how good it is."
	}
	all := e.headlines()
	if len(all) == 0 {
		return fmt.Sprintf("No metric is defined for the %s of the %v split.", usage.Count(len(e.Examples), "galaxy"), e.Split)
	}
	h := all[0]
	text := fmt.Sprintf("On the %s of the %v split, the network's %s is %s", usage.Count(len(e.Examples), "galaxy"), e.Split, h.Text, h.value(h.Value))
	if h.Interval.Varies() {
		text += " (95 % interval " + h.interval() + ")"
	}
	if math.IsNaN(h.Constant) {
		return text + "."
	}
	if h.same {
		return fmt.Sprintf("%s, and the constant predictor's, which ignores the image, is %s. There is no interval, because all resamples of the galaxies give the same value: it takes more galaxies to tell which is better.", text, h.value(h.Constant))
	}
	gain, worst, best := h.Value-h.Constant, h.Value, h.Value
	if h.Interval != nil {
		worst, best = h.Interval[0], h.Interval[1]
	}
	if h.Better == lowerIsBetter {
		gain, worst, best = -gain, best, worst
	}
	constant := fmt.Sprintf("the constant predictor, which ignores the image, has %s", h.value(h.Constant))
	switch {
	case gain < 0 && (best-h.Constant)*(h.Value-h.Constant) > 0:
		return text + ". That is worse than a constant: " + constant + "."
	case gain <= 0:
		return text + ". That is no better than a constant: " + constant + "."
	case (worst-h.Constant)*(h.Value-h.Constant) <= 0:
		return text + ". It may be no better than a constant: " + constant + ", inside the interval."
	case h.Percent:
		return fmt.Sprintf("%s. That is %.1f percentage points better than a constant: %s.", text, 100*gain, constant)
	}
	return fmt.Sprintf("%s. That is %.0f %% better than a constant: %s.", text, 100*gain/math.Abs(h.Constant), constant)
}
