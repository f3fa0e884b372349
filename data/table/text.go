package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
)

// openText opens a table of text. r has a buffer of sampleBytes.
func (t *Table) openText(r *bufio.Reader) error {
	hash := xxh3.New()
	t.checksum = hash.Sum64
	head, _ := r.Peek(sampleBytes) // its error was handled by layer
	enc := encodingOf(head)
	budget := &budget{r: io.TeeReader(r, hash)}
	budget.renew()
	var decoded io.Reader = budget
	if enc != nil {
		decoded = enc.NewDecoder().Reader(decoded)
	}
	b := bufio.NewReaderSize(decoded, sampleBytes)
	// Spreadsheets like to put a byte order mark before the first column name.
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = b.Discard(3) // cannot fail: just peeked at
	}
	sample, err := b.Peek(sampleBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if crOnly(sample) {
		b = bufio.NewReaderSize(&lineFeeds{r: b}, sampleBytes)
		sample, _ = b.Peek(sampleBytes)
	}
	if err := otherText(string(sample)); err != nil {
		return err
	}
	form, err := formOf(string(sample), err != nil)
	if err != nil {
		return err
	}
	x := &textRows{form: form, budget: budget}
	if form.comma == blanks {
		x.read = newBlankReader(b).read
	} else {
		c := newCSV(b, form.comma)
		x.read = func() ([]string, int, error) {
			record, err := c.Read()
			if err != nil {
				return nil, 0, err
			}
			line, _ := c.FieldPos(0)
			return record, line, nil
		}
	}
	if t.columns, err = x.header(); err != nil {
		return err
	}
	t.header = fmt.Sprintf("line %d: ", x.line)
	if len(t.columns) > MaxColumns {
		return fmt.Errorf("%sthe header has %d columns; at most %d are read", t.header, len(t.columns), MaxColumns)
	}
	t.rows = x
	return nil
}

// encodingOf returns the encoding of a text in UTF-16, nil for all others.
func encodingOf(head []byte) encoding.Encoding {
	order := func(e unicode.Endianness) encoding.Encoding { return unicode.UTF16(e, unicode.UseBOM) }
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return order(unicode.LittleEndian)
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return order(unicode.BigEndian)
	}
	// Without a mark, the letters of a header are half zeros.
	head = head[:min(len(head), 256)/2*2]
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case len(head) < 4:
	case zeros[0] == 0 && zeros[1] > len(head)*4/10:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case zeros[1] == 0 && zeros[0] > len(head)*4/10:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}

// crOnly reports whether the lines of a text end with CR alone, as old Macs wrote them.
func crOnly(sample []byte) bool {
	return bytes.IndexByte(sample, '\r') >= 0 && bytes.IndexByte(sample, '\n') < 0
}

// lineFeeds replaces each CR by LF.
type lineFeeds struct{ r io.Reader }

func (l *lineFeeds) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// budget bounds what is read between two calls of renew, so that a quote that is never
// closed does not take the whole file into memory.
type budget struct {
	r    io.Reader
	left int
}

var errRow = fmt.Errorf("a row of more than %d bytes; is a quote never closed?", MaxRow)

// renew allows for one more row, and for what buffers read ahead.
func (b *budget) renew() { b.left = MaxRow + 4*sampleBytes }

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRow
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// otherText returns an error that names the format of a text which is no table.
func otherText(sample string) error {
	start := strings.ToLower(strings.TrimSpace(sample[:min(len(sample), 4096)]))
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(start, p) })
	}
	switch {
	case start == "":
		return errors.New("the file is empty or starts with blanks only; expected a table")
	case has("version https://git-lfs"):
		return errors.New("the file is a Git LFS pointer, not the table itself; get the table with git lfs pull")
	case has("<!doctype html", "<html", "<head", "<body"):
		return errors.New("the file is an HTML page, perhaps one that asks to log in or reports an error; get the table in a browser, or with the link that downloads the file itself")
	case has("<votable") || has("<?xml") && strings.Contains(start, "<votable"):
		return errors.New("the file is a VOTable; convert it to CSV or Parquet (astropy: Table.read(FILE).write('labels.csv'))")
	case has("<?xml", "<svg"):
		return errors.New("the file is XML; expected text (CSV and the like), Parquet or FITS")
	case has("{\\rtf"):
		return errors.New("the file is a document in RTF; expected text (CSV and the like), Parquet or FITS")
	case has("/annex/objects/"):
		return errors.New("the file is a git-annex pointer, not the table itself; get the table with git annex get")
	case has("{", "[{", "[\n", "[["):
		return errors.New("the file is JSON; convert it to CSV or Parquet (pandas: read_json(FILE).to_csv('labels.csv', index=False))")
	case strings.ContainsAny(start, "\x00\x01\x02\x03\x04\x05\x06\x07\x08"):
		return errors.New("the file is binary and of an unknown format; expected text (CSV and the like), Parquet or FITS")
	}
	return nil
}

