package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeBundle replaces TensorFlow's SaveV2.
func writeBundle(content string) func(string) error {
	return func(prefix string) error {
		return errors.Join(
			os.WriteFile(prefix+".index", []byte("index "+content), 0o644),
			os.WriteFile(prefix+".data-00000-of-00001", []byte("data "+content), 0o644))
	}
}

func save(t *testing.T, s *Store, step int64) {
	t.Helper()
	if err := s.Save(State{Step: step, Position: step, Files: map[string]File{"metrics.csv": {Size: step}}}, writeBundle("x")); err != nil {
		t.Fatal(err)
	}
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSaveAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	s := Open(dir)
	if _, _, err := s.Latest(); !errors.Is(err, ErrNone) {
		t.Fatalf("latest of an empty store: %v, expected ErrNone", err)
	}
	save(t, s, 3)
	if _, err := s.Best(); !errors.Is(err, ErrNone) {
		t.Fatalf("best before any was marked: %v, expected ErrNone", err)
	}
	if err := s.MarkBest(3); err != nil {
		t.Fatal(err)
	}
	save(t, s, 7)
	latest, _, err := s.Latest()
	if err != nil {
		t.Fatal(err)
	}
	best, err := s.Best()
	if err != nil {
		t.Fatal(err)
	}
	if latest.State.Step != 7 || best.State.Step != 3 || latest.State.Files["metrics.csv"].Size != 7 {
		t.Errorf("latest %+v, best %+v: expected steps 7 and 3", latest.State, best.State)
	}
	if want := filepath.Join(dir, "step-00000007", "variables"); latest.Prefix() != want {
		t.Errorf("prefix %s, expected %s", latest.Prefix(), want)
	}
}

// The pointers may be changed or missing: the newest checkpoint records the best, and
// without LATEST the newest intact checkpoint is the latest.
func TestPointersAreNotNeeded(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	save(t, s, 3)
	save(t, s, 5)
	if err := s.Save(State{Step: 7, Best: &BestEvaluation{Step: 5, RMSE: .5}}, writeBundle("x")); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(filepath.Join(dir, bestName), []byte("step-00000003\n"), 0o644) },
		func() error { return os.Remove(filepath.Join(dir, bestName)) },
		func() error { return os.Remove(filepath.Join(dir, latestName)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		last, damaged, err := s.Latest()
		if err != nil || damaged != nil || last.State.Step != 7 {
			t.Errorf("latest %v, %v, %v: expected that of step 7", last, damaged, err)
		}
		if best, err := s.Best(); err != nil || best.State.Step != 5 {
			t.Errorf("best %v, %v: expected that of step 5", best, err)
		}
	}
}

// A step that was evaluated after its checkpoint was made gets the newer state
// with the same variables.
func TestSaveSameStepReplacesTheState(t *testing.T) {
	s := Open(t.TempDir())
	save(t, s, 3)
	fail := func(string) error { return errors.New("the variables are there already") }
	if err := s.Save(State{Step: 3, Best: &BestEvaluation{Step: 3, RMSE: .5}}, fail); err != nil {
		t.Fatal(err)
	}
	got, _, err := s.Latest()
	if err != nil {
		t.Fatal(err)
	}
	if got.State.Best == nil || got.State.Best.RMSE != .5 {
		t.Errorf("state %+v, expected the one saved last", got.State)
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		keep int
		want []string
	}{
		{0, []string{"BEST", "LATEST", "step-00000002", "step-00000005"}},
		{2, []string{"BEST", "LATEST", "step-00000002", "step-00000003", "step-00000004", "step-00000005"}},
	} {
		dir := t.TempDir()
		s := Open(dir)
		for step := range int64(5) {
			save(t, s, step+1)
		}
		if err := s.MarkBest(2); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, ".step-00000009.tmp-1"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := s.Prune(c.keep); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, folders(t, dir)); d != "" {
			t.Errorf("keep %d (-want +got):\n%s", c.keep, d)
		}
	}
}

