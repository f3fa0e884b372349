package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"galaxy/data/table"
	"galaxy/internal/usage"
	"galaxy/labels"
)

const (
	// IDColumn is the name of the column of ids in Kaggle's tables, and the default elsewhere.
	IDColumn = "GalaxyID"
)

// A Catalog is a table of galaxies and the columns of a schema: the labels, which are
// what the volunteers said, or a sample submission, which has the same columns.
type Catalog struct {
	Path   string   // the file read
	IDs    []ID     // in file order, each once
	Images []string // paths of their images below the folder, or in the zip; nil without a column of them
	Schema *labels.Schema
	Labels []float32 // [len(IDs), Schema.Width()] vote fractions in [0, 1], or counts; of classes 1 for the galaxy's and 0 for others, or only 0 if it has none

	classes  *classList // of a catalogue of classes
	splits   []Split    // of each row, noSplit for none; nil if the catalogue has no splits
	groups   []ID       // of each row, "" for none; nil without a column of them
	checksum uint64     // xxh3 of the table's bytes
}

// Row returns the labels of IDs[i], a view.
func (c *Catalog) Row(i int) []float32 {
	width := c.Schema.Width()
	return c.Labels[i*width : (i+1)*width : (i+1)*width]
}

// image returns what identifies the image of row i in Images: its path if rows have paths,
// or its id.
func (c *Catalog) image(i int) string {
	if c.Images != nil {
		return c.Images[i]
	}
	return string(c.IDs[i])
}

// KeyColumns names the columns that say which galaxy a row is about, and what a schema does not say of it.
type KeyColumns struct {
	// ID is the column of ids. "" is GalaxyID; if there is a Path, the ids are the names of the
	// files without extensions.
	ID string
	// Path is the column of the images' paths. "" is none: the image of a galaxy is the one
	// whose file has its id as the name.
	Path string
	// Class is the column of classes, if each galaxy has one, in place of a column for each answer of a schema.
	// The text is the name of the class, without blanks around it. An empty cell, "NaN" and "null"
	// mean that the galaxy has none.
	Class string

	split, group string // those of a SplitRule
}

// ReadCatalog reads the labels of galaxies from a table in any format of package table. Its
// columns are found by their names, and others are ignored. Of Kaggle's zips, it
// takes training_solutions_rev1.csv. Every error names the file and, if there is one, the line and
// the galaxy.
//
// The sum rules are not enforced here (see Schema.CheckSums): a catalogue that breaks
// them can still be learnt from.
//
// If keys.Class is set, a nil schema stands for labels.FromClasses of all classes in the table, in the order of their
// values if all are numbers, and otherwise byte by byte. A schema that is given is one of Schema.WithClasses, and
// must have all classes. These are errors: a number in two spellings ("1" and "1.0") and, without a schema, one class
// alone, more than MaxClasses, and a column that obviously holds no classes. That is one with more than 20 different
// values, if all are numbers and some not whole, or if more than half of the galaxies have a value of their own.
func ReadCatalog(path string, schema *labels.Schema, keys KeyColumns) (*Catalog, error) {
	c, err := readCatalog(path, "training_solutions", schema, keys)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return c, nil
}

// ReadSample reads Kaggle's all_zeros_benchmark.csv, or another submission in its
// place, in the ways of ReadCatalog.
func ReadSample(path string, schema *labels.Schema) (*Catalog, error) {
	c, err := readCatalog(path, "all_zeros_benchmark", schema, KeyColumns{})
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	return c, nil
}

// readCatalog reads a table. prefix is how the table's name in a zip starts, if there are several.
func readCatalog(name, prefix string, schema *labels.Schema, keys KeyColumns) (_ *Catalog, err error) {
	t, err := table.Open(name, prefix)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; give the table of labels, such as a CSV, or the zip that holds it", err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	r, err := newCatalogReader(t, schema, keys)
	if err != nil {
		return nil, err
	}
	c := &Catalog{Path: name, Schema: schema}
	if keys.Class != "" {
		c.classes = columnClasses(keys.Class)
	}
	lines := make(map[ID]int)
	twins, twin := 0, error(nil) // rows whose galaxy another row has, and the error of the first
	for {
		if err := t.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		id, err := r.add(c)
		if err != nil {
			return nil, t.Errorf("%w", err)
		}
		if first, twice := lines[id]; twice {
			if keys.ID == "" && keys.Path != "" {
				return nil, t.Errorf("%w", usage.Errorf("two images have the name %s, the other one on line %d; name a column of ids with {id_column}", id, first))
			}
			if twins++; twins == 1 {
				twin = t.Errorf("galaxy %s: already on line %d", id, first)
			}
			continue
		}
		lines[id] = t.Line()
	}
	if twins > 0 {
		if keys.ID == "" {
			return nil, fmt.Errorf("%w (such rows: %d); keep one row for each galaxy", twin, twins)
		}
		return nil, usage.Errorf("%w (such rows: %d); keep one row for each galaxy, or name another column of ids with {id_column}", twin, twins)
	}
	if len(c.IDs) == 0 {
		return nil, fmt.Errorf("%s: the table has a header but no galaxies", name)
	}
	if err := r.checkSplits(name); err != nil {
		return nil, err
	}
	c.checksum = t.Checksum()
	if c.classes != nil {
		return c, c.classes.label(c, schema)
	}
	return c, nil
}

// A catalogReader turns the rows of a table into those of a Catalog.
type catalogReader struct {
	table   *table.Table
	columns []string // of the labels
	labels  int      // index of their first cell
	totals  []int    // questions that have one; the cells follow the labels
	keys    KeyColumns
	// Indices of the cells of keys, or -1.
	id, path, class, split, group int
	// What the column of splits has besides the words for them, and where that came first.
	strange      []string
	strangeWhere string
}