// blanks stands for runs of blanks where a separator is expected.
const blanks = ' '

// A form is how a text is laid out.
type form struct {
	comma   rune
	comment string // the last comment before the first record, without #
}

// sampleRecords is how many records of the sample decide the separator.
const sampleRecords = 64

// formOf finds the separator in the first bytes of a text: the one that divides the header, and
// the most of the lines that follow it into as many fields. complete says that the sample is the
// whole text.
func formOf(sample string, complete bool) (form, error) {
	if end := strings.LastIndexByte(sample, '\n'); !complete && end >= 0 {
		sample = sample[:end+1]
	}
	best, f := 0.0, form{comma: ',', comment: lastComment(sample)}
	for _, comma := range []rune{'\t', ',', ';'} {
		records := sampleOf(newCSV(strings.NewReader(sample), comma))
		if len(records) == 0 || len(records[0]) < 2 {
			continue
		}
		same := 0
		for _, r := range records {
			if len(r) == len(records[0]) {
				same++
			}
		}
		// The number of columns decides between separators with equally even lines.
		score := float64(same)/float64(len(records)) + 1e-6*float64(min(len(records[0]), MaxColumns))
		if score > best {
			best, f.comma = score, comma
		}
	}
	if best > 0 {
		return f, nil
	}
	lines := newBlankReader(bufio.NewReader(strings.NewReader(sample)))
	first, number, err := lines.read()
	if err != nil || len(first) < 2 {
		return f, nil // a table of one column, or an error that reading gives again
	}
	for range sampleRecords {
		record, line, err := lines.read()
		if err != nil {
			break
		}
		if len(record) != len(first) {
			return f, unevenBlanks(line, len(record), number, len(first))
		}
	}
	f.comma = blanks
	return f, nil
}

func unevenBlanks(line, n, first, want int) error {
	return fmt.Errorf("line %d: %d columns between blanks, but %d on line %d: if a cell may be empty, or have blanks in it, blanks cannot separate the columns; write the table with commas or tabs", line, n, want, first)
}

// sampleOf returns the first records without comments, up to an error, which reading
// gives again.
func sampleOf(c *csv.Reader) (records [][]string) {
	c.ReuseRecord = false
	for len(records) < sampleRecords {
		r, err := c.Read()
		if err != nil {
			break
		}
		if !isComment(r) {
			records = append(records, r)
		}
	}
	return records
}

// newCSV returns a reader of records with a separator. It skips empty lines and comments.
func newCSV(r io.Reader, comma rune) *csv.Reader {
	c := csv.NewReader(r)
	c.Comma, c.Comment = comma, '#'
	c.FieldsPerRecord = -1 // counted by textRows, for a message that helps
	c.ReuseRecord = true
	// Tables with tabs are mostly written without quoting, and hold quotes that mean nothing.
	c.LazyQuotes = comma == '\t'
	return c
}

// lastComment returns the comment directly before the first line that is none, without #.
func lastComment(sample string) (comment string) {
	for line := range strings.Lines(sample) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		rest, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		comment = strings.TrimSpace(rest)
	}
	return comment
}

// isComment reports whether a record is a comment that a spreadsheet has quoted and padded with
// separators, or has no cells at all.
func isComment(record []string) bool {
	for _, field := range record[1:] {
		if strings.TrimSpace(field) != "" {
			return false
		}
	}
	first := strings.TrimSpace(record[0])
	return first == "" || strings.HasPrefix(first, "#")
}

// textRows are the rows of a text.
type textRows struct {
	form   form
	budget *budget
	read   func() (record []string, line int, err error)
	again  bool // the current record is the first row: there was no header before it
	record []string
	line   int
	width  int // columns of the header
	most   int // the same with those at its end that have no name
}

// header reads the names of the columns.
func (x *textRows) header() ([]string, error) {
	if err := x.advance(); errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds nothing but comments; expected a line with the names of the columns")
	} else if err != nil {
		return nil, err
	}
	names := slices.Clone(x.record)
	if n := numbers(names); n > 0 {
		commented := x.form.split(x.form.comment)
		switch {
		case len(commented) == len(names) && numbers(commented) == 0:
			names, x.again = commented, true
		case 2*n >= len(names):
			return nil, fmt.Errorf("line %d: expected the names of the columns, but the line holds numbers (%s); put a line with the names above it", x.line, list(names, 4))
		}
	}
	for i, n := range names {
		names[i] = strings.TrimSpace(n)
	}
	x.most = len(names)
	for len(names) > 1 && names[len(names)-1] == "" { // separators at the end of the line
		names = names[:len(names)-1]
	}
	x.width = len(names)
	return names, nil
}

