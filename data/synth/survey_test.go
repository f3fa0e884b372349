package synth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/labels"
	"galaxy/labels/labelstest"

	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

// surveyed are the schemas that volunteers are asked in tests.
func surveyed(t interface{ Fatal(...any) }) []*labels.Schema {
	counts, err := schema.With(labels.Counts)
	if err != nil {
		t.Fatal(err)
	}
	all := []*labels.Schema{counts, labelstest.Small(), labelstest.SmallCounts(), labelstest.SmallCounts().Predicted()}
	for _, b := range labels.Builtin() {
		all = append(all, b.Schema)
	}
	return all
}

// Any galaxy under any schema has labels that satisfy its rules: counts of 20 to 80 volunteers
// who all answer what they are asked, or fractions.
func TestAnySurvey(t *testing.T) {
	var surveys []*survey
	for _, s := range surveyed(t) {
		surveys = append(surveys, newSurvey(s))
	}
	rapid.Check(t, func(t *rapid.T) {
		y := rapid.SampledFrom(surveys).Draw(t, "survey")
		if rapid.Bool().Draw(t, "random schema") {
			y = newSurvey(randomSchema.Draw(t, "schema"))
			y.least, y.most = 1, 6
		}
		seed, i := rapid.Int64().Draw(t, "seed"), rapid.IntRange(0, maxCount).Draw(t, "i")
		row := make([]float32, y.schema.Width())
		for j, v := range y.vote(newGalaxy(seed, i), newStream(seed, i, streamVotes))[:y.schema.Width()] {
			if row[j] = float32(v); !y.schema.Values().Holds(row[j]) {
				t.Fatalf("column %d is %v", j, v)
			}
		}
		if err := y.schema.CheckSums(row, 1e-6); err != nil {
			t.Fatal(err)
		}
		if y.schema.Values() == labels.Fractions {
			return
		}
		voters := y.schema.Votes(row, 0)
		if voters < float64(y.least) || voters > float64(y.most) {
			t.Errorf("%v volunteers", voters)
		}
		for i, q := range y.questions {
			asked := 0.0
			for _, column := range q.AfterColumns {
				asked += float64(row[column])
			}
			if len(q.AfterColumns) == 0 {
				asked = voters
			}
			if got := y.schema.Votes(row, i); got != asked {
				t.Errorf("question %d has %v votes of %v", q.Number, got, asked)
			}
		}
	})
}

