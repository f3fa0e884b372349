package data

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galaxy/data/imagefile"
)

// machineVariable tells the test binary what to do, under strace: "prepare", or the cache
// to read.
const machineVariable = "DATA_TEST_MACHINE"

// injected runs this test binary's test again with errors in the system calls that are about
// path, and returns what it prints.
func injected(t *testing.T, test, path, inject string, env ...string) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil || exec.Command(strace, "true").Run() != nil {
		t.Skip("strace is not installed, or does not work here")
	}
	calls, _, _ := strings.Cut(inject, ":")
	child := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", os.DevNull, "-P", path,
		"-e", "trace="+calls, "-e", "inject="+inject, os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(os.Environ(), env...)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// prepareMode makes the cache that variables name, and prints the error.
func prepareMode() {
	s := source{labels: os.Getenv("DATA_TEST_LABELS"), images: os.Getenv("DATA_TEST_IMAGES")}
	config := s.config(os.Getenv("DATA_TEST_OUT"))
	config.Workers, config.MaxBroken = 2, 9
	_, err := Prepare(context.Background(), config, hashDecoder{})
	fmt.Printf("\nof the machine: %v, error: %v\n", errors.Is(err, ErrUnread), err)
}

// Whatever keeps the machine from reading an image ends Prepare with an error, and the same
// call goes on to the bytes of an undisturbed one. What a file holds is another matter.
func TestPrepareMachineFails(t *testing.T) {
	if os.Getenv(machineVariable) != "" {
		prepareMode()
		return
	}
	t.Parallel()
	const n = 60
	s := makeSource(t, n)
	victim, broken := s.file(100000+45*3), s.file(100000+20*3)
	writeFile(t, broken, []byte("broken"))
	dir := t.TempDir()
	config := s.config(filepath.Join(dir, "whole"))
	config.MaxBroken = 1
	if _, err := Prepare(context.Background(), config, hashDecoder{}); err != nil {
		t.Fatal(err)
	}
	want := cacheBytes(t, config.Out)
	for i, c := range []struct{ file, inject, says string }{
		{victim, "openat:error=EMFILE", "too many open files"},
		{victim, "openat:error=ENFILE", "too many open files in system"},
		{victim, "openat:error=ENOMEM", "cannot allocate memory"},
		{victim, "openat:error=EACCES", "permission denied"},
		{victim, "openat:error=ESTALE", "stale"},
		{victim, "fstat,newfstatat:error=ETIMEDOUT", "connection timed out"},
		{victim, "read:error=EIO", "input/output error"},
		{broken, "read:error=EIO", "input/output error"},
	} {
		config.Out = filepath.Join(dir, fmt.Sprint(i))
		env := []string{machineVariable + "=1", "DATA_TEST_LABELS=" + s.labels, "DATA_TEST_IMAGES=" + s.images, "DATA_TEST_OUT=" + config.Out}
		out := injected(t, "TestPrepareMachineFails", c.file, c.inject, env...)
		if !strings.Contains(out, c.says) || !strings.Contains(out, "error: prepare") {
			t.Errorf("%s: %s\nexpected an error with %q", c.inject, out, c.says)
		}
		if _, err := os.Lstat(config.Out); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: there is a cache, %v", c.inject, err)
		}
		decoder := &countingDecoder{}
		if _, err := Prepare(context.Background(), config, decoder); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, cacheBytes(t, config.Out)); diff != "" {
			t.Errorf("%s: another cache than an undisturbed call's", c.inject)
		}
		if done := n - 1 - int(decoder.images.Load()); c.file == victim && !strings.Contains(c.inject, "stat") && done != 31 {
			t.Errorf("%s: %d images were taken over, expected the 31 good ones of two whole blocks", c.inject, done)
		}
	}

	// The plan and what is stored are read again, and a cache that is there is opened: what
	// cannot be read is not taken for other work.
	config.Out = filepath.Join(dir, "again")
	config.MaxBroken = 0
	if _, err := Prepare(context.Background(), config, hashDecoder{}); err == nil {
		t.Fatal("a broken image and no error")
	}
	config.MaxBroken = 1
	env := []string{machineVariable + "=1", "DATA_TEST_LABELS=" + s.labels, "DATA_TEST_IMAGES=" + s.images, "DATA_TEST_OUT=" + config.Out}
	partial := PartialFolder(config.Out)
	for _, c := range []struct{ file, inject string }{
		{filepath.Join(partial, "PLAN"), "openat:error=EMFILE"},
		{filepath.Join(partial, "again", examplesName), "pread64:error=EIO"},
		{filepath.Join(partial, "again", imagesName), "pread64:error=EIO"},
		{broken, "openat:error=ESTALE"},
	} {
		before := cacheBytes(t, filepath.Join(partial, "again"))
		if out := injected(t, "TestPrepareMachineFails", c.file, c.inject, env...); !strings.Contains(out, "error: prepare") {
			t.Errorf("%s of %s: %s\nexpected an error", c.inject, c.file, out)
		}
		if diff := cmp.Diff(before, cacheBytes(t, filepath.Join(partial, "again"))); diff != "" {
			t.Fatalf("%s of %s: the work of the call before was changed", c.inject, c.file)
		}
	}
	decoder := &countingDecoder{}
	if _, err := Prepare(context.Background(), config, decoder); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, cacheBytes(t, config.Out)); diff != "" || decoder.images.Load() != 0 {
		t.Errorf("another cache than an undisturbed call's, or %d images decoded again", decoder.images.Load())
	}
	out := injected(t, "TestPrepareMachineFails", filepath.Join(config.Out, manifestName), "openat:error=EMFILE", env...)
	if !strings.Contains(out, "too many open files") || strings.Contains(out, "remove it") {
		t.Errorf("%s\nexpected the error of opening the cache alone", out)
	}
}

