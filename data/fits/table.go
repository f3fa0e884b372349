package fits

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// TableReader reads the rows of a binary table.
type TableReader struct {
	// Rows is their number.
	Rows int
	// Columns are those that can be read. A column of several numbers is several columns: FLUX
	// of 3 is FLUX_1, FLUX_2 and FLUX_3.
	Columns []Column
	// Skipped are the other columns.
	Skipped []SkippedColumn

	hdu      *HDU
	rowBytes int
	buffer   []byte // rows from first on
	first    int
}

// SkippedColumn is a column that cannot be read.
type SkippedColumn struct {
	Name string // as Column's
	Form string // the card that says what it holds: TFORM3 "1PE(9)"
	Why  string
}

// String returns 'column NAME (FORM): WHY'.
func (s SkippedColumn) String() string {
	return fmt.Sprintf("column %s (%s): %s", s.Name, s.Form, s.Why)
}

// Column is a column of a table.
type Column struct {
	// Name is TTYPE, or col1, col2, … if there is none; Unit is TUNIT, or "".
	Name, Unit string

	form        byte
	offset      int // in the row
	size        int // bytes of a text, or bits
	scale, zero float64
	null        int64
	hasNull     bool
}

// maxElements is how many numbers in one cell become columns.
const maxElements = 1000

// form is a column as it is stored.
type form struct {
	name   string
	number int // from 1
	form   byte
	repeat int
	inHeap byte // for P and Q
	offset int  // in the row
}

// readForms reads TFORM and TTYPE of all columns, whose cells must fit into a row.
func (h *HDU) readForms(rowBytes int) ([]form, error) {
	n, err := h.integer("TFIELDS", 0, 999, -1)
	if err != nil {
		return nil, err
	}
	forms := make([]form, n)
	offset := 0
	for i := range forms {
		key := "TFORM" + strconv.Itoa(i+1)
		f := &forms[i]
		f.number, f.offset = i+1, offset
		if f.name = strings.TrimSpace(h.string("TTYPE" + strconv.Itoa(i+1))); f.name == "" {
			f.name = "col" + strconv.Itoa(i+1)
		}
		text := strings.TrimSpace(h.string(key))
		kind := strings.TrimLeft(text, "0123456789")
		f.repeat = 1
		if count := text[:len(text)-len(kind)]; count != "" {
			if f.repeat, err = strconv.Atoi(count); err != nil {
				return nil, h.wrong(key, "a form such as 16A, J or 3E")
			}
		}
		if kind == "" || sizes[kind[0]] == 0 {
			return nil, h.wrong(key, "a form such as 16A, J or 3E")
		}
		f.form = kind[0]
		each := sizes[f.form]
		if (f.form == 'P' || f.form == 'Q') && len(kind) > 1 {
			f.inHeap = kind[1]
		}
		if f.repeat > (rowBytes-offset)/each*8 {
			return nil, h.wrong(key, fmt.Sprintf("at most the %d bytes that are left of a row (NAXIS1)", rowBytes-offset))
		}
		bytes := f.repeat * each
		if f.form == 'X' {
			bytes = (f.repeat + 7) / 8
		}
		if offset += bytes; offset > rowBytes {
			return nil, h.wrong(key, fmt.Sprintf("at most the %d bytes that are left of a row (NAXIS1)", rowBytes-f.offset))
		}
	}
	return forms, nil
}

// Table returns a reader of the HDU's rows.
func (h *HDU) Table() (*TableReader, error) {
	t, err := h.table()
	return t, h.wrap(err)
}

