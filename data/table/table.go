package table

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"galaxy/internal/usage"
)

// Limits of what is read. They are far above real tables, and small enough that a damaged
// or malicious file cannot exhaust the memory.
const (
	MaxColumns  = 20_000   // columns of a table
	MaxRow      = 16 << 20 // bytes of a row of text, and so of a cell
	MaxID       = 512      // bytes of an id
	MaxUnpacked = 16 << 30 // bytes that a compressed file may unpack to
)

// A Table is an open table, read row by row. It is not safe for concurrent use.
type Table struct {
	name     string
	header   string // where the columns' names are, such as "line 1: "; "" for a binary file
	columns  []string
	skipped  []Skipped
	rows     rows
	selected []int         // columns of the file, by index of a cell
	checksum func() uint64 // of the bytes, once all are read
	closers  []io.Closer
}

// A Skipped column is of a kind that this package does not read.
type Skipped struct {
	Name, Why string
}

// rows reads a table of one format.
type rows interface {
	// use limits the columns that next reads. It is called before the first next.
	use(columns []int)
	// next goes to the next row; io.EOF is the end.
	next() error
	// cell returns a cell of the current row by its index among all columns.
	cell(column int) cell
	// number of the current row.
	number() int
	// unit is what number counts: "line" or "row".
	unit() string
}

// A cell is a value as its file has it.
type cell struct {
	kind kind
	text string
	i    int64
	f    float64
}

type kind uint8

const (
	empty kind = iota // as distinct from an empty text
	text
	integer
	float    // 64 bits
	float32s // 32 bits
	boolean  // i is 0 or 1
)

// unsigned returns a number as a cell: as text above the largest int64.
func unsigned(v uint64) cell {
	if v > math.MaxInt64 {
		return cell{kind: text, text: strconv.FormatUint(v, 10)}
	}
	return cell{kind: integer, i: int64(v)}
}

func truth(v bool) cell {
	if v {
		return cell{kind: boolean, i: 1}
	}
	return cell{kind: boolean}
}

// Name returns the path of the table. If it is in a zip, the path goes on inside of the zip.
func (t *Table) Name() string { return t.name }

// Columns returns the names of all columns, in the order of the file. A name may be empty.
func (t *Table) Columns() []string { return slices.Clone(t.columns) }

// Skipped returns the columns that cannot be read, in the order of the file.
func (t *Table) Skipped() []Skipped { return slices.Clone(t.skipped) }

// Select sets the columns to read: index i of a cell is then names[i]. Without it, all columns
// are read, in the order of the file. Call it before the first Next. It is an error if there
// is no such column, or if two columns have the name.
func (t *Table) Select(names ...string) error {
	at := make(map[string]int, len(t.columns))
	for i, c := range t.columns {
		if _, twice := at[c]; twice {
			at[c] = -1
		} else {
			at[c] = i
		}
	}
	selected := make([]int, len(names))
	for i, name := range names {
		c, ok := at[name]
		switch {
		case !ok || name == "":
			return t.noColumn(name)
		case c < 0:
			return fmt.Errorf("%s: %stwo columns have the name %s; rename one of them", t.name, t.header, quote(name))
		}
		selected[i] = c
	}
	t.selected = selected
	t.rows.use(selected)
	return nil
}

// noColumn returns the error for a column that is not in the table.
func (t *Table) noColumn(name string) error {
	for _, s := range t.skipped {
		if s.Name == name {
			return fmt.Errorf("%s: the column %s cannot be read: it holds %s; expected text, integers or floats", t.name, quote(name), s.Why)
		}
	}
	named := slices.DeleteFunc(slices.Clone(t.columns), func(c string) bool { return c == "" })
	if len(named) == 0 {
		return fmt.Errorf("%s: %sno column has the name %s; the table names none", t.name, t.header, quote(name))
	}
	// The nearest first, and the others in the order of the file.
	nearest := usage.Nearest(name, named)
	if nearest == "" {
		return fmt.Errorf("%s: %sno column has the name %s; there are %s", t.name, t.header, quote(name), list(named, 12))
	}
	return fmt.Errorf("%s: %sno column has the name %s; did you mean %s? There are %s", t.name, t.header, quote(name), quote(nearest), list(named, 8))
}

