package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// mirrorFigures compare steps on several devices, and by several processes, with one
// on one device.
type mirrorFigures struct {
	Precision string      `json:"precision"`
	Size      int         `json:"size"`
	Rows      []mirrorRow `json:"rows"` // the first is that of one device
}

type mirrorRow struct {
	Devices string `json:"devices"`
	Batch   int    `json:"batch"`
	Step    spread `json:"step_seconds"`
	Ratio   spread `json:"speed_over_alone"` // in images a second
}

func (f mirrorFigures) print() {
	fmt.Printf("| %s, %d px | batch | step, s | img/s | over %s |\n|---|---|---|---|---|\n", f.Precision, f.Size, f.Rows[0].Devices)
	for _, r := range f.Rows {
		fmt.Printf("| %s | %d | %v | %.1f | %v |\n", r.Devices, r.Batch, r.Step, float64(r.Batch)/r.Step.Median, r.Ratio)
	}
	fmt.Println()
}

// mirror lets one device, several devices and several processes take turns.
func (s settings) mirror(ctx context.Context, precision string) (mirrorFigures, error) {
	several := s.mirrorBatch
	if several == 0 {
		several = s.batch
	}
	sides := []struct {
		name  string
		batch int
		time  func(round, batch int) (timing, error)
	}{
		{s.alone, s.batch, func(round, batch int) (timing, error) {
			return s.timeOurs(ctx, precision, round, batch, "--devices", s.alone)
		}},
		{s.devices, several, func(round, batch int) (timing, error) {
			return s.timeOurs(ctx, precision, round, batch, "--devices", s.devices)
		}},
		{fmt.Sprintf("%d processes", s.workers), several, func(round, batch int) (timing, error) {
			return s.timeWorkers(ctx, precision, round, batch)
		}},
	}
	if s.workers == 0 {
		sides = sides[:2]
	}
	f := mirrorFigures{Precision: precision, Size: s.size}
	steps, ratios := make([][]float64, len(sides)), make([][]float64, len(sides))
	for round := range s.rounds {
		for i, side := range sides {
			t, err := side.time(round, side.batch)
			if err != nil {
				return f, err
			}
			steps[i] = append(steps[i], median(t.steps))
			ratios[i] = append(ratios[i], steps[0][round]/steps[i][round]*float64(side.batch)/float64(s.batch))
		}
	}
	for i, side := range sides {
		f.Rows = append(f.Rows, mirrorRow{side.name, side.batch, spreadOf(steps[i]), spreadOf(ratios[i])})
	}
	return f, nil
}

// timeWorkers times the steps of several processes on this machine, which share its
// cores.
func (s settings) timeWorkers(ctx context.Context, precision string, round, batch int) (timing, error) {
	var addresses []string
	var taken []net.Listener
	for range s.workers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return timing{}, err
		}
		addresses, taken = append(addresses, l.Addr().String()), append(taken, l)
	}
	for _, l := range taken { // together, so that no port is there twice
		if err := l.Close(); err != nil {
			return timing{}, err
		}
	}
	flags := func(i int) []string {
		return []string{"--cluster", strings.Join(addresses, ","), "--worker", strconv.Itoa(i), "--worker-timeout", "1m",
			"--devices", "cpu", "--threads", strconv.Itoa(max(1, runtime.NumCPU()/s.workers))}
	}
	errs := make([]error, s.workers)
	var others sync.WaitGroup
	for i := 1; i < s.workers; i++ {
		others.Go(func() { _, errs[i] = output(ctx, s.galaxy, s.trainArgs("", precision, batch, flags(i))...) })
	}
	t, err := s.timeOurs(ctx, precision, round, batch, flags(0)...)
	others.Wait()
	return t, errors.Join(append(errs, err)...)
}
