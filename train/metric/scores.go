package metric

import (
	"encoding/json"
	"math"
	"strconv"
)

// Interval is the lower and the upper end of a 95 % bootstrap interval.
type Interval [2]float64

// Varies reports whether the ends of an interval differ. If not, all resamples of the examples have the same value, such as
// an accuracy of 0: there are few examples, or few of a kind, and the interval says nothing about how certain the value is.
// A nil interval does not vary.
func (i *Interval) Varies() bool {
	return i != nil && math.Abs(i[1]-i[0]) > 1e-9*math.Max(math.Abs(i[0]), math.Abs(i[1])) // but for rounding
}

// Value is a metric that may be undefined, such as the precision of a class that
// is never predicted: NaN, and null in JSON.
type Value float64

// IsZero reports whether the metric is undefined, so that omitzero omits the
// field.
func (v Value) IsZero() bool { return math.IsNaN(float64(v)) }

// MarshalJSON writes null for NaN.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*v = Value(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(v))
}

// Scores holds the metrics described in the package comment. An interval is nil
// if it was not requested or its metric is undefined.
type Scores struct {
	Examples     int       `json:"examples"`
	RMSE         float64   `json:"rmse"`
	RMSEInterval *Interval `json:"rmse_interval,omitempty"`
	// AccuracyArgmax is the accuracy of the largest of all columns of vote fractions. Its
	// key and the key of CleanClasses contain the numbers of labels.GalaxyZoo, but are
	// used for any schema.
	AccuracyArgmax           Value     `json:"accuracy_argmax37,omitzero"`
	AccuracyArgmaxInterval   *Interval `json:"accuracy_argmax37_interval,omitempty"`
	QuestionAccuracy         Value     `json:"question_accuracy,omitzero"`
	QuestionAccuracyInterval *Interval `json:"question_accuracy_interval,omitempty"`
	Loss                     Value     `json:"loss"`
	LossInterval             *Interval `json:"loss_interval,omitempty"`
	// FractionCalibration and Questions exist for vote fractions only.
	FractionCalibration *Calibration    `json:"fraction_calibration,omitempty"`
	Questions           []QuestionScore `json:"questions,omitempty"`
	// Votes exists for counts only.
	Votes *VoteScores `json:"votes,omitempty"`
	// CleanClasses is nil if no galaxy has a clean class.
	CleanClasses *CleanClassScores `json:"five_class,omitempty"`
	Slices       []SliceScores     `json:"slices,omitempty"`
}

// QuestionScore holds the scores of one question of the schema.
type QuestionScore struct {
	Question         int       `json:"question"` // its number, from 1
	Reached          float64   `json:"reached"`  // mean fraction of volunteers who reached it
	Accuracy         Value     `json:"accuracy"` // weighted by the fraction who reached it
	AccuracyInterval *Interval `json:"accuracy_interval,omitempty"`
	RMSE             Value     `json:"rmse"` // over its columns
	RMSEInterval     *Interval `json:"rmse_interval,omitempty"`
	// Votes exists for counts only.
	Votes *VoteScores `json:"votes,omitempty"`
}

// Calibration compares predicted fractions with the outcomes.
type Calibration struct {
	Error         Value            `json:"ece"` // expected calibration error
	ErrorInterval *Interval        `json:"ece_interval,omitempty"`
	Bins          []ReliabilityBin `json:"bins"` // non-empty bins
}

// ReliabilityBin is a row of a reliability table: the number of predictions from
// From to below To (or to 1, in the last bin), their mean, and the mean outcome.
type ReliabilityBin struct {
	From      float64 `json:"from"`
	To        float64 `json:"to"`
	Count     int     `json:"count"`
	Predicted float64 `json:"predicted"`
	Observed  float64 `json:"observed"`
}

func (b *ReliabilityBin) add(predicted, observed float64) {
	b.Count++
	b.Predicted += predicted
	b.Observed += observed
}

// CleanClassScores holds the scores of the galaxies that have a class.
type CleanClassScores struct {
	Examples                 int       `json:"examples"`
	Accuracy                 Value     `json:"accuracy"`
	AccuracyInterval         *Interval `json:"accuracy_interval,omitempty"`
	BalancedAccuracy         Value     `json:"balanced_accuracy"`
	BalancedAccuracyInterval *Interval `json:"balanced_accuracy_interval,omitempty"`
	MacroF1                  Value     `json:"macro_f1"`
	MacroF1Interval          *Interval `json:"macro_f1_interval,omitempty"`
	ProbabilityScores
	Classes []ClassScore `json:"classes"`
	// Confusion counts galaxies by their class (row) and the predicted class
	// (column), both in the order of Classes.
	Confusion   [][]int     `json:"confusion"`
	Calibration Calibration `json:"calibration"` // of the confidence in the predicted class
}

// ProbabilityScores holds the scores of the classes' probabilities, whichever class is the largest.
type ProbabilityScores struct {
	ROCAUC          Value     `json:"roc_auc"` // mean of the classes'
	ROCAUCInterval  *Interval `json:"roc_auc_interval,omitempty"`
	LogLoss         Value     `json:"log_loss"` // nats
	LogLossInterval *Interval `json:"log_loss_interval,omitempty"`
}

