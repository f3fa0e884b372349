// Package durable writes atomic outputs: files and folders that are complete or absent.
//
// Folder and WriteFile work under a temporary name in the same folder as the output. They
// wait until everything is on the disk, and only then rename it, which is atomic within a
// file system. After a crash or a power cut at any moment, the name leads either to the
// complete output or to the old one. A killed process leaves a hidden .NAME.tmp-… (by
// Folder) or .NAME.tmp (by WriteFile), which may be deleted, or NAME.partial (by
// Continue), which the next call resumes.
//
// All of this trusts the disk to have stored what it reports as stored. If a file system
// cannot sync or lock, as some network file systems, this package works without.
// Every file and folder gets the permissions that the umask allows.
package durable

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"galaxy/internal/usage"
)

// Vacant returns nil if an output can be made at path: nothing exists there, not even a
// dangling link, and the nearest existing folder above it is writable. Every error names
// the path and what to do.
//
// Call it before long work. It promises nothing about later: Folder checks again.
func Vacant(path string) error {
	if path == "" {
		return usage.Errorf("no output given; name one: {out}")
	}
	path = filepath.Clean(path)
	_, missing := os.Lstat(path)
	if missing == nil {
		return fmt.Errorf("%s exists already; choose another name or remove it first", path)
	}
	// If more than the output is missing, the cause is a folder above it.
	dir := path
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return usage.Errorf("%s cannot be made, since %s is not a folder; choose another place", path, dir)
		case err == nil:
			if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
				return unwritable(path, dir, err)
			}
			if !errors.Is(missing, fs.ErrNotExist) { // whether it is missing is not known
				return unwritable(path, dir, missing)
			}
			return nil
		case isLink(dir):
			return usage.Errorf("%s cannot be made, since %s is a link to nowhere; choose another place or fix the link", path, dir)
		}
	}
	return unwritable(path, filepath.Dir(path), missing)
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// unwritable adds advice to the reason why path cannot be made in dir.
func unwritable(path, dir string, err error) error {
	return usage.Errorf("%s cannot be made: %w; choose another place or make %s writable", path, err, dir)
}

// Folder makes the folder out, and the folders above it, with the files that fill writes
// into the empty folder dir. fill need not sync anything and must not keep anything
// open for writing. out appears, with the permissions of an ordinary new
// folder, when fill has returned nil and everything in it is on the disk.
//
// If out exists, even as an empty folder, Folder fails as Vacant does: before fill is
// called and again afterwards, since another process may have made it meanwhile. An error
// of fill is returned as it is. After an error nothing of the new folder is left, with one
// exception: if the last step fails, the sync of the folder above, out exists already, and
// the error says so.
func Folder(out string, fill func(dir string) error) (err error) {
	parent, oldest, err := makeParent(out)
	if err != nil {
		return err
	}
	// Not os.MkdirTemp: the group cannot write to its folders, and so could not remove
	// them after a crash.
	var dir string
	for err = fs.ErrExist; errors.Is(err, fs.ErrExist); {
		dir = filepath.Join(parent, fmt.Sprintf(".%s.tmp-%08x", filepath.Base(out), rand.Uint32()))
		err = os.Mkdir(dir, 0o777)
	}
	if err != nil {
		return unwritable(out, parent, err)
	}
	defer func() {
		if removed := os.RemoveAll(dir); removed != nil {
			err = errors.Join(err, fmt.Errorf("remove temporary folder: %w", removed))
		}
	}()
	if err := fill(dir); err != nil {
		return err
	}
	return publish(dir, out, oldest)
}

// Remove removes a folder, if it exists. Readers find either the complete folder or nothing.
// A killed process, and on NFS a file that is still open, leaves a hidden .removed-NAME-…
// for a later call.
func Remove(path string) error {
	dir, name := filepath.Split(filepath.Clean(path))
	if !strings.HasPrefix(name, ".") {
		hidden := filepath.Join(dir, fmt.Sprintf(".removed-%s-%08x", name, rand.Uint32()))
		if err := os.Rename(path, hidden); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		path = hidden
	}
	err := os.RemoveAll(path)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		err = nil
	}
	return err
}

// Files of a partial folder: the plan of what is being made, and the locked file.
const (
	planName = "PLAN"
	lockName = "LOCK"
)

// PartialFolder returns the folder in which Continue works on out.
func PartialFolder(out string) string { return filepath.Clean(out) + ".partial" }

