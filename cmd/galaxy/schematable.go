package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"al.essio.dev/pkg/shellescape"
	"github.com/urfave/cli/v2"

	tables "galaxy/data/table"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// schemaCheckCommand and schemaInferCommand are the subcommands of schema that read a table of labels.
func schemaCheckCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "check a schema file and, with --labels, whether a table of labels fits it",
		ArgsUsage: "NAME|FILE",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "labels", Category: catInput, Usage: "`TABLE` to compare with the schema: its columns, and every row"},
		},
		Action: schemaCheck,
	}
}

func schemaInferCommand() *cli.Command {
	return &cli.Command{
		Name:  "infer",
		Usage: "write a first schema file from the columns of a table of labels, to be corrected by hand",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "labels", Category: catInput, Usage: "`TABLE` whose columns are looked at"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "write the schema to `FILE`, which must not exist; by default it is printed"},
		},
		Action: schemaInfer,
	}
}

// A checkedSchema is the result of schema check.
type checkedSchema struct {
	Schema    string `json:"schema"`
	Values    string `json:"values"`
	Questions int    `json:"questions"`
	Answers   int    `json:"answers"`
	Classes   int    `json:"classes"`
	// The others are of --labels.
	Labels   string            `json:"labels,omitempty"`
	Rows     int               `json:"rows,omitempty"`
	Asked    []checkedQuestion `json:"by_question,omitempty"`
	Problems []*problem        `json:"problems,omitempty"`
}

// A checkedQuestion is a question in the rows of a table.
type checkedQuestion struct {
	Text     string   `json:"text"`
	After    []string `json:"after"`
	Answered int      `json:"answered"` // rows
	Mean     float64  `json:"mean"`     // sum of the answers, in these rows
}

// A problem is one way in which rows contradict a schema.
type problem struct {
	noun    string
	What    string `json:"what"` // of one: noun and what is wrong
	Count   int    `json:"count"`
	First   string `json:"first"`   // where it is first, and how
	Refused bool   `json:"refused"` // galaxy prepare does not take such a row
}

func schemaCheck(c *cli.Context) error {
	name, err := oneArgument(c, "the name of a built-in schema or a schema file")
	if err != nil {
		return err
	}
	s, _, err := readSchema(name)
	if err != nil {
		return err
	}
	result := checkedSchema{Schema: s.Name(), Values: s.Values().String(), Questions: len(s.Questions()), Answers: s.Width(), Classes: s.Classes().Width()}
	if path := c.String("labels"); path != "" {
		if err := result.check(s, path); err != nil {
			return err
		}
	}
	if err := report(c, result, result.print); err != nil {
		return err
	}
	refused := 0
	for _, p := range result.Problems {
		if p.Refused {
			refused += p.Count
		}
	}
	if refused > 0 {
		return fmt.Errorf("%s does not fit the schema %s: galaxy prepare does not take %d of its cells", result.Labels, s, refused)
	}
	return nil
}

