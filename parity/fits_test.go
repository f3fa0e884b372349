//go:build parity

package parity

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"galaxy/data/fits"
)

// fitsQuestion and fitsAnswer are what fits.py reads and prints.
type fitsQuestion struct {
	Make   string   `json:"make"`   // a folder for files of all kinds, which are read in place of Files
	Files  []string `json:"files"`  // to read
	Values string   `json:"values"` // where the pixels go: float64, little-endian
	Time   [][3]any `json:"time"`   // BITPIX, size, path: images to write, and to read for a while
}

type fitsAnswer struct {
	Files []struct {
		Path string
		HDUs []fitsHDU
	}
	Speed []struct {
		Path    string
		Seconds float64
	}
}

type fitsHDU struct {
	Name       string
	Compressed string
	Axes       []int
	At         int64 // of the pixels, in the file of values
	Columns    []fitsColumn
}

// fitsColumn is [name, cells]; a cell is a whole number, a float in hexadecimal, a text, True, False or null.
type fitsColumn struct {
	name  string
	cells []string
}

func (c *fitsColumn) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.name, &c.cells})
}

const fitsLimit = 1 << 30

// TestFITS compares files of all kinds, written by astropy, with what astropy reads from them:
// pixels bit for bit, cells of tables one by one.
func TestFITS(t *testing.T) {
	images, refused := compareFITS(t, fitsQuestion{Make: t.TempDir()})
	t.Logf("%d images bit for bit, refused: %q", images, refused)
	if images < 3*125 {
		t.Errorf("%d images compared, expected %d or more", images, 3*125)
	}
	for _, text := range refused { // LINE, FOUR and HCOMPRESS_1
		if !strings.Contains(text, "2 or 3 axes") && !strings.Contains(text, "HCOMPRESS_1") {
			t.Errorf("refused: %s", text)
		}
	}
}

// TestFITSOfCatalogues compares real files, which are not part of the repository.
func TestFITSOfCatalogues(t *testing.T) {
	root := os.Getenv("GALAXY_CATALOGUES")
	if root == "" {
		t.Skip("GALAXY_CATALOGUES is not set: it is a folder with fits-mixed, jwst-ceers-bands and hst-fits-labelled, FITS files of surveys")
	}
	var files []string
	for _, folder := range []string{"fits-mixed", "jwst-ceers-bands", "hst-fits-labelled"} {
		must(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, _ os.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), ".fits") {
				files = append(files, path)
			}
			return err
		}))
	}
	images, refused := compareFITS(t, fitsQuestion{Files: files})
	t.Logf("%d files, %d images bit for bit, refused: %q", len(files), images, refused)
	for _, text := range refused {
		if !strings.Contains(text, "HCOMPRESS_1") {
			t.Errorf("refused: %s", text)
		}
	}
}

// compareFITS returns how many images were the same, and the errors of the others.
func compareFITS(t *testing.T, question fitsQuestion) (images int, refused []string) {
	t.Helper()
	question.Values = filepath.Join(t.TempDir(), "values")
	var answer fitsAnswer
	ask(t, "fits.py", question, &answer)
	values, err := os.Open(question.Values)
	must(t, err)
	defer values.Close()
	for _, want := range answer.Files {
		content, err := os.ReadFile(want.Path)
		must(t, err)
		file, err := fits.Open(bytes.NewReader(content), int64(len(content)), fitsLimit)
		if err != nil || len(file.HDUs) != len(want.HDUs) {
			t.Errorf("%s: %v, expected %d HDUs", want.Path, err, len(want.HDUs))
			continue
		}
		for i, hdu := range file.HDUs {
			switch w := want.HDUs[i]; {
			case w.Axes != nil:
				pixels, err := allPlanes(hdu)
				if err != nil {
					refused = append(refused, filepath.Base(want.Path)+": "+err.Error())
					continue
				}
				expected := make([]byte, 8*len(pixels))
				_, err = values.ReadAt(expected, w.At)
				must(t, err)
				if !slices.Equal(hdu.Axes, w.Axes) || !samePixels(t, pixels, expected) {
					t.Errorf("%s, %s (%s): axes %v, expected %v with the same pixels", want.Path, hdu, w.Compressed, hdu.Axes, w.Axes)
				}
				images++
			case w.Columns != nil:
				compareTable(t, hdu, w.Columns)
			}
		}
	}
	return images, refused
}

func allPlanes(hdu *fits.HDU) ([]float64, error) {
	_, _, planes, err := hdu.Shape()
	if err != nil {
		return nil, err
	}
	var pixels []float64
	for plane := range planes {
		one, err := hdu.ReadPlane(nil, plane)
		if err != nil {
			return nil, err
		}
		pixels = append(pixels, one...)
	}
	return pixels, nil
}

func samePixels(t *testing.T, pixels []float64, expected []byte) bool {
	t.Helper()
	for i, x := range pixels {
		bits := binary.LittleEndian.Uint64(expected[8*i:])
		if want := math.Float64frombits(bits); math.Float64bits(x) != bits && !(math.IsNaN(x) && math.IsNaN(want)) {
			t.Logf("pixel %d: %x, expected %x", i, x, want)
			return false
		}
	}
	return true
}

func compareTable(t *testing.T, hdu *fits.HDU, want []fitsColumn) {
	t.Helper()
	table, err := hdu.Table()
	must(t, err)
	if len(table.Columns) != len(want) {
		t.Errorf("%s: %d columns, expected %d; skipped %q", hdu, len(table.Columns), len(want), table.Skipped)
		return
	}
	for j, column := range want {
		if table.Columns[j].Name != column.name || table.Rows != len(column.cells) {
			t.Errorf("%s: column %s, %d rows; expected %s, %d", hdu, table.Columns[j].Name, table.Rows, column.name, len(column.cells))
			return
		}
		for i, cell := range column.cells {
			got, err := table.Text(i, j)
			must(t, err)
			same := got == cell || got == strings.ToLower(cell) || cell == "null" && got == ""
			if strings.Contains(cell, "0x") {
				number, err := table.Float(i, j)
				must(t, err)
				x, err := strconv.ParseFloat(cell, 64)
				must(t, err)
				same = number == x
			}
			if !same {
				t.Errorf("%s: column %s, row %d: %q, expected %q", hdu, column.name, i, got, cell)
			}
		}
	}
}

// TestFITSSpeed logs how fast images are read, compared with astropy on the same core. It
// fails for no time.
func TestFITSSpeed(t *testing.T) {
	folder := t.TempDir()
	question := fitsQuestion{Values: filepath.Join(folder, "values")}
	for _, c := range [][2]int{{-32, 64}, {16, 2048}} {
		question.Time = append(question.Time, [3]any{c[0], c[1], filepath.Join(folder, strconv.Itoa(c[1])+"px.fits")})
	}
	var answer fitsAnswer
	ask(t, "fits.py", question, &answer)
	for _, speed := range answer.Speed {
		content, err := os.ReadFile(speed.Path)
		must(t, err)
		best := math.Inf(1)
		for range 7 {
			rounds := max(1, 1<<22/len(content))
			start := time.Now()
			for range rounds {
				file, err := fits.Open(bytes.NewReader(content), int64(len(content)), fitsLimit)
				must(t, err)
				_, err = file.HDUs[0].ReadPlane(nil, 0)
				must(t, err)
			}
			best = min(best, time.Since(start).Seconds()/float64(rounds))
		}
		t.Logf("%s: %.1f µs, astropy %.1f µs: %.1f times as fast", filepath.Base(speed.Path), 1e6*best, 1e6*speed.Seconds, speed.Seconds/best)
	}
}
