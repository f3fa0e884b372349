package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Lines draws series over a common axis: curves over steps or epochs.
type Lines struct {
	Meta
	X, Y   Axis
	Series []Series
	Events []Event

	lockstep bool // the table's rows are points: the i-th of each series, whatever its x
}

// Series is one line.
type Series struct {
	Name string // as the legend shows it
	// X and Y hold a point each; the longer one is cut. A point that cannot be drawn leaves a gap.
	X, Y []float64
	// Low and High hold the points' intervals; nil if there are none.
	Low, High []float64
	// Color and Dash choose one of 6 colours and one of 5 patterns by numbers from 1, so that a chart of several
	// runs can give each run a colour and each split a pattern. 0: the series' place in the chart.
	Color, Dash int

	plain string // the class of a line that is no data: a diagonal
}

// Event is something that happened during a run.
type Event struct {
	Kind EventKind
	X    float64
	Text string // "resumed at step 1,200"
}

// EventKind is the kind of an event: each has a mark of its own.
type EventKind int

// The kinds of events.
const (
	Resume   EventKind = iota // a run was resumed
	Rollback                  // a run went back to a checkpoint
	Best                      // the best evaluation
)

var eventKinds = []struct{ name, mark, class string }{{"resumed", "▲", "resume"}, {"rolled back", "◀", "rollback"}, {"best", "★", "best"}}

func (k EventKind) look() struct{ name, mark, class string } {
	return eventKinds[min(max(int(k), 0), len(eventKinds)-1)]
}

const (
	maxPoints  = 1000 // of a series in the drawing: more than two per pixel
	allPoints  = 8000 // of all of them
	maxRows    = 100  // of a table
	maxMarkers = 40   // a series with more points is drawn without markers
)

// HTML returns the figure. A series of more than 1,000 points, fewer if there are more than 8 series, is reduced to the
// extremes of equally long pieces, the table to 100 rows.
func (c Lines) HTML() template.HTML {
	f := &figure{meta: c.Meta, kind: "lines", width: chartWidth, height: 270}
	series := make([]Series, len(c.Series))
	var xs, ys []float64
	for i, s := range c.Series {
		s.Color, s.Dash = cmp.Or(s.Color, i+1), cmp.Or(s.Dash, i+1)
		series[i] = s.reduced(max(100, min(maxPoints, allPoints/len(c.Series))), c.X, c.Y)
		s = series[i]
		for j := range s.X {
			if c.X.drawable(s.X[j]) && c.Y.drawable(s.Y[j]) {
				xs, ys = append(xs, s.X[j]), append(ys, s.Y[j])
				if v := s.value(j); v.hasInterval(c.Y) {
					ys = append(ys, v.Low, v.High)
				}
			}
		}
		k := key{name: s.Name, class: s.lineClass(), shape: "line"}
		f.legend = append(f.legend, k)
	}
	var events []Event
	for _, e := range c.Events {
		if c.X.drawable(e.X) {
			events = append(events, e)
			if k := (key{name: e.Kind.look().name, class: "event " + e.Kind.look().class, shape: e.Kind.look().mark}); !slices.Contains(f.legend, k) {
				f.legend = append(f.legend, k)
			}
		}
	}
	y, ok := newScale(c.Y, ys, 0.05)
	if ok {
		for _, e := range events {
			xs = append(xs, e.X)
		}
	}
	x, _ := newScale(c.X, xs, 0)
	fr := newFrame(x, y, f.height-44)
	f.tables = c.tables(series, events)
	if ok {
		f.data = c.points(fr, series, events)
	}
	return f.html(func() {
		if !ok {
			f.empty()
			return
		}
		f.axes(fr)
		f.lines(fr, series, events)
	})
}

