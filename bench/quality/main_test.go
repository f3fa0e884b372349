package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"galaxy/data"
)

// results returns three seeds of the systems that mainComparisons names.
func results() []result {
	made := func(system string, seed int64, rmse, accuracy float64) result {
		return result{System: system, Seed: seed, Steps: 100, Epochs: 2.5, Test: scores{RMSE: rmse, Accuracy: accuracy}, TrainSeconds: 60, WallSeconds: 70}
	}
	all := []result{
		made(oursOriginal, 1, 0.10, 0.70), made(kerasOriginal, 1, 0.11, 0.60),
		made(oursOriginal, 2, 0.12, 0.70), made(kerasOriginal, 2, 0.11, 0.61),
		made(oursOriginal, 3, 0.14, 0.70), made(kerasOriginal, 3, 0.11, 0.62),
		made(kerasTuned, 1, 0.10, 0.75), made(oursBest, 1, 0.09, 0.76),
	}
	all[0].Constant = &scores{RMSE: 0.157, Accuracy: 0.64}
	all[6].Views, all[7].Views = &scores{RMSE: 0.100, Accuracy: 0.76}, &scores{RMSE: 0.080, Accuracy: 0.77}
	return all
}

func TestCompareAll(t *testing.T) {
	found := compareAll(mainComparisons, results())
	if len(found) != 3 {
		t.Fatalf("%d comparisons, want 3: %+v", len(found), found)
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) < 1e-12) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	// Differences −0.01, 0.01, 0.03: mean 0.01, deviation 0.02.
	near("RMSE", found[0].RMSE.Mean, 0.01)
	near("its standard error", float64(found[0].RMSE.StandardError), 0.02/math.Sqrt(3))
	if !found[0].RMSE.within() {
		t.Errorf("RMSE: %+v, want 0 within two standard errors", found[0].RMSE)
	}
	// Differences 0.10, 0.09, 0.08: far outside.
	if found[0].Accuracy.within() {
		t.Errorf("accuracy: %+v, want 0 outside two standard errors", found[0].Accuracy)
	}
	near("ratio", found[0].Ratio, 0.12/0.11)
	near("ratio of the best and the tuned", found[1].Ratio, 0.9)
	near("ratio over 8 views", found[2].Ratio, 0.8)
	if n := found[2].RMSE.N; n != 1 {
		t.Errorf("over 8 views: %d seeds, want 1", n)
	}
	if without := compareAll(mainComparisons, results()[:6]); len(without) != 1 {
		t.Errorf("without the tuned and the best: %d comparisons, want 1", len(without))
	}
}

// A seed that one system lacks does not count.
func TestDifferTakesCommonSeeds(t *testing.T) {
	all := append(results(), result{System: oursOriginal, Seed: 4, Test: scores{RMSE: 9}})
	if d := differ(all, mainComparisons[0], rmse); d.N != 3 || math.Abs(d.Mean-0.01) > 1e-12 {
		t.Errorf("%+v, want the mean 0.01 of 3 seeds", d)
	}
}

func TestReport(t *testing.T) {
	f := figures{Plan: plan{Minutes: 1}, Counts: data.Counts{Train: 80, Validation: 10, Test: 10}, Size: 64, Results: results()}
	f.Comparisons = compareAll(mainComparisons, f.Results)
	text := report(f, comparedSystems)
	for _, want := range []string{
		"80 train, 10 validation and 10 test galaxies at 64 px; 1 minutes of training a run",
		"| galaxy-original | 2 | 0.1200 | 0.7000 | – | – | 100 | 0 | 2.5 | 60 | 70 |",
		"| galaxy-best | 1 | 0.0900 | 0.7600 | 0.0800 | 0.7700 | 100 | 0 | 2.5 | 60 | 70 |",
		"| galaxy-original | 0.1200 ± 0.0231 | 0.7000 ± 0.0000 | – | – | 60 |",
		"| galaxy-best | 0.0900 | 0.7600 | 0.0800 | 0.7700 | 60 |",
		"| constant predictor | 0.1570 | 0.6400 | – | – | – |",
		"| galaxy-original − keras-original | +0.0100 ± 0.0231 | +0.0900 ± 0.0115 | +9.1 % | RMSE yes, accuracy no |",
		"| galaxy-best − keras-tuned, 8 views | -0.0200 | +0.0100 | -20.0 % | one seed says nothing about the spread |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if raw, err := json.Marshal(f); err != nil || !strings.Contains(string(raw), `"standard_error":null`) {
		t.Errorf("as JSON: %v, want null for the standard error of one seed\n%s", err, raw)
	}
}

