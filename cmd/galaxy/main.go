// Command galaxy trains, exports and evaluates classifiers of galaxy images on
// TensorFlow.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train"
)

// Exit codes. The README lists them; scripts that restart a run rely on them.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitStopped = 3 // a stop signal; train, prepare, predict, embed and ask can be resumed, the others leave nothing
)

// errStopped is the error of a command that a signal stopped and that can be resumed.
var errStopped = errors.New("stopped by a signal")

func main() { os.Exit(run(os.Args)) }

// run is main without the exit, for tests.
func run(args []string) int {
	// So a write beyond the limit (ulimit -f) is an error, on TensorFlow's threads too,
	// instead of the end of the process.
	signal.Ignore(syscall.SIGXFSZ)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGXCPU}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	received := make(chan os.Signal, 1)
	signal.Notify(received, signals...)
	defer signal.Stop(received)
	go func() {
		// A second signal ends the process at once. Not by the default action: the
		// first process of a container has none.
		var requests stopRequests
		for n := 0; n < 2; {
			s := <-received
			stop()
			n = requests.add(s, time.Now())
		}
		fmt.Fprintln(os.Stderr, "galaxy: stopped at once by a second signal")
		os.Exit(exitStopped)
	}()

	var log *tfLog
	defer func() {
		if log != nil {
			log.Close()
		}
	}()
	app := newApp(func(c *cli.Context) (err error) {
		if c.Command.Name == "health" {
			return nil // asked every few seconds, it would push the run's own log out
		}
		if log, err = startTFLog(c.Bool("verbose")); err != nil {
			return err
		}
		c.App.ErrWriter = os.Stderr // which startTFLog has replaced
		if c.Command.Name == "doctor" {
			return nil // which tells of the library among other things
		}
		return checkLibraryVersion()
	})
	err := app.RunContext(ctx, flagsFirst(app, args))
	var wrong usage.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, train.ErrStopped), errors.Is(err, errStopped):
		fmt.Fprintf(os.Stderr, "galaxy: %s\n", usage.Text(err, flagNames))
		return exitStopped
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "galaxy: stopped by a signal; nothing was left behind")
		return exitStopped
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "galaxy: %s\n", usage.Text(err, flagNames))
		for _, v := range os.Environ() { // which may be what the mistake is about
			if strings.HasPrefix(v, "GALAXY_") {
				fmt.Fprintf(os.Stderr, "galaxy: the environment has %s\n", v)
			}
		}
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "galaxy: %s%s\n", usage.Text(err, flagNames), limit(err))
		return exitFailed
	}
}

// signalEcho is the time in which a second signal is the first one's echo: timeout(1) sends
// one to the process and one to its group, of which the process is a member.
const signalEcho = 20 * time.Millisecond

// stopRequests counts the signals that ask for an end.
type stopRequests struct {
	count int
	last  time.Time
}

// add returns how often an end was requested, including s at the time now. The warnings of
// batch systems do not count: those are repeated, and followed by SIGTERM.
func (r *stopRequests) add(s os.Signal, now time.Time) int {
	if s != syscall.SIGUSR1 && s != syscall.SIGXCPU && now.Sub(r.last) > signalEcho {
		r.count, r.last = r.count+1, now
	}
	return r.count
}

// limit adds to an error which limit of the process it comes from, and what to do.
func limit(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE), strings.Contains(err.Error(), "Too many open files"): // TensorFlow's are but text
		return "; ulimit -n is how many files the process may have open: raise it, and give the same command again"
	case errors.Is(err, syscall.EFBIG), strings.Contains(err.Error(), "File too large"):
		return "; ulimit -f, or the disk, is what keeps a file from growing further: raise it, or choose another disk, and give the same command again (train: with --resume)"
	}
	return ""
}

// galaxyVersion is the program's own version: see CHANGELOG.md.
const galaxyVersion = "0.1.0"

// Categories of flags.
const (
	catInput     = "Input"
	catOutput    = "Output"
	catSplit     = "Train, validation and test"
	catSpeed     = "Speed"
	catLimits    = "Limits"
	catRun       = "Run"
	catRecipe    = "Recipe"
	catAugment   = "Augmentation of training images"
	catObjective = "Head and loss"
	catExternal  = "A SavedModel of another program"
	catOptimizer = "Optimizer"
	catCluster   = "Several machines"
)

