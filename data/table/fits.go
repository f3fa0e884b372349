package table

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"galaxy/data/fits"
)

// fitsBuffer bounds the memory for a FITS file: a row of a table.
const fitsBuffer = 64 << 20

// fitsRows are the rows of a binary table of a FITS file.
type fitsRows struct {
	table *fits.TableReader
	used  []int
	cells []cell // of the current row, by column; those in use
	row   int    // from 1
}

// openFITS opens the binary table of a FITS file. member is the name or the number of its HDU; ""
// takes the only one.
func (t *Table) openFITS(s stream, member string) error {
	f, err := fits.Open(s.at, s.size, fitsBuffer)
	if err != nil {
		return err
	}
	hdu, err := tableHDU(f, member)
	if err != nil {
		return err
	}
	if member != "" {
		t.name += "/" + member
	}
	x := &fitsRows{}
	if x.table, err = hdu.Table(); err != nil {
		return err
	}
	for _, c := range x.table.Columns {
		t.columns = append(t.columns, c.Name)
	}
	if len(t.columns) > MaxColumns {
		return fmt.Errorf("the table has %d columns; at most %d are read", len(t.columns), MaxColumns)
	}
	for _, s := range x.table.Skipped {
		t.skipped = append(t.skipped, Skipped{s.Name, fmt.Sprintf("what this program does not read (%s): %s", s.Form, s.Why)})
	}
	x.cells = make([]cell, len(t.columns))
	t.rows, t.checksum = x, s.checksum
	return nil
}

// tableHDU returns the table of a name or number, or the only one.
func tableHDU(f *fits.File, member string) (*fits.HDU, error) {
	var names []string
	var found *fits.HDU
	for _, h := range f.HDUs {
		if h.Kind != fits.Table {
			continue
		}
		number := strconv.Itoa(h.Index)
		if member != "" && (strings.EqualFold(h.Name, member) || number == member) {
			return h, nil
		}
		found = h
		if h.Name != "" {
			number = h.Name
		}
		names = append(names, number)
	}
	switch {
	case len(names) == 0:
		return f.First(fits.Table) // whose error lists what there is
	case member != "":
		return nil, fmt.Errorf("no table has the name or number %s; there are %s", quote(member), list(names, 8))
	case len(names) > 1:
		return nil, fmt.Errorf("the file holds %d tables (%s); say which, as in FILE/%s", len(names), list(names, 8), clip(names[0]))
	}
	return found, nil
}

func (x *fitsRows) use(columns []int) { x.used = columns }

func (x *fitsRows) next() error {
	if x.row >= x.table.Rows {
		return io.EOF
	}
	for _, c := range x.used {
		value, err := x.table.Value(x.row, c)
		if err != nil {
			return unwrapPath(err)
		}
		if x.cells[c], err = cellOf(value); err != nil {
			return err
		}
	}
	x.row++
	return nil
}

// cellOf returns a value of package fits as a cell. Cells that hold no number, NaN among them,
// are empty there.
func cellOf(value any) (cell, error) {
	switch v := value.(type) {
	case nil:
		return cell{}, nil
	case string:
		return cell{kind: text, text: v}, nil
	case int64:
		return cell{kind: integer, i: v}, nil
	case uint64:
		return unsigned(v), nil
	case float32:
		return cell{kind: float32s, f: float64(v)}, nil
	case float64:
		return cell{kind: float, f: v}, nil
	case bool:
		return truth(v), nil
	}
	return cell{}, errors.New("a cell of an unknown kind")
}

func (x *fitsRows) cell(column int) cell { return x.cells[column] }

func (x *fitsRows) number() int { return x.row }

func (x *fitsRows) unit() string { return "row" }
