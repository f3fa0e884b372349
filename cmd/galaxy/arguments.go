package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/internal/usage"
)

// flagsFirst returns a command line with the flags of its command before the arguments: the library stops
// looking for flags at the first argument. What follows -- are arguments.
func flagsFirst(app *cli.App, line []string) []string {
	commands, i := app.Commands, 1
	var command *cli.Command
	for ; i < len(line) && len(commands) > 0; i++ {
		if strings.HasPrefix(line[i], "-") {
			continue // --help or --version
		}
		k := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(line[i]) })
		if k < 0 {
			return line
		}
		command, commands = commands[k], commands[k].Subcommands
	}
	if len(commands) > 0 || slices.Contains(line, "--generate-bash-completion") {
		return line
	}
	var flags, arguments []string
	for rest := line[i:]; len(rest) > 0; {
		word := rest[0]
		rest = rest[1:]
		switch {
		case word == "--":
			arguments, rest = append(arguments, rest...), nil
		case len(word) < 2 || word[0] != '-':
			arguments = append(arguments, word)
		case !takesWord(command, word):
			flags = append(flags, word)
		case len(rest) == 0:
			return slices.Concat(line[:i], flags, []string{word}) // so that the library misses the value
		default:
			flags, rest = append(flags, word, rest[0]), rest[1:]
		}
	}
	if len(arguments) > 0 {
		flags = append(flags, "--")
	}
	return slices.Concat(line[:i], flags, arguments)
}

// takesWord reports whether the next word is the value of a flag.
func takesWord(c *cli.Command, flag string) bool {
	name, _, hasValue := strings.Cut(strings.TrimPrefix(flag[1:], "-"), "=")
	return !hasValue && slices.ContainsFunc(c.Flags, func(f cli.Flag) bool {
		g, ok := f.(cli.DocGenerationFlag)
		return ok && g.TakesValue() && slices.Contains(f.Names(), name)
	})
}

// oneArgument returns the argument of a command that takes one; what describes it.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch {
	case c.Args().First() == "":
		return "", usage.Error{Err: fmt.Errorf("needed: %s, as in galaxy %s%s", what, commandPrefix(c), c.Command.ArgsUsage)}
	case c.Args().Len() > 1:
		return "", onUsageError(c, fmt.Errorf("unexpected argument %q", c.Args().Get(1)), true)
	}
	return c.Args().First(), nil
}
