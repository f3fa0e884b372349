package main

import (
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/labels"
)

// The caption of a galaxy on the contact sheet is of the first question, by which its row was chosen too.
func TestCaption(t *testing.T) {
	for _, c := range []struct {
		schema       string
		first, later float32 // the largest answer to the first question, and one that is larger
		want         string
	}{
		{"challenge", 0.625, 0.9, "1.2 features 0.62"},
		{"gz2", 17, 30, "features or dis 17"},
	} {
		b, _ := labels.Named(c.schema)
		row := make([]float32, b.Schema.Width())
		row[1], row[len(row)-1] = c.first, c.later
		if got := caption(b.Schema, row); got != c.want {
			t.Errorf("%s: %q, want %q", c.schema, got, c.want)
		}
	}
}

func TestPrintBalanceOfEqualClasses(t *testing.T) {
	var out strings.Builder
	printBalance(&out, &data.Balance{Imbalance: 1, Classes: []data.ClassSummary{
		{Name: "a", Counts: data.Counts{Train: 4}}, {Name: "b"},
	}}, data.Counts{Train: 4})
	if strings.Contains(out.String(), "imbalance") || !strings.Contains(out.String(), "1 class without a train galaxy") {
		t.Errorf("one class to learn: %s", &out)
	}
}
