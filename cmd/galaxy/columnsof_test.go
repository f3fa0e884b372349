package main

import (
	"testing"

	"galaxy/labels"
)

// Two catalogues of classes have schemas of one name, so the message names the first column that differs.
func TestColumnsOf(t *testing.T) {
	schema := func(names ...string) *labels.Schema {
		s, err := labels.FromClasses(names)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		a, b          *labels.Schema
		first, second string
	}{
		{schema("a", "b"), schema("b", "a"), "the schema classes (2 columns, number 1 is a)", "the schema classes (2 columns, number 1 is b)"},
		{schema("a", "b"), schema("a", "b", "c"), "the schema classes (2 columns)", "the schema classes (3 columns, number 3 is c)"},
	} {
		if first, second := columnsOf(c.a, c.b); first != c.first || second != c.second {
			t.Errorf("got %q and %q, expected %q and %q", first, second, c.first, c.second)
		}
	}
}
