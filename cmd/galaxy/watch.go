package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/urfave/cli/v2"

	"galaxy/internal/usage"
	"galaxy/report/live"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "serve a page that follows a run while it trains, on this machine or on a mounted disk; Ctrl-C ends it",
		ArgsUsage: "RUN",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Category: catInput, EnvVars: []string{"GALAXY_RUN"}, Usage: "`RUN` folder, which may be made later; or give it as an argument"},
			&cli.StringFlag{Name: "listen", Category: catOutput, Value: "127.0.0.1:8600", Usage: "`ADDRESS` of the page; with port 0 the system chooses one"},
		},
		Action: watchAction,
	}
}

func watchAction(c *cli.Context) error {
	run := c.String("run")
	switch n := c.Args().Len(); {
	case n > 1:
		return usage.Error{Err: fmt.Errorf("unexpected argument %q: galaxy watch shows one run", c.Args().Get(1))}
	case n == 1 && c.IsSet("run") && run != c.Args().First():
		return usage.Error{Err: fmt.Errorf("two runs, %s and %s: give one of them", run, c.Args().First())}
	case n == 1:
		run = c.Args().First()
	case run == "":
		return usage.Error{Err: errors.New("needed: a run, as in galaxy watch RUN")}
	}
	switch info, err := os.Stat(run); {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(c.App.ErrWriter, "%s does not exist yet: the page waits for it\n", run)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is a file: expected the folder of a run", run)
	}
	l, err := listen(c, "listen", c.String("listen"))
	if err != nil {
		return err
	}
	result := struct {
		Run string `json:"run"`
		URL string `json:"url"`
	}{run, pageURL(l)}
	if err := report(c, result, func(w io.Writer) { fmt.Fprintf(w, "watching %s: %s\n", run, result.URL) }); err != nil {
		return errors.Join(err, l.Close())
	}
	return live.New(run).Serve(c.Context, l)
}

// pageURL returns the address of a listener's page.
func pageURL(l net.Listener) string { return "http://" + l.Addr().String() + "/" }

// startLive serves the page of --live while the run trains. end ends it; it is nil if there was no --live.
func (t *trainCall) startLive(notice func(format string, args ...any)) (end func() error, err error) {
	if t.live == "" || !t.chief() {
		return func() error { return nil }, nil
	}
	l, err := listen(t.cli, "live", t.live)
	if err != nil {
		return nil, err
	}
	notice("live: %s", pageURL(l))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.cli.Context)) // after a stop signal, the last step too
	ended := make(chan error, 1)
	go func() { ended <- live.New(t.out).Serve(ctx, l) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}
