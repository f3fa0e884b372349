package main

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/objective"
)

// request is one call of galaxy train or galaxy pretrain: the plan of the run, and how this process carries it out.
type request struct {
	plan train.Plan

	config      string
	printConfig bool
	out         string
	resume      bool
	report      bool
	limit       train.Time
	gpuMemory   session.GPUMemory
	heartbeat   string
	live        string

	synthetic, syntheticSize int

	clusterHosts, listen string
	workerIndex          int
	workerTimeout        train.Time

	given map[string]value // what was given and counts, by setting
	begun bool             // the plan is that of a run that is resumed
}

// value is what a source says of a setting.
type value struct {
	text string
	// layer is where it stands among the sources, and where the variable or the file.
	layer int
	where string
}

// The sources of values, from the weakest: each is a layer of asked.
const (
	inFile = iota
	inEnvironment
	onCommandLine
)

// asked is what the sources say, by setting.
type asked struct {
	command string
	layers  [onCommandLine + 1]map[string]value
}

// The commands that have settings.
const (
	cmdTrain    = "train"
	cmdPretrain = "pretrain"
)

// basePlan is what the defaults of a command are beside.
func basePlan(command string) (p train.Plan) {
	if command == cmdPretrain {
		p.Config.Pretrain = objective.DefaultPairs()
	}
	return p
}

// command returns the command that runs the plan.
func (c *request) command() string {
	if c.plan.Config.Pretrain.IsSet() {
		return cmdPretrain
	}
	return cmdTrain
}

// isOf reports whether a command has the setting.
func (s *setting) isOf(command string) bool { return s.of == "" || s.of == command }

