package labels_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"galaxy/labels"
)

// mergers is a schema file as a user would write it.
const mergers = `
name = "mergers"
values = "counts"

[[questions]]
text = "Is it smooth?"
total = "smooth_total"
answers = [
  {column = "smooth_yes", text = "yes"},
  {column = "smooth_no", text = "no"},
]

[[questions]]
text = "Is it a merger?"
after = ["smooth_yes", "smooth_no"]
answers = [
  {column = "merger_yes", text = "yes"},
  {column = "merger_no", text = "no"},
]

[[classes]]
name = "merger"
at_least = [{column = "merger_yes", fraction = 0.8}]

[[classes]]
name = "calm"
at_least = [{column = "smooth_yes", fraction = 0.5}, {column = "merger_no", fraction = 1}]
`

func read(text string) (*labels.Schema, error) { return labels.Read(strings.NewReader(text)) }

func ExampleRead() {
	s, err := read(mergers)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s, s.Values(), s.Columns())
	for _, q := range s.Questions() {
		fmt.Printf("%d. %s (after %q, total %q)\n", q.Number, q.Text, q.After, q.Total)
	}
	fmt.Println(s.ClassName(s.ClassOf([]float32{5, 1, 1, 5})))
	// Output:
	// mergers counts [smooth_yes smooth_no merger_yes merger_no]
	// 1. Is it smooth? (after [], total "smooth_total")
	// 2. Is it a merger? (after ["smooth_yes" "smooth_no"], total "")
	// unclear
}

// The example of the documentation is a schema file.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/schemas.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```toml\n")
	text, _, found := strings.Cut(text, "```")
	s, err := read(text)
	if err != nil || !found || s.Classes().Width() != 2 || s.Values() != labels.Counts {
		t.Errorf("%v (%v) was read from\n%s", s, err, text)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, now, want string }{
		{"no TOML", "values = ", "values ", "label schema: toml: line 3"},
		{"a text for a list", `["smooth_yes", "smooth_no"]`, `"smooth_yes"`, "questions.after"},
		{"a number for a text", `"Is it smooth?"`, "7", "questions.text"},
		{"a text for a number", "0.8", `"most"`, "classes.at_least.fraction"},
		{"an unknown key", "values =", "valeus =", `there is no key "valeus": did you mean values?`},
		{"an unknown key of a question", "after =", "afterwards =", `there is no key "questions.afterwards": did you mean after?`},
		{"an unknown key of an answer", `{column = "merger_no"`, `{colum = "merger_no"`, `there is no key "questions.answers.colum": did you mean column?`},
		{"an unknown key of a class", "at_least = [{column = \"merger", "at_most = [{column = \"merger", `there is no key "classes.at_most": did you mean at_least?`},
		{"an unknown key of a threshold", "fraction = 0.8", "share = 0.8", `there is no key "classes.at_least.share": expected column or fraction`},
		{"a key twice", `name = "mergers"`, "name = \"mergers\"\nname = \"x\"", "label schema: toml: line 3"},
		{"other values", `"counts"`, `"votes"`, `label schema "mergers": its values are "votes": expected fractions or counts`},
		{"a column twice", `"smooth_no"`, `"smooth_yes"`, `question 1: column "smooth_yes"`},
		{"after two answers of one volunteer", `after = ["smooth_yes", "smooth_no"]`, `after = ["smooth_yes", "smooth_no"]
answers = [{column = "x", text = "x"}, {column = "y", text = "y"}]
[[questions]]
text = "z"
after = ["smooth_yes", "x"]`, `question 3: it is asked after smooth_yes and x, and one volunteer can give both`},
		{"after nothing", `["smooth_yes", `, `["smoth_yes", `, `question 2: it is asked after "smoth_yes": there is no such column: did you mean smooth_yes?`},
		{"a rule over nothing", `{column = "merger_yes", f`, `{column = "merger", f`, `label schema "mergers": class "merger": there is no column "merger": did you mean merger_no?`},
		{"tables in each other", mergers, "a = " + strings.Repeat("{a=", 300_000), "toml: line 1: tables, arrays or dotted names are nested more than 16 deep"},
		{"long names", mergers, strings.Repeat("a.", 300_000), "toml: line 1: tables, arrays or dotted names are nested more than 16 deep"},
		{"no questions", mergers, `name = "x"`, "expected at least one question"},
		{"nothing", mergers, "", "expected a name"},
	} {
		text := strings.Replace(mergers, c.old, c.now, 1)
		if text == mergers {
			t.Fatalf("%s: nothing was replaced", c.name)
		}
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "label schema") != 1 {
			t.Errorf("%s: got %v, expected an error with %q", c.name, err, c.want)
		}
	}
	if _, err := read(strings.Repeat("#\n", 1<<20)); err == nil || !strings.Contains(err.Error(), "expected a schema file") {
		t.Errorf("a file of 2 MiB: %v", err)
	}
	broken := errors.New("broken")
	if _, err := labels.Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// of_asked before the questions holds for all that can have it.
