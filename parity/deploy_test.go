//go:build parity

package parity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManifests asks Kubernetes' schemas about ours, and that they refuse a field
// that there is not.
func TestManifests(t *testing.T) {
	paths, err := filepath.Glob("../deploy/*.yaml")
	must(t, err)
	if len(paths) == 0 {
		t.Fatal("there are no manifests in ../deploy")
	}
	for _, path := range paths {
		validate := func(path string) string {
			cmd, err := python("-m", "kubernetes_validate", "--strict", path)
			must(t, err)
			out, err := cmd.CombinedOutput()
			if err == nil {
				return ""
			}
			return fmt.Sprintf("%v: %s", err, out)
		}
		if got := validate(path); got != "" {
			t.Errorf("%s: %s", path, got)
		}
		raw, err := os.ReadFile(path)
		must(t, err)
		wrong := writeFile(t, []byte(strings.Replace(string(raw), "restartPolicy:", "restartsPolicy:", 1)))
		if got := validate(wrong); !strings.Contains(got, "restartsPolicy") {
			t.Errorf("%s with a misspelt field: %q, expected the checker to name it", path, got)
		}
	}
}
