package chart

import (
	"encoding/json"
	"html/template"
	"math"
	"strconv"
)

// Meta holds what every chart has.
type Meta struct {
	// ID is unique on the page and starts the IDs of the chart's parts. Characters other than letters, digits,
	// '-' and '_' become '-'.
	ID    string
	Title string // a few words
	Text  string // one sentence that describes what the chart shows, for readers who cannot see it
}

// The drawings are laid out for a width of 420 units. A page of 360 px shows that at 0.8 px per unit, which
// leaves the text above 11 px; the page draws it at most 496 px wide.
const (
	chartWidth = 420.0
	textSize   = 14.0
)

// key is an entry of the legend.
type key struct {
	name  string
	class string // of the drawn sample
	shape string // "line", "box", "dot" or the character of an event
}

// figure is what all kinds of charts share around their drawing.
type figure struct {
	markup
	meta          Meta
	kind          string // the figure's class
	width, height float64
	legend        []key
	tables        []Table
	data          any // marshalled for the script; nil: none
}

// id returns a usable ID.
func (meta Meta) id() string {
	id := []byte("chart")
	if meta.ID != "" {
		id = []byte(meta.ID)
	}
	for i, c := range id {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			id[i] = '-'
		}
	}
	return string(id)
}

// html returns the figure around a drawing, which draw writes into an svg element.
func (f *figure) html(draw func()) template.HTML {
	id := f.meta.id()
	f.start("figure", "class", "chart "+f.kind, "id", id)
	f.start("figcaption")
	f.leaf("span", f.meta.Title, "class", "title")
	f.writeLegend()
	f.end()
	wide := f.width > chartWidth
	if wide {
		f.start("div", "class", "scroll", "tabindex", "0", "role", "region", "aria-label", f.meta.Title+": drawing")
	}
	f.start("svg", "xmlns", "http://www.w3.org/2000/svg", "viewBox", "0 0 "+units(f.width)+" "+units(f.height),
		"width", f.width, "height", f.height, "role", "img", "aria-labelledby", id+"-title "+id+"-desc")
	f.leaf("title", f.meta.Title, "id", id+"-title")
	f.leaf("desc", f.meta.Text, "id", id+"-desc")
	draw()
	f.end()
	if wide {
		f.end()
	}
	f.start("details", "class", "numbers")
	f.start("summary")
	f.leaf("span", "Numbers")
	f.leaf("span", " of "+f.meta.Title, "class", "hidden") // so that links of screen readers differ
	f.end()
	for _, t := range f.tables {
		t.write(&f.markup)
	}
	f.end()
	if f.data != nil {
		if text, err := json.Marshal(f.data); err == nil {
			// json.Marshal escapes <, > and &, so no text can end the element.
			f.b.WriteString(`<script type="application/json" class="points">` + string(text) + `</script>`)
		}
	}
	f.end()
	return f.markup.html()
}

// writeLegend lists the keys in HTML rather than in the drawing, so that long names wrap.
func (f *figure) writeLegend() {
	if len(f.legend) == 0 {
		return
	}
	f.start("ul", "class", "legend")
	for _, k := range f.legend {
		f.start("li")
		f.start("svg", "class", "key", "viewBox", "0 0 28 14", "width", "28", "height", "14", "aria-hidden", "true")
		switch k.shape {
		case "line":
			f.shape("path", "d", "M1 7L27 7", "class", k.class)
		case "box":
			f.shape("rect", "x", "7", "y", "1", "width", "14", "height", "12", "class", k.class)
		case "dot":
			f.shape("circle", "cx", "14", "cy", "7", "r", "5", "class", k.class)
		default:
			f.leaf("text", k.shape, "x", "14", "y", "12", "text-anchor", "middle", "class", k.class)
		}
		f.end()
		f.leaf("bdi", k.name)
		f.end()
	}
	f.end()
}

// empty says in the drawing that there is nothing to draw.
func (f *figure) empty() {
	f.leaf("text", "No numbers to draw", "x", f.width/2, "y", f.height/2, "text-anchor", "middle", "class", "label")
}

// frame is the rectangle of a drawing between two axes.
type frame struct {
	left, top, right, bottom float64
	x, y                     scale
}

