package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"galaxy/train"
	"galaxy/train/checkpoint"
)

// oldCommit is the version of which everything is still read. testdata/old was made by it,
// with a network of two blocks of 8 filters: cache by `galaxy prepare`, run by `galaxy train`,
// savedmodel by `galaxy export --frozen`, and inspect.json and eval.json by `galaxy inspect`
// and `galaxy eval`.
const oldCommit = "6ca30e5"

// An old cache and an old SavedModel give what they gave the version that wrote them, and an old
// run folder is read.
func TestOldFiles(t *testing.T) {
	t.Parallel()
	b := &workbench{t: t, dir: t.TempDir(), small: true}
	if err := os.CopyFS(b.dir, os.DirFS(filepath.Join("testdata", "old"))); err != nil {
		t.Fatal(err)
	}
	got, _ := b.galaxy(exitOK, "inspect", "--json", "cache")
	wantSame(t, "galaxy inspect", got, b.read("inspect.json"), 0)
	got, _ = b.galaxy(exitOK, "eval", "--json", "--model", "savedmodel", "--data", "cache", "--split", "all")
	wantSame(t, "galaxy eval", got, b.read("eval.json"), 1e-4)

	cfg, err := train.ReadConfig(b.path("run"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Schedule.Total != 4 || cfg.EMA != .9 || cfg.Cache.Crop != 224 {
		t.Errorf("config.json: %d steps, EMA %v, crop %v", cfg.Schedule.Total, cfg.EMA, cfg.Cache.Crop)
	}
	if err := train.WithBest(b.path("run"), cfg, func(c *checkpoint.Checkpoint) error {
		if c.State.Step == 0 || c.State.Best == nil || c.State.Files["metrics.csv"].Size == 0 {
			t.Errorf("state.json: %+v", c.State)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// wantSame compares the objects that two versions have printed: what the old one has, the new
// one has too, and numbers differ by less than tolerance. Speeds and the program's version are
// left out.
func wantSame(t *testing.T, what, got, want string, tolerance float64) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%s, as it was: %v", what, err)
	}
	var compare func(path string, got, want any)
	compare = func(path string, got, want any) {
		switch was := want.(type) {
		case map[string]any:
			is, _ := got.(map[string]any)
			for key, value := range was {
				if key != "galaxy" && !strings.HasSuffix(key, "per_second") && !strings.HasSuffix(key, "seconds") {
					compare(path+"."+key, is[key], value)
				}
			}
		case []any:
			is, _ := got.([]any)
			if len(is) != len(was) {
				t.Errorf("%s: %s has %d values, had %d", what, path, len(is), len(was))
				return
			}
			for i, value := range was {
				compare(path, is[i], value)
			}
		case float64:
			if is, ok := got.(float64); !ok || is-was > tolerance || was-is > tolerance {
				t.Errorf("%s: %s is %v, was %v", what, path, got, was)
			}
		default:
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is %v, was %v", what, path, got, want)
			}
		}
	}
	compare("", a, b)
}

// What the old version has made, with ResNet34, is resumed, evaluated and predicted from as by the
// old version itself.
func TestOldVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it builds an old version and trains ResNet34; TestOldFiles reads kept files")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	source := t.TempDir()
	archive := exec.CommandContext(t.Context(), "git", "-C", root, "archive", oldCommit)
	tar, err := archive.Output()
	if err != nil {
		t.Skipf("git has no commit %s here (no history, or a shallow clone): %v", oldCommit, err)
	}
	extract := exec.CommandContext(t.Context(), "tar", "x", "-C", source)
	extract.Stdin = bytes.NewReader(tar)
	b := newWorkbench(t)
	b.small = false
	b.run(extract)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.path("old-galaxy"), "./cmd/galaxy")
	build.Dir = source
	b.run(build)
	old := func(args ...string) string {
		c, stdout, stderr := b.command(args...)
		c.Path = b.path("old-galaxy")
		c.Env = append([]string{"TF_ENABLE_ONEDNN_OPTS=1"}, c.Env...) // as new versions have it
		if err := c.Run(); err != nil {
			t.Fatalf("old galaxy %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		return stdout.String()
	}

	old("prepare", "--labels", "data/training_solutions_rev1.csv", "--images", "data/images_training_rev1", "--out", "old-cache", "--size", "32")
	train := []string{"train", "--data", "old-cache", "--steps", "4", "--batch", "8", "--precision", "float32", "--seed", "3", "--head", "tree",
		"--optimizer", "sgd", "--lr", "0.01", "--ema", "0.9", "--rotate", "180", "--eval-every", "0", "--checkpoint-every", "2", "--keep", "9"}
	old(append(train, "--out", "uncut")...)
	// As if it had been killed after step 3.
	if err := os.CopyFS(b.path("run"), os.DirFS(b.path("uncut"))); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.RemoveAll(b.path("run", "checkpoints", "step-00000004")),
		os.RemoveAll(b.path("run", "checkpoints", "BEST")),
		os.WriteFile(b.path("run", "checkpoints", "LATEST"), []byte("step-00000002\n"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.galaxy(exitOK, "train", "--resume", "--out", "run")
	b.wantOutcome("run", b.outcome("uncut"))

	args := []string{"eval", "--json", "--model", "uncut", "--data", "old-cache", "--split", "all"}
	got, _ := b.galaxy(exitOK, args...)
	wantSame(t, "galaxy eval of the run", got, old(args...), 1e-5)
	old("export", "--run", "uncut", "--out", "savedmodel")
	args = []string{"eval", "--json", "--model", "savedmodel", "--data", "cache", "--split", "all"}
	got, _ = b.galaxy(exitOK, args...)
	wantSame(t, "galaxy eval of the SavedModel", got, old(args...), 1e-5)
}

// run runs a command that has to succeed.
func (b *workbench) run(c *exec.Cmd) {
	b.t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
}
