package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"galaxy/data"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show the contents of a cache: counts, labels, clean classes, broken images, a contact sheet",
		ArgsUsage: "[CACHE]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Category: catInput, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare; or give the folder as an argument after the flags"},
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
		return usage.Error{Err: errors.New("needed: a cache, as in galaxy inspect --sheet sheet.png CACHE")}
	case c.Args().Len() > 1:
		return usage.Error{Err: fmt.Errorf("unexpected argument %q: flags go before the cache", c.Args().Get(1))}
	case c.Args().Present() && c.IsSet("data") && c.String("data") != dir:
		return usage.Error{Err: fmt.Errorf("two caches, %s and %s: give one of them", c.String("data"), dir)}
	}
	sheet := c.String("sheet")
	if sheet != "" && filepath.Ext(sheet) != ".png" {
		return usage.Error{Err: fmt.Errorf("--sheet %s: expected a name that ends in .png, which it is written as", sheet)}
	}
	if err := checkNew(c, "sheet"); err != nil {
		return err
	}
	cache, err := data.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	summary := cache.Summary()
	if sheet != "" {
		picture, err := contactSheet(cache, summary.Columns)
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
		Sheet string `json:"sheet,omitempty"`
	}{dir, cache.Manifest(), summary, sheet}
	return report(c, result, func(w io.Writer) { printInspection(w, dir, result.Manifest, result.Summary, sheet) })
}

func printInspection(w io.Writer, dir string, m data.Manifest, s data.Summary, sheet string) {
	fmt.Fprintf(w, "%s: %d galaxies of %d px (the middle %d px of each image), split seed %d, checksum %s\n",
		dir, m.Examples, m.Size, m.Crop, m.SplitSeed, m.Checksum)
	fmt.Fprintf(w, "made from %s and %s by %s\n\n", m.Sources.Labels, m.Sources.Images, m.Decoder)

	fmt.Fprintf(w, "%-12s %8s %10s %8s %8s\n", "clean class", "train", "validation", "test", "all")
	row := func(name string, n data.Counts) {
		fmt.Fprintf(w, "%-12s %8d %10d %8d %8d\n", name, n.Train, n.Validation, n.Test, n.Train+n.Validation+n.Test)
	}
	for _, class := range s.Classes {
		row(class.Name, class.Counts)
	}
	row("all", m.Counts)

	fmt.Fprintf(w, "\n%-10s %-18s %7s %7s %14s\n", "column", "answer", "mean", "std", fmt.Sprintf("largest of %d", len(s.Columns)))
	for _, q := range m.Schema.Questions() {
		fmt.Fprintf(w, "%s\n", q.Text)
		for _, column := range s.Columns[q.First : q.First+len(q.Answers)] {
			fmt.Fprintf(w, "%-10s %-18s %7.4f %7.4f %14d\n", column.Name, column.Text, column.Mean, column.Std, column.Largest)
		}
	}

	if m.Schema.Values() == labels.Counts {
		fmt.Fprintf(w, "\n%d rows %s\n", m.SumRuleBreaks, brokenRule(m.Schema))
	} else {
		fmt.Fprintf(w, "\n%d rows break the tree's sum rules by more than %v\n", m.SumRuleBreaks, labels.SumTolerance)
	}
	fmt.Fprintf(w, "%d images left out that have no row, %d rows that have no image\n", m.ImagesWithoutRow, m.RowsWithoutImage)
	fmt.Fprintf(w, "%d broken images left out\n", len(m.Broken))
	printBroken(w, m.Broken, dir)
	if sheet != "" {
		fmt.Fprintf(w, "contact sheet: %s\n", sheet)
	}
}

// The contact sheet's layout, in pixels.
const (
	sheetColumns = 8   // galaxies of each class
	tileSide     = 128 // side of a drawn galaxy
	tileGap      = 8
	lineHeight   = 14 // of the font, 13 high and 7 wide
	sheetMargin  = 84 // left of the galaxies, for the class's name
	captionLines = 2
)

// contactSheet returns a PNG with a row of galaxies of every clean class in the
// cache, spread evenly over the class, each with its GalaxyID and its largest
// vote fraction.
func contactSheet(cache *data.Cache, columns []data.ColumnSummary) ([]byte, error) {
	schema := cache.Schema()
	classes := append(schema.Classes().Columns(), labels.Unclear)
	members := make([][]int, len(classes))
	for i := range cache.Len() {
		class := schema.ClassOf(cache.Labels(i))
		if class == labels.NoClass {
			class = len(classes) - 1
		}
		members[class] = append(members[class], i)
	}
	rowHeight := tileSide + captionLines*lineHeight + tileGap
	sheet := image.NewRGBA(image.Rect(0, 0, sheetMargin+sheetColumns*(tileSide+tileGap), tileGap+len(members)*rowHeight))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)

	size := cache.Size()
	pixels := make([]byte, size*size*3)
	for class, all := range members {
		top := tileGap + class*rowHeight
		write(sheet, tileGap, top+lineHeight, classes[class])
		write(sheet, tileGap, top+2*lineHeight, fmt.Sprint(len(all)))
		n := min(len(all), sheetColumns)
		for k := range n {
			i := all[k*len(all)/n]
			if err := cache.ReadImage(pixels, i); err != nil {
				return nil, err
			}
			left := sheetMargin + k*(tileSide+tileGap)
			draw.CatmullRom.Scale(sheet, image.Rect(left, top, left+tileSide, top+tileSide), rgb(pixels, size), image.Rect(0, 0, size, size), draw.Src, nil)
			row := cache.Labels(i)
			largest := labels.Largest(row)
			answer := columns[largest]
			write(sheet, left, top+tileSide+lineHeight-2, fmt.Sprint(cache.ID(i)))
			// The name without its "Class", so that it fits.
			write(sheet, left, top+tileSide+2*lineHeight-2, fmt.Sprintf("%s %s %.2f", strings.TrimPrefix(answer.Name, "Class"), clipText(answer.Text, 9), row[largest]))
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, sheet); err != nil {
		return nil, fmt.Errorf("draw contact sheet: %w", err)
	}
	return out.Bytes(), nil
}

func clipText(s string, most int) string { return strings.TrimSpace(s[:min(len(s), most)]) }

// rgb returns an image of pixels, uint8 [size, size, 3].
func rgb(pixels []byte, size int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range size * size {
		m.SetRGBA(i%size, i/size, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
	}
	return m
}

func write(on draw.Image, x, y int, text string) {
	d := font.Drawer{Dst: on, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
