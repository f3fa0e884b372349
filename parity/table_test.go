//go:build parity

package parity

import (
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"galaxy/data/table"
)

// TestTables reads tables of labels that pandas, pyarrow and astropy have written in all the forms that
// they know: the same columns, texts, integers digit by digit and floats bit by bit.
func TestTables(t *testing.T) {
	var files []struct {
		File             string
		Columns, Skipped []string
		Cells            [][][2]string
	}
	ask(t, "table.py", map[string]any{"folder": t.TempDir(), "rows": 1100}, &files)
	cells := 0
	for _, f := range files {
		tb, err := table.Open(f.File, "")
		if err != nil {
			t.Error(err)
			continue
		}
		var skipped []string
		for _, s := range tb.Skipped() {
			skipped = append(skipped, s.Name)
		}
		if !slices.Equal(tb.Columns(), f.Columns) || !slices.Equal(skipped, f.Skipped) && len(skipped)+len(f.Skipped) > 0 {
			t.Errorf("%s has the columns %q and skips %q: expected %q and %q", f.File, tb.Columns(), skipped, f.Columns, f.Skipped)
			continue
		}
		for _, row := range f.Cells {
			if err := tb.Next(); err != nil {
				t.Fatal(err)
			}
			for i, want := range row {
				if cells++; !sameCell(tb, i, want[0], want[1]) {
					t.Fatalf("%s: %s: %s is %q: expected %q of the kind %s", f.File, tb.Where(), f.Columns[i], tb.Text(i), want[1], want[0])
				}
			}
		}
		if err := tb.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after %d rows: got %v, expected the end", f.File, len(f.Cells), err)
		}
		must(t, tb.Close())
	}
	t.Logf("%d cells of %d files, the last of them %s", cells, len(files), filepath.Base(files[len(files)-1].File))
}

// sameCell reports whether a cell is what Python has read.
func sameCell(tb *table.Table, i int, kind, want string) bool {
	switch kind {
	case "n":
		return tb.Empty(i) && tb.Text(i) == ""
	case "f":
		v, err := tb.Number(i)
		w, err2 := strconv.ParseFloat(want, 64)
		return err == nil && err2 == nil && (math.Float64bits(v) == math.Float64bits(w) || math.IsNaN(v) && math.IsNaN(w))
	case "i":
		if n, err := strconv.ParseInt(want, 10, 64); err == nil {
			got, err := tb.Integer(i)
			if err != nil || got != n {
				return false
			}
		}
	}
	return tb.Text(i) == want
}