// newFrame lays two axes out in a drawing of chartWidth units: the label of y above it, that of x below it, and as
// much room on the left as the labels of y's ticks take.
func newFrame(x, y scale, bottom float64) frame {
	widest := 0.0
	for _, t := range y.axis.tickTexts(y.ticks(5)) {
		widest = max(widest, width(t, textSize))
	}
	// A digit more: when the script zooms, the ticks lie closer to one another.
	fr := frame{left: math.Ceil(min(widest, 110) + 18), top: 26, right: chartWidth - 14, bottom: bottom, x: x, y: y}
	fr.x.from, fr.x.to = fr.left, fr.right
	fr.y.from, fr.y.to = fr.bottom, fr.top
	return fr
}

// axes draws the grid, the ticks and the labels of both axes.
func (f *figure) axes(fr frame) {
	f.start("g", "class", "axis-y")
	ticks := fr.y.ticks(5)
	for i, text := range fr.y.axis.tickTexts(ticks) {
		at, _ := fr.y.at(ticks[i])
		f.shape("path", "d", line(fr.left, at, fr.right, at), "class", "gridline")
		f.leaf("text", text, "x", fr.left-6, "y", at+5, "text-anchor", "end", "class", "tick")
	}
	f.end()
	f.axisX(fr.x, fr.top, fr.bottom)
	f.leaf("text", cut(fr.y.axis.Label, textSize, fr.right-4), "x", "4", "y", "15", "class", "label")
}

// axisX draws the ticks and the label of a horizontal axis, and its grid from top to bottom.
func (f *figure) axisX(x scale, top, bottom float64) {
	ticks, count := x.ticks(5), 5
	texts := x.axis.tickTexts(ticks)
	for ; count > 1 && tooWide(texts, x); count-- {
		ticks = x.ticks(count - 1)
		texts = x.axis.tickTexts(ticks)
	}
	f.start("g", "class", "axis-x")
	for i, text := range texts {
		at, _ := x.at(ticks[i])
		f.shape("path", "d", line(at, top, at, bottom), "class", "gridline")
		half := width(text, textSize) / 2
		f.leaf("text", text, "x", min(max(at, half), max(chartWidth-half, 0)), "y", bottom+17, "text-anchor", "middle", "class", "tick")
	}
	f.end()
	f.shape("path", "d", line(x.from, bottom, x.to, bottom), "class", "axis")
	f.leaf("text", cut(x.axis.Label, textSize, x.to), "x", x.to, "y", bottom+36, "text-anchor", "end", "class", "label")
}

func tooWide(texts []string, s scale) bool {
	var sum float64
	for _, t := range texts {
		sum += width(t, textSize) + 8
	}
	return sum > s.to-s.from
}

func line(x1, y1, x2, y2 float64) string {
	return "M" + units(x1) + " " + units(y1) + "L" + units(x2) + " " + units(y2)
}

// color returns the class of the i-th colour, from 1; after the last colour they repeat.
func color(i int) string { return "c" + strconv.Itoa((max(i, 1)-1)%colors+1) }

// dash returns the class of the i-th pattern of lines, from 1.
func dash(i int) string { return "d" + strconv.Itoa((max(i, 1)-1)%dashes+1) }

// The stylesheet has so many colours and patterns of dashes. Their numbers have no common divisor, so two series
// look alike only after colors × dashes.
const (
	colors = 6
	dashes = 5
)

// Value is a number with an interval. Low and High are NaN if there is none.
type Value struct{ Value, Low, High float64 }

// Interval returns a value with its interval.
func Interval(value, low, high float64) Value { return Value{value, low, high} }

// Exact returns a value without an interval.
func Exact(v float64) Value { return Value{v, math.NaN(), math.NaN()} }

// text formats the value and its interval.
func (v Value) text(a Axis) string {
	s := a.text(v.Value)
	if v.hasInterval(a) {
		s += " (" + a.text(v.Low) + " to " + a.text(v.High) + ")"
	}
	return s
}

func (v Value) hasInterval(a Axis) bool {
	return a.drawable(v.Low) && a.drawable(v.High) && v.Low <= v.High
}
