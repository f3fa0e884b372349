package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galaxy/graph/network"
)

// healthy is a machine with nothing wrong.
func healthy() examination {
	return examination{
		Galaxy:        "0.1.0",
		Library:       libraryFound{Version: "2.21.0", BuiltFor: "2.21.0", Files: []string{"/opt/lib/libtensorflow_cc.so.2"}},
		Devices:       []deviceFound{{Name: "CPU:0", Type: "CPU"}},
		CPU:           cpuFound{Model: "A CPU", Cores: 4, Quota: 4, Features: []string{"AVX", "AVX2"}, Kernels: "oneDNN's kernels for AVX2", Expected: true},
		Memory:        memoryFound{TotalBytes: 8 << 30, AvailableBytes: 6 << 30},
		Compute:       []computeFound{{Precision: network.Float32}},
		AutoPrecision: network.Float32,
	}
}

func TestJudgePrecision(t *testing.T) {
	e := examination{AutoPrecision: network.Float32}
	if got := judgePrecision(e).Found; !strings.Contains(got, "bfloat16 and float16 would be emulated") {
		t.Errorf("on a CPU: %s", got)
	}
	e.AutoPrecision = network.BFloat16
	if got := judgePrecision(e).Found; !strings.Contains(got, "auto is bfloat16") || !strings.Contains(got, "float16 would be emulated") {
		t.Errorf("on a CPU with bfloat16: %s", got)
	}
	e.AutoPrecision = network.Float32
	e.Devices = []deviceFound{{Name: "GPU:0", Type: "GPU"}}
	if got := judgePrecision(e).Found; !strings.Contains(got, "float32 on GPUs; bfloat16 and --xla") {
		t.Errorf("on a GPU: %s", got)
	}
}

func TestJudge(t *testing.T) {
	driver := nvidiaFound{Driver: "570.86.15", GPUs: 1, DeviceFiles: []string{"/dev/nvidia0"}, LibCUDA: "/usr/lib/libcuda.so.1"}
	for _, test := range []struct {
		name   string
		change func(*examination)
		check  string // the finding that is not ok; empty: all are
		status string
		found  string // parts of that finding
		mend   string
	}{
		{name: "healthy", change: func(*examination) {}},
		{
			name: "another library", change: func(e *examination) { e.Library.Version = "2.16.1" },
			check: "library", status: statusFail, found: "TensorFlow 2.16.1 from /opt/lib, and galaxy was built for 2.21.0", mend: "make build",
		},
		{
			name: "an old CPU", change: func(e *examination) { e.CPU.Expected, e.CPU.Features = false, nil },
			check: "cpu", status: statusFail, found: "no vector instructions", mend: "need a CPU with AVX",
		},
		{
			name: "Eigen's kernels", change: func(e *examination) { e.CPU.slow, e.CPU.Kernels = true, "Eigen's kernels" },
			check: "kernels", status: statusWarn, found: "Eigen's kernels: training takes about three times", mend: "unset TF_ENABLE_ONEDNN_OPTS",
		},
		{
			name: "a container's share", change: func(e *examination) { e.CPU.Quota = 2 },
			check: "cpu", status: statusWarn, found: "this container may use 2 at a time", mend: "--threads 2",
		},
		{
			name: "little memory", change: func(e *examination) { e.Memory.AvailableBytes = 1 << 30 },
			check: "memory", status: statusWarn, found: "8.0 GiB, 1.0 GiB of it available", mend: "--batch",
		},
		{name: "unknown memory", change: func(e *examination) { e.Memory = memoryFound{} }},
		{
			name: "no devices", change: func(e *examination) { e.Devices, e.devicesErr = nil, errors.New("broken") },
			check: "devices", status: statusFail, found: "none: broken", mend: "make build",
		},
		{
			name: "a GPU and the CPU build", change: func(e *examination) { e.NVIDIA = driver },
			check: "gpu", status: statusWarn, found: "NVIDIA driver 570.86.15, 1 GPUs", mend: "make build GPU=1",
		},
		{
			name: "the CUDA build and no driver", change: func(e *examination) { e.Library.CUDA = true },
			check: "gpu", status: statusWarn, found: "no NVIDIA driver", mend: "--gpus all",
		},
		{
			name: "no device files", change: func(e *examination) {
				e.Library.CUDA, e.NVIDIA = true, driver
				e.NVIDIA.DeviceFiles = nil
			},
			check: "gpu", status: statusFail, mend: "nvidia-smi",
		},
		{
			name: "no libcuda", change: func(e *examination) {
				e.Library.CUDA, e.NVIDIA = true, driver
				e.NVIDIA.LibCUDA = ""
			},
			check: "gpu", status: statusFail, found: "no libcuda.so.1", mend: "libcuda.so.1",
		},
		{
			name: "a GPU that is not used", change: func(e *examination) { e.Library.CUDA, e.NVIDIA = true, driver },
			check: "gpu", status: statusFail, found: "does not use them", mend: "--verbose",
		},
		{name: "a GPU that is used", change: func(e *examination) {
			e.Library.CUDA, e.NVIDIA = true, driver
			e.Devices = append(e.Devices, deviceFound{Name: "GPU:0", Type: "GPU"})
		}},
		{
			name: "wrong products", change: func(e *examination) { e.Compute[0].Error = "the sum is off" },
			check: "compute", status: statusFail, found: "float32 failed: the sum is off", mend: "--verbose",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := healthy()
			test.change(&e)
			for _, f := range judge(e) {
				if f.Check == "" || f.Found == "" {
					t.Errorf("finding %+v says nothing", f)
				}
				if (f.Status == statusOK) != (f.Mend == "") {
					t.Errorf("finding %+v: what is wrong, and only that, needs mending", f)
				}
				if f.Check != test.check {
					if f.Status != statusOK {
						t.Errorf("finding %+v, want it ok", f)
					}
					continue
				}
				if f.Status != test.status || !strings.Contains(f.Found, test.found) || !strings.Contains(f.Mend, test.mend) {
					t.Errorf("finding %+v, want status %s, %q, and %q to mend it", f, test.status, test.found, test.mend)
				}
			}
		})
	}
}

