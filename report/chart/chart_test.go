package chart

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// element is an element of a figure, as an XML parser reads it.
type element struct {
	name, text string
	attributes map[string]string
	inDrawing  bool
}

// parse reads a figure as XML, which is stricter than HTML.
func parse(t rapidOrTest, figure template.HTML) []element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(figure)))
	var all []element
	var open []int
	drawings := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(open) > 0 {
				t.Fatalf("%d elements are open at the end", len(open))
			}
			return all
		}
		if err != nil {
			t.Fatalf("expected well-formed XML: %v\n%s", err, figure)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			if e.name == "svg" {
				drawings++
			}
			e.inDrawing = drawings > 0
			all = append(all, e)
			open = append(open, len(all)-1)
		case xml.EndElement:
			if token.Name.Local == "svg" {
				drawings--
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

type rapidOrTest interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

var (
	coordinate = regexp.MustCompile(`-?[0-9.]+(e[-+]?[0-9]+)?|NaN|Inf`)
	pathShape  = regexp.MustCompile(`^([ML]-?[0-9.]+ -?[0-9.]+)*$`)
)

// checkFigure checks what holds for every figure: names for screen readers, a table, and every coordinate inside
// the drawing.
func checkFigure(t rapidOrTest, figure template.HTML) {
	t.Helper()
	var w, h float64
	var roles, tables, captions int
	for _, e := range parse(t, figure) {
		switch {
		case e.name == "svg" && e.attributes["role"] == "img":
			roles++
			if _, err := fmt.Sscanf(e.attributes["viewBox"], "0 0 %g %g", &w, &h); err != nil || w < chartWidth || h <= 0 || h > 20000 {
				t.Errorf("expected a viewBox of at least 420 units, got %q", e.attributes["viewBox"])
			}
			if len(strings.Fields(e.attributes["aria-labelledby"])) != 2 {
				t.Errorf("expected a title and a description, got %q", e.attributes["aria-labelledby"])
			}
		case e.name == "svg":
			w, h = 28, 14
		case e.name == "table":
			tables++
		case e.name == "caption":
			captions++
		case e.name == "script" && e.attributes["type"] != "application/json":
			t.Errorf("expected no script, got %q", e.text)
		case e.inDrawing && e.name != "marker" && e.attributes["class"] != "marker "+strings.TrimPrefix(e.attributes["class"], "marker "):
			checkCoordinates(t, e, w, h)
		}
	}
	if roles != 1 || tables < 1 || tables != captions {
		t.Errorf("expected one drawing and tables with captions, got %d, %d and %d captions", roles, tables, captions)
	}
}

func checkCoordinates(t rapidOrTest, e element, w, h float64) {
	t.Helper()
	inside := func(what, text string, most float64) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= most) {
			t.Errorf("%s of %s: expected 0 to %g, got %q", what, e.name, most, text)
		}
		return v
	}
	at := map[string]float64{}
	for name, most := range map[string]float64{"x": w, "cx": w, "y": h, "cy": h} {
		if text, ok := e.attributes[name]; ok {
			at[name] = inside(name, text, most)
		}
	}
	if e.name == "rect" {
		inside("right", units(at["x"]+inside("width", e.attributes["width"], w)), w)
		inside("bottom", units(at["y"]+inside("height", e.attributes["height"], h)), h)
	}
	if d := e.attributes["d"]; d != "" {
		if !pathShape.MatchString(d) {
			t.Errorf("expected a path of M and L, got %.200q", d)
		}
		for i, n := range coordinate.FindAllString(d, -1) {
			inside("d", n, []float64{w, h}[i%2])
		}
	}
}

// numbers draws any float64, the strange ones often.
func numbers() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(-10, 10), rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, math.NaN(), math.Inf(1), math.Inf(-1),
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1e100, -1e100, 1e-100, 1e15, 1 + 1e-15}))
}

// names draws texts that are hard to show.
func names() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "smooth", `<script>alert(1)</script>`, `</script><!--`, `"onload="x`, "a&amp;b", "]]>", strings.Repeat("long name ", 20),
		"مجرة حلزونية", "\u202egnp", "🌌👩‍🚀", "\x00\x1b[31m", "\xff\xfe", "e\u0301", "\u2028"}), rapid.String())
}

