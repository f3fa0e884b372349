package page

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
)

// Picture is an image that a page contains.
type Picture struct {
	URL           template.URL // a data: URI
	Width, Height int          // of the image on the page, in CSS px
}

// smallestPicture is the side, in px, below which Encode does not downscale an image.
const smallestPicture = 16

// Encode returns an image for a page: its longer side at most side px, in at most budget bytes before base64. A
// small image is a PNG if that fits, others are JPEGs. To fit it lowers the JPEG's quality from 90 to 40 and then halves
// the image, which keeps its size on the page. An *image.Gray stays grey, which takes fewer bytes.
// imagefile.Shape.Picture makes images of pixels.
func Encode(m image.Image, side, budget int) (Picture, error) {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	if w < 1 || h < 1 || side < 1 {
		return Picture{}, fmt.Errorf("encode picture: expected an image and a side of at least 1 px, got %d × %d px and %d", w, h, side)
	}
	if longer := max(w, h); longer > side {
		w, h = max(w*side/longer, 1), max(h*side/longer, 1)
		m = resized(m, w, h)
	}
	for {
		kind, encoded, err := fit(m, budget)
		if err != nil {
			return Picture{}, fmt.Errorf("encode picture: %w", err)
		}
		if encoded != nil {
			url := "data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(encoded)
			return Picture{template.URL(url), w, h}, nil //nolint:gosec // base64
		}
		b := m.Bounds()
		if min(b.Dx(), b.Dy()) < 2*smallestPicture {
			return Picture{}, fmt.Errorf("encode picture: expected a budget that holds an image of %d × %d px, got %d bytes", b.Dx(), b.Dy(), budget)
		}
		m = resized(m, b.Dx()/2, b.Dy()/2)
	}
}

// fit encodes an image in at most budget bytes, or returns nil.
func fit(m image.Image, budget int) (kind string, encoded []byte, err error) {
	var b bytes.Buffer
	// Photographs do not get below a byte per pixel, and to compress them takes longer than all JPEGs.
	if m.Bounds().Dx()*m.Bounds().Dy() <= budget {
		if err := png.Encode(&b, m); err != nil || b.Len() <= budget {
			return "png", b.Bytes(), err
		}
	}
	for _, quality := range []int{90, 80, 70, 60, 50, 40} {
		b.Reset()
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil || b.Len() <= budget {
			return "jpeg", b.Bytes(), err
		}
	}
	return "", nil, nil
}

func resized(m image.Image, w, h int) image.Image {
	to := image.Rect(0, 0, w, h)
	var small draw.Image = image.NewRGBA(to)
	if _, grey := m.(*image.Gray); grey {
		small = image.NewGray(to)
	}
	draw.CatmullRom.Scale(small, to, m, m.Bounds(), draw.Src, nil)
	return small
}

// HTML returns the img element. alt describes the image for readers who cannot see it: "spiral galaxy, seen
// from above".
func (p Picture) HTML(alt string) template.HTML {
	return render("picture", struct {
		Picture
		Alt string
	}{p, alt})
}