// split divides a comment as a line of the table.
func (f form) split(line string) []string {
	if f.comma == blanks {
		return strings.Fields(line)
	}
	r, err := newCSV(strings.NewReader(line), f.comma).Read()
	if err != nil {
		return nil
	}
	return r
}

// numbers returns how many of the fields are numbers.
func numbers(fields []string) (n int) {
	for _, f := range fields {
		if _, err := ParseNumber(strings.TrimSpace(f)); err == nil {
			n++
		}
	}
	return n
}

// advance reads the next record that is neither a comment nor empty.
func (x *textRows) advance() error {
	for {
		x.budget.renew()
		record, line, err := x.read()
		if err != nil {
			return x.explain(err)
		}
		if isComment(record) {
			continue
		}
		x.record, x.line = record, line
		return nil
	}
}

// explain turns the errors of encoding/csv into sentences.
func (x *textRows) explain(err error) error {
	var p *csv.ParseError
	switch {
	case !errors.As(err, &p):
		return unwrapPath(err)
	case errors.Is(p.Err, csv.ErrBareQuote):
		return fmt.Errorf("line %d: column %d: a quote in the middle of a field; put the whole field in quotes, and double the quotes in it", p.Line, p.Column)
	case errors.Is(p.Err, csv.ErrQuote):
		return fmt.Errorf("line %d: the field in quotes is not closed, or goes on after the closing quote on line %d (byte %d); double the quotes in a field", p.StartLine, p.Line, p.Column)
	default:
		return fmt.Errorf("line %d: %w", p.StartLine, p.Err)
	}
}

func (x *textRows) use([]int) {}

func (x *textRows) next() error {
	if !x.again {
		if err := x.advance(); err != nil {
			return err
		}
	}
	x.again = false
	n := len(x.record)
	for n > x.most && strings.TrimSpace(x.record[n-1]) == "" { // separators at the end of the line
		n--
	}
	switch {
	case n >= x.width && n <= x.most:
		return nil
	case x.form.comma == blanks:
		return unevenBlanks(x.line, n, 1, x.width)
	case n < x.width:
		return fmt.Errorf("line %d: %d fields; expected %d: the line may be cut off, get the file again", x.line, n, x.width)
	default:
		return fmt.Errorf("line %d: %d fields; expected %d: a field with separators in it must be quoted", x.line, n, x.width)
	}
}

func (x *textRows) cell(column int) cell { return cell{kind: text, text: x.record[column]} }

func (x *textRows) number() int { return x.line }

func (x *textRows) unit() string { return "line" }

// A blankReader reads records whose fields are separated by runs of blanks. A field in double
// quotes may have blanks in it.
type blankReader struct {
	r      *bufio.Reader
	line   int
	text   []byte
	fields []string
}

func newBlankReader(r *bufio.Reader) *blankReader { return &blankReader{r: r} }

// read returns the fields of the next line that is neither empty nor a comment, valid until the
// next call, and its number.
func (b *blankReader) read() ([]string, int, error) {
	for {
		b.text = b.text[:0]
		for more := true; more; {
			part, err := b.r.ReadSlice('\n')
			b.text = append(b.text, part...)
			if more = errors.Is(err, bufio.ErrBufferFull); !more && err != nil && (len(b.text) == 0 || !errors.Is(err, io.EOF)) {
				return nil, 0, err
			}
		}
		b.line++
		line := strings.TrimSpace(string(b.text))
		if line == "" || line[0] == '#' {
			continue
		}
		b.fields = b.fields[:0]
		for line != "" {
			var field string
			if line[0] == '"' {
				var closed bool
				if field, line, closed = strings.Cut(line[1:], `"`); !closed || line != "" && line[0] != ' ' && line[0] != '\t' {
					return nil, 0, fmt.Errorf("line %d: the field that starts with a quote does not end with one: %s", b.line, quote(field))
				}
			} else if end := strings.IndexAny(line, " \t"); end >= 0 {
				field, line = line[:end], line[end:]
			} else {
				field, line = line, ""
			}
			b.fields = append(b.fields, field)
			line = strings.TrimLeft(line, " \t")
		}
		return b.fields, b.line, nil
	}
}
