package metric

import (
	"math"
	"slices"

	"galaxy/train/votes"
)

// bins is the number of equal-width bins of calibration, as in Guo et al. 2017.
const bins = 15

// example is an example's contribution to the totals, in addition to its questionParts.
type example struct {
	square float64       // sum of squared errors over all columns; for counts weighted by votes
	weight float64       // sum of the columns' weights
	pairs  float64       // number of columns with a label; for counts those of questions with votes
	hit    float64       // 1 if the largest column of all is right
	loss   float64       // NaN for none
	gaps   [bins]float64 // sums of prediction − label over the columns predicted in the bin
	// The class and the predicted class; none if there is none.
	truth, answer int32
	confidence    float64
	logLoss       float64 // of the class, if there is one
}

// questionPart is an example's contribution to the totals of a question.
type questionPart struct {
	square float64 // sum of squared errors over the question's columns; for counts weighted by votes
	asked  float64 // fraction of volunteers who reached it
	right  float64 // in an example 1 if the largest column is right; in totals, weighted by asked
}

// totals holds sums over examples, each counted as often as it was drawn. All
// metrics are computed from them.
type totals struct {
	target *target
	// occurs marks the classes that occur, and named those that occur or are predicted, in any
	// example, drawn or not.
	occurs, named []bool

	sliceTotals // of all
	pairs, loss float64
	questions   []questionPart
	votes       []votePart // of counts
	gaps        [bins]float64
	confusion   []float64     // [truth, answer]
	classGaps   [bins]float64 // sums of confidence − hit
	logLoss     float64
	areas       []float64 // under the ROC curve of each class, NaN if undefined
	slices      []sliceTotals
}

// sliceTotals are those of some examples.
type sliceTotals struct{ n, square, weight, hits float64 }

func (t *sliceTotals) add(e *example, times float64) {
	t.n += times
	t.square += times * e.square
	t.weight += times * e.weight
	t.hits += times * e.hit
}

// add adds an example and its part of every question.
func (t *totals) add(e *example, parts []questionPart, times float64) {
	t.sliceTotals.add(e, times)
	t.pairs += times * e.pairs
	t.loss += times * e.loss
	if len(parts) > 0 {
		questions := t.questions[:len(parts)]
		for i := range parts {
			p, q := &parts[i], &questions[i]
			w := p.asked * times
			q.square += times * p.square
			q.asked += w
			q.right += w * p.right
		}
		for i, gap := range e.gaps {
			t.gaps[i] += times * gap
		}
	}
	if e.truth != none && e.answer != none {
		t.confusion[int(e.truth)*len(t.occurs)+int(e.answer)] += times
		t.logLoss += times * e.logLoss
		gap := e.confidence
		if e.truth == e.answer {
			gap--
		}
		t.classGaps[bin(e.confidence)] += times * gap
	}
}

// bin returns the bin of a fraction.
func bin(share float64) int { return min(int(max(share, 0)*bins), bins-1) }

// scored holds the examples of one predictor.
type scored struct {
	target *target
	// occurs and named are those of totals.
	occurs, named []bool
	// classScores are labels.Schema.ClassScores, [example that has a class, class], and classed is
	// the index of each of these examples.
	classScores []float32
	classed     []int32
	curves      []curve // of each class; set by scores

	examples  []example
	questions []questionPart // [example, question]
	votes     []votePart     // [example, question], for counts
	// The calibration tables.
	fractions, classes [bins]ReliabilityBin
}

func newScored(t *target) scored {
	return scored{target: t, occurs: make([]bool, len(t.classes)), named: make([]bool, len(t.classes))}
}

func (s *scored) add(probabilities, labels []float32, truth, answer *choices, loss float64) {
	e := example{loss: loss, truth: int32(truth.class), answer: int32(answer.class), confidence: answer.confidence}
	if truth.column == answer.column {
		e.hit = 1
	}
	if s.target.questions != nil {
		for i := range s.target.questions {
			q, part, weight, total := &s.target.questions[i], questionPart{asked: s.target.schema.Reached(labels, i)}, 1.0, 1.0
			if s.target.counts {
				weight = s.target.schema.Votes(labels, i)
				total = weight
			}
			if weight > 0 {
				for j := q.First; j < q.First+len(q.Answers); j++ {
					p, y := float64(probabilities[j]), float64(labels[j])/total
					part.square += weight * ((p - y) * (p - y))
					e.gaps[bin(p)] += p - y
					s.fractions[bin(p)].add(p, y)
				}
				e.pairs += float64(len(q.Answers))
			}
			e.weight += weight * float64(len(q.Answers))
			e.square += part.square
			if truth.question[i] == answer.question[i] {
				part.right = 1
			}
			s.questions = append(s.questions, part)
		}
	} else {
		e.weight, e.pairs = float64(len(labels)), float64(len(labels))
		for j, y := range labels {
			d := float64(probabilities[j]) - float64(y)
			e.square += d * d
		}
	}
	if e.truth != none && e.answer != none {
		s.occurs[e.truth], s.named[e.truth], s.named[e.answer] = true, true, true
		e.logLoss = logLoss(answer.scores, truth.class)
		s.classScores, s.classed = append(s.classScores, answer.scores...), append(s.classed, int32(len(s.examples)))
		hit := 0.0
		if e.truth == e.answer {
			hit = 1
		}
		s.classes[bin(e.confidence)].add(e.confidence, hit)
	}
	s.examples = append(s.examples, e)
}

