package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"5", "7", "9", "11"} {
		writeFile(t, filepath.Join(dir, id+".jpg"), nil)
	}
	images, err := OpenImages(dir, TestImages)
	if err != nil {
		t.Fatal(err)
	}
	catalog := func(ids ...int64) *Catalog { return &Catalog{Path: "sample.csv", IDs: numberedAll(ids...)} }
	for _, c := range []struct {
		name    string
		catalog *Catalog
		want    Matching
		err     []string // without permission
	}{
		{"all", catalog(11, 5, 9, 7), Matching{Rows: []int{0, 1, 2, 3}, Images: []int{3, 0, 2, 1}}, nil},
		{"fewer rows", catalog(11, 5), Matching{Rows: []int{0, 1}, Images: []int{3, 0}, ImagesWithoutRow: 2},
			[]string{"2 images", "without a row in sample.csv (7, 9)", "allow_missing"}},
		{"fewer images", catalog(13, 11, 5, 8, 9, 7), Matching{Rows: []int{1, 2, 4, 5}, Images: []int{3, 0, 2, 1}, RowsWithoutImage: 2},
			[]string{"2 rows in sample.csv without an image", "(8, 13)"}},
		{"both", catalog(1, 5), Matching{Rows: []int{1}, Images: []int{0}, RowsWithoutImage: 1, ImagesWithoutRow: 3},
			[]string{"3 images", " and 1 row"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Match(c.catalog, images, true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if _, err = Match(c.catalog, images, false); c.err == nil && err != nil {
				t.Error(err)
			} else if c.err != nil {
				wantError(t, err, append(c.err, images.Path())...)
			}
		})
	}
	paths, err := OpenImagesByPath(dir, TestImages)
	if err != nil {
		t.Fatal(err)
	}
	defer paths.Close()
	twice := &Catalog{Path: "sample.csv", IDs: []ID{"a", "b", "c"}, Images: []string{"5.jpg", "none.jpg", "5.jpg"}}
	_, err = Match(twice, paths, true)
	wantError(t, err, "sample.csv", "two rows for the image 5.jpg", "galaxies a and c")
	_, err = Match(&Catalog{Path: "sample.csv", IDs: []ID{"a", "b"}, Images: []string{"none.jpg", "x/5.jpg"}}, paths, true)
	wantError(t, err, "sample.csv start with x/", dir, "folder above", "images")
	for id, want := range map[ID]string{
		"5.jpg": "has the id 5.jpg, and there is the image 5: an id must be the name", "005": "the id 005, and there is the image 5",
		"images/7.png": "give it as path_column", "12": "are the two from the same data set?",
	} {
		_, err = Match(&Catalog{Path: "sample.csv", IDs: []ID{id}}, images, true)
		wantError(t, err, "no galaxy has both", want)
	}
	for path, want := range map[string]string{
		"5": "has the path 5, and there is the image 5.jpg: the paths must be those below images", "a/b/5.png": "the path a/b/5.png, and there is the image 5.jpg",
		"12.jpg": "are the two from the same data set?",
	} {
		_, err = Match(&Catalog{Path: "sample.csv", IDs: []ID{"a"}, Images: []string{path}}, paths, true)
		wantError(t, err, "no galaxy has both", want)
	}
	twice.Images[2] = "11.jpg"
	got, err := Match(twice, paths, true)
	if err != nil || !cmp.Equal(got, Matching{Rows: []int{0, 2}, Images: []int{1, 0}, RowsWithoutImage: 1, ImagesWithoutRow: 2}) {
		t.Errorf("by paths: %+v, %v", got, err)
	}
	_, err = Match(catalog(1, 2), images, true)
	wantError(t, err, "no galaxy has both", "same data set")
	if err := os.Remove(filepath.Join(dir, "5.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := images.Checksum(); err == nil {
		t.Error("no error for a file that has gone")
	}
}