func (h *HDU) table() (*TableReader, error) {
	switch {
	case h.Kind == ASCIITable:
		return nil, fmt.Errorf("expected a binary table, got an ASCII table (XTENSION 'TABLE'), which is not read; TOPCAT or astropy can write it as a binary table or CSV")
	case h.Kind != Table:
		return nil, fmt.Errorf("expected a binary table, got: %s", h.Kind)
	case h.bool("ZTABLE"):
		return nil, fmt.Errorf("expected a binary table, got one that is compressed in tiles (ZTABLE); the program funpack, which comes with CFITSIO, makes an uncompressed file of it")
	case len(h.Axes) != 2 || h.bitpix != 8:
		return nil, h.wrong("NAXIS", "2 axes of bytes")
	}
	if err := h.intact(); err != nil {
		return nil, err
	}
	t := &TableReader{hdu: h, rowBytes: h.Axes[0], Rows: h.Axes[1]}
	if int64(t.rowBytes) > h.file.limit {
		return nil, h.wrong("NAXIS1", fmt.Sprintf("rows of at most %d bytes (the limit)", h.file.limit))
	}
	if t.rowBytes == 0 && t.Rows > 0 {
		return nil, h.wrong("NAXIS1", "rows of at least one byte")
	}
	forms, err := h.readForms(t.rowBytes)
	if err != nil {
		return nil, err
	}
	for _, f := range forms {
		if err := t.add(f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// add adds the columns of a form.
func (t *TableReader) add(f form) (err error) {
	h := t.hdu
	n := strconv.Itoa(f.number)
	skip := func(why string) {
		t.Skipped = append(t.Skipped, SkippedColumn{f.name, fmt.Sprintf("TFORM%s %q", n, h.string("TFORM"+n)), why})
	}
	c := Column{Name: f.name, Unit: strings.TrimSpace(h.string("TUNIT" + n)), form: f.form, offset: f.offset, size: sizes[f.form]}
	elements := f.repeat
	switch f.form {
	case 'P', 'Q':
		skip("arrays of variable length are not read")
		return nil
	case 'C', 'M':
		skip("complex numbers are not read")
		return nil
	case 'X':
		c.size, elements = f.repeat, 1
	case 'A':
		c.size, elements = h.textSize(f)
	case 'B', 'I', 'J', 'K':
		key := "TNULL" + n
		if _, c.hasNull = h.Lookup(key); c.hasNull {
			if c.null, err = h.integer(key, math.MinInt64, math.MaxInt64, 0); err != nil {
				return err
			}
		}
	}
	if c.scale, err = h.number("TSCAL"+n, 1); err != nil {
		return err
	}
	if c.zero, err = h.number("TZERO"+n, 0); err != nil {
		return err
	}
	if elements == 0 || elements > maxElements {
		skip(fmt.Sprintf("expected from 1 to %d values in a cell, got %d", maxElements, elements))
		return nil
	}
	for i := range elements {
		one := c
		one.offset += i * c.size
		if elements > 1 {
			one.Name = fmt.Sprintf("%s_%d", c.Name, i+1)
		}
		t.Columns = append(t.Columns, one)
	}
	return nil
}

// textSize returns the length of a text and how many a cell has: TDIM's first number, (20,3) for
// three of 20 bytes.
func (h *Header) textSize(f form) (size, count int) {
	text := strings.TrimPrefix(strings.TrimSpace(h.string("TDIM"+strconv.Itoa(f.number))), "(")
	first, _, several := strings.Cut(text, ",")
	n, err := strconv.Atoi(strings.TrimSpace(first))
	if !several || err != nil || n < 1 || f.repeat%n != 0 {
		return f.repeat, 1
	}
	return n, f.repeat / n
}

// cell returns a column and the bytes of a row from its first on.
func (t *TableReader) cell(row, column int) (*Column, []byte, error) {
	if row < 0 || row >= t.Rows || column < 0 || column >= len(t.Columns) {
		return nil, nil, t.hdu.wrap(fmt.Errorf("row %d, column %d: expected one of %d rows and %d columns", row, column, t.Rows, len(t.Columns)))
	}
	if at := (row - t.first) * t.rowBytes; row < t.first || at >= len(t.buffer) {
		rows := max(1, 1<<20/t.rowBytes)
		if t.buffer == nil {
			t.buffer = make([]byte, 0, min(rows, t.Rows)*t.rowBytes)
		}
		t.first, t.buffer = row, t.buffer[:min(rows, t.Rows-row)*t.rowBytes]
		if err := readAt(t.hdu.file.r, t.buffer, t.hdu.start+int64(row)*int64(t.rowBytes)); err != nil {
			t.buffer = t.buffer[:0]
			return nil, nil, t.hdu.wrap(fmt.Errorf("row %d: %w", row, err))
		}
	}
	c := &t.Columns[column]
	return c, t.buffer[(row-t.first)*t.rowBytes+c.offset:], nil
}

// Value returns a cell: a string, bool, int64, uint64, float32 or float64, or nil for a cell that
// is empty (TNULL, NaN, a logical that is neither T nor F). TSCAL and TZERO are applied: whole
// numbers stay whole where TSCAL is 1, so that unsigned 64-bit ids are exact; otherwise they
// are float64. A text has no spaces at its end. Bits (the form X) are a text of 0 and 1.
func (t *TableReader) Value(row, column int) (any, error) {
	c, b, err := t.cell(row, column)
	if err != nil {
		return nil, err
	}
	switch c.form {
	case 'A':
		return c.text(b), nil
	case 'X':
		bits := make([]byte, c.size)
		for i := range bits {
			bits[i] = '0' + b[i/8]>>(7-i%8)&1
		}
		return string(bits), nil
	case 'L':
		switch b[0] {
		case 'T':
			return true, nil
		case 'F':
			return false, nil
		}
		return nil, nil
	case 'E', 'D':
		x := c.float(b)
		switch {
		case math.IsNaN(x):
			return nil, nil
		case c.form == 'E' && c.scale == 1 && c.zero == 0:
			return float32(x), nil
		}
		return x, nil
	}
	v := c.integer(b)
	switch {
	case c.hasNull && v == c.null:
		return nil, nil
	case c.scale != 1:
	case c.zero == 0:
		return v, nil
	case c.form == 'K' && c.zero == 1<<63:
		return uint64(v) ^ 1<<63, nil
	case c.form != 'K' && c.zero == math.Trunc(c.zero) && math.Abs(c.zero) < 1<<53:
		return v + int64(c.zero), nil
	}
	return float64(float64(v)*c.scale) + c.zero, nil
}

// Text returns a cell as text, without loss: "" if Value has nil, true or false for a logical, the
// shortest decimal number that is the same for floating point.
func (t *TableReader) Text(row, column int) (string, error) {
	value, err := t.Value(row, column)
	switch v := value.(type) {
	case string:
		return v, err
	case int64:
		return strconv.FormatInt(v, 10), err
	case uint64:
		return strconv.FormatUint(v, 10), err
	case float32:
		return formatFloat(float64(v), 32), err
	case float64:
		return formatFloat(v, 64), err
	case bool:
		return strconv.FormatBool(v), err
	}
	return "", err
}

// formatFloat writes whole numbers without an exponent, which ids and counts are.
func formatFloat(x float64, bits int) string {
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatFloat(x, 'f', -1, bits)
	}
	return strconv.FormatFloat(x, 'g', -1, bits)
}

// Float returns a cell as a number: NaN if Value has nil, 0 or 1 for a logical. Whole numbers beyond
// 2⁵³ are rounded. A text is an error.
func (t *TableReader) Float(row, column int) (float64, error) {
	c, b, err := t.cell(row, column)
	if err != nil {
		return 0, err
	}
	switch c.form {
	case 'E', 'D':
		return c.float(b), nil
	case 'A', 'X':
		return 0, t.hdu.wrap(fmt.Errorf("row %d: expected a number in column %s, got a text", row, c.Name))
	}
	value, err := t.Value(row, column)
	switch v := value.(type) {
	case int64:
		return float64(v), err
	case uint64:
		return float64(v), err
	case float64:
		return v, err
	case bool:
		if v {
			return 1, err
		}
		return 0, err
	}
	return math.NaN(), err
}

// text returns the text at the start of b: to the first NUL, without spaces at its end.
func (c *Column) text(b []byte) string {
	b = b[:c.size]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(bytes.TrimRight(b, " "))
}

func (c *Column) float(b []byte) float64 {
	var x float64
	if c.form == 'E' {
		x = float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	} else {
		x = math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	if c.scale != 1 {
		x = float64(x * c.scale)
	}
	if c.zero != 0 {
		x += c.zero
	}
	return x
}

func (c *Column) integer(b []byte) int64 {
	var v [1]int64
	decodeInts(v[:], b[:sizes[c.form]])
	return v[0]
}
