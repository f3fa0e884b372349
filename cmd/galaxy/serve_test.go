package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	tensorpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"galaxy/internal/tfserving"
)

// The answers of the service are the numbers of galaxy predict, by REST and by gRPC, while new versions are taken in; its memory
// does not grow; and SIGTERM ends the service as it should.
func TestServe(t *testing.T) {
	t.Parallel()
	b := &workbench{t: t, dir: t.TempDir(), small: true}
	if err := os.CopyFS(b.dir, os.DirFS(filepath.Join("testdata", "old"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(b.path("models", "1"), os.DirFS(b.path("savedmodel"))); err != nil {
		t.Fatal(err)
	}
	b.galaxy(exitOK, "synth", "--count", "8", "--out", "data")
	const photos = "data/images_training_rev1"
	b.galaxy(exitOK, "predict", "--model", "models", "--images", photos, "--out", "want.csv")
	files, want := b.table(photos, ".jpg", "want.csv")

	service := b.serve("--model", "models", "--poll", "10ms")
	if service.Version != 1 {
		t.Errorf("version %d, expected 1", service.Version)
	}
	if _, stderr := b.galaxy(exitFailed, "serve", "--model", "models", "--listen", service.REST); !strings.Contains(stderr, "--listen: ") || !strings.Contains(stderr, "in use; choose another address") {
		t.Errorf("an address in use: %s", stderr)
	}
	parts := max(2, *tortureRequests/5000)
	var memory []int // after each part, KiB
	for part := range parts {
		version := 1 + (part+4)/5
		exchanged := part%5 == 1
		if exchanged { // as an operator copies it: TensorFlow Serving passes over names that are no numbers, too
			if err := os.CopyFS(b.path("models", "copying"), os.DirFS(b.path("savedmodel"))); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(b.path("models", "copying"), b.path("models", strconv.Itoa(version))); err != nil {
				t.Fatal(err)
			}
		}
		service.crowd(*tortureRequests/parts, files, want)
		for exchanged && !service.uses(version) {
			time.Sleep(10 * time.Millisecond)
		}
		memory = append(memory, service.memory())
		t.Logf("%d requests: %d KiB", (part+1)*(*tortureRequests/parts), memory[part])
	}
	if half := parts / 2; parts >= 8 && float64(slices.Max(memory[half:])) > 1.05*float64(slices.Max(memory[:half])) {
		t.Errorf("the memory grew: %d KiB", memory)
	}
	if got := service.end(); strings.Count(got, "version 2 is in use, in the place of version 1") != 1 || strings.Contains(got, "skipped") {
		t.Errorf("stderr: %s", got)
	}
}

// A model of vote counts on FITS cubes: REST, gRPC and the page answer with the fractions and the concentrations that predict has for
// the same files.
func TestServeCounts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: TestServe has fractions, and package serve the rest")
	}
	b := &workbench{t: t, dir: t.TempDir(), small: true}
	b.galaxy(exitOK, "synth", "--count", "12", "--schema", "desi", "--volunteers", "5-9", "--format", "fits", "--bands", "2", "--out", "data")
	const photos = "data/images_training_rev1"
	b.galaxy(exitOK, "prepare", "--schema", "data/schema.toml", "--labels", "data/training_solutions_rev1.csv", "--images", photos, "--bands", "plane0,plane1", "--split", "60/40/0", "--out", "cache", "--size", "32")
	b.galaxy(exitOK, "train", "--data", "cache", "--out", "run", "--steps", "1", "--batch", "4", "--precision", "float32")
	b.galaxy(exitOK, "predict", "--model", "run", "--images", photos, "--out", "want.csv", "--precision", "float32")
	files, want := b.table(photos, ".fits", "want.csv")

	service := b.serve("--model", "run", "--precision", "float32")
	for name, predict := range map[string]func([][]byte) ([][]float64, error){"REST": service.overREST, "gRPC": service.overGRPC} {
		got, err := predict(files)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		service.check(got, want)
	}
	r, err := service.http.Get("http://" + service.REST + "/v1/models/galaxy/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Metadata struct{ Columns map[string][]string }
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(b.read("want.csv"), "\n")
	columns := answer.Metadata.Columns
	if got := strings.Join(append(append([]string{"GalaxyID"}, columns["probabilities"]...), columns["concentrations"]...), ","); got != header {
		t.Errorf("the columns are %s, expected %s", got, header)
	}
	text := service.overPage(files[0])
	verdict := regexp.MustCompile(`class="verdict">[^<]*: ([0-9.]+)`).FindStringSubmatch(text)
	if verdict == nil {
		t.Fatalf("no verdict in %s", text)
	}
	first := slices.Max(want[0][:3]) // of the answers to the first question
	if got, err := strconv.ParseFloat(verdict[1], 64); err != nil || math.Abs(got-100*first) > 0.051 {
		t.Errorf("the page says %s %%, expected %v", verdict[1], 100*first)
	}
	if !strings.Contains(text, "FITS with plane0,plane1 in one file, each") || !strings.Contains(text, "base64 -w0 galaxy.fits") {
		t.Errorf("the page does not say what the model takes: %s", text)
	}
	service.end()
}

// table reads the table that predict has made of a folder's images: the files and their predictions, in its order.
func (b *workbench) table(photos, extension, name string) (files [][]byte, want [][]float64) {
	b.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(b.read(name))).ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range rows[1:] {
		files = append(files, []byte(b.read(photos, row[0]+extension)))
		var values []float64
		for _, text := range row[1:] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			values = append(values, v)
		}
		want = append(want, values)
	}
	return files, want
}

