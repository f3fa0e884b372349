package acquisition

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// schemas are those of predictions: the challenge's, a small one, and one of counts.
func schemas() []*labels.Schema {
	return append(labelstest.Schemas(), labelstest.SmallCounts().Predicted(), labels.GalaxyZoo().Classes())
}

// draws draws n predictions that satisfy the rules of a schema, with or without spreads.
func draws(t *rapid.T, s *labels.Schema, n int) []Draw {
	seed, spread := rapid.Uint64().Draw(t, "seed"), rapid.Bool().Draw(t, "spread")
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]Draw, n)
	for v := range all {
		row := make([]float32, s.Width())
		for j := range row {
			row[j] = float32(math.Pow(random.Float64(), 4))
			if random.IntN(6) == 0 {
				row[j] = 0
			}
		}
		if s.Derived() {
			sum := float32(0.01)
			for _, x := range row {
				sum += x
			}
			row[0] += 0.01
			for j := range row {
				row[j] /= sum
			}
		} else if err := s.Project(row); err != nil {
			t.Fatal(err)
		}
		all[v].Fractions = row
		for range s.Questions() {
			if spread {
				all[v].Spread = append(all[v].Spread, random.ExpFloat64())
			}
		}
	}
	return all
}

func entropy(p []float64) (h float64) {
	for _, x := range p {
		if x > 0 {
			h -= x * math.Log(x)
		}
	}
	return h
}

// The information is not negative, at most the entropy of the answer, and of the draws at most that of which draw is right. It is 0 if all
// draws agree, and does not depend on their order.
func TestInformationBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(schemas()).Draw(t, "schema")
		all := draws(t, s, rapid.IntRange(1, 8).Draw(t, "draws"))
		questions, err := New(s).Score(all)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(all)
		backwards, _ := New(s).Score(all)
		alike, _ := New(s).Score(slices.Repeat([]Draw{{Fractions: all[0].Fractions}}, len(all)))
		for i, q := range questions {
			most := q.Reached * entropy(q.Mean)
			if q.Draws < 0 || q.Fractions < 0 || q.Information() > most+1e-9 || q.Draws > q.Reached*math.Log(float64(len(all)))+1e-9 {
				t.Errorf("question %d: %v and %v nats, of at most %v", i, q.Draws, q.Fractions, most)
			}
			if all[0].Spread == nil && q.Fractions != 0 {
				t.Errorf("question %d: %v nats about fractions that are certain", i, q.Fractions)
			}
			if math.Abs(q.Information()-backwards[i].Information()) > 1e-12 {
				t.Errorf("question %d: %v nats, in another order %v", i, q.Information(), backwards[i].Information())
			}
			if alike[i].Information() > 1e-14 {
				t.Errorf("question %d: %v nats from draws that are equal", i, alike[i].Information())
			}
			for j, mean := range q.Mean {
				if q.Least[j] > mean+1e-9 || q.Most[j] < mean-1e-9 {
					t.Errorf("question %d: the mean %v is not from %v to %v", i, mean, q.Least[j], q.Most[j])
				}
			}
		}
	})
}

// In the definition's words: entropy of the mean answer minus mean entropy of each, for a question that everybody is asked.
func TestDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := labelstest.Small()
		all := draws(t, s, 5)
		questions, err := New(s).Score(all)
		if err != nil {
			t.Fatal(err)
		}
		mean, each := make([]float64, 3), 0.0
		for _, d := range all {
			p := make([]float64, 3)
			for j := range p {
				p[j] = float64(d.Fractions[j])
				mean[j] += p[j] / 5
			}
			each += entropy(p) / 5
		}
		if want := entropy(mean) - each; math.Abs(questions[0].Draws-want) > 1e-6 { // rows are float32
			t.Errorf("%v nats, want %v", questions[0].Draws, want)
		}
	})
}

