package report

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"galaxy/train"
)

func TestReadMetrics(t *testing.T) {
	const step = `{"kind":"step","step":3,"epoch":1,"loss":0.5,"gradient_norm":null,"step_seconds":2,"time":"2026-01-02T03:04:05Z"}`
	for _, c := range []struct {
		name, text         string
		steps, evaluations int
		err                string
	}{
		{"nothing", "", 0, 0, ""},
		{"a step and an evaluation", step + "\n" + `{"kind":"evaluation","step":3,"validation_rmse":0.1,"best":true}` + "\n", 1, 1, ""},
		{"a line under way", step + "\n" + step[:30], 1, 0, ""},
		{"another kind, and fields of another version", `{"kind":"weather"}` + "\n" + `{"kind":"step","new":[1]}` + "\n", 1, 0, ""},
		{"damage", step + "\n\x00\x00\n" + step + "\n", 1, 0, "line 2"},
		{"a text for a number", `{"kind":"step","loss":"x"}` + "\n", 0, 0, "line 1"},
		{"a huge line", strings.Repeat("x", MaxLine+1) + "\n", 0, 0, "line 1"},
	} {
		steps, evaluations, err := readMetrics(strings.NewReader(c.text))
		if len(steps) != c.steps || len(evaluations) != c.evaluations || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %d steps, %d evaluations and %v, expected %d, %d and %q", c.name, len(steps), len(evaluations), err, c.steps, c.evaluations, c.err)
		}
	}
	steps, _, err := readMetrics(strings.NewReader(step + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := steps[0]
	if s.Step != 3 || s.Epoch != 1 || s.Loss != .5 || !math.IsNaN(float64(s.GradientNorm)) || !math.IsNaN(float64(s.LearningRate)) || s.Seconds != 2 || s.Time.Unix() != 1767323045 {
		t.Errorf("got %+v", s)
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add(`{"kind":"step","step":1,"loss":null}` + "\n")
	f.Add(`{"kind":"evaluation","step":1e3,"best":true}` + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		steps, evaluations, err := readMetrics(strings.NewReader(text))
		if n := strings.Count(text, "\n"); len(steps)+len(evaluations) > n {
			t.Errorf("%d steps and %d evaluations of %d lines (%v)", len(steps), len(evaluations), n, err)
		}
		r := &Run{Steps: steps, Evaluations: evaluations, Config: train.Config{}}
		r.Times() // of any numbers
		r.Pauses()
	})
}

// Every line stands for the steps since the line before, and the rest of the time went elsewhere.
func TestTimes(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(step int64, second int) Step {
		return Step{Step: step, Seconds: 2, DataWait: 1, Compute: .5, Update: .5, CopyWait: 0, AllReduce: Number(math.NaN()), Time: start.Add(time.Duration(second) * time.Second)}
	}
	r := &Run{Steps: []Step{at(1, 2), at(5, 20)}, Evaluations: []Validation{{Step: 5, Time: start.Add(30 * time.Second)}}}
	from, to, parts := r.Times()
	got := fmt.Sprint(from.Equal(start), to.Sub(from), parts)
	want := "true 30s [{waiting for data 5s} {computing gradients 2.5s} {update 2.5s} {evaluations, checkpoints and pauses 20s}]"
	if got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}

// A pause is a time between two steps in which the run neither trained nor evaluated.
func TestPauses(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	r := &Run{
		Steps: []Step{
			{Step: 1, Seconds: 1, Time: at(1)},
			{Step: 2, Seconds: 1, Time: at(2)},     // then an evaluation of 5 minutes
			{Step: 3, Seconds: 1, Time: at(303)},   // then the run is stopped for 100 s
			{Step: 5, Seconds: 1, Time: at(405)},   // then a checkpoint delays it by 20 s
			{Step: 6, Seconds: 1, Time: at(426)},   // then a step of a minute
			{Step: 7, Seconds: 60, Time: at(500)},  // then a stop beside an evaluation
			{Step: 8, Seconds: 1, Time: at(10000)}, // the end
		},
		Evaluations: []Validation{{Step: 2, Time: at(302)}, {Step: 7, Time: at(900)}},
	}
	if got, want := fmt.Sprint(r.Pauses()), "[{4 1m40s} {7 2h31m39s}]"; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}
