package labels

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Column is a column of a table that Infer looks at. The fields say what all its values have in
// common, as far as they were read: of no values all are true.
type Column struct {
	Name  string
	Whole bool // they are whole numbers, 0 or more
	Unit  bool // they are numbers from 0 to 1
}

// Inferred is what Infer made of a table's columns.
type Inferred struct {
	Schema  *Schema
	BuiltIn string   // the key of the built-in schema, if it is one
	Pattern string   // how the columns are named, "QUESTION_ANSWER"
	Guessed []string // columns of the answers in After that the names suggest; nobody but the user can know
	Left    []string // columns that are no part of the schema
}

// A naming is a convention by which catalogues name their columns of votes.
type naming struct {
	pattern string
	columns *regexp.Regexp // its groups are the question and the answer
	values  Values
	ofAsked bool // where fractions are of those who were asked
}

// namings are tried in this order, so counts before the fractions that are made of them.
var namings = []naming{
	{"tNN_QUESTION_aNN_ANSWER_count", regexp.MustCompile(`^(t\d+_.+)_a\d+_(.+)_count$`), Counts, false},
	{"ClassN.M", regexp.MustCompile(`^(Class\d+)\.(\d+)$`), Fractions, false},
	{"ClassN.M", regexp.MustCompile(`^(Class\d+)\.(\d+)$`), Counts, false},
	{"QUESTION_ANSWER", regexp.MustCompile(`^(.+)_([^_]+)$`), Counts, false},
	{"tNN_QUESTION_aNN_ANSWER_fraction", regexp.MustCompile(`^(t\d+_.+)_a\d+_(.+)_fraction$`), Fractions, true},
	{"QUESTION_ANSWER_fraction", regexp.MustCompile(`^(.+)_([^_]+)_fraction$`), Fractions, true},
	{"QUESTION_ANSWER", regexp.MustCompile(`^(.+)_([^_]+)$`), Fractions, true},
}

// galaxyZoo1 are the columns of Galaxy Zoo 1, whose one question has no name in them: of the published table 2 (Lintott
// et al. 2011, MNRAS 410, 166) and of SDSS's copies of it. What is beside them is made of them, as P_CS is.
var galaxyZoo1 = []struct {
	total   string
	columns []string
}{
	{"NVOTE", []string{"P_EL", "P_CW", "P_ACW", "P_EDGE", "P_DK", "P_MG"}},
	{"nvote", []string{"elliptical", "spiralclock", "spiralanticlock", "edgeon", "dontknow", "merger"}},
}

// galaxyZoo1Texts are the answers in the order of galaxyZoo1.
var galaxyZoo1Texts = []string{"elliptical", "clockwise spiral", "anticlockwise spiral", "edge-on spiral", "star or don't know", "merger"}

// notAnswers end the names of columns that are made of votes and are none.
var notAnswers = regexp.MustCompile(`^(min|max|mean|median|std|err|error|lower|upper|fraction|weight|weighted|debiased|flag|count|dirichlet|votes|total|total-votes|classifications|prediction-encoded|id|loc)$`)

// leads are the answers that lead to a question in the Galaxy Zoo campaigns, by names: the first
// row whose question fits.
var leads = []struct{ question, parent, answer *regexp.Regexp }{
	{regexp.MustCompile(`rounded`), regexp.MustCompile(`smooth`), regexp.MustCompile(`^smooth`)},
	{regexp.MustCompile(`edge-?on-bulge|bulge-shape`), regexp.MustCompile(`edge-?on`), regexp.MustCompile(`^yes$`)},
	{regexp.MustCompile(`odd-feature`), regexp.MustCompile(`odd`), regexp.MustCompile(`^yes$`)},
	{regexp.MustCompile(`winding|arms?-(count|number)`), regexp.MustCompile(`spiral`), regexp.MustCompile(`^(yes|spiral)$`)},
	{regexp.MustCompile(`spiral|\bbar\b|bulge`), regexp.MustCompile(`edge-?on`), regexp.MustCompile(`^no$`)},
	{regexp.MustCompile(`edge-?on`), regexp.MustCompile(`smooth`), regexp.MustCompile(`^feature`)},
}

// Infer makes a first schema of the names of a table's columns, for a user to correct. A table with all
// columns of a built-in schema has that schema. A table in which no naming is recognised, that is
// no question has two answers, is an error.
func Infer(columns []Column) (*Inferred, error) {
	if found := inferBuiltIn(columns); found != nil {
		return found, nil
	}
	if found := inferGalaxyZoo1(columns); found != nil {
		return found, nil
	}
	for _, n := range namings {
		d := Definition{Name: "inferred", Values: n.values, Questions: n.questions(columns)}
		if len(d.Questions) == 0 {
			continue
		}
		out := &Inferred{Pattern: n.pattern}
		for i := range d.Questions {
			q := &d.Questions[i]
			q.After = leading(d.Questions[:i], q.Text)
			q.OfAsked = n.ofAsked && len(q.After) > 0
			out.Guessed = append(out.Guessed, q.After...)
		}
		for i := range d.Questions { // which were the names until now
			q := &d.Questions[i]
			q.Text = readable(q.Text)
			for k := range q.Answers {
				q.Answers[k].Text = readable(q.Answers[k].Text)
			}
		}
		var err error
		if out.Schema, err = New(d); err != nil {
			return nil, err
		}
		out.Left = left(columns, out.Schema)
		return out, nil
	}
	var patterns []string
	for _, n := range namings {
		if !slices.Contains(patterns, n.pattern) {
			patterns = append(patterns, n.pattern)
		}
	}
	return nil, fmt.Errorf("no column of votes among %d: expected names such as %s, with numbers in them, and two answers to a question", len(columns), strings.Join(patterns, ", "))
}

