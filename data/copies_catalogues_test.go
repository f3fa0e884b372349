package data

import (
	"bytes"
	"image"
	"image/jpeg"
	_ "image/png" // for image.Decode
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/draw"
)

// Real catalogues: no two galaxies count as copies, and nearly every image that is compressed again
// and turned is found. GALAXY_CATALOGUES names a folder with folders of images in it, each without
// copies.
func TestCopiesOfCatalogues(t *testing.T) {
	root := os.Getenv("GALAXY_CATALOGUES")
	if root == "" {
		t.Skip("GALAXY_CATALOGUES does not name a folder of catalogues")
	}
	for _, name := range []string{"efigi", "gz2-votes", "radio-fr4", "galaxy-zoo"} {
		t.Run(name, func(t *testing.T) {
			var images [][]byte
			originals, copies := 0, 0
			err := filepath.WalkDir(filepath.Join(root, name), func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() || !hasExtension(path) {
					return err
				}
				file, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				m, _, err := image.Decode(bytes.NewReader(file))
				if err != nil {
					return err
				}
				images = append(images, stored(m))
				if originals++; originals%20 == 0 {
					var again bytes.Buffer
					if err := jpeg.Encode(&again, m, &jpeg.Options{Quality: 75}); err != nil {
						return err
					}
					if m, err = jpeg.Decode(&again); err != nil {
						return err
					}
					copies++
					images = append(images, moved(stored(m), detailSide, copies%8))
				}
				return nil
			})
			if err != nil {
				t.Skip(err)
			}
			c := cacheOf(detailSide, images...)
			got := copiesOf(t, c, true)
			found := 0
			for _, p := range got.Pairs {
				a, _ := p.A.Integer()
				b, _ := p.B.Integer()
				if b == a+1 && a%21 == 19 {
					found++
				} else {
					t.Errorf("images %d and %d are copies, similarity %.3f", a, b, p.Similarity)
				}
			}
			t.Logf("%d images, %d of them with too little detail; %d of %d copies found", originals, got.NotCompared, found, copies)
			if compared := 1 - float64(got.NotCompared)/float64(c.Len()); found < int(0.9*compared*float64(copies)) {
				t.Errorf("%d of %d copies found, where %.0f %% of the images were compared", found, copies, 100*compared)
			}
		})
	}
}

// stored returns the centre of an image, as a cache of 64 px holds it.
func stored(m image.Image) []byte {
	b := m.Bounds()
	side := min(b.Dx(), b.Dy())
	left, top := b.Min.X+(b.Dx()-side)/2, b.Min.Y+(b.Dy()-side)/2
	small := image.NewRGBA(image.Rect(0, 0, detailSide, detailSide))
	draw.CatmullRom.Scale(small, small.Bounds(), m, image.Rect(left, top, left+side, top+side), draw.Src, nil)
	pixels := make([]byte, 0, detailSide*detailSide*3)
	for i := 0; i < len(small.Pix); i += 4 {
		pixels = append(pixels, small.Pix[i:i+3]...)
	}
	return pixels
}
