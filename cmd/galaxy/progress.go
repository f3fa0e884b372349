package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"galaxy/train"
)

// plainEvery is how often a line is printed where there is no terminal to draw
// a bar on.
const plainEvery = 5 * time.Second

// bar shows how far a command has got, on stderr: a progress bar on a terminal,
// else one line every few seconds.
type bar struct {
	what, unit string
	out        io.Writer
	drawn      *progressbar.ProgressBar // nil where out is no terminal
	terminal   bool

	begin, printed time.Time
	first, done    int // first is where a resumed run began
	resumed        bool
	note           string
}

func newBar(c *cli.Context, what, unit string) *bar {
	return &bar{
		what: what, unit: unit, out: c.App.ErrWriter, begin: time.Now(), printed: time.Now(),
		terminal: c.App.ErrWriter == os.Stderr && term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// from says that what is counted begins now, behind what was done before.
func (b *bar) from(done int) { b.first, b.done, b.begin = done, done, time.Now() }

// resume is set for work that may have been begun before: the first call says how much of
// it was done then.
func (b *bar) resume(done, total int) {
	if !b.resumed {
		b.from(done)
		b.resumed = true
	}
	b.set(done, total)
}

// set says that done of total are done.
func (b *bar) set(done, total int) {
	b.done = done
	if !b.terminal {
		if now := time.Now(); now.Sub(b.printed) >= plainEvery || done == total {
			b.printed = now
			fmt.Fprintf(b.out, "%s: %d of %d (%.3g %s/s%s)%s\n", b.what, done, total, b.rate(), b.unit, b.remaining(total), b.note)
		}
		return
	}
	if b.drawn == nil {
		b.drawn = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(b.what),
			// Its own rate and prediction would count what a resumed run did before.
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(24),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionUseANSICodes(true))
	}
	b.drawn.Describe(b.what + b.note + b.remaining(total))
	_ = b.drawn.Set(done) // a bar that cannot be drawn is no reason to stop
}

// remaining is the estimated time to the end, ", 1m20s left".
func (b *bar) remaining(total int) string {
	if b.done <= b.first || b.done == total {
		return ""
	}
	left := time.Since(b.begin).Seconds() / float64(b.done-b.first) * float64(total-b.done)
	return fmt.Sprintf(", %v left", time.Duration(left*float64(time.Second)).Round(time.Second))
}

// rate is the units done a second so far.
func (b *bar) rate() float64 { return float64(b.done-b.first) / time.Since(b.begin).Seconds() }

// print writes a line without disturbing the bar.
func (b *bar) print(format string, args ...any) {
	if b.drawn != nil {
		_ = b.drawn.Clear()
	}
	fmt.Fprintf(b.out, format+"\n", args...)
}

// close leaves the bar on the screen and returns err.
func (b *bar) close(err error) error {
	if b.drawn != nil {
		return errors.Join(err, b.drawn.Exit())
	}
	return err
}

// trainProgress is the observer that shows a training run.
type trainProgress struct {
	*bar
	loss      float64 // exponential mean, so that it can be read as it moves
	times     train.Times
	examples  int
	stepsSeen int
	table     epochTable
}

func newTrainProgress(b *bar) *trainProgress {
	return &trainProgress{bar: b, table: epochTable{print: b.print}}
}

// lossMemory is the share of the shown loss that a step leaves as it was.
const lossMemory = 0.95

// started marks where a run of total steps goes on.
func (p *trainProgress) started(step, total int64) {
	p.from(int(step))
	switch {
	case step == total:
		p.print("resume: all %d steps are done", total)
	case step > 0:
		p.print("resume: go on at step %d", step+1)
	}
}

// OnStep shows loss, images a second and the share of time spent waiting for
// data.
func (p *trainProgress) OnStep(r train.StepResult) error {
	if p.stepsSeen == 0 {
		p.print("step %d of %d: loss %.5f", r.Step, r.Total, r.Loss)
		p.begin, p.first = time.Now(), int(r.Step)
	}
	p.table.onStep(r, p.stepsSeen > 0) // the first step also warms everything up
	p.stepsSeen++
	if !r.Skipped {
		memory := min(lossMemory, 1-1/float64(p.stepsSeen)) // a plain mean at first
		p.loss = memory*p.loss + (1-memory)*r.Loss
	}
	if p.stepsSeen > 1 {
		p.times.Add(r.Times)
		p.examples += r.Examples
	}
	p.note = fmt.Sprintf(" epoch %d, smoothed loss %.5f, %.0f img/s, data wait %.1f %%", r.Epoch+1, p.loss,
		float64(p.examples)/max(p.times.Elapsed.Seconds(), 1e-9), p.share(p.times.DataWait))
	p.set(int(r.Step), int(r.Total))
	return nil
}

// share is a part of the time of all steps, in percent.
func (p *trainProgress) share(part time.Duration) float64 {
	return 100 * part.Seconds() / max(p.times.Elapsed.Seconds(), 1e-9)
}

// breakdown prints where the time of a step went.
func (p *trainProgress) breakdown() {
	if p.stepsSeen < 2 {
		return
	}
	t := p.times
	p.print("a step took %.3g s: data wait %.1f %%, copy wait %.1f %%, compute %.1f %%, all-reduce %.1f %%, update %.1f %%",
		t.Elapsed.Seconds()/float64(p.stepsSeen-1), p.share(t.DataWait), p.share(t.CopyWait), p.share(t.Compute), p.share(t.AllReduce), p.share(t.Update))
}

// OnEvaluation prints a row of the table.
func (p *trainProgress) OnEvaluation(r train.EvaluationResult) error {
	p.table.row(r, &r.Scores)
	return nil
}