// Of classes the report has macro F1, and no scores over views.
func TestReportOfClasses(t *testing.T) {
	f := figures{Plan: plan{Minutes: 1}, Size: 64}
	for seed := range int64(3) {
		x := 0.01 * float64(seed)
		f.Results = append(f.Results,
			result{System: oursClasses, Seed: seed, Test: scores{RMSE: 0.3, Accuracy: 0.8 + x, MacroF1: 0.7}, Constant: &scores{RMSE: 0.4, Accuracy: 0.25, MacroF1: 0.1}},
			result{System: kerasClasses, Seed: seed, Test: scores{RMSE: 0.3, Accuracy: 0.81, MacroF1: 0.75}})
	}
	f.Comparisons = compareAll(classComparisons, f.Results)
	text := report(f, classSystems)
	for _, want := range []string{
		"| system | seed | RMSE | argmax accuracy | macro F1 | steps |",
		"| galaxy-classes | 1 | 0.3000 | 0.8100 | 0.7000 | 0 | 0 | 0.0 | 0 | 0 |\n",
		"| constant predictor | 0.4000 | 0.2500 | 0.1000 | – |\n",
		"| galaxy-classes − keras-classes | +0.0000 ± 0.0000 | +0.0000 ± 0.0115 | -0.0500 ± 0.0000 | +0.0 % | RMSE yes, accuracy yes, macro F1 no |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "views") {
		t.Errorf("the report has views:\n%s", text)
	}
}

// The scores of a network of classes are those of the classes.
func TestEvaluated(t *testing.T) {
	for text, want := range map[string]scores{
		`{"rmse": 0.1, "accuracy_argmax37": 0.6, "questions": [{}], "five_class": {"accuracy": 0.9, "macro_f1": 0.8}}`: {RMSE: 0.1, Accuracy: 0.6},
		`{"rmse": 0.3, "five_class": {"accuracy": 0.9, "macro_f1": 0.8}}`:                                              {RMSE: 0.3, Accuracy: 0.9, MacroF1: 0.8},
	} {
		var e evaluated
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.of() != want {
			t.Errorf("%s: %+v (%v)", text, e.of(), err)
		}
	}
}

func TestStepTime(t *testing.T) {
	// 40 % of the run at 1 s a step, 60 % at 2 s; the first step of each is slow.
	var seconds []float64
	for i := range 60 {
		seconds = append(seconds, map[bool]float64{true: 1, false: 2}[i < 24])
	}
	seconds[0], seconds[24] = 30, 50
	if got := stepTime(seconds); math.Abs(got-1.6) > 1e-12 {
		t.Errorf("%v s a step, want 1.6", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfN(rapid.Float64Range(0.1, 10), 3*parts, 200).Draw(t, "seconds")
		if got := stepTime(seconds); got < slices.Min(seconds)-1e-9 || got > slices.Max(seconds)+1e-9 {
			t.Fatalf("%v s a step is outside all steps", got)
		}
	})
}

func TestBudget(t *testing.T) {
	got := budget(comparedSystems, map[string][]float64{
		oursOriginal: {0.2, 0.1, 9}, kerasOriginal: {0.3, 0.25, 0.2}, kerasTuned: {0.5, 0.5}, oursBest: {100},
	}, 50)
	for name, want := range map[string]int{oursOriginal: 200, kerasOriginal: 200, kerasTuned: 100, oursBest: 1} {
		if got[name].Steps != want {
			t.Errorf("%s: %d steps, want %d", name, got[name].Steps, want)
		}
	}
}

// tunedBy chooses Keras' tuned recipe with a change.
func tunedBy(change string) choice {
	return choice{only: kerasTuned, changes: map[string]string{kerasTuned: change}}
}

