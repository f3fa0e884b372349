package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show the contents of a cache: counts, labels, clean classes, broken images, copies of one image, a contact sheet",
		ArgsUsage: "[CACHE]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Category: catInput, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare; or give the folder as an argument"},
			&cli.BoolFlag{Name: "near", Category: catInput, Usage: "find nearly equal images too, also rotated and mirrored ones; reads every image"},
			&cli.StringFlag{Name: "copies", Category: catOutput, Usage: "write every pair of galaxies with the same image to `CSV`; must not exist"},
			&cli.StringFlag{Name: "sheet", Category: catOutput, Usage: "write a contact sheet of labelled galaxies to `PNG`; must not exist"},
		},
		Action: inspectAction,
	}
}

func inspectAction(c *cli.Context) (err error) {
	dir := c.String("data")
	if c.Args().Present() {
		dir = c.Args().First()
	}
	switch {
	case dir == "":
		return usage.Error{Err: errors.New("needed: a cache, as in galaxy inspect CACHE --sheet sheet.png")}
	case c.Args().Len() > 1:
		return usage.Error{Err: fmt.Errorf("unexpected argument %q: inspect takes one cache", c.Args().Get(1))}
	case c.Args().Present() && c.IsSet("data") && c.String("data") != dir:
		return usage.Error{Err: fmt.Errorf("two caches, %s and %s: give one of them", c.String("data"), dir)}
	}
	if err := errors.Join(checkSheet(c), checkNew(c, "copies")); err != nil {
		return err
	}
	cache, err := data.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	copies, err := cache.Copies(c.Context, c.Bool("near"))
	if err != nil {
		return err
	}
	if name := c.String("copies"); name != "" {
		if err := durable.WriteFile(name, copiesCSV(copies)); err != nil {
			return fmt.Errorf("write copies: %w", err)
		}
	}
	summary, sheet := cache.Summary(), c.String("sheet")
	if sheet != "" {
		picture, err := contactSheet(cache)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(sheet, picture); err != nil {
			return fmt.Errorf("write contact sheet: %w", err)
		}
	}
	result := struct {
		Data string `json:"data"`
		data.Manifest
		data.Summary
		Balance *data.Balance `json:"balance,omitzero"`
		Copies  *data.Copies  `json:"copies"`
		Blank   []data.ID     `json:"blank"`
		Sheet   string        `json:"sheet,omitempty"`
	}{dir, cache.Manifest(), summary, cache.Balance(), copies, cache.Blank(), sheet}
	return report(c, result, func(w io.Writer) {
		printInspection(w, dir, result.Manifest, result.Summary, result.Balance)
		printBlank(w, result.Blank)
		printCopies(w, copies)
		if sheet != "" {
			fmt.Fprintf(w, "contact sheet: %s\n", sheet)
		}
	})
}

// checkSheet returns an error if --sheet names a file that cannot be written, or is no PNG.
func checkSheet(c *cli.Context) error {
	if sheet := c.String("sheet"); sheet != "" && filepath.Ext(sheet) != ".png" {
		return usage.Error{Err: fmt.Errorf("--sheet %s: expected a name that ends in .png, which it is written as", sheet)}
	}
	return checkNew(c, "sheet")
}

func printInspection(w io.Writer, dir string, m data.Manifest, s data.Summary, b *data.Balance) {
	fmt.Fprintf(w, "%s: %s of %d px%s (%s of each image), split seed %d, checksum %s\n",
		dir, usage.Count(m.Examples, "galaxy"), m.Size, inBands(m.Bands), m.Crop.Middle(), m.SplitSeed, m.Checksum)
	if m.Split != (data.SplitRule{}) {
		fmt.Fprintf(w, "split by %v\n", m.Split)
	}
	from := m.Sources.Labels + " and " + m.Sources.Images
	switch {
	case m.Schema.IsNone():
		from = m.Sources.Images + ", without labels"
	case m.Sources.Labels == "":
		from = "the folders of " + m.Sources.Images
	}
	fmt.Fprintf(w, "made from %s\n", from)
	if !m.Stretch.IsZero() {
		fmt.Fprintf(w, "stretched by %v\n", m.Stretch)
	}
	fmt.Fprintln(w)
	if b != nil {
		printBalance(w, b, m.Counts)
		fmt.Fprintf(w, "\n%s without a class left out, %d without a split\n", usage.Count(m.RowsWithoutClass, "row"), m.RowsWithoutSplit)
	} else {
		printLabels(w, m, s)
	}
	fmt.Fprintf(w, "%s without a row left out, %s without an image\n", usage.Count(m.ImagesWithoutRow, "image"), usage.Count(m.RowsWithoutImage, "row"))
	fmt.Fprintf(w, "%s left out\n", usage.Count(len(m.Broken), "broken image"))
	printBroken(w, m.Broken, dir)
}

// printLabels prints the classes and the columns of votes.
func printLabels(w io.Writer, m data.Manifest, s data.Summary) {
	if m.Schema.Classes().Width() == 0 {
		printCounts(w, "", nil, m.Counts)
	} else {
		printCounts(w, "clean class", s.Classes, m.Counts)
	}
	if m.Schema.IsNone() {
		fmt.Fprintln(w)
		return
	}

	name, text := 10, 18 // as the challenge's need
	for _, column := range s.Columns {
		name, text = max(name, len(column.Name)), max(text, len(column.Text))
	}
	fmt.Fprintf(w, "\n%-*s %-*s %7s %7s %14s\n", name, "column", text, "answer", "mean", "std", fmt.Sprintf("largest of %d", len(s.Columns)))
	for _, q := range m.Schema.Questions() {
		fmt.Fprintf(w, "%s\n", q.Text)
		for _, column := range s.Columns[q.First : q.First+len(q.Answers)] {
			fmt.Fprintf(w, "%-*s %-*s %7.4f %7.4f %14d\n", name, column.Name, text, column.Text, column.Mean, column.Std, column.Largest)
		}
	}

	if m.Schema.Values() == labels.Counts {
		fmt.Fprintf(w, "\n%s %s\n", usage.Count(m.SumRuleBreaks, "row"), brokenRule(m.Schema))
	} else {
		fmt.Fprintf(w, "\n%s %s by more than %v\n", usage.Count(m.SumRuleBreaks, "row"), brokenRule(m.Schema), labels.SumTolerance)
	}
}

