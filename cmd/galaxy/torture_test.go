package main

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/galeone/tensorflow/tensorflow/go/core/framework/summary_go_proto"
	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// How much the tests below do. As they are the tests are short, and train a small network, for
// they are about files and signals; make torture makes them long.
var (
	tortureFull     = flag.Bool("full", false, "train ResNet34")
	tortureKills    = flag.Int("kills", 3, "TestKilledRun: how often the run is killed")
	tortureSignals  = flag.Int("signals", 6, "TestStopSignals: how many there are")
	tortureFlips    = flag.Int("flips", 9, "TestFlippedBytes: how many there are")
	tortureRequests = flag.Int("requests", 200, "TestServe: how many there are; from 40,000 on the service's memory must not grow")
	tortureDisks    = flag.Int("disks", 2, "TestFullDisk: how many are too small for training; 0 is one for every write")
)

// often returns how often a test does what a flag counts: once with -short.
func often(flag int) int {
	if testing.Short() {
		return min(flag, 1)
	}
	return flag
}

// workbench is a folder in which galaxy is run.
type workbench struct {
	t     *testing.T
	dir   string
	r     *rand.Rand
	small bool // train a network of two blocks
}

// newWorkbench has a few galaxies, data, and their cache of 32 px in it.
func newWorkbench(t *testing.T) *workbench {
	t.Helper()
	if underRace {
		t.Skip("the race detector makes it too slow, and sees the same code in TestScripts")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b := &workbench{t, t.TempDir(), rand.New(rand.NewPCG(seed, 0)), !*tortureFull}
	if err := copyGalaxies(b.dir, "data", "cache"); err != nil {
		t.Fatal(err)
	}
	return b
}

// training is a command that trains a small run.
func training(out string, steps int, more ...string) []string {
	return append([]string{"train", "--data", "cache", "--out", out, "--steps", fmt.Sprint(steps), "--batch", "8", "--precision", "float32",
		"--optimizer", "sgd", "--lr", "0.01", "--rotate", "180", "--plateau", "2", "--eval-every", "6", "--keep", "1"}, more...)
}

func (b *workbench) path(name ...string) string {
	return filepath.Join(append([]string{b.dir}, name...)...)
}

// command is galaxy with the arguments, in the folder.
func (b *workbench) command(args ...string) (c *exec.Cmd, stdout, stderr *bytes.Buffer) {
	c = exec.CommandContext(b.t.Context(), "galaxy", args...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	c.Dir, c.Stdout, c.Stderr = b.dir, stdout, stderr
	c.Env = append(os.Environ(), testVariables(b.dir, b.small)...)
	return c, stdout, stderr
}

// start starts a command; ended gets what comes of it.
func (b *workbench) start(args ...string) (c *exec.Cmd, stderr *bytes.Buffer, ended <-chan error) {
	b.t.Helper()
	c, _, stderr = b.command(args...)
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	return c, stderr, done
}

// signal sends a signal to a command that may have ended.
func (b *workbench) signal(c *exec.Cmd, s os.Signal) {
	b.t.Helper()
	if err := c.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.t.Fatal(err)
	}
}

// galaxy runs a command that has to end with code.
func (b *workbench) galaxy(code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	got, stdout, stderr := b.try(args...)
	if got != code {
		b.t.Fatalf("galaxy %s: exit code %d, expected %d\n%s", strings.Join(args, " "), got, code, stderr)
	}
	return stdout, stderr
}

func (b *workbench) try(args ...string) (code int, stdout, stderr string) {
	b.t.Helper()
	c, out, log := b.command(args...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		b.t.Fatal(err)
	}
	if strings.Contains(log.String(), "panic: ") || strings.Contains(log.String(), "goroutine ") {
		b.t.Fatalf("galaxy %s:\n%s", strings.Join(args, " "), log)
	}
	return c.ProcessState.ExitCode(), out.String(), log.String()
}

// read is the content of a file in the folder, "" without one.
func (b *workbench) read(name ...string) string {
	raw, err := os.ReadFile(b.path(name...))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(raw)
}

// trained is what a run has computed: the step of the best evaluation, and the sum of
// the last checkpoint's variables.
func (b *workbench) trained(run string) map[string]string {
	b.t.Helper()
	last := strings.TrimSpace(b.read(run, "checkpoints", "LATEST"))
	return map[string]string{
		"best":      b.read(run, "checkpoints", "BEST"),
		"last":      last,
		"variables": fmt.Sprint(xxh3.HashString(b.read(run, "checkpoints", last, "variables.data-00000-of-00001"))),
	}
}

// outcome is that, and the run's metrics, but for what the clock decides.
func (b *workbench) outcome(run string) map[string]string {
	b.t.Helper()
	out := b.trained(run)
	out["metrics.jsonl"] = clockFields.ReplaceAllString(b.read(run, "metrics.jsonl"), "")
	out["events"] = b.curves(filepath.Join(run, "events.out.tfevents.0.galaxy"))
	rows, err := csv.NewReader(strings.NewReader(b.read(run, "metrics.csv"))).ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	var table strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if name := rows[0][i]; name != "time" && name != "images_per_second" && !strings.HasSuffix(name, "_seconds") {
				table.WriteString(cell + ",")
			}
		}
		table.WriteString("\n")
	}
	out["metrics.csv"] = table.String()
	return out
}

