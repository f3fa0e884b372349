// Package durable writes outputs that are there whole or not at all.
//
// Folder and WriteFile do their work under a temporary name in the same folder
// as the output, wait until all of it is on the disk, and only then give it its
// name, for a rename is atomic within a file system. After a crash or a power
// cut at any moment the name stands either for the whole output or for what it
// stood for before. What a process that was killed leaves behind is a hidden
// .NAME.tmp-… (of Folder) or .NAME.tmp (of WriteFile), which may be deleted, or
// NAME.partial (of Continue), which the next call goes on with.
//
// All of this trusts the disk to have stored what it says it has. A file system
// that does not offer to sync or to lock, as some network ones, is taken as it is.
// Every file and folder is made with the permissions that the umask leaves.
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
)

// Vacant returns nil if an output can be made at path: nothing, not even a
// dangling link, is there, and the nearest folder above it that exists can be
// written to. Every error names the path and says what to do.
//
// It is meant to be asked before long work. It promises nothing about later:
// Folder asks again.
func Vacant(path string) error {
	if path == "" {
		return errors.New("no output given; name one with --out")
	}
	path = filepath.Clean(path)
	_, missing := os.Lstat(path)
	if missing == nil {
		return fmt.Errorf("%s exists already; choose another name or remove it first", path)
	}
	// The cause lies with a folder above, if not just the output is missing.
	dir := path
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s cannot be made, since %s is not a folder; choose another --out", path, dir)
		case err == nil:
			if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
				return unwritable(path, dir, err)
			}
			if !errors.Is(missing, fs.ErrNotExist) { // whether it is missing is not known
				return unwritable(path, dir, missing)
			}
			return nil
		case isLink(dir):
			return fmt.Errorf("%s cannot be made, since %s is a link to nowhere; choose another --out or mend the link", path, dir)
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
	return fmt.Errorf("%s cannot be made: %w; choose another --out or make %s writable", path, err, dir)
}

// Folder makes the folder out, and those above it, with what fill writes into
// the empty folder dir. fill need not sync anything and must not keep anything
// open for writing. out appears, with the permissions of an ordinary new
// folder, when fill has returned nil and everything in it is on the disk.
//
// What exists already, even an empty folder, is refused as by Vacant, before
// fill is called and, since another process may have made it meanwhile, again
// afterwards. On an error, which for one of fill's is that one, nothing of the
// new folder is left; only where the very last step fails, to sync the folder
// above, out stands already, and the error says so.
func Folder(out string, fill func(dir string) error) (err error) {
	parent, oldest, err := makeParent(out)
	if err != nil {
		return err
	}
	// Not os.MkdirTemp, whose folders are closed to the group, which could then not
	// remove what a crash leaves.
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

// Remove removes a folder, if it is there. Its name stands for the whole folder until it
// stands for nothing: readers find all of it or none. What a process that is killed leaves,
// and on NFS what somebody still has open, is a hidden .removed-NAME-…, for a later call.
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

// Files of a partial folder: what is being made in it, and what is locked.
const (
	planName = "PLAN"
	lockName = "LOCK"
)

// PartialFolder is the name under which Continue works on out.
func PartialFolder(out string) string { return filepath.Clean(out) + ".partial" }

// Continue is Folder for long work, and for an output that is a file as well:
// what an earlier call has left unfinished is gone on with. fill makes the
// output at path, in PartialFolder(out), and may keep other files beside it.
// They stay there when fill returns an error or the process dies, and go when
// the output is moved to out. plan, JSON, says what is being made: begun is true if
// the folder holds work on the very same plan, else it is empty. Not all of what a
// power cut leaves need have reached the disk: fill has to check what it goes on
// with.
//
// Where the folder holds work on another plan, other is asked before it is removed,
// and told what that plan has in place of what is asked for, "" where it cannot be
// read: its error ends the call. It is also an error if another process works on the
// folder, or if it is not one that a call has left. notice is that of Lock.
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
		return err // the work is there, whatever hides it
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

// changes says what another plan has in place of what is asked for, "" where it is no
// plan at all.
func changes(was, asked []byte) string {
	before, now := map[string]string{}, map[string]string{}
	if flatten(before, "", was) != nil || flatten(now, "", asked) != nil {
		return ""
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if before[name] != now[name] {
			all = append(all, fmt.Sprintf("%s %s (asked for is %s)", name, before[name], cmp.Or(now[name], "none")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := before[name]; !ok {
			all = append(all, fmt.Sprintf("no %s (asked for is %s)", name, now[name]))
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

// checkOurs refuses a partial folder that holds what no call has left there: no plan, and
// more than what comes before it.
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
		return fmt.Errorf("%s holds %s and no %s, so that it is not what an earlier call has left; move it away, or choose another --out", partial, foreign, planName)
	}
	return nil
}

// begin makes a partial folder of plan, empty but for the lock.
//
// There is a plan at all times, if an empty one, so that a folder without is
// known not to be ours; and the new one comes last, so that it never stands
// beside the work on another.
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

// ErrLocked is that of Lock where another process holds the lock.
var ErrLocked = errors.New("wait for it, or stop it")

// Lock locks the file at path, which is made where there is none, against other processes
// that lock it, until the result is closed or the process ends. Where the file system has
// no locks, notice is told in a sentence what is not guarded: that is no reason not to work,
// and a file in the place of a lock would outlive a crash.
func Lock(path string, notice func(sentence string)) (*os.File, error) {
	// For writing: NFS makes of flock a lock of bytes, which others cannot be had of.
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
	if noLocks(err) { // some file systems have but the other kind
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

// noLocks tells whether an error of a lock is that the file system has none of the kind.
func noLocks(err error) bool {
	return slices.ContainsFunc([]error{unix.EBADF, unix.ENOSYS, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL}, func(no error) bool { return errors.Is(err, no) })
}

// IsSystem tells whether err is that of a system call, and so of the machine (its disks, its
// network, its limits, its permissions), rather than about what a file holds.
func IsSystem(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number)
}

// Unread tells whether err is that the machine failed to read a file that is there, as far
// as it knows: what the file holds is then unknown, and not damaged.
func Unread(err error) bool { return IsSystem(err) && !errors.Is(err, fs.ErrNotExist) }

// makeParent makes the folders above out, which must be vacant. oldest is the
// last of them that was there before: those below are new entries that have to
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

// publish gives the finished file or folder made its name.
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

// syncers is how many files are synced at a time: a journal then stores many
// together, which is far quicker than one by one.
const syncers = 16

// syncTree syncs a file, or every file and folder of a folder and it itself.
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
		err = nil // what fsync answers where there is nothing it could do
	}
	return err
}

// ReadFile reads a file of at most so many bytes, rather than fill the memory with one
// that cannot be what it is taken for, or wait for a pipe.
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

// ErrTooLarge is the error of a file that ReadFile has not read.
var ErrTooLarge = errors.New("it is not what it is taken for")

// MaxText is the size that ReadFile takes for files of settings, which people may edit.
const MaxText = 16 << 20

// tempFile is where WriteFile writes.
func tempFile(path string) string {
	dir, name := filepath.Split(filepath.Clean(path))
	return filepath.Join(dir, "."+name+".tmp")
}

// WriteFile makes path a file of data, in place of one that may be there, with
// the permissions of an ordinary new file. On an error the old file stands.
// There must be one writer of a path at a time, because the temporary name is
// always the same: a crash then leaves one file at most.
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
