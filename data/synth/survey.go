package synth

import (
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"strings"

	"galaxy/labels"
)

// A survey asks volunteers the questions of a schema.
type survey struct {
	schema    *labels.Schema
	questions []labels.Question
	// walk is the order in which a volunteer comes to the questions, by index. Each is
	// asked of those who gave one of the answers that it is asked after.
	walk        []int
	least, most int // volunteers
	believe     func(g *galaxy) beliefs
	swayed      []sway // by column
}

// sway is how a volunteer's bias changes an answer.
type sway byte

const (
	toFeatures sway = iota + 1
	toOddities
)

// swayOf has the biases of the challenge's columns.
var swayOf = map[int]sway{q1 + 1: toFeatures, q3: toFeatures, q4: toFeatures, q6: toOddities}

// challenge is the survey of the Galaxy Zoo challenge.
var challenge = func() *survey {
	s := &survey{
		schema: schema, questions: questions, least: 32, most: 56, believe: (*galaxy).believe,
		walk: []int{0, 1, 8, 2, 3, 9, 10, 4, 6, 5, 7}, swayed: make([]sway, schema.Width()),
	}
	for column, sway := range swayOf {
		s.swayed[column] = sway
	}
	return s
}()

// newSurvey returns the survey of a schema: challenge for the challenge's fractions, and otherwise
// one of 20 to 80 volunteers.
func newSurvey(s *labels.Schema) *survey {
	if s.Equal(schema) {
		return challenge
	}
	if slices.Equal(s.Columns(), schema.Columns()) {
		same := *challenge
		same.schema, same.questions, same.least, same.most = s, s.Questions(), 20, 80
		return &same
	}
	out := &survey{schema: s, questions: s.Questions(), least: 20, most: 80, swayed: make([]sway, s.Width())}
	odds := make([]odds, s.Width())
	for i := range out.questions {
		q := &out.questions[i]
		out.walk = append(out.walk, i)
		for j, o := range oddsOf(q) {
			odds[q.First+j] = o
			if o.column != none {
				out.swayed[q.First+j] = swayOf[o.column]
			}
		}
	}
	out.believe = func(g *galaxy) beliefs {
		c, e := g.believe(), g.look()
		l := make(beliefs, len(odds))
		for j, o := range odds {
			if l[j] = o.of(g, &e); o.column != none {
				l[j] += c[o.column]
			}
		}
		return l
	}
	return out
}

// vote asks volunteers the questions of the schema and returns its columns, and after them the totals of
// the questions that have a column for it: the volunteers who were asked.
func (y *survey) vote(g *galaxy, s stream) []float64 {
	l := y.believe(g)
	voters := y.least + s.IntN(y.most-y.least+1)
	count := make([]float64, len(l))
	given := make([]bool, len(l)) // of one volunteer
	reached := make([]float64, len(y.questions))
	p := make([]float64, 0, len(l))
	for range voters {
		eager := s.normal(0, 0.6) // sees features where others do not
		odd := s.normal(0, 0.7)   // finds many things odd
		skill := s.in(0.75, 1.25) // sharpens or blurs every judgement
		slip := s.chance(0.02)    // clicks without looking
		clear(given)
		for _, at := range y.walk {
			question := &y.questions[at]
			after := question.AfterColumns
			if len(after) > 0 && !slices.ContainsFunc(after, func(column int) bool { return given[column] }) {
				continue
			}
			reached[at]++
			p = p[:0]
			for column := question.First; column < question.First+len(question.Answers); column++ {
				x := l[column] * skill
				switch y.swayed[column] {
				case toFeatures:
					x += eager
				case toOddities:
					x += odd
				}
				if slip {
					x *= 0.2
				}
				p = append(p, math.Exp(x))
			}
			column := question.First + choose(p, s.Float64())
			count[column]++
			given[column] = true
		}
	}
	if y.schema.Values() == labels.Fractions {
		y.divide(count, reached, float64(voters))
	}
	for i, q := range y.questions {
		if q.Total != "" {
			count = append(count, reached[i])
		}
	}
	return count
}