// Each question of the tree is asked after one answer, so the sum is the information in all answers of a volunteer, whose joint distribution is
// written out here: smooth, or featured and edge-on, or featured and face-on.
func TestTreeIsTheJointInformation(t *testing.T) {
	s, err := labels.New(labels.Definition{Name: "chain", Questions: []labels.Question{
		{Text: "a", Answers: []labels.Answer{{Name: "smooth"}, {Name: "featured"}}},
		{Text: "b", Answers: []labels.Answer{{Name: "edge-on"}, {Name: "face-on"}}, After: []string{"featured"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		all := draws(t, s, 4)
		questions, err := New(s).Score(all)
		if err != nil {
			t.Fatal(err)
		}
		mean, each := make([]float64, 3), 0.0
		for _, d := range all {
			joint := []float64{float64(d.Fractions[0]), float64(d.Fractions[2]), float64(d.Fractions[3])}
			for j := range joint {
				mean[j] += joint[j] / 4
			}
			each += entropy(joint) / 4
		}
		if got, want := questions[0].Draws+questions[1].Draws, entropy(mean)-each; math.Abs(got-want) > 1e-6 {
			t.Errorf("%v nats, want %v", got, want)
		}
	})
}

// A question that no volunteer reaches tells nothing, and a draw that does not reach it has no say.
func TestUnreached(t *testing.T) {
	s := labelstest.Small()
	never := Draw{Fractions: []float32{0.9, 0, 0.1, 0, 0, 0.5, 0.2, 0.2}}
	questions, err := New(s).Score([]Draw{never, never})
	if err != nil {
		t.Fatal(err)
	}
	if q := questions[1]; q.Reached != 0 || q.Information() != 0 || q.Mean[0] != 0 || q.Most[0] != 0 {
		t.Errorf("a question without volunteers: %+v", q)
	}
	some := Draw{Fractions: []float32{0.4, 0.5, 0.1, 0.2, 0.3, 0.3, 0.2, 0.2}}
	questions, err = New(s).Score([]Draw{never, some})
	if err != nil {
		t.Fatal(err)
	}
	if q := questions[1]; math.Abs(q.Reached-0.25) > 1e-7 || q.Information() > 1e-14 || math.Abs(q.Least[0]-0.4) > 1e-7 {
		t.Errorf("a question of one draw: %+v", q)
	}
}

func TestRowsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := rapid.SampledFrom(schemas()).Draw(t, "schema")
		s := New(schema)
		questions, err := s.Score(draws(t, schema, 3))
		if err != nil {
			t.Fatal(err)
		}
		row := s.AppendRow(nil, questions)
		if len(row) != len(s.Columns()) {
			t.Fatalf("%d numbers in %d columns", len(row), len(s.Columns()))
		}
		if again := s.AppendRow(nil, s.Read(row)); !slices.Equal(row, again) {
			t.Errorf("%v, read back %v", row, again)
		}
	})
}

func TestWrongDraws(t *testing.T) {
	s := New(labelstest.Small())
	for _, d := range []Draw{{Fractions: make([]float32, 7)}, {Fractions: make([]float32, 8), Spread: []float64{1}}} {
		if _, err := s.Score([]Draw{d}); err == nil {
			t.Errorf("%+v: no error", d)
		}
	}
}

func ExampleScorer() {
	// Two views of a galaxy: in one it is smooth, in the other it has features and is seen edge-on or not.
	s := New(labelstest.Small())
	questions, err := s.Score([]Draw{
		{Fractions: []float32{0.8, 0.1, 0.1, 0.05, 0.05, 0.1, 0.1, 0.65}},
		{Fractions: []float32{0.2, 0.7, 0.1, 0.35, 0.35, 0.1, 0.1, 0.35}},
	})
	if err != nil {
		fmt.Println(err)
	}
	for i, q := range questions {
		fmt.Printf("%s %.3f nats, of %.0f %% of the volunteers\n", labelstest.Small().Questions()[i].Text, q.Information(), 100*q.Reached)
	}
	// Output:
	// What is it? 0.223 nats, of 100 % of the volunteers
	// Is it seen edge-on? 0.000 nats, of 40 % of the volunteers
	// Is it merging? 0.007 nats, of 70 % of the volunteers
}
