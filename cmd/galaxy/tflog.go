package main

// #include <stdlib.h>
// #include "tflog.h"
import "C"

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

const (
	tfLogsKept  = 10
	tfLogPeriod = 200 * time.Millisecond
)

// tfLog keeps TensorFlow's chatter off the terminal. The library writes to file
// descriptor 2 from C++; this points the descriptor at a file, so that nothing is
// lost even if the library ends the process, and follows that file to show what
// matters. os.Stderr goes on to be the terminal.
type tfLog struct {
	path   string
	file   *os.File // where descriptor 2 leads, opened for reading too
	stderr *os.File // the real standard error
	old    *os.File // os.Stderr as it was found

	verbose bool
	clear   string // ends a progress bar's line before ours
	filter  tfFilter
	offset  int64  // how far the file has been read
	partial []byte // the start of a line whose end is still to come

	stop     chan struct{}
	finished chan struct{}
	once     sync.Once
}

// leastOpenFiles is the number of open files that every command gets by with.
const leastOpenFiles = 32

// startTFLog turns file descriptor 2 to a new log file in the user's cache folder
// (or, where that cannot be written, in the temporary one). With verbose every line
// is shown as well; without it warnings and errors that matter are, as ours.
//
// It must run before the first session and before anything keeps os.Stderr: it
// replaces that variable, log's output and cli.ErrWriter. Close ends it; so must
// whoever calls os.Exit.
func startTFLog(verbose bool) (*tfLog, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < leastOpenFiles {
		return nil, fmt.Errorf("the process may have %d files open, expected %d or more: TensorFlow would end it without an error; raise the limit (ulimit -n) and give the same command again", limit.Cur, leastOpenFiles)
	}
	file, err := createTFLog(time.Now())
	if err != nil {
		return nil, fmt.Errorf("create TensorFlow's log file: %w", err)
	}
	real, err := syscall.Dup(2)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("keep standard error: %w", err)
	}
	syscall.CloseOnExec(real)
	t := &tfLog{
		path: file.Name(), file: file, stderr: os.NewFile(uintptr(real), "/dev/stderr"), old: os.Stderr,
		verbose: verbose, stop: make(chan struct{}), finished: make(chan struct{}),
	}
	if term.IsTerminal(real) {
		t.clear = "\r\x1b[K"
	}
	if early := int(C.galaxy_early_log()); early >= 0 {
		// Only read here: the descriptor belongs to the C side.
		if _, err := io.Copy(file, io.NewSectionReader(fdReader(early), 0, 1<<20)); err != nil {
			fmt.Fprintln(t.stderr, "copy TensorFlow's first messages to its log:", err)
		}
	}
	if C.galaxy_redirect(2, C.int(file.Fd())) < 0 {
		file.Close()
		t.stderr.Close()
		return nil, errors.New("redirect standard error to TensorFlow's log file failed")
	}
	hint := C.CString("TensorFlow ended the program. Its log: " + t.path)
	C.galaxy_on_abort(C.int(file.Fd()), C.int(real), hint)
	C.free(unsafe.Pointer(hint))
	// The runtime writes a crash of Go code to descriptor 2; let the terminal see it too.
	if err := debug.SetCrashOutput(t.stderr, debug.CrashOptions{}); err != nil {
		fmt.Fprintln(t.stderr, "send crash reports to the terminal:", err)
	}
	setStderr(t.stderr)
	go t.follow()
	return t, nil
}

// Path returns the log file's path, for messages about a failure.
func (t *tfLog) Path() string { return t.path }

// Close shows what is still to be shown and gives descriptor 2 back. It may be
// called more than once.
func (t *tfLog) Close() {
	t.once.Do(func() {
		close(t.stop)
		<-t.finished
		C.galaxy_redirect(2, C.int(t.stderr.Fd()))
		setStderr(t.old)
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{}) // a crash would be shown twice
		// The files stay open until the process ends: an abort on the way out still
		// wants both.
	})
}

