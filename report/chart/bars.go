package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
)

// Bars draws horizontal bars in groups, each with an interval: answers predicted and voted.
type Bars struct {
	Meta
	Axis  Axis
	Names []string // of the bars of a group: "predicted", "voted"
	By    string   // what the rows are, for the table; "" is "answer"
	Rows  []Row
}

// Row is a group of bars or points.
type Row struct {
	Label  string
	Values []Value // in the order of Names; NaN: no bar
}

// Slices draws a score with its interval for each bin of another quantity: accuracy by size or brightness.
type Slices struct {
	Meta
	Axis   Axis   // of the score
	By     string // the quantity of the bins, with its unit: "size (px)"
	Slices []Slice
	// Reference is a score to compare with, such as that of all galaxies; NaN: none.
	Reference     float64
	ReferenceName string
}

// Slice is one bin.
type Slice struct {
	Label string // the bin's edges: "12 to 18"
	Count int    // galaxies in the bin
	Value Value
}

// HTML returns the figure: bars start at 0. Beyond 200 rows the drawing ends, the table does not.
func (c Bars) HTML() template.HTML {
	r := rows{meta: c.Meta, kind: "bars", axis: c.Axis, names: c.Names, rows: c.Rows, by: c.By, reference: math.NaN()}
	return r.html()
}

// HTML returns the figure: a point with its interval for each bin.
func (c Slices) HTML() template.HTML {
	r := rows{meta: c.Meta, kind: "slices", axis: c.Axis, names: []string{c.Axis.Label}, reference: c.Reference, referenceName: cmp.Or(c.ReferenceName, "all")}
	for _, s := range c.Slices {
		r.rows = append(r.rows, Row{s.Label, []Value{s.Value}})
		r.counts = append(r.counts, s.Count)
	}
	r.by = c.By
	return r.html()
}

// rows draws values along a horizontal axis, with each row's label above its values, so that long labels have
// room on a narrow screen.
type rows struct {
	meta          Meta
	kind          string
	by            string // header of the labels
	axis          Axis
	names         []string
	rows          []Row
	counts        []int // shown with the label; nil for bars
	reference     float64
	referenceName string
}

const (
	maxDrawnRows = 200
	labelHeight  = 18.0
	barHeight    = 13.0
	numberRoom   = 56.0 // at the right, for the values
)

func (r rows) html() template.HTML {
	f := &figure{meta: r.meta, kind: r.kind, width: chartWidth}
	f.tables = []Table{r.table()}
	drawn := r.rows[:min(len(r.rows), maxDrawnRows)]
	bars := r.counts == nil
	values := []float64{r.reference}
	for _, row := range drawn {
		for _, v := range row.Values {
			values = append(values, v.Value)
			if v.hasInterval(r.axis) {
				values = append(values, v.Low, v.High)
			}
		}
	}
	s, ok := newScale(r.axis, values, 0.05)
	if ok && bars && !r.axis.Log {
		s, ok = newScale(r.axis, append(values, 0), 0)
	}
	s.from, s.to = 12, chartWidth-numberRoom-6
	rowHeight := labelHeight + barHeight*float64(max(1, len(r.names))) + 8
	f.height = 6 + rowHeight*float64(max(1, len(drawn))) + 44
	shape := "box"
	if !bars {
		shape = "dot"
	}
	for i, name := range r.names {
		f.legend = append(f.legend, key{name, r.class(i), shape})
	}
	if r.axis.drawable(r.reference) {
		f.legend = append(f.legend, key{r.referenceName + ": " + r.axis.text(r.reference), "diagonal", "line"})
	}
	return f.html(func() {
		if !ok {
			f.empty()
			return
		}
		f.axisX(s, 6, f.height-44)
		if at, ok := s.at(r.reference); ok {
			f.shape("path", "d", line(at, 6, at, f.height-44), "class", "diagonal")
		}
		for i, row := range drawn {
			r.row(f, s, i, row, 6+float64(i)*rowHeight)
		}
	})
}

func (r rows) class(i int) string {
	if i%2 == 1 {
		return "fill hollow " + color(i+1) // predicted and voted differ without colour too
	}
	return "fill " + color(i+1)
}

func (r rows) row(f *figure, s scale, index int, row Row, top float64) {
	label := row.Label
	if r.counts != nil {
		label += fmt.Sprintf(" (%s)", grouped(fmt.Sprint(r.counts[index])))
	}
	f.leaf("text", cut(label, textSize, chartWidth-16), "x", 12, "y", top+13, "class", "label")
	for i, v := range row.Values[:min(len(row.Values), len(r.names))] {
		at, ok := s.at(v.Value)
		if !ok {
			continue
		}
		y := top + labelHeight + barHeight*float64(i)
		tip := row.Label + ", " + r.names[i] + ": " + v.text(r.axis)
		if r.counts != nil {
			tip += fmt.Sprintf(", %s galaxies", grouped(fmt.Sprint(r.counts[index])))
		}
		f.start("g", "class", r.class(i), "data-tip", tip)
		if r.counts == nil {
			zero, ok := s.at(0)
			if !ok {
				zero = s.from
			}
			f.shape("rect", "x", min(zero, at), "y", y+1, "width", math.Abs(at-zero), "height", barHeight-2, "class", "bar")
		}
		if v.hasInterval(r.axis) {
			low, _ := s.at(v.Low)
			high, _ := s.at(v.High)
			mid := y + barHeight/2
			f.shape("path", "d", line(low, mid, high, mid)+line(low, mid-3, low, mid+3)+line(high, mid-3, high, mid+3), "class", "whisker")
		}
		if r.counts != nil {
			f.shape("circle", "cx", at, "cy", y+barHeight/2, "r", 5.0, "class", "dot")
		}
		f.leaf("text", r.axis.text(v.Value), "x", chartWidth-4, "y", y+12, "text-anchor", "end", "class", "tick")
		f.end()
	}
}

func (r rows) table() Table {
	t := Table{Caption: r.meta.Title, Columns: []string{cmp.Or(r.by, "answer")}}
	if r.counts != nil {
		t.Columns = append(t.Columns, "galaxies")
	}
	t.Columns = append(t.Columns, r.names...)
	for i, row := range r.rows {
		cells := []any{row.Label}
		if r.counts != nil {
			cells = append(cells, r.counts[i])
		}
		for _, v := range row.Values {
			cells = append(cells, Number(v.text(r.axis)))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}