// A small limit on open files, as a machine really has it.
func TestPrepareFewFiles(t *testing.T) {
	if os.Getenv(machineVariable) != "" {
		limit := syscall.Rlimit{Cur: 14, Max: 14}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		s := source{labels: os.Getenv("DATA_TEST_LABELS"), images: os.Getenv("DATA_TEST_IMAGES")}
		config := s.config(os.Getenv("DATA_TEST_OUT"))
		config.Workers, config.MaxBroken = 64, 1000
		_, err := Prepare(context.Background(), config, hashDecoder{})
		fmt.Printf("\nerror: %v\n", err)
		return
	}
	t.Parallel()
	s := makeSource(t, 400)
	config := s.config(filepath.Join(t.TempDir(), "cache"))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPrepareFewFiles$")
	child.Env = append(os.Environ(), machineVariable+"=1", "DATA_TEST_LABELS="+s.labels, "DATA_TEST_IMAGES="+s.images, "DATA_TEST_OUT="+config.Out)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else if !strings.Contains(string(out), "too many open files") && !strings.Contains(string(out), "error: <nil>") {
		t.Errorf("%s", out)
	} else {
		t.Logf("%s", out)
	}
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil || m.Examples != 400 || len(m.Broken) > 0 {
		t.Errorf("%+v, %v: expected all 400 galaxies", m, err)
	}
}

// failingReader fails as a disk does, once it is told to.
type failingReader struct {
	io.ReaderAt
	fail bool
}

func (r *failingReader) ReadAt(b []byte, at int64) (int, error) {
	if r.fail {
		return 0, &fs.PathError{Op: "read", Path: "images.zip", Err: syscall.EIO}
	}
	return r.ReaderAt.ReadAt(b, at)
}

// A zip's member is broken by its bytes, not by the disk that they are on.
func TestZipOnFailingDisk(t *testing.T) {
	t.Parallel()
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		raw := zipBytes(t, method, member{"1.jpg", galaxyJPEG(1)})
		for _, damaged := range []bool{false, true} {
			file := bytes.Clone(raw)
			if damaged {
				file[200] ^= 0x55
			}
			disk := &failingReader{ReaderAt: bytes.NewReader(file)}
			m, err := newZipImages(disk, int64(len(file)), TrainingImages)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Read(0, nil); (err != nil) != damaged || errors.Is(err, ErrUnread) {
				t.Errorf("damaged %v: %v", damaged, err)
			}
			disk.fail = true
			if _, err := m.Read(0, nil); !errors.Is(err, ErrUnread) || !errors.Is(err, syscall.EIO) {
				t.Errorf("%v: expected an error that says nothing about the image", err)
			}
		}
	}
}

// A decoder without memory says nothing about the image either.
func TestDecoderWithoutMemory(t *testing.T) {
	t.Parallel()
	m, err := OpenImages(makeSource(t, 1).images, TrainingImages)
	if err != nil {
		t.Fatal(err)
	}
	for want, failing := range map[bool]error{true: fmt.Errorf("decode jpeg: %w", syscall.ENOMEM), false: errors.New("decode jpeg: not one")} {
		if _, err := m.Decode(nil, 0, decoderError{failing}, nil); errors.Is(err, ErrUnread) != want || !errors.Is(err, failing) {
			t.Errorf("%v: expected ErrUnread %v", err, want)
		}
	}
}

type decoderError struct{ error }

func (d decoderError) Decode([]byte, imagefile.File) error { return d.error }

// A cache that cannot be mapped is read.
func TestCacheWithoutMapping(t *testing.T) {
	if dir := os.Getenv(machineVariable); dir != "" {
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if c.images != nil || c.file == nil {
			t.Error("the images were mapped")
		}
		for i := range c.Len() {
			if _, err := imageOf(c, i); err != nil { // which compares checksums
				t.Error(err)
			}
		}
		if err := os.Truncate(filepath.Join(dir, imagesName), 10); err != nil {
			t.Fatal(err)
		}
		_, err = imageOf(c, 3)
		wantError(t, err, "cut short while in use")
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		_, err = imageOf(c, 0)
		wantError(t, err, "closed")
		fmt.Println("\nall read")
		return
	}
	t.Parallel()
	dir := prepared(t, 20)
	if out := injected(t, "TestCacheWithoutMapping", filepath.Join(dir, imagesName), "mmap:error=ENODEV", machineVariable+"="+dir); !strings.Contains(out, "all read") {
		t.Errorf("%s", out)
	}
}