// Continue is Folder for long work, and for an output that may be a file: it resumes the
// unfinished work of an earlier call. fill makes the output at path, in
// PartialFolder(out), and may keep other files in that folder. The folder stays when fill
// returns an error or the process dies. It is removed when the output is moved to out.
//
// plan is JSON and describes what is being made. begun is true if the folder holds work on
// exactly this plan; otherwise the folder is empty. After a power cut some of that work may
// not have reached the disk, so fill has to check what it reuses.
//
// If the folder holds work on another plan, Continue calls other before it removes it, with
// the differences, or "" if that plan cannot be read. An error of other ends the call. It
// is also an error if another process works on the folder, or if the folder was not made
// by an earlier call. notice is used as by Lock.
func Continue(out string, plan []byte, notice func(sentence string), other func(changes string) error, fill func(path string, begun bool) error) error {
	_, oldest, err := makeParent(out)
	if err != nil {
		return err
	}
	partial := PartialFolder(out)
	if err := os.Mkdir(partial, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return unwritable(out, filepath.Dir(partial), err)
	}
	if info, err := os.Lstat(partial); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is in the way: it is not a folder; remove it", partial)
	}
	if err := checkOurs(partial); err != nil {
		return err
	}
	lock, err := Lock(filepath.Join(partial, lockName), notice)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := Vacant(out); err != nil { // another process may have ended with the lock
		return err
	}
	path, planFile := filepath.Join(partial, filepath.Base(out)), filepath.Join(partial, planName)
	was, err := ReadFile(planFile, MaxText)
	if Unread(err) {
		return err // the work may be intact, although it cannot be read
	}
	begun := err == nil && bytes.Equal(was, plan)
	if len(was) > 0 && !begun {
		if err := other(changes(was, plan)); err != nil {
			return err
		}
	}
	if !begun {
		if err := begin(partial, plan); err != nil {
			return fmt.Errorf("begin %s: %w", partial, err)
		}
	}
	if err := fill(path, begun); err != nil {
		return err
	}
	if err := publish(path, out, oldest); err != nil {
		return err
	}
	// First: on NFS a folder with an open file cannot be removed.
	return errors.Join(lock.Close(), os.RemoveAll(partial))
}