func meta(t *rapid.T) Meta {
	return Meta{ID: names().Draw(t, "id"), Title: names().Draw(t, "title"), Text: names().Draw(t, "text")}
}

func axis(t *rapid.T) Axis {
	a := Axis{Label: names().Draw(t, "label"), Log: rapid.Bool().Draw(t, "log"), Percent: rapid.Bool().Draw(t, "percent")}
	if rapid.Bool().Draw(t, "range") {
		a.Range = &Range{numbers().Draw(t, "from"), numbers().Draw(t, "to")}
	}
	return a
}

func values(most int) *rapid.Generator[[]float64] { return rapid.SliceOfN(numbers(), 0, most) }

func interval(t *rapid.T) Value {
	return Interval(numbers().Draw(t, "value"), numbers().Draw(t, "low"), numbers().Draw(t, "high"))
}

// TestAnyChart draws charts of any input: whatever the numbers and the names are, the figure is well-formed, says
// what it is, and stays inside its frame.
func TestAnyChart(t *testing.T) {
	series := rapid.Custom(func(t *rapid.T) Series {
		s := Series{Name: names().Draw(t, "name"), X: values(30).Draw(t, "x"), Y: values(30).Draw(t, "y"), Color: rapid.IntRange(-1, 9).Draw(t, "color")}
		if rapid.Bool().Draw(t, "intervals") {
			s.Low, s.High = values(30).Draw(t, "low"), values(30).Draw(t, "high")
		}
		return s
	})
	texts := rapid.SliceOfN(names(), 0, 4)
	for kind, draw := range map[string]func(t *rapid.T) template.HTML{
		"lines": func(t *rapid.T) template.HTML {
			c := Lines{Meta: meta(t), X: axis(t), Y: axis(t), Series: rapid.SliceOfN(series, 0, 4).Draw(t, "series")}
			for range rapid.IntRange(0, 3).Draw(t, "events") {
				c.Events = append(c.Events, Event{EventKind(rapid.IntRange(-1, 3).Draw(t, "kind")), numbers().Draw(t, "at"), names().Draw(t, "text")})
			}
			return c.HTML()
		},
		"curve": func(t *rapid.T) template.HTML {
			return Curve{Meta: meta(t), X: names().Draw(t, "x"), Y: names().Draw(t, "y"), Series: rapid.SliceOfN(series, 0, 3).Draw(t, "series"), Diagonal: rapid.Bool().Draw(t, "diagonal")}.HTML()
		},
		"bars": func(t *rapid.T) template.HTML {
			c := Bars{Meta: meta(t), Axis: axis(t), Names: texts.Draw(t, "names")}
			for range rapid.IntRange(0, 5).Draw(t, "rows") {
				c.Rows = append(c.Rows, Row{names().Draw(t, "row"), []Value{interval(t), interval(t)}})
			}
			return c.HTML()
		},
		"slices": func(t *rapid.T) template.HTML {
			c := Slices{Meta: meta(t), Axis: axis(t), By: names().Draw(t, "by"), Reference: numbers().Draw(t, "reference")}
			for range rapid.IntRange(0, 5).Draw(t, "bins") {
				c.Slices = append(c.Slices, Slice{names().Draw(t, "bin"), rapid.Int().Draw(t, "count"), interval(t)})
			}
			return c.HTML()
		},
		"matrix": func(t *rapid.T) template.HTML {
			return Matrix{Meta: meta(t), Classes: rapid.SliceOfN(names(), 0, 50).Draw(t, "classes"), Counts: rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(-1, 1<<40), 0, 6), 0, 6).Draw(t, "counts")}.HTML()
		},
		"reliability": func(t *rapid.T) template.HTML {
			c := Reliability{Meta: meta(t)}
			for range rapid.IntRange(0, 5).Draw(t, "bins") {
				c.Bins = append(c.Bins, Bin{numbers().Draw(t, "from"), numbers().Draw(t, "to"), numbers().Draw(t, "predicted"), interval(t), rapid.IntRange(-1, 1<<50).Draw(t, "count")})
			}
			return c.HTML()
		},
		"histogram": func(t *rapid.T) template.HTML {
			c := Histogram{Meta: meta(t), X: axis(t), Edges: values(6).Draw(t, "edges"), Names: texts.Draw(t, "names"), Counts: rapid.SliceOfN(values(5), 0, 4).Draw(t, "counts")}
			if rapid.Bool().Draw(t, "sorted") {
				slices.Sort(c.Edges)
			}
			return c.HTML()
		},
	} {
		t.Run(kind, rapid.MakeCheck(func(t *rapid.T) { checkFigure(t, draw(t)) }))
	}
}