// divide turns counts into the schema's fractions: of everybody, or, for a question with OfAsked and
// those below it, of those who came to that question. If nobody did, all would have given its last answer, and the last
// answers to the questions after that, so that they satisfy the sum rules too.
func (y *survey) divide(count, reached []float64, voters float64) {
	of := make([]float64, len(y.questions))
	for i := range y.questions {
		q := &y.questions[i]
		switch {
		case q.OfAsked:
			of[i] = reached[i]
		case len(q.AfterColumns) == 0:
			of[i] = voters
		default:
			parent := q.AfterColumns[0]
			of[i] = of[slices.IndexFunc(y.questions, func(p labels.Question) bool { return parent < p.First+len(p.Answers) })]
		}
		answers := count[q.First : q.First+len(q.Answers)]
		for k := range answers {
			if of[i] > 0 {
				answers[k] /= of[i]
			}
		}
		if of[i] == 0 {
			all := 1.0
			if !q.OfAsked {
				all = 0
				for _, column := range q.AfterColumns {
					all += count[column]
				}
			}
			answers[len(answers)-1] = all
		}
	}
}

// odds are the logit of an answer: the logit of the challenge's answer in a column, if that is not none,
// plus a function of the galaxy.
type odds struct {
	column int
	of     func(g *galaxy, e *evidence) float64
}

const none = -1

// like returns the odds of an answer of the challenge.
func like(column int) odds {
	return odds{column, func(*galaxy, *evidence) float64 { return 0 }}
}

// feature returns the odds of an answer that is given with a logit of zero without evidence for it and
// of all with it.
func feature(zero, all float64, of func(g *galaxy, e *evidence) float64) odds {
	return odds{none, func(g *galaxy, e *evidence) float64 { return zero + (all-zero)*of(g, e) }}
}

// known are the questions of the Galaxy Zoo campaigns, by their names and answers. The first row
// whose question fits and that knows all answers counts, and of its answers the first that fits.
var known = []struct {
	question *regexp.Regexp
	answers  []knownAnswer
}{
	{regexp.MustCompile(`smooth`), []knownAnswer{answer(`smooth`, like(q1)), answer(`featur`, like(q1+1)), answer(`artifact|star|problem`, like(q1+2))}},
	{regexp.MustCompile(`edge-on-bulge|bulge.*shape`), []knownAnswer{answer(`round|yes`, like(q9)), answer(`boxy`, like(q9+1)), answer(`no`, like(q9+2))}},
	{regexp.MustCompile(`edge-?on`), []knownAnswer{answer(`yes`, like(q2)), answer(`no`, like(q2+1))}},
	{regexp.MustCompile(`winding|wound`), []knownAnswer{answer(`tight`, like(qA)), answer(`medium`, like(qA+1)), answer(`loose`, like(qA+2))}},
	{regexp.MustCompile(`arms?-(count|number)|how-many.*arms`), []knownAnswer{
		answer(`more|5|plus`, like(qB+4)), answer(`1|one`, like(qB)), answer(`2|two`, like(qB+1)), answer(`3|three`, like(qB+2)),
		answer(`4|four`, like(qB+3)), answer(`can.?t`, like(qB+5)),
	}},
	{regexp.MustCompile(`spiral`), []knownAnswer{answer(`yes|spiral`, like(q4)), answer(`no`, like(q4+1))}},
	{regexp.MustCompile(`\bbar\b`), []knownAnswer{
		answer(`yes|weak|bar`, like(q3)), answer(`no`, like(q3+1)),
		answer(`strong`, odds{q3, func(_ *galaxy, e *evidence) float64 { return 4*e.bar - 3 }}),
	}},
	{regexp.MustCompile(`bulge`), []knownAnswer{
		answer(`just|small`, like(q5+1)), answer(`obvious|moderate`, like(q5+2)), answer(`dominant`, like(q5+3)), answer(`no`, like(q5)),
		answer(`large`, odds{q5 + 2, func(g *galaxy, _ *evidence) float64 { return 3*math.Sqrt(g.main.bulge) - 2 }}),
	}},
	{regexp.MustCompile(`odd`), []knownAnswer{answer(`yes`, like(q6)), answer(`no`, like(q6+1))}},
	{regexp.MustCompile(`rounded`), []knownAnswer{answer(`round|completely`, like(q7)), answer(`in-between`, like(q7+1)), answer(`cigar`, like(q7+2))}},
	{regexp.MustCompile(`merging`), []knownAnswer{
		answer(`neither|none`, feature(0, 0, disturbance)), answer(`minor|tidal`, feature(-2.5, 2, disturbance)),
		answer(`major|both`, feature(-3.5, 3, disturbance)), answer(`merger`, feature(-3.5, 4, func(_ *galaxy, e *evidence) float64 { return e.merger })),
	}},
	{regexp.MustCompile(`\bring\b`), []knownAnswer{
		answer(`yes`, feature(-2.5, 4, func(_ *galaxy, e *evidence) float64 { return e.ring })), answer(`no`, feature(0, 0, disturbance)),
	}},
	{regexp.MustCompile(`embedded`), []knownAnswer{answer(`yes`, feature(2, -2, disturbance)), answer(`no`, feature(0, 0, disturbance))}},
	{regexp.MustCompile(`clump`), []knownAnswer{
		answer(`yes`, feature(-2.5, 3, func(g *galaxy, e *evidence) float64 { return max(e.irregular, g.main.young*e.resolved) })),
		answer(`no`, feature(0, 0, disturbance)),
	}},
}