// lines draws the series and the events, inside the frame even when the script zooms.
func (f *figure) lines(fr frame, series []Series, events []Event) {
	id := f.meta.id()
	f.start("clipPath", "id", id+"-clip")
	f.shape("rect", "x", fr.left-5, "y", fr.top-16, "width", fr.right-fr.left+10, "height", fr.bottom-fr.top+21)
	f.end()
	f.start("g", "class", "events", "clip-path", "url(#"+id+"-clip)")
	for _, e := range events {
		at, _ := fr.x.at(e.X)
		class := "event " + e.Kind.look().class
		f.shape("path", "d", line(at, fr.top, at, fr.bottom), "class", class)
		f.leaf("text", e.Kind.look().mark, "x", at, "y", fr.top-2, "text-anchor", "middle", "class", class)
	}
	f.end()
	f.start("g", "class", "series", "clip-path", "url(#"+id+"-clip)")
	for i, s := range series {
		var marker string
		if s.plain == "" && len(s.X) <= maxMarkers {
			name := id + "-m" + strconv.Itoa(i)
			f.marker(name, s)
			marker = "url(#" + name + ")"
		}
		f.start("g", "class", s.lineClass())
		f.whiskers(fr, s)
		f.shape("path", "d", s.path(fr), "class", "curve", "marker-start", marker, "marker-mid", marker, "marker-end", marker)
		f.end()
	}
	f.end()
}

// marker defines the shape of a series' points, which differs from that of the series before and after.
func (f *figure) marker(id string, s Series) {
	f.start("marker", "id", id, "viewBox", "-5 -5 10 10", "markerWidth", "8", "markerHeight", "8", "markerUnits", "userSpaceOnUse")
	shapes := []string{"M-4 0A4 4 0 1 1 4 0A4 4 0 1 1 -4 0Z", "M-3.5 -3.5H3.5V3.5H-3.5Z", "M0 -4.5L4.5 3.5H-4.5Z", "M0 -5L4.5 0L0 5L-4.5 0Z", "M0 4.5L4.5 -3.5H-4.5Z"}
	f.shape("path", "d", shapes[(max(s.Dash, 1)-1)%len(shapes)], "class", "marker "+color(s.Color))
	f.end()
}

func (f *figure) whiskers(fr frame, s Series) {
	for i := range s.X {
		x, ok := fr.x.at(s.X[i])
		v := s.value(i)
		if !ok || !v.hasInterval(fr.y.axis) {
			continue
		}
		low, _ := fr.y.at(v.Low)
		high, _ := fr.y.at(v.High)
		f.shape("path", "d", line(x, low, x, high)+line(x-3, low, x+3, low)+line(x-3, high, x+3, high), "class", "whisker")
	}
}

func (s Series) lineClass() string {
	if s.plain != "" {
		return s.plain
	}
	return "line " + color(s.Color) + " " + dash(s.Dash)
}

func (s Series) value(i int) Value {
	v := Exact(s.Y[i])
	if i < len(s.Low) && i < len(s.High) {
		v.Low, v.High = s.Low[i], s.High[i]
	}
	return v
}

// path returns the line through the points, with a new start after each gap. A point between gaps becomes a
// line of no length, which its round ends make visible.
func (s Series) path(fr frame) string {
	var b strings.Builder
	run := 0
	var x, y float64
	finish := func() {
		if run == 1 {
			b.WriteString("L" + units(x) + " " + units(y))
		}
		run = 0
	}
	for i := range s.X {
		px, okX := fr.x.at(s.X[i])
		py, okY := fr.y.at(s.Y[i])
		if !okX || !okY {
			finish()
			continue
		}
		x, y = px, py
		if run == 0 {
			b.WriteString("M")
		} else {
			b.WriteString("L")
		}
		b.WriteString(units(x) + " " + units(y))
		run++
	}
	finish()
	return b.String()
}

