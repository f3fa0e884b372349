package report

import (
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
	return page.Encode(cache.Shape().Picture(pixels), l.side, l.bytes)
}

// intact returns the examples whose images can be read, and the number of the others.
func intact(cache *data.Cache, which []int) (good []int, damaged int) {
	pixels := make([]byte, cache.Shape().Bytes())
	for _, i := range which {
		if cache.ReadImage(pixels, i) == nil {
			good = append(good, i)
		}
	}
	return good, len(which) - len(good)
}

// enlarged returns a picture in the size in which the details of a galaxy show it.
func enlarged(p page.Picture) page.Picture {
	const side = 200 // px
	p.Width, p.Height = side, side
	return p
}
