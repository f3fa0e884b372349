package savedmodel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A version is a SavedModel in a folder whose name is its number.
type version struct {
	number int64
	name   string // with leading zeros, if it has some
}

// Newest returns the SavedModel in dir with the highest version number, and a sentence about
// the choice. This is the layout that TensorFlow Serving reads: dir holds a folder for each
// version, named by its number (leading zeros are allowed); other names are ignored, such as those
// of copies in progress. Any other dir is returned as it is, with an empty sentence: a SavedModel
// itself, a run, or one that does not exist. It is an error, not a reason to take an older one,
// if the newest version has no saved_model.pb.
func Newest(dir string) (model, sentence string, err error) {
	if _, err := os.Stat(filepath.Join(dir, modelFile)); !errors.Is(err, fs.ErrNotExist) {
		return dir, "", nil
	}
	versions := versionsIn(dir)
	if len(versions) == 0 {
		return dir, "", nil
	}
	var others []string
	for _, v := range versions[1:] {
		others = append(others, v.name)
	}
	model = filepath.Join(dir, versions[0].name)
	if !isFile(filepath.Join(model, modelFile)) {
		usable := ""
		if complete := Versions(dir); len(complete) > 0 {
			usable = ", or give " + complete[0] + " itself"
		}
		return "", "", fmt.Errorf("SavedModel %s, the newest version in %s, has no %s: it is empty, or its copy is not complete; copy it again%s", model, dir, modelFile, usable)
	}
	sentence = fmt.Sprintf("using version %s, %s", versions[0].name, model)
	if len(others) > 0 {
		const shown = 5
		if more := len(others) - shown; more > 0 {
			others = append(others[:shown], fmt.Sprintf("%d more", more))
		}
		sentence += " (older versions: " + strings.Join(others, ", ") + ")"
	}
	return model, sentence, nil
}

// Versions returns the folders of the versions in dir that have a saved_model.pb, the newest first, one of each number. It
// returns none for a folder that Newest returns as it is.
func Versions(dir string) (models []string) {
	if _, err := os.Stat(filepath.Join(dir, modelFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	versions := slices.DeleteFunc(versionsIn(dir), func(v version) bool { return !isFile(filepath.Join(dir, v.name, modelFile)) })
	for _, v := range slices.CompactFunc(versions, func(a, b version) bool { return a.number == b.number }) {
		models = append(models, filepath.Join(dir, v.name))
	}
	return models
}

// versionsIn returns the folders in dir whose name is a number, the highest first.
func versionsIn(dir string) (versions []version) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // whoever opens dir reports it
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name())) // it may be a link to a folder
		if n, numErr := strconv.ParseUint(e.Name(), 10, 63); numErr == nil && err == nil && info.IsDir() {
			versions = append(versions, version{int64(n), e.Name()})
		}
	}
	slices.SortStableFunc(versions, func(a, b version) int { return cmp.Compare(b.number, a.number) })
	return versions
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
