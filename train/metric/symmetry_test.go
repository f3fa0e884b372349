package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// symmetryTwin follows the definitions of docs/evaluation.md word by word, galaxy by galaxy, over drawn galaxies.
func symmetryTwin(schema *labels.Schema, predictions, features [][]float32, drawn []int) (s Symmetry) {
	width, n := schema.Width(), float64(len(drawn))
	wide := len(features[0]) / (len(predictions[0]) / width)
	classes := make([]float32, schema.Classes().Width())
	score := func(view, i, class int) float64 {
		schema.Predicted().ClassScores(classes, predictions[view][i*width:][:width])
		return float64(classes[class])
	}
	largestColumn := func(view, i int) int {
		row := slices.Clone(predictions[view][i*width:][:width])
		if schema.Values() == labels.Counts {
			schema.Predicted().OfAll(row, predictions[view][i*width:][:width])
		}
		return labels.Largest(row)
	}
	class := func(view, i int) int {
		schema.Predicted().ClassScores(classes, predictions[view][i*width:][:width])
		return labels.Largest(classes)
	}
	s.FeatureCosineSmallest = 1
	for _, i := range drawn {
		answers, moved, other, otherClass, classMoved, classMost, angles := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
		for view := 1; view < len(predictions); view++ {
			for j := range width {
				change := 100 * math.Abs(float64(predictions[view][i*width+j])-float64(predictions[0][i*width+j]))
				answers, moved = answers+change, max(moved, change)
			}
			if largestColumn(view, i) != largestColumn(0, i) {
				other = 1
			}
			if class(view, i) != class(0, i) {
				otherClass = 1
			}
			change := 100 * math.Abs(score(view, i, class(0, i))-score(0, i, class(0, i)))
			classMoved, classMost = classMoved+change, max(classMost, change)
			a, b := features[0][i*wide:][:wide], features[view][i*wide:][:wide]
			dot, la, lb := 0.0, 0.0, 0.0
			for j := range a {
				dot += float64(a[j]) * float64(b[j])
				la += float64(a[j]) * float64(a[j])
				lb += float64(b[j]) * float64(b[j])
			}
			angles += dot / math.Sqrt(la) / math.Sqrt(lb)
			s.FeatureCosineSmallest = min(s.FeatureCosineSmallest, Value(dot/math.Sqrt(la)/math.Sqrt(lb)))
		}
		views := float64(len(predictions) - 1)
		s.MeanChange += answers / views / float64(width) / n
		s.LargestChange += moved / n
		s.LargestOfAll = max(s.LargestOfAll, moved)
		s.AnswerChanges += other / n
		s.ClassMeanChange += Value(classMoved / views / n)
		s.ClassLargestChange += Value(classMost / n)
		s.ClassLargestOfAll = max(s.ClassLargestOfAll, Value(classMost))
		s.ClassChanges += Value(otherClass / n)
		s.FeatureCosine += Value(angles / views / n)
	}
	return s
}

// randomViews returns predictions, float32 [views][n, schema.Width()], and features, float32 [views][n, wide].
func randomViews(schema *labels.Schema, seed uint64, views, n, wide int) (predictions, features [][]float32) {
	random := rand.New(rand.NewPCG(seed, 0))
	for range views {
		p, f := make([]float32, n*schema.Width()), make([]float32, n*wide)
		for i := range p {
			p[i] = random.Float32()
		}
		for i := range f {
			f[i] = 0.01 + random.Float32()
		}
		predictions, features = append(predictions, p), append(features, f)
	}
	return predictions, features
}

// rowsOf returns rows from to before end of n of each view.
func rowsOf(views [][]float32, n, from, end int) (part [][]float32) {
	for _, v := range views {
		part = append(part, v[len(v)/n*from:len(v)/n*end])
	}
	return part
}