// inferBuiltIn returns the built-in schema whose columns the table has all; the widest of several.
func inferBuiltIn(columns []Column) *Inferred {
	var found *BuiltIn
	for _, b := range Builtin() {
		s := b.Schema
		missing := slices.ContainsFunc(s.columns, func(name string) bool {
			return !slices.ContainsFunc(columns, func(c Column) bool {
				return c.Name == name && (s.Values() == Counts && c.Whole || s.Values() == Fractions && c.Unit)
			})
		})
		if !missing && (found == nil || s.Width() > found.Schema.Width()) {
			found = &b
		}
	}
	if found == nil {
		return nil
	}
	return &Inferred{Schema: found.Schema, BuiltIn: found.Key, Left: left(columns, found.Schema)}
}

// inferGalaxyZoo1 returns the schema of Galaxy Zoo 1 if the table has its columns, in upper or lower case.
func inferGalaxyZoo1(columns []Column) *Inferred {
	find := func(name string) string {
		i := slices.IndexFunc(columns, func(c Column) bool { return strings.EqualFold(c.Name, name) && (c.Unit || c.Whole) })
		if i < 0 {
			return ""
		}
		return columns[i].Name
	}
	for _, zoo := range galaxyZoo1 {
		q := Question{Text: "What is it?", Total: find(zoo.total)}
		for k, name := range zoo.columns {
			q.Answers = append(q.Answers, Answer{find(name), galaxyZoo1Texts[k]})
		}
		s, err := New(Definition{Name: "Galaxy Zoo 1", Values: Fractions, Questions: []Question{q}})
		if err == nil { // none of the columns lacks
			return &Inferred{Schema: s, Pattern: "the columns of Galaxy Zoo 1", Left: left(columns, s)}
		}
	}
	return nil
}

// questions returns the questions with two or more answers among the columns. Their texts are the
// parts of the columns' names.
func (n naming) questions(columns []Column) []Question {
	has := map[string]bool{}
	for _, c := range columns {
		has[c.Name] = true
	}
	var questions []Question
	for _, c := range columns {
		part := n.columns.FindStringSubmatch(c.Name)
		ok := n.values == Counts && c.Whole || n.values == Fractions && c.Unit
		// A question that is a column too is an answer, and this a statistic of it.
		if part == nil || !ok || notAnswers.MatchString(part[2]) || has[part[1]] {
			continue
		}
		i := slices.IndexFunc(questions, func(q Question) bool { return q.Text == part[1] })
		if i < 0 {
			i = len(questions)
			questions = append(questions, Question{Text: part[1]})
		}
		questions[i].Answers = append(questions[i].Answers, Answer{c.Name, part[2]})
	}
	for i := range questions {
		q := &questions[i]
		// If answers have a column of fractions as well, what has none is no answer.
		alone := func(a Answer) bool { return !has[a.Name+"_fraction"] }
		if !slices.ContainsFunc(q.Answers, alone) {
			continue
		}
		if rest := slices.DeleteFunc(slices.Clone(q.Answers), alone); len(rest) > 0 {
			q.Answers = rest
		}
	}
	questions = slices.DeleteFunc(questions, func(q Question) bool { return len(q.Answers) < 2 })
	for i := range questions {
		q := &questions[i]
		for _, total := range []string{"_total-votes", "_total_votes", "_total"} {
			if has[q.Text+total] {
				q.Total = cmp.Or(q.Total, q.Text+total)
			}
		}
	}
	return questions
}

// leading returns the answers to earlier questions after which a question of that name is asked
// in the Galaxy Zoo campaigns.
func leading(earlier []Question, name string) (after []string) {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }
	for _, l := range leads {
		if !l.question.MatchString(plain(name)) {
			continue
		}
		for _, q := range earlier {
			if !l.parent.MatchString(plain(q.Text)) {
				continue
			}
			for _, a := range q.Answers {
				if l.answer.MatchString(plain(a.Text)) {
					after = append(after, a.Name)
				}
			}
			return after
		}
		return nil
	}
	return nil
}

var number = regexp.MustCompile(`^t\d+_`)

// readable makes a text of a name.
func readable(name string) string {
	return strings.NewReplacer("-", " ", "_", " ").Replace(number.ReplaceAllString(name, ""))
}

func left(columns []Column, s *Schema) (names []string) {
	for _, c := range columns {
		total := slices.ContainsFunc(s.definition.Questions, func(q Question) bool { return q.Total == c.Name })
		if !slices.Contains(s.columns, c.Name) && !total {
			names = append(names, c.Name)
		}
	}
	return names
}
