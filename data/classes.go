package data

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"galaxy/data/table"
	"galaxy/internal/usage"
	"galaxy/labels"
)

const (
	// MaxClasses is the largest number of classes that a catalogue without a schema may have.
	MaxClasses = 1000
	// maxClassName is the length of the longest name of a class in bytes: it names a column.
	maxClassName = 200
	// fewClasses is a number of classes up to which any values can be classes.
	fewClasses = 20
)

// isBlank reports whether a cell says that there is no value: it is empty, or what programs write for that.
func isBlank(cell string) bool {
	return cell == "" || strings.EqualFold(cell, "nan") || strings.EqualFold(cell, "null")
}

// A classList collects the classes of galaxies while a catalogue is read.
type classList struct {
	what  string         // where they are: "the column T", or "the folder of images"
	try   string         // what to do if it holds no classes; a format of usage.Errorf
	names []string       // in the order in which they came
	first []string       // where each came first
	sizes []int          // galaxies of each
	index map[string]int // of names
	of    []int          // of each row, an index into names, or labels.NoClass
}

func columnClasses(column string) *classList {
	return &classList{what: "the column " + column, try: "name another column with {class_column}", index: map[string]int{}}
}

func folderClasses() *classList {
	return &classList{what: "the folder of images", try: "give one with a folder for each class, or the table of the labels as {labels}", index: map[string]int{}}
}

// addCell adds a row of the class that a cell names, if it does.
func (l *classList) addCell(cell, where string) {
	if name := strings.TrimSpace(cell); isBlank(name) {
		l.of = append(l.of, labels.NoClass)
	} else {
		l.add(name, where)
	}
}

// add adds a row of a class.
func (l *classList) add(name, where string) {
	k, ok := l.index[name]
	if !ok {
		k = len(l.names)
		name = strings.Clone(name) // not a part of a large buffer
		l.index[name] = k
		l.names, l.first, l.sizes = append(l.names, name), append(l.first, where), append(l.sizes, 0)
	}
	l.sizes[k]++
	l.of = append(l.of, k)
}

