package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
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
		{"a huge line", strings.Repeat("x", maxLine+1) + "\n", 0, 0, "line 1"},
	} {
		var r Run
		err := EachLine(strings.NewReader(c.text), r.AddLine)
		if len(r.Steps) != c.steps || len(r.Evaluations) != c.evaluations || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %d steps, %d evaluations and %v, expected %d, %d and %q", c.name, len(r.Steps), len(r.Evaluations), err, c.steps, c.evaluations, c.err)
		}
	}
	var r Run
	if err := r.AddLine([]byte(step)); err != nil {
		t.Fatal(err)
	}
	s := r.Steps[0]
	if s.Step != 3 || s.Epoch != 1 || s.Loss != .5 || !math.IsNaN(float64(s.GradientNorm)) || !math.IsNaN(float64(s.LearningRate)) || s.Seconds != 2 || s.Time.Unix() != 1767323045 {
		t.Errorf("got %+v", s)
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add(`{"kind":"step","step":1,"loss":null}` + "\n")
	f.Add(`{"kind":"evaluation","step":1e3,"best":true}` + "\n{")
	f.Add(`{"kind":"start","time":"2026-01-02T03:04:05Z"}` + "\n" + `{"kind":"rollback","step":-1,"from":9e18}` + "\n" + `{"kind":"step","step":2,"time":"2026-01-02T03:04:04Z"}` + "\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		r := &Run{Dir: dir}
		err := EachLine(strings.NewReader(text), r.AddLine)
		if n := strings.Count(text, "\n"); len(r.Steps)+len(r.Evaluations) > n {
			t.Errorf("%d steps and %d evaluations of %d lines (%v)", len(r.Steps), len(r.Evaluations), n, err)
		}
		if err := os.WriteFile(filepath.Join(dir, train.HistoryName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = r.ReadHistory() // the same lines
		r.Times()           // of any numbers
		Curves([]*Run{r})
		(&Report{Run: r, room: rooms[0]}).historyTable()
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
	want := "true 30s [{waiting for data 5s} {computing gradients 2.5s} {update 2.5s} {evaluations and checkpoints 20s}]"
	if got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
	r.History = []train.HistoryEntry{{Kind: train.Started, Time: start.Add(-time.Second)}, {Kind: train.Started, Step: 1, Time: start.Add(9 * time.Second)}}
	from, to, parts = r.Times()
	got = fmt.Sprint(from.Sub(start), to.Sub(from), parts[3:])
	if want := "-1s 31s [{pauses, and steps that were lost 7s} {evaluations and checkpoints 14s}]"; got != want {
		t.Errorf("of recorded starts: got %s, expected %s", got, want)
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
	pauses := func() (text string) {
		for _, p := range r.Resumes() {
			text += fmt.Sprintf("%d %v, ", p.Step, p.Pause)
		}
		return text
	}
	if got, want := pauses(), "4 1m40s, 7 2h31m39s, "; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
	// A newer version has resumed this run after 7 steps, twice, and later rolled back from 9 to 7. Its first start was killed.
	r.Steps = append(r.Steps, Step{Step: 8, Seconds: 1, Time: at(20000)})
	r.Steps[6].Time = at(9990)
	r.History = []train.HistoryEntry{{Kind: train.Started, Step: 7, Time: at(9000)}, {Kind: train.Started, Step: 7, Time: at(9980), Host: "b"}, {Kind: train.RolledBack, Step: 7, From: 9, Time: at(9995)}}
	if got, want := pauses(), "4 1m40s, 7 2h15m0s, 7 16m20s, "; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
	marks := func() (text string) {
		for _, e := range r.events() {
			text += e.Text + "; "
		}
		return text
	}
	if got, want := marks(), "resumed after step 4 and a pause of 1m40s; resumed after step 7 and a pause of 2h15m0s; resumed after step 7 and a pause of 16m20s; rolled back from step 9 to step 7; "; got != want {
		t.Errorf("the marks are %s, expected %s", got, want)
	}
	// What a later rollback has undone is not marked, but listed.
	r.History = append(r.History, train.HistoryEntry{Kind: train.RolledBack, Step: 5, From: 9, Time: at(9997)})
	if got, want := marks(), "resumed after step 4 and a pause of 1m40s; rolled back from step 9 to step 5; "; got != want {
		t.Errorf("the marks are %s, expected %s", got, want)
	}
	if table := string((&Report{Run: r, room: rooms[0]}).historyTable()); strings.Count(table, "<tr>") != 5 || !strings.Contains(table, "rolled back from step 9") {
		t.Errorf("expected a table of 4 entries, got %s", table)
	}
}