// A question to which nobody comes gets its last answer, and so do the questions after that answer.
func TestNobodyComes(t *testing.T) {
	answers := func(names ...string) (all []labels.Answer) {
		for _, name := range names {
			all = append(all, labels.Answer{Name: name, Text: name})
		}
		return all
	}
	s, err := labels.New(labels.Definition{Name: "deep", Questions: []labels.Question{
		{Text: "one", Answers: answers("a", "b")},
		{Text: "two", Answers: answers("c", "d"), After: []string{"a"}, OfAsked: true},
		{Text: "three", Answers: answers("e", "f"), After: []string{"d"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	y := newSurvey(s)
	y.least, y.most = 1, 1
	nobody := 0
	for i := range 100 {
		row := make([]float32, s.Width())
		for j, v := range y.vote(newGalaxy(1, i), newStream(1, i, streamVotes)) {
			row[j] = float32(v)
		}
		if err := s.CheckSums(row, 0); err != nil {
			t.Fatalf("galaxy %d: %v", i, err)
		}
		if row[1] == 1 {
			nobody++
		}
	}
	if nobody == 0 {
		t.Error("somebody always came to question 2")
	}
}

// randomSchema draws schemas of any shape. Among their questions are such as nobody comes to.
var randomSchema = rapid.Custom(func(t *rapid.T) *labels.Schema {
	var answers []string
	d := labels.Definition{Name: "random", Values: rapid.SampledFrom([]labels.Values{labels.Counts, labels.Fractions}).Draw(t, "values")}
	for i := range rapid.IntRange(1, 6).Draw(t, "questions") {
		q := labels.Question{Text: strconv.Itoa(i)}
		if len(answers) > 0 {
			q.After = rapid.SliceOfNDistinct(rapid.SampledFrom(answers), 0, 3, rapid.ID).Draw(t, "after")
			q.OfAsked = len(q.After) > 0 && rapid.Bool().Draw(t, "of asked")
		}
		for k := range rapid.IntRange(2, 4).Draw(t, "answers") {
			q.Answers = append(q.Answers, labels.Answer{Name: fmt.Sprintf("q%d_a%d", i, k), Text: "x"})
		}
		d.Questions = append(d.Questions, q)
		if _, err := labels.New(d); err != nil { // one volunteer may give both, or they are fractions of different volunteers
			d.Questions[i].After, d.Questions[i].OfAsked = nil, false
		}
		for _, a := range q.Answers {
			answers = append(answers, a.Name)
		}
	}
	s, err := labels.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
})

// The campaigns' questions are known by their names, except a few; one with an answer that is
// not known is unknown as a whole.
func TestKnownQuestions(t *testing.T) {
	for _, b := range labels.Builtin() {
		if b.Schema == schema {
			continue
		}
		for _, q := range b.Schema.Questions() {
			rare := strings.Contains(q.Answers[0].Name, "symmetrical") ||
				strings.HasPrefix(q.Answers[0].Name, "problem") || strings.HasPrefix(q.Answers[0].Name, "artifact")
			var names []string
			for _, a := range q.Answers {
				names = append(names, a.Name[strings.LastIndexByte(a.Name, '_')+1:])
			}
			question, _, _ := strings.Cut(q.Answers[0].Name, "_")
			if got := knownOdds(question, names) != nil; got == rare {
				t.Errorf("%s: question %q is known: %v", b.Key, q.Text, got)
			}
		}
	}
	if knownOdds("bar", []string{"yes", "perhaps"}) != nil {
		t.Error("an answer that is not known has odds")
	}
	// The challenge's own are known by their texts, except which oddity it is.
	for i, q := range questions {
		var texts []string
		for _, a := range q.Answers {
			texts = append(texts, a.Text)
		}
		odds := knownOdds(q.Text, texts)
		if (odds == nil) != (q.Number == 8) {
			t.Errorf("question %d is known: %v", q.Number, odds != nil)
		}
		for k, o := range odds {
			if o.column != questions[i].First+k {
				t.Errorf("%s is like %s", q.Answers[k].Name, schema.Columns()[o.column])
			}
		}
	}
}

// A campaign's answers agree with the challenge's about the same galaxies, and an unknown question's
// differ from galaxy to galaxy.
func TestSurveysAgree(t *testing.T) {
	const galaxies = 300
	gz2, _ := labels.Named("gz2")
	hubble, _ := labels.Named("hubble")
	campaign, other := newSurvey(gz2.Schema), newSurvey(hubble.Schema)
	symmetrical := slices.Index(other.schema.Columns(), "galaxy-symmetrical-hubble_yes")
	var a, b, odds []float64
	for i := range galaxies {
		g := newGalaxy(3, i)
		row := campaign.vote(g, newStream(3, i, streamVotes))
		a = append(a, row[0]/(row[0]+row[1]+row[2]))
		b = append(b, challenge.vote(g, newStream(4, i, streamVotes))[0])
		l := other.believe(g)
		odds = append(odds, l[symmetrical]-l[symmetrical+1])
	}
	if r := stat.Correlation(a, b, nil); r < 0.9 {
		t.Errorf("smooth of gz2 and of the challenge have the correlation %.2f", r)
	}
	if sd := stat.StdDev(odds, nil); sd < 0.3 || sd > 4 {
		t.Errorf("the log odds of an unknown question spread by %.2f", sd)
	}
}

// A data set of counts has whole numbers and its schema, the same bytes on any number of workers, and
// can be read.
func TestGenerateCounts(t *testing.T) {
	gz2, _ := labels.Named("gz2")
	first := ""
	for _, workers := range []int{1, 3} {
		out := filepath.Join(t.TempDir(), "set")
		if err := Generate(context.Background(), Config{Out: out, Count: 6, Seed: 5, Workers: workers, Schema: gz2.Schema}); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, out, ImagesDir, SchemaFile, LabelsFile)
		text, err := os.ReadFile(filepath.Join(out, SchemaFile))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := labels.Read(strings.NewReader(string(text))); err != nil || !s.Equal(gz2.Schema) {
			t.Errorf("another schema was written (%v)", err)
		}
		catalog, err := data.ReadCatalog(filepath.Join(out, LabelsFile), gz2.Schema, data.KeyColumns{})
		if err != nil || len(catalog.IDs) != 6 {
			t.Fatal(err)
		}
		rows, err := os.ReadFile(filepath.Join(out, LabelsFile))
		if err != nil || strings.Contains(string(rows), ".") {
			t.Errorf("a count has a fraction (%v)", err)
		}
		if got := fingerprint(t, out); first == "" {
			first = got
		} else if got != first {
			t.Error("3 workers write other bytes than 1")
		}
	}
}

// A schema's totals are columns of the table, of fractions too.
func TestGenerateTotals(t *testing.T) {
	for _, values := range []labels.Values{labels.Counts, labels.Fractions} {
		s, err := labels.New(labels.Definition{Name: "totals", Values: values, Questions: []labels.Question{
			{Text: "Is it smooth?", Total: "smooth_total", Answers: []labels.Answer{{Name: "smooth_yes", Text: "yes"}, {Name: "smooth_no", Text: "no"}}},
			{Text: "Is it a bar?", Total: "bar_total", After: []string{"smooth_no"}, Answers: []labels.Answer{{Name: "bar_yes", Text: "yes"}, {Name: "bar_no", Text: "no"}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "set")
		if err := Generate(context.Background(), Config{Out: out, Count: 6, Seed: 5, Schema: s}); err != nil {
			t.Fatal(err)
		}
		catalog, err := data.ReadCatalog(filepath.Join(out, LabelsFile), s, data.KeyColumns{})
		if err != nil || len(catalog.IDs) != 6 {
			t.Fatalf("%v: %v", values, err)
		}
		rows, err := os.ReadFile(filepath.Join(out, LabelsFile))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(rows)), "\n")
		for _, line := range lines[1:] {
			cells := strings.Split(line, ",")
			if smooth, err := strconv.Atoi(cells[5]); err != nil || smooth < 20 || smooth > 80 {
				t.Errorf("%v: smooth_total is %q: expected 20 to 80 volunteers", values, cells[5])
			}
			if values == labels.Counts && cells[6] != cells[2] {
				t.Errorf("bar_total is %s: expected %s, the votes for smooth_no, which lead to it", cells[6], cells[2])
			}
		}
	}
}