// TestReducedKeepsExtremes compares a long series with what is drawn of it.
func TestReducedKeepsExtremes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := rapid.SliceOfN(numbers(), 0, 300).Draw(t, "y")
		x := make([]float64, len(y))
		for i := range x {
			x[i] = float64(i)
		}
		const limit = 50
		r := Series{X: x, Y: y}.reduced(limit, Axis{}, Axis{})
		if len(r.X) != len(r.Y) || len(r.X) > limit || !slices.IsSorted(r.X) {
			t.Fatalf("expected at most %d points in their order, got %d and %d", limit, len(r.X), len(r.Y))
		}
		low, high := math.Inf(1), math.Inf(-1)
		for i, v := range y {
			if (Axis{}).drawable(v) {
				low, high = min(low, v), max(high, v)
			} else if i > 0 && len(y) <= limit && !math.IsNaN(r.Y[i]) && r.Y[i] != v {
				t.Fatalf("point %d: expected %g, got %g", i, v, r.Y[i])
			}
		}
		if low <= high && (!slices.Contains(r.Y, low) || !slices.Contains(r.Y, high)) {
			t.Fatalf("expected the extremes %g and %g among the points, got %v", low, high, r.Y)
		}
		if len(y) > 0 && (r.X[0] != 0 || r.X[len(r.X)-1] != float64(len(y)-1)) {
			t.Fatalf("expected the first and the last point, got %g and %g", r.X[0], r.X[len(r.X)-1])
		}
	})
}

// TestReducedKeepsGaps has one number that cannot be drawn among many.
func TestReducedKeepsGaps(t *testing.T) {
	x, y := make([]float64, 5000), make([]float64, 5000)
	for i := range x {
		x[i], y[i] = float64(i), math.Sin(float64(i))
	}
	y[1234] = math.NaN()
	drawing := string(Lines{Series: []Series{{X: x, Y: y}}}.HTML())
	curve := regexp.MustCompile(`d="(M[^"]*)" class="curve"`).FindStringSubmatch(drawing)
	if curve == nil || strings.Count(curve[1], "M") != 2 {
		t.Errorf("expected a curve in two parts, got %.300s", curve)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis   Axis
		values []float64
		want   string
	}{
		{Axis{}, []float64{0, 1}, "0 0.2 0.4 0.6 0.8 1"},
		{Axis{}, []float64{0.0912, 0.0987}, "0.092 0.094 0.096 0.098"},
		{Axis{}, []float64{0, 48213}, "0 10,000 20,000 30,000 40,000"},
		{Axis{}, []float64{-3, 3}, "-3 -2 -1 0 1 2 3"},
		{Axis{}, []float64{5, 5}, "4.6 4.8 5 5.2 5.4"},
		{Axis{}, []float64{0, 0}, "-1 -0.5 0 0.5 1"},
		{Axis{Whole: true}, []float64{1, 3}, "1 2 3"},
		{Axis{Whole: true}, []float64{2, 2}, "2"},
		{Axis{Whole: true}, []float64{0, 400}, "0 100 200 300 400"},
		{Axis{}, []float64{1e9, 3e9}, "1e+09 1.5e+09 2e+09 2.5e+09 3e+09"},
		{Axis{}, []float64{0, 1e-8}, "0 2e-09 4e-09 6e-09 8e-09 1e-08"},
		{Axis{Percent: true}, []float64{0.71, 0.82}, "72 % 74 % 76 % 78 % 80 % 82 %"},
		{Axis{Log: true}, []float64{0.1, 0.7}, "0.1 0.2 0.5"},
		{Axis{Log: true}, []float64{1e-4, 10}, "0.0001 0.001 0.01 0.1 1 10"},
		{Axis{Log: true}, []float64{1e-12, 1e12}, "1e-12 1e-08 0.0001 1 10,000 1e+08 1e+12"},
		{Axis{Log: true}, []float64{0.31, 0.33}, "0.31 0.315 0.32 0.325 0.33"},
	} {
		s, ok := newScale(c.axis, c.values, 0)
		if !ok {
			t.Fatalf("%v: expected a scale", c.values)
		}
		if got := strings.Join(c.axis.tickTexts(s.ticks(5)), " "); got != c.want {
			t.Errorf("%v of %v: expected %s, got %s", c.axis, c.values, c.want, got)
		}
	}
}

