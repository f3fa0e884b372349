package metric

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"galaxy/labels"
)

// Symmetry says how far predictions and features move when the image of a galaxy is rotated by quarter turns and mirrored,
// which does not change the galaxy. A change is the absolute difference between a prediction for a view and for the
// image as it is, in percentage points. Means are over galaxies, views and columns. Intervals are nil, and
// metrics undefined, if they were not requested or there is nothing to compute them from.
type Symmetry struct {
	Views int `json:"views"` // of each galaxy, with the image as it is
	// MeanChange is of all columns.
	MeanChange         float64   `json:"mean_change"`
	MeanChangeInterval *Interval `json:"mean_change_interval,omitempty"`
	// LargestChange is the mean over galaxies of the largest change of any column in any view.
	LargestChange         float64   `json:"largest_change"`
	LargestChangeInterval *Interval `json:"largest_change_interval,omitempty"`
	// LargestOfAll is the largest change of any galaxy.
	LargestOfAll float64 `json:"largest_of_all"`
	// AnswerChanges is the fraction of galaxies for which another column is the largest of all in some view.
	AnswerChanges         float64   `json:"answer_changes"`
	AnswerChangesInterval *Interval `json:"answer_changes_interval,omitempty"`
	// ClassMeanChange, ClassLargestChange and ClassLargestOfAll are changes of the score (labels.Schema.ClassScores) of
	// the class that is predicted for the image as it is, and ClassChanges is the fraction of galaxies for which another class is
	// predicted in some view.
	ClassMeanChange            Value     `json:"class_mean_change,omitzero"`
	ClassMeanChangeInterval    *Interval `json:"class_mean_change_interval,omitempty"`
	ClassLargestChange         Value     `json:"class_largest_change,omitzero"`
	ClassLargestChangeInterval *Interval `json:"class_largest_change_interval,omitempty"`
	ClassLargestOfAll          Value     `json:"class_largest_of_all,omitzero"`
	ClassChanges               Value     `json:"class_changes,omitzero"`
	ClassChangesInterval       *Interval `json:"class_changes_interval,omitempty"`
	// FeatureCosine is the mean cosine of the angle between the features of a view and of the image as it is, and
	// FeatureCosineSmallest the smallest of all.
	FeatureCosine         Value     `json:"feature_cosine,omitzero"`
	FeatureCosineInterval *Interval `json:"feature_cosine_interval,omitempty"`
	FeatureCosineSmallest Value     `json:"feature_cosine_smallest,omitzero"`
}

// figures lists the metrics.
func (s *Symmetry) figures() []figure {
	var none *Interval
	return []figure{
		{"symmetry.mean_change", s.MeanChange, &s.MeanChangeInterval},
		{"symmetry.largest_change", s.LargestChange, &s.LargestChangeInterval},
		{"symmetry.largest_of_all", s.LargestOfAll, &none},
		{"symmetry.answer_changes", s.AnswerChanges, &s.AnswerChangesInterval},
		{"symmetry.class_mean_change", float64(s.ClassMeanChange), &s.ClassMeanChangeInterval},
		{"symmetry.class_largest_change", float64(s.ClassLargestChange), &s.ClassLargestChangeInterval},
		{"symmetry.class_largest_of_all", float64(s.ClassLargestOfAll), &none},
		{"symmetry.class_changes", float64(s.ClassChanges), &s.ClassChangesInterval},
		{"symmetry.feature_cosine", float64(s.FeatureCosine), &s.FeatureCosineInterval},
		{"symmetry.feature_cosine_smallest", float64(s.FeatureCosineSmallest), &none},
	}
}

// Views accumulates the predictions of views. It is not safe for concurrent use.
type Views struct {
	target      *target
	as, other   choices // of the image as it is, and of a view
	count       int     // of views
	galaxies    []moved
	hasFeatures bool
}

// moved is how far one galaxy moves: changes in percentage points, whether a choice changes as 0 or 1, and cosines.
type moved struct {
	mean, largest, answer                float64
	classMean, classLargest, classChange float64
	cosine, smallest                     float64
}

// NewViews returns no views yet. schema is that of New.
func NewViews(schema *labels.Schema) *Views {
	t := newTarget(schema)
	return &Views{target: t, as: t.newChoices(), other: t.newChoices(), hasFeatures: true}
}

// Add adds n galaxies in two or more views, the first of which is the image as it is: predictions of each view, float32 [n,
// schema.Width()], and its features, float32 [n, any width], or no features. The slices are not kept. Other sizes, and features once
// with and once without, are errors.
func (v *Views) Add(predictions, features [][]float32) error {
	width := v.target.width
	n := len(predictions[0]) / width
	if v.count == 0 {
		v.count, v.hasFeatures = len(predictions), len(features) > 0
	}
	if n == 0 || len(predictions) < 2 || len(predictions) != v.count || v.hasFeatures != (len(features) > 0) || v.hasFeatures && len(features) != v.count {
		return fmt.Errorf("compare views: %d views of predictions and %d of features: expected %d, with features %v", len(predictions), len(features), v.count, v.hasFeatures)
	}
	for k := range predictions {
		if len(predictions[k]) != n*width || v.hasFeatures && (len(features[k]) != len(features[0]) || len(features[k])%n != 0 || len(features[k]) == 0) {
			return fmt.Errorf("compare views: view %d does not have the predictions and features of %d galaxies", k, n)
		}
		if !finite(predictions[k]) || v.hasFeatures && !finite(features[k]) {
			return fmt.Errorf("compare views: view %d of a galaxy from number %d on: %w", k, len(v.galaxies), ErrNotFinite)
		}
	}
	for i := range n {
		m := moved{cosine: math.NaN(), smallest: math.NaN()}
		v.comparePredictions(&m, predictions, i*width)
		if v.hasFeatures {
			compareFeatures(&m, features, i, len(features[0])/n)
		}
		v.galaxies = append(v.galaxies, m)
	}
	return nil
}

