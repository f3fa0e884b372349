package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
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

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0.00123456: "0.00123", 1.2345: "1.23", 999.4: "999", 1234: "1230", 3.551e6: "3550000", -5010: "-5010"} {
		if got := short(x); got != want {
			t.Errorf("%v is %s, want %s", x, got, want)
		}
	}
}

// TestTurns lets one peer fail in its second turn and another take too long: the
// others have all their turns, in order, and the failed peers none.
func TestTurns(t *testing.T) {
	var order []string
	take := func(name string, fails func(ctx context.Context, round int) error) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, round int) (float64, error) {
			order = append(order, fmt.Sprint(name, round))
			return float64(10*round + len(name)), fails(ctx, round)
		}
	}
	never := func(context.Context, int) error { return nil }
	sides := []side[float64]{
		{"a", false, take("a", never)},
		{"bb", true, take("bb", func(_ context.Context, round int) error {
			if round == 1 {
				return errors.New("python: exit status 1\nTraceback\n  RuntimeError: no compiler")
			}
			return nil
		})},
		{"ccc", true, take("ccc", never)},
		{"slow", true, take("slow", func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return errors.New("signal: killed")
		})},
	}
	all, err := takeTurns(t.Context(), 3, 10*time.Millisecond, sides)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, " "), "a0 bb0 ccc0 slow0 a1 bb1 ccc1 a2 ccc2"; got != want {
		t.Errorf("the turns were %s, want %s", got, want)
	}
	if want := (map[string][]float64{"a": {1, 11, 21}, "ccc": {3, 13, 23}}); !reflect.DeepEqual(all.taken, want) {
		t.Errorf("taken: %v, want %v", all.taken, want)
	}
	if want := (map[string]string{"bb": "RuntimeError: no compiler", "slow": "a turn took longer than 10ms"}); !reflect.DeepEqual(all.missing, want) {
		t.Errorf("missing: %q, want %q", all.missing, want)
	}

	ourFault := errors.New("ours")
	sides[0].take = func(context.Context, int) (float64, error) { return 0, ourFault }
	if _, err := takeTurns(t.Context(), 1, time.Second, sides[:2]); !errors.Is(err, ourFault) {
		t.Errorf("ours failed with %v, want %v", err, ourFault)
	}
	if _, err := takeTurns(t.Context(), 1, time.Second, []side[float64]{sides[0], sides[0]}); err == nil || errors.Is(err, ourFault) {
		t.Errorf("two sides of one name: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	sides[1].take = func(context.Context, int) (float64, error) { stop(); return 0, errors.New("killed") }
	if _, err := takeTurns(stopped, 1, time.Second, sides[1:2]); err == nil {
		t.Error("a bench that was stopped goes on")
	}
}

// In TestRatio each round is twice as slow as the previous one: a ratio of medians
// would be the same for any order.
func TestRatio(t *testing.T) {
	same := func(x float64) float64 { return x }
	if got, want := ratio([]float64{3, 2, 8}, []float64{1, 2, 4}, same), (spread{2, 1, 3}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
}

func TestFastest(t *testing.T) {
	of := func(steps ...float64) (all []timing) {
		for _, s := range steps {
			all = append(all, timing{steps: []float64{s}})
		}
		return all
	}
	for _, c := range []struct{ a, b, want []timing }{
		{of(1, 5), of(2, 4), of(1, 4)},
		{of(1, 5), nil, of(1, 5)},
		{nil, of(2, 4), of(2, 4)},
		{nil, nil, nil},
	} {
		before := fmt.Sprint(c.a)
		if got := fastest(c.a, c.b); fmt.Sprint(got) != fmt.Sprint(c.want) || fmt.Sprint(c.a) != before {
			t.Errorf("the faster of %v and %v are %v, want %v", before, c.b, got, c.want)
		}
	}
}

// In TestCostOfSaves there are checkpoints after steps 8 and 16 of 24, which delay
// steps 9 to 12 and 17 to 20.
func TestCostOfSaves(t *testing.T) {
	var steps []float64
	for step := warm + 1; step <= 24; step++ {
		seconds := 1.0
		switch step {
		case 9, 17:
			seconds = 3
		case 10, 18:
			seconds = 1.5
		case 11, 12, 19, 20:
			seconds = 1.25
		case 13, 21: // no more
			seconds = 1.125
		}
		steps = append(steps, seconds)
	}
	got, err := costOfSaves(steps, 8)
	if err != nil {
		t.Fatal(err)
	}
	if want := (saveCost{after: 1.375, other: 1, save: 3}); math.Abs(got.after-want.after)+math.Abs(got.other-want.other)+math.Abs(got.save-want.save) > 1e-9 {
		t.Errorf("cost %+v, want %+v", got, want)
	}
	if _, err := costOfSaves(steps[:8-warm], 8); err == nil {
		t.Error("a run of 8 steps has no step after a checkpoint, and no error")
	}
}

func TestMachine(t *testing.T) {
	want := map[string]string{"TensorFlow": "2.21.0", "Keras": "3.15.1", "PyTorch": "2.15.0+cpu"}
	if got := parseVersions("numpy==2.4.6 tensorflow_cpu==2.21.0 keras==3.15.1 keras-hub==1 torch==2.15.0+cpu\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("versions %q, want %q", got, want)
	}
	for text, want := range map[string]float64{
		"MemFree:  1 kB\nMemTotal:       25165824 kB\n": 24, "MemTotal: much\n": 0, "": 0,
	} {
		if got := parseMemory(text); got != want {
			t.Errorf("memory %v GiB in %q, want %v", got, text, want)
		}
	}
}

// TestRepeatSet makes five galaxies from two.
func TestRepeatSet(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.MkdirAll(images(from), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		labelsFile(from):                     "GalaxyID,A,B\n7,0.1,0.2\n9,0.3,0.4\n",
		filepath.Join(images(from), "7.jpg"): "seven", filepath.Join(images(from), "9.jpg"): "nine",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it exists
		if err := repeatSet(from, to, 5); err != nil {
			t.Fatal(err)
		}
	}
	table, err := os.ReadFile(labelsFile(to))
	if err != nil {
		t.Fatal(err)
	}
	if want := "GalaxyID,A,B\n100018,0.1,0.2\n100029,0.3,0.4\n100040,0.1,0.2\n100051,0.3,0.4\n100062,0.1,0.2\n"; string(table) != want {
		t.Errorf("labels %q, want %q", table, want)
	}
	entries, err := os.ReadDir(images(to))
	if err != nil || len(entries) != 5 {
		t.Errorf("%d images (%v), want 5", len(entries), err)
	}
	if content, err := os.ReadFile(filepath.Join(images(to), "100051.jpg")); string(content) != "nine" {
		t.Errorf("the fourth image is %q (%v), want nine", content, err)
	}
}

func TestStretches(t *testing.T) {
	want := []stretch{{From: 100, To: 600}, {From: 1000, To: 1500}, {From: 4500, To: 5000}, {From: 9500, To: 10000}}
	if got := stretches(10000); !reflect.DeepEqual(got, want) {
		t.Errorf("stretches %v, want %v", got, want)
	}
}

func TestLines(t *testing.T) {
	row := func(side string, batch int, image float64) growthRow {
		return growthRow{Side: side, Value: batch, Image: spread{image, image, image}}
	}
	// A step of galaxy costs 0.2 s plus 0.01 s per image.
	got := lines([]growthRow{row(ours, 8, 0.035), row(keras, 8, 1), row(ours, 16, 9), row(ours, 32, 0.01625)})
	if len(got) != 1 || got[0].Side != ours || math.Abs(got[0].Step-0.2) > 1e-9 || math.Abs(got[0].Image-0.01) > 1e-9 {
		t.Errorf("lines %+v", got)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		want  int
	}{{[]int{64, 128, 224}, 128}, {[]int{64}, 64}, {[]int{32, 48}, 32}} {
		if got := (settings{sizes: c.sizes}).size(); got != c.want {
			t.Errorf("of %v the one size is %d, want %d", c.sizes, got, c.want)
		}
	}
}