// reduced returns at most limit points: of equally many consecutive points the lowest, the highest and one gap,
// if there is one, and the first and the last point of all.
func (s Series) reduced(limit int, x, y Axis) Series {
	n := min(len(s.X), len(s.Y))
	s.X, s.Y = s.X[:n], s.Y[:n]
	if n <= limit {
		return s
	}
	pieces := (limit - 2) / 3
	keep := []int{0, n - 1}
	for p := range pieces {
		low, high, gap := -1, -1, -1
		for i := p * n / pieces; i < (p+1)*n/pieces; i++ {
			switch {
			case !x.drawable(s.X[i]) || !y.drawable(s.Y[i]):
				gap = i
				continue
			case low < 0:
				low, high = i, i
			}
			if s.Y[i] < s.Y[low] {
				low = i
			}
			if s.Y[i] > s.Y[high] {
				high = i
			}
		}
		keep = append(keep, low, high, gap)
	}
	slices.Sort(keep)
	keep = slices.DeleteFunc(slices.Compact(keep), func(i int) bool { return i < 0 })
	pick := func(v []float64) []float64 {
		if len(v) < n {
			return nil
		}
		picked := make([]float64, len(keep))
		for i, k := range keep {
			picked[i] = v[k]
		}
		return picked
	}
	s.X, s.Y, s.Low, s.High = pick(s.X), pick(s.Y), pick(s.Low), pick(s.High)
	return s
}

// tables returns the numbers of the series, a row for each x, and the events.
func (c Lines) tables(series []Series, events []Event) []Table {
	series = slices.DeleteFunc(slices.Clone(series), func(s Series) bool { return s.plain != "" })
	t := Table{Caption: c.Title}
	if c.lockstep {
		t.Columns, t.Rows = c.pairs(series)
	} else {
		t.Columns = []string{c.X.Label}
		xs, all := rowsOf(series)
		columns := make([]map[float64]Value, len(series))
		for i, s := range series {
			t.Columns = append(t.Columns, s.Name)
			columns[i] = make(map[float64]Value, len(xs))
			for j, x := range s.X {
				if _, shown := slices.BinarySearch(xs, x); shown {
					columns[i][x] = s.value(j)
				}
			}
		}
		if len(xs) < all {
			t.Caption += fmt.Sprintf(" (%d of %s rows)", len(xs), grouped(strconv.Itoa(all)))
		}
		for _, x := range xs {
			row := []any{Number(c.X.text(x))}
			for _, column := range columns {
				if v, ok := column[x]; ok {
					row = append(row, Number(v.text(c.Y)))
				} else {
					row = append(row, Number(""))
				}
			}
			t.Rows = append(t.Rows, row)
		}
	}
	tables := []Table{t}
	if len(events) > 0 {
		t := Table{Caption: c.Title + ": events", Columns: []string{c.X.Label, "event", "details"}}
		for _, e := range events {
			t.Rows = append(t.Rows, []any{Number(c.X.text(e.X)), e.Kind.look().name, e.Text})
		}
		tables = append(tables, t)
	}
	return tables
}

// rowsOf returns the values of x that the table shows, and how many there are. Short series come first, so
// that the few evaluations are not lost among thousands of steps.
func rowsOf(series []Series) (rows []float64, all int) {
	series = slices.Clone(series)
	slices.SortStableFunc(series, func(a, b Series) int { return len(a.X) - len(b.X) })
	chosen, seen := map[float64]bool{}, map[float64]bool{}
	for _, s := range series {
		var fresh []float64
		for _, x := range s.X {
			if x == x && !seen[x] {
				seen[x] = true
				fresh = append(fresh, x)
			}
		}
		room := maxRows - len(chosen)
		for i := range min(room, len(fresh)) {
			chosen[fresh[i*(len(fresh)-1)/max(1, min(room, len(fresh))-1)]] = true
		}
	}
	for x := range chosen {
		rows = append(rows, x)
	}
	slices.Sort(rows)
	return rows, len(seen)
}

