package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"galaxy/train"
	"galaxy/train/checkpoint"
)

// node is a file or folder of a file system of which it is known what is on the disk.
type node struct {
	folder       bool
	now, synced  map[string]*node // a folder's entries, and those on the disk
	size, stored int              // a file's bytes, and those on the disk
	data         []byte           // the first of them
	path         string           // where it is in the end, "" for nowhere
}

func newFolder() *node {
	return &node{folder: true, now: map[string]*node{}, synced: map[string]*node{}}
}

// recorded is the file system below root as a process changes it.
type recorded struct {
	root   string
	folder *node
}

// at finds a node, and the folder and the name it has in there; nil, where there is
// none, or outside root.
func (r recorded) at(path string) (n, parent *node, name string) {
	rel, err := filepath.Rel(r.root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, nil, ""
	}
	if rel == "." {
		return r.folder, nil, ""
	}
	n = r.folder
	for part := range strings.SplitSeq(rel, "/") {
		if n == nil || !n.folder {
			return nil, nil, ""
		}
		n, parent, name = n.now[part], n, part
	}
	return n, parent, name
}

// traced are the calls that strace writes down for replay.
const traced = "open,openat,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,ftruncate,truncate,rename,renameat,renameat2," +
	"unlink,unlinkat,rmdir,fsync,fdatasync,link,linkat,symlink,symlinkat,copy_file_range,sendfile,fallocate"

// call is one of them that went well.
type call struct {
	name string
	args []string
	got  int
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$`)
	unfinished  = " <unfinished ...>"
	hexEncoded  = regexp.MustCompile(`(?:\\x[0-9a-f]{2})+`)
	returnValue = regexp.MustCompile(`^(.*)\) += (-?\d+)`)
)

func decodeHex(text string) string {
	return hexEncoded.ReplaceAllStringFunc(text, func(s string) string {
		raw, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
		if err != nil {
			panic(err) // the expression has let nothing else pass
		}
		return string(raw)
	})
}

// calls reads what strace -xx -y has written, in the order in which the calls ended.
func calls(t *testing.T, trace string) (all []call) {
	t.Helper()
	begun := map[string]string{} // by thread
	for line := range strings.Lines(trace) {
		m := callLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // a signal, or the end of a thread
		}
		thread, name, rest := m[1], m[2]+m[3], m[4]
		if before, cut := strings.CutSuffix(rest, unfinished); cut {
			begun[thread] = before
			continue
		}
		if m[2] != "" {
			rest = begun[thread] + rest
		}
		if m = returnValue.FindStringSubmatch(rest); m == nil {
			t.Fatalf("line of strace %q", line)
		}
		got, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if got >= 0 {
			all = append(all, call{name, strings.Split(m[1], ", "), got})
		}
	}
	return all
}

// path is the path in argument i: that of a descriptor, or, after that of a folder, a
// name.
func (c call) path(root string, i int) string {
	arg := c.args[i]
	if from := strings.Index(arg, "<"); from >= 0 && !strings.HasPrefix(arg, `"`) {
		return decodeHex(strings.TrimSuffix(arg[from+1:], ">"))
	}
	name := decodeHex(strings.Trim(arg, `"`))
	if filepath.IsAbs(name) {
		return name
	}
	if i > 0 && strings.Contains(c.args[i-1], "<") {
		return filepath.Join(c.path(root, i-1), name)
	}
	return filepath.Join(root, name)
}

