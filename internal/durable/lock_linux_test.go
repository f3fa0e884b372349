package durable

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lockVariable names the file that the test binary locks, under strace.
const lockVariable = "DURABLE_TEST_LOCK"

// If a file system lacks one kind of lock, the other is used. If it lacks both, the work
// continues and the notice says what is not guarded. Other errors are returned.
func TestLocksThatAreNotThere(t *testing.T) {
	if path := os.Getenv(lockVariable); path != "" {
		said := ""
		first, err := Lock(path, func(s string) { said = s })
		if err == nil {
			_, err2 := Lock(path, func(string) {})
			fmt.Printf("\nfirst: said %q\nsecond: locked out %v\n", said, errors.Is(err2, ErrLocked))
			err = first.Close()
		}
		fmt.Printf("\nerror: %v\n", err)
		return
	}
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil || exec.Command(strace, "true").Run() != nil {
		t.Skip("strace is not installed, or does not work here")
	}
	for _, c := range []struct {
		calls, number string
		want          []string
	}{
		{"flock", "EBADF", []string{`said ""`, "locked out true", "error: <nil>"}},
		{"flock", "ENOSYS", []string{`said ""`, "locked out true", "error: <nil>"}},
		{"flock", "EIO", []string{"error: lock ", "input/output error"}},
		{"flock,fcntl", "ENOSYS", []string{"nothing keeps a second galaxy", "locked out false", "error: <nil>"}},
		{"flock,fcntl", "ENOLCK", []string{"nothing keeps a second galaxy", "error: <nil>"}},
		{"flock,fcntl", "EOPNOTSUPP", []string{"nothing keeps a second galaxy", "error: <nil>"}},
	} {
		t.Run(c.calls+" "+c.number, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			child := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", os.DevNull, "-P", path,
				"-e", "trace="+c.calls, "-e", "inject="+c.calls+":error="+c.number, os.Args[0], "-test.run=^TestLocksThatAreNotThere$")
			child.Env = append(os.Environ(), lockVariable+"="+path)
			out, err := child.CombinedOutput()
			for _, part := range c.want {
				if err != nil || !strings.Contains(string(out), part) {
					t.Errorf("%v\n%s\nlacks %q", err, out, part)
				}
			}
		})
	}
}

// NFS locks only files that are open for writing.
func TestLockIsForWriting(t *testing.T) {
	f, err := Lock(filepath.Join(t.TempDir(), "file"), silent)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		t.Errorf("flags %#x, %v: expected O_RDWR", flags, err)
	}
}

// If the machine fails to read the plan, the work is not mistaken for other work, and
// stays.
func TestContinueKeepsWhatItCannotRead(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	stop := errors.New("stop")
	fill := func(path string, _ bool) error { return errors.Join(os.WriteFile(path, []byte("x"), 0o666), stop) }
	if err := Continue(out, []byte("plan"), silent, anew, fill); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	// A link to itself simulates a disk error.
	plan, aside := filepath.Join(PartialFolder(out), planName), filepath.Join(PartialFolder(out), "aside")
	if err := errors.Join(os.Rename(plan, aside), os.Symlink(planName, plan)); err != nil {
		t.Fatal(err)
	}
	if err := Continue(out, []byte("plan"), silent, anew, fill); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("%v: expected the error of reading", err)
	}
	if err := os.Rename(aside, plan); err != nil {
		t.Fatal(err)
	}
	err := Continue(out, []byte("plan"), silent, anew, func(path string, begun bool) error {
		if raw, err := os.ReadFile(path); !begun || string(raw) != "x" {
			t.Errorf("begun %v, %q, %v: expected the work of the first call", begun, raw, err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}

// A folder being removed is complete until it is gone, even if a process has one of its
// files open.
func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	for range 2 { // the second time it does not exist
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
		wantTree(t, dir, nil)
		if err := os.MkdirAll(path, 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, "file"), "x")
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
		wantTree(t, dir, nil)
	}
}

// Everything has the permissions that the umask allows: a colleague's group can continue
// the work, or nobody can read it.
func TestUmask(t *testing.T) {
	for _, mask := range []int{0o002, 0o077} {
		old := syscall.Umask(mask)
		defer syscall.Umask(old)
		dir := t.TempDir()
		seen := 0
		look := func(root string) {
			err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
				if err != nil || path == dir {
					return err
				}
				info, err := e.Info()
				want := os.FileMode(0o666)
				if e.IsDir() {
					want = 0o777
				}
				if want &^= os.FileMode(mask); err == nil && info.Mode().Perm() != want {
					t.Errorf("umask %03o: %s has %v, expected %v", mask, path, info.Mode(), want)
				}
				seen++
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		stop := errors.New("stop")
		fill := func(path string, _ bool) error { look(dir); return stop }
		_ = Continue(filepath.Join(dir, "work"), []byte("plan"), silent, anew, fill)
		err := errors.Join(
			Folder(filepath.Join(dir, "a", "b"), func(string) error { look(dir); return nil }), // and the files that a crash would leave
			WriteFile(filepath.Join(dir, "file"), nil))
		if err != nil {
			t.Fatal(err)
		}
		look(dir)
		if seen < 10 {
			t.Errorf("%d files and folders", seen)
		}
	}
}
