package session

import (
	"slices"
	"strings"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
)

func TestDevices(t *testing.T) {
	cpu := []tf.Device{{Name: "/job:localhost/replica:0/task:0/device:CPU:0", Type: "CPU"}}
	gpus := slices.Clone(cpu)
	for _, n := range []string{"0", "1", "10"} {
		gpus = append(gpus, tf.Device{Name: "/job:localhost/replica:0/task:0/device:GPU:" + n, Type: "GPU"})
	}
	for _, c := range []struct {
		devices Devices
		found   []tf.Device
		want    string // names with spaces between them, or part of an error after !
	}{
		{"auto", cpu, "/device:CPU:0"},
		{"", cpu, "/device:CPU:0"},
		{"auto", gpus, "/device:GPU:0 /device:GPU:1 /device:GPU:10"},
		{"cpu", gpus, "/device:CPU:0"},
		{"cpu:3", cpu, "/device:CPU:0 /device:CPU:1 /device:CPU:2"},
		{"gpu", gpus, "/device:GPU:0 /device:GPU:1 /device:GPU:10"},
		{"gpu:10,0", gpus, "/device:GPU:10 /device:GPU:0"},
		{"gpu", cpu, "!there is no GPU (TensorFlow finds /job:localhost/replica:0/task:0/device:CPU:0)"},
		{"gpu:0", cpu, "!there is no GPU (TensorFlow finds"},
		{"gpu:0,2", gpus, "!there is no GPU 2: TensorFlow finds"},
		{"gpu:1,1", gpus, "!GPU 1 is there twice"},
		{"gpu:", gpus, `!"" is no number of a GPU`},
		{"gpu:-1", gpus, `!"-1" is no number of a GPU`},
		{"cpu:0", cpu, `!"0" is no number of 1 to 64`},
		{"cpu:65", cpu, `!"65" is no number of 1 to 64`},
		{"cpu:x", cpu, `!"x" is no number`},
		{"tpu", cpu, "!expected auto, cpu, cpu:4 (4 replicas), gpu (all of them) or gpu:0,2 (these): there is no such kind"},
		{"CPU", cpu, "!there is no such kind"},
		{"cpu,gpu", cpu, "!there is no such kind"},
	} {
		names, err := c.devices.among(func() ([]tf.Device, error) { return c.found, nil })
		if want, isError := strings.CutPrefix(c.want, "!"); isError {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), string(c.devices)) {
				t.Errorf("%q: got %v, %v, expected an error with %q", c.devices, names, err, want)
			}
		} else if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%q: got %v, %v, expected %s", c.devices, names, err, want)
		}
	}
}
