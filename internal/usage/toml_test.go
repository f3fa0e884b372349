package usage_test

import (
	"strings"
	"testing"

	"galaxy/internal/usage"
)

func TestCheckNesting(t *testing.T) {
	for _, text := range []string{
		"", "a = [[1.5, 2.5], {b = 3}]", "a.b.c = 1\n[d.e]\n",
		strings.Repeat("a = [{b = 1.5}] # [{.\n", 100),
		strings.Repeat("a = [1.5, 2.5, 3.5, 4.5]\n", 100),
		`a = "` + strings.Repeat(`[{.\"`, 100) + `"`,
		"a = '" + strings.Repeat(`[{.\`, 100) + "'",
		`a = """` + strings.Repeat("[{.\"\n", 100) + `"""`,
		"a = '''" + strings.Repeat("[{.'\n", 100) + "'''",
		`a = "`, `a = "\`, `a = """`, "a = '",
	} {
		if err := usage.CheckNesting(text); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for _, text := range []string{
		"x = 1\na = " + strings.Repeat("{a=", 17),
		"x = 1\na = " + strings.Repeat("[", 17),
		"x = '''\n'''" + strings.Repeat(".a", 17),
		"\n[" + strings.Repeat("a.", 17) + "a]",
		"x = 1 # '\na = " + strings.Repeat("[", 17),
		"x = \"\na = " + strings.Repeat("[", 17),
	} {
		if err := usage.CheckNesting(text); err == nil || !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%.40q: got %v, expected an error in line 2", text, err)
		}
	}
}
