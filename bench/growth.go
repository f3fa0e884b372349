package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// growthSettings are the settings of the part growth.
type growthSettings struct {
	tables            string
	rounds, steps     int
	batches, examples []int
}

// growthTables are the quantities that may make an image more expensive.
var growthTables = []string{"batch", "examples", "replicas", "length"}

const (
	growthSize      = 64
	growthBatch     = 32 // of the sets of examples
	replicaBatch    = 64 // of all replicas in total
	growthPrecision = "bfloat16"
)

// growthFigures show whether an image costs the same in larger batches, in larger
// sets, on more replicas, and late in a run.
type growthFigures struct {
	Batches  *growthTable   `json:"batches,omitempty"`
	Examples *growthTable   `json:"examples,omitempty"`
	Replicas *growthTable   `json:"replicas,omitempty"`
	Length   *lengthFigures `json:"length,omitempty"`
}

// growthTable has the rows of one growing quantity, in the order of the turns.
type growthTable struct {
	Rows  []growthRow       `json:"rows"`
	Lines []growthLine      `json:"lines,omitempty"`
	Not   map[string]string `json:"not_measured,omitempty"`
}

// growthRow is the measurement of a training step at one value of the growing quantity.
type growthRow struct {
	Name    string  `json:"name"`
	Side    string  `json:"side"`
	Value   int     `json:"value"`
	Image   spread  `json:"seconds_per_image"`
	Over    *spread `json:"over_first,omitempty"` // the side's first row
	Peak    spread  `json:"peak_rss_anon_mib"`
	First   spread  `json:"first_step_seconds"`
	Prepare *spread `json:"prepare_images_per_second,omitempty"`
	// Parts of a step of galaxy, which show why it may cost more.
	Wait      *spread `json:"data_wait_share,omitempty"`
	AllReduce *spread `json:"all_reduce_seconds,omitempty"`
	Update    *spread `json:"update_seconds,omitempty"`
}

// growthLine has the time of a step that does not depend on the batch, and the time that
// each image adds, from the smallest and the largest batch. The former makes an image more
// expensive in small batches.
type growthLine struct {
	Side  string  `json:"side"`
	Step  float64 `json:"seconds_per_step"`
	Image float64 `json:"seconds_per_further_image"`
}

func (f growthTable) print(title string) {
	fmt.Printf("| %s | ms per image | relative to the first | peak RssAnon, MiB | time to first step, s | data wait, %% | all-reduce, ms per step | update, ms per step | prepare, img/s |\n"+
		"|---|---|---|---|---|---|---|---|---|\n", title)
	cell := func(s *spread, unit float64) string {
		if s == nil {
			return ""
		}
		return s.times(unit).String()
	}
	for _, r := range f.Rows {
		fmt.Printf("| %s | %v | %s | %v | %v | %s | %s | %s | %s |\n", r.Name, r.Image.times(1000), cell(r.Over, 1), r.Peak, r.First,
			cell(r.Wait, 100), cell(r.AllReduce, 1000), cell(r.Update, 1000), cell(r.Prepare, 1))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Not)) {
		fmt.Printf("| %s | not measured | | | | | | | |\n", name)
	}
	fmt.Println()
	for _, l := range f.Lines {
		fmt.Printf("- %s: %.3g ms per step, plus %.3g ms per image\n", l.Side, 1000*l.Step, 1000*l.Image)
	}
	if len(f.Lines) > 0 {
		fmt.Println()
	}
}

// grown is a turn, with prepare's images per second if it was measured.
type grown struct {
	timing
	prepare float64
}

// growing is a row to measure.
type growing struct {
	side, name   string
	value, batch int
	take         func(ctx context.Context) (grown, error)
}

// measureGrowth measures the tables.
func (s settings) measureGrowth(ctx context.Context, to *figures) error {
	f := &growthFigures{}
	to.Growth = f
	for _, t := range []struct {
		name, title string
		rows        func(ctx context.Context) ([]growing, error)
		to          **growthTable
	}{
		{"batch", fmt.Sprintf("larger batches, %d px, %s", growthSize, growthPrecision), s.growingBatches, &f.Batches},
		{"examples", fmt.Sprintf("larger sets, %d px, %s, batch %d", growthSize, growthPrecision, growthBatch), s.growingSets, &f.Examples},
		{"replicas", fmt.Sprintf("more replicas, %d px, %s, batch %d in total", growthSize, growthPrecision, replicaBatch), s.growingReplicas, &f.Replicas},
	} {
		if !slices.Contains(strings.Split(s.growth.tables, ","), t.name) {
			continue
		}
		rows, err := t.rows(ctx)
		if err != nil {
			return err
		}
		table, err := s.grow(ctx, rows)
		if err != nil {
			return err
		}
		if t.name == "batch" {
			table.Lines = lines(table.Rows)
		}
		table.print(t.title)
		*t.to = &table
	}
	if slices.Contains(strings.Split(s.growth.tables, ","), "length") {
		length, err := s.length(ctx)
		if err != nil {
			return err
		}
		length.print()
		f.Length = &length
	}
	return nil
}

