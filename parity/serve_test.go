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
// of galaxy predict.
func TestServe(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "galaxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "galaxy/cmd/galaxy").CombinedOutput(); err != nil {
		t.Fatalf("build galaxy: %v\n%s", err, out)
	}
	sky, table := filepath.Join(folder, "sky"), filepath.Join(folder, "table.csv")
	must(t, synth.Generate(t.Context(), synth.Config{Out: sky, Count: 20, Seed: 6}))
	photos, err := filepath.Glob(filepath.Join(sky, synth.ImagesDir, "*.jpg"))
	must(t, err)
	const model = "../cmd/galaxy/testdata/old/savedmodel"
	if out, err := exec.CommandContext(t.Context(), program, "predict", "--model", model, "--images", filepath.Join(sky, synth.ImagesDir), "--out", table).CombinedOutput(); err != nil {
		t.Fatalf("predict: %v\n%s", err, out)
	}
	want := map[string][]float64{}
	file, err := os.Open(table)
	must(t, err)
	rows, err := csv.NewReader(file).ReadAll()
	must(t, err)
	must(t, file.Close())
	for _, row := range rows[1:] {
		for _, text := range row[1:] {
			v, err := strconv.ParseFloat(text, 64)
			must(t, err)
			want[row[0]] = append(want[row[0]], v)
		}
	}

	service := exec.CommandContext(t.Context(), program, "serve", "--model", model, "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--json")
	stdout, err := service.StdoutPipe()
	must(t, err)
	must(t, service.Start())
	question := struct {
		REST   string   `json:"rest"`
		GRPC   string   `json:"grpc"`
		Images []string `json:"images"`
	}{Images: photos}
	must(t, json.NewDecoder(stdout).Decode(&question))
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
	}
	ask(t, "serve.py", question, &answer)
	for name, got := range map[string][][]float64{"gRPC": answer.GRPC, "REST in row form": answer.Rows, "REST in column form": answer.Columns} {
		if len(got) != len(photos) {
			t.Fatalf("%s: %d predictions of %d", name, len(got), len(photos))
		}
		for i, photo := range photos {
			for j, w := range want[strings.TrimSuffix(filepath.Base(photo), ".jpg")] {
				if math.Abs(got[i][j]-w) > serveTolerance {
					t.Errorf("%s: %s column %d is %v, expected %v", name, photo, j, got[i][j], w)
				}
			}
		}
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
	must(t, service.Process.Signal(syscall.SIGTERM))
	must(t, service.Wait())
}
