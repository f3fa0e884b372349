package galaxy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"galaxy"
)

func TestTensorFlowVersion(t *testing.T) {
	if v := galaxy.TensorFlowVersion(); !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(v) {
		t.Errorf("TENSORFLOW_VERSION holds %q, want a version such as 2.21.0", v)
	}
}

// The wheels and the version are two files; a change of one without the other
// would fetch a library that the program then refuses.
func TestWheelsCarryTheVersion(t *testing.T) {
	lock, err := os.ReadFile("scripts/wheels.lock")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(lock)) {
		fields := strings.Fields(line)
		if len(fields) != 5 || !strings.HasPrefix(fields[4], "tensorflow") {
			continue
		}
		found++
		if version := strings.Split(fields[4], "-")[1]; version != galaxy.TensorFlowVersion() {
			t.Errorf("wheels.lock pins %s, TENSORFLOW_VERSION says %s", fields[4], galaxy.TensorFlowVersion())
		}
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(fields[1]) {
			t.Errorf("wheels.lock: %q is no sha256", fields[1])
		}
	}
	if found != 4 {
		t.Errorf("wheels.lock pins %d TensorFlow wheels, want 4 (three platforms and the GPU's)", found)
	}
}

// The judge must be of the version that is judged.
func TestParityUsesTheVersion(t *testing.T) {
	requirements, err := os.ReadFile("parity/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	pin := regexp.MustCompile(`(?m)^tensorflow(-cpu)?==(\S+)`).FindSubmatch(requirements)
	if pin == nil || string(pin[2]) != galaxy.TensorFlowVersion() {
		t.Errorf("parity/requirements.txt pins TensorFlow as %q, TENSORFLOW_VERSION says %s", pin, galaxy.TensorFlowVersion())
	}
}