// label gives the rows of a catalogue their labels: 1 for the class, 0 for the others, and 0 everywhere
// without a class. The schema is the classes in order or, if one is given, that one, which must have them all.
func (l *classList) label(c *Catalog, schema *labels.Schema) error {
	if err := l.check(); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	if schema == nil {
		if err := l.checkClasses(); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
		var err error
		if schema, err = labels.FromClasses(l.ordered()); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	columns := schema.Columns()
	column := make([]int, len(l.names)) // of each class
	for k, name := range l.names {
		if column[k] = slices.Index(columns, name); column[k] < 0 {
			mean := ""
			if nearest := usage.Nearest(name, columns); nearest != "" {
				mean = fmt.Sprintf("did you mean %q? Or ", nearest)
			}
			return usage.Errorf("%s: %s: the class %q of %s is not in the schema %v: %sadd it to the schema, or leave {schema} out",
				c.Path, l.first[k], clip(name), l.what, schema, mean)
		}
	}
	c.Schema, c.Labels = schema, make([]float32, len(l.of)*len(columns))
	for row, k := range l.of {
		if k != labels.NoClass {
			c.Row(row)[column[k]] = 1
		}
	}
	return nil
}

// check returns an error for names that cannot be those of classes.
func (l *classList) check() error {
	if len(l.names) == 0 {
		return fmt.Errorf("%s has no class in any of its %s", l.what, usage.Count(len(l.of), "row"))
	}
	spelled := map[float64]int{}
	for k, name := range l.names {
		switch {
		case !utf8.ValidString(name):
			return fmt.Errorf("%s: the class %q is not UTF-8; convert the table, as with iconv -f LATIN1 -t UTF-8", l.first[k], clip(name))
		case len(name) > maxClassName:
			return fmt.Errorf("%s: the class %q has %d bytes; expected at most %d", l.first[k], clip(name), len(name), maxClassName)
		case strings.ContainsFunc(name, unicode.IsControl):
			return fmt.Errorf("%s: the class %q has line ends or other control characters in it", l.first[k], clip(name))
		case name == labels.Unclear:
			return fmt.Errorf("%s: the class %s has the name of galaxies without a class; rename it, or leave its cells empty", l.first[k], name)
		}
		v, err := table.ParseNumber(name)
		if err != nil {
			continue
		}
		if other, twice := spelled[v]; twice {
			return fmt.Errorf("%s: the class %s is written %s on %s; expected one spelling, because each would be a class", l.first[k], name, l.names[other], l.first[other])
		}
		spelled[v] = k
	}
	return nil
}

// checkClasses returns an error for values that are obviously no classes.
func (l *classList) checkClasses() error {
	n, singles, numbers, broken := len(l.names), 0, 0, 0
	for k, name := range l.names {
		if l.sizes[k] == 1 {
			singles++
		}
		if v, err := table.ParseNumber(name); err == nil {
			numbers++
			if v != math.Trunc(v) {
				broken++
			}
		}
	}
	such := fmt.Sprintf("%s has %d different values, such as %s", l.what, n, some(l.names, ", "))
	total := len(l.of)
	switch {
	case n == 1:
		return usage.Errorf("%s has one class, %s, for all galaxies; expected two or more: "+l.try, l.what, clip(l.names[0]))
	case numbers == n && broken > 0 && n > fewClasses:
		return usage.Errorf("%s: a measured quantity, not a class; "+l.try+", or add one in which the numbers are binned", such)
	case n > MaxClasses:
		return usage.Errorf("%s; expected at most %d classes: "+l.try, such, MaxClasses)
	case n > fewClasses && 2*singles > total:
		return usage.Errorf("%s, and %d of the %d galaxies have a value of their own: ids or a measured quantity, not classes; "+l.try, such, singles, total)
	}
	return nil
}

// ordered returns the names by their value if all are numbers, and byte by byte otherwise.
func (l *classList) ordered() []string {
	values := map[string]float64{}
	for _, name := range l.names {
		if v, err := table.ParseNumber(name); err == nil && v == v {
			values[name] = v
		}
	}
	if len(values) < len(l.names) {
		return slices.Sorted(slices.Values(l.names))
	}
	return slices.SortedFunc(slices.Values(l.names), func(a, b string) int { return cmp.Compare(values[a], values[b]) })
}

// alike returns a sentence about classes whose names differ only in upper and lower case, "" if there are none.
func (l *classList) alike() string {
	folded := map[string]string{}
	var pairs []string
	for _, name := range slices.Sorted(slices.Values(l.names)) {
		key := strings.ToLower(name)
		if other, ok := folded[key]; ok {
			pairs = append(pairs, clip(other)+" and "+clip(name))
		}
		folded[key] = name
	}
	if len(pairs) == 0 {
		return ""
	}
	return fmt.Sprintf("%s has classes whose names differ only in upper and lower case: %s; each is a class", l.what, some(pairs, ", "))
}

// folders are the folders of classes below a folder of images.
type folders struct {
	images *Images
	root   string // what all paths start with and does not count, such as "galaxies/"
	splits bool   // above the folders of classes there are those of splits
}

// readFolders makes a catalogue of images that are in a folder for each class, below folders for the splits
// if there are any; isSplit reports that. An id is the path from the folder of the split or class on, without the
// extension. So a new image changes no other id: with plain names, "0001" would be an id as long as no second class had
// a 0001.png.
// Images outside of a folder of a class are an error unless allowMissing.
func readFolders(images *Images, schema *labels.Schema, allowMissing bool) (c *Catalog, isSplit bool, err error) {
	f := folders{images: images}
	if err := f.layout(); err != nil {
		return nil, false, fmt.Errorf("%s: %w", images.Path(), err)
	}
	c = &Catalog{Path: images.Path(), classes: folderClasses()}
	var outside []string
	byID := map[ID]string{}
	for i := range images.Len() {
		name := images.Name(i)
		parts := strings.Split(strings.TrimPrefix(name, f.root), "/")
		if f.splits {
			split, _ := splitNamed(parts[0])
			parts = parts[1:]
			if len(parts) > 1 {
				c.splits = append(c.splits, split)
			}
		}
		if len(parts) < 2 {
			outside = append(outside, name)
			continue
		}
		id := withoutExtension(strings.TrimPrefix(name, f.root))
		if err := table.CheckID(id); err != nil {
			return nil, false, fmt.Errorf("%s: the path %q names no galaxy: %w", images.Path(), clip(name), err)
		}
		if other, twice := byID[ID(id)]; twice {
			return nil, false, fmt.Errorf("%s: galaxy %s has two images (%s, %s); remove one", images.Path(), id, clip(other), clip(name))
		}
		byID[ID(id)] = name
		c.IDs, c.Images = append(c.IDs, ID(id)), append(c.Images, name)
		c.classes.add(parts[0], "the folder "+path.Dir(name))
	}
	if len(outside) > 0 && (!allowMissing || len(c.IDs) == 0) {
		err := usage.Errorf("%s outside of the folder of a class (%s); expected %s: move them, skip them with {allow_missing}, or give the table of their labels as {labels}",
			usage.Count(len(outside), "image"), some(outside, ", "), f.expected())
		return nil, false, fmt.Errorf("%s: %w", images.Path(), err)
	}
	return c, f.splits, c.classes.label(c, schema)
}

func (f folders) expected() string {
	if f.splits {
		return "<split>/<class>/<image>"
	}
	return "<class>/<image>"
}

// layout finds out where the folders of the classes are.
func (f *folders) layout() error {
	names := make([]string, f.images.Len())
	for i := range names {
		names[i] = f.images.Name(i)
	}
	for {
		// A folder that holds everything is the one that was packed, if it holds folders only.
		first, _, _ := strings.Cut(names[0], "/")
		_, isSplit := splitNamed(first)
		if isSplit || slices.ContainsFunc(names, func(s string) bool { return !strings.HasPrefix(s, first+"/") || strings.Count(s, "/") < 2 }) {
			break
		}
		f.root += first + "/"
		for i, s := range names {
			names[i] = s[len(first)+1:]
		}
	}
	top := map[string]bool{} // the folders, and whether they are splits
	for _, s := range names {
		if first, _, deeper := strings.Cut(s, "/"); deeper {
			_, top[first] = splitNamed(first)
		}
	}
	var splits, others []string
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if top[name] {
			splits = append(splits, name)
		} else {
			others = append(others, name)
		}
	}
	if len(splits) > 0 && len(others) > 0 {
		return fmt.Errorf("folders of splits (%s) next to others (%s); expected only splits, %s, with a folder for each class in them, or only classes: move or rename some",
			some(splits, ", "), some(others, ", "), splitWordsExpected)
	}
	f.splits = len(splits) > 0
	return f.checkDeeper(names)
}

// checkDeeper returns an error for splits inside of classes: their images would be mixed.
func (f folders) checkDeeper(names []string) error {
	above := 1
	if f.splits {
		above = 2
	}
	for _, s := range names {
		parts := strings.Split(path.Dir(s), "/")
		for _, folder := range parts[min(above, len(parts)):] {
			if _, ok := splitNamed(folder); ok {
				return fmt.Errorf("the folder of a split is inside of that of a class (%s); expected <split>/<class>/<image>", clip(path.Dir(s)))
			}
		}
	}
	return nil
}

// unlabelled are galaxies that are left out because the catalogue does not say what is needed of them.
type unlabelled struct{ class, split int }

// labelled returns the rows that have a class and a split, if the catalogue has such, and counts the others.
func (c *Catalog) labelled(rows []int) (kept []int, left unlabelled) {
	for _, row := range rows {
		switch {
		case c.classes != nil && c.classes.of[row] == labels.NoClass:
			left.class++
		case c.splits != nil && c.splits[row] == noSplit:
			left.split++
		default:
			kept = append(kept, row)
		}
	}
	return kept, left
}

var errNoneLabelled = errors.New("no galaxy that has an image has a class and a split")
