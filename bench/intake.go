package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	intakeDamaged = 40 // images of the zip that prepare has to skip
	intakeKills   = 2
	intakeSize    = 64
	intakeWorkers = 2
	recordBytes   = 176 // of examples.bin, see docs/cache-format.md
	// Images that prepare may have decoded and not stored when it is killed:
	// blocks of 16. 2 per worker and 2 more are in progress, and one may be half
	// written.
	inFlight = 16 * (2*intakeWorkers + 3)
)

// intakeFigures hold the measurements of prepare on a zip with damaged files, uninterrupted
// and killed, and on the folder of the same images.
type intakeFigures struct {
	Galaxies int     `json:"galaxies"`
	Broken   int     `json:"broken"`
	PeakMiB  float64 `json:"peak_rss_anon_mib"`
	Same     bool    `json:"killed_cache_is_the_same"`
	// Images stored at the kills but not reused, and the most that can have been
	// decoded and not stored, as fractions of all images.
	Redone   float64 `json:"redone"`
	InFlight float64 `json:"in_flight"`
	Zip      spread  `json:"zip_images_per_second"`
	Folder   spread  `json:"folder_images_per_second"`
	Ratio    spread  `json:"zip_over_folder"`
}

func (f intakeFigures) print() {
	same := "the same bytes"
	if !f.Same {
		same = "OTHER BYTES"
	}
	fmt.Printf("| intake, %d galaxies, %d px | |\n|---|---|\n| broken images found | %d of %d |\n| peak RssAnon, MiB | %.0f |\n"+
		"| cache after %d kills | %s |\n| done twice | %.2f %% stored, at most %.2f %% in flight |\n| zip, img/s | %v |\n| folder, img/s | %v |\n| zip over folder | %v |\n\n",
		f.Galaxies, intakeSize, f.Broken, intakeDamaged, f.PeakMiB, intakeKills, same, 100*f.Redone, 100*f.InFlight, f.Zip, f.Folder, f.Ratio)
}

func (s settings) intake(ctx context.Context, to *figures) error {
	f, err := s.intakeFigures(ctx)
	if err == nil {
		f.print()
		to.Intake = &f
	}
	return err
}

func (s settings) intakeFigures(ctx context.Context) (intakeFigures, error) {
	f := intakeFigures{Galaxies: s.galaxies}
	if _, err := s.synth(ctx); err != nil {
		return f, err
	}
	packed := filepath.Join(s.work, "images_training_rev1.zip")
	if err := pack(packed, images(s.data())); err != nil {
		return f, err
	}
	whole, killed, other := filepath.Join(s.work, "whole"), filepath.Join(s.work, "killed"), filepath.Join(s.work, "other")
	var zips, folders, ratios []float64
	for range s.rounds {
		if err := errors.Join(os.RemoveAll(whole), os.RemoveAll(other)); err != nil {
			return f, err
		}
		result, err := s.prepareWatched(ctx, packed, whole, func(rss float64, _ int) bool {
			f.PeakMiB = max(f.PeakMiB, rss)
			return false
		})
		if err != nil {
			return f, err
		}
		f.Broken = len(result.Broken)
		folder, err := s.prepareWatched(ctx, images(s.data()), other, nil)
		if err != nil {
			return f, err
		}
		zips, folders = append(zips, result.ImagesPerSecond), append(folders, folder.ImagesPerSecond)
		ratios = append(ratios, result.ImagesPerSecond/folder.ImagesPerSecond)
	}
	f.Zip, f.Folder, f.Ratio = spreadOf(zips), spreadOf(folders), spreadOf(ratios)

	if err := os.RemoveAll(killed); err != nil {
		return f, err
	}
	stored := 0
	for kill := range intakeKills + 1 {
		result, err := s.prepareWatched(ctx, packed, killed, func(_ float64, records int) bool {
			return kill < intakeKills && records > (kill+1)*s.galaxies/(intakeKills+1)
		})
		if kill < intakeKills != errors.Is(err, errKilled) {
			return f, fmt.Errorf("kill %d: %w", kill, err)
		}
		if kill > 0 {
			f.Redone += float64(max(0, stored-result.wentOn)) / float64(s.galaxies)
		}
		if kill < intakeKills {
			stored = recordsOf(killed)
			f.InFlight += inFlight / float64(s.galaxies)
		}
	}
	var err error
	f.Same, err = sameFolders(whole, killed)
	return f, err
}

