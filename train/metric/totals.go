package metric

import (
	"math"

	"galaxy/data"
)

// bins is the number of equal-width bins of calibration, as in Guo et al. 2017.
const bins = 15

// example is what an example adds to the totals.
type example struct {
	square  float64                 // sum of squared errors over all columns
	squares [data.Questions]float64 // of it, over each question's
	asked   [data.Questions]float64 // share of volunteers who reached the question
	right   uint16                  // bit i: the question's largest column is right
	hit     float64                 // 1 where the largest column of all is right
	loss    float64                 // NaN for none
	gaps    [bins]float64           // sums of prediction − label over the columns predicted in the bin
	// The clean class and the one predicted, none where there is none.
	truth, answer int8
	confidence    float64
}

// totals are the sums over examples, each as often as it was drawn, of which all
// figures are made.
type totals struct {
	target data.Target
	// occurs tells the clean classes that occur, or are predicted, in any example,
	// drawn or not.
	occurs [data.CleanClasses]bool

	n, square, hits, loss float64
	squares, asked, right [data.Questions]float64
	gaps                  [bins]float64
	confusion             [data.CleanClasses][data.CleanClasses]float64 // [truth][answer]
	classGaps             [bins]float64                                 // sums of confidence − hit
	slices                []sliceTotals
}

type sliceTotals struct{ n, square, hits float64 }

func (t *totals) add(e *example, times float64) {
	t.n += times
	t.square += times * e.square
	t.hits += times * e.hit
	t.loss += times * e.loss
	if t.target == data.Fractions {
		for i, w := range e.asked {
			w *= times
			t.squares[i] += times * e.squares[i]
			t.asked[i] += w
			t.right[i] += w * float64(e.right>>i&1)
		}
		for i, gap := range e.gaps {
			t.gaps[i] += times * gap
		}
	}
	if e.truth != none && e.answer != none {
		t.confusion[e.truth][e.answer] += times
		gap := e.confidence
		if e.truth == e.answer {
			gap--
		}
		t.classGaps[bin(e.confidence)] += times * gap
	}
}

// bin is the bin of a share.
func bin(share float64) int { return min(int(max(share, 0)*bins), bins-1) }

// scored are the examples of one predictor.
type scored struct {
	target   data.Target
	occurs   [data.CleanClasses]bool
	examples []example
	// What calibration's tables show.
	fractions, classes [bins]ReliabilityBin
}

func (s *scored) add(probabilities, labels []float32, truth, answer choices, loss float64) {
	e := example{loss: loss, truth: int8(truth.class), answer: int8(answer.class), confidence: answer.confidence}
	if truth.column == answer.column {
		e.hit = 1
	}
	if s.target == data.Fractions {
		for i := range tree {
			q := &tree[i]
			for j := q.First; j < q.First+len(q.Answers); j++ {
				p, y := float64(probabilities[j]), float64(labels[j])
				e.squares[i] += (p - y) * (p - y)
				e.gaps[bin(p)] += p - y
				s.fractions[bin(p)].add(p, y)
			}
			e.square += e.squares[i]
			e.asked[i] = reached(labels, i)
			if truth.question[i] == answer.question[i] {
				e.right |= 1 << i
			}
		}
	} else {
		for j, y := range labels {
			d := float64(probabilities[j]) - float64(y)
			e.square += d * d
		}
	}
	if e.truth != none && e.answer != none {
		s.occurs[e.truth], s.occurs[e.answer] = true, true
		hit := 0.0
		if e.truth == e.answer {
			hit = 1
		}
		s.classes[bin(e.confidence)].add(e.confidence, hit)
	}
	s.examples = append(s.examples, e)
}

// totals adds up the examples, each as often as times says, or once each for nil.
func (s *scored) totals(by *sliced, times []int32) *totals {
	t := &totals{target: s.target, occurs: s.occurs}
	if by != nil {
		t.slices = make([]sliceTotals, len(by.names))
	}
	for i := range s.examples {
		e, w := &s.examples[i], 1.0
		if times != nil {
			if times[i] == 0 {
				continue
			}
			w = float64(times[i])
		}
		t.add(e, w)
		if by == nil {
			continue
		}
		for _, of := range by.of {
			part := &t.slices[of[i]]
			part.n += w
			part.square += w * e.square
			part.hits += w * e.hit
		}
	}
	return t
}

