package usage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"galaxy/internal/usage"
)

func flags(name, value string, has bool) string {
	if has {
		return "given --" + name + " " + value
	}
	return usage.Plain("--"+name, value, has)
}

func TestText(t *testing.T) {
	rate := &usage.Field{Name: "rate", Got: 0.0, Expected: "more than {floor}", Try: "choose {rate=0.1}"}
	empty := &usage.Field{Name: "kind", Got: "", Expected: "a or b"}
	wrapped := usage.Errorf("resume: %w (100%%; as {batch:64}): {warmup=5%%}", fs.ErrNotExist)
	for _, c := range []struct {
		err         error
		plain, text string
	}{
		{rate, "rate 0: expected more than floor; choose rate 0.1", "given --rate 0: expected more than --floor; choose --rate 0.1"},
		{empty, `kind "": expected a or b`, `given --kind "": expected a or b`},
		{usage.In("schedule", rate), "schedule.rate 0: expected more than schedule.floor; choose schedule.rate 0.1",
			"given --schedule.rate 0: expected more than --schedule.floor; choose --schedule.rate 0.1"},
		{usage.In("a", usage.In("b", errors.Join(rate, nil, empty))),
			"a.b.rate 0: expected more than a.b.floor; choose a.b.rate 0.1\na.b.kind \"\": expected a or b",
			"given --a.b.rate 0: expected more than --a.b.floor; choose --a.b.rate 0.1\ngiven --a.b.kind \"\": expected a or b"},
		{wrapped, "resume: file does not exist (100%; as batch 64): warmup 5%", "resume: file does not exist (100%; as given --batch 64): --warmup 5%"},
		{fmt.Errorf("x: %w", usage.Error{usage.Errorf("{out}: %w", rate)}), "x: out: rate 0: expected more than floor; choose rate 0.1",
			"x: --out: given --rate 0: expected more than --floor; choose --rate 0.1"},
		{fmt.Errorf("x: %w", usage.Show(empty, usage.Names(func(name, value string, _ bool) string { return "--" + name + " " + value }))),
			`x: --kind "": expected a or b`, `x: --kind "": expected a or b`}, // once is enough
		{errors.New(`{"cluster"}`), `{"cluster"}`, `{"cluster"}`},
	} {
		if got := c.err.Error(); got != c.plain {
			t.Errorf("plain:\n%s\nexpected\n%s", got, c.plain)
		}
		if got := usage.Text(c.err, flags); got != c.text {
			t.Errorf("text:\n%s\nexpected\n%s", got, c.text)
		}
	}
	if usage.In("x", nil) != nil {
		t.Error("In makes an error of none")
	}
	if !errors.Is(wrapped, fs.ErrNotExist) {
		t.Error("Errorf does not wrap")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"values", "questions", "Classes"}
	for name, want := range map[string]string{"valeus": "values", "question": "questions", "classes": "Classes", "learning_rate": "", "x": "", strings.Repeat("values", 99): ""} {
		if got := usage.Nearest(name, names); got != want {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
	if got := usage.Nearest("x", nil); got != "" {
		t.Errorf("the nearest of no names is %q", got)
	}
	if got := usage.DidYouMean("value", names, "") + usage.DidYouMean("x", names, " expected y"); got != "did you mean values? expected y" {
		t.Error(got)
	}
}

func TestCount(t *testing.T) {
	for want, got := range map[string]string{
		"1 galaxy":        usage.Count(1, "galaxy"),
		"0 galaxies":      usage.Count(0, "galaxy"),
		"2 classes":       usage.Count(2, "class"),
		"3 micro-batches": usage.Count(int64(3), "micro-batch"),
		"4 ways":          usage.Count(4, "way"),
		"5 boxes":         usage.Count(5, "box"),
		"1 row":           usage.Count(1, "row"),
		"6 rows":          usage.Count(6, "row"),
	} {
		if got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
