package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// command is a command line, where it runs, and the files that take what it prints.
type command struct {
	Args, Env      []string
	Dir            string
	Stdout, Stderr string
}

// commands runs the commands that stdin has, one in JSON a line, in this process, and prints the
// exit code of each.
func commands() {
	answers, err := unix.Dup(1)
	if err != nil {
		panic(err)
	}
	out := os.NewFile(uintptr(answers), "answers")
	in := json.NewDecoder(os.NewFile(0, "commands"))
	for {
		var c command
		if in.Decode(&c) != nil {
			return // the script has ended
		}
		code, err := c.run()
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, code)
	}
}

func (c command) run() (code int, err error) {
	os.Clearenv()
	for _, variable := range c.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return 0, err
		}
	}
	if err := os.Chdir(c.Dir); err != nil {
		return 0, err
	}
	for i, name := range []string{c.Stdout, c.Stderr} {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if err := unix.Dup2(int(f.Fd()), i+1); err != nil {
			return 0, err
		}
	}
	os.Args = append([]string{"galaxy"}, c.Args...)
	return run(os.Args), nil
}

// process runs the commands of a script. The start of TensorFlow takes most of the time of a small
// command, and one process starts it once.
type process struct {
	dir     string // for files of its own
	env     []string
	cmd     *exec.Cmd
	in      *json.Encoder
	answers *bufio.Reader
}

// run runs a command in the folder and the environment of the script.
func (p *process) run(ts *testscript.TestScript, args []string) (code int, stdout, stderr string) {
	// Not to stdout, which would be logged.
	variables := filepath.Join(p.dir, "variables")
	ts.Check(ts.Exec("sh", "-c", `env -0 >"$1"`, "sh", variables))
	env := strings.Split(strings.TrimSuffix(ts.ReadFile(variables), "\x00"), "\x00")
	// These TensorFlow reads when it starts.
	early := slices.DeleteFunc(slices.Clone(env), func(variable string) bool {
		return !strings.HasPrefix(variable, "TF_") && !strings.HasPrefix(variable, "ONEDNN_")
	})
	if p.cmd == nil || !slices.Equal(early, p.env) {
		p.end()
		p.env = early
		ts.Check(p.start(env))
	}
	c := command{Args: args, Env: env, Dir: ts.MkAbs("."), Stdout: filepath.Join(p.dir, "stdout"), Stderr: filepath.Join(p.dir, "stderr")}
	for _, name := range []string{c.Stdout, c.Stderr} {
		ts.Check(os.WriteFile(name, nil, 0o666))
	}
	ts.Check(p.in.Encode(c))
	answer, err := p.answers.ReadString('\n')
	stdout, stderr = ts.ReadFile(c.Stdout), ts.ReadFile(c.Stderr)
	if err == nil {
		_, err = fmt.Sscan(answer, &code)
	}
	if err != nil {
		ts.Fatalf("galaxy %s has ended the process: %v\n%s", strings.Join(args, " "), p.cmd.Wait(), stderr)
	}
	return code, stdout, stderr
}

// ofScript is the key of a script's process.
type ofScript struct{}

func (p *process) start(env []string) error {
	p.cmd = exec.Command("commands")
	p.cmd.Env, p.cmd.Stderr = env, os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.in, p.answers = json.NewEncoder(in), bufio.NewReader(out)
	return p.cmd.Start()
}

func (p *process) end() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// runHere ARG… is exec galaxy ARG… in the script's process. Commands for which it matters that
// a process begins or ends, and those in the background, are for exec. So is training that is
// compared to the bit with such a command's: TensorFlow has one pool of threads for all sessions of
// a process, whose size the first one sets.
func runHere(ts *testscript.TestScript, neg bool, args []string) {
	code, stdout, stderr := ts.Value(ofScript{}).(*process).run(ts, args)
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	if neg == (code == exitOK) {
		ts.Fatalf("exit code %d", code)
	}
}

// mistakes FILE runs the commands in FILE, one a line, in the script's process. Each has to fail
// and to print nothing on stdout. The lines below it that begin with a tab are regular expressions
// that its stderr matches, or, after "! ", does not.
func mistakes(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(ofScript{}).(*process)
	tried, failed := 0, false
	said := func(expected string) {
		failed = true
		ts.Logf("%s", expected)
	}
	var stderr string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSuffix(line, "\n")
		if pattern, below := strings.CutPrefix(line, "\t"); below {
			if pattern, not := strings.CutPrefix(pattern, "! "); regexp.MustCompile("(?m)"+pattern).MatchString(stderr) == not {
				said("expected on stderr: " + strings.TrimSpace(line))
			}
			continue
		}
		words := strings.Fields(os.Expand(line, ts.Getenv))
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		tried++
		var code int
		var stdout string
		code, stdout, stderr = p.run(ts, words[1:])
		ts.Logf("> %s\n%s", line, stderr)
		if code == exitOK {
			said("expected an error")
		}
		if stdout != "" {
			said("expected nothing on stdout: " + stdout)
		}
	}
	if tried == 0 || failed {
		ts.Fatalf("%d commands tried", tried)
	}
}
