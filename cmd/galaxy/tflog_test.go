package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chatter is what libtensorflow 2.21 prints, of the CPU and of the CUDA build.
const chatter = `WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795490776.432982   20845 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results due to floating-point round-off errors from different computation orders. To turn them off, set the environment variable ` + "`TF_ENABLE_ONEDNN_OPTS=0`" + `.
I0000 00:00:1795490776.577311   20845 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 AVX512F AVX512_VNNI AVX512_BF16 FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.
E0000 00:00:1795490776.644379   20845 jpeg_mem.cc:165]  Invalid components value 0

W0000 00:00:1795490776.644756   20863 local_rendezvous.cc:412] Local rendezvous is aborting with status: INVALID_ARGUMENT: jpeg::Uncompress failed. Invalid JPEG data or crop window.
	 [[{{node j/DecodeJpeg}}]]
W0000 00:00:1795490776.658362   20845 op_kernel.cc:1858] OP_REQUIRES failed at constant_op.cc:174 : INVALID_ARGUMENT: Shape [2147483648] would have more than 2**63 - 1 elements
`

func TestTFFilter(t *testing.T) {
	for _, test := range []struct{ name, log, want string }{
		{"the usual chatter", chatter, ""},
		{
			"a warning", "W0000 00:00:1795490776.644756   20863 cpu_allocator_impl.cc:84] Allocation of 9437184 exceeds 10% of free system memory.\n",
			"tensorflow: warning: Allocation of 9437184 exceeds 10% of free system memory. (cpu_allocator_impl.cc:84)\n",
		},
		{
			"the older form", "2026-11-24 03:00:00.123456: W tensorflow/core/framework/cpu_allocator_impl.cc:84] Allocation of 1 exceeds 10%\n",
			"tensorflow: warning: Allocation of 1 exceeds 10% (cpu_allocator_impl.cc:84)\n",
		},
		{"information in the older form", "2026-11-24 03:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n", ""},
		{
			"an error of several lines", "E0000 00:00:1795490776.644756   20863 a.cc:1] first\n\tsecond\n\nthird\nI0000 00:00:1795490776.644756   20863 b.cc:2] fourth\nfifth\n",
			"tensorflow: error: first (a.cc:1)\n  second\n  third\n",
		},
		{
			"the same place again", strings.Repeat("W0000 00:00:1795490776.644756   20863 a.cc:1] again\n\tmore\n", 3),
			"tensorflow: warning: again (a.cc:1)\n  more\n",
		},
		{
			"a failed check", "F0000 00:00:1795490776.644756   20863 tensor.cc:99] Check failed: a == b (1 vs. 2)\n",
			"tensorflow: fatal: Check failed: a == b (1 vs. 2) (tensor.cc:99)\n",
		},
		{
			"no GPU, said twice", "I0000 00:00:1795490776.644756   20863 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.\n" +
				"E0000 00:00:1795490776.644756   20863 cuda_platform.cc:51] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)\n",
			"tensorflow: no usable NVIDIA GPU was found, so the CPU is used; `galaxy doctor` says more\n",
		},
		{
			"broken NVIDIA libraries", "W0000 00:00:1795490776.644756   20863 gpu_device.cc:2342] Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are installed properly if you would like to use GPU.\n",
			"tensorflow: some of NVIDIA's libraries could not be loaded, so no GPU is used; `galaxy doctor` says which\n",
		},
		{
			"noise of the CUDA build", "E0000 00:00:1795490776.644756   20863 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN when one has already been registered\n" +
				"W0000 00:00:1795490776.644756   20863 computation_placer.cc:177] computation placer already registered. Please check linkage and avoid linking the same target more than once.\n",
			"",
		},
		{"the C++ library's end", "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n", "tensorflow: terminate called after throwing an instance of 'std::bad_alloc'\ntensorflow: what():  std::bad_alloc\n"},
		{"lines of others", "Corrupt JPEG data: 5 extraneous bytes before marker 0xd9\nonednn_verbose,v1,info\n", ""},
		{"no newline, no text, no source", "W0000\nW0000 00:00:1795490776.644756   20863 a.cc:1] ", "tensorflow: warning:  (a.cc:1)\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f tfFilter
			var got strings.Builder
			for line := range strings.Lines(test.log) {
				if text, matters := f.line(strings.TrimSuffix(line, "\n")); matters {
					got.WriteString(text + "\n")
				}
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("shown lines (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzTFFilter(f *testing.F) {
	f.Add(chatter)
	f.Add("F0000 00:00:1.2 3 x.cc:4] five\nsix\n")
	f.Fuzz(func(t *testing.T, log string) {
		var filter tfFilter
		for line := range strings.Lines(log) {
			text, matters := filter.line(strings.TrimSuffix(line, "\n"))
			if matters != (text != "") {
				t.Fatalf("line %q: text %q, matters %t", line, text, matters)
			}
		}
	})
}

// The process tests run this test binary again, as a program that has no tests.
func init() {
	switch how := os.Getenv("GALAXY_TEST_TFLOG"); how {
	case "":
		return
	case "load": // nothing but what happens before main
	default:
		tfLogProgram(how)
	}
	os.Exit(0)
}

// tfLogProgram writes to descriptor 2 as the library does and then ends in the way
// that is asked for.
func tfLogProgram(how string) {
	t, err := startTFLog(how == "verbose")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer t.Close()
	write := func(text string) {
		if _, err := syscall.Write(2, []byte(text)); err != nil {
			fmt.Println(err)
		}
	}
	write(chatter)
	fmt.Println(t.Path())
	fmt.Fprintln(os.Stderr, "a line of ours")
	switch how {
	case "abort":
		time.Sleep(2 * tfLogPeriod) // so that the follower is not the one to show the next line
		write("F0000 00:00:1795490776.644756   20863 tensor.cc:99] Check failed: a == b\n*** Check failure stack trace: ***\n    @ 0x1\n")
		if err := syscall.Kill(os.Getpid(), syscall.SIGABRT); err != nil {
			fmt.Println(err)
		}
		time.Sleep(10 * time.Second)
	case "panic":
		panic("a panic of ours")
	}
	write("W0000 00:00:1795490776.644756   20863 a.cc:1] a half line")
}

// runTFLogProgram returns what the program wrote to its two outputs, and its log.
func runTFLogProgram(t *testing.T, how string) (stderr, log string, status error) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), executable)
	// oneDNN's kernels have a line of their own while the library is loaded.
	cmd.Env = append(os.Environ(), "GALAXY_TEST_TFLOG="+how, "HOME="+home, "XDG_CACHE_HOME=", "TF_ENABLE_ONEDNN_OPTS=1")
	var stdout, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &errors
	status = cmd.Run()
	if path := strings.TrimSpace(stdout.String()); path != "" {
		if !strings.HasPrefix(path, home) {
			t.Errorf("the log is %s, want it in the home folder's cache", path)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		log = string(b)
	}
	return errors.String(), log, status
}

func TestTFLogOfProcess(t *testing.T) {
	t.Run("load", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux can hold back what is printed before main")
		}
		stderr, _, err := runTFLogProgram(t, "load")
		if err != nil || stderr != "" {
			t.Errorf("loading the library: %v, standard error %q", err, stderr)
		}
	})
	t.Run("quiet", func(t *testing.T) {
		stderr, log, err := runTFLogProgram(t, "quiet")
		want := "a line of ours\ntensorflow: warning: a half line (a.cc:1)\n"
		if err != nil || stderr != want {
			t.Errorf("%v, standard error %q, want %q", err, stderr, want)
		}
		if !strings.Contains(log, chatter) || !strings.HasSuffix(log, "a half line") {
			t.Errorf("the log lacks something:\n%s", log)
		}
		if runtime.GOOS == "linux" && strings.Count(log, "oneDNN custom operations") != 2 {
			t.Errorf("the log lacks what was printed while the library was loaded:\n%s", log)
		}
	})
	t.Run("verbose", func(t *testing.T) {
		stderr, _, err := runTFLogProgram(t, "verbose")
		for _, want := range []string{chatter, "a line of ours\n", "] a half line\n"} {
			if err != nil || !strings.Contains(stderr, want) {
				t.Errorf("%v, standard error %q, want %q in it", err, stderr, want)
			}
		}
	})
	t.Run("abort", func(t *testing.T) {
		stderr, log, err := runTFLogProgram(t, "abort")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGABRT {
			t.Errorf("the program ended with %v, want an abort", err)
		}
		for _, want := range []string{"tensor.cc:99] Check failed: a == b\nTensorFlow ended the program. Its log: ", ".log\n"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("standard error %q, want %q in it", stderr, want)
			}
		}
		if strings.Contains(stderr, "@ 0x1") || !strings.Contains(log, "@ 0x1") {
			t.Errorf("the stack trace belongs into the log alone; standard error %q", stderr)
		}
	})
	t.Run("panic", func(t *testing.T) {
		stderr, _, err := runTFLogProgram(t, "panic")
		if err == nil || strings.Count(stderr, "panic: a panic of ours") != 1 {
			t.Errorf("%v, standard error %q, want the panic once", err, stderr)
		}
	})
}

func TestTFLogsArePruned(t *testing.T) {
	dir := t.TempDir()
	name := func(day, pid int) string {
		return filepath.Join(dir, fmt.Sprintf("202611%02d-120000-%d.log", day, pid))
	}
	const gone = 1 << 30 // above the highest pid there can be
	for day := 1; day <= 14; day++ {
		pid := gone
		if day == 2 {
			pid = os.Getpid()
		}
		if err := os.WriteFile(name(day, pid), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pruneTFLogs(dir)
	var want []string
	want = append(want, name(2, os.Getpid())) // its process lives
	for day := 5; day <= 14; day++ {
		want = append(want, name(day, gone))
	}
	got, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs kept (-want +got):\n%s", diff)
	}
}

// A cache folder that cannot be made must not keep galaxy from running.
func TestTFLogFallsBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	t.Setenv("HOME", file)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(file, "cache"))
	t.Setenv("TMPDIR", tmp)
	f, err := createTFLog(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if filepath.Dir(f.Name()) != tmp {
		t.Errorf("the log is %s, want it in %s", f.Name(), tmp)
	}
}
