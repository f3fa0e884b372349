package report

import (
	"fmt"
	"html/template"
	"math"

	"galaxy/report/chart"
)

// The largest sizes in bytes of a report of one run and of several.
const (
	maxBytes        = 3_000_000
	maxBytesSeveral = 5_000_000
)

// A room is how much of what may be large a report shows.
type room struct {
	images    float64 // fraction of the images of each gallery
	questions int     // that are drawn: a schema may have thousands
	rows      int     // of a table
}

// rooms are tried in turn until the report is small enough.
var rooms = []room{{1, 40, 4000}, {2. / 3, 40, 4000}, {1. / 3, 40, 4000}, {1. / 3, 20, 2000}, {1. / 6, 10, 1000}, {1. / 12, 5, 500}, {0, 2, 200}}

// of returns how many of n images are shown: at least one, unless none are.
func (f room) of(n int) int { return int(math.Ceil(f.images*float64(n) - 1e-9)) }

// HTML returns the page, of at most 3 MB, or 5 MB for several runs. If that takes it, there are fewer images, questions and
// rows of tables, and the page says so.
func (r *Report) HTML() ([]byte, error) {
	limit := maxBytes
	if len(r.Others) > 0 {
		limit = maxBytesSeveral
	}
	return r.within(limit)
}

// within returns the page in at most limit bytes, or in the least that there is.
func (r *Report) within(limit int) (text []byte, err error) {
	for k, f := range rooms {
		r.room, r.crowded = f, ""
		if k > 0 {
			r.crowded = fmt.Sprintf("To stay below %.1f MB, this report shows fewer images than it could: %.0f %% of them, and at most %d questions and %d rows of a table.", float64(limit)/1e6, 100*f.images, f.questions, f.rows)
		}
		if text, err = r.html(); err != nil || len(text) <= limit {
			break
		}
	}
	return text, err
}

// table returns a table with the rows that there is room for; its caption says if there are more.
func (f room) table(t chart.Table) template.HTML {
	if n := len(t.Rows); n > f.rows {
		t.Rows = t.Rows[:f.rows]
		t.Caption += fmt.Sprintf("; the first %d of %d rows", f.rows, n)
	}
	return t.HTML()
}