// Names that differ only at their ends stay distinct in a matrix whose columns are too narrow for them.
func TestMatrixLongNames(t *testing.T) {
	m := Matrix{Meta: Meta{Title: "m"}, Truth: "label"}
	for n := range 30 {
		m.Classes = append(m.Classes, fmt.Sprintf("class number %03d", n))
	}
	seen := map[string]bool{}
	sides := false
	for _, e := range parse(t, m.HTML()) {
		if e.name == "text" && strings.Contains(e.text, "…") {
			if seen[e.text] = true; !strings.HasSuffix(e.text, fmt.Sprintf("%02d", len(seen)-1)) {
				t.Errorf("row %d: got %q, expected the end of its name", len(seen), e.text)
			}
		}
		sides = sides || e.text == "label ↓ · predicted → (the numbers of the rows)"
	}
	if len(seen) != 30 || !sides {
		t.Errorf("%d shortened names, columns explained: %v; expected 30 different ones", len(seen), sides)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0938: "0.0938", 0.123456: "0.1235", 12.3456: "12.35", 1234.5: "1234", 123456: "123,456", 1e12: "1e+12", -54321: "-54,321", 1.5e-7: "1.5e-07",
		math.NaN(): "–", math.Inf(-1): "–", 99999.7: "100,000", 0.99996: "1"} {
		if got := (Axis{}).text(v); got != want {
			t.Errorf("%v: expected %s, got %s", v, want, got)
		}
	}
}

func TestEmptyChartsSaySo(t *testing.T) {
	nan := math.NaN()
	for name, figure := range map[string]template.HTML{
		"lines": Lines{Series: []Series{{X: []float64{1, nan}, Y: []float64{nan, 1}}}}.HTML(), "log": Lines{Y: Axis{Log: true}, Series: []Series{{X: []float64{1}, Y: []float64{-1}}}}.HTML(),
		"bars": Bars{}.HTML(), "matrix": Matrix{}.HTML(), "reliability": Reliability{}.HTML(), "histogram": Histogram{}.HTML(), "slices": Slices{Reference: nan}.HTML(), "curve": Curve{}.HTML(),
	} {
		if checkFigure(t, figure); !strings.Contains(string(figure), "No numbers to draw") {
			t.Errorf("%s: expected a sentence in the drawing, got %s", name, figure)
		}
	}
}

// TestTablesHaveTheNumbers looks values up in the tables behind the drawings, next to the JSON's.
func TestTablesHaveTheNumbers(t *testing.T) {
	x := make([]float64, 3000)
	y := make([]float64, 3000)
	for i := range x {
		x[i], y[i] = float64(i), float64(i)/1000
	}
	lines := string(Lines{Meta: Meta{Title: "RMSE"}, X: Axis{Label: "step"}, Series: []Series{{Name: "train", X: x, Y: y}, {Name: "validation", X: []float64{7, 2001}, Y: []float64{0.25, 0.125}, Low: []float64{0.2, 0.1}, High: []float64{0.3, 0.2}}},
		Events: []Event{{Kind: Rollback, X: 5, Text: "to step 3"}}}.HTML())
	for _, want := range []string{"<td class=\"number\">0.25 (0.2 to 0.3)</td>", "<td class=\"number\">0.125 (0.1 to 0.2)</td>", "<td>to step 3</td>", "(100 of "} {
		if !strings.Contains(lines, want) {
			t.Errorf("expected %s in the tables of lines", want)
		}
	}
	matrix := string(Matrix{Classes: []string{"a", "b"}, Counts: [][]int{{3, 1}, {0, 2}}}.HTML())
	for _, want := range []string{"3 (75 %)", "1 (25 %)", "0 (0 %)", "2 (100 %)"} {
		if !strings.Contains(matrix, ">"+want+"</td>") {
			t.Errorf("expected %s in the table of the matrix", want)
		}
	}
}