// service is a galaxy serve that runs.
type service struct {
	served
	b       *workbench
	command *exec.Cmd
	stdout  io.Reader
	stderr  *bytes.Buffer
	http    *http.Client
	rpc     tfserving.PredictionServiceClient
}

// serve starts galaxy serve on free ports, and waits until it answers.
func (b *workbench) serve(args ...string) *service {
	b.t.Helper()
	s := &service{b: b, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}} // or a long test uses all ports up
	s.command, _, s.stderr = b.command(append([]string{"serve", "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--json"}, args...)...)
	s.command.Stdout = nil
	stdout, err := s.command.StdoutPipe()
	if err == nil {
		err = s.command.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	s.stdout = bufio.NewReader(stdout)
	if err := json.NewDecoder(s.stdout).Decode(&s.served); err != nil {
		b.t.Fatalf("%v: %s", err, s.stderr)
	}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		conn.Close()
		s.http.CloseIdleConnections()
	})
	s.rpc = tfserving.NewPredictionServiceClient(conn)
	return s
}

// end ends the service by a signal, and returns what it wrote to stderr.
func (s *service) end() string {
	s.b.t.Helper()
	s.b.signal(s.command, syscall.SIGTERM)
	if _, err := io.ReadAll(s.stdout); err != nil {
		s.b.t.Error(err)
	}
	if err := s.command.Wait(); err != nil {
		s.b.t.Errorf("%v: %s", err, s.stderr)
	}
	return s.stderr.String()
}

