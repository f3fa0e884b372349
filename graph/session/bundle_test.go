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
