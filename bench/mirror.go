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

// mirrorFigures compare steps on several devices, and by several processes, with steps on
// one device.
type mirrorFigures struct {
	Precision string      `json:"precision"`
	Size      int         `json:"size"`
	Rows      []mirrorRow `json:"rows"` // the first is of one device
}

type mirrorRow struct {
	Devices string `json:"devices"`
	Batch   int    `json:"batch"`
	Step    spread `json:"step_seconds"`
	Ratio   spread `json:"speed_over_alone"` // in images per second
}

func (f mirrorFigures) print() {
	fmt.Printf("| %s, %d px | batch | step, s | img/s | over %s |\n|---|---|---|---|---|\n", f.Precision, f.Size, f.Rows[0].Devices)
	for _, r := range f.Rows {
		fmt.Printf("| %s | %d | %v | %.1f | %v |\n", r.Devices, r.Batch, r.Step, float64(r.Batch)/r.Step.Median, r.Ratio)
	}
	fmt.Println()
}

// mirror measures one device, several devices and several processes alternately.
func (s settings) mirror(ctx context.Context, to *figures) error {
	cache, err := s.prepared(ctx, s.size())
	if err != nil {
		return err
	}
	for _, precision := range s.precisions {
		f, err := s.mirrorFigures(ctx, training{cache, precision, s.size(), s.batch, s.steps})
		if err != nil {
			return err
		}
		f.print()
		to.Mirror = append(to.Mirror, f)
	}
	return nil
}

func (s settings) mirrorFigures(ctx context.Context, alone training) (mirrorFigures, error) {
	several := alone
	if s.mirrorBatch > 0 {
		several.batch = s.mirrorBatch
	}
	f := mirrorFigures{Precision: alone.precision, Size: alone.size}
	sides := []side[timing]{
		{s.alone, false, func(ctx context.Context, _ int) (timing, error) { return s.timeOurs(ctx, alone, "--devices", s.alone) }},
		{s.devices, false, func(ctx context.Context, _ int) (timing, error) {
			return s.timeOurs(ctx, several, "--devices", s.devices)
		}},
	}
	if s.workers > 0 {
		sides = append(sides, side[timing]{fmt.Sprintf("%d processes", s.workers), false, func(ctx context.Context, _ int) (timing, error) {
			return s.timeWorkers(ctx, several)
		}})
	}
	all, err := takeTurns(ctx, s.rounds, s.turnLimit, sides)
	if err != nil {
		return f, err
	}
	for i, side := range sides {
		batch := several.batch
		if i == 0 {
			batch = alone.batch
		}
		taken := all.taken[side.name]
		faster := ratio(all.taken[s.alone], taken, timing.step).times(float64(batch) / float64(alone.batch))
		f.Rows = append(f.Rows, mirrorRow{side.name, batch, over(taken, timing.step), faster})
	}
	return f, nil
}

// timeWorkers times the steps of several processes on this machine, which share its
// cores.
func (s settings) timeWorkers(ctx context.Context, t training) (timing, error) {
	var addresses []string
	var taken []net.Listener
	for range s.workers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return timing{}, err
		}
		addresses, taken = append(addresses, l.Addr().String()), append(taken, l)
	}
	for _, l := range taken { // all at the same time, so that no port is used twice
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
		others.Go(func() { _, errs[i] = output(ctx, s.galaxy, t.args("", flags(i))...) })
	}
	took, err := s.timeOurs(ctx, t, flags(0)...)
	others.Wait()
	return took, errors.Join(append(errs, err)...)
}
