package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{4, 1}, spread{2.5, 1, 4}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
	} {
		if got := spreadOf(c.x); got != c.want {
			t.Errorf("spread of %v is %v, want %v", c.x, got, c.want)
		}
	}
}

// TestMetrics reads the lines that galaxy train writes, a half-written one
// included.
func TestMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	follow := follower{path: path}
	if n := follow.steps(); n != 0 {
		t.Errorf("%d steps in no file", n)
	}
	const (
		one  = `{"kind":"step","step":1,"data_wait_seconds":0.25,"time":"2026-01-02T03:04:05.5Z"}` + "\n"
		eval = `{"kind":"evaluation","step":1,"time":"2026-01-02T03:04:06Z"}` + "\n"
		two  = `{"kind":"step","step":2,"data_wait_seconds":0,"time":"2026-01-02T03:04:07Z"}` + "\n"
	)
	for _, c := range []struct {
		content string
		want    int
	}{{one[:20], 0}, {one, 1}, {one + eval + two[:30], 1}, {one + eval + two, 2}} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := follow.steps(); n != c.want {
			t.Errorf("%d steps in %q, want %d", n, c.content, c.want)
		}
	}
	lines, err := readSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || lines[0].Wait != 0.25 || lines[1].Time.Sub(lines[0].Time).Seconds() != 1.5 {
		t.Errorf("read %+v", lines)
	}
}

func TestAnonymousMiB(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	if mib, err := anonymousMiB(os.Getpid()); err != nil || mib <= 0 {
		t.Errorf("this process has %v MiB of anonymous memory (%v)", mib, err)
	}
}
