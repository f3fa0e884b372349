package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/objective"
)

// reportPlacement prints where the ops of a training step on --devices are. The
// graph is that of galaxy train --recipe best with the network of --arch, on images of 64 px; the
// recipe changes the numbers, not the devices.
func reportPlacement(c *cli.Context) (err error) {
	devices, err := session.Devices(c.String("devices")).Resolve(session.Config{})
	if err != nil {
		return usage.Error{Err: err}
	}
	best := train.DefaultPlan(train.Plan{Recipe: "best"}).Config
	o, err := objective.New(best.Objective, labels.GalaxyZoo())
	if err != nil {
		return err
	}
	model := best.Model
	model.Arch, model.Size, model.Outputs = c.String("arch"), 64, o.Outputs()
	model.Mean, model.Std = []float64{0, 0, 0}, []float64{1, 1, 1}
	model.Precision = model.Precision.Resolve(session.IsGPU(devices[0]))
	trainer, err := graph.NewTrainer(graph.TrainerConfig{
		Model: model, Augment: best.Augment, Loss: o.Loss, Posterior: o.Posterior,
		Optimizer: best.Optimizer, Batch: 2 * len(devices), Devices: devices,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	placed := trainer.Placement()
	result := struct {
		Devices   []string       `json:"devices"`
		Placement []graph.Placed `json:"placement"`
	}{devices, placed}
	return report(c, result, func(w io.Writer) { printPlacement(w, placed) })
}

// printPlacement prints a row for every part of the graph and a column for every
// device.
func printPlacement(w io.Writer, placed []graph.Placed) {
	var devices, parts []string
	counts := map[[2]string]int{}
	for _, p := range placed {
		if !slices.Contains(devices, p.Device) {
			devices = append(devices, p.Device)
		}
		if !slices.Contains(parts, p.Part) {
			parts = append(parts, p.Part)
		}
		counts[[2]string{p.Part, p.Device}] += p.Ops
	}
	fmt.Fprint(w, "ops of a training step, and of what is around it, by device")
	t := newTable(w)
	header := []string{""}
	for _, d := range devices {
		header = append(header, strings.TrimPrefix(d, "/device:"))
	}
	t.row(header...)
	for _, part := range parts {
		cells := []string{part}
		for _, d := range devices {
			text := "–"
			if n := counts[[2]string{part, d}]; n > 0 {
				text = strconv.Itoa(n)
			}
			cells = append(cells, text)
		}
		t.row(cells...)
	}
	t.Flush()
}
