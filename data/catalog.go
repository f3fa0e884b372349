package data

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"galaxy/labels"
)

const (
	// maxCatalogBytes bounds the labels file, packed or not. The whole
	// catalogue is 20 MB; a file ten times that is something else.
	maxCatalogBytes = 256 << 20

	// rangeTolerance is how far outside [0, 1] rounding may push a fraction.
	// Within it values are moved to the border.
	rangeTolerance = 1e-5

	// IDColumn is the name of the first column of Kaggle's tables.
	IDColumn = "GalaxyID"
)

// A Catalog is a table of GalaxyIDs and the columns of a schema: the labels file, galaxies
// and what the volunteers said, or a sample submission, which has the same columns.
type Catalog struct {
	Path   string  // the file read
	IDs    []int64 // GalaxyIDs in file order, each once
	Schema *labels.Schema
	Labels []float32 // [len(IDs), Schema.Width()] vote fractions in [0, 1]

	checksum uint64 // xxh3 of the CSV's bytes
}

// Row returns the vote fractions of IDs[i], a view.
func (c *Catalog) Row(i int) []float32 {
	width := c.Schema.Width()
	return c.Labels[i*width : (i+1)*width : (i+1)*width]
}

// ReadCatalog reads Kaggle's training_solutions_rev1.csv, plain, inside a zip
// (by that name, or as its only CSV), or inside a zip of that name in a zip. The
// header must be GalaxyID and the schema's columns exactly, since two swapped columns
// would go unnoticed for ever after. Every error names the file and, where there is
// one, the line and the GalaxyID.
//
// The sum rules are not enforced here (see Schema.CheckSums): a catalogue that breaks
// them can still be learnt from.
func ReadCatalog(path string, schema *labels.Schema) (*Catalog, error) {
	return solutions.read(path, schema)
}

// ReadSample reads Kaggle's all_zeros_benchmark.csv, or another submission in its
// place, in the ways of ReadCatalog.
func ReadSample(path string, schema *labels.Schema) (*Catalog, error) {
	return sample.read(path, schema)
}

// A table is one of Kaggle's files with the columns of a Catalog.
type table struct {
	what   string // for messages
	prefix string // of the names of the file and of its zip
	file   string // its name
}

var (
	solutions = table{"catalog", "training_solutions", "training_solutions_rev1.csv"}
	sample    = table{"sample", "all_zeros_benchmark", "all_zeros_benchmark.csv"}
)

func (t table) read(path string, schema *labels.Schema) (*Catalog, error) {
	c, err := t.open(path, schema)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; give the CSV, or the zip that holds it", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.what, err)
	}
	return c, nil
}

func (t table) open(path string, schema *labels.Schema) (*Catalog, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file; give the CSV (or the zip that holds it)", path)
	}
	var magic [4]byte
	if n, err := f.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	} else if !strings.HasPrefix(string(magic[:n]), "PK") {
		if info.Size() > maxCatalogBytes {
			return nil, fmt.Errorf("%s: %d bytes is too large for Kaggle's CSV (at most %d)", path, info.Size(), maxCatalogBytes)
		}
		return t.parse(path, f, schema)
	}

	r, err := t.openMember(f, info.Size(), true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	return t.parse(path, r, schema)
}

// openMember opens the table in a zip: the one of Kaggle's name, which may be in
// an inner zip of that name (but not deeper: there are zips that hold
// themselves), or else the only CSV there is.
func (t table) openMember(r io.ReaderAt, size int64, outer bool) (io.ReadCloser, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	member, err := findMember(z, t.prefix, ".csv")
	if errors.Is(err, errNoMember) {
		if inner, err := findMember(z, t.prefix, ".zip"); err == nil && outer {
			text, err := readAll(inner)
			if err != nil {
				return nil, err
			}
			return t.openMember(bytes.NewReader(text), int64(len(text)), false)
		}
		member, err = findMember(z, "", ".csv")
	}
	if errors.Is(err, errNoMember) {
		return nil, fmt.Errorf("the zip holds no CSV file; expected Kaggle's %s", strings.Replace(t.file, ".csv", ".zip", 1))
	}
	if err != nil {
		return nil, err
	}
	if err := checkCatalogBytes(member); err != nil {
		return nil, err
	}
	text, err := member.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clip(member.Name), err)
	}
	return text, nil
}