func TestCompareVersions(t *testing.T) {
	if err := compareVersions("2.21.0", "2.21.0", nil); err != nil {
		t.Error(err)
	}
	err := compareVersions("2.16.1", "2.21.0", []string{"/opt/lib/libtensorflow_cc.so.2"})
	if err == nil || !strings.Contains(err.Error(), "version 2.16.1 (/opt/lib/libtensorflow_cc.so.2), and galaxy was built for 2.21.0") {
		t.Errorf("got %v, want both versions and the file named", err)
	}
	if err := checkLibraryVersion(); err != nil {
		t.Errorf("this test runs with the pinned library, but %v", err)
	}
}

func TestLibrariesIn(t *testing.T) {
	const maps = `55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 131 /usr/bin/cat
7f0000000000-7f0000001000 r--p 00000000 fe:00 132 /a folder/lib/libtensorflow_framework.so.2
7f0000001000-7f0000002000 r-xp 00001000 fe:00 133 /a folder/lib/libtensorflow_cc.so.2
7f0000002000-7f0000003000 rw-p 00002000 fe:00 133 /a folder/lib/libtensorflow_cc.so.2
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 [stack]
`
	want := []string{"/a folder/lib/libtensorflow_cc.so.2", "/a folder/lib/libtensorflow_framework.so.2"}
	if diff := cmp.Diff(want, librariesIn(maps)); diff != "" {
		t.Errorf("libraries (-want +got):\n%s", diff)
	}
}

// files writes a folder that stands for "/".
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestExamineMemory(t *testing.T) {
	const meminfo = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n"
	for _, test := range []struct {
		name    string
		content map[string]string
		want    memoryFound
	}{
		{"not Linux", nil, memoryFound{}},
		{"no limit", map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "max\n"}, memoryFound{16000 << 10, 9000 << 10}},
		{"a container", map[string]string{
			"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "8192000\n", "sys/fs/cgroup/memory.current": "2048000\n",
		}, memoryFound{8000 << 10, 6000 << 10}},
		{"a full container", map[string]string{
			"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "8192000", "sys/fs/cgroup/memory.current": "9000000",
		}, memoryFound{8000 << 10, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := examineMemory(files(t, test.content)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestExamineNVIDIA(t *testing.T) {
	t.Setenv("LD_LIBRARY_PATH", "")
	for _, test := range []struct{ line, want string }{
		{"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024", "535.183.01"},
		{"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)", "570.86.15"},
		{"something else", "unknown"},
	} {
		if got := driverVersion(test.line); got != test.want {
			t.Errorf("driverVersion(%q) = %q, want %q", test.line, got, test.want)
		}
	}
	root := files(t, map[string]string{
		"proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version: 12.2\n",
		"proc/driver/nvidia/gpus/0000:01:00.0/information": "", "proc/driver/nvidia/gpus/0000:02:00.0/information": "",
		"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": "",
		"usr/lib64/libcuda.so.1": "",
	})
	want := nvidiaFound{
		Driver: "535.183.01", GPUs: 2, LibCUDA: filepath.Join(root, "usr/lib64/libcuda.so.1"),
		DeviceFiles: []string{filepath.Join(root, "dev/nvidia0"), filepath.Join(root, "dev/nvidia1")},
	}
	if diff := cmp.Diff(want, examineNVIDIA(root)); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if got := examineNVIDIA(t.TempDir()); got.Driver != "" || got.LibCUDA != "" || len(got.DeviceFiles) != 0 {
		t.Errorf("an empty machine has %+v", got)
	}
}

// The machine the tests run on must be able to compute.
func TestExamine(t *testing.T) {
	e := examine()
	for _, f := range judge(e) {
		if f.Status == statusFail && slices.Contains([]string{"library", "cpu", "devices", "compute"}, f.Check) {
			t.Errorf("%s: %s", f.Check, f.Found)
		}
	}
	if len(e.Devices) == 0 || e.Devices[0].Type != "CPU" || e.CPU.Cores < 1 {
		t.Errorf("found devices %+v and CPU %+v", e.Devices, e.CPU)
	}
}
