package labels

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"galaxy/internal/usage"
)

// maxFile bounds a schema file: the largest built-in one has 8 kB.
const maxFile = 1 << 20

// A file is a schema file: a Definition, in which of_asked can be set for all questions at once.
type file struct {
	Definition
	OfAsked bool `toml:"of_asked"`
}

// keysOf lists the keys of a schema file by the table that they are in.
var keysOf = map[string][]string{
	"":                  {"name", "values", "of_asked", "questions", "classes"},
	"questions":         {"text", "after", "of_asked", "total", "answers"},
	"questions.answers": {"column", "text"},
	"classes":           {"name", "at_least"},
	"classes.at_least":  {"column", "fraction"},
}

// Read reads a schema file: TOML, as docs/schemas.md describes it. Text that is no TOML, a value of
// the wrong type (both with the line), an unknown key (with the nearest known one) and a
// definition that New does not take are errors.
func Read(r io.Reader) (*Schema, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read label schema: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("label schema: more than %d bytes; expected a schema file", maxFile)
	}
	if err := usage.CheckNesting(string(text)); err != nil {
		return nil, fmt.Errorf("label schema: %w", err)
	}
	var f file
	meta, err := toml.Decode(string(text), &f)
	if err != nil {
		return nil, fmt.Errorf("label schema: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		key := unknown[0]
		last := len(key) - 1
		known := keysOf[strings.Join(key[:last], ".")]
		return nil, fmt.Errorf("label schema: there is no key %q: %s", key.String(), usage.DidYouMean(key[last], known, "expected "+usage.OneOf(known)))
	}
	for i := range f.Questions {
		q := &f.Questions[i]
		q.OfAsked = q.OfAsked || f.OfAsked && len(q.After) > 0
	}
	return New(f.Definition)
}

// Write writes the schema file of s, which Read reads as the same schema. A schema of classes
// that is derived from another has none: that is an error.
func Write(w io.Writer, s *Schema) error {
	if s.Derived() {
		return errors.New("write label schema: it is derived; write the schema that it is derived from")
	}
	var b strings.Builder
	d := &s.definition
	fmt.Fprintf(&b, "name = %s\nvalues = %s\n", quote(d.Name), quote(d.Values.String()))
	for _, q := range d.Questions {
		fmt.Fprintf(&b, "\n[[questions]]\ntext = %s\n", quote(q.Text))
		if len(q.After) > 0 {
			var after []string
			for _, name := range q.After {
				after = append(after, quote(name))
			}
			fmt.Fprintf(&b, "after = [%s]\n", strings.Join(after, ", "))
		}
		if q.OfAsked && d.Values == Fractions {
			b.WriteString("of_asked = true\n")
		}
		if q.Total != "" {
			fmt.Fprintf(&b, "total = %s\n", quote(q.Total))
		}
		b.WriteString("answers = [\n")
		for _, a := range q.Answers {
			fmt.Fprintf(&b, "  {column = %s, text = %s},\n", quote(a.Name), quote(a.Text))
		}
		b.WriteString("]\n")
	}
	for _, c := range d.Classes {
		fmt.Fprintf(&b, "\n[[classes]]\nname = %s\nat_least = [\n", quote(c.Name))
		for _, t := range c.AtLeast {
			fmt.Fprintf(&b, "  {column = %s, fraction = %s},\n", quote(t.Column), strconv.FormatFloat(float64(t.Fraction), 'g', -1, 32))
		}
		b.WriteString("]\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write label schema: %w", err)
	}
	return nil
}

// quote returns s as a string of TOML.
func quote(s string) string {
	line, err := toml.Marshal(map[string]string{"x": s})
	if err != nil {
		return strconv.Quote(s) // no string fails
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(line), "x = "), "\n")
}
