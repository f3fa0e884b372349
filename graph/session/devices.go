package session

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/internal/usage"
)

// Devices names the devices of a training step, each of which has a replica:
//
//	auto      all GPUs, or the CPU if there are none; so does ""
//	cpu       the CPU
//	cpu:4     four devices that share the CPU's threads
//	gpu       all GPUs
//	gpu:0,2   the GPUs of these numbers
type Devices string

// AutoDevices selects all GPUs, or the CPU if there are none.
const AutoDevices Devices = "auto"

// maxCPUs is the largest N of "cpu:N".
const maxCPUs = 64

// HostDevice is the CPU, where inputs are fed and files are written.
const HostDevice = "/device:CPU:0"

// Validate checks the syntax of d.
func (d Devices) Validate() error {
	_, _, err := d.parse()
	return err
}

// parse returns the kind, "auto", "CPU" or "GPU", and the numbers given, nil for
// all GPUs.
func (d Devices) parse() (kind string, numbers []int, err error) {
	wrong := func(why string) (string, []int, error) {
		return "", nil, &usage.Field{
			Name: "devices", Got: string(d), Expected: "auto, cpu, cpu:4 (4 replicas), gpu (all of them) or gpu:0,2 (these): " + why,
		}
	}
	name, list, listed := strings.Cut(string(d), ":")
	switch {
	case d == AutoDevices || d == "":
		return "auto", nil, nil
	case d == "cpu":
		return "CPU", []int{0}, nil
	case d == "gpu":
		return "GPU", nil, nil
	case name == "cpu" && listed:
		n, err := strconv.Atoi(list)
		if err != nil || n < 1 || n > maxCPUs {
			return wrong(fmt.Sprintf("%q is no number of 1 to %d", list, maxCPUs))
		}
		for i := range n {
			numbers = append(numbers, i)
		}
		return "CPU", numbers, nil
	case name == "gpu" && listed:
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return wrong(fmt.Sprintf("%q is no number of a GPU", text))
			}
			if slices.Contains(numbers, n) {
				return wrong(fmt.Sprintf("GPU %d is there twice", n))
			}
			numbers = append(numbers, n)
		}
		return "GPU", numbers, nil
	}
	return wrong("there is no such kind")
}

// Resolve returns the names, such as "/device:GPU:0", of the devices that TensorFlow finds.
// If a device does not exist, the error lists the existing ones. session is as for
// FindDevices.
func (d Devices) Resolve(session Config) ([]string, error) {
	return d.among(func() ([]tf.Device, error) { return FindDevices(session) })
}

func (d Devices) among(find func() ([]tf.Device, error)) ([]string, error) {
	kind, numbers, err := d.parse()
	if err != nil {
		return nil, err
	}
	if kind != "CPU" {
		found, err := find()
		if err != nil {
			return nil, err
		}
		if kind, numbers, err = d.choose(kind, numbers, found); err != nil {
			return nil, err
		}
	}
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = fmt.Sprintf("/device:%s:%d", kind, n)
	}
	return names, nil
}

// choose fills in what parse left open, from the devices found.
func (d Devices) choose(kind string, numbers []int, found []tf.Device) (string, []int, error) {
	var gpus []int
	var names []string
	for _, device := range found {
		names = append(names, device.Name)
		if device.Type == "GPU" {
			number := device.Name[strings.LastIndexByte(device.Name, ':')+1:]
			n, err := strconv.Atoi(number)
			if err != nil {
				return "", nil, fmt.Errorf("device %s: %q is no number", device.Name, number)
			}
			gpus = append(gpus, n)
		}
	}
	there := "TensorFlow finds " + strings.Join(names, ", ")
	switch {
	case kind == "auto" && len(gpus) == 0:
		return "CPU", []int{0}, nil
	case len(gpus) == 0:
		return "", nil, &usage.Field{
			Name: "devices", Got: string(d), Expected: fmt.Sprintf("devices that exist: there is no GPU (%s)", there), Try: "galaxy doctor tells why; cpu trains without one",
		}
	case numbers == nil:
		return "GPU", gpus, nil
	}
	for _, n := range numbers {
		if !slices.Contains(gpus, n) {
			return "", nil, &usage.Field{Name: "devices", Got: string(d), Expected: fmt.Sprintf("devices that exist: there is no GPU %d: %s", n, there)}
		}
	}
	return "GPU", numbers, nil
}

// FindDevices lists the devices that TensorFlow finds. session is the configuration of the work
// that follows: all sessions of a process share the threads and the GPU memory settings of its
// first session.
func FindDevices(session Config) (_ []tf.Device, err error) {
	sess, err := New(tf.NewGraph(), session)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sess.Close()) }()
	devices, err := sess.ListDevices()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return devices, nil
}

// HasGPU reports whether TensorFlow finds a GPU. session is as for FindDevices.
func HasGPU(session Config) (bool, error) {
	devices, err := FindDevices(session)
	return slices.ContainsFunc(devices, func(d tf.Device) bool { return d.Type == "GPU" }), err
}

// IsGPU reports whether a device's name, as Devices.Resolve returns it, is a GPU's.
func IsGPU(device string) bool { return strings.Contains(device, "/device:GPU:") }
