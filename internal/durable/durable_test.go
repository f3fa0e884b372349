package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// tree lists the entries below dir with the contents of files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, text := strings.TrimPrefix(path, dir+"/"), []byte("folder")
		if entry.Type().IsRegular() {
			text, err = os.ReadFile(path)
		}
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := tree(t, dir)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s holds %q, want %q", name, got[name], text)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is left behind", name)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

// refused tests the outputs that both Vacant and Folder reject.
func refused(t *testing.T, check func(out string) error) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
	link, nowhere := filepath.Join(dir, "link"), filepath.Join(dir, "nowhere")
	write(t, file, "precious")
	if err := errors.Join(os.Mkdir(folder, 0o777), os.Symlink(nowhere, link)); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for _, c := range []struct {
		name, out string
		want      []string
	}{
		{"nothing", "", []string{"name one: out"}},
		{"a file", file, []string{file + " exists already; choose another name"}},
		{"a folder", folder, []string{folder + " exists already"}},
		{"a folder with a slash", folder + "/", []string{folder + " exists already"}},
		{"a dangling link", link, []string{link + " exists already"}},
		{"below a file", filepath.Join(file, "out"), []string{file + " is not a folder", "another place"}},
		{"deep below a file", filepath.Join(file, "a", "b", "out"), []string{file + " is not a folder", "another place"}},
		{"below a dangling link", filepath.Join(link, "out"), []string{link + " is a link to nowhere", "another place"}},
		{"the working folder", ".", []string{". exists already"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, check(c.out), c.want...) })
	}
	t.Run("closed parent", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		closed := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		wantError(t, check(filepath.Join(closed, "out")), "permission denied", "another place or make "+closed+" writable")
		wantError(t, check(filepath.Join(closed, "a", "out")), "permission denied", "another place or make "+closed+" writable")
	})
	wantTree(t, dir, before)
}

func TestVacant(t *testing.T) {
	refused(t, Vacant)
	dir := t.TempDir()
	for _, out := range []string{"out", "a/b/out", "out/"} {
		if err := Vacant(filepath.Join(dir, out)); err != nil {
			t.Errorf("%s: %v", out, err)
		}
	}
	wantTree(t, dir, nil)
	t.Chdir(dir) // and a path without a folder
	if err := Vacant("out"); err != nil {
		t.Error(err)
	}
}

func TestFolderRefuses(t *testing.T) {
	refused(t, func(out string) error {
		return Folder(out, func(string) error {
			t.Error("filled")
			return nil
		})
	})
}

func TestFolder(t *testing.T) {
	for _, out := range []string{"out", "a/b/out", "a/b/../out/"} {
		t.Run(out, func(t *testing.T) {
			parent := t.TempDir()
			given := parent + "/" + out
			out := filepath.Clean(given)
			var worked string
			err := Folder(given, func(dir string) error {
				worked = dir
				if exists(out) {
					t.Error("the output is there before it is whole")
				}
				write(t, filepath.Join(dir, "one"), "1")
				if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
					return err
				}
				for i := range 3 * syncers {
					write(t, filepath.Join(dir, "sub", strconv.Itoa(i)), strconv.Itoa(i))
				}
				return os.Symlink("one", filepath.Join(dir, "link"))
			})
			if err != nil {
				t.Fatal(err)
			}
			if exists(worked) {
				t.Errorf("%s is left behind", worked)
			}
			want := map[string]string{"one": "1", "sub": "folder", "link": "folder"}
			for i := range 3 * syncers {
				want["sub/"+strconv.Itoa(i)] = strconv.Itoa(i)
			}
			wantTree(t, out, want)
			// With the permissions of an ordinary new folder, whatever the umask.
			ordinary := filepath.Join(parent, "ordinary")
			if err := os.Mkdir(ordinary, 0o777); err != nil {
				t.Fatal(err)
			}
			a, err1 := os.Stat(out)
			b, err2 := os.Stat(ordinary)
			if err := errors.Join(err1, err2); err != nil || a.Mode() != b.Mode() {
				t.Errorf("mode %v, want %v (%v)", a.Mode(), b.Mode(), err)
			}
		})
	}
}

