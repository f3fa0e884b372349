//go:build parity

package parity

import (
	"os"
	"os/exec"
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
	validate := []string{"-m", "kubernetes_validate", "--strict"}
	for _, path := range paths {
		python(t, append(validate, path)...)
		raw, err := os.ReadFile(path)
		must(t, err)
		wrong := writeFile(t, []byte(strings.Replace(string(raw), "restartPolicy:", "restartsPolicy:", 1)))
		if out, err := exec.CommandContext(t.Context(), os.Getenv("GALAXY_PYTHON"), append(validate, wrong)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "restartsPolicy") {
			t.Errorf("%s with a misspelt field: got %v and %q, expected the checker to name it", path, err, out)
		}
	}
}