func TestSymmetryAgainstTwin(t *testing.T) {
	for _, schema := range []*labels.Schema{small, labelstest.SmallCounts(), labels.GalaxyZoo(), small.Classes()} {
		t.Run(schema.String(), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				n, views := rapid.IntRange(1, 6).Draw(r, "n"), rapid.SampledFrom([]int{2, 8}).Draw(r, "views")
				predictions, features := randomViews(schema, rapid.Uint64().Draw(r, "seed"), views, n, rapid.IntRange(1, 4).Draw(r, "wide"))
				v := NewViews(schema)
				cut := rapid.IntRange(1, n).Draw(r, "cut") // in two batches
				if err := v.Add(rowsOf(predictions, n, 0, cut), rowsOf(features, n, 0, cut)); err != nil {
					r.Fatal(err)
				}
				if cut < n {
					if err := v.Add(rowsOf(predictions, n, cut, n), rowsOf(features, n, cut, n)); err != nil {
						r.Fatal(err)
					}
				}
				got, err := v.Symmetry()
				if err != nil {
					r.Fatal(err)
				}
				var all []int
				for i := range n {
					all = append(all, i)
				}
				want := symmetryTwin(schema, predictions, features, all)
				for k, f := range want.figures() {
					if g := got.figures()[k]; !(math.Abs(g.value-f.value) <= 1e-9*max(1, f.value)) {
						r.Errorf("%s is %v, expected %v", f.name, g.value, f.value)
					}
				}
			})
		})
	}
}

// The intervals are those of a slow loop over the resamples of all metrics.
func TestSymmetryIntervals(t *testing.T) {
	const n = 7
	predictions, features := randomViews(small, 1, 8, n, 3)
	v := NewViews(small)
	if err := v.Add(predictions, features); err != nil {
		t.Fatal(err)
	}
	got, err := v.Symmetry()
	if err != nil {
		t.Fatal(err)
	}
	drawn, times := make([][]float64, len(got.figures())), make([]int32, n)
	for i := range resamples {
		resample(rand.New(rand.NewPCG(bootstrapSeed, uint64(i))), times)
		var which []int
		for g, m := range times {
			for range m {
				which = append(which, g)
			}
		}
		s := symmetryTwin(small, predictions, features, which)
		for k, f := range s.figures() {
			drawn[k] = append(drawn[k], f.value)
		}
	}
	intervals := 0
	for k, f := range got.figures() {
		if *f.interval == nil {
			continue
		}
		intervals++
		want := percentiles(drawn[k])
		for end, x := range **f.interval {
			if math.Abs(x-want[end]) > 1e-9 {
				t.Errorf("%s: %v, expected %v", f.name, **f.interval, *want)
			}
		}
	}
	if intervals != 7 {
		t.Errorf("%d intervals, expected one for every mean", intervals)
	}
}

// What does not move has changes of exactly 0 and cosines of exactly 1, also without features and without classes.
func TestSymmetryOfInvariant(t *testing.T) {
	one, oneFeatures := randomViews(zoo, 3, 1, 20, 512)
	clear(oneFeatures[0][:512]) // of a galaxy without any
	predictions, features := slices.Repeat(one, 8), slices.Repeat(oneFeatures, 8)
	for _, f := range [][][]float32{features, nil} {
		v := NewViews(zoo)
		if err := v.Add(predictions, f); err != nil {
			t.Fatal(err)
		}
		s, err := v.Symmetry()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.figures()[:8] {
			if f.value != 0 || *f.interval != nil && **f.interval != (Interval{}) {
				t.Errorf("%s is %v, expected 0", f.name, f.value)
			}
		}
		if f != nil && (s.FeatureCosine != 1 || *s.FeatureCosineInterval != (Interval{1, 1}) || s.FeatureCosineSmallest != 1) || f == nil && !s.FeatureCosine.IsZero() {
			t.Errorf("cosine %v %v, smallest %v", s.FeatureCosine, s.FeatureCosineInterval, s.FeatureCosineSmallest)
		}
	}
}

func TestViewsRefuse(t *testing.T) {
	predictions, features := randomViews(small, 1, 3, 2, 2)
	nan := slices.Clone(predictions[2])
	nan[1] = float32(math.NaN())
	for name, add := range map[string][2][][]float32{
		"one view":         {predictions[:1], features[:1]},
		"fewer views":      {predictions[:2], features[:2]},
		"no features":      {predictions, nil},
		"fewer features":   {predictions, features[:2]},
		"other galaxies":   {{predictions[0], predictions[1], predictions[2][:small.Width()]}, features},
		"no galaxy":        {{nil, nil, nil}, features},
		"ragged features":  {predictions, {features[0], features[1], features[2][:3]}},
		"not finite":       {{predictions[0], predictions[1], nan}, features},
		"infinite feature": {predictions, {features[0], features[1], {1, 2, 3, float32(math.Inf(1))}}},
	} {
		v := NewViews(small)
		if err := v.Add(predictions, features); err != nil {
			t.Fatal(err)
		}
		if err := v.Add(add[0], add[1]); err == nil || len(v.galaxies) != 2 {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewViews(small).Symmetry(); err == nil {
		t.Error("no galaxies: no error")
	}
}
