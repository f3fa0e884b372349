package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"galaxy/labels"
)

const (
	submissionSize  = 64
	submissionKills = 2
	// Batches that may have been decoded, one of them predicted, and not stored
	// when predict is killed.
	submissionAhead = 4
)

// submissionFigures hold the measurements of a submission with as many rows as the challenge
// requires, uninterrupted and killed.
type submissionFigures struct {
	Rows     int     `json:"rows"`
	Seconds  float64 `json:"seconds"` // of the whole process, uninterrupted
	Rate     float64 `json:"images_per_second"`
	Same     bool    `json:"killed_file_is_the_same"`
	Checked  string  `json:"checked"`
	FirstMiB float64 `json:"first_rss_anon_mib"` // median over the second tenth of the rows
	LastMiB  float64 `json:"last_rss_anon_mib"`  // and over the last
	// Rows stored at the kills but not reused, and the most that can have been
	// predicted, and decoded, and not stored, as fractions of all rows.
	Redone    float64 `json:"redone"`
	Predicted float64 `json:"predicted_in_flight"`
	Decoded   float64 `json:"decoded_in_flight"`
}

func (f submissionFigures) print() {
	same := "the same bytes"
	if !f.Same {
		same = "OTHER BYTES"
	}
	fmt.Printf("| submission, %d rows, %d px | |\n|---|---|\n| in one go | %.1f s, %.0f img/s |\n| RssAnon over the second and the last tenth, MiB | %.0f, %.0f |\n"+
		"| file after %d kills | %s |\n| done twice | %.2f %% stored; in flight at most %.2f %% predicted, %.2f %% decoded |\n| checker | %s |\n\n",
		f.Rows, submissionSize, f.Seconds, f.Rate, f.FirstMiB, f.LastMiB, submissionKills, same, 100*f.Redone, 100*f.Predicted, 100*f.Decoded, f.Checked)
}

// submit makes a submission from a zip of test images.
func (s settings) submit(ctx context.Context, to *figures) error {
	f, err := s.submissionFigures(ctx)
	if err == nil {
		f.print()
		to.Submission = &f
	}
	return err
}

func (s settings) submissionFigures(ctx context.Context) (submissionFigures, error) {
	f := submissionFigures{Rows: s.submission}
	run, err := s.shortRun(ctx, submissionSize)
	if err != nil {
		return f, err
	}
	packed, sample, err := s.testImages()
	if err != nil {
		return f, err
	}
	whole, killed := filepath.Join(s.work, "whole.csv"), filepath.Join(s.work, "killed.csv")
	for _, old := range []string{whole, killed, killed + ".partial"} {
		if err := os.RemoveAll(old); err != nil {
			return f, err
		}
	}
	var result struct {
		Rate float64 `json:"images_per_second"`
	}
	predict := func(out string, watch func(rss float64, rows int) bool) (takenOver int, err error) {
		stdout, stderr, err := watched(ctx, func(rss float64) bool { return watch(rss, rowsOf(out)) },
			s.galaxy, "predict", "--json", "--model", run, "--images", packed, "--sample", sample, "--out", out, "--batch", strconv.Itoa(predictBatch))
		if err == nil {
			err = json.Unmarshal(stdout, &result)
		}
		return wentOn(stderr, out), err
	}
	var early, late []float64
	begin := time.Now()
	_, err = predict(whole, func(rss float64, rows int) bool {
		switch rows * 10 / s.submission {
		case 1:
			early = append(early, rss)
		case 9:
			late = append(late, rss)
		}
		return false
	})
	if err != nil {
		return f, err
	}
	f.Seconds, f.Rate = time.Since(begin).Seconds(), result.Rate
	if len(early) > 0 && len(late) > 0 {
		f.FirstMiB, f.LastMiB = median(early), median(late)
	}
	checked, err := output(ctx, "go", "run", "./scripts/submissioncheck", whole, sample)
	if err != nil {
		return f, err
	}
	f.Checked = strings.TrimSpace(string(checked))

	stored := 0
	for kill := range submissionKills + 1 {
		takenOver, err := predict(killed, func(_ float64, rows int) bool {
			return kill < submissionKills && rows > (kill+1)*s.submission/(submissionKills+1)
		})
		if kill < submissionKills != errors.Is(err, errKilled) {
			return f, fmt.Errorf("kill %d: %w", kill, err)
		}
		if kill > 0 {
			f.Redone += float64(max(0, stored-takenOver)) / float64(s.submission)
		}
		if kill < submissionKills {
			stored = rowsOf(killed)
			f.Predicted += predictBatch / float64(s.submission)
			f.Decoded += submissionAhead * predictBatch / float64(s.submission)
		}
	}
	a, errA := os.ReadFile(whole)
	b, errB := os.ReadFile(killed)
	f.Same = string(a) == string(b)
	return f, errors.Join(errA, errB)
}

// rowsOf counts the rows of an unfinished table: see docs/predict.md.
func rowsOf(out string) int {
	info, err := os.Stat(filepath.Join(out+".partial", "rows.bin"))
	if err != nil {
		return 0
	}
	row, sum := int64(1+4*labels.GalaxyZoo().Width()), int64(8)
	block := predictBatch*row + sum
	return int(info.Size()/block)*predictBatch + int(max(0, info.Size()%block-sum)/row)
}

// testImages makes, unless they exist, a zip of as many images as a submission has
// rows, which repeats the synthetic ones under new ids, and a sample submission in
// another order.
func (s settings) testImages() (packed, sample string, err error) {
	packed = filepath.Join(s.work, fmt.Sprintf("images_test_rev1-%d.zip", s.submission))
	sample = filepath.Join(s.work, fmt.Sprintf("all_zeros_benchmark-%d.csv", s.submission))
	if _, err := os.Stat(packed); err == nil {
		return packed, sample, nil
	}
	table, err := os.ReadFile(labelsFile(s.data()))
	if err != nil {
		return "", "", err
	}
	header, _, _ := strings.Cut(string(table), "\n")
	var text strings.Builder
	text.WriteString(header + "\n")
	id := func(i int) int { return 100018 + 11*i }
	const stride = 7919 // a prime
	if s.submission%stride == 0 {
		return "", "", fmt.Errorf("-submission-rows %d: expected no multiple of %d", s.submission, stride)
	}
	for i := range s.submission {
		fmt.Fprintf(&text, "%d%s\n", id(i*stride%s.submission), strings.Repeat(",0", strings.Count(header, ",")))
	}
	if err := os.WriteFile(sample, []byte(text.String()), 0o644); err != nil {
		return "", "", err
	}
	folder := images(s.data())
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", "", err
	}
	file, err := os.Create(packed + ".tmp")
	if err != nil {
		return "", "", err
	}
	z := zip.NewWriter(file)
	for i := range s.submission {
		body, err := os.ReadFile(filepath.Join(folder, entries[i%len(entries)].Name()))
		if err != nil {
			return "", "", err
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("images_test_rev1/%d.jpg", id(i)), Method: zip.Store})
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil {
			return "", "", err
		}
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		return "", "", err
	}
	return packed, sample, os.Rename(packed+".tmp", packed)
}