func TestFolderFails(t *testing.T) {
	full := errors.New("disk full")
	for _, c := range []struct {
		name string
		fill func(dir, out string) error
		want string
		left map[string]string
	}{
		{"fill", func(dir, _ string) error {
			write(t, filepath.Join(dir, "half"), "1")
			return full
		}, "disk full", nil},
		{"unreadable", func(dir, _ string) error { return os.Remove(dir) }, "no such file", nil},
		{"appeared meanwhile", func(_, out string) error { return os.Mkdir(out, 0o777) }, "exists already", map[string]string{"out": "folder"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			err := Folder(out, func(dir string) error { return c.fill(dir, out) })
			wantError(t, err, c.want)
			if c.name == "fill" && !errors.Is(err, full) {
				t.Errorf("%v does not wrap fill's error", err)
			}
			wantTree(t, dir, c.left)
		})
	}
	t.Run("panic", func(t *testing.T) {
		dir := t.TempDir()
		func() {
			defer func() { _ = recover() }()
			_ = Folder(filepath.Join(dir, "out"), func(string) error { panic("bug") })
		}()
		wantTree(t, dir, nil)
	})
}

func silent(string) {}

// anew allows Continue to remove work on any other plan.
func anew(string) error { return nil }

func TestContinueRefuses(t *testing.T) {
	refused(t, func(out string) error {
		return Continue(out, nil, silent, anew, func(string, bool) error {
			t.Error("filled")
			return nil
		})
	})
}