// curves are the points in an event file, but for those of the clock.
func (b *workbench) curves(file string) string {
	b.t.Helper()
	var out strings.Builder
	for rest := []byte(b.read(file)); len(rest) >= 16; {
		length := binary.LittleEndian.Uint64(rest)
		payload := rest[12 : 12+length]
		rest = rest[16+length:]
		step := uint64(0)
		for len(payload) > 0 { // of an Event: see package events
			field, kind, n := protowire.ConsumeTag(payload)
			value := payload[n:]
			n += protowire.ConsumeFieldValue(field, kind, value)
			switch field {
			case 2:
				step, _ = protowire.ConsumeVarint(value)
			case 5:
				var summary summary_go_proto.Summary
				message, _ := protowire.ConsumeBytes(value)
				if err := proto.Unmarshal(message, &summary); err != nil {
					b.t.Fatal(err)
				}
				for _, v := range summary.Value {
					if !strings.HasSuffix(v.Tag, "_seconds") && !strings.HasSuffix(v.Tag, "images_per_second") {
						fmt.Fprintf(&out, "%d %s %x\n", step, v.Tag, v.GetTensor().TensorContent)
					}
				}
			}
			payload = payload[n:]
		}
	}
	return out.String()
}

// wantOutcome compares that of a run with another's.
func (b *workbench) wantOutcome(run string, want map[string]string) {
	b.t.Helper()
	got := b.outcome(run)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			b.t.Errorf("%s of %s differs from the uncut run's:\n%.3000s\nexpected\n%.3000s", name, run, got[name], want[name])
		}
	}
}

