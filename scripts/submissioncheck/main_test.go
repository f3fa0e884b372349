package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	header := "GalaxyID," + strings.Join(schema.Columns(), ",") + "\n"
	// Nobody saw a disk or anything odd.
	const answers = "0.70000,0.20000,0.10000,0.10000,0.10000,0.10000,0.00000,0.00000,0.10000,0.00000,0.10000,0.00000,0.00000,0.00000,1.00000," +
		"0.30000,0.40000,0.00000,0,0,0,0,0,0,0,0.10000,0,0,0,0,0,0,0,0,0,0,0\n"
	zeros := strings.Repeat(",0", schema.Width()) + "\n"
	sample := header + "100018" + zeros + "100037" + zeros
	good := header + "100018," + answers + "100037," + answers
	for _, c := range []struct {
		name, file, sample string
		loose              bool
		want               string // part of the error; empty: none
	}{
		{name: "good", file: good},
		{name: "rounded", file: strings.Replace(good, "0.70000", "0.69992", 1)},
		{name: "sums", file: strings.Replace(good, "0.40000", "0.41000", 1), want: "line 2: galaxy 100018: the answers of question 7 sum to 0.71"},
		{name: "sums allowed", file: strings.Replace(good, "0.40000", "0.41000", 1), loose: true},
		{name: "zeros", file: sample, want: "line 2: galaxy 100018: the answers of question 1 sum to 0"},
		{name: "order", file: header + "100037," + answers + "100018," + answers, want: "line 2: galaxy 100037, where the sample has 100018"},
		{name: "one less", file: header + "100018," + answers, want: "line 3: the file ends; the sample goes on with 100037"},
		{name: "one more", file: good + "100042," + answers, want: "line 4: 100042 is a row too many"},
		{name: "NaN", file: strings.Replace(good, "0.40000", "NaN", 1), want: `Class7.2 is "NaN"`},
		{name: "negative", file: strings.Replace(good, "0.40000", "-0.1", 1), want: `Class7.2 is "-0.1"`, loose: true},
		{name: "above one", file: strings.Replace(good, "1.00000", "1.00001", 1), want: `Class6.2 is "1.00001"`},
		{name: "header", file: strings.Replace(good, "Class1.2,Class1.3", "Class1.3,Class1.2", 1), want: "line 1: the header is"},
		{name: "field lost", file: strings.Replace(good, ",0.40000", "", 1), want: "wrong number of fields"},
		{name: "nothing", file: "", want: "line 1: the file ends"},
		{name: "no rows", file: header, sample: header, want: "no rows"},
		{name: "another sample", file: good, sample: "id\n1\n", want: "the sample's header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.sample == "" {
				c.sample = sample
			}
			a, b := filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv")
			for path, text := range map[string]string{a: c.file, b: c.sample} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := check(&out, !c.loose, a, b)
			if c.want == "" && (err != nil || !strings.Contains(out.String(), "2 rows in the order of")) {
				t.Fatal(err, out.String())
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}