// ask reads the command line, the environment and the file that they name.
func ask(c *cli.Context) (asked, error) {
	a := asked{c.Command.Name, [...]map[string]value{{}, {}, {}}}
	for i := range settings {
		s := &settings[i]
		if !s.isOf(a.command) {
			continue
		}
		if c.IsSet(s.name) { // no variable makes it so
			text := c.String(s.name)
			switch s.field(new(request)).(type) {
			case *bool:
				text = strconv.FormatBool(c.Bool(s.name))
			case *[]float64:
				text = strings.Join(c.StringSlice(s.name), ",")
			}
			a.layers[onCommandLine][s.name] = value{text, onCommandLine, ""}
		}
		for _, name := range slices.Backward(s.variables(a.command)) { // the first goes before the others
			if text := os.Getenv(name); text != "" {
				a.layers[inEnvironment][s.name] = value{text, inEnvironment, name}
			}
		}
	}
	for _, layer := range []int{inEnvironment, onCommandLine} {
		if file, ok := a.layers[layer]["config"]; ok {
			var err error
			if a.layers[inFile], err = readSettings(file.text, a.command); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// over returns the request of what was asked for: beside the defaults for labels of a schema (nil if
// that is not known yet), or beside the configuration of a run to resume. There the environment
// counts only for what may change, because a variable of a shell or a container is no request to
// change the run.
func (a asked) over(begun *train.Config, schema *labels.Schema) (*request, error) {
	like := request{plan: basePlan(a.command)}
	like.plan.Config.Cache.Schema = schema
	if begun != nil {
		like.plan = train.PlanOf(*begun)
	}
	var c *request
	var err error
	// Some defaults depend on other settings, and whether a value counts does: until all fit.
	for range len(settings) {
		c = newRequest(like.plan)
		if begun != nil {
			c.plan, c.begun = train.PlanOf(*begun), true
		}
		err = a.set(c, &like)
		if reflect.DeepEqual(c.plan, like.plan) {
			break
		}
		like = *c
	}
	return c, err
}

// newRequest returns a request in which nothing is given.
func newRequest(like train.Plan) *request {
	return &request{plan: train.DefaultPlan(like), report: true, syntheticSize: 64, gpuMemory: "all", workerTimeout: train.Time(session.DefaultTimeout), given: map[string]value{}}
}

// set sets in c what was given and counts beside the settings of like.
func (a asked) set(c, like *request) error {
	var errs []error
	for i := range settings {
		s := &settings[i]
		v, ok := a.find(s, c.begun, like)
		if !ok {
			continue
		}
		if _, isText := s.field(c).(*string); isText && v.text == "" && v.layer == onCommandLine {
			errs = append(errs, fmt.Errorf("--%s is empty: give it a value, or leave it out", s.name)) // such as that of a variable that is not set
		}
		if err := parse(s.field(c), v.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.given(v, v.text), err))
		}
		c.given[s.name] = v
	}
	return errors.Join(errs...)
}

// find returns the strongest value of s that counts: not one that a source has beside another
// value of the setting that s is under, and none of a group from which a stronger source chooses.
func (a asked) find(s *setting, begun bool, like *request) (value, bool) {
	for layer := onCommandLine; layer >= 0; layer-- {
		v, ok := a.layers[layer][s.name]
		switch {
		case layer == inEnvironment && begun && !s.mayChange():
			continue
		case ok && s.under != "":
			parent := settingOf(s.under)
			if beside, ok := a.layers[layer][s.under]; ok && parent.canonical(beside.text) != parent.text(like) {
				break
			}
			return v, true
		case ok:
			return v, true
		}
		if s.instead != "" && slices.ContainsFunc(settings, func(t setting) bool { _, ok := a.layers[layer][t.name]; return ok && t.instead == s.instead }) {
			break
		}
	}
	return value{}, false
}

// refuse names what was given and would be ignored.
func (c *request) refuse() error {
	var errs []error
	groups := map[string][]string{}
	for i := range settings {
		s := &settings[i]
		v, ok := c.given[s.name]
		if !ok {
			continue
		}
		if !s.applies(c) {
			errs = append(errs, fmt.Errorf("%s belongs to %s: leave it out, or choose that", s.given(v, ""), settingOf(s.under).mention(strings.Join(s.with, " or "))))
		}
		if s.instead != "" {
			groups[s.instead] = append(groups[s.instead], s.given(v, ""))
		}
	}
	for group, names := range groups {
		if len(names) > 1 {
			errs = append(errs, fmt.Errorf("%s: each sets %s: give one of them", strings.Join(names, " and "), group))
		}
	}
	return errors.Join(errs...)
}

// names shows settings as they were given, and others as flags: see usage.Names.
func (c *request) names(name, text string, has bool) string {
	var found *setting
	for i := range settings {
		if s := &settings[i]; slices.Contains(s.paths(), name) {
			if _, given := c.given[s.name]; found == nil || given {
				found = s
			}
		}
	}
	if found == nil || !has {
		return flagNames(name, text, has)
	}
	if v, ok := c.given[found.name]; ok {
		return found.given(v, text)
	}
	shown := found.mention(text)
	if from := c.source(found); !c.begun {
		shown += " (" + from + ")"
	}
	return shown
}

// flagNames shows settings as flags; for usage.Text.
func flagNames(name, text string, _ bool) string {
	for i := range settings {
		if s := &settings[i]; slices.Contains(s.paths(), name) {
			return s.mention(text)
		}
	}
	if strings.Contains(name, ".") { // which no flag sets
		return usage.Plain(name, text, false)
	}
	return usage.Plain("--"+strings.ReplaceAll(name, "_", "-"), text, false)
}

// source says where the value of a setting comes from.
func (c *request) source(s *setting) string {
	if v, ok := c.given[s.name]; ok {
		return [...]string{v.where, "environment: " + v.where, strings.TrimSpace("flag " + v.where)}[v.layer]
	}
	plain := *c
	plain.plan.Recipe = ""
	if s.choices != nil { // the recipe's choice, not the user's
		reflect.ValueOf(s.field(&plain)).Elem().SetZero()
	}
	switch {
	case c.begun && s.inPlan():
		return "the run to resume"
	case s.text(c) != s.text(newRequest(plain.plan)):
		return "recipe " + string(c.plan.Recipe)
	}
	return "default"
}

func settingOf(name string) *setting {
	return &settings[slices.IndexFunc(settings, func(s setting) bool { return s.name == name })]
}

// inPlan reports whether the setting is of the run, and not of one process.
func (s *setting) inPlan() bool { return len(s.paths()) > 1 }

// paths are the names by which errors call the setting; the last is its own.
func (s *setting) paths() []string {
	var c request
	name := strings.ReplaceAll(s.name, "-", "_")
	if k, ok := s.field(&c).(constant); ok {
		return append(k.paths(), name)
	}
	return append(c.plan.FieldPaths(s.field(&c)), name)
}

// mayChange reports whether a call that resumes a run may give another value.
func (s *setting) mayChange() bool { return !s.inPlan() || train.MayChange(s.paths()[0]) }

// applies reports whether the setting has a use in c.
func (s *setting) applies(c *request) bool {
	if s.with == nil {
		return true
	}
	text := settingOf(s.under).text(c)
	return len(s.with) == 0 && text != "0" || slices.Contains(s.with, text)
}

// mention shows the setting as a flag.
func (s *setting) mention(text string) string {
	if _, ok := s.field(new(request)).(*bool); ok && text != "" {
		return "--" + s.name + "=" + text
	}
	return strings.TrimSpace("--" + s.name + " " + text)
}

// given shows a value as it was given; text is what was made of it, "" leaves both out.
func (s *setting) given(v value, text string) string {
	if text == "" {
		return [...]string{s.name + " in " + v.where, v.where, "--" + s.name}[v.layer]
	}
	shown := [...]string{s.name + " = " + v.text + " in " + v.where, v.where + "=" + v.text, s.mention(v.text)}[v.layer]
	if strings.ReplaceAll(strings.Trim(text, "[]"), " ", ",") != v.text {
		shown += " (" + text + ")"
	}
	return shown
}

// canonical returns the text that stands for the same value in every source: a head may be given by
// a former name. A text that cannot be read is returned as it is.
func (s *setting) canonical(text string) string {
	var c request
	if parse(s.field(&c), text) != nil {
		return text
	}
	return s.text(&c)
}

// text is the value of the setting in c, as a person types it.
func (s *setting) text(c *request) string { return textOf(s.field(c)) }

func textOf(field any) string {
	switch f := field.(type) {
	case fmt.Stringer:
		return f.String()
	case *float64:
		return strconv.FormatFloat(*f, 'g', -1, 64)
	case *[]float64:
		return train.Weights{Values: *f}.String()
	}
	return fmt.Sprint(reflect.ValueOf(field).Elem().Interface())
}

var errNumber = errors.New("expected a number")

// parse sets what field points to; an error says which texts are possible.
func parse(field any, text string) (err error) {
	switch f := field.(type) {
	case *bool:
		if *f, err = strconv.ParseBool(text); err != nil {
			return errors.New("expected true or false")
		}
	case *int:
		if *f, err = strconv.Atoi(text); err != nil {
			return errors.New("expected a whole number")
		}
	case *int64:
		if *f, err = strconv.ParseInt(text, 10, 64); err != nil {
			return errors.New("expected a whole number")
		}
	case *float64:
		if *f, err = strconv.ParseFloat(text, 64); err != nil {
			return errNumber
		}
	case *[]float64:
		var w train.Weights
		if err := w.UnmarshalText([]byte(text)); err != nil || w.Balanced {
			return errors.New("expected numbers with commas between them")
		}
		*f = w.Values
	case encoding.TextUnmarshaler:
		return f.UnmarshalText([]byte(text))
	default: // a name, which is checked with all else
		reflect.ValueOf(field).Elem().SetString(text)
	}
	return nil
}