// each calls do for every file below a path, whose name is that behind b.dir.
func (b *workbench) each(path string, do func(name, file string) error) {
	b.t.Helper()
	err := filepath.WalkDir(b.path(path), func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return do(strings.TrimPrefix(file, b.dir), file)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
}

// files are the sums of all files below a path.
func (b *workbench) files(path string) map[string]string {
	b.t.Helper()
	out := map[string]string{}
	b.each(path, func(name, file string) error {
		raw, err := os.ReadFile(file)
		out[name] = fmt.Sprint(xxh3.Hash(raw))
		return err
	})
	return out
}

// sizes are those of all files below a path.
func (b *workbench) sizes(path string) map[string]int64 {
	b.t.Helper()
	out := map[string]int64{}
	b.each(path, func(name, file string) error {
		info, err := os.Stat(file)
		if err == nil {
			out[name] = info.Size()
		}
		return err
	})
	return out
}

// lastStep is the step of the last whole line of a run's metrics.
func (b *workbench) lastStep(run string) (step int64) {
	lines := strings.Split(b.read(run, "metrics.jsonl"), "\n")
	for _, line := range slices.Backward(lines[:len(lines)-1]) {
		var m struct{ Step int64 }
		if json.Unmarshal([]byte(line), &m) == nil {
			return m.Step
		}
	}
	return 0
}

// beginning is the step that a run's own words say it begins with, 0 where it has not
// said it.
func beginning(stderr string) (step int64) {
	if m := regexp.MustCompile(`step (\d+) of \d+: loss|resume: go on at step (\d+)\n`).FindStringSubmatch(stderr); m != nil {
		if n, err := strconv.ParseInt(m[1]+m[2], 10, 64); err == nil {
			step = n
		}
	}
	return step
}

// A run that is killed at any moment, again and again, ends as one that was not.
func TestKilledRun(t *testing.T) {
	const every = 4 // steps between checkpoints
	t.Parallel()
	b := newWorkbench(t)
	kills := often(*tortureKills)
	steps := 7*kills + 12
	if b.small { // a step takes a tenth of the time
		steps *= 6
	}
	if testing.Short() {
		steps /= 2
	}
	begin := time.Now()
	b.galaxy(exitOK, training("uncut", steps, "--checkpoint-every", "0")...)
	uncut := time.Since(begin)

	phases, worst, lifetime := map[string]int{}, int64(0), 100*time.Millisecond
	kill := func(i int) (ended bool) {
		if err := os.RemoveAll(b.path("beat")); err != nil {
			t.Fatal(err)
		}
		made := b.lastStep("run")
		stale := b.unfinished(nil)
		life, stderr, end := b.start(training("run", steps, "--checkpoint-every", fmt.Sprint(every), "--resume", "--heartbeat", "beat")...)
		b.await(end, i, stale, &lifetime, uncut/2)
		b.signal(life, syscall.SIGKILL)
		if err := <-end; err == nil {
			return true
		}
		if code := life.ProcessState.ExitCode(); code != -1 {
			t.Fatalf("life %d: exit code %d\n%s", i, code, stderr)
		}
		for _, word := range []string{"damaged", "is gone"} {
			if strings.Contains(stderr.String(), word) {
				t.Fatalf("life %d met what a kill cannot leave:\n%s", i, stderr)
			}
		}
		phase := "before its first sign of life"
		if raw := b.read("beat"); raw != "" {
			var beat struct{ Phase string }
			if err := json.Unmarshal([]byte(raw), &beat); err != nil {
				t.Fatal(err)
			}
			phase = beat.Phase
		}
		if len(b.unfinished(stale)) > 0 {
			phase = "inside the write of a checkpoint"
		}
		phases[phase]++
		if begun := beginning(stderr.String()); begun > 0 {
			worst = max(worst, made-(begun-1))
		}
		return false
	}
	n := 0
	for (n < kills || 3*phases["inside the write of a checkpoint"] < n) && !kill(n) {
		n++
	}
	if n == 0 {
		t.Error("the run has ended before it could be killed once")
	}
	_, stderr := b.galaxy(exitOK, training("run", steps, "--checkpoint-every", fmt.Sprint(every), "--resume")...)
	for _, phase := range slices.Sorted(maps.Keys(phases)) {
		t.Logf("killed %d times %s", phases[phase], phase)
	}
	t.Logf("%d kills; at most %d steps were made again, with a checkpoint after every %d; the last life began with step %d of %d", n, worst, every, beginning(stderr), steps)
	if worst > 2*every {
		t.Errorf("%d steps were made again, expected at most those between two checkpoints and those that are made while one is written: %d", worst, 2*every)
	}
	b.wantOutcome("run", b.outcome("uncut"))
}

// unfinished are the checkpoints of the run, but for the stale ones, that are being
// written, or were when it was killed.
func (b *workbench) unfinished(stale []string) []string {
	found, err := filepath.Glob(b.path("run", "checkpoints", ".step-*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(name string) bool { return slices.Contains(stale, name) })
}

// await waits for the moment to kill life i: a third of them while a checkpoint is
// written, at a moment of the time that the last one took, and a third after up to the longest time.
func (b *workbench) await(ended <-chan error, i int, stale []string, lifetime *time.Duration, longest time.Duration) {
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	switch i % 3 {
	case 0:
		for n := b.r.IntN(3); ; n-- {
			for len(ended) == 0 && len(b.unfinished(stale)) == 0 {
				<-tick.C
			}
			begin, delay := time.Now(), time.Duration(b.r.Float64()*float64(*lifetime))
			for len(ended) == 0 && len(b.unfinished(stale)) > 0 {
				if n <= 0 && time.Since(begin) >= delay {
					return
				}
				<-tick.C
			}
			if len(ended) > 0 {
				return
			}
			*lifetime = time.Since(begin) // it may have ended before the delay: then the next one is met
		}
	case 1:
		from, n := b.lastStep("run"), int64(1+b.r.IntN(9))
		for len(ended) == 0 && b.lastStep("run") < from+n { // cut back when the run goes on
			<-tick.C
		}
		time.Sleep(time.Duration(b.r.IntN(100)) * time.Millisecond)
	default:
		time.Sleep(time.Duration(b.r.Float64() * float64(longest)))
	}
}

// stopped makes a run that a signal stops about after a step, and returns the one that it
// was stopped after.
func (b *workbench) stopped(run string, steps int, after int64) int64 {
	b.t.Helper()
	c, stderr, ended := b.start(training(run, steps, "--checkpoint-every", "3")...)
	for b.lastStep(run) < after && len(ended) == 0 {
		time.Sleep(time.Millisecond)
	}
	b.signal(c, syscall.SIGTERM)
	if _ = <-ended; c.ProcessState.ExitCode() != exitStopped { //nolint:staticcheck // its state says more
		b.t.Fatalf("the run was to be stopped after step %d, and ended with %v\n%s", after, c.ProcessState, stderr)
	}
	return b.lastStep(run)
}

// hang is longer than a command of these tests takes, on a busy machine too.
const hang = 10 * time.Minute

// A stop signal in any phase of any command ends it before its work is done, and what was begun can be
// gone on with, or has left nothing behind.
func TestStopSignals(t *testing.T) {
	t.Parallel()
	b := newWorkbench(t)
	count := 600 // galaxies, so that there is time for a signal
	if b.small {
		count = 60
	}
	b.galaxy(exitOK, training("trained", 6)...)
	commands := []struct {
		name, out string
		goesOn    bool
		args      func(out string) []string
		result    func(out string) map[string]string
	}{
		{"synth", "drawn", false, func(out string) []string {
			return []string{"synth", "--out", out, "--count", fmt.Sprint(count), "--seed", "7"}
		}, nil},
		{"prepare", "prepared", true, func(out string) []string {
			return []string{"prepare", "--labels", "uncut-drawn/training_solutions_rev1.csv", "--images", "uncut-drawn/images_training_rev1", "--out", out, "--size", "128"}
		}, nil},
		{"train", "run", true, func(out string) []string {
			return training(out, 24, "--checkpoint-every", "5", "--resume")
		}, b.outcome},
		{"eval", "", false, func(string) []string {
			return []string{"eval", "--model", "trained", "--data", "cache", "--split", "all"}
		}, nil},
		{"export", "model", false, func(out string) []string { return []string{"export", "--run", "trained", "--out", out} }, nil},
		{"predict", "answers.csv", true, func(out string) []string {
			return []string{"predict", "--model", "trained", "--images", "uncut-drawn/images_training_rev1", "--out", out}
		}, nil},
	}
	if testing.Short() {
		commands = commands[2:3] // train
	}
	took := make([]time.Duration, len(commands))
	want := make([]map[string]string, len(commands))
	for i, c := range commands {
		begin := time.Now()
		b.galaxy(exitOK, c.args("uncut-"+c.out)...)
		took[i] = time.Since(begin)
		if c.out != "" {
			if c.result == nil {
				c.result = b.files
				commands[i].result = func(out string) map[string]string {
					renamed := map[string]string{}
					for name, sum := range b.files(out) {
						renamed[strings.Replace(name, "/"+out, "/uncut-"+out, 1)] = sum
					}
					return renamed
				}
			}
			want[i] = c.result("uncut-" + c.out)
		}
	}
	worst := make([]time.Duration, len(commands))
	outcomes := map[string]int{}
	for n := range often(*tortureSignals) {
		i := n % len(commands)
		c := commands[i]
		p, stderr, ended := b.start(c.args(c.out)...)
		moment := time.Duration(b.r.Float64() * float64(took[i]))
		time.Sleep(moment)
		begin := time.Now()
		b.signal(p, syscall.SIGTERM)
		select {
		case _ = <-ended: //nolint:staticcheck // the state says more
		case <-time.After(hang):
			t.Errorf("%s: %v after a signal at %v it is still there\n%s", c.name, hang, moment, stderr)
			_ = p.Process.Kill()
			_ = <-ended //nolint:staticcheck // the state says more
		}
		worst[i] = max(worst[i], time.Since(begin))
		said := stderr.String()
		how := fmt.Sprintf("exit code %d", p.ProcessState.ExitCode())
		switch code := p.ProcessState.ExitCode(); {
		case code == exitOK:
			how = "it had ended"
		case code == -1 && said == "":
			how = "before main"
		case code != exitStopped:
			t.Errorf("%s: a signal at %v: exit code %d\n%s", c.name, moment, code, said)
		}
		outcomes[c.name+": "+how]++
		if c.out == "" || how == "it had ended" {
			if c.out != "" && !maps.Equal(c.result(c.out), want[i]) {
				t.Errorf("%s: it had ended at a signal at %v, with another result", c.name, moment)
			}
			b.remove(c.out)
			continue
		}
		if !c.goesOn {
			for name := range b.files("") {
				if strings.HasPrefix(name, "/"+c.out) || strings.Contains(name, ".tmp-") {
					t.Errorf("%s: a signal at %v has left %s behind", c.name, moment, name)
				}
			}
		}
		made := b.lastStep("run")
		_, again := b.galaxy(exitOK, c.args(c.out)...)
		if c.name == "train" && how == "exit code 3" && made > 0 {
			if begun := beginning(again); begun > 0 && begun != made+1 {
				t.Errorf("train: stopped after step %d, gone on with step %d", made, begun)
			}
		}
		if got := c.result(c.out); !maps.Equal(got, want[i]) {
			t.Errorf("%s: after a signal at %v, begun again: %v\nexpected %v", c.name, moment, got, want[i])
		}
		b.remove(c.out)
	}
	for i, c := range commands {
		t.Logf("%s: gone at most %v after a signal, of %v that it takes", c.name, worst[i].Round(time.Millisecond), took[i].Round(time.Millisecond))
	}
	for _, how := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%s: %d times", how, outcomes[how])
	}
}

// remove removes a command's output, and what it has for going on.
func (b *workbench) remove(out string) {
	if out == "" {
		return
	}
	for _, name := range []string{out, out + ".partial"} {
		if err := os.RemoveAll(b.path(name)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// A changed byte in any file of a run is found and named, or changes nothing that is
// computed.
func TestFlippedBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it damages a run nine times and goes on")
	}
	t.Parallel()
	b := newWorkbench(t)
	b.galaxy(exitOK, training("uncut", 8)...)
	want := b.trained("uncut")
	// Half of a run, with a checkpoint that is the best and one that is not always.
	b.stopped("run", 8, 6)
	scores, _ := b.galaxy(exitOK, "eval", "--model", "run", "--data", "cache", "--json")
	scores = clockFields.ReplaceAllString(scores, "")
	names := slices.Sorted(maps.Keys(b.files("run")))
	found := map[string]int{}
	for n := range *tortureFlips {
		file := names[n%len(names)]
		raw := []byte(b.read(file))
		at, mask := b.r.IntN(len(raw)), byte(1+b.r.IntN(255))
		raw[at] ^= mask
		for _, name := range names {
			from, to := b.path(name), strings.Replace(b.path(name), "/run/", "/trial/", 1)
			err := os.MkdirAll(filepath.Dir(to), 0o777)
			switch {
			case err != nil:
			case name == file:
				err = os.WriteFile(to, raw, 0o666)
			case strings.Contains(name, "variables"): // large, and never changed
				err = os.Link(from, to)
			default:
				err = os.WriteFile(to, []byte(b.read(name)), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		base := filepath.Base(file)
		file = fmt.Sprintf("%s, byte %d xor %#x", file, at, mask)
		told := func(stderr string) bool { return strings.Contains(stderr, base) }
		how := "harmless"
		code, out, stderr := b.try("eval", "--model", "trial", "--data", "cache", "--json")
		out = clockFields.ReplaceAllString(strings.ReplaceAll(out, "trial", "run"), "")
		switch {
		case code != exitOK && told(stderr):
			how = "named by eval"
		case code != exitOK || out != scores:
			t.Errorf("%s: eval ended with %d, which does not name it:\n%s%s", file, code, out, stderr)
		}
		code, _, stderr = b.try("train", "--out", "trial", "--data", "cache", "--resume")
		switch {
		case told(stderr) && code == exitOK && how == "harmless":
			how = "named, and gone on"
		case told(stderr) && code != exitOK:
			how = "named, and refused"
		case code != exitOK:
			t.Errorf("%s: resumed, it ended with %d, which does not name it:\n%s", file, code, stderr)
		}
		if code == exitOK {
			if got := b.trained("trial"); !maps.Equal(got, want) {
				t.Errorf("%s: resumed, it has come to %v, expected %v:\n%s", file, got, want, stderr)
			}
		}
		found[fmt.Sprintf("%s: %s", base, how)]++
		if err := os.RemoveAll(b.path("trial")); err != nil {
			t.Fatal(err)
		}
	}
	for _, how := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%s: %d times", how, found[how])
	}
}
