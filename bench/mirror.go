package main

import (
	"context"
	"fmt"
)

// mirrorFigures compare a step on several devices with one on one device.
type mirrorFigures struct {
	Precision string `json:"precision"`
	Size      int    `json:"size"`
	Devices   string `json:"devices"`
	Alone     string `json:"alone"`
	Batch     int    `json:"batch"`
	AloneSize int    `json:"alone_batch"`
	Step      spread `json:"step_seconds"`
	AloneStep spread `json:"alone_step_seconds"`
	Ratio     spread `json:"speed_over_alone"` // in images a second
}

func (f mirrorFigures) print() {
	fmt.Printf("| %s, %d px | batch | step, s | img/s |\n|---|---|---|---|\n", f.Precision, f.Size)
	fmt.Printf("| %s | %d | %v | %.1f |\n", f.Alone, f.AloneSize, f.AloneStep, float64(f.AloneSize)/f.AloneStep.Median)
	fmt.Printf("| %s | %d | %v | %.1f |\n", f.Devices, f.Batch, f.Step, float64(f.Batch)/f.Step.Median)
	fmt.Printf("\n%s: %v × the images a second of %s\n\n", f.Devices, f.Ratio, f.Alone)
}

// mirror lets one device and several take turns.
func (s settings) mirror(ctx context.Context, precision string) (mirrorFigures, error) {
	f := mirrorFigures{Precision: precision, Size: s.size, Devices: s.devices, Alone: s.alone, Batch: s.mirrorBatch, AloneSize: s.batch}
	if f.Batch == 0 {
		f.Batch = f.AloneSize
	}
	var alone, several, ratios []float64
	for round := range s.rounds {
		one, err := s.timeOurs(ctx, precision, round, f.AloneSize, "--devices", f.Alone)
		if err != nil {
			return f, err
		}
		all, err := s.timeOurs(ctx, precision, round, f.Batch, "--devices", f.Devices)
		if err != nil {
			return f, err
		}
		a, b := median(one.steps), median(all.steps)
		alone, several = append(alone, a), append(several, b)
		ratios = append(ratios, a/b*float64(f.Batch)/float64(f.AloneSize))
	}
	f.AloneStep, f.Step, f.Ratio = spreadOf(alone), spreadOf(several), spreadOf(ratios)
	return f, nil
}
