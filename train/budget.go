package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"galaxy/data"
	"galaxy/internal/usage"
)

// MaxSteps is the largest number of steps of a run, so that derived numbers do not
// overflow.
const MaxSteps = math.MaxInt32

// Budget records how the number of steps was chosen for a run of a given length.
type Budget struct {
	// Seconds is the time budget, from the start of the command to its end; 0 if the
	// number of steps was given instead.
	Seconds float64 `json:"seconds"`
	// Costs are the measurements that Schedule.Total was computed from.
	Costs Costs `json:"costs" resume:"goes on"`
}

// Costs are the times of the parts of a run, in seconds.
type Costs struct {
	// Spent is the time from the start of the command to the choice of the number of
	// steps, including the measurement.
	Spent float64 `json:"spent_seconds"`
	// Start is the time to build the trainer, plus the extra time of the first steps and
	// the first evaluation compared with later ones.
	Start float64 `json:"start_seconds"`
	// Step is the time of a step, by image size in pixels.
	Step map[int]float64 `json:"step_seconds"`
	// Evaluation is the time of an evaluation of the validation split.
	Evaluation float64 `json:"evaluation_seconds"`
	// Checkpoint is the time until a checkpoint is on the disk; CheckpointDelay is how
	// much it delays the steps that run meanwhile.
	Checkpoint      float64 `json:"checkpoint_seconds"`
	CheckpointDelay float64 `json:"checkpoint_delay_seconds"`
}

// budgetMargin is the fraction of the time kept in reserve: the speed of steps varies
// during a run.
const budgetMargin = 0.06

// Of returns the seconds from the start of the command to the end of a run of cfg.
func (c Costs) Of(cfg Config) float64 {
	total := cfg.Schedule.Total
	sum, begin := c.Spent+c.Start, int64(0)
	for _, p := range cfg.Sizes {
		sum += c.Step[p.Size] * float64(p.Until-begin)
		begin = p.Until
	}
	full := c.Step[cfg.Model.Size]
	sum += full * float64(total-begin)
	evaluations := times(cfg.EvalEvery, total)
	sum += c.Evaluation * float64(evaluations)
	// Every evaluation may be the best so far and so cause a checkpoint.
	checkpoints := evaluations + times(cfg.CheckpointEvery, total)
	if cfg.CheckpointEvery == 0 || cfg.EvalEvery > 0 && cfg.CheckpointEvery%cfg.EvalEvery == 0 {
		checkpoints = evaluations // the others fall on the same steps
	}
	if every := cfg.CheckpointSeconds; every > 0 {
		checkpoints += int64(sum / every)
	}
	// A checkpoint waits for the previous one, and the run's end for the last one.
	between := full * float64(total) / float64(checkpoints)
	return sum + max(c.CheckpointDelay, c.Checkpoint-between)*float64(checkpoints) + c.Checkpoint
}

// times returns how often something is due (see due) in a run.
func times(every, total int64) int64 {
	if every == 0 {
		return 1
	}
	return (total + every - 1) / every
}

