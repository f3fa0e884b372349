package report

import (
	"image"

	"golang.org/x/image/draw"

	"galaxy/data"
	"galaxy/report/page"
)

// A look is how large an image on the page is at most.
type look struct{ side, bytes int }

var (
	shown = look{112, 3600} // a galaxy of a gallery, and where the network looked
	small = look{72, 1500}  // a neighbour, or a galaxy of the contact sheet
)

// thumbnail returns an image of a cache as the page has it. A damaged image is an error that names the galaxy.
func thumbnail(cache *data.Cache, i int, l look) (page.Picture, error) {
	pixels := make([]byte, cache.Shape().Bytes())
	if err := cache.ReadImage(pixels, i); err != nil {
		return page.Picture{}, err
	}
	return encode(cache.Shape().Picture(pixels), l)
}

// encode returns an image of the page.
func encode(m image.Image, l look) (page.Picture, error) {
	side := min(l.side, m.Bounds().Dx())
	to := image.Rect(0, 0, side, side)
	if _, grey := m.(*image.Gray); grey {
		out := image.NewGray(to)
		draw.CatmullRom.Scale(out, to, m, m.Bounds(), draw.Src, nil)
		return page.Encode(out.Pix, side, side, 1, l.bytes)
	}
	out := image.NewRGBA(to)
	draw.CatmullRom.Scale(out, to, m, m.Bounds(), draw.Src, nil)
	return page.Encode(out.Pix, side, side, 4, l.bytes) // the fourth channel, opacity, is not shown
}