func TestContinue(t *testing.T) {
	parent := t.TempDir()
	out := filepath.Join(parent, "out")
	stop := errors.New("stop")
	// Each call adds a file; the last ends well.
	for i, c := range []struct {
		plan  string
		begun bool
		end   error
		left  map[string]string
	}{
		{`{"a": 1}`, false, stop, map[string]string{"LOCK": "", "PLAN": `{"a": 1}`, "out": "folder", "out/0": "x"}},
		{`{"a": 1}`, true, stop, map[string]string{"LOCK": "", "PLAN": `{"a": 1}`, "out": "folder", "out/0": "x", "out/1": "x"}},
		{`{"a": 1}`, true, nil, nil},
	} {
		err := Continue(out+"/", []byte(c.plan), silent, anew, func(dir string, begun bool) error {
			if begun != c.begun {
				t.Errorf("call %d: begun is %v", i, begun)
			}
			if exists(out) {
				t.Error("the output is there before it is whole")
			}
			err := Continue(out, []byte(c.plan), silent, anew, func(string, bool) error { return nil })
			wantError(t, err, "another galaxy works on "+PartialFolder(out))
			if !begun {
				if err := os.Mkdir(dir, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(dir, strconv.Itoa(i)), "x")
			return c.end
		})
		if !errors.Is(err, c.end) {
			t.Fatalf("call %d: %v, want %v", i, err, c.end)
		}
		if c.end != nil {
			wantTree(t, PartialFolder(out), c.left)
		}
	}
	wantTree(t, parent, map[string]string{"out": "folder", "out/0": "x", "out/1": "x", "out/2": "x"})

	// Work on another plan is removed only by permission.
	other := filepath.Join(parent, "other")
	work := func(path string, begun bool) error { return errors.Join(os.WriteFile(path, []byte("x"), 0o666), stop) }
	begun := `{"a": {"b": 1, "c": [2]}, "d": "x", "gone": true}`
	if err := Continue(other, []byte(begun), silent, anew, work); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	left := map[string]string{"LOCK": "", "PLAN": begun, "other": "x"}
	wantTree(t, PartialFolder(other), left)
	refuse := func(changes string) error { return errors.New("refused: " + changes) }
	err := Continue(other, []byte(`{"a": {"b": 1, "c": [3]}, "d": "x", "new": {"e": null}}`), silent, refuse, work)
	wantError(t, err, "refused: a.c [2] (asked for is [3]), gone true (asked for is none), no new.e (asked for is null)")
	err = Continue(other, []byte(`{"a": {"b": 1, "c": [2]}, "d": "`+strings.Repeat("long", 99)+`", "gone": true}`), silent, refuse, work)
	wantError(t, err, `refused: d "x" (asked for is "`+strings.Repeat("long", 14)+"lon…)")
	wantTree(t, PartialFolder(other), left)
	// Work without a valid plan is started again.
	write(t, filepath.Join(PartialFolder(other), "PLAN"), begun[:20])
	err = Continue(other, []byte(begun), silent, func(changes string) error {
		if changes != "" {
			t.Errorf("changes %q of a plan that was cut short", changes)
		}
		return nil
	}, func(_ string, begun bool) error {
		if begun {
			t.Error("a plan that was cut short is gone on with")
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}

	blocked := filepath.Join(parent, "blocked")
	write(t, PartialFolder(blocked), "a file")
	wantError(t, Continue(blocked, nil, silent, anew, func(string, bool) error { return nil }), "blocked.partial is in the way")
}

// A folder that Continue did not make is left alone, whatever its name; its own
// folder, left by a crash, is not.
func TestContinueLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	theirs := filepath.Join(PartialFolder(out), "theirs")
	if err := os.MkdirAll(theirs, 0o777); err != nil {
		t.Fatal(err)
	}
	fill := func(path string, begun bool) error { return os.WriteFile(path, nil, 0o666) }
	wantError(t, Continue(out, []byte("plan"), silent, anew, fill), "holds theirs and no PLAN")
	if !exists(theirs) || exists(out) {
		t.Error("a folder of somebody else was removed, or used")
	}
	for _, left := range []string{".PLAN.tmp", "PLAN"} { // left by a crash while writing the first plan
		if err := errors.Join(os.RemoveAll(PartialFolder(out)), os.Mkdir(PartialFolder(out), 0o777),
			os.WriteFile(filepath.Join(PartialFolder(out), left), nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Continue(out, []byte("plan"), silent, anew, fill), os.Remove(out)); err != nil {
			t.Errorf("with %s left: %v", left, err)
		}
	}
}

func TestContinueFile(t *testing.T) {
	parent := t.TempDir()
	out := filepath.Join(parent, "sub", "out.csv")
	stop := errors.New("stop")
	for i, end := range []error{stop, nil} {
		err := Continue(out, []byte("plan"), silent, anew, func(path string, begun bool) error {
			if begun != (i > 0) {
				t.Errorf("call %d: begun is %v", i, begun)
			}
			write(t, filepath.Join(filepath.Dir(path), "notes"), "x")
			write(t, path, strconv.Itoa(i))
			return end
		})
		if !errors.Is(err, end) {
			t.Fatalf("call %d: %v, want %v", i, err, end)
		}
		if end != nil {
			wantTree(t, PartialFolder(out), map[string]string{"LOCK": "", "PLAN": "plan", "notes": "x", "out.csv": "0"})
		}
	}
	wantTree(t, parent, map[string]string{"sub": "folder", "sub/out.csv": "1"})
	if err := Continue(filepath.Join(parent, "none"), nil, silent, anew, func(string, bool) error { return nil }); err == nil {
		t.Error("no error where nothing was made")
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, filepath.Join(dir, ".file.tmp"), "of a crash, and longer")
	for _, text := range []string{"first", "", "third"} {
		if err := WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		wantTree(t, dir, map[string]string{"file": text})
	}
	write(t, filepath.Join(dir, "ordinary"), "")
	a, err1 := os.Stat(path)
	b, err2 := os.Stat(filepath.Join(dir, "ordinary"))
	if err := errors.Join(err1, err2); err != nil || a.Mode() != b.Mode() {
		t.Errorf("mode %v, want %v (%v)", a.Mode(), b.Mode(), err)
	}
	t.Chdir(dir)
	if err := WriteFile("relative", nil); err != nil {
		t.Error(err)
	}
}

func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "old")
	wantError(t, WriteFile(filepath.Join(path, "x"), nil), path, "make "+path+" writable")
	wantError(t, WriteFile(filepath.Join(dir, "no", "x"), nil), "no such file")
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(folder, nil); err == nil {
		t.Error("no error for a folder")
	}
	wantTree(t, dir, map[string]string{"file": "old", "folder": "folder"})
}

func TestSync(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	for _, path := range []string{dir, filepath.Join(dir, "file"), "/proc"} {
		if err := Sync(path); err != nil {
			t.Error(err)
		}
	}
	wantError(t, Sync(filepath.Join(dir, "nosuch")), "nosuch")
}
