package session

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteBundle(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "weights")
	shapes := map[string][]int64{"a/kernel": {2, 3}, "b": {1}}
	if err := WriteBundle(prefix, shapes, map[string][]float32{"a/kernel": {1, 2, 3, 4, 5, 6}, "b": {7}}); err != nil {
		t.Fatal(err)
	}
	if err := CheckBundle(prefix); err != nil {
		t.Error(err)
	}
	if err := WriteBundle(prefix, shapes, map[string][]float32{"a/kernel": {1}, "b": {7}}); err == nil || !strings.Contains(err.Error(), "a/kernel") {
		t.Error(err)
	}
	if err := WriteBundle(filepath.Join(t.TempDir(), "none", "weights"), nil, nil); err == nil {
		t.Error("an empty bundle was written")
	}
}
