package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The error names a missing data file, not the index that refers to it.
func TestCheckBundleNamesTheMissingFile(t *testing.T) {
	const file = "variables.data-00000-of-00001"
	from := filepath.Join("..", "..", "cmd", "galaxy", "testdata", "old", "run", "checkpoints", "step-00000004")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(dir, "variables")
	if err := CheckBundle(prefix); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
	err := CheckBundle(prefix)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file+" is missing") || strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, expected that %s is missing", err, file)
	}
}

// Only float32 tensors under the wanted names are read; a damaged file is an error that names it.
func TestReadBundle(t *testing.T) {
	from := filepath.Join("..", "..", "cmd", "galaxy", "testdata", "old", "run", "checkpoints", "step-00000004")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(dir, "variables")
	var seen []string
	all, err := ReadBundle(prefix, func(name string) bool {
		seen = append(seen, name)
		return name == "head/bias" || name == "head/kernel"
	})
	if err != nil {
		t.Fatal(err)
	}
	bias, kernel := all["head/bias"], all["head/kernel"]
	if len(all) != 2 || len(seen) < 30 || len(bias.Shape) != 1 || len(kernel.Shape) != 2 || kernel.Shape[1] != bias.Shape[0] || int64(len(kernel.Values)) != Elements(kernel.Shape) {
		t.Errorf("read %d of %d tensors, head/bias %v, head/kernel %v with %d values", len(all), len(seen), bias.Shape, kernel.Shape, len(kernel.Values))
	}
	if none, err := ReadBundle(prefix, func(string) bool { return false }); err != nil || len(none) > 0 {
		t.Errorf("nothing was wanted: got %d tensors, %v", len(none), err)
	}
	if _, err := ReadBundle(filepath.Join(dir, "nothing"), func(string) bool { return true }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, expected a missing file", err)
	}
	if err := os.Truncate(prefix+".data-00000-of-00001", 100); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBundle(prefix, func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), prefix) {
		t.Errorf("got %v, expected an error that names the damaged bundle", err)
	}
}
