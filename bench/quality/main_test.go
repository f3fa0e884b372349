package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	pairs := []pair{
		{"1", scores{0.10, 0.70}, scores{0.11, 0.60}},
		{"2", scores{0.12, 0.70}, scores{0.11, 0.61}},
		{"3", scores{0.14, 0.70}, scores{0.11, 0.62}},
	}
	// Differences −0.01, 0.01, 0.03: mean 0.01, deviation 0.02.
	d := differ(pairs, func(s scores) float64 { return s.RMSE })
	if math.Abs(d.Mean-0.01) > 1e-12 || math.Abs(d.StandardError-0.02/math.Sqrt(3)) > 1e-12 || !d.Within {
		t.Errorf("RMSE: %+v, want a mean of 0.01, a standard error of 0.0115, within", d)
	}
	// Differences 0.10, 0.09, 0.08: far outside.
	if d := differ(pairs, func(s scores) float64 { return s.Accuracy }); d.Within {
		t.Errorf("accuracy: %+v, want it outside two standard errors", d)
	}
	var out strings.Builder
	path := filepath.Join(t.TempDir(), "quality.json")
	if err := report(&out, path, pairs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 2 | 0.1200 | 0.1100 | +0.0100 | 0.7000 | 0.6100 | +0.0900 |",
		"RMSE: mean difference +0.01000, two standard errors 0.02309: within: true",
		"accuracy: mean difference +0.09000, two standard errors 0.01155: within: false",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
