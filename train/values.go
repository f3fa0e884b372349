package train

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"galaxy/internal/usage"
)

// The types below are values of a Plan that are more than a number or a name. Each reads and
// writes the text that a person types. An error of UnmarshalText lists the possible texts.

// expected returns an error that lists the possible texts.
func expected(what string) error { return errors.New("expected " + what) }

// Unit is the unit of a Duration.
type Unit int

// The units. Percent is a hundredth of the run.
const (
	Steps Unit = iota
	Epochs
	Percent
)

// Duration is a part of a run: 500 (steps), 2epochs or 5%. 0 is never.
type Duration struct {
	N    float64
	Unit Unit
}

var errDuration = expected("steps (500), epochs (2epochs) or a percentage of the run (5%)")

// UnmarshalText reads a Duration.
func (d *Duration) UnmarshalText(text []byte) error {
	number, unit := string(text), Steps
	if rest, ok := strings.CutSuffix(number, "%"); ok {
		number, unit = rest, Percent
	} else if rest, ok := strings.CutSuffix(strings.TrimSuffix(number, "s"), "epoch"); ok {
		number, unit = rest, Epochs
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return errDuration
	}
	*d = Duration{n, unit}
	return nil
}

// String returns the text that UnmarshalText reads.
func (d Duration) String() string {
	number := strconv.FormatFloat(d.N, 'f', -1, 64)
	switch {
	case d.Unit == Percent:
		return number + "%"
	case d.Unit == Epochs && d.N == 1:
		return number + "epoch"
	case d.Unit == Epochs:
		return number + "epochs"
	}
	return number
}

// In returns d in steps, rounded to the nearest, for a run of total steps with epoch steps
// per epoch. A d above 0 is at least one step, because 0 means never.
func (d Duration) In(epoch, total int64) (int64, error) {
	steps := d.N
	switch d.Unit {
	case Epochs:
		steps *= float64(epoch)
	case Percent:
		steps *= float64(total) / 100
	}
	if steps > MaxSteps {
		return 0, fmt.Errorf("at most %d steps", int64(MaxSteps))
	}
	if steps == 0 {
		return 0, nil
	}
	return max(1, int64(math.Round(steps))), nil
}

// Every is how often something happens: after a number of steps, and after a time without it,
// as in 1epoch,10m. Either may be 0, which is never.
type Every struct {
	Steps Duration
	Time  time.Duration
}

// UnmarshalText reads a Duration, a time, or both with a comma between them.
func (e *Every) UnmarshalText(text []byte) error {
	var read Every
	steps := false
	for part := range strings.SplitSeq(string(text), ",") {
		err := read.Steps.UnmarshalText([]byte(part))
		if err == nil && !steps {
			steps = true
			continue
		}
		t, err2 := time.ParseDuration(part)
		if err == nil || err2 == nil && read.Time > 0 {
			return expected("at most one number of steps and one time")
		}
		if err2 != nil || t <= 0 {
			return fmt.Errorf("%w, or a time (10m)", err)
		}
		read.Time = t
	}
	*e = read
	return nil
}

// String returns the text that UnmarshalText reads.
func (e Every) String() string {
	switch {
	case e.Time == 0:
		return e.Steps.String()
	case e.Steps.N == 0:
		return e.Time.String()
	}
	return e.Steps.String() + "," + e.Time.String()
}

// Phase is an image size, height and width in pixels, and how long to train on it.
type Phase struct {
	Size int
	For  Duration
}

// Phases are successive image sizes, as in 32:40%,48:2epochs.
type Phases []Phase

// UnmarshalText reads phases; "" is none.
func (p *Phases) UnmarshalText(text []byte) error {
	var read Phases
	for phase := range strings.SplitSeq(string(text), ",") {
		if len(text) == 0 {
			break
		}
		pixels, duration, found := strings.Cut(phase, ":")
		size, err := strconv.Atoi(pixels)
		if err != nil || !found {
			return expected("SIZE:DURATION, such as 32:40%")
		}
		next := Phase{Size: size}
		if err := next.For.UnmarshalText([]byte(duration)); err != nil {
			return fmt.Errorf("%w after the colon", err)
		}
		read = append(read, next)
	}
	*p = read
	return nil
}

// String returns the text that UnmarshalText reads.
func (p Phases) String() string {
	var phases []string
	for _, phase := range p {
		phases = append(phases, fmt.Sprintf("%d:%v", phase.Size, phase.For))
	}
	return strings.Join(phases, ",")
}

// Count is a number of 1 or more; the zero Count is none.
type Count int64

// UnmarshalText reads a Count.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 1 {
		return expected("a whole number of 1 or more")
	}
	*c = Count(n)
	return nil
}

// String returns the text that UnmarshalText reads.
func (c Count) String() string { return strconv.FormatInt(int64(c), 10) }

// Time is a time of more than 0; the zero Time is none.
type Time time.Duration

// UnmarshalText reads a Time.
func (t *Time) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return expected("a time above 0 with its unit, such as 90s, 10m or 2h, and below 292 years")
	}
	*t = Time(d)
	return nil
}

// String returns the text that UnmarshalText reads.
func (t Time) String() string { return time.Duration(t).String() }

// Batch is a number of examples per step, or AutoBatch.
type Batch int

// AutoBatch is the largest batch that fits into the memory of the GPUs.
const AutoBatch Batch = -1

// UnmarshalText reads a number or auto.
func (b *Batch) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*b = AutoBatch
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return expected("a whole number of 1 or more, or auto")
	}
	*b = Batch(n)
	return nil
}

// String returns the text that UnmarshalText reads.
func (b Batch) String() string {
	if b == AutoBatch {
		return "auto"
	}
	return strconv.Itoa(int(b))
}

// Place is where the images of the train split are kept.
type Place string

// OnHost sends each batch to the devices; OnDevice keeps all images in the memory of each;
// AsFeatures keeps what the layers below the head make of them (Config.HoldFeatures).
const (
	OnHost     Place = "host"
	OnDevice   Place = "device"
	AsFeatures Place = "features"
)

// UnmarshalText reads one of the places.
func (p *Place) UnmarshalText(text []byte) error {
	if s := Place(text); s != OnHost && s != OnDevice && s != AsFeatures {
		return usage.Errorf("expected host, device or features; the folder made by galaxy prepare is {cache.path}")
	}
	*p = Place(text)
	return nil
}

// Weights are class weights, or balanced ones, computed from the train split.
type Weights struct {
	Values   []float64
	Balanced bool
}

// UnmarshalText reads numbers with commas between them, or balanced; "" is none.
func (w *Weights) UnmarshalText(text []byte) error {
	if s := string(text); s == "" || s == "balanced" {
		*w = Weights{Balanced: s != ""}
		return nil
	}
	var read Weights
	for number := range strings.SplitSeq(string(text), ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil {
			return expected("numbers with commas between them, or balanced")
		}
		read.Values = append(read.Values, x)
	}
	*w = read
	return nil
}

// String returns the text that UnmarshalText reads.
func (w Weights) String() string {
	if w.Balanced {
		return "balanced"
	}
	var numbers []string
	for _, x := range w.Values {
		numbers = append(numbers, strconv.FormatFloat(x, 'g', -1, 64))
	}
	return strings.Join(numbers, ",")
}
