package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"galaxy/data"
)

// clock is a way to count the seconds until an evaluation.
type clock struct {
	name string
	of   func(point) float64
}

var clocks = []clock{
	{"steps", func(p point) float64 { return p.TrainSeconds }},
	{"start and steps", func(p point) float64 { return p.StartedSeconds }},
	{"everything", func(p point) float64 { return p.WallSeconds }},
}

// arrival is how long a system took to a target with a seed, by each clock.
type arrival struct {
	Target float64             `json:"validation_rmse"`
	System string              `json:"system"`
	Seed   int64               `json:"seed"`
	First  map[string]earliest `json:"first"`
}

// earliest is the first evaluation that reached a target.
type earliest struct {
	// Seconds is infinite, null in JSON, if there is none.
	Seconds number  `json:"seconds"`
	Minutes float64 `json:"minutes,omitempty"` // of its run's schedule
	Step    int64   `json:"step,omitempty"`
}

// arrive returns the least time to a target over the runs of a system with a seed.
// Their schedules differ in length, and a schedule is at its best only at its end:
// a single length would say more about that length than about the system.
func arrive(results []result, target float64, system string, seed int64) arrival {
	a := arrival{Target: target, System: system, Seed: seed, First: map[string]earliest{}}
	for _, by := range clocks {
		least := earliest{Seconds: number(math.Inf(1))}
		for _, r := range results {
			if r.System != system || r.Seed != seed {
				continue
			}
			i := slices.IndexFunc(r.Curve, func(p point) bool { return p.RMSE <= target })
			if i >= 0 && by.of(r.Curve[i]) < float64(least.Seconds) {
				least = earliest{number(by.of(r.Curve[i])), r.Minutes, r.Curve[i].Step}
			}
		}
		a.First[by.name] = least
	}
	return a
}

// paired is the time of system A to a target divided by the time of B, by each clock,
// paired by seed. A seed with which one of them did not reach the target has none.
type paired struct {
	Target float64              `json:"validation_rmse"`
	A      string               `json:"a"`
	B      string               `json:"b"`
	Ratios map[string][]float64 `json:"ratios"`
}

// reaching is the content of reach.json.
type reaching struct {
	Plan     plan        `json:"plan"`
	Minutes  []float64   `json:"minutes"`
	Targets  []float64   `json:"targets"`
	Seeds    []int64     `json:"seeds"`
	Counts   data.Counts `json:"counts"`
	Size     int         `json:"size"`
	Results  []result    `json:"results"`
	Arrivals []arrival   `json:"arrivals"`
	Pairs    []paired    `json:"pairs"`
}

// runReach trains every system with every seed and every length of schedule, and
// reports how long they took to the targets.
func (s settings) runReach(ctx context.Context, out io.Writer, p plan, manifest data.Manifest, systems []system, comparisons []comparison) error {
	times := map[string][]float64{}
	for name, c := range p.Systems {
		times[name] = c.StepSeconds
	}
	f := reaching{Plan: p, Minutes: s.lengths, Targets: s.reach, Seeds: s.seeds, Counts: manifest.Counts, Size: manifest.Size}
	for _, seed := range s.seeds {
		for _, minutes := range s.lengths {
			planned := budget(systems, times, 60*minutes)
			for _, sys := range systems {
				r, err := s.result(ctx, trial{system: sys, seed: seed, steps: planned[sys.Name].Steps, minutes: minutes,
					siblings: filepath.Join(s.out, fmt.Sprintf("minutes-%v", minutes), fmt.Sprintf("seed-%d", seed))}, manifest.Counts.Train)
				if err != nil {
					return fmt.Errorf("%s, seed %d, %v minutes: %w", sys.Name, seed, minutes, err)
				}
				f.Results = append(f.Results, r)
			}
		}
	}
	f.compare(systems, comparisons)
	return s.tell(out, "reach", f.report(systems), f)
}

// compare computes the times to the targets from the results.
func (f *reaching) compare(systems []system, comparisons []comparison) {
	for _, target := range f.Targets {
		for _, sys := range systems {
			for _, seed := range f.Seeds {
				f.Arrivals = append(f.Arrivals, arrive(f.Results, target, sys.Name, seed))
			}
		}
		for _, c := range comparisons {
			if c.Views { // evaluations during a run have no views
				continue
			}
			pair := paired{Target: target, A: c.A, B: c.B, Ratios: map[string][]float64{}}
			trained := false
			for _, by := range clocks {
				a, b := f.seconds(target, c.A, by), f.seconds(target, c.B, by)
				trained = len(a) > 0 && len(b) > 0
				for i := range min(len(a), len(b)) { // both are in the order of the seeds
					if !math.IsInf(a[i], 1) && !math.IsInf(b[i], 1) {
						pair.Ratios[by.name] = append(pair.Ratios[by.name], a[i]/b[i])
					}
				}
			}
			if trained {
				f.Pairs = append(f.Pairs, pair)
			}
		}
	}
}

