// Command testreport runs go test and reports at the end which tests were skipped, and why,
// which were the slowest, and the time of the CPUs:
//
//	testreport [arguments of go test]
//
// It passes on go test's output as it comes: a line for each package, and the complete
// output of each failed test. The exit code is go test's.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
)

// slowest is the number of slowest tests that are listed.
const slowest = 5

func main() {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // go test receives it too, and ends
	c := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		err = errors.Join(report(out, os.Stdout), c.Wait())
	}
	if state := c.ProcessState; state != nil {
		fmt.Printf("CPU time %.0f s, with compiling and linking\n", (state.UserTime() + state.SystemTime()).Seconds())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "go test:", err)
		os.Exit(max(1, c.ProcessState.ExitCode()))
	}
}

// event is a line of go test -json; go doc test2json has its fields.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// test is a test that has ended.
type test struct {
	name    string // with its package
	seconds float64
	why     string // it was skipped
}

// place is the source position that go test puts before a message.
var place = regexp.MustCompile(`(?m)^ *\w+\.go:\d+: `)

// report prints the contents of a stream of go test -json.
func report(in io.Reader, out io.Writer) error {
	w := bufio.NewWriter(out)
	type key struct{ pkg, test string }
	said := map[key]*strings.Builder{} // by tests that have not ended, and by packages
	var ran, skipped []test
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			break
		}
		var e event
		if json.Unmarshal(line, &e) != nil || e.Action == "build-output" {
			// A message of go itself, not of a test.
			fmt.Fprint(w, cmp.Or(e.Output, string(line)))
			continue
		}
		k := key{e.Package, e.Test}
		if said[k] == nil {
			said[k] = new(strings.Builder)
		}
		text := said[k]
		text.WriteString(e.Output)
		switch e.Action {
		case "pass", "fail", "skip":
		default:
			continue
		}
		delete(said, k)
		switch {
		case e.Test == "" && e.Action == "fail":
			// Output of tests that never ended because the process did.
			for k, text := range said {
				if k.pkg == e.Package {
					fmt.Fprint(w, text)
					delete(said, k)
				}
			}
			fmt.Fprint(w, text)
		case e.Test == "": // of the package's output, go test prints the last line
			lines := strings.Split(strings.TrimSpace(text.String()), "\n")
			fmt.Fprintln(w, lines[len(lines)-1])
		case e.Action == "fail":
			fmt.Fprint(w, text)
		case e.Action == "skip":
			skipped = append(skipped, test{e.Package + " " + e.Test, e.Elapsed, reason(text.String())})
		}
		if e.Test != "" && !strings.Contains(e.Test, "/") {
			ran = append(ran, test{name: e.Package + " " + e.Test, seconds: e.Elapsed})
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	slices.SortStableFunc(ran, func(a, b test) int { return cmp.Compare(b.seconds, a.seconds) })
	for i, t := range ran[:min(slowest, len(ran))] {
		fmt.Fprintf(w, "%-8s%5.0f s  %s\n", []string{"slowest", ""}[min(i, 1)], t.seconds, t.name)
	}
	short := 0
	for _, t := range skipped {
		fmt.Fprintf(w, "skipped  %s: %s\n", t.name, t.why)
		if strings.HasPrefix(t.why, "-short: ") {
			short++
		}
	}
	if short > 0 {
		fmt.Fprintf(w, "%d skipped with -short: make test-all runs them\n", short)
	}
	return w.Flush()
}

// reason returns a test's own output, without go test's lines about it.
func reason(text string) string {
	var said []string
	for line := range strings.Lines(text) {
		if place.MatchString(line) {
			said = append(said, strings.TrimSpace(place.ReplaceAllString(line, "")))
		}
	}
	return cmp.Or(strings.Join(said, "; "), "it did not say why")
}