func TestRareClassesAreMerged(t *testing.T) {
	c := Matrix{Counts: make([][]int, 100)}
	for i := range 100 {
		c.Classes = append(c.Classes, fmt.Sprint("class ", i))
		c.Counts[i] = make([]int, 100)
		c.Counts[i][i], c.Counts[i][0] = i, 1
	}
	classes, counts := c.merged()
	sum := 0
	for _, row := range counts {
		sum += total(row)
	}
	// 1 + … + 99 on the diagonal; a 1 in each row's first cell, which is the diagonal's in the first row.
	if len(classes) != 40 || classes[39] != "61 others" || classes[38] != "class 99" || sum != 99*100/2+100 {
		t.Errorf("expected the 39 largest classes and 61 others with 5,050 examples, got %d classes, %q, with %d", len(classes), classes[len(classes)-1], sum)
	}
}

// TestGolden compares small figures byte for byte; -update writes them again.
func TestGolden(t *testing.T) {
	for name, figure := range map[string]template.HTML{
		"lines": Lines{Meta: Meta{ID: "rmse", Title: "RMSE", Text: "The RMSE falls."}, X: Axis{Label: "epoch"}, Y: Axis{Label: "RMSE"},
			Series: []Series{{Name: "train", X: []float64{1, 2, 3}, Y: []float64{0.2, 0.15, 0.1}}, {Name: "validation", X: []float64{1, 2, 3}, Y: []float64{0.21, math.NaN(), 0.12}}},
			Events: []Event{{Kind: Resume, X: 2, Text: "resumed"}}}.HTML(),
		"bars": Bars{Meta: Meta{ID: "bar", Title: "Bar", Text: "Votes and predictions agree."}, Axis: Axis{Label: "fraction"}, Names: []string{"predicted", "voted"},
			Rows: []Row{{"bar", []Value{Interval(0.4, 0.3, 0.5), Exact(0.45)}}, {"no <bar>", []Value{Interval(0.6, 0.5, 0.7), Exact(0.55)}}}}.HTML(),
		"matrix":      Matrix{Meta: Meta{ID: "m", Title: "Shapes", Text: "One mistake."}, Classes: []string{"a", "b"}, Counts: [][]int{{3, 1}, {0, 2}}}.HTML(),
		"reliability": Reliability{Meta: Meta{ID: "r", Title: "Calibration", Text: "Well calibrated."}, Bins: []Bin{{0, 0.5, 0.3, Interval(0.32, 0.25, 0.4), 60}, {0.5, 1, 0.8, Interval(0.78, 0.7, 0.85), 40}}}.HTML(),
		"histogram":   Histogram{Meta: Meta{ID: "h", Title: "Votes", Text: "Most votes are low."}, X: Axis{Label: "fraction"}, Edges: []float64{0, 0.5, 1}, Names: []string{""}, Counts: [][]float64{{30, 10}}}.HTML(),
		"slices":      Slices{Meta: Meta{ID: "s", Title: "By size", Text: "Large ones are easier."}, Axis: Axis{Label: "accuracy", Percent: true}, By: "size (px)", Reference: 0.8, Slices: []Slice{{"0 to 10", 12, Interval(0.7, 0.6, 0.8)}, {"10 to 20", 34, Interval(0.9, 0.8, 0.95)}}}.HTML(),
		"curve":       Curve{Meta: Meta{ID: "c", Title: "ROC", Text: "An area of 0.9."}, X: "false positives", Y: "true positives", Diagonal: true, Series: []Series{{Name: "a (0.9)", X: []float64{0, 0.1, 1}, Y: []float64{0, 0.8, 1}}}}.HTML(),
	} {
		checkFigure(t, figure)
		path := filepath.Join("testdata", name+".html")
		got := strings.ReplaceAll(string(figure), "><", ">\n<") + "\n"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the figure differs from %s; look at it and run go test -update\n%s", name, path, got)
		}
	}
}

func ExampleBars() {
	figure := Bars{Meta: Meta{ID: "bar", Title: "Is there a bar?"}, Names: []string{"predicted", "voted"},
		Rows: []Row{{Label: "yes", Values: []Value{Interval(0.4, 0.3, 0.5), Exact(0.45)}}}}.HTML()
	fmt.Println(strings.Contains(string(figure), "0.4 (0.3 to 0.5)"))
	// Output: true
}