// grow measures the rows alternately.
func (s settings) grow(ctx context.Context, rows []growing) (f growthTable, err error) {
	var sides []side[grown]
	for _, r := range rows {
		sides = append(sides, side[grown]{r.name, r.side != ours, func(ctx context.Context, _ int) (grown, error) { return r.take(ctx) }})
	}
	all, err := takeTurns(ctx, s.growth.rounds, s.turnLimit, sides)
	if err != nil {
		return f, err
	}
	f.Not = all.missing
	first := map[string][]grown{} // by side
	perImage := map[string]float64{}
	for _, r := range rows {
		taken, ok := all.taken[r.name]
		if !ok {
			continue
		}
		share := 1 / float64(r.batch)
		row := growthRow{
			Name: r.name, Side: r.side, Value: r.value,
			Image: over(taken, func(g grown) float64 { return g.step() }).times(share),
			Peak:  over(taken, func(g grown) float64 { return g.peak }),
			First: over(taken, func(g grown) float64 { return g.first }),
		}
		if before, ok := first[r.side]; ok {
			more := ratio(taken, before, func(g grown) float64 { return g.step() }).times(share / perImage[r.side])
			row.Over = &more
		} else {
			first[r.side], perImage[r.side] = taken, share
		}
		if r.side == ours {
			wait, reduce, update := over(taken, func(g grown) float64 { return g.wait }), over(taken, func(g grown) float64 { return g.allReduce }), over(taken, func(g grown) float64 { return g.update })
			row.Wait, row.AllReduce, row.Update = &wait, &reduce, &update
		}
		if taken[0].prepare > 0 {
			prepare := over(taken, func(g grown) float64 { return g.prepare })
			row.Prepare = &prepare
		}
		f.Rows = append(f.Rows, row)
	}
	return f, nil
}

// lines returns the growthLine of each side through its first and its last row.
func lines(rows []growthRow) (all []growthLine) {
	for _, side := range []string{ours, keras} {
		of := slices.DeleteFunc(slices.Clone(rows), func(r growthRow) bool { return r.Side != side })
		if len(of) < 2 {
			continue
		}
		a, b := of[0], of[len(of)-1]
		small, large := float64(a.Value), float64(b.Value)
		image := (b.Image.Median*large - a.Image.Median*small) / (large - small)
		all = append(all, growthLine{side, a.Image.Median*small - image*small, image})
	}
	return all
}

// growthTraining is the work of a turn: twice the steps, as there is only one round.
func (s settings) growthTraining(cache string, batch int) training {
	return training{cache, growthPrecision, growthSize, batch, 2 * s.steps}
}

// growingBatches are steps of galaxy and Keras with larger and larger batches.
func (s settings) growingBatches(ctx context.Context) (rows []growing, err error) {
	cache, err := s.prepared(ctx, growthSize)
	if err != nil {
		return nil, err
	}
	for _, batch := range s.growth.batches {
		t := s.growthTraining(cache, batch)
		rows = append(rows, growing{ours, fmt.Sprintf("%s, batch %d", ours, batch), batch, batch, func(ctx context.Context) (grown, error) {
			took, err := s.timeOurs(ctx, t)
			return grown{timing: took}, err
		}})
		if slices.Contains(s.peers, keras) {
			rows = append(rows, growing{keras, fmt.Sprintf("%s, batch %d", keras, batch), batch, batch, func(ctx context.Context) (grown, error) {
				took, err := s.timePeer(ctx, keras, t)
				return grown{timing: took}, err
			}})
		}
	}
	return rows, nil
}

// growingSets are prepare and steps of galaxy on more and more examples.
func (s settings) growingSets(ctx context.Context) (rows []growing, err error) {
	if _, err := s.synth(ctx); err != nil {
		return nil, err
	}
	for _, n := range s.growth.examples {
		set := filepath.Join(s.work, fmt.Sprintf("data-%d", n))
		if err := repeatSet(s.data(), set, n); err != nil {
			return nil, err
		}
		cache := filepath.Join(s.work, fmt.Sprintf("cache-%d-of-%d", growthSize, n))
		rows = append(rows, growing{ours, fmt.Sprintf("%d examples", n), n, growthBatch, func(ctx context.Context) (g grown, err error) {
			if err := os.RemoveAll(cache); err != nil {
				return g, err
			}
			prepared, err := s.prepare(ctx, set, cache, growthSize, n)
			if err != nil {
				return g, err
			}
			g.prepare = prepared.own
			g.timing, err = s.timeOurs(ctx, s.growthTraining(cache, growthBatch))
			return g, errors.Join(err, os.RemoveAll(cache))
		}})
	}
	return rows, nil
}

// growingReplicas are steps of galaxy with one batch on more and more replicas.
func (s settings) growingReplicas(ctx context.Context) (rows []growing, err error) {
	cache, err := s.prepared(ctx, growthSize)
	if err != nil {
		return nil, err
	}
	for _, n := range []int{1, 2, 4} {
		devices := fmt.Sprintf("cpu:%d", n)
		rows = append(rows, growing{ours, devices, n, replicaBatch, func(ctx context.Context) (grown, error) {
			took, err := s.timeOurs(ctx, s.growthTraining(cache, replicaBatch), "--devices", devices)
			return grown{timing: took}, err
		}})
	}
	return rows, nil
}

// repeatSet makes a set of n galaxies by repeating another set under new ids, unless it
// exists. Drawing so many would take minutes. The files are links, so they take no space.
func repeatSet(from, to string, n int) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	table, err := os.ReadFile(labelsFile(from))
	if err != nil {
		return err
	}
	rows := strings.Split(strings.TrimSpace(string(table)), "\n")
	tmp := to + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(images(tmp), 0o755)); err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString(rows[0] + "\n")
	rows = rows[1:]
	if len(rows) == 0 {
		return fmt.Errorf("%s has no galaxy", labelsFile(from))
	}
	for i := range n {
		was, fractions, _ := strings.Cut(rows[i%len(rows)], ",")
		id := strconv.Itoa(100018 + 11*i)
		fmt.Fprintf(&text, "%s,%s\n", id, fractions)
		if err := os.Link(filepath.Join(images(from), was+".jpg"), filepath.Join(images(tmp), id+".jpg")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(labelsFile(tmp), []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}