// addVotes adds to the example that was added last what only counts have. of are the predicted
// distributions of each question's votes.
func (s *scored) addVotes(of []votes.Distribution, counts []float32) {
	for i := range s.target.questions {
		q := &s.target.questions[i]
		s.votes = append(s.votes, newVotePart(of[i], counts[q.First:q.First+len(q.Answers)]))
	}
}

// totals adds up the examples, each times[i] times, or once if times is nil.
func (s *scored) totals(by *sliced, times []int32) *totals {
	classes, questions := len(s.occurs), len(s.target.questions)
	t := &totals{target: s.target, occurs: s.occurs, named: s.named, questions: make([]questionPart, questions), confusion: make([]float64, classes*classes)}
	if by != nil {
		t.slices = make([]sliceTotals, len(by.names))
	}
	if s.target.counts {
		t.votes = make([]votePart, questions)
	}
	for i := range s.examples {
		e, w := &s.examples[i], 1.0
		if times != nil {
			if times[i] == 0 {
				continue
			}
			w = float64(times[i])
		}
		t.add(e, s.questions[i*questions:(i+1)*questions], w)
		for q := range t.votes {
			t.votes[q].add(&s.votes[i*questions+q], w)
		}
		if by == nil {
			continue
		}
		for _, of := range by.of {
			t.slices[of[i]].add(e, w)
		}
	}
	for _, c := range s.curves {
		t.areas = append(t.areas, c.area(times))
	}
	return t
}

// scores returns the metrics of all examples, with tables and without intervals.
func (s *scored) scores(by *sliced) Scores {
	s.curves = s.newCurves()
	out := s.totals(by, nil).scores()
	if out.FractionCalibration != nil {
		out.FractionCalibration.Bins = table(s.fractions)
	}
	if out.CleanClasses != nil {
		out.CleanClasses.Calibration.Bins = table(s.classes)
	}
	for i := range out.Slices {
		part, figures := by.names[i], out.Slices[i]
		part.RMSE, part.Accuracy = figures.RMSE, figures.Accuracy
		out.Slices[i] = part
	}
	return out
}

// scores returns the metrics computed from the totals.
func (t *totals) scores() Scores {
	out := Scores{
		Examples:       int(t.n),
		RMSE:           math.Sqrt(t.square / t.weight),
		AccuracyArgmax: Value(math.NaN()), QuestionAccuracy: Value(math.NaN()),
		Loss: Value(t.loss / t.n),
	}
	if t.target.questions != nil {
		out.AccuracyArgmax = Value(t.hits / t.n)
		var asked, right float64
		for i, total := range t.questions {
			q, weight := &t.target.questions[i], t.n
			score := QuestionScore{Question: q.Number, Reached: total.asked / t.n, Accuracy: Value(total.right / total.asked)}
			if t.votes != nil {
				weight = t.votes[i].votes
				score.Votes = voteScores(t.votes[i:i+1], t.target.questions[i:i+1], t.n)
			}
			score.RMSE = Value(math.Sqrt(total.square / (weight * float64(len(q.Answers)))))
			out.Questions = append(out.Questions, score)
			asked += total.asked
			right += total.right
		}
		// Everybody is asked question 1, so asked is at least n, or, of counts, above 0.
		out.QuestionAccuracy = Value(right / asked)
		out.FractionCalibration = &Calibration{Error: Value(absolute(t.gaps) / t.pairs)}
		if t.votes != nil {
			out.Votes = voteScores(t.votes, t.target.questions, t.n)
		}
	}
	if slices.Contains(t.occurs, true) {
		out.CleanClasses = t.classes()
	}
	for _, s := range t.slices {
		out.Slices = append(out.Slices, SliceScores{RMSE: Value(math.Sqrt(s.square / s.weight)), Accuracy: Value(s.hits / s.n)})
	}
	return out
}

func (t *totals) classes() *CleanClassScores {
	out := new(CleanClassScores)
	// Means over classes. If a class that belongs to a mean was not drawn, the mean is undefined.
	var f1, recall, area classMean
	var n, right float64
	width := len(t.occurs)
	for k, name := range t.target.classes {
		var truths, answers float64
		row := make([]int, width)
		for l := range row {
			truths += t.confusion[k*width+l]
			answers += t.confusion[l*width+k]
			row[l] = int(t.confusion[k*width+l])
		}
		out.Confusion = append(out.Confusion, row)
		hits := t.confusion[k*width+k]
		class := ClassScore{
			Class: name, Examples: int(truths), Predicted: int(answers),
			Precision: Value(hits / answers), Recall: Value(hits / truths), F1: Value(2 * hits / (truths + answers)),
			ROCAUC: Value(t.areas[k]),
		}
		if t.named[k] {
			f1.add(class.F1)
		}
		if t.occurs[k] {
			recall.add(class.Recall)
			area.add(class.ROCAUC)
		}
		out.Classes = append(out.Classes, class)
		n += truths
		right += hits
	}
	out.Examples, out.Accuracy, out.BalancedAccuracy, out.MacroF1 = int(n), Value(right/n), recall.value(), f1.value()
	out.ROCAUC, out.LogLoss = area.value(), Value(t.logLoss/n)
	out.Calibration.Error = Value(absolute(t.classGaps) / n)
	return out
}

// classMean is a mean of the metrics of classes; an undefined one makes it undefined.
type classMean struct{ sum, n float64 }

func (m *classMean) add(v Value)  { m.sum, m.n = m.sum+float64(v), m.n+1 }
func (m *classMean) value() Value { return Value(m.sum / m.n) }

// absolute returns the sum of absolute values.
func absolute(values [bins]float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Abs(v)
	}
	return sum
}

// table omits empty bins and turns sums into means.
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