// check fills in what depends on a table.
func (r *checkedSchema) check(s *labels.Schema, path string) (err error) {
	t, err := tables.Open(path, "")
	if err != nil {
		return fmt.Errorf("check labels: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	r.Labels = t.Name()
	questions, columns := s.Questions(), s.Columns()
	totals := map[int]int{} // index of a cell by question
	for i, q := range questions {
		r.Asked = append(r.Asked, checkedQuestion{Text: q.Text, After: append([]string{}, q.After...)})
		if q.Total != "" {
			totals[i] = len(columns)
			columns = append(columns, q.Total)
		}
	}
	if err := missing(t, s, columns); err != nil {
		return err
	}
	if err := t.Select(columns...); err != nil {
		return fmt.Errorf("check labels: %w", err)
	}
	row := make([]float32, s.Width())
	for {
		if err := t.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("check labels: %w", err)
		}
		r.Rows++
		if !r.cells(s, t, row) {
			continue
		}
		r.row(s, t, row, totals)
	}
	if r.Rows == 0 {
		return fmt.Errorf("check labels: %s has columns but no rows", t.Name())
	}
	for i := range r.Asked {
		if q := &r.Asked[i]; q.Answered > 0 {
			q.Mean /= float64(q.Answered)
		}
	}
	return nil
}

// missing returns an error that names the columns that a table lacks.
func missing(t *tables.Table, s *labels.Schema, columns []string) error {
	var lacks []string
	for _, name := range columns {
		if !slices.Contains(t.Columns(), name) {
			if nearest := usage.Nearest(name, t.Columns()); nearest != "" {
				name += " (is it " + nearest + "?)"
			}
			lacks = append(lacks, name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("%s lacks %d of the %d columns of the schema %s: %s; galaxy schema infer writes a schema of the columns that there are", t.Name(), len(lacks), len(columns), s, list(lacks))
}

// listed is how many of many names are shown.
const listed = 6

func list(names []string) string {
	names = slices.Clone(names)
	for i := range names {
		names[i] = cmp.Or(names[i], "one without a name")
	}
	text := strings.Join(names[:min(len(names), listed)], ", ")
	if len(names) > listed {
		text += fmt.Sprintf(" and %d more", len(names)-listed)
	}
	return text
}

// cells reads the labels of the current row, and reports whether all cells hold a label.
func (r *checkedSchema) cells(s *labels.Schema, t *tables.Table, row []float32) bool {
	fits := true
	for j, name := range s.Columns() {
		what, err := "", error(nil)
		var v float64
		if t.Empty(j) {
			what, err = "empty", fmt.Errorf("%s is empty", name)
		} else if v, err = t.Number(j); err != nil {
			what = "without a number"
		} else if row[j], err = s.Value(v); err != nil {
			what, err = "with a number that is no "+strings.TrimSuffix(s.Values().String(), "s"), fmt.Errorf("%s is %v", name, v)
		}
		if err != nil {
			r.found(t, "cell", what, err, true)
			fits = false
		}
	}
	return fits
}

// row counts what a row of labels says, and contradicts.
func (r *checkedSchema) row(s *labels.Schema, t *tables.Table, row []float32, totals map[int]int) {
	nothing := true
	for i := range r.Asked {
		if n := s.Votes(row, i); n > 0 {
			nothing = false
			r.Asked[i].Answered++
			r.Asked[i].Mean += n
		}
		cell, ok := totals[i]
		if !ok {
			continue
		}
		total, err := t.Number(cell)
		if err == nil {
			err = s.CheckTotal(row, i, total)
		}
		if err != nil {
			r.found(t, "total", "in contradiction to the answers", err, true)
		}
	}
	if nothing {
		r.found(t, "row", "without any vote", errors.New("all answers are 0"), false)
		return
	}
	if err := s.CheckSums(row, labels.SumTolerance); err != nil {
		r.found(t, "row", brokenRule(s), err, false)
	}
}

func (r *checkedSchema) found(t *tables.Table, noun, what string, err error, refused bool) {
	i := slices.IndexFunc(r.Problems, func(p *problem) bool { return p.What == noun+" "+what })
	if i < 0 {
		i = len(r.Problems)
		r.Problems = append(r.Problems, &problem{noun: noun, What: noun + " " + what, First: t.Where() + ": " + err.Error(), Refused: refused})
	}
	r.Problems[i].Count++
}

func (r *checkedSchema) print(w io.Writer) {
	fmt.Fprintf(w, "schema %s: %s, %s, %s, %s\n", r.Schema, usage.Count(r.Questions, "question"), usage.Count(r.Answers, "answer"), usage.Count(r.Classes, "class"), r.Values)
	if r.Labels == "" {
		return
	}
	fmt.Fprintf(w, "%s: %s\n\n", r.Labels, usage.Count(r.Rows, "row"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	sum := "mean votes"
	if r.Values != labels.Counts.String() {
		sum = "mean sum"
	}
	fmt.Fprintf(t, "question\tanswered in rows\t%s\tasked after\n", sum)
	for i, q := range r.Asked {
		after := "everybody is asked"
		if len(q.After) > 0 {
			after = strings.Join(q.After, " + ")
		}
		fmt.Fprintf(t, "%d %s\t%d\t%.4g\t%s\n", i+1, q.Text, q.Answered, q.Mean, after)
	}
	_ = t.Flush() // into a buffer
	fmt.Fprintln(w)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s%s; the first is in %s\n", usage.Count(p.Count, p.noun), strings.TrimPrefix(p.What, p.noun), p.First)
	}
	if len(r.Problems) == 0 {
		fmt.Fprintln(w, "nothing contradicts the schema")
	}
}

// inferRows is how many rows schema infer looks at.
const inferRows = 20_000

// A column is what schema infer knows of one.
type column struct {
	labels.Column
	rows     int             // in which it has a value
	distinct map[string]bool // its values, up to one more than maxClasses
}

// maxClasses is the largest number of different values of a column that may hold a class.
const maxClasses = 30

func schemaInfer(c *cli.Context) error {
	if err := checkArguments(c, "labels"); err != nil {
		return err
	}
	if err := checkNew(c, "out"); err != nil {
		return err
	}
	columns, err := readColumns(c.String("labels"))
	if err != nil {
		return fmt.Errorf("infer schema: %w", err)
	}
	var plain []labels.Column
	var classes []string
	for _, column := range columns {
		plain = append(plain, column.Column)
		if n := len(column.distinct); n >= 2 && n <= maxClasses && column.rows > n {
			classes = append(classes, fmt.Sprintf("%s (%d different values)", column.Name, n))
		}
	}
	found, err := labels.Infer(plain)
	if err != nil {
		if classes != nil {
			err = fmt.Errorf("%w; columns that may hold a class are %s", err, list(classes))
		}
		return fmt.Errorf("infer schema: %s: %w; docs/schemas.md says how to write a schema by hand", c.String("labels"), err)
	}
	text, err := inferredFile(c.String("labels"), found)
	if err != nil {
		return err
	}
	out := c.String("out")
	if out != "" {
		if err := durable.WriteFile(out, text); err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
	}
	result := struct {
		Schema  *labels.Schema `json:"schema"`
		BuiltIn string         `json:"built_in,omitempty"`
		Pattern string         `json:"pattern,omitempty"`
		Guessed []string       `json:"guessed"`
		Left    []string       `json:"left_out"`
		Out     string         `json:"out,omitempty"`
	}{found.Schema, found.BuiltIn, found.Pattern, append([]string{}, found.Guessed...), append([]string{}, found.Left...), out}
	return report(c, result, func(w io.Writer) {
		if out == "" {
			_, _ = w.Write(text) // into a buffer
			return
		}
		fmt.Fprintf(w, "%s\nnext: correct %s, then galaxy schema check %s --labels %s\n", strings.Join(summary(found), "\n"), out, shellescape.Quote(out), shellescape.Quote(c.String("labels")))
	})
}

// readColumns reads the columns of a table and what their first rows have in common.
func readColumns(path string) (_ []column, err error) {
	t, err := tables.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	var columns []column
	for _, name := range t.Columns() {
		columns = append(columns, column{Column: labels.Column{Name: name, Whole: true, Unit: true}, distinct: map[string]bool{}})
	}
	for range inferRows {
		if err := t.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		for i := range columns {
			if !t.Empty(i) {
				columns[i].see(t, i)
			}
		}
	}
	for i := range columns {
		if c := &columns[i]; c.rows == 0 {
			c.Whole, c.Unit = false, false
		}
	}
	return columns, nil
}

// see takes in cell i of the current row.
func (c *column) see(t *tables.Table, i int) {
	c.rows++
	if len(c.distinct) <= maxClasses {
		c.distinct[t.Text(i)] = true
	}
	v, err := t.Number(i)
	c.Whole = c.Whole && err == nil && v >= 0 && v == math.Trunc(v)
	c.Unit = c.Unit && err == nil && v >= 0 && v <= 1
}

// summary has lines about what was recognised and what was left out.
func summary(found *labels.Inferred) []string {
	s := found.Schema
	lines := []string{fmt.Sprintf("recognised: %s: %s, %s of %s", found.Pattern, usage.Count(len(s.Questions()), "question"), usage.Count(s.Width(), "column"), s.Values())}
	if found.BuiltIn != "" {
		lines[0] = fmt.Sprintf("recognised: the columns of the built-in schema %s, %d columns of %s: --schema %[1]s needs no file", found.BuiltIn, s.Width(), s.Values())
	}
	if len(found.Left) > 0 {
		lines = append(lines, fmt.Sprintf("left out: %s: %s", usage.Count(len(found.Left), "column"), list(found.Left)))
	}
	if len(found.Guessed) > 0 {
		lines = append(lines, "guessed from names: what questions are asked after; check that")
	}
	return lines
}

// inferredFile returns a schema file, with the summary as comments.
func inferredFile(path string, found *labels.Inferred) ([]byte, error) {
	var b bytes.Buffer
	for _, line := range append([]string{"From the columns of " + path + "."}, summary(found)...) {
		fmt.Fprintf(&b, "# %s\n", strings.Map(printable, line))
	}
	b.WriteString("\n")
	if err := labels.Write(&b, found.Schema); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// printable keeps a column's name from ending a comment.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
