package main

import (
	"bufio"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The answers of the service are the numbers of galaxy predict, a new version is taken in, and
// SIGTERM ends the service as it should.
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

	c, _, stderr := b.command("serve", "--model", "models", "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--poll", "10ms", "--json")
	c.Stdout = nil
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var ready served
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&ready); err != nil || ready.Version != 1 || ready.GRPC == "" {
		t.Fatalf("%v, %+v: %s", err, ready, stderr)
	}
	url := "http://" + ready.REST + "/v1/models/galaxy"
	compareServed(t, url+":predict", b.path(photos), b.path("want.csv"))

	if _, stderr := b.galaxy(exitFailed, "serve", "--model", "models", "--listen", ready.REST); !strings.Contains(stderr, "--listen: ") || !strings.Contains(stderr, "in use; choose another address") {
		t.Errorf("an address in use: %s", stderr)
	}
	// As an operator copies it: TensorFlow Serving passes over names that are no numbers, too.
	if err := os.CopyFS(b.path("models", "copying"), os.DirFS(b.path("savedmodel"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.path("models", "copying"), b.path("models", "2")); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := http.Get(url + "/versions/2/metadata")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	compareServed(t, url+"/versions/2:predict", b.path(photos), b.path("want.csv"))

	b.signal(c, syscall.SIGTERM)
	if _, err := io.ReadAll(stdout); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
	if got := stderr.String(); strings.Count(got, "version 2 is in use, in the place of version 1") != 1 || strings.Contains(got, "skipped") {
		t.Errorf("stderr: %s", got)
	}
}

// compareServed sends the images of a table to a service. The answers differ from the table by its rounding, and
// by that of another size of batch.
func compareServed(t *testing.T, url, photos, table string) {
	t.Helper()
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var items []string
	for _, row := range rows[1:] {
		file, err := os.ReadFile(filepath.Join(photos, row[0]+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, `{"b64":"`+base64.StdEncoding.EncodeToString(file)+`"}`)
	}
	r, err := http.Post(url, "application/json", strings.NewReader(`{"signature_name":"serving_jpeg","instances":[`+strings.Join(items, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Predictions []struct{ Logits, Probabilities []float64 }
		Error       string
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || len(answer.Predictions) != len(items) {
		t.Fatalf("%v, %d predictions of %d: %s", err, len(answer.Predictions), len(items), answer.Error)
	}
	for i, row := range rows[1:] {
		for j, text := range row[1:] {
			want, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Predictions[i].Probabilities[j]; math.Abs(got-want) > 0.6e-5 {
				t.Errorf("galaxy %s, column %s: got %v, expected %v", row[0], rows[0][1+j], got, want)
			}
		}
	}
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