// apply makes the change of a call, and tells whether there is any.
func (r recorded) apply(t *testing.T, c call) bool {
	t.Helper()
	file := func(i int) (n, parent *node, name string) { return r.at(c.path(r.root, i)) }
	switch c.name {
	case "open", "openat":
		i := len(c.name) / len("openat") // open has no folder
		flags := c.args[i+1]
		n, parent, name := file(i)
		if parent == nil || !strings.Contains(flags, "O_CREAT") && !strings.Contains(flags, "O_TRUNC") {
			return false
		}
		if n == nil {
			parent.now[name] = &node{}
		} else if strings.Contains(flags, "O_TRUNC") {
			n.size, n.data = 0, nil
		}
	case "mkdir", "mkdirat":
		_, parent, name := file(len(c.args) - 2)
		if parent == nil {
			return false
		}
		parent.now[name] = newFolder()
	case "write":
		n, _, _ := file(0)
		if n == nil {
			return false
		}
		if data := c.args[1]; len(n.data) == n.size && !strings.HasSuffix(data, "...") {
			n.data = append(n.data, decodeHex(strings.Trim(data, `"`))...)
		}
		n.size += c.got
	case "ftruncate":
		n, _, _ := file(0)
		size, err := strconv.Atoi(c.args[1])
		if n == nil || err != nil {
			return false
		}
		n.size, n.data = size, n.data[:min(len(n.data), size)]
	case "rename", "renameat", "renameat2":
		from, to := 0, 1
		if c.name != "rename" {
			from, to = 1, 3
		}
		n, parent, name := file(from)
		if n == nil {
			return false
		}
		_, newParent, newName := file(to)
		delete(parent.now, name)
		newParent.now[newName] = n
	case "unlink", "rmdir", "unlinkat":
		i := min(1, len(c.args)-1)
		if n, parent, name := file(i); n != nil {
			delete(parent.now, name)
		}
	case "fsync", "fdatasync":
		n, _, _ := file(0)
		if n == nil {
			return false
		}
		if n.folder {
			n.synced = maps.Clone(n.now)
		} else {
			n.stored = n.size
		}
	default:
		for i := range c.args {
			if strings.Contains(c.args[i], "<") || strings.HasPrefix(c.args[i], `"`) {
				if n, _, _ := file(i); n != nil && n != r.folder {
					t.Fatalf("%s of %s: the replay does not know it", c.name, c.path(r.root, i))
				}
			}
		}
		return false
	}
	return true
}

// left is what a power cut leaves: entries of a folder and bytes of a file.
type left struct {
	path string
	node *node
	size int
}

// crash lists what is left below a node when all is lost that was not synced, or, with
// names, all but the names of files.
func crash(n *node, path string, names bool) (all []left) {
	all = append(all, left{path, n, n.stored})
	entries := n.synced
	if names {
		entries = n.now
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		all = append(all, crash(entries[name], path+"/"+name, names)...)
	}
	return all
}

// place notes where every node is.
func (n *node) place(path string) {
	n.path = path
	for name, child := range n.now {
		child.place(filepath.Join(path, name))
	}
}

// make makes real what is left, below a folder.
func (l left) make(dir string) error {
	to := filepath.Join(dir, l.path)
	if l.node.folder {
		return os.Mkdir(to, 0o777)
	}
	if l.size <= len(l.node.data) {
		return os.WriteFile(to, l.node.data[:l.size], 0o666)
	}
	if l.node.path == "" {
		return fmt.Errorf("%s was removed, and its content is not known", l.path)
	}
	if l.size == l.node.size {
		return os.Link(l.node.path, to)
	}
	raw, err := os.ReadFile(l.node.path)
	return cmp.Or(err, os.WriteFile(to, raw[:l.size], 0o666))
}