// changes lists what differs between another plan and the requested one, "" if the other is
// not a plan.
func changes(was, asked []byte) string {
	before, now := map[string]string{}, map[string]string{}
	if flatten(before, "", was) != nil || flatten(now, "", asked) != nil {
		return ""
	}
	short := func(value string) string { // a list of names would hide the other changes
		const most = 60
		if r := []rune(strings.Join(strings.Fields(value), " ")); len(r) > most {
			return string(r[:most]) + "…"
		}
		return value
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if before[name] != now[name] {
			all = append(all, fmt.Sprintf("%s %s (asked for is %s)", name, short(before[name]), cmp.Or(short(now[name]), "none")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := before[name]; !ok {
			all = append(all, fmt.Sprintf("no %s (asked for is %s)", name, short(now[name])))
		}
	}
	const most = 3
	if len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, ", ")
}

// flatten fills to with the values in nested JSON objects, by their names with dots
// between them.
func flatten(to map[string]string, path string, raw []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		if path == "" {
			return errors.New("no JSON object")
		}
		to[path] = strings.TrimSpace(string(raw))
		return nil
	}
	for name, value := range object {
		if path != "" {
			name = path + "." + name
		}
		if err := flatten(to, name, value); err != nil {
			return err
		}
	}
	return nil
}

// checkOurs returns an error for a partial folder that was not made by a call: it has no
// plan, but more files than a call makes before the plan.
func checkOurs(partial string) error {
	entries, err := os.ReadDir(partial)
	if err != nil {
		return err
	}
	first := []string{lockName, filepath.Base(tempFile(planName))}
	foreign := ""
	for _, e := range entries {
		if e.Name() == planName {
			return nil
		}
		if !slices.Contains(first, e.Name()) {
			foreign = cmp.Or(foreign, e.Name())
		}
	}
	if foreign != "" {
		return usage.Errorf("%s holds %s and no %s, so that it is not what an earlier call has left; move it away, or choose another {out}", partial, foreign, planName)
	}
	return nil
}

// begin makes a partial folder of plan, empty except for the lock.
//
// The folder has a plan at all times, at first an empty one, so a folder without a plan
// was not made by a call. The new plan is written last, so it never describes the work on
// another plan.
func begin(partial string, plan []byte) error {
	planFile := filepath.Join(partial, planName)
	if err := WriteFile(planFile, nil); err != nil {
		return err
	}
	entries, err := os.ReadDir(partial)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != planName && e.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(partial, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return WriteFile(planFile, plan)
}

// ErrLocked is the error of Lock if another process holds the lock.
var ErrLocked = errors.New("wait for it, or stop it")

// Lock locks the file at path against other processes that lock it, until the result is
// closed or the process ends. It makes the file if needed. If the file system has no
// locks, Lock succeeds and passes notice a sentence about what is not guarded. It does not
// use a file in place of a lock, because that would outlive a crash.
func Lock(path string, notice func(sentence string)) (*os.File, error) {
	// For writing: NFS turns flock into a lock of bytes, which needs a writable file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		if read, failed := os.Open(path); failed == nil {
			f, err = read, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if noLocks(err) { // some file systems have only the other kind
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	}
	switch {
	case noLocks(err):
		notice(fmt.Sprintf("%s cannot be locked (%v): nothing keeps a second galaxy from the same work, so see to it that there is none", path, err))
		err = nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("another galaxy works on %s: %w", path, ErrLocked)
	case err != nil:
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// noLocks reports whether err means that the file system has no locks of this kind.
func noLocks(err error) bool {
	return slices.ContainsFunc([]error{unix.EBADF, unix.ENOSYS, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL}, func(no error) bool { return errors.Is(err, no) })
}

// IsSystem reports whether err comes from a system call, and so from the machine (its disks,
// network, limits or permissions), not from the contents of a file.
func IsSystem(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number)
}

// Unread reports whether err means that the machine failed to read a file that may exist. The
// contents of the file are then unknown, not damaged.
func Unread(err error) bool { return IsSystem(err) && !errors.Is(err, fs.ErrNotExist) }

// makeParent makes the folders above out, which must be vacant. oldest is the
// last of them that existed before: the folders below it are new entries that have to
// be synced, too.
func makeParent(out string) (parent, oldest string, err error) {
	if err := Vacant(out); err != nil {
		return "", "", err
	}
	parent = filepath.Dir(filepath.Clean(out))
	oldest = parent
	for !exists(oldest) && oldest != filepath.Dir(oldest) {
		oldest = filepath.Dir(oldest)
	}
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return "", "", unwritable(out, parent, err)
	}
	return parent, oldest, nil
}

// publish renames the finished file or folder made to out.
func publish(made, out, oldest string) error {
	if err := syncTree(made); err != nil {
		return err
	}
	// A rename would silently replace an empty folder.
	if err := Vacant(out); err != nil {
		return err
	}
	out = filepath.Clean(out)
	if err := os.Rename(made, out); err != nil {
		return err
	}
	for dir := filepath.Dir(out); ; dir = filepath.Dir(dir) {
		if err := Sync(dir); err != nil {
			return fmt.Errorf("%s is complete, but a power cut could still undo it: %w", out, err)
		}
		if dir == oldest {
			return nil
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// syncers is the number of files synced at a time: the file system's journal then
// stores many together, which is far quicker than one by one.
const syncers = 16

// syncTree syncs a file, or a folder with all its files and folders.
func syncTree(root string) error {
	var folders []string
	var files errgroup.Group
	files.SetLimit(syncers)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			folders = append(folders, path)
		case entry.Type().IsRegular():
			files.Go(func() error { return Sync(path) })
		}
		return nil
	})
	if err := errors.Join(err, files.Wait()); err != nil {
		return err
	}
	for _, path := range folders {
		if err := Sync(path); err != nil {
			return err
		}
	}
	return nil
}

// Sync waits until a file's data, or a folder's entries, are on the disk. A
// file system that cannot sync them is not an error.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return errors.Join(SyncFile(f), f.Close())
}

// SyncFile is Sync of an open file.
func SyncFile(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // fsync has nothing to do on this file system
	}
	return err
}

// ReadFile reads a file of at most `most` bytes. A larger file, which cannot be the expected
// one, is an error and does not fill the memory; so is a pipe, which it does not wait for.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a %s: expected a file", path, kind(info.Mode()))
	}
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s is larger than %d bytes: %w", path, most, ErrTooLarge)
	}
	return raw, err
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	}
	return "device"
}

// ErrTooLarge is the error of ReadFile for a file that is too large.
var ErrTooLarge = errors.New("it is not what it is taken for")

// MaxText is the largest size in bytes of a file of settings, which people may edit.
const MaxText = 16 << 20

// tempFile is where WriteFile writes.
func tempFile(path string) string {
	dir, name := filepath.Split(filepath.Clean(path))
	return filepath.Join(dir, "."+name+".tmp")
}

// WriteFile writes data to the file at path, with the permissions of an ordinary new file,
// and replaces an existing file atomically. After an error the old file is unchanged.
// A path must have one writer at a time, because the temporary name is always the
// same: a crash then leaves one file at most.
func WriteFile(path string, data []byte) (err error) {
	dir, temp := filepath.Dir(filepath.Clean(path)), tempFile(path)
	f, err := os.Create(temp)
	if err != nil {
		return unwritable(path, dir, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, SyncFile(f), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return Sync(dir)
}