// readAll reads a member that is no larger than a catalogue.
func readAll(f *zip.File) ([]byte, error) {
	if err := checkCatalogBytes(f); err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clip(f.Name), err)
	}
	defer r.Close()
	// The reader itself refuses a member that goes on behind its declared size.
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clip(f.Name), err)
	}
	return text, nil
}

func checkCatalogBytes(f *zip.File) error {
	if f.UncompressedSize64 > maxCatalogBytes {
		return fmt.Errorf("%s: %d bytes is too large for Kaggle's CSV (at most %d)", clip(f.Name), f.UncompressedSize64, maxCatalogBytes)
	}
	return nil
}

// parse reads the CSV; name is for messages.
func (t table) parse(name string, r io.Reader, schema *labels.Schema) (*Catalog, error) {
	columns := append([]string{IDColumn}, schema.Columns()...)
	fail := func(line int, format string, args ...any) error {
		return fmt.Errorf("%s: line %d: %w", name, line, fmt.Errorf(format, args...))
	}
	hash := xxh3.New()
	// One byte more than allowed: whoever reaches it was too long. A zip's
	// declared size is only a claim.
	limited := &io.LimitedReader{R: r, N: maxCatalogBytes + 1}
	buffered := bufio.NewReaderSize(io.TeeReader(limited, hash), 64<<10)
	// Spreadsheets like to put a byte order mark before the first column name.
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // cannot fail: just peeked at
	}
	rows := csv.NewReader(buffered)
	rows.FieldsPerRecord = -1 // counted below, for a message that helps
	rows.ReuseRecord = true

	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the file is empty; expected Kaggle's %s", name, t.file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(header) != len(columns) {
		return nil, fail(1, "the header has %d columns; expected %d: %s and %s to %s", len(header), len(columns), IDColumn, columns[1], columns[len(columns)-1])
	}
	for i, got := range header {
		if got != columns[i] {
			return nil, fail(1, "column %d of the header is %q; expected %q: the header must be that of Kaggle's %s", i+1, clip(got), columns[i], t.file)
		}
	}

	c := &Catalog{Path: name, Schema: schema}
	lines := make(map[int64]int)
	for {
		record, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rows.FieldPos(0)
		id, err := parseID(record[0])
		if err != nil {
			return nil, fail(line, "%w", err)
		}
		if len(record) != len(columns) {
			return nil, fail(line, "galaxy %d: %d fields; expected %d: the line may be cut off, download the file again", id, len(record), len(columns))
		}
		if first, dup := lines[id]; dup {
			return nil, fail(line, "galaxy %d: already on line %d; delete one of the two", id, first)
		}
		lines[id] = line
		c.IDs = append(c.IDs, id)
		for i, field := range record[1:] {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return nil, fail(line, "galaxy %d: %s is %q; expected a number from 0 to 1", id, columns[1+i], clip(field))
			}
			// Written so that a NaN fails.
			if !(v >= -rangeTolerance && v <= 1+rangeTolerance) {
				return nil, fail(line, "galaxy %d: %s is %v; a vote fraction lies from 0 to 1: correct the row or delete it", id, columns[1+i], v)
			}
			c.Labels = append(c.Labels, float32(math.Max(0, math.Min(1, v))))
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("%s: more than %d bytes is too large for Kaggle's CSV", name, maxCatalogBytes)
	}
	if len(c.IDs) == 0 {
		return nil, fmt.Errorf("%s: the file has a header but no galaxies", name)
	}
	c.checksum = hash.Sum64()
	return c, nil
}

// parseID reads a GalaxyID. Only the plain decimal form is taken: "0100" or
// "+100" would stand for the galaxy 100 without matching the file 100.jpg.
func parseID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 0 || strconv.FormatInt(id, 10) != s {
		return 0, fmt.Errorf("%s is %q; expected a whole number such as 100008", IDColumn, clip(s))
	}
	return id, nil
}

// clip keeps a foreign string from flooding a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
