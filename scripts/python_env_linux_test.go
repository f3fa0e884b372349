package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPythonEnv(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it makes two virtual environments")
	}
	interpreter := python(t)
	if err := exec.CommandContext(t.Context(), interpreter, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 10))").Run(); err != nil {
		t.Skip("there is no Python 3.10 with venv here")
	}
	dir := t.TempDir()
	venv, requirements := filepath.Join(dir, "venv"), filepath.Join(dir, "requirements.txt")
	run := func(env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "./python-env", venv, requirements)
		cmd.Env = append(append(os.Environ(), "PYTHON="+interpreter, "GALAXY_WHEELS="), env...)
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(requirements, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if output, err := run(); err == nil || !strings.Contains(output, "there is no "+requirements) {
		t.Errorf("without requirements: %v, %q", err, output)
	}
	write("# nothing\n")
	if output, err := run("PYTHON=/bin/false"); err == nil || !strings.Contains(output, "no Python 3.10 or newer found") {
		t.Errorf("without Python: %v, %q", err, output)
	}
	// A run that fails half-way leaves an environment that counts as not made.
	write("./no-such-file.whl\n")
	if output, err := run(); err == nil || !strings.Contains(output, "pip could not install") {
		t.Errorf("with a requirement that cannot be met: %v, %q", err, output)
	}
	write("# nothing\n")
	if output, err := run(); err != nil || !strings.Contains(output, "installing") {
		t.Fatalf("after a failure: %v, %q, want it made anew", err, output)
	}

	marker := filepath.Join(venv, "marker")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := run(); err != nil || output != "" {
		t.Errorf("the second run: %v, %q, want nothing done", err, output)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error("the second run made the environment again")
	}
}
