package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/train"
)

// readSettings reads a configuration file of a command: TOML with settings by name, or a run's config.json.
func readSettings(path, command string) (map[string]value, error) {
	raw, err := durable.ReadFile(path, durable.MaxText)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var values map[string]value
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		values, err = jsonSettings(raw, command)
	} else {
		values, err = tomlSettings(raw, command)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	for name, v := range values {
		v.layer, v.where = inFile, filepath.Base(path)
		values[name] = v
	}
	return values, nil
}

// jsonSettings are those of a run that was configured so, in as many steps.
func jsonSettings(raw []byte, command string) (map[string]value, error) {
	cfg, err := train.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%w; expected the config.json of a run, or a TOML file of settings", err)
	}
	c := &request{plan: train.PlanOf(cfg)}
	if c.command() != command {
		return nil, fmt.Errorf("it is of a run of galaxy %s: expected one of galaxy %s", c.command(), command)
	}
	values := map[string]value{}
	for i := range settings {
		s := &settings[i]
		if text := s.text(c); s.inPlan() && s.isOf(command) && s.applies(c) && (s.instead == "" || s.name == "steps") {
			values[s.name] = value{text: text}
		}
	}
	return values, nil
}

func tomlSettings(raw []byte, command string) (map[string]value, error) {
	if err := usage.CheckNesting(string(raw)); err != nil {
		return nil, err
	}
	var read map[string]any
	if _, err := toml.Decode(string(raw), &read); err != nil {
		return nil, err
	}
	values := map[string]value{}
	for key, x := range read {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == key || s.was == key && key != "" })
		if i < 0 {
			return nil, fmt.Errorf("there is no setting %q: %s", key, meant(key, command))
		}
		if !settings[i].isOf(command) {
			return nil, fmt.Errorf("%s is a setting of galaxy %s and not of galaxy %s: leave it out", key, settings[i].of, command)
		}
		if !settings[i].inPlan() {
			return nil, fmt.Errorf("%s is no setting of a run but of one command: give --%[1]s", key)
		}
		text, err := tomlText(x)
		if err != nil {
			return nil, fmt.Errorf("%s = %v: %w", key, x, err)
		}
		name := settings[i].name
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%s and %s are names of one setting: give one of them", name, settings[i].was)
		}
		values[name] = value{text: text}
	}
	return values, nil
}

var errTOML = errors.New("expected a text, a number, true, false or a list of these")

// tomlText is a value of TOML as a person would type it after a flag.
func tomlText(x any) (string, error) {
	switch x := x.(type) {
	case string:
		return x, nil
	case bool, int64:
		return fmt.Sprint(x), nil
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case []any:
		var texts []string
		for _, one := range x {
			text, err := tomlText(one)
			if _, list := one.([]any); err != nil || list {
				return "", errTOML
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), nil
	}
	return "", errTOML
}

// meant suggests a setting for a name that is none.
func meant(name, command string) string {
	var names []string
	for i := range settings {
		if settings[i].inPlan() && settings[i].isOf(command) {
			names = append(names, settings[i].name)
		}
	}
	return usage.DidYouMean(strings.ReplaceAll(name, "_", "-"), names, fmt.Sprintf("galaxy %s --print-config lists them", command))
}

// printed reports whether the setting is one that c's run has: of a length, the one that is given.
func (s *setting) printed(c *request) bool {
	return s.inPlan() && s.isOf(c.command()) && s.applies(c) && (s.instead == "" || s.text(c) != s.text(new(request)))
}

// printSettings writes the settings of the run, by category, as a file that readSettings reads.
func (c *request) printSettings(w io.Writer) {
	var categories []string
	lines := map[string][]string{}
	for i := range settings {
		s := &settings[i]
		if !s.printed(c) {
			continue
		}
		line, err := toml.Marshal(map[string]any{s.name: s.toml(c)})
		if err != nil {
			line = fmt.Appendf(nil, "# %s: %v", s.name, err) // no type of a setting has this
		}
		if lines[s.category] == nil {
			categories = append(categories, s.category)
		}
		lines[s.category] = append(lines[s.category], fmt.Sprintf("%-36s # %s", bytes.TrimSpace(line), c.source(s)))
	}
	for i, category := range categories {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s\n%s\n", category, strings.Join(lines[category], "\n"))
	}
}

// toml is the value of the setting in c as TOML has it: text unless that is a plain number.
func (s *setting) toml(c *request) any {
	switch f := s.field(c).(type) {
	case *bool:
		return *f
	case *int:
		return *f
	case *int64:
		return *f
	case *float64:
		return *f
	case *[]float64:
		return *f
	case constant:
		return f.value()
	}
	text := s.text(c)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}
