package main

import (
	"os"
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