// Systems in plan.json are not calibrated again, and keep their meaning: without
// galaxy and Keras' program nothing can run.
func TestPlan(t *testing.T) {
	out := t.TempDir()
	s := settings{out: out, minutes: 10, rounds: 1, steps: 30, galaxy: filepath.Join(out, "none"), python: filepath.Join(out, "none")}
	systems, err := choose(comparedSystems, tunedBy(`{"peak": 0.004, "flip": false}`))
	if err != nil {
		t.Fatal(err)
	}
	known := plan{Cache: "abc", Minutes: 10, Systems: budget(systems, map[string][]float64{kerasTuned: {0.5}}, 600)}
	if err := writeJSON(filepath.Join(out, "plan.json"), known); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, cache, tuned string
		minutes            float64
		every              int
		want               string // of the error; "" is none
	}{
		{"the same", "abc", `{"flip":false,"peak":4e-3}`, 10, 0, ""},
		{"another recipe", "abc", `{"peak": 0.002}`, 10, 0, "another keras-tuned"},
		{"another cache", "abd", `{"peak": 0.004, "flip": false}`, 10, 0, "choose another -out"},
		{"another time", "abc", `{"peak": 0.004, "flip": false}`, 1, 0, "asked for are runs of 1 minutes"},
		{"several times", "abc", `{"peak": 0.004, "flip": false}`, 0, 0, "asked for are runs of several lengths"},
		{"other evaluations", "abc", `{"peak": 0.004, "flip": false}`, 10, 20, "an evaluation every 20 steps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			systems, err := choose(comparedSystems, tunedBy(test.tuned))
			if err != nil {
				t.Fatal(err)
			}
			s.minutes, s.evalEvery = test.minutes, test.every
			p, err := s.plan(context.Background(), test.cache, systems)
			if test.want == "" && (err != nil || p.Systems[kerasTuned].Steps != 1200) {
				t.Errorf("%+v, %v, want 1200 steps", p, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	lengths := settings{out: t.TempDir(), evalEvery: 20}
	if err := writeJSON(filepath.Join(lengths.out, "plan.json"), plan{Cache: "abc", EvalEvery: 20, Systems: known.Systems}); err != nil {
		t.Fatal(err)
	}
	if _, err := lengths.plan(context.Background(), "abc", systems); err != nil {
		t.Errorf("the same for several lengths: %v", err)
	}
	lengths.minutes, lengths.evalEvery = 10, 0
	if _, err := lengths.plan(context.Background(), "abc", systems); err == nil || !strings.Contains(err.Error(), "holds runs of several lengths") {
		t.Errorf("one length in the folder of several: error %v, want one that says so", err)
	}
	s.minutes, s.evalEvery = 10, 0
	if _, err := s.plan(context.Background(), "abc", comparedSystems[:1]); err == nil || !strings.Contains(err.Error(), "calibrate galaxy-original") {
		t.Errorf("a system that is not in the plan: error %v, want one of its calibration", err)
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		only string
		want []string
	}{
		{"", []string{oursOriginal, kerasOriginal, kerasTuned, oursBest}},
		{"galaxy-best,keras-tuned", []string{kerasTuned, oursBest}},
		{"galaxy-original", []string{oursOriginal, kerasOriginal}}, // both of a pair are taken
		{"keras-original", []string{oursOriginal, kerasOriginal}},
	} {
		chosen, err := choose(comparedSystems, choice{only: test.only})
		var names []string
		for _, s := range chosen {
			names = append(names, s.Name)
		}
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("-only %q: %v, %v, want %v", test.only, names, err, test.want)
		}
	}
	for want, bad := range map[string]choice{
		`no system "galaxy"`:            {only: "galaxy"},
		`no system "keras-taught"`:      {changes: map[string]string{kerasTaught: "{}"}}, // without a teacher
		"expected a JSON object":        tunedBy("peak=1"),
		"it is what galaxy-original is": {changes: map[string]string{kerasOriginal: "{}"}},
	} {
		if _, err := choose(comparedSystems, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", bad, err, want)
		}
	}
}

// Changes of one system leave the others, and the recipes themselves, as they are.
func TestChange(t *testing.T) {
	systems := slices.Concat(comparedSystems, taughtSystems("runs/teacher"))
	chosen, err := choose(systems, choice{xla: true, changes: map[string]string{
		oursTaught: "--lr 0.001 --batch 128", kerasTaught: `{"batch": 128}`}})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range chosen {
		want := systems[i]
		switch s.Name {
		case oursTaught:
			want.Flags = []string{"--recipe", "best", "--init-from", "runs/teacher", "--lr", "0.0003", "--lr", "0.001", "--batch", "128"}
		case kerasTaught:
			want.Changes = map[string]any{"peak": 3e-4, "batch": 128}
			if len(systems[i].Changes) != 1 {
				t.Errorf("the recipe of %s is changed for good: %v", s.Name, systems[i].Changes)
			}
		}
		if s.Keras == "" {
			want.Flags = slices.Concat(want.Flags, []string{"--xla", "--images-on", "device"})
		}
		want.XLA = s.Keras != ""
		if !same(s, want) {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
}

func TestAblationsDifferFromTheBest(t *testing.T) {
	systems, comparisons := ablatedSystems(), ablationComparisons()
	if len(systems) != len(comparisons)+1 || !same(systems[0], best) {
		t.Fatalf("%d systems, the first %+v, and %d comparisons: want the best recipe and one comparison for each other", len(systems), systems[0], len(comparisons))
	}
	for i, s := range systems[1:] {
		if !slices.Equal(s.Flags[:len(best.Flags)], best.Flags) || len(s.Flags) == len(best.Flags) {
			t.Errorf("%s: flags %q, want those of the best recipe and more", s.Name, s.Flags)
		}
		if comparisons[i].A != s.Name || comparisons[i].B != oursBest {
			t.Errorf("%s: compared are %+v", s.Name, comparisons[i])
		}
	}
}

// clockTime returns the time a number of seconds after a process started.
func clockTime(seconds float64) time.Time {
	return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// Both sides report the same about a run: galaxy in metrics.jsonl, Keras in its JSON.
func TestCurve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	lines := `{"kind":"step","step":1,"loss":0.6,"step_seconds":1.5,"time":"2026-11-26T12:00:04Z"}
{"kind":"evaluation","step":1,"validation_rmse":0.15,"time":"2026-11-26T12:00:05Z"}
{"kind":"step","step":2,"loss":null,"step_seconds":0.25,"time":"2026-11-26T12:00:05.25Z"}
{"kind":"step","step":3,"loss":0.5,"step_seconds":0.5,"time":"2026-11-26T12:00:05.75Z"}
{"kind":"evaluation","step":3,"validation_rmse":0.125,"time":"2026-11-26T12:00:06.75Z"}
`
	if err := os.WriteFile(path, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	var ours, keras trained
	if err := ours.readMetrics(path); err != nil {
		t.Fatal(err)
	}
	answer := `{"batch": 32, "step_seconds": [1.5, 0.25, 0.5], "first_step": "2026-11-26T12:00:04+00:00", "evaluations": [
		{"step": 1, "rmse": 0.15, "time": "2026-11-26T12:00:05.000001+00:00"}, {"step": 3, "rmse": 0.125, "time": "2026-11-26T12:00:06.75+00:00"}]}`
	if err := json.Unmarshal([]byte(answer), &keras); err != nil {
		t.Fatal(err)
	}
	keras.Evaluations[0].Time = keras.Evaluations[0].Time.Truncate(time.Millisecond)
	want := []point{
		{Step: 1, RMSE: 0.15, TrainSeconds: 0, StartedSeconds: 4, WallSeconds: 5},
		{Step: 3, RMSE: 0.125, TrainSeconds: 0.75, StartedSeconds: 4.75, WallSeconds: 6.75},
	}
	for name, got := range map[string]trained{"ours": ours, "Keras": keras} {
		if !slices.Equal(got.StepSeconds, []float64{1.5, 0.25, 0.5}) {
			t.Errorf("%s: steps of %v s, want 1.5, 0.25 and 0.5", name, got.StepSeconds)
		}
		got.Begin = clockTime(0)
		if curve, err := got.curve(); err != nil || !slices.Equal(curve, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, curve, err, want)
		}
		// The last process of an interrupted run started after the first step.
		got.Begin = clockTime(5.1)
		if curve, err := got.curve(); err != nil || curve[1].TrainSeconds != 0.75 || curve[1].StartedSeconds != 0 || curve[1].WallSeconds != 0 {
			t.Errorf("%s, gone on with: %+v, %v, want the time of the steps alone", name, curve, err)
		}
		got.Evaluations = append(got.Evaluations, evaluation{Step: 4})
		if _, err := got.curve(); err == nil {
			t.Errorf("%s: no error for an evaluation after more steps than there are", name)
		}
	}
}

// reachRuns returns two seeds of galaxy and Keras, with schedules of 1 and 2 minutes.
func reachRuns() []result {
	run := func(system string, seed int64, minutes float64, start float64, rmse ...float64) result {
		r := result{System: system, Seed: seed, Minutes: minutes, Steps: 20 * len(rmse), Test: scores{RMSE: 0.1}, TrainSeconds: 10 * float64(len(rmse)), WallSeconds: 99}
		for i, x := range rmse { // 10 s of steps and 1 of evaluation each
			at := float64(10 * (i + 1))
			r.Curve = append(r.Curve, point{Step: int64(20 * (i + 1)), RMSE: x, TrainSeconds: at, StartedSeconds: start + at, WallSeconds: start + at + float64(i+1)})
		}
		return r
	}
	return []result{
		run(kerasTuned, 1, 1, 20, 0.15, 0.14, 0.13), run(oursBest, 1, 1, 5, 0.14, 0.12, 0.125),
		run(kerasTuned, 1, 2, 20, 0.16, 0.15, 0.14, 0.13, 0.12, 0.115), run(oursBest, 1, 2, 5, 0.15, 0.13, 0.12, 0.115, 0.11, 0.10),
		run(kerasTuned, 2, 1, 20, 0.15, 0.14, 0.135), run(oursBest, 2, 1, 5, 0.15, 0.13, 0.121),
		run(kerasTuned, 2, 2, 20, 0.16, 0.15, 0.14, 0.13, 0.12, 0.112), run(oursBest, 2, 2, 5, 0.15, 0.12, 0.11, 0.10, 0.10, 0.10),
	}
}

func TestArrive(t *testing.T) {
	for _, test := range []struct {
		name, system        string
		seed                int64
		target              float64
		steps, started, all float64
		minutes             float64
		step                int64
	}{
		{name: "the shorter schedule", system: oursBest, seed: 1, target: 0.12, steps: 20, started: 25, all: 27, minutes: 1, step: 40},
		{name: "the longer one, which alone gets there", system: oursBest, seed: 1, target: 0.111, steps: 50, started: 55, all: 60, minutes: 2, step: 100},
		{name: "the longer one, which is sooner there", system: oursBest, seed: 2, target: 0.12, steps: 20, started: 25, all: 27, minutes: 2, step: 40},
		{name: "at the target itself", system: kerasTuned, seed: 1, target: 0.13, steps: 30, started: 50, all: 53, minutes: 1, step: 60},
		{name: "not reached", system: kerasTuned, seed: 1, target: 0.111, steps: math.Inf(1), started: math.Inf(1), all: math.Inf(1)},
		{name: "no such seed", system: kerasTuned, seed: 3, target: 0.15, steps: math.Inf(1), started: math.Inf(1), all: math.Inf(1)},
	} {
		got := arrive(reachRuns(), test.target, test.system, test.seed)
		for i, seconds := range []float64{test.steps, test.started, test.all} {
			if want := (earliest{number(seconds), test.minutes, test.step}); got.First[clocks[i].name] != want {
				t.Errorf("%s, %s: %+v, want %+v", test.name, clocks[i].name, got.First[clocks[i].name], want)
			}
		}
	}
}

// Each clock has its own winner: a process that was slow to start can lose by one
// clock and win by another.
func TestArriveByEachClock(t *testing.T) {
	runs := []result{
		{System: oursBest, Seed: 1, Minutes: 1, Curve: []point{{Step: 5, RMSE: 0.1, TrainSeconds: 10, StartedSeconds: 40, WallSeconds: 41}}},
		{System: oursBest, Seed: 1, Minutes: 2, Curve: []point{{Step: 6, RMSE: 0.1, TrainSeconds: 12, StartedSeconds: 15, WallSeconds: 50}}},
	}
	for i, minutes := range []float64{1, 2, 1} {
		if got := arrive(runs, 0.1, oursBest, 1).First[clocks[i].name]; got.Minutes != minutes {
			t.Errorf("%s: %+v, want the run of %v minutes", clocks[i].name, got, minutes)
		}
	}
}

func TestReachReport(t *testing.T) {
	systems, err := choose(comparedSystems, choice{only: oursBest + "," + kerasTuned})
	if err != nil {
		t.Fatal(err)
	}
	f := reaching{Plan: plan{EvalEvery: 20}, Targets: []float64{0.13, 0.12, 0.111}, Seeds: []int64{1, 2}, Counts: data.Counts{Train: 80, Validation: 10, Test: 10}, Size: 64, Results: reachRuns()}
	f.compare(systems, mainComparisons)
	text := f.report(systems)
	for _, want := range []string{
		"80 train, 10 validation and 10 test galaxies at 64 px; an evaluation every 20 steps",
		"| galaxy-best | 1 | 1 | 0.1200 | 0.1000 | 60 | 30 | 99 |",
		"| 0.13 | galaxy-best | 2 of 2 | 20 (20–20) | 25 (25–25) | 27 (27–27) | 1, 1 |",
		"| 0.13 | keras-tuned | 2 of 2 | 35 (30–40) | 55 (50–60) | 58 (53–64) | 1, 2 |",
		"| 0.111 | galaxy-best | 2 of 2 | 40 (30–50) | 45 (35–55) | 49 (38–60) | 2, 2 |",
		"| 0.111 | keras-tuned | 0 of 2 | not reached | not reached | not reached | none, none |",
		// Paired by seed: 20 over 30 and 20 over 40, not 20 over the median 35.
		"| galaxy-best ÷ keras-tuned | 0.13 | 2 of 2 | 0.58 (0.50–0.67) | 0.46 (0.42–0.50) | 0.47 (0.42–0.51) |",
		"| galaxy-best ÷ keras-tuned | 0.111 | 0 of 2 | – | – | – |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "galaxy-original") {
		t.Errorf("the report has a system that was not trained:\n%s", text)
	}
	if raw, err := json.Marshal(f); err != nil || !strings.Contains(string(raw), `"everything":{"seconds":null}`) {
		t.Errorf("as JSON: %v, want null seconds for what was not reached\n%s", err, raw)
	}

	// Seed 2 of galaxy never reaches the target: it has no pair, and the median includes
	// it.
	for i, r := range f.Results {
		if r.System == oursBest && r.Seed == 2 {
			f.Results[i].Curve = nil
		}
	}
	f.Arrivals, f.Pairs = nil, nil
	f.compare(systems, mainComparisons)
	text = f.report(systems)
	for _, want := range []string{
		"| 0.13 | galaxy-best | 1 of 2 | not reached (20–not reached) | not reached (25–not reached) | not reached (27–not reached) | 1, none |",
		"| galaxy-best ÷ keras-tuned | 0.13 | 1 of 2 | 0.67 | 0.50 | 0.51 |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestSpread(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		x    []float64
		want string
	}{
		{nil, "–"}, {[]float64{4}, "4"}, {[]float64{9, 4, 5}, "5 (4–9)"}, {[]float64{inf, 4, 5}, "5 (4–not reached)"},
		{[]float64{inf, 4, inf}, "not reached (4–not reached)"}, {[]float64{inf, inf}, "not reached"},
	} {
		if got := spread(test.x, "%.0f"); got != test.want {
			t.Errorf("%v: %q, want %q", test.x, got, test.want)
		}
	}
}

func TestSettings(t *testing.T) {
	good := settings{out: "out", steps: 60, rounds: 3}
	for _, test := range []struct {
		name, seeds, minutes, reach, want string
		change                            func(*settings)
	}{
		{"good", "1, 2,3", "10", "", "", func(*settings) {}},
		{"seeds", "1,,2", "10", "", "-seeds", func(*settings) {}},
		{"no folder", "1", "10", "", "-out", func(s *settings) { s.out = "" }},
		{"two sources", "1", "10", "", "-cache", func(s *settings) { s.data, s.cache = "a", "b" }},
		{"no time", "1", "NaN", "", "-minutes", func(*settings) {}},
		{"several lengths of nothing", "1", "1,2", "", "for -reach", func(*settings) {}},
		{"a length twice", "1", "1,1", "0.1", "-minutes", func(*settings) {}},
		{"a target of nothing", "1", "1,2", "0", "-reach", func(*settings) {}},
		{"negative", "1", "10", "", "-eval-every", func(s *settings) { s.evalEvery = -1 }},
		{"short calibration", "1", "10", "", "-calibration-steps", func(s *settings) { s.steps = 29 }},
	} {
		s := good
		test.change(&s)
		err := s.check(test.seeds, test.minutes, test.reach)
		if test.want == "" && (err != nil || !slices.Equal(s.seeds, []int64{1, 2, 3}) || s.minutes != 10) {
			t.Errorf("%s: seeds %v, %v minutes, %v", test.name, s.seeds, s.minutes, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want one about %s", test.name, err, test.want)
		}
	}
	s := good
	if err := s.check("1", "1,2, 0.5", "0.130,0.111"); err != nil || s.minutes != 0 ||
		!slices.Equal(s.lengths, []float64{1, 2, 0.5}) || !slices.Equal(s.reach, []float64{0.13, 0.111}) {
		t.Errorf("%+v, %v, want three lengths and two targets", s, err)
	}
}

func TestFirst(t *testing.T) {
	folder := t.TempDir()
	if _, err := first(folder, "a.csv", "a.zip"); err == nil || !strings.Contains(err.Error(), "a.zip") {
		t.Errorf("an empty folder: error %v, want one that names a.zip", err)
	}
	path := filepath.Join(folder, "a.zip")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := first(folder, "a.csv", "a.zip"); err != nil || got != path {
		t.Errorf("%s, %v, want %s", got, err, path)
	}
}
