package table

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestCatalogues reads published tables in the folder that GALAXY_CATALOGUES names.
func TestCatalogues(t *testing.T) {
	folder := os.Getenv("GALAXY_CATALOGUES")
	if folder == "" {
		t.Skip("GALAXY_CATALOGUES does not name a folder of published catalogues")
	}
	for _, c := range []struct {
		file          string
		columns, rows int
		column, first string // the first cell of a column
		err           string
	}{
		{"tables/gz1/GZ_mergers_296.csv", 8, 296, "objid", "1237649918432116905", ""},
		{"tables/gz1/combined_1k.csv", 8, 4296, "merger", "0", ""},
		{"tables/gz1/mergers_420.csv", 1, 420, "objid", "1237657627920433315", ""},
		{"tables/lofar_horton2025_flags.csv", 36, 7607, "Source_Name", "ILTJ000005.31+205913.2", ""},
		{"tables/rings_dataset.csv", 5, 8528, "anillos", "0.0", ""},
		{"tables/windows-paths/pre_train_data.csv", 2, 1358, "label", "1", ""},
		{"tables/windows-paths/select_data.csv", 3, 1509, "label", "-1", ""},
		{"tables/zoobot_example_ring_catalog_basic.csv", 6, 470, "file_loc", "data/example_images/basic/J000411.19+020924.0.jpg", ""},
		{"efigi/EFIGI_attributes.txt", 52, 4458, "PGCname", "PGC0000212", ""},
		{"efigi/hyperleda.tsv", 14, 4458, "hl_names", "PGC000212", ""},
		{"efigi/labels.csv", 5, 4458, "stage", "Sa", ""},
		{"gz2-votes/gz2_counts.csv", 44, 383, "objid", "8647474692505796828", ""},
		{"gz2-votes/gz2_table5_full.csv.gz", 228, 19761, "objid", "8647474690312307154", ""},
		{"gz-decals-votes-no-images/panoptes.csv", 26, 4000, "smooth-or-featured_smooth", "18.0", ""},
		{"hst-fits-labelled/labels.csv", 2, 38, "type", "Sd", ""},
		{"hst-fits-labelled/training/training_truth.dat", 2, 37, "Sd", "E", ""},
		{"broken/NOTES.tsv", 2, 6, "file", "lfs-pointer_*.png", ""},
		{"broken/lfs-pointer_481615_319.png", 0, 0, "", "", "Git LFS pointer"},
		{"broken/not-a-png_sdssdr14.png", 0, 0, "", "", "GIF image"},
		{"broken/Sc?t.jpeg", 0, 0, "", "", "BMP image"},
		{"radio-fr4", 0, 0, "", "", "not a file"},
	} {
		tb, err := Open(filepath.Join(folder, filepath.FromSlash(c.file)), "")
		if c.err != "" {
			wantError(t, err, c.file, c.err)
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if n := len(tb.Columns()); n != c.columns {
			t.Errorf("%s has %d columns; expected %d", c.file, n, c.columns)
		}
		if err := tb.Select(c.column); err != nil {
			t.Error(err)
		}
		rows := 0
		for err = tb.Next(); err == nil; err = tb.Next() {
			if rows++; rows == 1 && tb.Text(0) != c.first {
				t.Errorf("%s: %s is %q in the first row; expected %q", c.file, c.column, tb.Text(0), c.first)
			}
		}
		if !errors.Is(err, io.EOF) || rows != c.rows {
			t.Errorf("%s: %d rows, then %v; expected %d rows", c.file, rows, err, c.rows)
		}
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	}
}
