package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/internal/usage"
	"galaxy/train"
)

func healthCommand() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "check that a training run is alive, by the heartbeat it writes; opens no device; a missing heartbeat is healthy, for containers that do something else",
		Flags: []cli.Flag{
			heartbeatFlag(catInput, "`FILE` that galaxy train was told to write"),
			&cli.DurationFlag{Name: "max-age", Category: catInput, Value: 10 * time.Minute, Usage: "maximum heartbeat age; set it above the longest step, including the first"},
		},
		Action: healthAction,
	}
}

func heartbeatFlag(category, usage string) cli.Flag {
	return &cli.StringFlag{Name: "heartbeat", Category: category, EnvVars: []string{"GALAXY_HEARTBEAT"}, Usage: usage}
}

// healthAction fails if a run has started, has not ended and writes no heartbeat. A
// container without a run is healthy.
func healthAction(c *cli.Context) error {
	if err := checkArguments(c, "heartbeat"); err != nil {
		return err
	}
	if limit := c.Duration("max-age"); limit <= 0 {
		return usage.Error{Err: fmt.Errorf("--max-age %v: expected more than 0", limit)}
	}
	beat, err := train.ReadHeartbeat(c.String("heartbeat"))
	if errors.Is(err, fs.ErrNotExist) {
		return report(c, struct {
			Phase string `json:"phase"`
		}{"none"}, func(w io.Writer) { fmt.Fprintln(w, "no run has begun") })
	}
	if err != nil {
		return err
	}
	age := time.Since(beat.Time).Round(time.Second)
	said := fmt.Sprintf("%s, step %d of %d, %v ago", beat.Phase, beat.Step, beat.Total, max(0, age))
	age = age.Abs() // a clock set back must not hide a hanging run
	if limit := c.Duration("max-age"); beat.Phase != train.PhaseEnd && age > limit {
		return fmt.Errorf("no sign of life for %v, which is more than --max-age %v: %s", age, limit, said)
	}
	return report(c, beat, func(w io.Writer) { fmt.Fprintln(w, said) })
}