type knownAnswer struct {
	name *regexp.Regexp
	odds odds
}

func answer(name string, o odds) knownAnswer {
	return knownAnswer{regexp.MustCompile(`^(` + name + `)`), o}
}

func disturbance(_ *galaxy, e *evidence) float64 { return max(e.disturbed, 0.7*e.irregular) }

// oddsOf returns the odds of a question's answers: those of a known question all of whose answers
// are known, by the columns' names, QUESTION_ANSWER, or by the texts; and otherwise unknown ones.
func oddsOf(q *labels.Question) []odds {
	var named, texts []string
	for _, a := range q.Answers {
		name := a.Name[strings.LastIndexByte(a.Name, '_')+1:]
		named, texts = append(named, name), append(texts, a.Text)
	}
	question, _, _ := strings.Cut(q.Answers[0].Name, "_"+named[0])
	if out := knownOdds(question, named); out != nil {
		return out
	}
	if out := knownOdds(q.Text, texts); out != nil {
		return out
	}
	var out []odds
	for _, a := range q.Answers {
		out = append(out, unknown(a.Name))
	}
	return out
}

// knownOdds returns nil unless all answers are known.
func knownOdds(question string, answers []string) []odds {
	plain := func(s string) string { return strings.NewReplacer(" ", "-", "_", "-").Replace(strings.ToLower(s)) }
	for _, row := range known {
		if !row.question.MatchString(plain(question)) {
			continue
		}
		var out []odds
		for _, name := range answers {
			i := slices.IndexFunc(row.answers, func(a knownAnswer) bool { return a.name.MatchString(plain(name)) })
			if i < 0 {
				break
			}
			out = append(out, row.answers[i].odds)
		}
		if len(out) == len(answers) {
			return out
		}
	}
	return nil
}

// unknown returns the odds of an answer that nothing is known about: a linear function of what the image
// shows of the galaxy, with normal weights that depend on the column's name only. So images
// predict it, and data sets of several seeds belong together.
func unknown(column string) odds {
	h := fnv.New64a()
	_, _ = h.Write([]byte(column)) // never fails
	s := newStream(int64(h.Sum64()), 0, streamVotes)
	var weights [7]float64
	for k := range weights {
		weights[k] = s.normal(0, 1.5)
	}
	return odds{none, func(g *galaxy, e *evidence) float64 {
		// About 0 on average, and of the size of 1.
		x := [len(weights)]float64{
			2 * (e.axis - 0.6), 2 * (g.main.bulge - 0.4), e.features(&g.main) - 0.5, 1.5*e.arms - 0.3,
			2 * (e.resolved - 0.5), 1.5*e.bar - 0.2, 1.5*max(e.merger, e.disturbed, e.irregular) - 0.2,
		}
		logit := 0.0
		for k, w := range weights {
			logit += w * x[k]
		}
		return logit
	}}
}
