package data

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"galaxy/internal/usage"
)

// A Matching pairs the rows of a catalogue with images, in the order of the rows.
type Matching struct {
	Rows   []int // of the catalogue
	Images []int // the image of each, as an index into Images

	// Numbers of rows and images without a partner.
	RowsWithoutImage, ImagesWithoutRow int
}

// Match pairs each row with the image that has its path, if the catalogue has paths, or its id.
// It is an error when there is no pair, when two rows have the same image and, unless
// allowMissing, when one has no partner.
func Match(c *Catalog, images *Images, allowMissing bool) (Matching, error) {
	var m Matching
	var noImage, noRow []string
	rows := make([]int, images.Len()) // of each image, plus 1
	for row := range c.IDs {
		key := c.image(row)
		i, ok := images.Find(key)
		if !ok {
			noImage = append(noImage, cmp.Or(key, string(c.IDs[row])))
			continue
		}
		if rows[i] > 0 {
			return m, fmt.Errorf("%s has two rows for the image %s, those of the galaxies %s and %s; delete one of the two", c.Path, clip(key), c.IDs[rows[i]-1], c.IDs[row])
		}
		m.Rows, m.Images = append(m.Rows, row), append(m.Images, i)
		rows[i] = row + 1
	}
	for i, row := range rows {
		if row == 0 {
			noRow = append(noRow, images.key(i))
		}
	}
	slices.SortFunc(noImage, images.compare)
	m.RowsWithoutImage, m.ImagesWithoutRow = len(noImage), len(noRow)

	var problems []string
	if len(noRow) > 0 {
		problems = append(problems, fmt.Sprintf("%s in %s without a row in %s (%s)",
			usage.Count(len(noRow), "image"), images.Path(), c.Path, some(noRow, ", ")))
	}
	if len(noImage) > 0 {
		problems = append(problems, fmt.Sprintf("%s in %s without an image in %s (%s)",
			usage.Count(len(noImage), "row"), c.Path, images.Path(), some(noImage, ", ")))
	}
	if len(m.Rows) == 0 {
		if folder, ok := above(c, images); ok {
			return m, usage.Errorf("the paths in %s start with %s/, which %s does not hold; give the folder above it as {images}", c.Path, folder, images.Path())
		}
		if pattern, ok := patternOf(c, images); ok {
			return m, usage.Errorf("no galaxy has both a row and an image: %s; the names of the files hold the ids: give their pattern with {files}, such as %s", strings.Join(problems, " and "), pattern)
		}
		return m, fmt.Errorf("no galaxy has both a row and an image: %s; %w", strings.Join(problems, " and "), nearMiss(c, images))
	}
	if len(problems) > 0 && !allowMissing {
		return m, usage.Errorf("%s; complete the files, or skip these with {allow_missing}", strings.Join(problems, " and "))
	}
	return m, nil
}

// nearMiss returns what to do if no row has an image: rows and images may have the same names
// written in different ways.
func nearMiss(c *Catalog, images *Images) error {
	// Case, folders, extensions and leading zeros are what tables and folders differ in.
	rough := func(key string) string { return strings.TrimLeft(strings.ToLower(idOfFile(key)), "0") }
	names := make(map[string]string, images.Len())
	for i := range images.Len() {
		names[rough(images.key(i))] = images.key(i)
	}
	for row := range c.IDs {
		key := c.image(row)
		switch name, ok := names[rough(key)]; {
		case !ok || key == "":
		case c.Images != nil:
			return usage.Errorf("the table has the path %s, and there is the image %s: the paths must be those below {images}, with their extensions; or leave {path_column} out, and name a column of ids that are the names of the files without extension with {id_column}", clip(key), clip(name))
		default:
			return usage.Errorf("the table has the id %s, and there is the image %s: an id must be the name of the file without its extension, with the same case and leading zeros; if the column holds names of files or paths, give it as {path_column}", clip(key), clip(name))
		}
	}
	return errors.New("are the two from the same data set?")
}

// above reports whether the images of a catalogue would be found in the folder above, and returns
// the name that their paths start with.
func above(c *Catalog, images *Images) (folder string, ok bool) {
	for _, p := range c.Images {
		folder, rest, _ := strings.Cut(p, "/")
		if _, ok := images.Find(rest); ok {
			return folder, true
		}
	}
	return "", false
}

// patternOf returns the pattern of the files' names, if one of the first images has the id of a row as a
// word of its name.
func patternOf(c *Catalog, images *Images) (pattern string, ok bool) {
	if images.ids == nil {
		return "", false
	}
	ids := make(map[string]bool, len(c.IDs))
	for _, id := range c.IDs {
		ids[string(id)] = true
	}
	const most = 16
	for i := range min(images.Len(), most) {
		name := withoutExtension(path.Base(images.Name(i)))
		if rest, band := cutWord(name, images.bands); band >= 0 && rest != name {
			name = strings.Replace(name, images.bands[band], "{band}", 1)
		}
		for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			if ids[word] {
				return strings.Replace(name, word, "{id}", 1), true
			}
		}
	}
	return "", false
}
