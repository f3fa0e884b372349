package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStopRequests(t *testing.T) {
	type event struct {
		signal os.Signal
		after  time.Duration // since the event before
	}
	for name, c := range map[string]struct {
		events []event
		want   int
	}{
		"one":                          {[]event{{syscall.SIGTERM, 0}}, 1},
		"two":                          {[]event{{syscall.SIGINT, 0}, {syscall.SIGINT, 50 * time.Millisecond}}, 2},
		"to the process and its group": {[]event{{syscall.SIGTERM, 0}, {syscall.SIGTERM, 10 * time.Microsecond}}, 1},
		"an echo, and a second":        {[]event{{syscall.SIGTERM, 0}, {syscall.SIGTERM, time.Millisecond}, {syscall.SIGTERM, time.Second}}, 2},
		"warnings":                     {[]event{{syscall.SIGUSR1, 0}, {syscall.SIGXCPU, time.Second}, {syscall.SIGTERM, time.Second}}, 1},
	} {
		var r stopRequests
		now, got := time.Unix(1, 0), 0
		for _, e := range c.events {
			now = now.Add(e.after)
			got = r.add(e.signal, now)
		}
		if got != c.want {
			t.Errorf("%s: asked for an end %d times, expected %d", name, got, c.want)
		}
	}
}

// A signal that comes while libtensorflow is loaded, before main, ends the command with a
// sentence. A library with an initialiser that sends it stands for that moment.
func TestSignalBeforeMain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the executable runs code before its libraries' on Linux alone")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "early.c"), filepath.Join(dir, "early.so")
	const code = `#include <signal.h>
#include <unistd.h>
__attribute__((constructor)) static void early(void) { kill(getpid(), SIGTERM); }
`
	if err := os.WriteFile(source, []byte(code), 0o666); err != nil {
		t.Fatal(err)
	}
	b := &workbench{t: t, dir: dir, small: true}
	b.run(exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-o", library, source))
	c, stdout, stderr := b.command("doctor")
	c.Env = append(c.Env, "LD_PRELOAD="+library)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	if code := c.ProcessState.ExitCode(); code != exitStopped || stdout.Len() > 0 || !strings.Contains(stderr.String(), "stopped by a signal") {
		t.Errorf("exit code %d (%v), %q, expected %d and a sentence", code, c.ProcessState, stderr, exitStopped)
	}
}
