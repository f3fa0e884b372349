// Package scripts_test tests the scripts of this folder, with a pip and with
// wheels of its own: no network is touched.
package scripts_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	version   = "2.21.0"
	wheelName = "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_17_test.whl"
)

// fakePip stands in for `python -m pip`. It notes every call, and then does what
// FAKE_PIP says.
const fakePip = `
import os, shutil, sys, time
with open(os.environ["FAKE_PIP_CALLS"], "a") as f:
    f.write(" ".join(sys.argv[1:]) + "\n")
mode = os.environ.get("FAKE_PIP", "")
if mode == "offline":
    print("WARNING: Retrying (Retry(total=0)) after connection broken", file=sys.stderr)
    print("ERROR: No matching distribution found for tensorflow-cpu==2.21.0", file=sys.stderr)
    sys.exit(1)
if mode == "full":
    print("ERROR: Exception:\nTraceback (most recent call last):\n  File\nOSError: [Errno 28] No space left on device", file=sys.stderr)
    sys.exit(2)
if mode == "hang":
    time.sleep(60)
    print("pip was left alone", flush=True)
dest = sys.argv[sys.argv.index("--dest") + 1]
os.makedirs(dest, exist_ok=True)
name = "another.whl" if mode == "another" else os.environ["FAKE_WHEEL_NAME"]
shutil.copy(os.environ["FAKE_WHEEL"], os.path.join(dest, name))
`

// checkout is a copy of the files the script needs, with a fake wheel to fetch.
type checkout struct {
	t     *testing.T
	dir   string
	wheel string
	env   []string
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	c := &checkout{t: t, dir: t.TempDir()}
	for _, name := range []string{"fetch-tensorflow", "fetch_tensorflow.py"} {
		b, err := os.ReadFile(name)
		c.must(err)
		c.write("scripts/"+name, string(b), 0o755)
	}
	c.write("TENSORFLOW_VERSION", version+"\n", 0o644)
	c.write("fake/pip/__init__.py", "", 0o644)
	c.write("fake/pip/__main__.py", fakePip, 0o644)
	c.wheel = filepath.Join(c.dir, "fake.whl")
	c.write("fake.whl", fakeWheel(t), 0o644)
	c.lock(1, 1)
	c.env = append(os.Environ(),
		"PYTHON="+python(t), "PYTHONPATH="+filepath.Join(c.dir, "fake"), "FAKE_WHEEL="+c.wheel, "FAKE_WHEEL_NAME="+wheelName,
		"FAKE_PIP_CALLS="+filepath.Join(c.dir, "calls"), "TENSORFLOW_ROOT=", "GALAXY_WHEELS=", "FAKE_PIP=")
	return c
}

func (c *checkout) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkout) write(name, content string, mode os.FileMode) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	c.must(os.MkdirAll(filepath.Dir(path), 0o755))
	c.must(os.WriteFile(path, []byte(content), mode))
}

// lock writes wheels.lock for the fake wheel as it is now.
func (c *checkout) lock(downloadMB, unpackedMB int) {
	c.t.Helper()
	b, err := os.ReadFile(c.wheel)
	c.must(err)
	c.write("scripts/wheels.lock", fmt.Sprintf("# comment\nlinux/%s %x %d %d %s\n", runtime.GOARCH, sha256.Sum256(b), downloadMB, unpackedMB, wheelName), 0o644)
}

func (c *checkout) command(env ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	c.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(c.dir, "scripts/fetch-tensorflow"))
	cmd.Env = append(append([]string{}, c.env...), env...)
	cmd.Dir = c.t.TempDir() // it must not matter where it is called
	return cmd
}

func (c *checkout) run(env ...string) (string, error) {
	b, err := c.command(env...).CombinedOutput()
	return string(b), err
}

