package chart

import (
	"fmt"
	"html/template"
)

// Table is a table with a caption. The first cell of each row is the row's header. The page's script lets
// readers sort its rows by any column.
type Table struct {
	Caption string   // what the table shows; required by screen readers
	Columns []string // headers
	// Rows holds cells: a float64, an int or a Number is a number, a template.HTML is written as it is, anything else is a
	// text. A row may be shorter than Columns.
	Rows [][]any
}

// HTML returns the table in a box that scrolls sideways if the page is too narrow.
func (t Table) HTML() template.HTML {
	var m markup
	t.write(&m)
	return m.html()
}

func (t Table) write(m *markup) {
	m.start("div", "class", "scroll", "tabindex", "0", "role", "region", "aria-label", t.Caption)
	m.start("table", "class", "sortable")
	m.leaf("caption", t.Caption)
	m.start("thead")
	m.start("tr")
	for i, c := range t.Columns {
		m.leaf("th", c, "scope", "col", "class", t.class(i))
	}
	m.end()
	m.end()
	m.start("tbody")
	for _, row := range t.Rows {
		m.start("tr")
		for i, cell := range row {
			if i == 0 {
				m.start("th", "scope", "row", "class", class(cell))
			} else {
				m.start("td", "class", class(cell))
			}
			m.cell(cell)
			m.end()
		}
		m.end()
	}
	m.end()
	m.end()
	m.end()
}

// class returns the class of a column's header: that of its first cell.
func (t Table) class(column int) string {
	if len(t.Rows) == 0 || column >= len(t.Rows[0]) {
		return ""
	}
	return class(t.Rows[0][column])
}

func class(cell any) string {
	switch cell.(type) {
	case float64, int, Number:
		return "number"
	}
	return ""
}

// Number is a cell that is already formatted: a number, or an interval. It is not broken into lines.
type Number string

func (m *markup) cell(cell any) {
	switch c := cell.(type) {
	case float64:
		m.b.WriteString(escape(Axis{}.text(c)))
	case int:
		m.b.WriteString(grouped(fmt.Sprint(c)))
	case template.HTML:
		m.b.WriteString(string(c))
	default:
		m.b.WriteString(escape(fmt.Sprint(c)))
	}
}
