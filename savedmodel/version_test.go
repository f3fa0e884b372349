package savedmodel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNewest(t *testing.T) {
	for _, c := range []struct {
		name     string
		files    string // a name ending in / is an empty folder
		want     string // below the folder
		sentence string
		err      string
	}{
		{"model", "saved_model.pb 1/saved_model.pb", "", "", ""},
		{"run", "config.json checkpoints/step-1/x", "", "", ""},
		{"nothing", "x/saved_model.pb -1/saved_model.pb 1.5/saved_model.pb 7", "", "", ""},
		{"one", "1/saved_model.pb", "1", "using version 1, ", ""},
		{"numbers, not texts", "9/saved_model.pb 10/saved_model.pb 2/saved_model.pb", "10", "(older versions: 9, 2)", ""},
		{"zeros", "0009/saved_model.pb 00010/saved_model.pb", "00010", "(older versions: 0009)", ""},
		{"times", "1700000000/saved_model.pb 1700000001/saved_model.pb", "1700000001", "", ""},
		{"copy in progress", "1/saved_model.pb 2.tmp/saved_model.pb temp-3/x", "1", "using version 1", ""},
		{"many", "1/ 2/ 3/ 4/ 5/ 6/ 7/ 8/saved_model.pb", "8", "(older versions: 7, 6, 5, 4, 3, 2 more)", ""},
		{"empty", "1/saved_model.pb 2/", "", "", "2, the newest version"},
		{"empty only", "3/", "", "", "has no saved_model.pb: it is empty, or its copy is not complete; copy it again"},
		{"half copied", "1/saved_model.pb 2/ 3/variables/variables.index", "", "", "1 itself"},
		{"a folder in place of the file", "1/saved_model.pb/x", "", "", "has no saved_model.pb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for f := range strings.FieldsSeq(c.files) {
				folder, file := filepath.Split(f)
				err := os.MkdirAll(filepath.Join(dir, folder), 0o777)
				if err == nil && file != "" {
					err = os.WriteFile(filepath.Join(dir, f), nil, 0o666)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			got, sentence, err := Newest(dir)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v; want %q", err, c.err)
				}
				return
			}
			if err != nil || got != filepath.Join(dir, c.want) || !strings.Contains(sentence, c.sentence) || (sentence == "") != (c.want == "") {
				t.Errorf("Newest = %s, %q, %v; want %s, %q", got, sentence, err, c.want, c.sentence)
			}
		})
	}
	dir := t.TempDir()
	for _, v := range []string{"1", "02", "2", "10", "3"} {
		err := os.Mkdir(filepath.Join(dir, v), 0o777)
		if err == nil && v != "3" {
			err = os.WriteFile(filepath.Join(dir, v, modelFile), nil, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Versions(dir), []string{filepath.Join(dir, "10"), filepath.Join(dir, "02"), filepath.Join(dir, "1")}; !slices.Equal(got, want) {
		t.Errorf("Versions = %v; want %v", got, want)
	}
	if got := Versions("nowhere"); got != nil {
		t.Errorf("Versions of nothing = %v", got)
	}
	if got, sentence, err := Newest("nowhere"); got != "nowhere" || sentence != "" || err != nil {
		t.Errorf("Newest of nothing = %s, %q, %v", got, sentence, err)
	}
}