// fails runs the script and expects one sentence with all of want, and nothing left.
func (c *checkout) fails(want []string, env ...string) {
	c.t.Helper()
	output, err := c.run(env...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		c.t.Errorf("ended with %v, want exit status 1", err)
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	last := lines[len(lines)-1]
	for _, part := range want {
		if !strings.Contains(last, part) {
			c.t.Errorf("last line %q, want %q in it", last, part)
		}
	}
	if strings.Contains(output, "Traceback") {
		c.t.Errorf("a traceback was shown:\n%s", output)
	}
	c.nothingLeft()
}

func (c *checkout) nothingLeft() {
	c.t.Helper()
	left, err := filepath.Glob(filepath.Join(c.dir, ".tensorflow.tmp.*"))
	c.must(err)
	if len(left) > 0 {
		c.t.Errorf("temporary folders are left: %v", left)
	}
}

func (c *checkout) pipCalls() int {
	b, err := os.ReadFile(filepath.Join(c.dir, "calls"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	c.must(err)
	return bytes.Count(b, []byte("\n"))
}

func (c *checkout) installed() bool {
	_, err := os.Stat(filepath.Join(c.dir, ".tensorflow"))
	return err == nil
}

// complete checks every file of .tensorflow, and that there are no others.
func (c *checkout) complete() {
	c.t.Helper()
	want := map[string]string{
		"lib/libtensorflow.so":                      "INPUT(libtensorflow_cc.so.2 libtensorflow_framework.so.2)\n",
		"lib/libtensorflow_cc.so.2":                 string(library()),
		"lib/libtensorflow_framework.so.2":          "framework",
		"include/tensorflow/c/c_api.h":              wheelFiles["tensorflow/include/tensorflow/c/c_api.h"],
		"include/tensorflow/c/tf_status.h":          wheelFiles["tensorflow/include/tensorflow/c/tf_status.h"],
		"include/tsl/platform/ctstring.h":           wheelFiles["tensorflow/include/tsl/platform/ctstring.h"],
		"include/tensorflow/c/c_api_experimental.h": wheelFiles["tensorflow/include/tensorflow/c/c_api_experimental.h"],
	}
	root := filepath.Join(c.dir, ".tensorflow")
	c.must(filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "STAMP" {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if content, ok := want[name]; !ok || content != string(b) {
			c.t.Errorf(".tensorflow/%s is not wanted or has wrong content (%d bytes)", name, len(b))
		}
		delete(want, name)
		return nil
	}))
	for name := range want {
		c.t.Errorf(".tensorflow/%s is missing", name)
	}
}

// wheelFiles are the fake wheel's small files.
var wheelFiles = map[string]string{
	"tensorflow/libtensorflow_framework.so.2":                   "framework",
	"tensorflow/python/_pywrap_tfe.so":                          "not wanted",
	"tensorflow/include/tensorflow/c/c_api.h":                   "#include <stddef.h>\n#include \"tensorflow/c/tf_status.h\"\n  #  include <tsl/platform/ctstring.h>\n",
	"tensorflow/include/tensorflow/c/tf_status.h":               "#include \"tensorflow/c/c_api.h\" // a circle\n",
	"tensorflow/include/tensorflow/c/c_api_experimental.h":      "#include \"tensorflow/c/c_api.h\"\n",
	"tensorflow/include/tsl/platform/ctstring.h":                "",
	"tensorflow/include/tensorflow/core/framework/not_wanted.h": "",
	"tensorflow_cpu-2.21.0.dist-info/METADATA":                  "Name: tensorflow-cpu\n",
}

// library is big enough for the unpacking to be interrupted.
func library() []byte {
	return bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
}

func fakeWheel(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, content []byte) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("tensorflow/libtensorflow_cc.so.2", library())
	for name, content := range wheelFiles {
		add(name, []byte(content))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// python returns the interpreter itself, not a version manager's stand-in for it.
func python(t *testing.T) string {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skip("there is no python3 here: ", err)
	}
	return strings.TrimSpace(string(b))
}

func TestFetch(t *testing.T) {
	c := newCheckout(t)
	if output, err := c.run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.complete()
	c.nothingLeft()
	b, err := os.ReadFile(filepath.Join(c.dir, "calls"))
	c.must(err)
	for _, want := range []string{"download --no-deps --only-binary=:all:", "--platform manylinux_2_17_test --python-version 311", "tensorflow_cpu==2.21.0"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("pip was called with %q, want %q in it", b, want)
		}
	}

	// The second run finds everything in place, and does not even start Python.
	if output, err := c.run("PYTHON=/nonexistent"); err != nil || output != "" {
		t.Errorf("the second run: %v, output %q", err, output)
	}

	// What was removed, or is of another wheel, comes back.
	c.must(os.Remove(filepath.Join(c.dir, ".tensorflow/lib/libtensorflow.so")))
	if output, err := c.run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.complete()
	c.write(".tensorflow/STAMP", "another wheel\n", 0o644)
	if output, err := c.run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.complete()
	c.nothingLeft()
}

// A wheel in GALAXY_WHEELS is used, one that is downloaded is put there.
func TestFetchKeepsWheels(t *testing.T) {
	c := newCheckout(t)
	store := filepath.Join(t.TempDir(), "wheels")
	for range 2 {
		c.must(os.RemoveAll(filepath.Join(c.dir, ".tensorflow")))
		if output, err := c.run("GALAXY_WHEELS=" + store); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		c.complete()
	}
	if n := c.pipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want once", n)
	}
	entries, err := os.ReadDir(store)
	c.must(err)
	if len(entries) != 1 || entries[0].Name() != wheelName {
		t.Errorf("kept %v, want the wheel alone", entries)
	}
	c.must(os.WriteFile(filepath.Join(store, wheelName), []byte("damaged"), 0o600))
	c.must(os.RemoveAll(filepath.Join(c.dir, ".tensorflow")))
	c.fails([]string{filepath.Join(store, wheelName), "has sha256", "delete it"}, "GALAXY_WHEELS="+store)
}

