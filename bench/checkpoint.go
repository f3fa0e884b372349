package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

const (
	saveEvery = 8 // steps from one checkpoint to the next; more than warm
	// Number of steps after the start of a checkpoint that it may slow down: galaxy
	// writes it while the next steps run.
	saveSteps = 4
)

// checkpointFigures hold the cost of a checkpoint to the steps, by the program's name.
// galaxy's fraction of the peer's cost is computed in each round.
type checkpointFigures struct {
	Precision   string            `json:"precision"`
	Size        int               `json:"size"`
	Batch       int               `json:"batch"`
	Steps       int               `json:"steps"`
	Every       int               `json:"every"`
	Others      map[string]spread `json:"other_step_seconds"`
	After       map[string]spread `json:"step_after_save_seconds"`
	Ratio       map[string]spread `json:"step_after_save_over_other"`
	Save        map[string]spread `json:"seconds_per_save"`
	Share       map[string]spread `json:"seconds_per_save_share_of"`
	NotMeasured map[string]string `json:"not_measured,omitempty"`
}

func (f checkpointFigures) print() {
	fmt.Printf("| a checkpoint every %d steps, %s, %d px, batch %d | other steps, ms | the %d steps after it, ms | ratio | cost per checkpoint, ms |\n|---|---|---|---|---|\n",
		f.Every, f.Precision, f.Size, f.Batch, saveSteps)
	for _, name := range []string{ours, keras} {
		if other, ok := f.Others[name]; ok {
			fmt.Printf("| %s | %v | %v | %v | %v |\n", name, other.times(1000), f.After[name].times(1000), f.Ratio[name], f.Save[name].times(1000))
		} else if _, ok := f.NotMeasured[name]; ok {
			fmt.Printf("| %s | not measured | | | |\n", name)
		}
	}
	if share, ok := f.Share[keras]; ok {
		fmt.Printf("\na checkpoint costs %v of what Keras' does\n", share)
	}
	fmt.Println()
}

// saveCost is the result of one turn, in seconds: the medians of the steps after the start
// of a checkpoint and of the others, and how much longer the former take per checkpoint.
type saveCost struct{ after, other, save float64 }

// costOfSaves computes the cost from the measured steps of a run, which start after the
// warm-up, with a checkpoint every saveEvery steps.
func costOfSaves(steps []float64, every int) (c saveCost, err error) {
	var after, others []float64
	saves := 0
	for i, seconds := range steps {
		before := warm + i // steps run before this one
		switch since := before % every; {
		case before < every || since >= saveSteps:
			others = append(others, seconds)
		default:
			after = append(after, seconds)
			if since == 0 {
				saves++
			}
		}
	}
	if saves == 0 || len(others) == 0 {
		return c, errors.New("no step lies after a checkpoint, or none does not")
	}
	c.after, c.other = median(after), median(others)
	for _, seconds := range after {
		c.save += (seconds - c.other) / float64(saves)
	}
	return c, nil
}

// checkpoint compares galaxy train, which writes while training continues, with Keras'
// ModelCheckpoint.
func (s settings) checkpoint(ctx context.Context, to *figures) error {
	cache, err := s.prepared(ctx, s.size())
	if err != nil {
		return err
	}
	t := training{cache, "bfloat16", s.size(), s.batch, s.checkpointSteps}
	every := strconv.Itoa(saveEvery)
	cost := func(took timing, err error) (saveCost, error) {
		if err != nil {
			return saveCost{}, err
		}
		return costOfSaves(took.steps, saveEvery)
	}
	all, err := takeTurns(ctx, s.rounds, s.turnLimit, []side[saveCost]{
		{ours, false, func(ctx context.Context, _ int) (saveCost, error) {
			return cost(s.timeOurs(ctx, t, "--checkpoint-every", every))
		}},
		{keras, true, func(ctx context.Context, _ int) (saveCost, error) {
			return cost(s.timePeer(ctx, keras, t, "--save-every", every, "--save-to", filepath.Join(s.work, "checkpoint.keras")))
		}},
	})
	if err != nil {
		return err
	}
	f := checkpointFigures{
		Precision: t.precision, Size: t.size, Batch: t.batch, Steps: t.steps, Every: saveEvery, NotMeasured: all.missing,
		Others: map[string]spread{}, After: map[string]spread{}, Ratio: map[string]spread{}, Save: map[string]spread{}, Share: map[string]spread{},
	}
	save := func(c saveCost) float64 { return c.save }
	for name, taken := range all.taken {
		f.Others[name] = over(taken, func(c saveCost) float64 { return c.other })
		f.After[name] = over(taken, func(c saveCost) float64 { return c.after })
		f.Ratio[name] = over(taken, func(c saveCost) float64 { return c.after / c.other })
		f.Save[name] = over(taken, save)
	}
	if they, ok := all.taken[keras]; ok {
		f.Share[keras] = ratio(all.taken[ours], they, save)
	}
	f.print()
	to.Checkpoint = &f
	return nil
}