// uses reports whether a version is in use.
func (s *service) uses(version int) bool {
	s.b.t.Helper()
	r, err := s.http.Get(fmt.Sprintf("http://%s/v1/models/galaxy/versions/%d/metadata", s.REST, version))
	if err != nil {
		s.b.t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// memory returns the memory of the process, KiB.
func (s *service) memory() int {
	s.b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		s.b.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		s.b.t.Fatal(err)
	}
	return kib
}

// crowd sends requests of one to three of the files from 8 clients, half of them by REST and half by gRPC, and checks that
// the answers are the numbers of a table.
func (s *service) crowd(requests int, files [][]byte, want [][]float64) {
	var next atomic.Int64
	var group sync.WaitGroup
	for client := range 8 {
		predict := s.overREST
		if client%2 == 1 {
			predict = s.overGRPC
		}
		group.Go(func() {
			for i := int(next.Add(1)); i <= requests && !s.b.t.Failed(); i = int(next.Add(1)) {
				var some [][]byte
				var expected [][]float64
				for k := range 1 + i%3 {
					some, expected = append(some, files[(i+k)%len(files)]), append(expected, want[(i+k)%len(files)])
				}
				got, err := predict(some)
				if err != nil {
					s.b.t.Error(err)
					return
				}
				s.check(got, expected)
			}
		})
	}
	group.Wait()
}

// check compares predictions with the numbers of a table, from which they differ by its rounding, and, relative to their size, by that
// of another size of batch.
func (s *service) check(got, want [][]float64) {
	s.b.t.Helper()
	if len(got) != len(want) {
		s.b.t.Errorf("%d predictions, expected %d", len(got), len(want))
		return
	}
	for i, row := range want {
		for j, w := range row {
			if len(got[i]) != len(row) || !(math.Abs(got[i][j]-w) <= 0.6e-5*max(1, w)) {
				s.b.t.Errorf("image %d, column %d: got %v, expected %v", i, j, got[i], row)
				return
			}
		}
	}
}

// overPage returns the page after a file.
func (s *service) overPage(file []byte) string {
	s.b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("images", "galaxy")
	if err == nil {
		_, err = part.Write(file)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		s.b.t.Fatal(err)
	}
	r, err := s.http.Post("http://"+s.REST+"/", form.FormDataContentType(), &body)
	if err != nil {
		s.b.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.b.t.Fatal(err)
	}
	return string(text)
}

// overREST returns the predictions for files as a table has them, by REST.
func (s *service) overREST(files [][]byte) (rows [][]float64, err error) {
	var items []string
	for _, file := range files {
		items = append(items, `{"b64":"`+base64.StdEncoding.EncodeToString(file)+`"}`)
	}
	r, err := s.http.Post("http://"+s.REST+"/v1/models/galaxy:predict", "application/json", strings.NewReader(`{"signature_name":"serving_jpeg","instances":[`+strings.Join(items, ",")+`]}`))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	var answer struct {
		Predictions []struct{ Probabilities, Concentrations []float64 }
		Error       string
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Error != "" {
		return nil, fmt.Errorf("%s %w", answer.Error, err)
	}
	for _, p := range answer.Predictions {
		rows = append(rows, append(p.Probabilities, p.Concentrations...))
	}
	return rows, nil
}

// overGRPC is overREST by gRPC.
func (s *service) overGRPC(files [][]byte) (rows [][]float64, err error) {
	r, err := s.rpc.Predict(context.Background(), &tfserving.PredictRequest{
		ModelSpec: &tfserving.ModelSpec{Name: "galaxy", SignatureName: "serving_jpeg"},
		Inputs: map[string]*tensorpb.TensorProto{"jpegs": {
			Dtype: typespb.DataType_DT_STRING, StringVal: files,
			TensorShape: &shapepb.TensorShapeProto{Dim: []*shapepb.TensorShapeProto_Dim{{Size: int64(len(files))}}},
		}},
	})
	if err != nil {
		return nil, err
	}
	rows = make([][]float64, len(files))
	for _, name := range []string{"probabilities", "concentrations"} {
		x := r.Outputs[name]
		if x == nil {
			continue
		}
		width := int(x.TensorShape.Dim[1].Size)
		for i := range rows {
			for j := range width {
				bits := binary.LittleEndian.Uint32(x.TensorContent[4*(i*width+j):])
				rows[i] = append(rows[i], float64(math.Float32frombits(bits)))
			}
		}
	}
	return rows, nil
}

// What cannot be served is an error before anything is loaded.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	b := &workbench{t: t, dir: t.TempDir(), small: true}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		code    int
		message string
		args    []string
	}{
		{exitUsage, "needed: --model", nil},
		{exitUsage, "--listen here: address here: missing port in address; expected HOST:PORT", []string{"--model", "m", "--listen", "here"}},
		{exitUsage, "--max-batch 0: expected 1 to 4096 images", []string{"--model", "m", "--max-batch", "0"}},
		{exitUsage, `--name a/b: expected 1 to 100 letters`, []string{"--model", "m", "--name", "a/b"}},
		{exitUsage, "--max-queue 3: expected at least as many images as one request may have, --max-items", []string{"--model", "m", "--max-queue", "3"}},
		{exitUsage, `pixels "x"`, []string{"--model", "m", "--pixels", "x"}},
		{exitFailed, fmt.Sprintf("--grpc: listen tcp %s: bind: address already in use; choose another address", taken.Addr()), []string{"--model", "m", "--listen", "127.0.0.1:0", "--grpc", taken.Addr().String()}},
		{exitFailed, "m is neither a run folder", []string{"--model", "m", "--listen", "127.0.0.1:0"}},
	} {
		if _, stderr := b.galaxy(test.code, append([]string{"serve"}, test.args...)...); !strings.Contains(stderr, test.message) {
			t.Errorf("%v: %s, expected %q", test.args, stderr, test.message)
		}
	}
}
