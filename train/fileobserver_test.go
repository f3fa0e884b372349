package train_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/train"
)

// learningRates is an observer with a file, as a program that uses this package would
// write it.
type learningRates struct{ *train.TextFile }

func newLearningRates() learningRates {
	return learningRates{&train.TextFile{Name: "lr.csv", Header: "step,learning_rate\n"}}
}

func (l learningRates) OnStep(r train.StepResult) error {
	_, err := fmt.Fprintf(l, "%d,%g\n", r.Step, r.LearningRate)
	return err
}

func (learningRates) OnEvaluation(train.EvaluationResult) error { return nil }

// wantRates checks that RUN/lr.csv has one line for each of the steps, in order.
func wantRates(t *testing.T, run string, o train.Options, steps ...int64) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(run, "lr.csv"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"step,learning_rate\n"}
	for _, step := range steps {
		want = append(want, fmt.Sprintf("%d,%g\n", step, o.Config.Schedule.At(step-1)))
	}
	if got := slices.Collect(strings.Lines(string(raw))); !slices.Equal(got, want) {
		t.Errorf("lr.csv: got %q, expected %q", got, want)
	}
}

// An external observer's file has each step once, however the run ended and resumed.
// TestRollBack tests the same with rollbacks.
func TestFileObserver(t *testing.T) {
	cache := testCache(t, 60)
	all := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	broken := errors.New("broken")
	// run trains the run in dir, with or without the observer, and ends it after a step: like
	// a signal does or, if kill is set, without a checkpoint.
	run := func(dir string, observed bool, after int64, kill bool) (train.Options, error) {
		o := train.Options{Dir: dir, Config: testConfig(cache, 10), Cache: cache, Resume: true}
		if observed {
			o.Observers = append(o.Observers, newLearningRates())
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		o.Observers = append(o.Observers, hook{step: func(r train.StepResult) error {
			if r.Step == after && kill {
				return broken
			}
			if r.Step == after {
				stop()
			}
			return nil
		}})
		_, err := train.Run(ctx, o)
		return o, err
	}
	finish := func(dir string, steps ...int64) {
		t.Helper()
		o, err := run(dir, true, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		wantRates(t, dir, o, steps...)
	}

	t.Run("stopped", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := run(dir, true, 5, false); !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, "lr.csv"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("6,0."); err != nil { // as a crash leaves it
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		finish(dir, all...)
	})
	t.Run("killed", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := run(dir, true, 2, true); !errors.Is(err, broken) { // before the first checkpoint
			t.Fatal(err)
		}
		o, err := run(dir, true, 6, true)
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		wantRates(t, dir, o, 1, 2, 3, 4, 5, 6) // no checkpoint has the last two
		finish(dir, all...)
	})
	t.Run("without the observer for a while", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := run(dir, true, 5, false); !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
		if _, err := run(dir, false, 8, false); !errors.Is(err, train.ErrStopped) {
			t.Fatal(err)
		}
		finish(dir, 1, 2, 3, 4, 5, 9, 10)
	})
}