// ClassScore holds the scores of one class.
type ClassScore struct {
	Class             string    `json:"class"`
	Examples          int       `json:"examples"`  // galaxies of the class
	Predicted         int       `json:"predicted"` // galaxies predicted as it
	Precision         Value     `json:"precision"`
	PrecisionInterval *Interval `json:"precision_interval,omitempty"`
	Recall            Value     `json:"recall"`
	RecallInterval    *Interval `json:"recall_interval,omitempty"`
	F1                Value     `json:"f1"`
	F1Interval        *Interval `json:"f1_interval,omitempty"`
	ROCAUC            Value     `json:"roc_auc"` // of this class against the others
	ROCAUCInterval    *Interval `json:"roc_auc_interval,omitempty"`
}

// SliceScores holds the scores of the examples in one quartile of a trait:
// values above From (in the first quartile from From on) up to To.
type SliceScores struct {
	By           string    `json:"by"`
	Quartile     int       `json:"quartile"` // 1 to 4
	From         float64   `json:"from"`
	To           float64   `json:"to"`
	Unit         string    `json:"unit"`
	Examples     int       `json:"examples"`
	RMSE         Value     `json:"rmse"`
	RMSEInterval *Interval `json:"rmse_interval,omitempty"`
	// Accuracy is the accuracy of the largest column, of the fractions or of the classes.
	Accuracy         Value     `json:"accuracy"`
	AccuracyInterval *Interval `json:"accuracy_interval,omitempty"`
}

// Result holds the scores of a model and, on the same examples, of the constant
// predictor.
type Result struct {
	Scores
	// Baseline is nil if New was given no Constant. It has no intervals.
	Baseline *Scores `json:"baseline,omitempty"`
	// Symmetry is nil unless the caller has measured it, by Views.
	Symmetry *Symmetry `json:"symmetry,omitempty"`
}

// Figure is one metric of a Result.
type Figure struct {
	// Name joins the names in the JSON object: "five_class.round.recall".
	Name string
	// Value and Constant, the constant predictor's value, are NaN if undefined.
	Value, Constant float64
	Interval        *Interval
}

// ByName returns all metrics of r by their names.
func (r *Result) ByName() map[string]Figure {
	all := map[string]Figure{}
	for _, f := range r.Figures() {
		all[f.Name] = f
	}
	return all
}

// Figures lists all metrics of r.
func (r *Result) Figures() []Figure {
	constants := map[string]float64{}
	if r.Baseline != nil {
		for _, f := range r.Baseline.figures() {
			constants[f.name] = f.value
		}
	}
	var all []Figure
	figures := r.figures()
	if r.Symmetry != nil {
		figures = append(figures, r.Symmetry.figures()...)
	}
	for _, f := range figures {
		constant, ok := constants[f.name]
		if !ok {
			constant = math.NaN()
		}
		all = append(all, Figure{Name: f.name, Value: f.value, Constant: constant, Interval: *f.interval})
	}
	return all
}

// figure is one metric of a Scores, and the place of its interval.
type figure struct {
	name     string
	value    float64
	interval **Interval
}

// figures lists all metrics of s, always in the same order.
func (s *Scores) figures() []figure {
	var all []figure
	add := func(name string, value Value, interval **Interval) {
		all = append(all, figure{name, float64(value), interval})
	}
	add("rmse", Value(s.RMSE), &s.RMSEInterval)
	if s.Questions != nil {
		add("accuracy_argmax37", s.AccuracyArgmax, &s.AccuracyArgmaxInterval)
		add("question_accuracy", s.QuestionAccuracy, &s.QuestionAccuracyInterval)
	}
	add("loss", s.Loss, &s.LossInterval)
	s.Votes.figures("", add)
	if c := s.FractionCalibration; c != nil {
		add("fraction_calibration.ece", c.Error, &c.ErrorInterval)
	}
	for i := range s.Questions {
		q := &s.Questions[i]
		name := "question." + strconv.Itoa(q.Question)
		add(name+".accuracy", q.Accuracy, &q.AccuracyInterval)
		add(name+".rmse", q.RMSE, &q.RMSEInterval)
		q.Votes.figures(name+".", add)
	}
	if f := s.CleanClasses; f != nil {
		add("five_class.accuracy", f.Accuracy, &f.AccuracyInterval)
		add("five_class.balanced_accuracy", f.BalancedAccuracy, &f.BalancedAccuracyInterval)
		add("five_class.macro_f1", f.MacroF1, &f.MacroF1Interval)
		add("five_class.roc_auc", f.ROCAUC, &f.ROCAUCInterval)
		add("five_class.log_loss", f.LogLoss, &f.LogLossInterval)
		for i := range f.Classes {
			c := &f.Classes[i]
			name := "five_class." + c.Class
			add(name+".precision", c.Precision, &c.PrecisionInterval)
			add(name+".recall", c.Recall, &c.RecallInterval)
			add(name+".f1", c.F1, &c.F1Interval)
			add(name+".roc_auc", c.ROCAUC, &c.ROCAUCInterval)
		}
		add("five_class.calibration.ece", f.Calibration.Error, &f.Calibration.ErrorInterval)
	}
	for i := range s.Slices {
		p := &s.Slices[i]
		name := "slice." + p.By + "." + strconv.Itoa(p.Quartile)
		add(name+".rmse", p.RMSE, &p.RMSEInterval)
		add(name+".accuracy", p.Accuracy, &p.AccuracyInterval)
	}
	return all
}
