package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `{"examples": 320, "rmse": 0.12, "accuracy_argmax37": 0.6, "question_accuracy": 0.8, "loss": 0.02,
	"images_per_second": 200, "accuracy_argmax37_interval": [0.55, 0.65],
	"baseline": {"rmse": 0.18, "accuracy_argmax37": 0.4, "question_accuracy": 0.6, "loss": 0.05}}`

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name, old, new string // what is replaced in the SavedModel's result (and the run's, where both is set)
		both           bool
		ratio          float64
		want           string // part of the error; empty: none
	}{
		{name: "good", ratio: 0.75},
		{name: "RMSE too high", ratio: 0.6, want: "0.667 of the constant predictor's, expected at most 0.600"},
		{name: "quality unchecked", ratio: 0},
		{name: "accuracy in doubt", old: "[0.55,", new: "[0.39,", both: true, ratio: 0.75, want: "lower 95% bound 0.3900 is not above"},
		{name: "no interval", old: "_interval", new: "_other", both: true, ratio: 0.75, want: "lower 95% bound 0.0000"},
		{name: "another RMSE", old: "0.12", new: "0.1203", ratio: 0.75, want: "RMSE of the run 0.120000 and of the SavedModel 0.120300"},
		{name: "another loss", old: "0.02,", new: "0.0198,", ratio: 0, want: "loss of the run"},
		{name: "close enough", old: "0.02,", new: "0.02009,", ratio: 0},
		{name: "another split", old: "320", new: "319", ratio: 0.75, want: "320 examples, the SavedModel on 319"},
		{name: "no baseline", old: "baseline", new: "base", both: true, ratio: 0.75, want: "lacks examples, rmse or baseline.rmse"},
		{name: "no JSON", old: "{", new: "", ratio: 0.75, want: "read result"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			saved := strings.Replace(good, test.old, test.new, 1)
			run := good
			if test.both {
				run = saved
			}
			a, b := filepath.Join(dir, "run.json"), filepath.Join(dir, "saved.json")
			for path, text := range map[string]string{a: run, b: saved} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := check(&out, test.ratio, a, b)
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}