// A power cut at any moment leaves a run that can be gone on with: its writes and syncs
// are recorded, and after each of them what had not been synced by then is taken away.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: it goes on from every state of the files; package durable has what makes them safe")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if raw, err := exec.Command(strace, "true").CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %v: %s", err, raw)
	}
	b := newWorkbench(t)
	const steps = 8
	run := training("run", steps, "--checkpoint-every", "3")
	c, _, stderr := b.command()
	c.Path = strace
	c.Args = append([]string{"strace", "-f", "-y", "-qq", "-xx", "-s", "16384", "-o", "trace", "-e", "trace=" + traced, "galaxy"}, slices.Replace(run, len(run)-3, len(run)-2, "99")...)
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	root, err := filepath.EvalSymlinks(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	r := recorded{root, newFolder()}
	type state struct {
		left  []left
		names bool
		after string
	}
	var states []state
	seen := map[string]bool{}
	all := calls(t, b.read("trace"))
	for i, c := range all {
		if !r.apply(t, c) {
			continue
		}
		for names, entries := range map[bool]map[string]*node{false: r.folder.synced, true: r.folder.now} {
			run, ok := entries["run"]
			if !ok {
				continue
			}
			s := state{crash(run, "", names), names, fmt.Sprintf("after call %d, %s", i, c.name)}
			if key := fmt.Sprint(names, s.left); !seen[key] {
				seen[key] = true
				states = append(states, s)
			}
		}
	}
	r.folder.place(r.root)
	if recorded, is := r.sizes("run"), b.sizes("run"); len(is) == 0 || !maps.Equal(recorded, is) {
		t.Fatalf("the record makes the files %v, but there are %v", recorded, is)
	}
	want, resumed := b.outcome("run"), 0
	latest := map[bool]int64{}
	for n, s := range states {
		dir := b.path("cut")
		for _, l := range s.left {
			if err := l.make(dir); err != nil {
				t.Fatal(err)
			}
		}
		at := s.after
		if _, err := train.ReadConfig(dir); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		store := checkpoint.Open(filepath.Join(dir, "checkpoints"))
		c, damaged, err := store.Latest()
		switch {
		case errors.Is(err, checkpoint.ErrNone) && latest[s.names] == 0:
		case err != nil || damaged != nil || c.State.Step < latest[s.names]:
			t.Errorf("%s: the latest checkpoint is %v, %v, %v; before, it was that of step %d", at, c, damaged, err, latest[s.names])
		default:
			latest[s.names] = c.State.Step
			for name, was := range c.State.Files {
				if is, err := checkpoint.FileAt(filepath.Join(dir, name), was.Size); err != nil || is != was {
					t.Errorf("%s: %s is %v, %v, but %v in the checkpoint", at, name, is, err, was)
				}
			}
		}
		if _, err := store.Best(); err != nil && !errors.Is(err, checkpoint.ErrNone) {
			t.Errorf("%s: the best checkpoint: %v", at, err)
		}
		if n%max(1, len(states)/4) == 1 {
			resumed++
			b.galaxy(exitOK, training("cut", 8, "--checkpoint-every", "3", "--resume")...)
			b.wantOutcome("cut", want)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if latest[false] != 8 || latest[true] != 8 {
		t.Errorf("in the end the latest checkpoint is that of step %v, expected 8", latest)
	}
	t.Logf("%d states that a power cut can leave, all sound; %d were gone on with, to the uncut end", len(states), resumed)
}

// sizes are those of the files below a folder.
func (r recorded) sizes(folder string) map[string]int64 {
	out := map[string]int64{}
	var walk func(n *node)
	walk = func(n *node) {
		if !n.folder {
			out[strings.TrimPrefix(n.path, r.root)] = int64(n.size)
		}
		for _, child := range n.now {
			walk(child)
		}
	}
	if n, _, _ := r.at(filepath.Join(r.root, folder)); n != nil {
		walk(n)
	}
	return out
}

// diskVariable tells the test binary that it has mounts of its own.
const diskVariable = "GALAXY_TEST_DISK"

// A disk that is full at any write ends a command with an error, the state before it is
// there, and with more space it goes on.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it trains again and again, on disks that are full")
	}
	t.Parallel()
	if os.Getenv(diskVariable) == "" {
		unshare, err := exec.LookPath("unshare")
		if err != nil {
			t.Skip("unshare is not installed")
		}
		if raw, err := exec.Command(unshare, "-rm", "mount", "-t", "tmpfs", "none", "/mnt").CombinedOutput(); err != nil {
			t.Skipf("no file system can be mounted here: %v: %s", err, raw)
		}
		args := []string{"-rm", os.Args[0], "-test.run=^TestFullDisk$", "-test.v", fmt.Sprintf("-test.timeout=%v", flag.Lookup("test.timeout").Value), fmt.Sprintf("-disks=%d", *tortureDisks), fmt.Sprintf("-full=%v", *tortureFull)}
		c := exec.CommandContext(t.Context(), unshare, args...)
		c.Env = append(os.Environ(), diskVariable+"=1")
		raw, err := c.CombinedOutput()
		for line := range strings.Lines(string(raw)) {
			if _, told, ok := strings.Cut(line, ".go:"); ok || err != nil {
				t.Log(strings.TrimSpace(cmp.Or(told, line)))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	b := newWorkbench(t)
	if err := os.Mkdir(b.path("disk"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", b.path("disk"), "tmpfs", 0, "size=4g"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(b.path("disk"), 0); err != nil {
			t.Error(err)
		}
	}()
	// A size of 0 would be no limit.
	if err := os.WriteFile(b.path("disk", "filler"), make([]byte, page), 0o666); err != nil {
		t.Fatal(err)
	}
	b.fullWhileTraining()
	b.fullElsewhere()
}

const page = 4096

// room leaves so many free bytes on the disk.
func (b *workbench) room(free int) {
	b.t.Helper()
	var s unix.Statfs_t
	err := unix.Statfs(b.path("disk"), &s)
	used := int(s.Blocks-s.Bfree) * int(s.Bsize)
	if err == nil {
		err = unix.Mount("none", b.path("disk"), "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+free))
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *workbench) fullWhileTraining() {
	t := b.t
	b.galaxy(exitOK, training("uncut", 8)...)
	want := b.outcome("uncut")
	before := b.stopped("half", 8, 4)
	info, err := os.Stat(b.path("half", "checkpoints", strings.TrimSpace(b.read("half", "checkpoints", "LATEST")), "variables.data-00000-of-00001"))
	if err != nil {
		t.Fatal(err)
	}
	values := (int(info.Size()) + page - 1) / page
	var rooms []int // pages: small files are one page each, folders none
	for i := range 8 {
		rooms = append(rooms, i)
	}
	for i := range 20 {
		rooms = append(rooms, values-4+i, 2*values-4+i)
	}
	for range 6 {
		rooms = append(rooms, b.r.IntN(3*values))
	}
	b.r.Shuffle(len(rooms), func(i, j int) { rooms[i], rooms[j] = rooms[j], rooms[i] })
	if *tortureDisks > 0 {
		rooms = append(rooms[:*tortureDisks], 0)
	}
	full, sufficed := 0, 0
	for _, pages := range rooms {
		b.room(4 << 30)
		if raw, err := exec.Command("cp", "-r", b.path("half"), b.path("disk", "run")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		b.room(pages * page)
		code, _, stderr := b.try("train", "--out", "disk/run", "--resume")
		if code == exitOK {
			sufficed++
		} else {
			full++
			if code != exitFailed || !strings.Contains(strings.ToLower(stderr), "no space left on device") || strings.Contains(stderr, "out of memory") {
				t.Errorf("%d pages: exit code %d\n%s", pages, code, stderr)
			}
			if c, damaged, err := checkpoint.Open(b.path("disk", "run", "checkpoints")).Latest(); err != nil || damaged != nil || c.State.Step < before {
				t.Errorf("%d pages: the latest checkpoint is %v, %v, %v; before, it was that of step %d", pages, c, damaged, err, before)
			}
			if *tortureDisks > 0 {
				t.Logf("%d pages: %s", pages, lastLine(stderr))
			}
		}
		b.room(4 << 30)
		b.galaxy(exitOK, "train", "--out", "disk/run", "--resume")
		b.wantOutcome("disk/run", want)
		if err := os.RemoveAll(b.path("disk", "run")); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("train: the disk was full %d times and sufficed %d times; with more space all went on to the uncut end", full, sufficed)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// fullElsewhere fills the disk below the other commands that write.
func (b *workbench) fullElsewhere() {
	t := b.t
	for _, c := range []struct {
		out  string
		args []string
	}{
		{"disk/drawn", []string{"synth", "--count", "60", "--seed", "7"}},
		{"disk/prepared", []string{"prepare", "--labels", "data/training_solutions_rev1.csv", "--images", "data/images_training_rev1", "--size", "128"}},
		{"disk/model", []string{"export", "--run", "uncut"}},
		{"disk/answers.csv", []string{"predict", "--model", "uncut", "--images", "data/images_training_rev1"}},
	} {
		name := c.args[0]
		b.room(4 << 30)
		b.galaxy(exitOK, append(c.args, "--out", c.out)...)
		want := b.files(c.out)
		size := 0
		for _, bytes := range b.sizes(c.out) {
			size += (int(bytes) + page - 1) / page * page
		}
		b.remove(c.out)
		frees := []int{0, page, b.r.IntN(size - page), size / 2 / page * page, size - page}
		if *tortureDisks > 0 {
			b.r.Shuffle(len(frees), func(i, j int) { frees[i], frees[j] = frees[j], frees[i] })
			frees = frees[:2]
		}
		for _, free := range frees {
			b.room(free)
			code, _, stderr := b.try(append(c.args, "--out", c.out)...)
			if code != exitFailed || !strings.Contains(strings.ToLower(stderr), "no space left on device") {
				t.Errorf("%s with %d of %d bytes: exit code %d\n%s", name, free, size, code, stderr)
			}
			if _, err := os.Lstat(b.path(c.out)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s with %d of %d bytes: there is something at --out, %v", name, free, size, err)
			}
			b.room(4 << 30)
			b.galaxy(exitOK, append(c.args, "--out", c.out)...)
			if got := b.files(c.out); !maps.Equal(got, want) {
				t.Errorf("%s with %d of %d bytes, and then with all: %v, expected %v", name, free, size, got, want)
			}
			b.remove(c.out)
			if entries, err := os.ReadDir(b.path("disk")); err != nil || len(entries) > 1 {
				t.Errorf("%s with %d of %d bytes: %v is left, %v", name, free, size, entries, err)
			}
		}
		t.Logf("%s: the disk was full %d times; with more space the result was that of a free disk", name, len(frees))
	}
}
