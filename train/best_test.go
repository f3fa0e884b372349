package train_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"galaxy/graph/network"
	"galaxy/train"
	"galaxy/train/checkpoint"
)

// Reading the best checkpoint of a run that is training never sees a checkpoint that is
// being removed: all files read are complete and from one checkpoint.
func TestBestWhileTraining(t *testing.T) {
	t.Parallel()
	cfg := train.Config{Model: network.Config{Arch: network.Default}, Seed: 7}
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/dev/shm", "") // a sync costs nothing there, so checkpoints come fast
	if err != nil {
		dir = t.TempDir()
	}
	defer os.RemoveAll(dir)
	store := checkpoint.Open(filepath.Join(dir, "checkpoints"))
	save := func(step int64) error {
		state := checkpoint.State{Step: step, Position: step, Best: &checkpoint.BestEvaluation{Step: step}, Config: raw}
		if step%3 == 0 { // not the best
			state.Best.Step--
		}
		err := store.Save(state, func(prefix string) error {
			text := []byte(fmt.Sprint(step))
			return errors.Join(os.WriteFile(prefix+".index", text, 0o666), os.WriteFile(prefix+".data-00000-of-00001", text, 0o666))
		})
		if err == nil && state.Best.Step == step {
			err = store.MarkBest(step)
		}
		return errors.Join(err, store.Prune(0))
	}
	if err := save(1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	saved := make(chan error, 1)
	go func() {
		for step := int64(2); ; step++ {
			select {
			case <-done:
				saved <- nil
				return
			default:
			}
			if err := save(step); err != nil {
				saved <- err
				return
			}
		}
	}()
	const evaluations, steps = 500, 50
	again, last, n := 0, int64(0), 0
	for ; n < evaluations || last < steps; n++ {
		calls := 0
		err := train.WithBest(dir, cfg, func(c *checkpoint.Checkpoint) error {
			calls++
			for _, file := range []string{".index", ".data-00000-of-00001"} {
				raw, err := os.ReadFile(c.Prefix() + file)
				if err != nil {
					return err
				}
				if string(raw) != fmt.Sprint(c.State.Step) {
					return fmt.Errorf("step %d has the variables of %q", c.State.Step, raw)
				}
			}
			last = c.State.Step
			return nil
		})
		if err != nil {
			t.Errorf("evaluation %d: %v", n, err)
			break
		}
		again += calls - 1
	}
	close(done)
	if err := <-saved; err != nil {
		t.Errorf("the run: %v", err)
	}
	t.Logf("%d evaluations, the last of step %d; %d times the checkpoint was gone before it was read", n, last, again)
}

// An error other than a removed checkpoint is returned at once.
func TestWithBestFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := train.Config{Model: network.Config{Arch: network.Default}}
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	store := checkpoint.Open(filepath.Join(dir, "checkpoints"))
	if err := train.WithBest(dir, cfg, nil); !errors.Is(err, checkpoint.ErrNone) {
		t.Errorf("%v: expected ErrNone", err)
	}
	write := func(prefix string) error { return os.WriteFile(prefix+".index", nil, 0o666) }
	if err := store.Save(checkpoint.State{Step: 1, Config: raw}, write); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{errors.New("another network"), os.ErrNotExist} {
		calls := 0
		err := train.WithBest(dir, cfg, func(*checkpoint.Checkpoint) error { calls++; return want })
		if !errors.Is(err, want) || calls != 1 {
			t.Errorf("%v after %d calls, expected %v after one", err, calls, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "checkpoints", "step-00000001", "variables.index")); err != nil {
		t.Fatal(err)
	}
	if err := train.WithBest(dir, cfg, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v: expected the file that is missing", err)
	}
}
