package data

import (
	"fmt"
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

// Match pairs rows and images that have the same GalaxyID. It is an error when
// there is no pair and, unless allowMissing, when one has no partner.
func Match(c *Catalog, images *Images, allowMissing bool) (Matching, error) {
	var m Matching
	var noImage, noRow []int64
	paired := make([]bool, images.Len())
	for row, id := range c.IDs {
		if i, ok := images.Find(id); ok {
			m.Rows, m.Images = append(m.Rows, row), append(m.Images, i)
			paired[i] = true
		} else {
			noImage = append(noImage, id)
		}
	}
	for i, id := range images.IDs() {
		if !paired[i] {
			noRow = append(noRow, id)
		}
	}
	slices.Sort(noImage)
	m.RowsWithoutImage, m.ImagesWithoutRow = len(noImage), len(noRow)

	var problems []string
	if len(noRow) > 0 {
		problems = append(problems, fmt.Sprintf("%s in %s without a row in %s (%s)",
			count(len(noRow), "image"), images.Path(), c.Path, some(noRow, ", ")))
	}
	if len(noImage) > 0 {
		problems = append(problems, fmt.Sprintf("%s in %s without an image in %s (%s)",
			count(len(noImage), "row"), c.Path, images.Path(), some(noImage, ", ")))
	}
	if len(m.Rows) == 0 {
		return m, fmt.Errorf("no galaxy has both a row and an image: %s; are the two from the same data set?", strings.Join(problems, " and "))
	}
	if len(problems) > 0 && !allowMissing {
		return m, usage.Errorf("%s; complete the files, or skip these with {allow_missing}", strings.Join(problems, " and "))
	}
	return m, nil
}
