package predict

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"galaxy/data"
)

// An image that the machine fails to read ends Run with an error, nothing is noted of it,
// and the same call goes on to the bytes of an undisturbed one; so it is for one that was
// broken and is looked at again.
func TestRunMachineFails(t *testing.T) {
	t.Parallel()
	const n = 30
	dir := folder(t, n, galaxyName)
	broken := filepath.Join(dir, galaxyName(n-3))
	if err := os.WriteFile(broken, []byte("broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	whole := config(t, open(t, dir)) // the last first, 4 at a time
	whole.MaxBroken = 1
	if _, err := Run(context.Background(), whole, &hashPredictor{columns: zoo.Width()}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file            string
		first, predicts int // images of the call that goes on, taken over and predicted
	}{{filepath.Join(dir, galaxyName(n-14)), 12, 18}, {broken, 0, 30}} {
		cfg := whole
		cfg.Out = filepath.Join(t.TempDir(), "out.csv")
		// A link that leads to itself stands in for a disk's error.
		aside := filepath.Join(t.TempDir(), "aside")
		fail := func() {
			if err := errors.Join(os.Rename(c.file, aside), os.Symlink(c.file, c.file)); err != nil {
				t.Fatal(err)
			}
		}
		mend := func() {
			if err := os.Rename(aside, c.file); err != nil {
				t.Fatal(err)
			}
		}
		cfg.Settings = onPlan(fail)
		_, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()})
		mend()
		cfg.Settings = whole.Settings
		if !errors.Is(err, data.ErrUnread) || exists(cfg.Out) || exists(BrokenFile(cfg.Out)) {
			t.Fatalf("%v: expected an error that says nothing about the image", err)
		}
		p := &hashPredictor{columns: zoo.Width()}
		got, err := Run(context.Background(), cfg, p)
		if err != nil || got.TakenOver != c.first || p.images != c.predicts {
			t.Errorf("%+v, %v: %d predicted, expected %d taken over and %d predicted", got, err, p.images, c.first, c.predicts)
		}
		if read(t, cfg.Out) != read(t, whole.Out) || read(t, BrokenFile(cfg.Out)) != read(t, BrokenFile(whole.Out)) {
			t.Error("other bytes than of an undisturbed call")
		}
	}

	// All is done, but for the leave to go without one; and what was broken is looked at again.
	cfg := whole
	cfg.Out, cfg.MaxBroken = filepath.Join(t.TempDir(), "out.csv"), 0
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err == nil {
		t.Fatal("a broken image and no error")
	}
	before := read(t, filepath.Join(PartialFolder(cfg.Out), rowsName))
	cfg.MaxBroken = 1
	aside := filepath.Join(dir, "aside")
	cfg.Settings = onPlan(func() {
		if err := errors.Join(os.Rename(broken, aside), os.Symlink(broken, broken)); err != nil {
			t.Error(err)
		}
	})
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); !errors.Is(err, data.ErrUnread) {
		t.Errorf("%v: expected an error that says nothing about the image", err)
	}
	if read(t, filepath.Join(PartialFolder(cfg.Out), rowsName)) != before {
		t.Error("what was done is changed")
	}
	if err := os.Rename(aside, broken); err != nil {
		t.Fatal(err)
	}
	cfg.Settings = whole.Settings
	if got, err := Run(context.Background(), cfg, &hashPredictor{columns: zoo.Width()}); err != nil || got.TakenOver != n || read(t, cfg.Out) != read(t, whole.Out) {
		t.Errorf("%+v, %v: expected all taken over, and the bytes of an undisturbed call", got, err)
	}
}

// onPlan is the Settings "settings" that do something when Run has looked at the listing.
type onPlan func()

func (f onPlan) MarshalJSON() ([]byte, error) {
	f()
	return []byte(`"settings"`), nil
}
