package galaxy_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports lists the packages of this module that each package may import, tests aside. A package
// stands below all that import it, so that nothing points back. A new package is a line; one
// that needs a package from further down the list is in the wrong place.
var imports = []struct{ name, may string }{
	{"internal/usage", ""},
	{"internal/ahead", ""},
	{"internal/kernels", ""},
	{"internal/durable", "internal/usage"},
	{"internal/tfrecord", ""},
	{"internal/tfserving", ""},
	{"internal/safetensors", ""},
	{"labels", "internal/usage"},
	{"labels/labelstest", "labels"},
	{"data/filetype", ""},
	{"data/zipfile", ""},
	{"data/fits", ""},
	{"data/stretch", "internal/usage"},
	{"data/imagefile", "data/filetype data/fits data/stretch internal/usage"},
	{"data/table", "data/filetype data/fits data/zipfile internal/usage"},
	{"data", "data/filetype data/imagefile data/stretch data/table data/zipfile internal/ahead internal/durable internal/usage labels"},
	{"data/synth", "data data/fits data/imagefile internal/ahead internal/durable internal/usage labels"},
	{"graph/graphtest", ""},
	{"graph/session", "internal/durable internal/usage"},
	{"graph/images", "data/imagefile graph/session internal/usage"},
	{"graph/network", "data/imagefile graph/images graph/session internal/kernels internal/usage"},
	{"graph/torch", "data/imagefile graph/network internal/durable internal/safetensors internal/usage"},
	{"graph", "data/imagefile graph/images graph/network graph/session internal/usage"},
	{"focal", "internal/usage"},
	{"train/checkpoint", "internal/durable internal/usage"},
	{"train/events", "internal/durable internal/tfrecord"},
	{"train/votes", ""},
	{"train/metric", "labels train/votes"},
	{"train/acquisition", "labels train/votes"},
	{"train/objective", "focal internal/usage labels train/votes"},
	{"savedmodel", "data/imagefile data/stretch graph graph/images graph/network graph/session internal/durable internal/kernels internal/tfrecord internal/tfserving internal/usage labels train/objective"},
	{"train", "data data/imagefile data/stretch graph graph/images graph/network graph/session graph/torch internal/durable internal/kernels internal/usage labels savedmodel train/checkpoint train/events train/metric train/objective"},
	{"explain", "data/imagefile graph graph/network graph/session"},
	{"report/chart", ""},
	{"report/page", ""},
	{"modelcard", "data graph/network internal/usage labels train train/metric train/objective"},
	{"report", "data explain graph internal/usage labels modelcard report/chart report/page train train/checkpoint train/metric"},
	{"report/live", "internal/durable report report/chart report/page train train/checkpoint"},
	{"internal/browsertest", ""},
	{"predict", "data data/imagefile data/table internal/ahead internal/durable internal/usage labels"},
	{"serve", "data data/imagefile data/stretch explain internal/tfserving internal/usage labels predict report/page savedmodel"},
}

// programs may import anything, and nothing imports them.
var programs = []string{"bench", "bench/quality", "cmd/galaxy", "internal/tfserving/descriptors", "parity", "scripts/democheck", "scripts/gpuprune", "scripts/screenshots", "scripts/submissioncheck", "scripts/testreport", "scripts/watchbench", "scripts", "."}

// withoutTensorFlow are the packages that, with all they import, do without TensorFlow.
var withoutTensorFlow = []string{"labels", "data/fits", "data/stretch", "data/imagefile", "data", "data/synth", "train/checkpoint", "train/events", "train/acquisition", "train/metric", "train/votes", "predict", "report/chart", "report/page"}

// importsOf returns the packages that one imports, without those of its tests.
func importsOf(t *testing.T, dir string) []string {
	t.Helper()
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Imports
}

func TestImportsPointDown(t *testing.T) {
	var seen []string
	for i, p := range imports {
		seen = append(seen, p.name)
		may := strings.Fields(p.may)
		for _, name := range may {
			if !slices.ContainsFunc(imports[:i], func(below struct{ name, may string }) bool { return below.name == name }) {
				t.Errorf("the table lets %s import %s, which is not above it in the table", p.name, name)
			}
		}
		for _, path := range importsOf(t, p.name) {
			name, ours := strings.CutPrefix(path, "galaxy/")
			switch {
			case ours && !slices.Contains(may, name):
				t.Errorf("%s imports %s: expected none but %q; move what it needs down, or say in the table why it may", p.name, name, may)
			case slices.Contains(withoutTensorFlow, p.name) && (strings.HasPrefix(path, "github.com/galeone/") || strings.HasPrefix(name, "graph")):
				t.Errorf("%s imports %s: expected no TensorFlow in it", p.name, path)
			}
		}
	}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if dir := filepath.Dir(path); strings.HasSuffix(path, ".go") && !slices.Contains(seen, dir) && !slices.Contains(programs, dir) {
			seen = append(seen, dir)
			t.Errorf("package %s is not in the table", dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