func finite(values []float32) bool {
	return !slices.ContainsFunc(values, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) })
}

// comparePredictions compares the rows at an offset.
func (v *Views) comparePredictions(m *moved, predictions [][]float32, at int) {
	width, others := v.target.width, float64(len(predictions)-1)
	as := predictions[0][at:][:width]
	v.target.readAnswer(&v.as, as)
	classes := len(v.as.scores) > 0
	for _, all := range predictions[1:] {
		row := all[at:][:width]
		for j := range row {
			change := 100 * math.Abs(float64(row[j])-float64(as[j]))
			m.mean += change
			m.largest = max(m.largest, change)
		}
		v.target.readAnswer(&v.other, row)
		if v.other.column != v.as.column {
			m.answer = 1
		}
		if !classes {
			continue
		}
		if v.other.class != v.as.class {
			m.classChange = 1
		}
		change := 100 * math.Abs(float64(v.other.scores[v.as.class])-float64(v.as.scores[v.as.class]))
		m.classMean += change
		m.classLargest = max(m.classLargest, change)
	}
	m.mean /= others * float64(width)
	m.classMean /= others
}

// compareFeatures compares the features of galaxy i.
func compareFeatures(m *moved, features [][]float32, i, width int) {
	m.cosine, m.smallest = 0, 1
	as := features[0][i*width:][:width]
	for _, all := range features[1:] {
		c := cosine(as, all[i*width:][:width])
		m.cosine += c
		m.smallest = min(m.smallest, c)
	}
	m.cosine /= float64(len(features) - 1)
}

// cosine returns the cosine of the angle between two vectors; 1 if both are 0, and 0 if one of them is.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for j := range a {
		x, y := float64(a[j]), float64(b[j])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	switch {
	case aa == 0 && bb == 0:
		return 1
	case aa == 0 || bb == 0:
		return 0
	}
	return ab / math.Sqrt(aa*bb) // equal vectors give exactly 1
}

// Symmetry returns how far the galaxies added so far move, with 95 % bootstrap intervals over the galaxies, of the same resamples as those of
// Evaluation.Result. No galaxies are an error.
func (v *Views) Symmetry() (*Symmetry, error) {
	if len(v.galaxies) == 0 {
		return nil, errors.New("compare views: there are none")
	}
	undefined := Value(math.NaN())
	s := &Symmetry{Views: v.count, ClassMeanChange: undefined, ClassLargestChange: undefined, ClassLargestOfAll: undefined, ClassChanges: undefined,
		FeatureCosine: undefined, FeatureCosineSmallest: undefined}
	var values [][]float64
	var intervals []**Interval
	average := func(interval **Interval, of func(*moved) float64) float64 {
		all, total := make([]float64, len(v.galaxies)), 0.0
		for i := range v.galaxies {
			all[i] = of(&v.galaxies[i])
			total += all[i]
		}
		values, intervals = append(values, all), append(intervals, interval)
		return total / float64(len(all))
	}
	s.MeanChange = average(&s.MeanChangeInterval, func(m *moved) float64 { return m.mean })
	s.LargestChange = average(&s.LargestChangeInterval, func(m *moved) float64 { return m.largest })
	s.AnswerChanges = average(&s.AnswerChangesInterval, func(m *moved) float64 { return m.answer })
	if len(v.as.scores) > 0 {
		s.ClassMeanChange = Value(average(&s.ClassMeanChangeInterval, func(m *moved) float64 { return m.classMean }))
		s.ClassLargestChange = Value(average(&s.ClassLargestChangeInterval, func(m *moved) float64 { return m.classLargest }))
		s.ClassChanges = Value(average(&s.ClassChangesInterval, func(m *moved) float64 { return m.classChange }))
		s.ClassLargestOfAll = 0
	}
	if v.hasFeatures {
		s.FeatureCosine = Value(average(&s.FeatureCosineInterval, func(m *moved) float64 { return m.cosine }))
		s.FeatureCosineSmallest = 1
	}
	for k, interval := range meanIntervals(values) {
		*intervals[k] = interval
	}
	for i := range v.galaxies {
		m := &v.galaxies[i]
		s.LargestOfAll = max(s.LargestOfAll, m.largest)
		s.ClassLargestOfAll = max(s.ClassLargestOfAll, Value(m.classLargest)) // NaN stays
		s.FeatureCosineSmallest = min(s.FeatureCosineSmallest, Value(m.smallest))
	}
	return s, nil
}

// meanIntervals returns the interval of the mean of each list, which has one value per galaxy.
func meanIntervals(lists [][]float64) []*Interval {
	n := len(lists[0])
	drawn, times := make([][]float64, len(lists)), make([]int32, n)
	for k := range drawn {
		drawn[k] = make([]float64, resamples)
	}
	for r := range resamples {
		resample(rand.New(rand.NewPCG(bootstrapSeed, uint64(r))), times)
		for k, values := range lists {
			for i, x := range values {
				drawn[k][r] += float64(times[i]) * x
			}
			drawn[k][r] /= float64(n)
		}
	}
	intervals := make([]*Interval, len(lists))
	for k := range drawn {
		intervals[k] = percentiles(drawn[k])
	}
	return intervals
}