func newCatalogReader(t *table.Table, schema *labels.Schema, keys KeyColumns) (*catalogReader, error) {
	r := &catalogReader{table: t, keys: keys}
	if keys.ID == "" && keys.Path == "" {
		keys.ID = IDColumn
	}
	var names []string
	add := func(name string, cell *int) {
		*cell = -1
		if name != "" {
			*cell, names = len(names), append(names, name)
		}
	}
	add(keys.ID, &r.id)
	add(keys.Path, &r.path)
	if err := t.Select(names...); err != nil {
		return r, usage.Errorf("%w; name the column of ids with {id_column}, or the column of the images' paths with {path_column}", err)
	}
	add(keys.Class, &r.class)
	add(keys.split, &r.split)
	add(keys.group, &r.group)
	if err := t.Select(names...); err != nil || keys.Class != "" {
		return r, err
	}
	r.columns, r.labels = schema.Columns(), len(names)
	names = append(names, r.columns...)
	for i, q := range schema.Questions() {
		if q.Total != "" {
			r.totals, names = append(r.totals, i), append(names, q.Total)
		}
	}
	if err := t.Select(names...); err != nil {
		return r, usage.Errorf("%w; the labels must have the columns of the schema %v (galaxy schema infer shows those of a table; {schema} names another), or a column of classes, which {class_column} names", err, schema)
	}
	return r, nil
}

// add appends the current row to a catalogue and returns its id.
func (r *catalogReader) add(c *Catalog) (ID, error) {
	var id, image string
	var err error
	if r.path >= 0 {
		if image, err = imagePath(r.table.Text(r.path)); err != nil {
			return "", err
		}
		c.Images = append(c.Images, image)
	}
	if r.id >= 0 {
		id, err = r.table.ID(r.id)
	} else {
		if image == "" || image == "." { // whose base would be "."
			return "", usage.Errorf("%s is %q; expected the path of an image: fill it in, delete the row, or name a column of ids with {id_column}", r.keys.Path, r.table.Text(r.path))
		}
		id = idOfFile(image)
		if err = table.CheckID(id); err != nil {
			err = fmt.Errorf("the path %q names no galaxy: %w", clip(image), err)
		}
	}
	if err != nil {
		return "", err
	}
	c.IDs = append(c.IDs, ID(id))
	if r.class >= 0 {
		c.classes.addCell(r.table.Text(r.class), r.table.Where())
	}
	if r.split >= 0 {
		c.splits = append(c.splits, r.splitOf(r.table.Text(r.split)))
	}
	if r.group >= 0 {
		group := strings.TrimSpace(r.table.Text(r.group))
		if isBlank(group) {
			group = ""
		}
		c.groups = append(c.groups, ID(strings.Clone(group)))
	}
	for i, column := range r.columns {
		v, err := r.table.Number(r.labels + i)
		if err != nil {
			return "", fmt.Errorf("galaxy %s: %w %s", id, err, c.Schema.Values().Range())
		}
		label, err := c.Schema.Value(v)
		if err != nil {
			return "", fmt.Errorf("galaxy %s: %s is %v; %w", id, column, v, err)
		}
		c.Labels = append(c.Labels, label)
	}
	for k, question := range r.totals {
		total, err := r.table.Number(r.labels + len(r.columns) + k)
		if err == nil {
			err = c.Schema.CheckTotal(c.Row(len(c.IDs)-1), question, total)
		}
		if err != nil {
			return "", fmt.Errorf("galaxy %s: %w; correct the row or delete it", id, err)
		}
	}
	return ID(id), nil
}

// splitOf returns the split that a cell names, noSplit if it is empty or names none.
func (r *catalogReader) splitOf(cell string) Split {
	cell = strings.TrimSpace(cell)
	split, ok := splitNamed(cell)
	switch {
	case ok:
		return split
	case isBlank(cell) || slices.Contains(r.strange, cell):
	case len(r.strange) == 0:
		r.strange, r.strangeWhere = []string{cell}, r.table.Where()
	case len(r.strange) <= someFirst: // as many as a message names, and one more
		r.strange = append(r.strange, cell)
	}
	return noSplit
}

// checkSplits returns an error if the column of splits has anything but the words for splits.
func (r *catalogReader) checkSplits(name string) error {
	if len(r.strange) == 0 {
		return nil
	}
	var quoted []string
	for _, s := range r.strange {
		quoted = append(quoted, strconv.Quote(clip(s)))
	}
	return fmt.Errorf("%s: %s: the column %s has %s; expected %s, in any case, or an empty cell for a galaxy that is left out; write these words into the table",
		name, r.strangeWhere, r.keys.split, some(quoted, ", "), splitWordsExpected)
}

// imagePath returns the path of an image as Images has it. Tables that were made on Windows have
// backslashes in them. The path must stay below the folder of images, because a table may come
// from anywhere.
func imagePath(s string) (string, error) {
	p := strings.ReplaceAll(strings.TrimSpace(s), `\`, "/")
	if p == "" {
		return "", nil // which no image has
	}
	if strings.HasPrefix(p, "/") || len(p) > 1 && p[1] == ':' {
		return "", usage.Errorf("the path %q starts at the root of a disk; expected one below {images}: remove the first part of the paths, or name a column of ids with {id_column} to find images by their names", clip(s))
	}
	if p = path.Clean(p); p == ".." || strings.HasPrefix(p, "../") {
		return "", usage.Errorf("the path %q leaves the folder of images; expected one below {images}: give the folder above as {images}", clip(s))
	}
	return p, nil
}

// idOfFile returns the id of an image: its file's name without the extension.
func idOfFile(name string) string {
	return withoutExtension(path.Base(name))
}

// clip keeps a foreign string from flooding a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
