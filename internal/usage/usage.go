// Package usage holds errors about the user's settings.
//
// Packages name settings as config.json does ("schedule.rate"), or by an argument's name
// ("out"), because they cannot know where a value came from. Text replaces these names
// by what the person typed: a flag, an environment variable, a key of a file.
package usage

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/xrash/smetrics"
)

// Error is a mistake in the user's settings. Nothing was started.
type Error struct{ Err error }

// Error returns the text of Err.
func (e Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e Error) Unwrap() error { return e.Err }

// Field is the error of a setting's value.
type Field struct {
	// Name is the setting's path as in config.json, or an argument's name. A package's
	// Validate has it relative to its own struct: In prefixes it.
	Name string
	// Got is the value.
	Got any
	// Expected lists the possible values; Try, if set, says what to do. Both may
	// mention settings: see Errorf.
	Expected, Try string
}

// Error returns 'name got: expected …; try'.
func (f *Field) Error() string { return f.text(Plain) }

func (f *Field) text(names Names) string {
	got := fmt.Sprint(f.Got)
	if got == "" {
		got = `""`
	}
	text := names(f.Name, got, true) + ": expected " + mention(f.Expected, names)
	if f.Try != "" {
		text += "; " + mention(f.Try, names)
	}
	return text
}

// Hint is an error whose text mentions settings.
type Hint struct {
	format string
	args   []any
	plain  error
}

// Errorf is fmt.Errorf with a format that mentions settings: {batch} is a setting,
// {batch=32} a value to choose for it, and {batch:64} its current value.
func Errorf(format string, args ...any) error {
	return &Hint{format, args, fmt.Errorf(mention(format, Plain), args...)}
}

// Error returns the text with the plain names.
func (h *Hint) Error() string { return h.plain.Error() }

// Unwrap returns the error of fmt.Errorf.
func (h *Hint) Unwrap() error { return h.plain }

func (h *Hint) text(names Names) string {
	escaped := func(name, value string, has bool) string { // h.format is a format string
		return strings.ReplaceAll(names(name, strings.ReplaceAll(value, "%%", "%"), has), "%", "%%")
	}
	return fmt.Errorf(mention(h.format, escaped), h.args...).Error()
}

// Names returns how to show a setting to a person. value is "" (only the name), the
// setting's current value if has is true, or otherwise a value to choose.
type Names func(name, value string, has bool) string

// Plain shows a setting by its name in config.json.
func Plain(name, value string, _ bool) string { return strings.TrimSpace(name + " " + value) }

var mentions = regexp.MustCompile(`\{([a-z0-9_.]+)(?:([=:])([^{}]*))?\}`)

func mention(text string, names Names) string {
	return mentions.ReplaceAllStringFunc(text, func(m string) string {
		parts := mentions.FindStringSubmatch(m)
		return names(parts[1], parts[3], parts[2] == ":")
	})
}

// In adds a prefix to the names in err, which is nil, a Field, or fields joined by
// errors.Join: use it if their struct is the field named prefix of another struct.
func In(prefix string, err error) error {
	qualified := func(text string) string {
		return mentions.ReplaceAllString(text, "{"+prefix+".$1$2$3}")
	}
	switch e := err.(type) { //nolint:errorlint // one level at a time
	case *Field:
		return &Field{prefix + "." + e.Name, e.Got, qualified(e.Expected), qualified(e.Try)}
	case interface{ Unwrap() []error }:
		var errs []error
		for _, one := range e.Unwrap() {
			errs = append(errs, In(prefix, one))
		}
		return errors.Join(errs...)
	}
	return err
}

// Text returns the text of err with the settings in it shown as names does.
func Text(err error, names Names) string {
	text := err.Error()
	var replace func(err error)
	replace = func(err error) {
		if _, ok := err.(shown); ok { //nolint:errorlint // replace walks the tree itself
			return // or "--batch" would become "----batch"
		}
		if e, ok := err.(interface{ text(Names) string }); ok {
			text = strings.Replace(text, err.Error(), e.text(names), 1)
		}
		switch e := err.(type) { //nolint:errorlint // replace walks the tree itself
		case interface{ Unwrap() error }:
			replace(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				replace(one)
			}
		}
	}
	replace(err) // from the outside in: an outer text includes the inner ones
	return text
}

// Show returns err, which may be nil, with its text fixed to the result of Text: later calls
// of Text do not change it.
func Show(err error, names Names) error {
	if err == nil {
		return nil
	}
	return shown{err, Text(err, names)}
}

type shown struct {
	error
	text string
}

func (s shown) Error() string { return s.text }

func (s shown) Unwrap() error { return s.error }

// Count counts things: "1 row", "2 rows", "0 galaxies", "3 micro-batches".
func Count[N int | int64](n N, noun string) string {
	stem, isY := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
		return "1 " + noun
	case isY && !strings.HasSuffix(stem, "a") && !strings.HasSuffix(stem, "e") && !strings.HasSuffix(stem, "o"):
		noun = stem + "ie"
	case strings.HasSuffix(noun, "ch"), strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "x"):
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// OneOf lists names as 'a, b or c'.
func OneOf[T ~string](names []T) string {
	var text strings.Builder
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			text.WriteString(" or ")
		case i > 0:
			text.WriteString(", ")
		}
		text.WriteString(string(name))
	}
	return text.String()
}

// near is the least similarity of a name that is suggested in place of another: "sizes" for "size", and not
// "lr" for "learning-rate".
const near = 0.8

// Nearest returns the one of names that is most like a misspelt name, letters' case aside, or "" if none is like
// it.
func Nearest(name string, names []string) string {
	best, likeness := "", near
	for _, s := range names {
		if len(s) > 200 || len(name) > 200 { // the time grows with their product
			continue
		}
		if x := smetrics.JaroWinkler(strings.ToLower(name), strings.ToLower(s), 0.7, 4); x > likeness {
			best, likeness = s, x
		}
	}
	return best
}

// DidYouMean ends a message about a misspelt name: "did you mean size?" with the nearest of names, or otherwise if
// none is near.
func DidYouMean(name string, names []string, otherwise string) string {
	if nearest := Nearest(name, names); nearest != "" {
		return "did you mean " + nearest + "?"
	}
	return otherwise
}