// pairs returns columns x and y of each series, at most maxRows rows.
func (c Lines) pairs(series []Series) (columns []string, rows [][]any) {
	columns = []string{"point"}
	longest := 0
	for _, s := range series {
		columns = append(columns, s.Name+": "+c.X.Label, s.Name+": "+c.Y.Label)
		longest = max(longest, len(s.X))
	}
	for r := range min(longest, maxRows) {
		row := []any{r + 1}
		for _, s := range series {
			n := min(len(s.X), maxRows)
			if r >= n {
				row = append(row, Number(""), Number(""))
				continue
			}
			i := r * (len(s.X) - 1) / max(1, n-1)
			row = append(row, Number(c.X.text(s.X[i])), Number(s.value(i).text(c.Y)))
		}
		rows = append(rows, row)
	}
	return columns, rows
}

// The JSON of a figure: what the script needs to show values and to draw again when it zooms.
type linesData struct {
	Frame  [4]compact   `json:"frame"` // left, top, right, bottom
	X      axisData     `json:"x"`
	Y      axisData     `json:"y"`
	Series []seriesData `json:"series"`
	Events []eventData  `json:"events"`
}

type axisData struct {
	Label   string  `json:"label"`
	Lo      float64 `json:"lo"`
	Hi      float64 `json:"hi"`
	Log     bool    `json:"log"`
	Percent bool    `json:"percent"`
	Whole   bool    `json:"whole,omitempty"`
}

type seriesData struct {
	Name string   `json:"name"`
	X    compacts `json:"x"`
	Y    compacts `json:"y"`
}

type eventData struct {
	X    compact `json:"x"`
	Text string  `json:"text"`
}

// compact is a number with six digits, and null if it is not finite.
type compact float64

// MarshalJSON implements json.Marshaler.
func (c compact) MarshalJSON() ([]byte, error) { return c.append(nil), nil }

func (c compact) append(to []byte) []byte {
	v := float64(c)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > 1e100:
		return append(to, "null"...)
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return strconv.AppendFloat(to, v, 'f', -1, 64)
	}
	return strconv.AppendFloat(to, v, 'g', 6, 64)
}

// compacts are numbers that are written in one piece.
type compacts []compact

// MarshalJSON implements json.Marshaler.
func (c compacts) MarshalJSON() ([]byte, error) {
	text := []byte{'['}
	for i, v := range c {
		if i > 0 {
			text = append(text, ',')
		}
		text = v.append(text)
	}
	return append(text, ']'), nil
}

func (c Lines) points(fr frame, series []Series, events []Event) linesData {
	axis := func(s scale) axisData {
		return axisData{s.axis.Label, s.lo, s.hi, s.axis.Log, s.axis.Percent, s.axis.Whole}
	}
	d := linesData{Frame: [4]compact{compact(fr.left), compact(fr.top), compact(fr.right), compact(fr.bottom)}, X: axis(fr.x), Y: axis(fr.y),
		Series: []seriesData{}, Events: []eventData{}}
	for _, s := range series {
		sd := seriesData{Name: s.Name, X: make(compacts, len(s.X)), Y: make(compacts, len(s.X))}
		for i := range s.X {
			sd.X[i], sd.Y[i] = compact(s.X[i]), compact(s.Y[i])
		}
		d.Series = append(d.Series, sd)
	}
	for _, e := range events {
		d.Events = append(d.Events, eventData{compact(e.X), cmp.Or(e.Text, e.Kind.look().name)})
	}
	return d
}

// Curve draws curves between fractions: ROC and precision-recall.
type Curve struct {
	Meta
	X, Y     string // labels of the axes, which go from 0 to 1
	Series   []Series
	Diagonal bool // draw what guessing gives: the diagonal of a ROC curve
}

// HTML returns the figure. It zooms as Lines do.
func (c Curve) HTML() template.HTML {
	lines := Lines{Meta: c.Meta, X: Axis{Label: c.X, Range: Unit}, Y: Axis{Label: c.Y, Range: Unit}, Series: slices.Clone(c.Series), lockstep: true}
	if c.Diagonal {
		lines.Series = append(lines.Series, Series{Name: "guessing", X: []float64{0, 1}, Y: []float64{0, 1}, plain: "diagonal"})
	}
	return lines.HTML()
}