// fit returns the configuration with the most steps whose run ends within the given seconds,
// less budgetMargin. at returns the configuration of a run of total steps, or why there is
// none. A run lasts at least its warm-up and at least one epoch, of epoch steps; if that takes
// too long, fit returns a usage.Error.
func (c Costs) fit(seconds float64, epoch int64, at func(total int64) (Config, error)) (Config, error) {
	sound := func(total int64) bool {
		cfg, err := at(total)
		return err == nil && total >= cfg.Schedule.Warmup+epoch
	}
	least := search(epoch, MaxSteps, sound)
	cfg, err := at(least)
	if err != nil {
		return cfg, usage.Error{Err: err}
	}
	if !sound(least) {
		return cfg, usage.Error{Err: usage.Errorf("a warm-up of %d steps leaves no epoch (%d steps) of a run of %d to the peak learning rate: shorten {schedule.warmup_steps}", cfg.Schedule.Warmup, epoch, least)}
	}
	planned := seconds * (1 - budgetMargin)
	if need := c.Of(cfg); need > planned {
		enough := time.Duration(math.Ceil(1.05*need/(1-budgetMargin))) * time.Second // the next measurement may find a little more
		return cfg, usage.Error{Err: usage.Errorf("{budget} %v is too short for the warm-up and one pass over the train split, %d steps: give %v or more (%v)",
			time.Duration(seconds*float64(time.Second)), least, enough, c)}
	}
	// Find the first total that is too long. Evaluations make the times rise unevenly,
	// so the total before it is checked again.
	total := search(least, MaxSteps, func(total int64) bool {
		cfg, err := at(total)
		return err != nil || c.Of(cfg) > planned
	})
	if cfg, err = at(total); total == MaxSteps && err == nil && c.Of(cfg) <= planned {
		return cfg, usage.Error{Err: usage.Errorf("{budget} %v has time for more than the %d steps that a run may have: give %v or less (%v)",
			time.Duration(seconds*float64(time.Second)), int64(MaxSteps), time.Duration(c.Of(cfg)/(1-budgetMargin))*time.Second, c)}
	}
	for ; total > least; total-- {
		if cfg, err = at(total); err == nil && c.Of(cfg) <= planned {
			return cfg, nil
		}
	}
	return at(least)
}

// search returns the smallest total from low on for which is returns true, or high.
func search(low, high int64, is func(total int64) bool) int64 {
	for low < high {
		if middle := low + (high-low)/2; is(middle) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// String lists the costs for people.
func (c Costs) String() string {
	var steps []string
	for _, size := range slices.Sorted(maps.Keys(c.Step)) {
		steps = append(steps, fmt.Sprintf("%.3g s a step at %d px", c.Step[size], size))
	}
	return fmt.Sprintf("%s, %.3g s an evaluation, %.3g s a checkpoint, %.3g s before the first step", strings.Join(steps, ", "), c.Evaluation, c.CheckpointDelay, c.Spent+c.Start)
}

// FitBudget returns o.Config with as many steps as fit into its Budget, which counts from
// began, and records the choice in it. It measures the parts of a run on throw-away steps,
// evaluations and a checkpoint, with a trainer and a loader that Run builds again
// afterwards. at returns the configuration of a run of total steps; o.Config is the
// configuration for MaxSteps. A run that is impossible, for example for lack of time, is a
// usage.Error; nothing stays on the disk.
func FitBudget(ctx context.Context, o Options, began time.Time, at func(total int64) (Config, error)) (_ Config, err error) {
	if err := CheckNew(o.Dir); err != nil {
		return o.Config, err
	}
	r := newRun(o)
	defer func() {
		if err != nil {
			_ = r.beat(PhaseEnd)
		}
	}()
	if err := r.beat(PhaseStart); err != nil {
		return o.Config, usage.Error{Err: err}
	}
	if err := r.check(); err != nil {
		return o.Config, err
	}
	if err := r.resolve(); err != nil {
		return o.Config, err
	}
	if err := r.chooseFilterAlgorithms(); err != nil {
		return o.Config, err
	}
	costs, err := r.measure(ctx)
	if err != nil && ctx.Err() != nil {
		err = usage.Errorf("%w (while {budget} was measured: there was nothing to save)", ErrStopped)
	}
	if err = errors.Join(err, r.close()); err != nil {
		return o.Config, r.explainMemory(ctx, err, r.release)
	}
	costs.Spent = time.Since(began).Seconds()
	epoch := int64(len(r.examples()) / o.Config.Batch)
	cfg, err := costs.fit(o.Config.Budget.Seconds, epoch, at)
	cfg.Budget.Costs, cfg.FilterAlgorithms = costs, r.Config.FilterAlgorithms
	return cfg, err
}

// measure returns the costs of a run, except Spent. It writes the checkpoint next to
// the run folder, because the time depends on the disk.
func (r *run) measure(ctx context.Context) (c Costs, err error) {
	temp := filepath.Dir(filepath.Clean(r.Dir))
	for _, err := os.Stat(temp); err != nil && temp != filepath.Dir(temp); _, err = os.Stat(temp) {
		temp = filepath.Dir(temp)
	}
	// The name is unique to the run and always the same, so that the next measurement
	// removes what a killed one left.
	whole, err := filepath.Abs(r.Dir)
	if err != nil {
		return c, err
	}
	temp = filepath.Join(temp, fmt.Sprintf(".%s.tmp-budget-%08x", filepath.Base(r.Dir), uint32(xxh3.HashString(whole))))
	if err := os.RemoveAll(temp); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.saver.finish(), os.RemoveAll(temp)) }()
	r.saver = newSaver(r.setup, temp)

	begin := time.Now()
	if err := r.build(nil); err != nil {
		return c, err
	}
	c.Start = time.Since(begin).Seconds()
	r.feeder = newFeeder(r.loader, r.trainer)
	var sizes []int
	for _, p := range r.Config.Sizes {
		sizes = append(sizes, p.Size)
	}
	sizes = append(sizes, r.Config.Model.Size)
	spend := min(longestMeasure, time.Duration(r.Config.Budget.Seconds*float64(time.Second)/measureShare)) / time.Duration(len(sizes))
	step := func() error {
		_ = r.beat(PhaseStart)
		batch, err := r.feeder.next(ctx)
		if err == nil {
			_, _, err = r.step(batch, false)
		}
		return err
	}
	c.Step = map[int]float64{}
	for _, size := range sizes {
		if len(r.Config.Sizes) > 0 {
			r.Config.Sizes = Sizes{{Size: size, Until: MaxSteps}}
		}
		typical, extra, err := steady(step, spend, time.Now)
		if err != nil {
			return c, err
		}
		c.Step[size] = typical
		c.Start += extra
	}

	validation := len(r.Cache.Labelled(data.Validation, r.Config.Target()))
	images := make([]byte, min(EvalBatch, validation)*r.Config.Model.Shape().Bytes())
	typical, extra, err := steady(func() error {
		return errors.Join(r.predict(r.trainer, images), ctx.Err())
	}, 0, time.Now)
	if err != nil {
		return c, err
	}
	c.Evaluation = typical * float64((validation+EvalBatch-1)/EvalBatch)
	c.Start += extra

	begin = time.Now()
	if err := r.save(); err != nil {
		return c, err
	}
	for n := 1.0; ; n++ {
		if err := step(); err != nil {
			return c, err
		}
		if writing, err := r.saver.poll(); !writing {
			c.Checkpoint = time.Since(begin).Seconds()
			c.CheckpointDelay = max(0, c.Checkpoint-n*c.Step[r.Config.Model.Size])
			return c, err
		}
	}
}