// Next goes to the next row. It returns io.EOF after the last one.
func (t *Table) Next() error {
	err := t.rows.next()
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("%s: %w", t.name, err)
}

// Where names the current row: "line 12" of a text, where the first line is 1, or "row 12",
// where the first row is 1.
func (t *Table) Where() string { return fmt.Sprintf("%s %d", t.rows.unit(), t.Line()) }

// Line returns the number in Where.
func (t *Table) Line() int { return t.rows.number() }

// Errorf is fmt.Errorf after the names of the file and the current row.
func (t *Table) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", t.name, t.Where(), fmt.Errorf(format, args...))
}

// Checksum returns the xxh3 of the table's bytes, unpacked, after the last row was read.
func (t *Table) Checksum() uint64 { return t.checksum() }

// Close closes the file.
func (t *Table) Close() error {
	var errs []error
	for _, c := range slices.Backward(t.closers) {
		errs = append(errs, c.Close())
	}
	t.closers = nil
	return errors.Join(errs...)
}

func (t *Table) cell(i int) cell { return t.rows.cell(t.selected[i]) }

func (t *Table) column(i int) string { return t.columns[t.selected[i]] }

// Text returns cell i of the current row. Text is as written in the file, blanks and all.
// Numbers of a binary file are written with as many digits as are needed to read them back, and
// booleans as true and false. An empty cell is "".
func (t *Table) Text(i int) string { return t.cell(i).String() }

func (c cell) String() string {
	switch c.kind {
	case text:
		return c.text
	case integer:
		return strconv.FormatInt(c.i, 10)
	case float, float32s:
		if c.f == math.Trunc(c.f) && math.Abs(c.f) < c.exact() {
			return strconv.FormatFloat(c.f, 'f', -1, 64)
		}
		bits := 64
		if c.kind == float32s {
			bits = 32
		}
		return strconv.FormatFloat(c.f, 'g', -1, bits)
	case boolean:
		return strconv.FormatBool(c.i != 0)
	default:
		return ""
	}
}

// Empty reports whether cell i of the current row holds nothing, or blanks only. A NaN is
// not empty, except in a FITS table, where it means that.
func (t *Table) Empty(i int) bool {
	c := t.cell(i)
	return c.kind == empty || c.kind == text && strings.TrimSpace(c.text) == ""
}

// Number returns cell i of the current row as a number, which may be NaN or infinite if the
// file says so. It is an error if the cell is empty or not a number. A boolean of a binary file
// is 0 or 1.
func (t *Table) Number(i int) (float64, error) {
	c := t.cell(i)
	switch c.kind {
	case text:
		v, err := ParseNumber(c.text)
		if err != nil {
			if v, err = ParseNumber(strings.TrimSpace(c.text)); err != nil {
				return 0, t.notA(i, "number", c)
			}
		}
		return v, nil
	case integer, boolean:
		return float64(c.i), nil
	case float, float32s:
		return c.f, nil
	default:
		return 0, t.notA(i, "number", c)
	}
}

// notA returns the error for a cell that is not what was expected.
func (t *Table) notA(i int, what string, c cell) error {
	s := strings.TrimSpace(c.String())
	if _, err := ParseNumber(strings.Replace(s, ",", ".", 1)); err == nil && strings.Count(s, ",") == 1 {
		return fmt.Errorf("%s is %s; replace the commas inside of numbers by points; expected a %s", t.column(i), quote(s), what)
	}
	return fmt.Errorf("%s is %s; expected a %s", t.column(i), quote(c.String()), what)
}

