package data

import (
	"archive/zip"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/data/imagefile"
)

func TestNamer(t *testing.T) {
	grz := imagefile.Bands{"g", "r", "z"}
	for _, c := range []struct {
		bands   imagefile.Bands
		pattern string
		file    string
		id      string
		band    string
	}{
		{nil, "", "a/J0004+02.5.fits", "J0004+02.5", ""},
		{nil, "", "1.fits.gz", "1", ""},
		{nil, "", "1.FITS.BZ2", "1", ""},
		{nil, "", "1.fits.fz", "1", ""},
		{nil, "", "1.tar.gz", "1.tar", ""},
		{grz, "", "1_g.fits", "1", "g"},
		{grz, "", "1.r.fits.gz", "1", "r"},
		{grz, "", "z-1.png", "1", "z"},
		{grz, "", "survey_g_1.fits", "survey_1", "g"},
		{grz, "", "g/1.fits", "1", "g"},
		{grz, "", "r/deep/1.fits", "1", "r"},
		{grz, "", "1/z.fits", "1", "z"},
		{grz, "", "field/g/1_g.fits", "1", "g"},
		{grz, "", "1_r_g.fits", "1_r", "g"},
		{grz, "", "G_1.fits", "G_1", ""},
		{grz, "", "egg.fits", "egg", ""},
		{imagefile.RGB, "", "red/1.fits", "1", ""},
		{imagefile.Bands{"hdu1", "g"}, "", "1_g.fits", "1_g", ""},
		{grz, "survey_{id}_{band}_v*", "x/survey_1_g_v2.fits", "1", "g"},
		{grz, "survey_{id}_{band}.fits", "survey_a_b_r.fits.gz", "a_b", "r"},
		{grz, "{band}/x_{band}_{id}.fits", "in/r/x_r_7.fits", "7", "r"},
		{grz, "{band}/x_{band}_{id}.fits", "r/x_g_7.fits", "", ""},
		{grz, "{id}/{id}-{band}", "a/7/7-z.fits", "7", "z"},
		{grz, "{id}/{id}-{band}", "a/7/8-z.fits", "", ""},
		{grz, "x_{id}", "x_7_g.fits", "7_g", ""},
		{grz, "x_{id}", "ax_7.fits", "", ""},
		{nil, "stamp.{id}.(1)", "stamp.7.(1).png", "7", ""},
	} {
		n, err := newNamer(Layout{Bands: c.bands, Pattern: c.pattern})
		if err != nil {
			t.Fatal(c, err)
		}
		id, band, ok := n.name(c.file)
		name := ""
		if band >= 0 {
			name = n.bands[band]
		}
		if ok != (c.id != "") || ok && (id != c.id || name != c.band) {
			t.Errorf("%s by %q and %v: %q of band %q, %v; want %q of %q", c.file, c.pattern, c.bands, id, name, ok, c.id, c.band)
		}
	}
	for pattern, want := range map[string]string{"x": "has no {id}", "{id}_{band}": "has a band; name the bands with bands"} {
		_, err := newNamer(Layout{Pattern: pattern})
		wantError(t, err, want)
	}
}

// Whatever is put around an id, the pattern with the same around it finds it.
func TestNamerFindsID(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z0-9.+()\[\]$^_-]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		before, between, after := word.Draw(t, "before"), word.Draw(t, "between"), word.Draw(t, "after")
		id := rapid.StringMatching(`[0-9]{1,9}`).Draw(t, "id")
		n, err := newNamer(Layout{Bands: imagefile.Bands{"f115w", "f200w"}, Pattern: before + "{band}" + between + "x{id}y" + after + ".fits"})
		if err != nil {
			t.Fatal(err)
		}
		file := before + "f200w" + between + "x" + id + "y" + after + ".fits"
		if got, band, ok := n.name(file); !ok || got != id || band != 1 {
			t.Errorf("%s: %s, band %d, %v", file, got, band, ok)
		}
	})
}

// One file per band, in folders, in a zip and side by side: the files of each galaxy in the order of the
// bands, and the same checksum.
func TestOpenImagesOfBands(t *testing.T) {
	bands := imagefile.Bands{"g", "r"}
	layouts := map[string]string{"folders": "%[2]s/%[1]s.fits", "side by side": "%[1]s_%[2]s.fits", "a folder a galaxy": "%[1]s/%[2]s.fits"}
	sums := map[uint64]bool{}
	for name, format := range layouts {
		dir := t.TempDir()
		var members []member
		for _, id := range []string{"10", "9", "a"} {
			for _, band := range []string{"r", "g"} {
				file := fmt.Sprintf(format, id, band)
				body := []byte(id + band)
				if band == "r" {
					body = append(body, "longer"...)
				}
				writeFile(t, filepath.Join(dir, file), body)
				members = append(members, member{file, body})
			}
		}
		writeFile(t, filepath.Join(dir, "1_segmap.fits"), nil)
		members = append(members, member{"1_segmap.fits", nil})
		archive := filepath.Join(t.TempDir(), "all.zip")
		writeFile(t, archive, zipBytes(t, zip.Deflate, members...))
		for _, path := range []string{dir, archive} {
			m, err := OpenImagesAs(path, "", Layout{Bands: bands})
			if err != nil {
				t.Fatal(name, err)
			}
			if got := fmt.Sprint(m.IDs()); got != "[9 10 a]" || m.Len() != 3 || m.PassedOver().String() != "1 file: an image of no band (1_segmap.fits)" {
				t.Errorf("%s, %s: %s, %v", name, path, got, m.PassedOver())
			}
			var buf []byte
			for range 2 {
				for i, id := range m.IDs() {
					var encoded [][]byte
					encoded, buf, err = m.readBands(i, buf)
					if err != nil || len(encoded) != 2 || string(encoded[0]) != string(id)+"g" || string(encoded[1]) != string(id)+"rlonger" {
						t.Errorf("%s: %q, %v", name, encoded, err)
					}
					if found, ok := m.Find(string(id)); !ok || found != i || !strings.Contains(m.Name(i), "g") {
						t.Error(name, id, found, ok)
					}
				}
			}
			sum, err := m.Checksum()
			if err != nil {
				t.Fatal(err)
			}
			sums[sum] = true
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if len(sums) != 1 {
		t.Errorf("%d checksums of the same files", len(sums))
	}
}

func TestOpenImagesOfBandsErrors(t *testing.T) {
	for _, c := range []struct {
		files   string
		pattern string
		want    string
	}{
		{"1_g.fits g/1.fits 1_r.fits", "", "galaxy 1 has two images of band g (1_g.fits, g/1.fits); remove or rename one"},
		{"1_g.fits 2_g.fits", "a_{id}_{band}", "no images of these names in it, only 2 files: an image of another name (2, such as 1_g.fits)"},
	} {
		dir := t.TempDir()
		for f := range strings.FieldsSeq(c.files) {
			writeFile(t, filepath.Join(dir, f), nil)
		}
		_, err := OpenImagesAs(dir, "", Layout{Bands: imagefile.Bands{"g", "r"}, Pattern: c.pattern})
		wantError(t, err, c.want)
	}
}
