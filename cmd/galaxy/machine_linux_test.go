package main

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"galaxy/train/checkpoint"
)

// after makes shell commands come before one of galaxy's, in its process.
func (b *workbench) after(shell string, args ...string) (code int, stderr string) {
	b.t.Helper()
	c, _, log := b.command(args...)
	c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", shell + `; exec galaxy "$@"`, "galaxy"}, args...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		b.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), log.String()
}

// The warnings of batch systems save and stop a run as SIGTERM does, however often they come,
// and a SIGTERM after one does not cut the saving short.
func TestBatchSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains twice; SIGTERM is sent by TestStopSignals")
	}
	b := newWorkbench(t)
	b.small = false
	for i, signals := range [][]syscall.Signal{{syscall.SIGUSR1, syscall.SIGTERM}, {syscall.SIGXCPU, syscall.SIGXCPU, syscall.SIGXCPU}} {
		before := int64(3 * i)
		c, stderr, ended := b.start(training("run", 60, "--checkpoint-every", "0", "--resume")...)
		for b.lastStep("run") <= before && len(ended) == 0 {
			time.Sleep(time.Millisecond)
		}
		for _, s := range signals {
			b.signal(c, s)
			time.Sleep(20 * time.Millisecond) // to be seen as several
		}
		if _ = <-ended; c.ProcessState.ExitCode() != exitStopped || !strings.Contains(stderr.String(), "saved after step") { //nolint:staticcheck // its state says more
			t.Fatalf("%v: %v\n%s", signals, c.ProcessState, stderr)
		}
		if last, damaged, err := checkpoint.Open(b.path("run", "checkpoints")).Latest(); err != nil || damaged != nil || last.State.Step != b.lastStep("run") {
			t.Errorf("%v: the latest checkpoint is %v, %v, %v: expected that of step %d", signals, last, damaged, err, b.lastStep("run"))
		}
	}
}

// A file that would grow past the limit of the process is an error that says so, and what
// was done before is gone on with.
func TestFileLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains twice; full disks are in TestFullDisk")
	}
	b := newWorkbench(t)
	fails := func(limit string, args ...string) {
		t.Helper()
		code, stderr := b.after("ulimit -f "+limit, args...)
		if code != exitFailed || !strings.Contains(stderr, "ulimit -f") {
			t.Errorf("galaxy %s: exit code %d\n%s", args[0], code, stderr)
		}
	}
	prepare := []string{"prepare", "--labels", "data/training_solutions_rev1.csv", "--images", "data/images_training_rev1", "--size", "32", "--out", "prepared"}
	fails("200", prepare...) // blocks of 512 bytes
	b.galaxy(exitOK, prepare...)
	want := map[string]string{}
	for name, sum := range b.files("cache") {
		want[strings.Replace(name, "/cache/", "/prepared/", 1)] = sum
	}
	if got := b.files("prepared"); !maps.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
	run := training("run", 2, "--resume")
	fails("4000", run...) // less than a checkpoint, which TensorFlow writes
	b.galaxy(exitOK, run...)
}

// All that is written has the permissions that the umask leaves it.
func TestUmaskOfOutputs(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("it runs seven commands; TestUmask of durable has most of what they write")
	}
	// The group writes and others do not read: what is made for its owner alone, as of
	// os.CreateTemp, differs, and so does a mode that is set whatever the umask.
	const mask fs.FileMode = 0o007
	b := &workbench{t: t, dir: t.TempDir(), small: true}
	for _, args := range [][]string{
		{"synth", "--out", "data", "--count", "60", "--seed", "5"},
		{"prepare", "--labels", "data/training_solutions_rev1.csv", "--images", "data/images_training_rev1", "--out", "cache", "--size", "32"},
		training("run", 2, "--checkpoint-every", "1", "--heartbeat", "beat"),
		{"export", "--run", "run", "--out", "model"},
		{"predict", "--model", "model", "--images", "data/images_training_rev1", "--out", "answers.csv"},
		{"eval", "--model", "model", "--data", "cache", "--csv", "figures.csv"},
		{"inspect", "--data", "cache", "--sheet", "sheet.png"},
	} {
		if code, stderr := b.after(fmt.Sprintf("umask %03o", mask), args...); code != exitOK {
			t.Fatalf("galaxy %s: exit code %d\n%s", args[0], code, stderr)
		}
	}
	var seen []string
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == b.dir {
			return err
		}
		info, err := e.Info()
		want := 0o666 &^ mask
		if e.IsDir() {
			want = 0o777 &^ mask
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("umask %03o: %s has %v, expected %v", mask, strings.TrimPrefix(path, b.dir), info.Mode(), want)
		}
		seen = append(seen, e.Name())
		return err
	})
	for _, name := range []string{"variables.index", "events.out.tfevents.0.galaxy", "metrics.csv", "images.bin", "saved_model.pb", "answers.csv", "figures.csv", "sheet.png", "beat", "logs"} {
		if err != nil || !slices.Contains(seen, name) {
			t.Errorf("no %s among %v, %v", name, seen, err)
		}
	}
}