// arrivals returns a system's arrivals at a target, one per seed.
func (f reaching) arrivals(target float64, system string) (all []arrival) {
	for _, a := range f.Arrivals {
		if a.Target == target && a.System == system {
			all = append(all, a)
		}
	}
	return all
}

func (f reaching) seconds(target float64, system string, by clock) (all []float64) {
	for _, a := range f.arrivals(target, system) {
		all = append(all, float64(a.First[by.name].Seconds))
	}
	return all
}

// report returns the result as Markdown.
func (f reaching) report(systems []system) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%d train, %d validation and %d test galaxies at %d px; an evaluation every %s\n\n",
		f.Counts.Train, f.Counts.Validation, f.Counts.Test, f.Size, f.Plan.every())
	t.WriteString("| system | minutes | seed | best RMSE, validation | RMSE, test | steps | training, s | in all, s |\n|---|---|---|---|---|---|---|---|\n")
	for _, sys := range systems {
		for _, r := range f.Results {
			if r.System == sys.Name {
				fmt.Fprintf(&t, "| %s | %v | %d | %s | %s | %d | %.0f | %.0f |\n",
					r.System, r.Minutes, r.Seed, cell(r.best()), cell(rmse(r)), r.Steps, r.TrainSeconds, r.WallSeconds)
			}
		}
	}
	var names, rules string
	for _, by := range clocks {
		names, rules = names+" "+by.name+" |", rules+"---|"
	}
	t.WriteString("\n| seconds to validation RMSE | system | seeds that reach it |" + names + " minutes of the schedule that was first by its steps, seed by seed |\n|---|---|---|" + rules + "---|\n")
	for _, target := range f.Targets {
		for _, sys := range systems {
			arrivals, reached := f.arrivals(target, sys.Name), 0
			var winners []string
			for _, a := range arrivals {
				winner := "none"
				if won := a.First[clocks[0].name]; won.Step > 0 {
					reached, winner = reached+1, fmt.Sprint(won.Minutes)
				}
				winners = append(winners, winner)
			}
			fmt.Fprintf(&t, "| %v | %s | %d of %d |", target, sys.Name, reached, len(arrivals))
			for _, by := range clocks {
				fmt.Fprintf(&t, " %s |", spread(f.seconds(target, sys.Name, by), "%.0f"))
			}
			fmt.Fprintf(&t, " %s |\n", strings.Join(winners, ", "))
		}
	}
	if len(f.Pairs) > 0 {
		t.WriteString("\n| ratio of the seconds, seed by seed | to RMSE | seeds with which both reach it |" + names + "\n|---|---|---|" + rules + "\n")
	}
	for _, p := range f.Pairs {
		fmt.Fprintf(&t, "| %s ÷ %s | %v | %d of %d |", p.A, p.B, p.Target, len(p.Ratios[clocks[0].name]), len(f.Seeds))
		for _, by := range clocks {
			fmt.Fprintf(&t, " %s |", spread(p.Ratios[by.name], "%.2f"))
		}
		t.WriteString("\n")
	}
	return t.String()
}

// best returns the lowest RMSE of a run's evaluations.
func (r result) best() float64 {
	best := math.Inf(1)
	for _, p := range r.Curve {
		best = min(best, p.RMSE)
	}
	return best
}

// spread prints the median with the smallest and the largest. A target that was
// not reached counts as later than all others: if it were skipped, a failing seed would
// make the median look better.
func spread(x []float64, verb string) string {
	show := func(v float64) string {
		if math.IsInf(v, 1) {
			return "not reached"
		}
		return fmt.Sprintf(verb, v)
	}
	switch {
	case len(x) == 0:
		return "–"
	case len(x) == 1 || math.IsInf(slices.Min(x), 1):
		return show(x[0])
	}
	return fmt.Sprintf("%s (%s–%s)", show(median(x)), show(slices.Min(x)), show(slices.Max(x)))
}
