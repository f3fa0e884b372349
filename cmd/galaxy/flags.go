package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/internal/usage"
)

// documented is what all flags of the library can do.
type documented interface {
	cli.DocGenerationFlag
	cli.RequiredFlag
	cli.CategorizableFlag
	cli.VisibleFlag
}

// settingFlag is the flag of a setting. The environment is not the library's to read, which does
// not tell apart what the command line says from what a variable does: it only lists the variables.
type settingFlag struct {
	documented
	variables []string
}

func (f settingFlag) GetEnvVars() []string { return f.variables }

func (f settingFlag) String() string { return cli.FlagStringer(f) }

// trainFlags are the flags of a command's settings.
func trainFlags(command string) []cli.Flag {
	var flags []cli.Flag
	for i := range settings {
		s := &settings[i]
		if !s.isOf(command) {
			continue
		}
		var f documented
		var former []string
		if s.was != "" {
			former = []string{s.was}
		}
		switch s.field(new(request)).(type) {
		case *bool:
			f = &cli.BoolFlag{Name: s.name, Aliases: former, Category: s.category, Usage: s.usage, DefaultText: s.standard(command)}
		case *[]float64:
			f = &cli.StringSliceFlag{Name: s.name, Aliases: former, Category: s.category, Usage: s.usageText(), DefaultText: s.standard(command)}
		default:
			f = &cli.StringFlag{Name: s.name, Aliases: former, Category: s.category, Usage: s.usageText(), DefaultText: s.standard(command)}
		}
		flags = append(flags, settingFlag{f, s.variables(command)})
	}
	return flags
}

// variables are the environment variables of a command's setting.
func (s *setting) variables(command string) []string {
	var names []string
	for _, name := range []string{s.name, s.was} {
		if name != "" {
			names = append(names, "GALAXY_"+strings.ToUpper(command+"_"+strings.ReplaceAll(name, "-", "_")))
		}
	}
	if s.variable != "" {
		names = append(names, s.variable)
	}
	return names
}

// usageText is the usage, after what the setting belongs to.
func (s *setting) usageText() string {
	if len(s.with) == 0 || slices.Contains(s.with, s.usage) {
		return s.usage
	}
	return usage.OneOf(s.with) + ": " + s.usage
}

// standard describes the default of a command's setting, or those beside the values of the setting that decides.
func (s *setting) standard(command string) string {
	if s.unset != "" {
		return s.unset
	}
	if s.under == "" {
		return s.text(newRequest(basePlan(command)))
	}
	parent := settingOf(s.under)
	beside := s.with
	if beside == nil {
		beside = parent.choices
	} else if len(beside) == 0 {
		beside = []string{"1"}
	}
	var texts []string
	with := map[string][]string{}
	for _, choice := range beside {
		like := request{plan: basePlan(command)}
		if err := parse(parent.field(&like), choice); err != nil {
			panic(fmt.Sprintf("setting %s under %s: %v", s.name, s.under, err)) // every test meets it
		}
		text := s.text(newRequest(like.plan))
		if with[text] == nil {
			texts = append(texts, text)
		}
		with[text] = append(with[text], choice)
	}
	if len(texts) == 1 {
		return texts[0]
	}
	for i, text := range texts {
		texts[i] = text + " " + strings.Join(with[text], " and ")
	}
	return strings.Join(texts, ", ")
}

// completeTrain prints the values of the setting whose flag is the last word, or else flags.
func completeTrain(c *cli.Context) {
	if n := len(os.Args); n > 2 {
		if i := slices.IndexFunc(settings, func(s setting) bool { return slices.Contains([]string{"--" + s.name, "--" + s.was}, os.Args[n-2]) }); i >= 0 && settings[i].choices != nil {
			for _, choice := range settings[i].choices {
				fmt.Fprintln(c.App.Writer, choice)
			}
			return
		}
	}
	cli.DefaultCompleteWithFlags(c.Command)(c)
}