func TestFetchFailures(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a checkout for each failure")
	}
	t.Run("wrong checksum", func(t *testing.T) {
		c := newCheckout(t)
		b, err := os.ReadFile(c.wheel)
		c.must(err)
		b[len(b)/2] ^= 1
		c.must(os.WriteFile(c.wheel, b, 0o600))
		c.fails([]string{wheelName, "has sha256", "expected"})
		if c.installed() {
			t.Error("it was installed all the same")
		}
	})
	t.Run("not a wheel", func(t *testing.T) {
		c := newCheckout(t)
		c.must(os.WriteFile(c.wheel, []byte("<html>"), 0o600))
		c.lock(1, 1)
		c.fails([]string{"is not a whole wheel"})
	})
	t.Run("a wheel of another layout", func(t *testing.T) {
		c := newCheckout(t)
		var b bytes.Buffer
		c.must(zip.NewWriter(&b).Close())
		c.must(os.WriteFile(c.wheel, b.Bytes(), 0o600))
		c.lock(1, 1)
		c.fails([]string{"holds no lib and no include/tensorflow/c/c_api.h"})
	})
	t.Run("no network", func(t *testing.T) {
		newCheckout(t).fails([]string{"could not download", "No matching distribution", "check the network"}, "FAKE_PIP=offline")
	})
	t.Run("another file", func(t *testing.T) {
		newCheckout(t).fails([]string{"pip was asked for " + wheelName + " and gave another.whl"}, "FAKE_PIP=another")
	})
	t.Run("full disk", func(t *testing.T) {
		c := newCheckout(t)
		c.lock(1, 1_000_000_000)
		c.fails([]string{"MB free and 1,000,000,001 MB are needed"})
		if n := c.pipCalls(); n != 0 {
			t.Errorf("pip was called %d times before the look at the disk", n)
		}
	})
	t.Run("a disk that fills up", func(t *testing.T) {
		newCheckout(t).fails([]string{"No space left on device: free some space"}, "FAKE_PIP=full")
	})
	t.Run("another version", func(t *testing.T) {
		c := newCheckout(t)
		c.write("TENSORFLOW_VERSION", "2.22.0\n", 0o644)
		c.fails([]string{"pins TensorFlow 2.21.0", "TENSORFLOW_VERSION says 2.22.0"})
	})
	t.Run("no wheel for the platform", func(t *testing.T) {
		c := newCheckout(t)
		c.write("scripts/wheels.lock", "# empty\n", 0o644)
		c.fails([]string{"there is no TensorFlow wheel for linux/", "TENSORFLOW_ROOT"})
	})
	t.Run("no Python", func(t *testing.T) {
		newCheckout(t).fails([]string{"no python3 found"}, "PYTHON=", "PATH="+tools(t, ""))
	})
	t.Run("an old Python", func(t *testing.T) {
		newCheckout(t).fails([]string{"older than Python 3.9"}, "PYTHON=", "PATH="+tools(t, "exit 1"))
	})
	t.Run("no pip", func(t *testing.T) {
		c := newCheckout(t)
		c.fails([]string{"has no pip", "python3-pip"}, "PYTHONPATH=", "PYTHON=", "PATH="+tools(t, "exec "+python(t)+` -S "$@"`))
	})
	t.Run("a pip beside a Python without it", func(t *testing.T) {
		c := newCheckout(t)
		path := tools(t, "exec "+python(t)+` -S "$@"`)
		c.must(os.WriteFile(filepath.Join(path, "pip3"), []byte("#!/bin/sh\nexec "+python(t)+" "+filepath.Join(c.dir, "fake/pip/__main__.py")+` "$@"`), 0o755))
		if output, err := c.run("PYTHONPATH=", "PYTHON=", "PATH="+path); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		c.complete()
	})
	t.Run("unknown argument", func(t *testing.T) {
		c := newCheckout(t)
		cmd := c.command()
		cmd.Args = append(cmd.Args, "--cpu")
		if b, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(b), "unknown arguments '--cpu'") {
			t.Errorf("%v, output %q", err, b)
		}
	})
}

