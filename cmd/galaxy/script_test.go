package main

import (
	"encoding/json"
	"net"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// underRace tells whether the race detector is on.
var underRace bool

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"galaxy": main})
}

// TestScripts runs the command lines in testdata/script as a user would.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir) // where TensorFlow's log goes
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"timeless": timeless, "jsonkeys": jsonKeys, "freeports": freePorts,
		},
	})
}

// clockFields are the fields of a metrics line that the clock decides.
var clockFields = regexp.MustCompile(`"(images_per_second|[a-z_]+_seconds|time)":[^,}]*`)

// timeless FILE leaves out of a metrics file what the clock decides, so that
// cmp can compare it.
func timeless(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := clockFields.ReplaceAllString(ts.ReadFile(name), "")
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// freePorts NAME… sets variables to ports of the loopback address that nobody
// listened on a moment ago.
func freePorts(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		ts.Setenv(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
}

// jsonKeys FILE KEY… checks that FILE is one JSON object with the keys.
func jsonKeys(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	for _, key := range args[1:] {
		if _, ok := object[key]; !ok {
			ts.Fatalf("%s has no %q", args[0], key)
		}
	}
}