func TestOfAskedForAll(t *testing.T) {
	s, err := read("of_asked = true\n" + strings.Replace(mergers, "counts", "fractions", 1))
	if err != nil {
		t.Fatal(err)
	}
	if q := s.Questions(); q[0].OfAsked || !q[1].OfAsked || s.Values() != labels.Fractions {
		t.Errorf("questions %+v", q)
	}
}

// anySchema draws a schema that New takes.
func anySchema() *rapid.Generator[*labels.Schema] {
	return rapid.Custom(func(t *rapid.T) *labels.Schema {
		text := rapid.String()
		values := rapid.SampledFrom([]labels.Values{labels.Fractions, labels.Counts}).Draw(t, "values")
		d := labels.Definition{Name: "s" + text.Draw(t, "name"), Values: values}
		columns := rapid.SliceOfNDistinct(rapid.StringN(1, -1, -1), 4, 12, rapid.ID[string]).Draw(t, "columns")
		var names []string
		for i := 0; i+1 < len(columns); i += 2 {
			q := labels.Question{Text: text.Draw(t, "question")}
			for _, name := range columns[i : i+2] {
				q.Answers = append(q.Answers, labels.Answer{Name: name, Text: text.Draw(t, "answer")})
			}
			if i > 0 {
				q.After = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID[string]).Draw(t, "after")
			}
			q.OfAsked = len(q.After) > 1 || len(q.After) == 1 && rapid.Bool().Draw(t, "of asked")
			d.Questions, names = append(d.Questions, q), append(names, columns[i:i+2]...)
			if _, err := labels.New(d); err != nil { // one volunteer can give two of the answers
				d.Questions[i/2].After, d.Questions[i/2].OfAsked = nil, false
			}
		}
		if rapid.Bool().Draw(t, "total") {
			d.Questions[0].Total = strings.Join(columns, "") + "total"
		}
		if rapid.Bool().Draw(t, "classes") {
			for _, name := range names {
				fraction := rapid.Float32Range(1e-9, 1).Draw(t, "fraction")
				d.Classes = append(d.Classes, labels.Class{Name: "is " + name, AtLeast: []labels.Threshold{{Column: name, Fraction: fraction}}})
			}
		}
		s, err := labels.New(d)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// What Write writes is read as the same schema, and written again as the same bytes.
func TestFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchema().Draw(t, "schema")
		var first, second bytes.Buffer
		if err := labels.Write(&first, s); err != nil {
			t.Fatal(err)
		}
		got, err := labels.Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v\n%s", err, first.String())
		}
		if !got.Equal(s) {
			t.Fatalf("another schema was read from\n%s", first.String())
		}
		if err := labels.Write(&second, got); err != nil || second.String() != first.String() {
			t.Fatalf("%v\n%s\nwas written first as\n%s", err, second.String(), first.String())
		}
	})
	if err := labels.Write(io.Discard, zoo.Classes()); err == nil {
		t.Error("a derived schema was written")
	}
	if err := labels.Write(os.NewFile(^uintptr(0), "closed"), zoo); err == nil {
		t.Error("a file that cannot be written was written")
	}
}

// Whatever a file holds, there is a schema that can be used and written, or an error.
func FuzzRead(f *testing.F) {
	f.Add([]byte(mergers))
	f.Add([]byte("of_asked = true\n" + mergers))
	for _, key := range []string{"challenge", "rings", "euclid"} {
		b, _ := labels.Named(key)
		f.Add([]byte(b.Text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := labels.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		use(t, s)
		var b bytes.Buffer
		if err := labels.Write(&b, s); err != nil {
			t.Fatal(err)
		}
		if again, err := labels.Read(&b); err != nil || !again.Equal(s) {
			t.Fatalf("written and read again it is another schema (%v)", err)
		}
	})
}
