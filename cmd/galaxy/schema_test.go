package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"galaxy/labels"
)

// What is recognised in published tables, which are not part of the project.
func TestInferPublishedTables(t *testing.T) {
	dir := os.Getenv("GALAXY_CATALOGUES")
	if dir == "" {
		t.Skip("GALAXY_CATALOGUES is not set: it names a folder of published catalogues, which are not part of the project")
	}
	for _, c := range []struct{ file, want string }{
		{"gz2-votes/gz2_counts.csv", "tNN_QUESTION_aNN_ANSWER_count: 11 questions, 37 counts, 7 left"},
		{"gz2-votes/gz2_table5_full.csv.gz", "tNN_QUESTION_aNN_ANSWER_count: 11 questions, 37 counts, 191 left"},
		{"gz-decals-votes-no-images/panoptes.csv", "QUESTION_ANSWER: 1 questions, 3 counts, 22 left"},
	} {
		columns, err := readColumns(filepath.Join(dir, c.file))
		if err != nil {
			t.Error(err)
			continue
		}
		var plain []labels.Column
		for _, column := range columns {
			plain = append(plain, column.Column)
		}
		found, err := labels.Infer(plain)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		s := found.Schema
		if got := fmt.Sprintf("%s: %d questions, %d %v, %d left", found.Pattern, len(s.Questions()), s.Width(), s.Values(), len(found.Left)); got != c.want {
			t.Errorf("%s: %s; expected %s", c.file, got, c.want)
		}
	}
}