// setStderr replaces standard error where Go code has it from.
func setStderr(f *os.File) {
	os.Stderr = f
	cli.ErrWriter = f
	log.SetOutput(f)
}

func (t *tfLog) follow() {
	defer close(t.finished)
	ticker := time.NewTicker(tfLogPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.read()
		case <-t.stop:
			t.read()
			if len(t.partial) > 0 {
				t.show(string(t.partial))
			}
			return
		}
	}
}

// read shows the whole lines that came since the last call.
func (t *tfLog) read() {
	var block [1 << 14]byte
	for {
		n, err := t.file.ReadAt(block[:], t.offset)
		t.offset += int64(n)
		t.partial = append(t.partial, block[:n]...)
		for {
			line, rest, found := bytes.Cut(t.partial, []byte("\n"))
			if !found {
				break
			}
			t.show(string(line))
			t.partial = rest
		}
		if err != nil { // the end of the file, for now
			return
		}
	}
}

func (t *tfLog) show(line string) {
	if !t.verbose {
		var matters bool
		if line, matters = t.filter.line(line); !matters {
			return
		}
	}
	fmt.Fprintf(t.stderr, "%s%s\n", t.clear, line)
}

// fdReader reads a file descriptor that belongs to someone else.
type fdReader int

func (fd fdReader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := syscall.Pread(int(fd), p, offset)
	if err != nil {
		return 0, fmt.Errorf("read descriptor %d: %w", fd, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// tfLogDir is where logs are kept: galaxy/logs in the user's cache folder.
func tfLogDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(cache, "galaxy", "logs"), nil
}

// createTFLog makes the log file of this process and removes the oldest of the
// earlier ones.
func createTFLog(now time.Time) (*os.File, error) {
	name := fmt.Sprintf("%s-%d.log", now.UTC().Format("20060102-150405"), os.Getpid())
	// O_APPEND: this process and the library both write.
	const flags = os.O_CREATE | os.O_RDWR | os.O_APPEND
	if dir, err := tfLogDir(); err == nil && os.MkdirAll(dir, 0o777) == nil {
		file, err := os.OpenFile(filepath.Join(dir, name), flags, 0o666)
		if err == nil {
			pruneTFLogs(dir)
			return file, nil
		}
	}
	// O_EXCL: in a folder of all users the name may lead elsewhere.
	return os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("galaxy-%08x-%s", rand.Uint32(), name)), flags|os.O_EXCL, 0o666)
}

// pruneTFLogs keeps the newest logs of dir. A log whose process still runs stays
// however old it is: that of a long training must not vanish under it. What cannot
// be removed is left to the next run.
func pruneTFLogs(dir string) {
	paths, err := filepath.Glob(filepath.Join(dir, "*-*.log"))
	if err != nil {
		return
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(b, a) }) // names begin with the time
	for _, path := range paths[min(tfLogsKept, len(paths)):] {
		_, pid, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".log"), "-")
		_, pid, _ = strings.Cut(pid, "-")
		if n, err := strconv.Atoi(pid); err == nil && syscall.Kill(n, 0) == nil {
			continue
		}
		_ = os.Remove(path)
	}
}

// tfMessage is one message of TensorFlow's log.
type tfMessage struct {
	severity byte   // 'I', 'W', 'E' or 'F'
	source   string // "file.cc:12"
	text     string
}

