package train

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"galaxy/graph/network"
	"galaxy/internal/usage"
)

// budgetRun describes the configuration of a run of total steps; rapid or a table chooses
// its durations.
type budgetRun struct {
	epoch                 int64
	warmup, small         float64 // fractions of the run
	evalEvery, checkpoint int64
	seconds               float64 // between checkpoints
}

func (b budgetRun) at(total int64) (Config, error) {
	cfg := Config{Model: network.Config{Size: 64}, EvalEvery: b.evalEvery, CheckpointEvery: b.checkpoint, CheckpointSeconds: b.seconds}
	cfg.Schedule.Total, cfg.Schedule.Warmup = total, int64(b.warmup*float64(total))
	if until := int64(b.small * float64(total)); until > 0 {
		cfg.Sizes = Sizes{{Size: 32, Until: until}}
	}
	return cfg, cfg.Sizes.Validate(32, 64, total)
}

func TestBudgetFit(t *testing.T) {
	costs := Costs{Spent: 10, Start: 4, Step: map[int]float64{32: 0.1, 64: 0.4}, Evaluation: 2, Checkpoint: 1, CheckpointDelay: 0.5}
	for _, test := range []struct {
		name    string
		seconds float64
		run     budgetRun
		costs   Costs
		want    int64
	}{
		// 94 s - 14 s - one evaluation (2 s) - its checkpoint (0.5 s) - the wait for the last (1 s).
		{"steps alone", 100, budgetRun{epoch: 10}, costs, 191},
		// k evaluations and checkpoints in 10 k steps: 79 s = k * (4 + 2.5) s; one step more has one more of both.
		{"evaluations", 100, budgetRun{epoch: 10, evalEvery: 10, checkpoint: 10}, costs, 120},
		{"checkpoints wait for each other", 100, budgetRun{epoch: 10, checkpoint: 1}, Costs{Step: map[int]float64{64: 0.1}, Checkpoint: 1, CheckpointDelay: 0.1}, 92},
		// Half of the steps cost 0.1 s: 76.5 s = n * 0.25 s.
		{"sizes", 100, budgetRun{epoch: 10, small: 0.5}, costs, 306},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.costs.fit(test.seconds, test.run.epoch, test.run.at)
			if err != nil || got.Schedule.Total != test.want {
				t.Errorf("%d steps, %v; expected %d", got.Schedule.Total, err, test.want)
			}
		})
	}
	if _, err := costs.fit(9e9, 10, budgetRun{epoch: 10}.at); err == nil || !strings.Contains(err.Error(), "has time for more than the 2147483647 steps") {
		t.Errorf("got %v, expected that there is time for more steps than a run may have", err)
	}
	_, err := costs.fit(17, 10, budgetRun{epoch: 10, warmup: 0.5}.at)
	var mistake usage.Error
	// 20 steps of 0.4 s, 14 s before, 3.5 s after: 25.5 s are 94 % of the budget; plus 5 %.
	if !errors.As(err, &mistake) || !strings.Contains(err.Error(), "budget 17s is too short") || !strings.Contains(err.Error(), "19 steps: give 29s or more") {
		t.Errorf("got %v, expected the least that would do", err)
	}
	if _, err := costs.fit(1e6, 10, budgetRun{epoch: 10, warmup: 1}.at); !errors.As(err, &mistake) || !strings.Contains(err.Error(), "shorten schedule.warmup_steps") {
		t.Errorf("got %v, expected it to be about the warm-up", err)
	}
}

// The chosen run ends in time, a few more steps would not fit, and the minimum named by
// an error is enough.
func TestBudgetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cost := rapid.Float64Range(0, 20)
		c := Costs{
			Spent: cost.Draw(t, "spent"), Start: cost.Draw(t, "start"), Evaluation: cost.Draw(t, "evaluation"),
			Checkpoint: cost.Draw(t, "checkpoint"), CheckpointDelay: cost.Draw(t, "delay"),
			Step: map[int]float64{32: rapid.Float64Range(0.001, 3).Draw(t, "small"), 64: rapid.Float64Range(0.001, 3).Draw(t, "step")},
		}
		run := budgetRun{
			epoch: rapid.Int64Range(1, 2000).Draw(t, "epoch"), warmup: rapid.Float64Range(0, 0.9).Draw(t, "warmup"), small: rapid.Float64Range(0, 0.9).Draw(t, "sizes"),
			evalEvery: rapid.Int64Range(0, 3000).Draw(t, "eval"), checkpoint: rapid.Int64Range(0, 3000).Draw(t, "every"), seconds: rapid.Float64Range(1, 1000).Draw(t, "clock"),
		}
		budget := rapid.Float64Range(0, 1e5).Draw(t, "budget")
		cfg, err := c.fit(budget, run.epoch, run.at)
		if err != nil {
			_, after, _ := strings.Cut(err.Error(), "give ")
			least, _, _ := strings.Cut(after, " or more")
			enough, e := time.ParseDuration(least)
			if e != nil || enough.Seconds() <= budget {
				t.Fatalf("%v: expected a time of more than %v s", err, budget)
			}
			budget = enough.Seconds()
			if cfg, err = c.fit(budget, run.epoch, run.at); err != nil {
				t.Fatalf("the least that was named: %v", err)
			}
		}
		total := cfg.Schedule.Total
		if took := c.Of(cfg); took > budget {
			t.Fatalf("%d steps take %v s of %v", total, took, budget)
		}
		if total < cfg.Schedule.Warmup+run.epoch {
			t.Fatalf("%d steps with a warm-up of %d and epochs of %d", total, cfg.Schedule.Warmup, run.epoch)
		}
		if more, err := run.at(total + 10 + total/20); err == nil && c.Of(more) < budget*(1-budgetMargin) {
			t.Fatalf("%d steps, where %d take %v s of %v", total, more.Schedule.Total, c.Of(more), budget)
		}
	})
}

func TestSteady(t *testing.T) {
	now := time.Unix(0, 0)
	calls := 0
	// The first call is slow, one later call is very slow, and every fourth a little
	// slower.
	work := func() error {
		calls++
		switch {
		case calls == 1:
			now = now.Add(9 * time.Second)
		case calls == 10:
			now = now.Add(time.Minute)
		case calls%4 == 0:
			now = now.Add(3 * time.Second)
		default:
			now = now.Add(time.Second)
		}
		return nil
	}
	typical, extra, err := steady(work, 110*time.Second, func() time.Time { return now })
	if err != nil || calls < 30 || math.Abs(typical-1.4) > 0.2 || math.Abs(extra-(9-typical)) > 1e-9 {
		t.Errorf("%v s, %v s at first, %v after %d calls; expected 1.3 to 1.5, and 9 less that", typical, extra, err, calls)
	}
	failed := errors.New("no device")
	if _, _, err := steady(func() error { return failed }, 0, time.Now); !errors.Is(err, failed) {
		t.Errorf("got %v, expected the error of the work", err)
	}
}