// Integer returns cell i of the current row as an integer. Counts are often written as floats:
// 18.0 is 18. It is an error if the cell is empty, not a number, not whole, or so large that
// the digits of a float cannot be trusted.
func (t *Table) Integer(i int) (int64, error) {
	c := t.cell(i)
	switch c.kind {
	case text:
		if v, err := strconv.ParseInt(strings.TrimSpace(c.text), 10, 64); err == nil {
			return v, nil
		}
	case integer, boolean:
		return c.i, nil
	}
	v, err := t.Number(i)
	if err != nil || v != math.Trunc(v) || math.Abs(v) >= c.exact() {
		return 0, t.notA(i, "whole number", c)
	}
	return int64(v), nil
}

// exact returns the number below which floats hold every integer.
func (c cell) exact() float64 {
	if c.kind == float32s {
		return 1 << 24
	}
	return 1 << 53
}

// ID returns cell i of the current row as the id of a galaxy: its text without blanks around it.
// It is valid UTF-8 of 1 to MaxID bytes without control characters, so that it can stand on a
// line of a file. An id of digits keeps each of them. An id that went through a float and lost
// digits, such as 1.23e+18, is an error, because several galaxies may have become the same.
func (t *Table) ID(i int) (string, error) {
	c := t.cell(i)
	id := strings.TrimSpace(c.String())
	name := t.column(i)
	switch {
	case id == "" || strings.EqualFold(id, "nan") || strings.EqualFold(id, "null"):
		return "", fmt.Errorf("%s is %s; expected the id of a galaxy: fill it in or delete the row", name, quote(id))
	case c.kind == boolean:
		return "", fmt.Errorf("%s is %s; expected the id of a galaxy, not a truth value", name, id)
	case c.kind == float || c.kind == float32s:
		// Whole numbers below the limit went through the float unharmed.
		if v := c.f; v != math.Trunc(v) || math.Abs(v) >= c.exact() {
			return "", lostDigits(name, id)
		}
		return strconv.FormatInt(int64(c.f), 10), nil
	case c.kind == text && wasFloat(id):
		return "", lostDigits(name, id)
	}
	if err := CheckID(id); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}

// CheckID returns an error unless a text can be an id, whatever it comes from.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("the id is empty")
	case len(id) > MaxID:
		return fmt.Errorf("the id %s has %d bytes; an id has at most %d", quote(id), len(id), MaxID)
	case !utf8.ValidString(id):
		return fmt.Errorf("the id %q is not UTF-8; convert it, as with iconv -f LATIN1 -t UTF-8", clip(id))
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("the id %s has line ends or other control characters in it", quote(id))
	}
	return nil
}

// wasFloat reports whether a text is how programs write a large number that they held as a
// float: "1.23764872121077e+18", "1e+18", or "1237648721210769659.0". Programs that leave out the
// plus write a point, as in "1.0E18". So "3E12" is a name.
func wasFloat(s string) bool {
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(s), "e")
	whole, fraction, point := strings.Cut(mantissa, ".")
	if scientific {
		exponent, plus := strings.CutPrefix(exponent, "+")
		return len(whole) == 1 && digits(whole) && (plus && !point || point && digits(fraction)) && len(exponent) <= 2 && digits(exponent)
	}
	v, err := strconv.ParseFloat(s, 64)
	return point && digits(whole) && strings.Trim(fraction, "0") == "" && err == nil && v >= 1<<53
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func lostDigits(column, id string) error {
	return fmt.Errorf("%s is %s: the id was stored as a float, which keeps 16 digits at most, so that different galaxies may have the same number now; get the table again with the ids as text or 64-bit integers (pandas: read_csv(…, dtype={%s: str}))", column, id, quote(column))
}

// list names the first few of many.
func list(names []string, most int) string {
	s := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		s = append(s, clip(n))
	}
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(s, ", "), more)
	}
	return strings.Join(s, ", ")
}

func quote(s string) string { return strconv.Quote(clip(s)) }

// clip keeps an untrusted string from flooding a message.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
