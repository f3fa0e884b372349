package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestFlagsFirst(t *testing.T) {
	app := newApp(func(*cli.Context) error { return nil })
	for line, want := range map[string]string{
		"galaxy":                                           "galaxy",
		"galaxy --help":                                    "galaxy --help",
		"galaxy nothing --json x":                          "galaxy nothing --json x",
		"galaxy schema":                                    "galaxy schema",
		"galaxy schema nothing --json":                     "galaxy schema nothing --json",
		"galaxy inspect cache":                             "galaxy inspect -- cache",
		"galaxy inspect cache --near":                      "galaxy inspect --near -- cache",
		"galaxy inspect --near a b":                        "galaxy inspect --near -- a b",
		"galaxy inspect a --sheet s b":                     "galaxy inspect --sheet s -- a b",
		"galaxy inspect a -sheet s b":                      "galaxy inspect -sheet s -- a b",
		"galaxy inspect a --sheet=s b":                     "galaxy inspect --sheet=s -- a b",
		"galaxy inspect a --sheet -s":                      "galaxy inspect --sheet -s -- a",
		"galaxy inspect a --sheet":                         "galaxy inspect --sheet", // whose value the library misses
		"galaxy inspect a --help":                          "galaxy inspect --help -- a",
		"galaxy inspect a --shet b":                        "galaxy inspect --shet -- a b",
		"galaxy inspect - --near":                          "galaxy inspect --near -- -",
		"galaxy inspect --near -- -a":                      "galaxy inspect --near -- -a",
		"galaxy inspect a -- --near":                       "galaxy inspect -- a --near",
		"galaxy inspect --near=false a":                    "galaxy inspect --near=false -- a",
		"galaxy train x --resume y --cache device --lr -1": "galaxy train --resume --cache device --lr -1 -- x y",
		"galaxy schema show rings --json":                  "galaxy schema show --json -- rings",
		"galaxy schema check a --labels b --json":          "galaxy schema check --labels b --json -- a",
		"galaxy inspect a --generate-bash-completion":      "galaxy inspect a --generate-bash-completion",
	} {
		if got := flagsFirst(app, strings.Fields(line)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s:\n%s, expected\n%s", line, strings.Join(got, " "), want)
		}
	}
}