// newApp is the command line. before runs before any command does.
func newApp(before cli.BeforeFunc) *cli.App {
	app := &cli.App{
		Name:                 "galaxy",
		Usage:                "train, export and evaluate galaxy-image classifiers on TensorFlow",
		Version:              galaxyVersion + " (TensorFlow " + session.TensorFlowVersion() + ")",
		EnableBashCompletion: true,
		Commands: []*cli.Command{
			synthCommand(), schemaCommand(), prepareCommand(), inspectCommand(), pretrainCommand(), trainCommand(), evalCommand(), reportCommand(), watchCommand(), predictCommand(), embedCommand(), neighboursCommand(), askCommand(), serveCommand(), exportCommand(), importCommand(), doctorCommand(), healthCommand(),
		},
		// run prints errors and chooses the exit code.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	app.OnUsageError = onUsageError
	for _, c := range app.Commands {
		finish(c, c.Name, before)
		for _, sub := range c.Subcommands {
			finish(sub, c.Name+"_"+sub.Name, before)
		}
	}
	app.Action = func(c *cli.Context) error {
		if name := c.Args().First(); name != "" {
			return usage.Error{Err: fmt.Errorf("unknown command %q: galaxy --help lists them", name)}
		}
		return cli.ShowAppHelp(c)
	}
	return app
}

// finish adds what all commands have. name is for environment variables.
func finish(c *cli.Command, name string, before cli.BeforeFunc) {
	c.OnUsageError = onUsageError
	c.HideHelpCommand = true
	if c.Subcommands != nil {
		return // which have the rest
	}
	c.Before = before
	c.Flags = append(c.Flags,
		&cli.BoolFlag{Name: "json", EnvVars: []string{"GALAXY_JSON"}, Usage: "print the result as one JSON object on stdout; everything else goes to stderr"},
		&cli.BoolFlag{Name: "verbose", EnvVars: []string{"GALAXY_VERBOSE"}, Usage: "show TensorFlow's own log as well"})
	for _, f := range c.Flags {
		addVariable(f, "GALAXY_"+strings.ToUpper(name+"_"+strings.ReplaceAll(f.Names()[0], "-", "_")))
	}
}

// addVariable lets an environment variable set a flag that the command line does
// not, nor is it overruled by the variables that the flag has already, of several
// commands: containers are configured by them.
func addVariable(f cli.Flag, name string) {
	switch f := f.(type) {
	case *cli.StringFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.BoolFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.IntFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.Int64Flag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.DurationFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.Float64Flag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.StringSliceFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case *cli.Float64SliceFlag:
		f.EnvVars = append([]string{name}, f.EnvVars...)
	case settingFlag: // which has its variables
	default:
		panic(fmt.Sprintf("flag %s has a type that addVariable does not know", name)) // every test meets it
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	hint := ""
	for _, f := range c.Command.Flags {
		if _, ok := f.(*cli.DurationFlag); ok && strings.Contains(err.Error(), f.Names()[0]) {
			hint = "; expected a time with its unit, such as 90s or 10m"
		}
	}
	// The library writes every flag with one dash.
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok && len(name) > 1 {
		err = fmt.Errorf("flag provided but not defined: --%s", name)
	}
	return usage.Error{Err: fmt.Errorf("%w%s (galaxy %s--help lists the flags)", err, hint, commandPrefix(c))}
}

func commandPrefix(c *cli.Context) string {
	if c.Command == nil || c.Command.Name == "" || c.Command.Name == c.App.Name {
		return ""
	}
	return strings.TrimPrefix(c.Command.HelpName, c.App.HelpName+" ") + " "
}

// checkArguments refuses a command without the flags it needs, and words that are no flags.
func checkArguments(c *cli.Context, needed ...string) error {
	return checkMissing(c, slices.DeleteFunc(needed, func(name string) bool { return c.String(name) != "" }))
}

// checkMissing refuses a command that lacks the flags missing (the library's own check would
// print the help on stdout), and words left over, which are flags whose dashes were forgotten, or
// values of flags that take none.
func checkMissing(c *cli.Context, missing []string) error {
	if len(missing) > 0 {
		return usage.Error{Err: fmt.Errorf("needed: --%s (galaxy %s--help describes them)", strings.Join(missing, " and --"), commandPrefix(c))}
	}
	if c.Args().Present() {
		return usage.Error{Err: fmt.Errorf("unexpected argument %q: %s takes flags only", c.Args().First(), c.Command.Name)}
	}
	return nil
}

// report prints a command's result: as JSON with --json, else by text.
func report(c *cli.Context, result any, text func(w io.Writer)) error {
	var out bytes.Buffer
	if c.Bool("json") {
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		if err := e.Encode(result); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	} else {
		text(&out)
	}
	if _, err := out.WriteTo(c.App.Writer); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}
