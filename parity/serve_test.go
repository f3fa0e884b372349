//go:build parity

package parity

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"galaxy/data/synth"
)

// serveTolerance is the rounding of a table to five digits, and of another order of sums.
const serveTolerance = 0.6e-5

// TestServe lets TensorFlow Serving's own client and a plain HTTP client ask galaxy serve: they get the numbers
// of galaxy predict. Of a model of vote counts these are concentrations too, which NumPy computes from the logits.
func TestServe(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "galaxy")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("go", "build", "-o", program, "galaxy/cmd/galaxy")
	sky := filepath.Join(folder, "sky")
	must(t, synth.Generate(t.Context(), synth.Config{Out: sky, Count: 20, Seed: 6}))
	photos, err := filepath.Glob(filepath.Join(sky, synth.ImagesDir, "*.jpg"))
	must(t, err)
	const model = "../cmd/galaxy/testdata/old/savedmodel"
	votes, cache, counts := filepath.Join(folder, "votes"), filepath.Join(folder, "cache"), filepath.Join(folder, "run")
	run(program, "synth", "--count", "20", "--seed", "6", "--schema", "desi", "--volunteers", "5-9", "--out", votes)
	run(program, "prepare", "--schema", filepath.Join(votes, "schema.toml"), "--labels", filepath.Join(votes, "training_solutions_rev1.csv"), "--images", filepath.Join(sky, synth.ImagesDir),
		"--split", "60/40/0", "--size", "32", "--out", cache)
	run(program, "train", "--arch", "resnet6", "--data", cache, "--steps", "1", "--batch", "4", "--precision", "float32", "--report=false", "--out", counts)
	float := []string{"--precision", "float32"}
	want := predictTable(t, program, model, sky, nil)
	wantCounts := predictTable(t, program, counts, sky, float)

	question := struct {
		addresses
		Counts addresses `json:"counts"`
		Images []string  `json:"images"`
	}{Images: photos}
	var end, endCounts func()
	question.addresses, end = startService(t, program, model, nil)
	question.Counts, endCounts = startService(t, program, counts, float)
	var answer struct {
		GRPC       [][]float64 `json:"grpc"`
		Rows       [][]float64 `json:"rows"`
		Columns    [][]float64 `json:"columns"`
		ZerosGRPC  [][]float64 `json:"zeros_grpc"`
		ZerosREST  [][]float64 `json:"zeros_rest"`
		Broken     []bool      `json:"broken"`
		Errors     []string    `json:"errors"`
		State      string      `json:"state"`
		Signatures []string    `json:"signatures"`
		Counts     struct {
			GRPC   [][]float64 `json:"grpc"`
			REST   [][]float64 `json:"rest"`
			Judged [][]float64 `json:"judged"`
		} `json:"counts"`
	}
	ask(t, "serve.py", question, &answer)
	for name, got := range map[string][][]float64{"gRPC": answer.GRPC, "REST in row form": answer.Rows, "REST in column form": answer.Columns} {
		compareServed(t, name, photos, got, want)
	}
	for name, got := range map[string][][]float64{"counts, gRPC": answer.Counts.GRPC, "counts, REST": answer.Counts.REST, "counts, NumPy": answer.Counts.Judged} {
		compareServed(t, name, photos, got, wantCounts)
	}
	if answer.State != "AVAILABLE" || !reflect.DeepEqual(answer.Signatures, []string{"serving_default", "serving_jpeg"}) {
		t.Errorf("state %s, signatures %v", answer.State, answer.Signatures)
	}
	if !reflect.DeepEqual(answer.Broken, []bool{false, true}) || answer.Errors[0] != "" || !strings.Contains(answer.Errors[1], "image 1: the file is a text file") {
		t.Errorf("a broken file: NaN %v, errors %q", answer.Broken, answer.Errors)
	}
	for j, w := range answer.ZerosGRPC[0] {
		if got := answer.ZerosREST[0][j]; math.Abs(got-w) > 1e-6 {
			t.Errorf("a black image: column %d is %v by REST and %v by gRPC", j, got, w)
		}
	}
	end()
	endCounts()
}

// predictTable returns the numbers that galaxy predict has for the images of a sky, by their ids.
func predictTable(t *testing.T, program, model, sky string, more []string) map[string][]float64 {
	t.Helper()
	table := filepath.Join(t.TempDir(), "table.csv")
	args := append([]string{"predict", "--model", model, "--images", filepath.Join(sky, synth.ImagesDir), "--out", table}, more...)
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("predict: %v\n%s", err, out)
	}
	file, err := os.Open(table)
	must(t, err)
	rows, err := csv.NewReader(file).ReadAll()
	must(t, err)
	must(t, file.Close())
	all := map[string][]float64{}
	for _, row := range rows[1:] {
		for _, text := range row[1:] {
			v, err := strconv.ParseFloat(text, 64)
			must(t, err)
			all[row[0]] = append(all[row[0]], v)
		}
	}
	return all
}

// addresses are where a galaxy serve listens.
type addresses struct {
	REST string `json:"rest"`
	GRPC string `json:"grpc"`
}

// startService starts galaxy serve, and waits until it answers. It runs until end is called.
func startService(t *testing.T, program, model string, more []string) (at addresses, end func()) {
	t.Helper()
	service := exec.CommandContext(t.Context(), program, append([]string{"serve", "--model", model, "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--json"}, more...)...)
	stdout, err := service.StdoutPipe()
	must(t, err)
	must(t, service.Start())
	must(t, json.NewDecoder(stdout).Decode(&at))
	return at, func() {
		must(t, service.Process.Signal(syscall.SIGTERM))
		must(t, service.Wait())
	}
}

// compareServed compares predictions for photos with a table.
func compareServed(t *testing.T, name string, photos []string, got [][]float64, want map[string][]float64) {
	t.Helper()
	if len(got) != len(photos) {
		t.Fatalf("%s: %d predictions of %d", name, len(got), len(photos))
	}
	for i, photo := range photos {
		row := want[strings.TrimSuffix(filepath.Base(photo), ".jpg")]
		if len(got[i]) != len(row) {
			t.Fatalf("%s: %d columns, expected %d", name, len(got[i]), len(row))
		}
		for j, w := range row {
			if math.Abs(got[i][j]-w) > serveTolerance*max(1, w) {
				t.Errorf("%s: %s column %d is %v, expected %v", name, photo, j, got[i][j], w)
			}
		}
	}
}
