package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "list, show, check and infer label schemas: which questions and answers a catalogue's columns are",
		Subcommands: []*cli.Command{
			{
				Name:   "list",
				Usage:  "list the built-in schemas",
				Action: schemaList,
			},
			{
				Name:      "show",
				Usage:     "print a schema as a file that can be edited and used",
				ArgsUsage: "NAME|FILE",
				Action:    schemaShow,
			},
			schemaCheckCommand(),
			schemaInferCommand(),
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return usage.Error{Err: fmt.Errorf("unknown command %q: galaxy schema --help lists them", "schema "+name)}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// readSchema returns the built-in schema of a name, or the one in a file, and its text.
func readSchema(name string) (*labels.Schema, string, error) {
	if b, ok := labels.Named(name); ok {
		return b.Schema, b.Text, nil
	}
	text, err := durable.ReadFile(name, durable.MaxText)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		var keys []string
		for _, b := range labels.Builtin() {
			keys = append(keys, b.Key)
		}
		return nil, "", fmt.Errorf("schema %s: there is no such file, and no built-in schema of that name: %s", name, usage.DidYouMean(name, keys, "expected a file, or a name")+" (galaxy schema list has the names)")
	case err != nil:
		return nil, "", fmt.Errorf("read schema: %w", err)
	}
	s, err := labels.Read(bytes.NewReader(text))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return s, string(text), nil
}

func schemaList(c *cli.Context) error {
	if err := checkArguments(c); err != nil {
		return err
	}
	type line struct {
		Name      string `json:"name"`
		Questions int    `json:"questions"`
		Answers   int    `json:"answers"`
		Classes   int    `json:"classes"`
		Values    string `json:"values"`
		About     string `json:"about"`
	}
	var all []line
	for _, b := range labels.Builtin() {
		s := b.Schema
		all = append(all, line{b.Key, len(s.Questions()), s.Width(), s.Classes().Width(), s.Values().String(), b.About})
	}
	return report(c, all, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "name\tquestions\tanswers\tclasses\tvalues\tabout")
		for _, l := range all {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\n", l.Name, l.Questions, l.Answers, l.Classes, l.Values, l.About)
		}
		_ = t.Flush() // into a buffer
	})
}

func schemaShow(c *cli.Context) error {
	name, err := oneArgument(c, "the name of a built-in schema or a schema file")
	if err != nil {
		return err
	}
	s, text, err := readSchema(name)
	if err != nil {
		return err
	}
	return report(c, s, func(w io.Writer) { fmt.Fprint(w, strings.TrimRight(text, "\n")+"\n") })
}
