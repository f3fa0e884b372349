package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The sides; a way is a side as it is, or compiled. Keras uses the same kernels as galaxy, and
// kerasEigen the kernels that pip's TensorFlow uses by default on CPUs without AVX512-VNNI or
// AVX-VNNI.
const (
	ours, keras, kerasEigen, torch = "galaxy", "Keras", "Keras on Eigen's kernels", "PyTorch"
	compiled                       = ", compiled"
)

// side is a program, or a way of using one, that alternates with others at the same
// work. The result of a turn is a T.
type side[T any] struct {
	name string
	peer bool // not galaxy
	take func(ctx context.Context, round int) (T, error)
}

// turns holds the results of the sides, by name, one per round. A peer that failed, or took
// too long, has the reason instead of results.
type turns[T any] struct {
	taken   map[string][]T
	missing map[string]string
}

// takeTurns runs the sides alternately, round by round. If a peer fails, the others must not
// lose their measurements, so it is reported and the peer is skipped.
func takeTurns[T any](ctx context.Context, rounds int, limit time.Duration, sides []side[T]) (turns[T], error) {
	all := turns[T]{map[string][]T{}, map[string]string{}}
	names := map[string]bool{}
	for _, s := range sides {
		if names[s.name] {
			return all, fmt.Errorf("%s is there twice: expected other words", s.name)
		}
		names[s.name] = true
	}
	for round := range rounds {
		for _, s := range sides {
			if _, failed := all.missing[s.name]; failed {
				continue
			}
			t, err := limited(ctx, limit, s, round)
			switch {
			case err == nil:
				all.taken[s.name] = append(all.taken[s.name], t)
			case !s.peer || ctx.Err() != nil:
				return all, err
			default:
				fmt.Fprintf(os.Stderr, "bench: %s is not measured: %v\n", s.name, err)
				all.missing[s.name] = lastLine(err.Error())
				delete(all.taken, s.name)
			}
		}
	}
	return all, nil
}

// limited runs one turn, with a time limit if it is a peer's.
func limited[T any](ctx context.Context, limit time.Duration, s side[T], round int) (t T, err error) {
	if !s.peer {
		return s.take(ctx, round)
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t, err = s.take(within, round)
	if err != nil && errors.Is(within.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("a turn took longer than %v", limit)
	}
	return t, err
}

// lastLine returns the last line of a Python program's error, which is the message.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	line := []rune(strings.TrimSpace(lines[len(lines)-1]))
	return string(line[:min(len(line), 300)])
}

// spread is the median of a few measurements with their smallest and largest.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(x []float64) spread { return spread{median(x), slices.Min(x), slices.Max(x)} }

// times is the spread in another unit.
func (s spread) times(x float64) spread { return spread{s.Median * x, s.Min * x, s.Max * x} }

func (s spread) String() string {
	if s.Min == s.Max {
		return short(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(s.Median), short(s.Min), short(s.Max))
}

// short formats a number with three significant digits and no exponent.
func short(x float64) string {
	text := fmt.Sprintf("%.3g", x)
	if strings.Contains(text, "e+") {
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			return strconv.FormatFloat(x, 'f', 0, 64)
		}
	}
	return text
}

// over is the spread of a figure over some turns.
func over[T any](turns []T, figure func(T) float64) spread {
	var x []float64
	for _, t := range turns {
		x = append(x, figure(t))
	}
	return spreadOf(x)
}

// ratio is the spread of one side's figure divided by another side's, computed in each
// round separately, because only measurements made close together can be compared.
func ratio[T any](of, to []T, figure func(T) float64) spread {
	var x []float64
	for round := range of {
		x = append(x, figure(of[round])/figure(to[round]))
	}
	return spreadOf(x)
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
