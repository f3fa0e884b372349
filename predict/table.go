package predict

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Decimals is the number of digits after the point in a CSV. A question of
// labels.GalaxyZoo has up to seven answers, and their sum is compared with a rounded number: with
// five digits the sum is off by at most 8·0.5e-5, below the 1e-4 of the challenge's rules.
const Decimals = 5

// A table is a file with one row per image: its key and one number per column.
type table interface {
	// add appends a row. It does not keep values. class counts if the layout has a column for it.
	add(key string, values []float32, class string) error
	// close writes the rest. It does not close the file.
	close() error
}

// A layout is the columns of a table.
type layout struct {
	key     Keys
	columns []string // of numbers
	class   string   // the name of the last column, of text; "" for none
	rows    int
	exact   bool // numbers in text have all digits
}

// names returns the names of all columns.
func (l layout) names() []string {
	names := append([]string{l.key.Name}, l.columns...)
	if l.class != "" {
		names = append(names, l.class)
	}
	return names
}

// formats makes the tables by the extension of the file's name.
var formats = map[string]func(w io.Writer, l layout) (table, error){
	".csv": newCSV, ".parquet": newParquet, ".npy": newNPY,
}

// CheckFormat returns an error that lists the formats if a file's name has none of their
// extensions.
func CheckFormat(out string) error {
	if _, ok := formats[extension(out)]; !ok {
		return fmt.Errorf("%s: expected a name that ends with .csv, .parquet or .npy", out)
	}
	return nil
}

func extension(out string) string { return strings.ToLower(filepath.Ext(out)) }

// writeTable writes a table that fill fills to the file at path. format is the
// extension that sets the kind of table.
func writeTable(path, format string, l layout, fill func(table) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	t, err := formats[format](w, l)
	if err != nil {
		return err
	}
	if err := fill(t); err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return err
	}
	return w.Flush()
}

// csvTable is Kaggle's layout: a header, and numbers with Decimals digits, or as many as a float32 needs.
type csvTable struct {
	w      *csv.Writer
	fields []string
	format byte
	digits int
}

func newCSV(w io.Writer, l layout) (table, error) {
	names := l.names()
	t := &csvTable{csv.NewWriter(w), make([]string, len(names)), 'f', Decimals}
	if l.exact {
		t.format, t.digits = 'g', -1
	}
	return t, t.w.Write(names)
}

func (t *csvTable) add(key string, values []float32, class string) error {
	t.fields[len(t.fields)-1] = class // or the last number
	t.fields[0] = key
	for i, v := range values {
		t.fields[1+i] = strconv.FormatFloat(float64(v), t.format, t.digits, 32)
	}
	return t.w.Write(t.fields)
}

func (t *csvTable) close() error {
	t.w.Flush()
	return t.w.Error()
}

// A row group of a Parquet file has rowGroup rows, or as many of many columns as rowGroupBytes hold: it is
// kept in memory.
const (
	rowGroup      = 1 << 16
	rowGroupBytes = 32 << 20
)

// groupRows returns the number of rows in a row group.
func groupRows(columns int) int64 { return int64(min(rowGroup, max(1, rowGroupBytes/(4*columns)))) }

// parquetTable has the key as int64 or as a string, the values as float32 and the class as a string,
// all of them required.
type parquetTable struct {
	w        *parquet.GenericWriter[any]
	row      parquet.Row
	integers bool
}

func newParquet(w io.Writer, l layout) (table, error) {
	group := parquet.Group{l.key.Name: parquet.String()}
	if l.key.Integers {
		group[l.key.Name] = parquet.Leaf(parquet.Int64Type)
	}
	for _, c := range l.columns {
		group[c] = parquet.Leaf(parquet.FloatType)
	}
	if l.class != "" {
		group[l.class] = parquet.String()
	}
	order := l.names()
	if len(group) != len(order) {
		return nil, fmt.Errorf("two columns have the same name: %s", strings.Join(order, ", "))
	}
	schema := parquet.NewSchema("predictions", orderedGroup{group, order})
	return &parquetTable{
		w:   parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(groupRows(len(order)))),
		row: make(parquet.Row, len(order)), integers: l.key.Integers,
	}, nil
}

func (t *parquetTable) add(key string, values []float32, class string) error {
	last := len(t.row) - 1
	t.row[last] = parquet.ByteArrayValue([]byte(class)).Level(0, 0, last) // or the last number
	t.row[0] = parquet.ByteArrayValue([]byte(key)).Level(0, 0, 0)
	if t.integers {
		n, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return err
		}
		t.row[0] = parquet.Int64Value(n).Level(0, 0, 0)
	}
	for i, v := range values {
		t.row[1+i] = parquet.FloatValue(v).Level(0, 0, 1+i)
	}
	_, err := t.w.WriteRows([]parquet.Row{t.row})
	return err
}

func (t *parquetTable) close() error { return t.w.Close() }

// orderedGroup is a group whose fields keep their order; the library's own sorts them by
// the alphabet.
type orderedGroup struct {
	parquet.Group
	order []string
}

func (g orderedGroup) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.order, a.Name()) - slices.Index(g.order, b.Name())
	})
	return fields
}