// tools makes a folder for PATH with the few programs the script needs and, if
// script is not empty, with that as python3.
func tools(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bash", "sh", "env", "dirname", "uname", "grep"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Killed at any moment it leaves either nothing or everything, and the next run
// ends right.
func TestFetchKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 16 runs of the script")
	}
	c := newCheckout(t)
	rng := rand.New(rand.NewPCG(1, 0))
	for range 15 {
		cmd := c.command()
		cmd.Stdout, cmd.Stderr = nil, nil
		c.must(cmd.Start())
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		if c.installed() {
			c.complete()
			c.must(os.RemoveAll(filepath.Join(c.dir, ".tensorflow")))
		}
	}
	if output, err := c.run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.complete()
	c.nothingLeft()
}

// A polite signal ends pip as well and clears up at once.
func TestFetchInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: pip is started and ended twice")
	}
	// A shell starts what runs in the background with SIGINT ignored, and children inherit that; not
	// a handler.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			c := newCheckout(t)
			cmd := c.command("FAKE_PIP=hang")
			var output bytes.Buffer
			cmd.Stdout, cmd.Stderr = &output, &output
			c.must(cmd.Start())
			for deadline := time.Now().Add(5 * time.Minute); c.pipCalls() == 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("pip was never called")
				}
			}
			c.must(cmd.Process.Signal(sig))
			err := cmd.Wait() // returns once pip, which shares the output, is gone too
			if cmd.ProcessState.ExitCode() != 130 {
				t.Errorf("ended with %v, want exit status 130", err)
			}
			if !strings.Contains(output.String(), "interrupted; run it again") || strings.Contains(output.String(), "Traceback") || strings.Contains(output.String(), "left alone") {
				t.Errorf("output %q", output.String())
			}
			c.nothingLeft()
			if output, err := c.run(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			c.complete()
		})
	}
}

// Two at once: one works, the other waits, and both end well.
func TestFetchTwice(t *testing.T) {
	c := newCheckout(t)
	var wait sync.WaitGroup
	for range 3 {
		cmd := c.command()
		wait.Go(func() {
			if b, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, b)
			}
		})
	}
	wait.Wait()
	c.complete()
	c.nothingLeft()
	if n := c.pipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want once", n)
	}
}

func TestFetchRoot(t *testing.T) {
	c := newCheckout(t)
	root := filepath.Join(c.dir, "installed")
	c.fails([]string{"TENSORFLOW_ROOT=" + root + " is not a folder"}, "TENSORFLOW_ROOT="+root)
	c.must(os.MkdirAll(filepath.Join(root, "lib"), 0o755))
	c.fails([]string{"lacks lib/libtensorflow* or include/tensorflow/c/c_api.h"}, "TENSORFLOW_ROOT="+root)

	build := func(version string) {
		source := filepath.Join(c.dir, "version.c")
		c.must(os.WriteFile(source, []byte(`const char *TF_Version(void) { return "`+version+`"; }`), 0o600))
		if b, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", filepath.Join(root, "lib/libtensorflow_cc.so.2"), source).CombinedOutput(); err != nil {
			t.Skipf("no C compiler: %v\n%s", err, b)
		}
	}
	c.write("installed/include/tensorflow/c/c_api.h", "", 0o644)
	c.write("installed/lib/libtensorflow_framework.so.2", "", 0o644)
	build("2.16.1")
	c.fails([]string{"holds TensorFlow 2.16.1, and galaxy is built for 2.21.0"}, "TENSORFLOW_ROOT="+root)
	build(version)
	for range 2 {
		if output, err := c.run("TENSORFLOW_ROOT=" + root); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	for _, name := range []string{"lib/libtensorflow.so", "lib/libtensorflow_cc.so.2", "lib/libtensorflow_framework.so.2", "include/tensorflow/c/c_api.h"} {
		if _, err := os.Stat(filepath.Join(c.dir, ".tensorflow", name)); err != nil {
			t.Error(err)
		}
	}
	if n := c.pipCalls(); n != 0 {
		t.Errorf("pip was called %d times", n)
	}
	// Without it the pinned wheel is fetched again, and the user's folder is untouched.
	if output, err := c.run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.complete()
	if _, err := os.Stat(filepath.Join(root, "include/tensorflow/c/c_api.h")); err != nil {
		t.Error(err)
	}
}
