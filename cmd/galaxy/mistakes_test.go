package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// mistakes FILE is a command of the scripts. It runs the commands in FILE, one a line, in one
// process, because the start of TensorFlow takes most of the time of a command that fails. Each has
// to fail and to print nothing on stdout. The lines below it that begin with a tab are regular
// expressions that its stderr matches, or, after "! ", does not.
func mistakes() {
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var terminal [2]*os.File
	for i := range terminal {
		fd, err := unix.Dup(i + 1)
		if err != nil {
			panic(err)
		}
		terminal[i] = os.NewFile(uintptr(fd), "")
	}
	tried, failed := 0, false
	said := func(expected string) {
		failed = true
		fmt.Fprintln(terminal[1], expected)
	}
	var stderr string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		if pattern, below := strings.CutPrefix(line, "\t"); below {
			if pattern, not := strings.CutPrefix(pattern, "! "); regexp.MustCompile("(?m)"+pattern).MatchString(stderr) == not {
				said("expected on stderr: " + strings.TrimSpace(line))
			}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		tried++
		// Written beforehand, so that a crash has a name.
		fmt.Fprintln(terminal[1], ">", line)
		var code int
		var stdout string
		if code, stdout, stderr, err = here(strings.Fields(os.ExpandEnv(line))); err != nil {
			panic(err)
		}
		fmt.Fprint(terminal[1], stderr)
		if code == exitOK {
			said("expected an error")
		}
		if stdout != "" {
			said("expected nothing on stdout: " + stdout)
		}
	}
	if tried == 0 {
		said("expected commands in " + os.Args[1])
	}
	if failed {
		os.Exit(1)
	}
}

// here runs a command in this process, with files in the place of its stdout and stderr.
func here(args []string) (code int, stdout, stderr string, err error) {
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.CreateTemp("", ""); err != nil {
			return 0, "", "", err
		}
		defer files[i].Close()
		if err := os.Remove(files[i].Name()); err != nil {
			return 0, "", "", err
		}
		if err := unix.Dup2(int(files[i].Fd()), i+1); err != nil {
			return 0, "", "", err
		}
	}
	code = run(args)
	var text [2][]byte
	for i, f := range files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, "", "", err
		}
		if text[i], err = io.ReadAll(f); err != nil {
			return 0, "", "", err
		}
	}
	return code, string(text[0]), string(text[1]), nil
}