// scores are the figures of all examples, with tables and without intervals.
func (s *scored) scores(by *sliced) Scores {
	out := s.totals(by, nil).scores()
	if out.FractionCalibration != nil {
		out.FractionCalibration.Bins = table(s.fractions)
	}
	if out.FiveClass != nil {
		out.FiveClass.Calibration.Bins = table(s.classes)
	}
	for i := range out.Slices {
		part, figures := by.names[i], out.Slices[i]
		part.RMSE, part.Accuracy = figures.RMSE, figures.Accuracy
		out.Slices[i] = part
	}
	return out
}

// scores are the figures that the totals give.
func (t *totals) scores() Scores {
	width := float64(t.target.Width())
	out := Scores{
		Examples:         int(t.n),
		RMSE:             math.Sqrt(t.square / (t.n * width)),
		AccuracyArgmax37: Value(math.NaN()), QuestionAccuracy: Value(math.NaN()),
		Loss: Value(t.loss / t.n),
	}
	if t.target == data.Fractions {
		out.AccuracyArgmax37 = Value(t.hits / t.n)
		var asked, right float64
		for i := range tree {
			out.Questions = append(out.Questions, QuestionScore{
				Question: tree[i].Number, Reached: t.asked[i] / t.n,
				Accuracy: Value(t.right[i] / t.asked[i]),
				RMSE:     math.Sqrt(t.squares[i] / (t.n * float64(len(tree[i].Answers)))),
			})
			asked += t.asked[i]
			right += t.right[i]
		}
		// Everybody is asked question 1, so asked is at least n.
		out.QuestionAccuracy = Value(right / asked)
		out.FractionCalibration = &Calibration{Error: Value(absolute(t.gaps) / (t.n * width))}
	}
	if t.occurs != [data.CleanClasses]bool{} {
		out.FiveClass = t.fiveClass()
	}
	for _, s := range t.slices {
		out.Slices = append(out.Slices, SliceScores{RMSE: Value(math.Sqrt(s.square / (s.n * width))), Accuracy: Value(s.hits / s.n)})
	}
	return out
}

func (t *totals) fiveClass() *FiveClassScores {
	out := new(FiveClassScores)
	var n, right, f1, classes float64
	for k := range data.CleanClasses {
		var truths, answers float64
		for l := range data.CleanClasses {
			truths += t.confusion[k][l]
			answers += t.confusion[l][k]
			out.Confusion[k][l] = int(t.confusion[k][l])
		}
		hits := t.confusion[k][k]
		class := ClassScore{
			Class: data.CleanClass(k).String(), Examples: int(truths), Predicted: int(answers),
			Precision: Value(hits / answers), Recall: Value(hits / truths), F1: Value(2 * hits / (truths + answers)),
		}
		if t.occurs[k] { // not drawn, it leaves the mean undefined
			f1 += float64(class.F1)
			classes++
		}
		out.Classes = append(out.Classes, class)
		n += truths
		right += hits
	}
	out.Examples, out.Accuracy, out.MacroF1 = int(n), Value(right/n), Value(f1/classes)
	out.Calibration.Error = Value(absolute(t.classGaps) / n)
	return out
}

// absolute is the sum of absolute values.
func absolute(values [bins]float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Abs(v)
	}
	return sum
}

// table leaves out empty bins and turns sums into means.
func table(sums [bins]ReliabilityBin) []ReliabilityBin {
	var out []ReliabilityBin
	for i, b := range sums {
		if b.Count > 0 {
			n := float64(b.Count)
			out = append(out, ReliabilityBin{From: float64(i) / bins, To: float64(i+1) / bins, Count: b.Count, Predicted: b.Predicted / n, Observed: b.Observed / n})
		}
	}
	return out
}
