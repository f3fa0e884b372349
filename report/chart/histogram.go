package chart

import (
	"cmp"
	"html/template"
)

// Histogram draws how often values fall between edges.
type Histogram struct {
	Meta
	X     Axis
	Y     string    // label of the counts; empty: "galaxies"
	Edges []float64 // increasing, one more than the counts
	Names []string  // of the series: the splits; one empty name: no legend
	// Counts[s][i] is how often series s has a value from Edges[i] to Edges[i+1]. Missing cells are 0.
	Counts [][]float64
}

// HTML returns the figure. The bars of several series lie side by side in each bin.
func (c Histogram) HTML() template.HTML {
	f := &figure{meta: c.Meta, kind: "histogram", width: chartWidth, height: 250}
	label := cmp.Or(c.Y, "galaxies")
	usable := len(c.Edges) > 1 && len(c.Names) > 0
	for i, e := range c.Edges {
		usable = usable && c.X.drawable(e) && (i == 0 || e > c.Edges[i-1])
	}
	table := Table{Caption: c.Title, Columns: []string{c.X.Label}}
	values := []float64{0}
	for s, name := range c.Names {
		table.Columns = append(table.Columns, cmp.Or(name, label))
		if name != "" {
			f.legend = append(f.legend, key{name, rows{}.class(s), "box"})
		}
	}
	for i := range max(len(c.Edges)-1, 0) {
		row := []any{c.X.text(c.Edges[i]) + " to " + c.X.text(c.Edges[i+1])}
		for s := range c.Names {
			row = append(row, c.count(s, i))
			values = append(values, c.count(s, i))
		}
		table.Rows = append(table.Rows, row)
	}
	f.tables = []Table{table}
	x, _ := newScale(c.X, c.Edges, 0)
	y, ok := newScale(Axis{Label: label}, values, 0)
	return f.html(func() {
		if !usable || !ok || len(values) == 1 {
			f.empty()
			return
		}
		fr := newFrame(x, y, f.height-44)
		f.axes(fr)
		for i := range table.Rows {
			for s := range c.Names {
				c.bar(f, fr, s, i)
			}
		}
	})
}

func (c Histogram) bar(f *figure, fr frame, s, i int) {
	from, _ := fr.x.at(c.Edges[i])
	to, _ := fr.x.at(c.Edges[i+1])
	top, ok := fr.y.at(c.count(s, i))
	if !ok {
		return
	}
	each := (to - from) / float64(len(c.Names))
	gap := min(1, each/4)
	tip := c.X.text(c.Edges[i]) + " to " + c.X.text(c.Edges[i+1]) + ": " + number(c.count(s, i))
	if c.Names[s] != "" {
		tip = c.Names[s] + ", " + tip
	}
	f.start("g", "class", rows{}.class(s), "data-tip", tip)
	f.shape("rect", "x", from+each*float64(s)+gap, "y", top, "width", max(each-2*gap, 0), "height", fr.bottom-top, "class", "bar")
	f.end()
}

func (c Histogram) count(s, i int) float64 {
	if s < len(c.Counts) && i < len(c.Counts[s]) && c.Counts[s][i] > 0 {
		return c.Counts[s][i]
	}
	return 0
}