// The two forms of a message's first line, absl's and the older one:
//
//	W0000 00:00:1795490776.644756   20863 local_rendezvous.cc:412] Local rendezvous …
//	2026-11-24 03:00:00.123456: W tensorflow/core/framework/local_rendezvous.cc:412] Local rendezvous …
var (
	abslLine = regexp.MustCompile(`^([IWEF])\d{4} \d\d:\d\d:[\d.]+ +\d+ ([^ \]]+:\d+)\] ?(.*)$`)
	tslLine  = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: ([IWEF]) ([^ \]]+:\d+)\] ?(.*)$`)
)

// parseTFMessage reads the first line of a message; false means that line is
// something else, such as the second line of one.
func parseTFMessage(line string) (tfMessage, bool) {
	for _, form := range []*regexp.Regexp{abslLine, tslLine} {
		if m := form.FindStringSubmatch(line); m != nil {
			return tfMessage{severity: m[1][0], source: filepath.Base(m[2]), text: strings.TrimSpace(m[3])}, true
		}
	}
	return tfMessage{}, false
}

// tfKnown are messages whose own severity says the wrong thing. The first that fits
// decides. An empty say means: not worth the user's attention.
var tfKnown = []struct{ source, text, say string }{
	// The call that failed returns the same error, and we report that one.
	{"op_kernel.cc", "OP_REQUIRES failed", ""},
	{"local_rendezvous.cc", "Local rendezvous is aborting", ""},
	{"executor.cc", "Executor start aborting", ""},
	// The step that a worker's end breaks off returns the same error.
	{"ring_alg.cc", "Aborting", ""},
	{"base_collective_executor.cc", "StartAbort", ""},
	// prepare names broken images by their ids.
	{"jpeg_mem.cc", "", ""},
	// The CUDA build on a machine without a GPU: normal, but the user should know.
	{"", "failed call to cuInit", noGPU},
	{"", "Could not find cuda drivers", noGPU},
	{"", "Cannot dlopen some GPU libraries", "some of NVIDIA's libraries could not be loaded, so no GPU is used; `galaxy doctor` says which"},
	// Known noise of the CUDA build, in every program that uses it.
	{"", "Unable to register cu", ""},
	{"computation_placer.cc", "already registered", ""},
	{"", "TF-TRT Warning", ""},
}

const noGPU = "no usable NVIDIA GPU was found, so the CPU is used; `galaxy doctor` says more"

// foreignLine fits lines without a message's head that tell of an end: the C++ and C
// libraries' own, and NCCL's warnings.
var foreignLine = regexp.MustCompile(`^terminate called|^  what\(\):|^(double free|free\(\)|malloc\(|munmap_chunk|corrupted )|NCCL WARN`)

// stackLine fits the stack trace of a failed check, which only its makers can
// read: it stays in the log.
var stackLine = regexp.MustCompile(`^\s*(\*\*\* Check failure stack trace|@ +0x)`)

// classifyTFMessage decides what is shown of a message, and whether anything is.
func classifyTFMessage(m tfMessage) (string, bool) {
	for _, k := range tfKnown {
		if strings.HasPrefix(m.source, k.source) && strings.Contains(m.text, k.text) {
			return "tensorflow: " + k.say, k.say != ""
		}
	}
	word := map[byte]string{'W': "warning", 'E': "error", 'F': "fatal"}[m.severity]
	if word == "" {
		return "", false
	}
	return fmt.Sprintf("tensorflow: %s: %s (%s)", word, m.text, m.source), true
}

// tfFilter turns the log's lines into what the user sees. Each message is shown
// once: TensorFlow repeats some of them at every step.
type tfFilter struct {
	shown     map[string]bool // by what was shown, or by the place in the source
	following bool            // the last message was shown, so its further lines are too
}

// line returns what is to be shown for one line of the log, and whether anything is.
func (f *tfFilter) line(line string) (string, bool) {
	message, isFirst := parseTFMessage(line)
	if !isFirst {
		if foreignLine.MatchString(line) {
			return "tensorflow: " + strings.TrimSpace(line), true
		}
		if !f.following || strings.TrimSpace(line) == "" || stackLine.MatchString(line) || strings.HasPrefix(line, "WARNING: All log messages before") {
			return "", false
		}
		return "  " + strings.TrimSpace(line), true
	}
	text, matters := classifyTFMessage(message)
	key := message.source
	if strings.HasPrefix(text, "tensorflow: "+noGPU) {
		key = noGPU // several places say it
	}
	f.following = matters && !f.shown[key]
	if !f.following {
		return "", false
	}
	if f.shown == nil {
		f.shown = make(map[string]bool)
	}
	f.shown[key] = true
	return text, true
}