var errKilled = errors.New("killed")

// prepared is the output of a watched prepare.
type prepared struct {
	ImagesPerSecond float64           `json:"images_per_second"`
	Broken          []json.RawMessage `json:"broken"`
	wentOn          int               // images reused from an earlier call
}

// prepareWatched runs prepare and calls watch with its anonymous memory, MiB,
// and the number of records written. If watch returns true, prepare is killed.
func (s settings) prepareWatched(ctx context.Context, from, out string, watch func(rss float64, records int) bool) (result prepared, err error) {
	stdout, stderr, err := watched(ctx, func(rss float64) bool { return watch != nil && watch(rss, recordsOf(out)) },
		s.galaxy, "prepare", "--json", "--labels", labelsFile(s.data()),
		"--images", from, "--out", out, "--size", strconv.Itoa(intakeSize), "--workers", strconv.Itoa(intakeWorkers), "--max-broken", strconv.Itoa(intakeDamaged))
	result.wentOn = wentOn(stderr, out)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(stdout, &result)
}

// wentOn returns the number of images that prepare or predict reused from an earlier
// call, from its message on stderr.
func wentOn(stderr []byte, out string) (n int) {
	if _, rest, found := strings.Cut(string(stderr), "going on with "+out+".partial: "); found {
		_, _ = fmt.Sscanf(rest, "%d of", &n) // otherwise none
	}
	return n
}

// watched runs a program and calls watch with its anonymous memory, MiB. If
// watch returns true, the program is killed and the error is errKilled.
func watched(ctx context.Context, watch func(rss float64) bool, name string, args ...string) (stdout, stderr []byte, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = waitDelay
	fmt.Fprintln(os.Stderr, "+", cmd)
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	killed := false
	for {
		select {
		case err = <-ended:
			switch {
			case killed:
				err = errKilled
			case err != nil:
				err = fmt.Errorf("%s: %w\n%s", cmd, err, log.Bytes())
			}
			return out.Bytes(), log.Bytes(), err
		case <-tick.C:
		}
		rss, err := anonymousMiB(cmd.Process.Pid)
		if err != nil || killed {
			continue
		}
		if watch(rss) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				return nil, nil, err
			}
		}
	}
}

// recordsOf counts the records of an unfinished cache.
func recordsOf(out string) int {
	info, err := os.Stat(filepath.Join(out+".partial", filepath.Base(out), "examples.bin"))
	if err != nil {
		return 0
	}
	return int(info.Size() / recordBytes)
}

// pack makes a zip of a folder of images, some of them damaged in one of five ways,
// unless it exists.
func pack(name, folder string) (err error) {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	file, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	z := zip.NewWriter(file)
	every := max(1, len(entries)/intakeDamaged)
	for i, e := range entries {
		body, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		if k := i / every; i%every == every/2 && k < intakeDamaged {
			switch k % 5 {
			case 0:
				body = body[:len(body)*9/10]
			case 1:
				body = nil
			case 2:
				body = []byte("<html>Too many requests</html>")
			case 3:
				body = body[:len(body)-2]
			case 4:
				body = append([]byte("\x89PNG\r\n\x1a\n"), body...)
			}
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: "images_training_rev1/" + e.Name(), Method: zip.Deflate})
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// sameFolders reports whether two flat folders hold the same files.
func sameFolders(a, b string) (bool, error) {
	inA, errA := os.ReadDir(a)
	inB, errB := os.ReadDir(b)
	if err := errors.Join(errA, errB); err != nil || len(inA) != len(inB) {
		return false, err
	}
	for i, e := range inA {
		x, errX := os.ReadFile(filepath.Join(a, e.Name()))
		y, errY := os.ReadFile(filepath.Join(b, inB[i].Name()))
		if err := errors.Join(errX, errY); err != nil {
			return false, err
		}
		if e.Name() != inB[i].Name() || !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}