// A failure or a crash during a save leaves the previous checkpoint the latest.
func TestSaveThatFails(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	save(t, s, 1)
	before := folders(t, dir)
	err := s.Save(State{Step: 2}, func(prefix string) error {
		return errors.Join(os.WriteFile(prefix+".index", nil, 0o644), errors.New("disk full"))
	})
	if err == nil || !strings.Contains(err.Error(), "disk full") || !strings.Contains(err.Error(), "step-00000002") {
		t.Errorf("got %v, expected the error of the write and the checkpoint's name", err)
	}
	if d := cmp.Diff(before, folders(t, dir)); d != "" {
		t.Errorf("the failed save left something behind:\n%s", d)
	}
	// A crash has no chance to clean up.
	if err := os.MkdirAll(filepath.Join(dir, ".step-00000002.tmp-1", "variables"), 0o755); err != nil {
		t.Fatal(err)
	}
	save(t, s, 2)
	if got, _, err := s.Latest(); err != nil || got.State.Step != 2 {
		t.Errorf("latest %v, %v: expected step 2", got, err)
	}
}

func TestDamageIsFound(t *testing.T) {
	const step = "step-00000004"
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"a byte of the variables", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, step, "variables.data-00000-of-00001"), []byte("data y"), 0o644)
		}, "variables.data-00000-of-00001 is damaged"},
		{"the index cut off", func(dir string) error {
			return os.Truncate(filepath.Join(dir, step, "variables.index"), 3)
		}, "variables.index is damaged"},
		{"the variables missing", func(dir string) error {
			return os.Remove(filepath.Join(dir, step, "variables.data-00000-of-00001"))
		}, "variables.data-00000-of-00001"},
		{"state cut off", func(dir string) error {
			return os.Truncate(filepath.Join(dir, step, "state.json"), 20)
		}, "state.json"},
		{"another format", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, step, "state.json"), []byte(`{"format": 99}`), 0o644)
		}, "format 99: expected 3"},
		{"a checksum of a file elsewhere", func(dir string) error {
			return writeState(filepath.Join(dir, step), State{Format: Format, Checksums: map[string]string{"../../x": ""}})
		}, "of the same folder"},
		{"LATEST names something else", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "LATEST"), []byte("../step-1\n"), 0o644)
		}, "expected step-NNNNNNNN"},
		{"LATEST names what is not there", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "LATEST"), []byte("step-00000005\n"), 0o644)
		}, "step-00000005"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := Open(dir)
			save(t, s, 4)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			got, damaged, err := s.Latest()
			if whole := strings.HasPrefix(c.name, "LATEST"); whole { // but the checkpoint exists
				if err != nil || got.State.Step != 4 {
					t.Errorf("got %v, %v, expected step 4", got, err)
				}
				err = damaged
			}
			if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, expected an error about %q", err, c.want)
			}
			// Resuming falls back to an older one.
			save(t, s, 3)
			if err := os.WriteFile(filepath.Join(dir, "LATEST"), []byte(step+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			got, damaged, err = s.Latest()
			if want := map[bool]int64{true: 4, false: 3}[strings.HasPrefix(c.name, "LATEST")]; err != nil || got.State.Step != want || (damaged == nil) != (want == 4) {
				t.Errorf("got %v, %v, %v, expected step %d", got, damaged, err, want)
			}
		})
	}
}

// A change of any byte of state.json is detected: a wrong position, rate or best
// evaluation would make a wrong run.
func TestEveryByteOfStateCounts(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	if err := s.Save(State{Step: 3, Position: 3, Best: &BestEvaluation{Step: 2, RMSE: .125}, Config: []byte(`{"rate": 0.5}`)}, writeBundle("y")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "step-00000003", "state.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, flip := range []byte{1, 0x10, 0x20, 0xff} {
			damaged := slices.Clone(whole)
			damaged[i] ^= flip
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if c, _, err := s.Latest(); err == nil || !strings.Contains(err.Error(), "state.json") {
				t.Fatalf("byte %d, %q in place of %q: read as %+v, %v", i, damaged[i], whole[i], c, err)
			}
		}
	}
}

// The order of writes makes a crash harmless: a pointer moves only to a
// complete folder.
func TestPointerMovesLast(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	save(t, s, 1)
	err := s.Save(State{Step: 2}, func(prefix string) error {
		if got, _, err := s.Latest(); err != nil || got.State.Step != 1 {
			t.Errorf("while saving: latest %v, %v; expected step 1", got, err)
		}
		if slices.Contains(folders(t, dir), "step-00000002") {
			t.Error("while saving: the folder has its final name already")
		}
		return writeBundle("y")(prefix)
	})
	if err != nil {
		t.Fatal(err)
	}
}
