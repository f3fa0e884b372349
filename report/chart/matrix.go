package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
)

// Matrix draws a confusion matrix: how many examples of each class were predicted as each class.
type Matrix struct {
	Meta
	Classes []string
	// Counts[i][j] is how many examples of class i were predicted as class j. Missing rows and cells are 0.
	Counts         [][]int
	Truth, Predict string // names of the two sides: "voted", "predicted"; empty: these
}

// maxClasses is the largest matrix that is drawn. Beyond it the rarest classes become one.
const maxClasses = 40

// HTML returns the figure: each cell holds the count and its fraction of the row, by which it is coloured.
func (c Matrix) HTML() template.HTML {
	classes, counts := c.merged()
	n := len(classes)
	truth, predicted := cmp.Or(c.Truth, "voted"), cmp.Or(c.Predict, "predicted")
	longest := 0.0
	for _, name := range classes {
		longest = max(longest, width(name, textSize))
	}
	left := min(max(longest+12, 70), 140)
	const cellHeight = 40.0
	room := func() float64 { return min(110, max(62, (chartWidth-left-4)/float64(max(n, 1)))) }
	cellWidth := room()
	numbered := longest > cellWidth-4
	rowNames, columnNames := slices.Clone(classes), slices.Clone(classes)
	if numbered { // a name that is too long for its column stands in its row, with the column's number
		for i := range classes {
			columnNames[i] = strconv.Itoa(i + 1)
			rowNames[i] = columnNames[i] + " " + classes[i]
		}
		left = 140
		cellWidth = room()
	}
	sides := truth + " ↓ · " + predicted + " →"
	if numbered {
		sides += " (the numbers of the rows)"
	}
	top := 44.0
	f := &figure{meta: c.Meta, kind: "matrix", width: max(chartWidth, left+cellWidth*float64(n)+4), height: top + cellHeight*float64(max(n, 1)) + 6}
	f.tables = []Table{matrixTable(c.Title, classes, counts, truth, predicted)}
	return f.html(func() {
		if n == 0 {
			f.empty()
			return
		}
		f.leaf("text", cut(sides, textSize, f.width-8), "x", 4, "y", 15, "class", "label")
		for j, name := range columnNames {
			f.leaf("text", name, "x", left+cellWidth*(float64(j)+0.5), "y", top-7, "text-anchor", "middle", "class", "tick")
		}
		for i, name := range rowNames {
			y := top + cellHeight*float64(i)
			f.leaf("text", cutMiddle(name, textSize, left-8), "x", left-6, "y", y+25, "text-anchor", "end", "class", "tick")
			sum := total(counts[i])
			for j, count := range counts[i] {
				fraction := float64(count) / float64(max(sum, 1))
				f.start("g", "class", "cell q"+strconv.Itoa(level(fraction)),
					"data-tip", fmt.Sprintf("%s %s, %s %s: %s, %s of the row", truth, classes[i], predicted, classes[j], grouped(strconv.Itoa(count)), percent(fraction)))
				x := left + cellWidth*float64(j)
				f.shape("rect", "x", x+1, "y", y+1, "width", cellWidth-2, "height", cellHeight-2)
				f.leaf("text", grouped(strconv.Itoa(count)), "x", x+cellWidth/2, "y", y+18, "text-anchor", "middle", "class", "count")
				f.leaf("text", percent(fraction), "x", x+cellWidth/2, "y", y+33, "text-anchor", "middle", "class", "small")
				f.end()
			}
		}
	})
}

func percent(fraction float64) string { return Axis{Percent: true}.text(fraction) }

// level returns which of the six steps of the sequential colours a fraction gets.
func level(fraction float64) int {
	if fraction <= 0 {
		return 0
	}
	return min(5, 1+int(fraction*5))
}

func total(counts []int) int {
	sum := 0
	for _, c := range counts {
		sum += c
	}
	return sum
}

// merged returns the classes and a square matrix of them. If there are more than maxClasses, those with the fewest
// examples become the last class.
func (c Matrix) merged() ([]string, [][]int) {
	n := len(c.Classes)
	at := func(i, j int) int {
		if i < len(c.Counts) && j < len(c.Counts[i]) {
			return max(c.Counts[i][j], 0)
		}
		return 0
	}
	place := make([]int, n)
	for i := range place {
		place[i] = i
	}
	names := slices.Clone(c.Classes)
	if n > maxClasses {
		order := slices.Clone(place)
		sums := make([]int, n)
		for i := range sums {
			for j := range n {
				sums[i] += at(i, j)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return sums[b] - sums[a] })
		kept := order[:maxClasses-1]
		slices.Sort(kept)
		for i := range place {
			place[i] = maxClasses - 1
		}
		names = nil
		for i, k := range kept {
			place[k] = i
			names = append(names, c.Classes[k])
		}
		names = append(names, fmt.Sprintf("%d others", n-len(kept)))
	}
	counts := make([][]int, len(names))
	for i := range counts {
		counts[i] = make([]int, len(names))
	}
	for i := range n {
		for j := range n {
			counts[place[i]][place[j]] += at(i, j)
		}
	}
	return names, counts
}

func matrixTable(caption string, classes []string, counts [][]int, truth, predicted string) Table {
	t := Table{Caption: caption + ": rows " + truth + ", columns " + predicted, Columns: append([]string{truth}, classes...)}
	for i, name := range classes {
		row := []any{name}
		sum := float64(max(total(counts[i]), 1))
		for _, count := range counts[i] {
			row = append(row, Number(grouped(strconv.Itoa(count))+" ("+percent(float64(count)/sum)+")"))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Columns = append(t.Columns, "sum")
	for i := range t.Rows {
		t.Rows[i] = append(t.Rows[i], total(counts[i]))
	}
	return t
}
