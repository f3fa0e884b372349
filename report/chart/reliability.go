package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"strconv"
)

// Reliability draws how often answers come true that were predicted with a probability.
type Reliability struct {
	Meta
	X, Y string // labels of the axes; empty: "predicted", "observed"
	Bins []Bin
}

// Bin holds the predictions with a probability between two edges.
type Bin struct {
	From, To  float64 // edges
	Predicted float64 // mean of the predictions; NaN if Count is 0
	Observed  Value   // mean of what was observed
	Count     int     // predictions
}

// HTML returns the figure: the diagonal, a point with its interval for each bin, and the counts below.
func (c Reliability) HTML() template.HTML {
	const strip = 56.0 // height of the counts
	f := &figure{meta: c.Meta, kind: "reliability", width: chartWidth, height: 360}
	s := Series{Name: "bins", Color: 1, Dash: 1}
	largest, values := 0, 0
	table := Table{Caption: c.Title, Columns: []string{"bin", cmp.Or(c.X, "predicted"), cmp.Or(c.Y, "observed"), "predictions"}}
	for _, b := range c.Bins {
		s.X, s.Y = append(s.X, b.Predicted), append(s.Y, b.Observed.Value)
		s.Low, s.High = append(s.Low, b.Observed.Low), append(s.High, b.Observed.High)
		largest = max(largest, b.Count)
		values += max(b.Count, 0)
		table.Rows = append(table.Rows, []any{number(b.From) + " to " + number(b.To), Number(Axis{}.text(b.Predicted)), Number(b.Observed.text(Axis{})), b.Count})
	}
	f.tables = []Table{table}
	f.legend = []key{{"bins with interval", "fill c1", "dot"}, {"perfectly calibrated", "diagonal", "line"}, {"number of predictions", "fill c2", "box"}}
	axis := func(label string, edges func(Bin) [3]float64) scale {
		all := []float64{0, 1}
		for _, b := range c.Bins {
			e := edges(b)
			all = append(all, e[:]...)
		}
		sc, _ := newScale(Axis{Label: label, Range: Unit}, all, 0)
		return sc
	}
	x := axis(cmp.Or(c.X, "predicted"), func(b Bin) [3]float64 { return [3]float64{b.From, b.To, b.Predicted} })
	y := axis(cmp.Or(c.Y, "observed"), func(b Bin) [3]float64 { return [3]float64{b.Observed.Value, b.Observed.Low, b.Observed.High} })
	fr := newFrame(x, y, f.height-44-strip)
	return f.html(func() {
		if values == 0 {
			f.empty()
			return
		}
		f.reliability(fr, c.Bins, s, largest, strip)
	})
}

func (f *figure) reliability(fr frame, bins []Bin, s Series, largest int, strip float64) {
	f.axes(fr)
	diagonal := Series{X: []float64{0, 1}, Y: []float64{0, 1}}
	f.shape("path", "d", diagonal.path(fr), "class", "diagonal")
	f.start("g", "class", "line c1 d1")
	f.whiskers(fr, s)
	f.end()
	for i, b := range bins {
		tip := fmt.Sprintf("%s to %s: predicted %s, observed %s, %s predictions", number(b.From), number(b.To), Axis{}.text(b.Predicted), b.Observed.text(Axis{}), grouped(strconv.Itoa(b.Count)))
		px, okX := fr.x.at(s.X[i])
		py, okY := fr.y.at(s.Y[i])
		from, okFrom := fr.x.at(b.From)
		to, okTo := fr.x.at(b.To)
		f.start("g", "data-tip", tip)
		if okX && okY {
			f.shape("circle", "cx", px, "cy", py, "r", 5.0, "class", "fill c1")
		}
		if okFrom && okTo && b.Count > 0 {
			h := max(1, (strip-12)*float64(b.Count)/float64(max(largest, 1)))
			f.shape("rect", "x", min(from, to)+1, "y", f.height-4-h, "width", max(max(from, to)-min(from, to)-2, 1), "height", h, "class", "fill c2")
		}
		f.end()
	}
}
