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

// evaluated returns an evaluation of predictions without a loss.
func evaluated(t interface{ Fatal(...any) }, schema *labels.Schema, predictions, rows []float32) *Evaluation {
	e := New(schema, nil, nil)
	if err := e.Add(nil, predictions, rows); err != nil {
		t.Fatal(err)
	}
	return e
}

// The interval of the difference of two RMSEs is that of a slow loop over the same resamples.
func TestDifferencesAgainstDirectForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 30).Draw(t, "n")
		rows := labelstest.Rows(small, n, 1)
		width := small.Width()
		a, b := drawRows(t, "a", n, width), drawRows(t, "b", n, width)
		all, err := Differences(evaluated(t, small, a, rows), evaluated(t, small, b, rows))
		if err != nil {
			t.Fatal(err)
		}
		rmse := func(p []float32, times []int32) float64 {
			sum := 0.0
			for i, m := range times {
				for j := i * width; j < (i+1)*width; j++ {
					d := float64(p[j]) - float64(rows[j])
					sum += float64(m) * d * d
				}
			}
			return math.Sqrt(sum / float64(n*width))
		}
		var drawn []float64
		times := make([]int32, n)
		for r := range resamples {
			resample(rand.New(rand.NewPCG(bootstrapSeed, uint64(r))), times)
			drawn = append(drawn, rmse(b, times)-rmse(a, times))
		}
		slices.Sort(drawn)
		once := slices.Repeat([]int32{1}, n)
		got := all[slices.IndexFunc(all, func(d Difference) bool { return d.Name == "rmse" })]
		for _, c := range []struct{ got, want float64 }{
			{got.A, rmse(a, once)}, {got.B, rmse(b, once)},
			{got.Interval[0], quantile(drawn, .025)}, {got.Interval[1], quantile(drawn, .975)},
		} {
			if math.Abs(c.got-c.want) > 1e-12 {
				t.Fatalf("got %v, expected %v, in %+v", c.got, c.want, got)
			}
		}
	})
}

// A predictor does not differ from itself, and pairing makes the interval of a small difference narrow: a predictor
// that is worse by the same amount for every galaxy is surely worse, however much the galaxies differ.
func TestDifferencesArePaired(t *testing.T) {
	for _, schema := range []*labels.Schema{small, labelstest.SmallCounts(), small.Classes()} {
		rows := labelstest.Rows(schema.Source(), 60, 2)
		if schema.Derived() {
			rows = nil
			for k := range 60 {
				row := make([]float32, schema.Width())
				row[k%len(row)] = 1
				rows = append(rows, row...)
			}
		}
		random := rand.New(rand.NewPCG(3, 4))
		better := make([]float32, len(rows))
		for i := range better {
			better[i] = random.Float32() / 2
		}
		e := evaluated(t, schema, better, rows)
		same, err := Differences(e, e)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range same {
			if d.Interval != nil && *d.Interval != (Interval{}) {
				t.Errorf("%v: %s differs from itself by %v", schema, d.Name, *d.Interval)
			}
		}
	}
	n, width := 50, small.Width()
	rows, better, worse := make([]float32, n*width), make([]float32, n*width), make([]float32, n*width)
	for i := range rows {
		better[i] = .1 + .8*float32(i/width)/float32(n)
		worse[i] = better[i] + .01
	}
	a, b := evaluated(t, small, better, rows), evaluated(t, small, worse, rows)
	all, err := Differences(a, b)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Result()
	if err != nil {
		t.Fatal(err)
	}
	if in := all[0].Interval; !(in[0] > .008 && in[1] < .012) || r.RMSEInterval[1]-r.RMSEInterval[0] < .05 {
		t.Errorf("RMSE differs by %v, and its own interval is %v: expected a narrow and a wide one", in, r.RMSEInterval)
	}
}

func TestDifferencesOfOtherGalaxies(t *testing.T) {
	rows := labelstest.Rows(small, 3, 1)
	e := evaluated(t, small, rows, rows)
	zooRows := labelstest.Rows(zoo, 3, 1)
	for name, other := range map[string]*Evaluation{
		"fewer":          evaluated(t, small, rows[:small.Width()], rows[:small.Width()]),
		"another schema": evaluated(t, zoo, zooRows, zooRows),
		"none":           New(small, nil, nil),
	} {
		if _, err := Differences(e, other); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
