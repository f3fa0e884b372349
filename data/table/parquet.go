package table

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// blockRows is how many rows of a Parquet file are decoded at a time.
const blockRows = 1024

// parquetRows are the rows of a Parquet file. Only the columns in use are read.
type parquetRows struct {
	file    stream
	groups  []parquet.RowGroup // those not yet opened
	meta    []format.RowGroup  // of groups
	columns []parquetColumn
	used    []int

	left  int64 // rows of the open group that are not in the block
	at, n int   // the current row of the block, and its rows
	row   int   // the current row of the file, from 1
}

// A parquetColumn is a column that can be read.
type parquetColumn struct {
	leaf     int // index of the column's chunk in a row group
	kind     kind
	unsigned bool
	pages    parquet.Pages
	values   parquet.ValueReader // of the current page
	block    []parquet.Value
}

// openParquet opens a Parquet file. The library panics on some damaged files, as it does in the
// methods of parquetRows.
func (t *Table) openParquet(s stream) (err error) {
	defer recovered(&err)
	if err := checkFooter(s); err != nil {
		return damaged(err)
	}
	f, err := parquet.OpenFile(s.at, s.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return damaged(err)
	}
	x := &parquetRows{file: s, groups: f.RowGroups(), meta: f.Metadata().RowGroups}
	columns := f.Root().Columns()
	if len(columns) > MaxColumns {
		return fmt.Errorf("the table has %d columns; at most %d are read", len(columns), MaxColumns)
	}
	for _, c := range columns {
		k, unsigned, why := parquetKind(c)
		if k == boolean && why == "" && runLengths(f.Metadata(), c.Index()) {
			why = "booleans encoded as run lengths, as by pyarrow with data_page_version='2.0'"
		}
		if why != "" {
			t.skipped = append(t.skipped, Skipped{c.Name(), why})
			continue
		}
		t.columns = append(t.columns, c.Name())
		x.columns = append(x.columns, parquetColumn{leaf: c.Index(), kind: k, unsigned: unsigned})
	}
	t.rows, t.checksum = x, s.checksum
	return nil
}

// parquetKind returns how the cells of a column are read, or why they are not.
func parquetKind(c *parquet.Column) (k kind, unsigned bool, why string) {
	if !c.Leaf() {
		return 0, false, "several values (it is nested)"
	}
	if c.Repeated() {
		return 0, false, "lists"
	}
	var logical any
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return boolean, false, ""
	case parquet.Int32, parquet.Int64:
		switch l := logical.(type) {
		case nil:
			return integer, false, ""
		case *format.IntType:
			return integer, !l.IsSigned, ""
		}
	case parquet.Float:
		return float32s, false, ""
	case parquet.Double:
		return float, false, ""
	case parquet.ByteArray:
		switch logical.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return text, false, ""
		case nil:
			return 0, false, "bytes, such as images"
		}
	}
	return 0, false, "values of the type " + c.Type().String()
}

// runLengths reports whether the cells of a column are encoded as run lengths. Levels always
// are, so this is sure only if there is no other encoding; checkPages sees the rest.
func runLengths(m *format.FileMetaData, leaf int) bool {
	return slices.ContainsFunc(m.RowGroups, func(g format.RowGroup) bool {
		if leaf >= len(g.Columns) || g.NumRows == 0 {
			return false
		}
		e := g.Columns[leaf].MetaData.Encoding
		return slices.Contains(e, format.RLE) && !slices.Contains(e, format.Plain)
	})
}

// recovered turns a panic of the library into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = damaged(fmt.Errorf("%v", r))
	}
}

func damaged(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("the Parquet file is truncated or damaged (%w); get it again", err)
}

func (x *parquetRows) use(columns []int) { x.used = columns }

func (x *parquetRows) next() error {
	if x.at++; x.at >= x.n {
		if err := x.load(); err != nil {
			return err
		}
	}
	x.row++
	return nil
}

// load fills the block with the next rows.
func (x *parquetRows) load() (err error) {
	defer recovered(&err)
	for x.left == 0 {
		if len(x.groups) == 0 {
			return io.EOF
		}
		if err := x.open(x.groups[0], x.meta[0].Columns); err != nil {
			return fmt.Errorf("row %d: %w", x.row+1, damaged(err))
		}
		x.groups, x.meta = x.groups[1:], x.meta[1:]
	}
	x.at, x.n = 0, int(min(x.left, blockRows))
	for _, i := range x.used {
		if err := x.columns[i].fill(x.n); err != nil {
			return fmt.Errorf("row %d: %w", x.row+1, damaged(err))
		}
	}
	x.left -= int64(x.n)
	return nil
}

// open starts to read a row group.
func (x *parquetRows) open(g parquet.RowGroup, meta []format.ColumnChunk) error {
	chunks := g.ColumnChunks()
	x.left = g.NumRows()
	if x.left < 0 || len(chunks) != len(meta) {
		return fmt.Errorf("a group of %d rows with %d columns of %d", x.left, len(chunks), len(meta))
	}
	for _, i := range x.used {
		c := &x.columns[i]
		if err := checkPages(x.file, &meta[c.leaf].MetaData, x.left); err != nil {
			return err
		}
		c.pages, c.values = chunks[c.leaf].Pages(), nil
	}
	return nil
}

// fill reads the next n values of the column. Texts stay in the memory of their pages, which
// are left to the garbage collector.
func (c *parquetColumn) fill(n int) error {
	if c.block == nil {
		c.block = make([]parquet.Value, blockRows)
	}
	for done := 0; done < n; {
		if c.values == nil {
			p, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return errors.New("a column has fewer values than there are rows")
			}
			if err != nil {
				return err
			}
			c.values = p.Values()
		}
		k, err := c.values.ReadValues(c.block[done:n])
		done += k
		if errors.Is(err, io.EOF) || err == nil && k == 0 {
			c.values = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (x *parquetRows) cell(column int) cell {
	c := &x.columns[column]
	v := &c.block[x.at]
	if v.IsNull() {
		return cell{}
	}
	switch c.kind {
	case text:
		return cell{kind: text, text: string(v.ByteArray())}
	case boolean:
		return truth(v.Boolean())
	case float:
		return cell{kind: float, f: v.Double()}
	case float32s:
		return cell{kind: float32s, f: float64(v.Float())}
	default:
		return x.integer(c, v)
	}
}

func (x *parquetRows) integer(c *parquetColumn, v *parquet.Value) cell {
	switch {
	case v.Kind() == parquet.Int32 && c.unsigned:
		return cell{kind: integer, i: int64(v.Uint32())}
	case v.Kind() == parquet.Int32:
		return cell{kind: integer, i: int64(v.Int32())}
	case c.unsigned:
		return unsigned(v.Uint64())
	default:
		return cell{kind: integer, i: v.Int64()}
	}
}

func (x *parquetRows) number() int { return x.row }

func (x *parquetRows) unit() string { return "row" }
