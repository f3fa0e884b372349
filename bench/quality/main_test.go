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

	"pgregory.net/rapid"

	"galaxy/data"
)

// results are three seeds of the systems that mainComparisons names.
func results() []result {
	made := func(system string, seed int64, rmse, accuracy float64) result {
		return result{System: system, Seed: seed, Steps: 100, Epochs: 2.5, Test: scores{rmse, accuracy}, TrainSeconds: 60, WallSeconds: 70}
	}
	all := []result{
		made(oursOriginal, 1, 0.10, 0.70), made(kerasOriginal, 1, 0.11, 0.60),
		made(oursOriginal, 2, 0.12, 0.70), made(kerasOriginal, 2, 0.11, 0.61),
		made(oursOriginal, 3, 0.14, 0.70), made(kerasOriginal, 3, 0.11, 0.62),
		made(kerasTuned, 1, 0.10, 0.75), made(oursBest, 1, 0.09, 0.76),
	}
	all[0].Constant = &scores{0.157, 0.64}
	all[6].Views, all[7].Views = &scores{0.100, 0.76}, &scores{0.080, 0.77}
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

// What is in plan.json is not calibrated again, and does not change its meaning:
// with neither program at hand nothing can run.
func TestPlan(t *testing.T) {
	out := t.TempDir()
	s := settings{out: out, minutes: 10, rounds: 1, steps: 30, galaxy: filepath.Join(out, "none"), python: filepath.Join(out, "none")}
	systems, err := choose(comparedSystems, kerasTuned, `{"peak": 0.004, "flip": false}`)
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
		want               string // of the error; "" is none
	}{
		{"the same", "abc", `{"flip":false,"peak":4e-3}`, 10, ""},
		{"another recipe", "abc", `{"peak": 0.002}`, 10, "another keras-tuned"},
		{"another cache", "abd", `{"peak": 0.004, "flip": false}`, 10, "choose another -out"},
		{"another time", "abc", `{"peak": 0.004, "flip": false}`, 1, "asked for are 1 minutes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			systems, err := choose(comparedSystems, kerasTuned, test.tuned)
			if err != nil {
				t.Fatal(err)
			}
			s.minutes = test.minutes
			p, err := s.plan(context.Background(), test.cache, systems)
			if test.want == "" && (err != nil || p.Systems[kerasTuned].Steps != 1200) {
				t.Errorf("%+v, %v, want 1200 steps", p, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	s.minutes = 10
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
		{"galaxy-original", []string{oursOriginal, kerasOriginal}}, // a pair is taken whole
		{"keras-original", []string{oursOriginal, kerasOriginal}},
	} {
		chosen, err := choose(comparedSystems, test.only, "")
		var names []string
		for _, s := range chosen {
			names = append(names, s.Name)
		}
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("-only %q: %v, %v, want %v", test.only, names, err, test.want)
		}
	}
	for _, bad := range [][2]string{{"galaxy", ""}, {"", "peak=1"}} {
		if _, err := choose(comparedSystems, bad[0], bad[1]); err == nil {
			t.Errorf("-only %q -tuned %q: no error", bad[0], bad[1])
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

func TestStepSeconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	lines := `{"kind":"step","step":1,"step_seconds":0.5}
{"kind":"evaluation","step":1,"validation_rmse":0.1}
{"kind":"step","step":2,"step_seconds":0.25}
`
	if err := os.WriteFile(path, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := stepSeconds(path); err != nil || !slices.Equal(got, []float64{0.5, 0.25}) {
		t.Errorf("%v, %v, want 0.5 and 0.25", got, err)
	}
}

func TestSettings(t *testing.T) {
	good := settings{out: "out", minutes: 10, steps: 60, rounds: 3}
	for _, test := range []struct {
		name, seeds, want string
		change            func(*settings)
	}{
		{"good", "1, 2,3", "", func(*settings) {}},
		{"seeds", "1,,2", "-seeds", func(*settings) {}},
		{"no folder", "1", "-out", func(s *settings) { s.out = "" }},
		{"two sources", "1", "-cache", func(s *settings) { s.data, s.cache = "a", "b" }},
		{"no time", "1", "-minutes", func(s *settings) { s.minutes = math.NaN() }},
		{"short calibration", "1", "-calibration-steps", func(s *settings) { s.steps = 29 }},
	} {
		s := good
		test.change(&s)
		err := s.check(test.seeds)
		if test.want == "" && (err != nil || !slices.Equal(s.seeds, []int64{1, 2, 3})) {
			t.Errorf("%s: seeds %v, %v", test.name, s.seeds, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want one about %s", test.name, err, test.want)
		}
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