// The contact sheet's layout, in pixels.
const (
	sheetColumns = 8   // galaxies of each class
	tileSide     = 128 // side of a drawn galaxy
	tileGap      = 8
	lineHeight   = 14 // of the font, which is 13 high
	fontWidth    = 7
	sheetMargin  = 84 // left of the galaxies, for the class's name
	sheetMost    = 60 // rows: a thousand classes would be a picture of a gigabyte
	captionLines = 2
)

// sheetRows returns the names of a contact sheet's rows, and a function that gives a galaxy's: the
// clean classes or, for a schema without any, the answers to the first question by most votes.
func sheetRows(schema *labels.Schema) (names []string, of func(row []float32) int) {
	if schema.OfClasses() {
		return schema.Columns(), schema.ClassOf
	}
	if names = schema.Classes().Columns(); len(names) > 0 {
		names = append(names, labels.Unclear)
		return names, func(row []float32) int {
			if class := schema.ClassOf(row); class != labels.NoClass {
				return class
			}
			return len(names) - 1
		}
	}
	if schema.IsNone() {
		return []string{"galaxies"}, func([]float32) int { return 0 }
	}
	first := schema.Questions()[0]
	for _, a := range first.Answers {
		names = append(names, a.Text)
	}
	return names, func(row []float32) int { return labels.Largest(row[:len(names)]) }
}

// contactSheet returns a PNG with galaxies of every row of sheetRows, up to sheetMost, spread evenly over
// those in the cache, each with its id and its largest answer to the first question.
func contactSheet(cache *data.Cache) ([]byte, error) {
	schema := cache.Schema()
	names, of := sheetRows(schema)
	members := make([][]int, min(len(names), sheetMost))
	for i := range cache.Len() {
		if row := of(cache.Labels(i)); row >= 0 && row < len(members) { // a galaxy without a class has none
			members[row] = append(members[row], i)
		}
	}
	rowHeight := tileSide + captionLines*lineHeight + tileGap
	sheet := blankSheet(sheetMargin+sheetColumns*(tileSide+tileGap), tileGap+len(members)*rowHeight)
	pixels := make([]byte, cache.Shape().Bytes())
	for r, all := range members {
		top := tileGap + r*rowHeight
		write(sheet, tileGap, top+lineHeight, clipText(names[r], (sheetMargin-tileGap)/fontWidth))
		write(sheet, tileGap, top+2*lineHeight, fmt.Sprint(len(all)))
		for k, i := range data.Spread(all, sheetColumns) {
			if err := cache.ReadImage(pixels, i); err != nil {
				return nil, err
			}
			drawTile(sheet, sheetMargin+k*(tileSide+tileGap), top, cache.Shape(), pixels, path.Base(string(cache.ID(i))), caption(schema, cache.Labels(i)))
		}
	}
	return encodeSheet(sheet)
}

func blankSheet(width, height int) *image.RGBA {
	sheet := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	return sheet
}

// drawTile draws a galaxy, whose pixels may be missing, with lines of text below it.
func drawTile(sheet draw.Image, left, top int, shape imagefile.Shape, pixels []byte, lines ...string) {
	if pixels != nil {
		draw.CatmullRom.Scale(sheet, image.Rect(left, top, left+tileSide, top+tileSide), shape.Picture(pixels), image.Rect(0, 0, shape.Size, shape.Size), draw.Src, nil)
	}
	for i, line := range lines {
		write(sheet, left, top+tileSide+(i+1)*lineHeight-2, clipText(line, (tileSide+tileGap)/fontWidth)) // 19 digits, as ids of SDSS have
	}
}

func encodeSheet(sheet image.Image) ([]byte, error) {
	var out bytes.Buffer
	if err := png.Encode(&out, sheet); err != nil {
		return nil, fmt.Errorf("draw contact sheet: %w", err)
	}
	return out.Bytes(), nil
}

// caption is answerOf, cut to the width of a tile.
func caption(schema *labels.Schema, row []float32) string {
	text, value := answerOf(schema, row)
	return clipText(text, tileSide/fontWidth-len(value)) + value
}

// answerOf names the largest answer to the first question and its value, as "1.1 smooth" and " 0.62", or "smooth" and " 17" for
// counts, or the class. The largest of all questions would often be the "no" of one that tells nothing about the galaxy's shape.
func answerOf(schema *labels.Schema, row []float32) (text, value string) {
	if schema.IsNone() {
		return "", ""
	}
	answers := schema.Questions()[0].Answers
	largest := labels.Largest(row[:len(answers)])
	answer := answers[largest]
	text, value = answer.Text, fmt.Sprintf(" %.2f", row[largest])
	switch {
	case schema.OfClasses():
		value = ""
	case schema.Values() == labels.Counts:
		value = fmt.Sprintf(" %.0f", row[largest])
	}
	if number, ok := strings.CutPrefix(answer.Name, "Class"); ok {
		text = number + " " + text
	}
	return text, value
}

func clipText(s string, most int) string { return strings.TrimSpace(s[:min(len(s), most)]) }

func write(on draw.Image, x, y int, text string) {
	d := font.Drawer{Dst: on, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
