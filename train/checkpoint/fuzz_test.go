package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Any state.json gives a valid checkpoint or an error. The test corrects the
// checksum, because a wrong one would end every trial.
func FuzzRead(f *testing.F) {
	s := Open(filepath.Join(f.TempDir(), "checkpoints"))
	if err := s.Save(State{
		Step: 7, Position: 9, Best: &BestEvaluation{Step: 3, RMSE: .5}, LossSum: .25, LossSteps: 2, Files: map[string]File{"metrics.csv": {Size: 4, Checksum: noChecksum}}, Config: []byte(`{"batch":8}`),
	}, writeBundle("x")); err != nil {
		f.Fatal(err)
	}
	c, _, err := s.Latest()
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(c.Dir, stateName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"format":3}`))
	f.Add([]byte(`{"format":3,"step":-1,"checksums":{"../x":"0"},"checksum":"0000000000000000"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = bytes.Replace(raw, []byte(c.State.Checksum), []byte(noChecksum), 1)
		raw = bytes.Replace(raw, []byte(noChecksum), []byte(sum(raw)), 1)
		if err := os.WriteFile(filepath.Join(c.Dir, stateName), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := read(c.Dir)
		if err != nil {
			return
		}
		if got.State.Step < 0 || got.State.Position < 0 || len(got.State.Checksums) == 0 {
			t.Errorf("%q gives %+v", raw, got.State)
		}
		for name := range got.State.Checksums {
			if _, err := os.Stat(filepath.Join(c.Dir, filepath.Base(name))); err != nil {
				t.Errorf("%q: %v", raw, err)
			}
		}
	})
}