const (
	// warmCalls is the number of calls that are slower than later ones, because buffers
	// are allocated and kernels compiled. typicalCalls is the smallest number of calls
	// that are measured.
	warmCalls, typicalCalls = 3, 5
	// Steps are measured for 1/measureShare of the budget, up to longestMeasure.
	measureShare   = 40
	longestMeasure = 10 * time.Second
)

// steady calls work warmCalls times, and then for the time spend, at least typicalCalls
// times. typical is the mean time of the later calls without the slowest tenth; extra is how
// many seconds longer the first calls took in total. A median would ignore another process
// that slows every third step, and a plain mean would count one-off delays. now is the
// clock.
func steady(work func() error, spend time.Duration, now func() time.Time) (typical, extra float64, err error) {
	var all []float64
	var warm time.Time
	for last := now(); len(all) < warmCalls+typicalCalls || last.Sub(warm) < spend; {
		if err := work(); err != nil {
			return 0, 0, err
		}
		t := now()
		all, last = append(all, t.Sub(last).Seconds()), t
		if len(all) == warmCalls {
			warm = t
		}
	}
	rest := slices.Sorted(slices.Values(all[warmCalls:]))
	rest = rest[:len(rest)-(len(rest)+9)/10]
	for _, t := range rest {
		typical += t / float64(len(rest))
	}
	for _, t := range all[:warmCalls] {
		extra += max(0, t-typical)
	}
	return typical, extra, nil
}
