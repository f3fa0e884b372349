package report

import (
	"html/template"
	"math"
	"slices"

	"galaxy/data"
	"galaxy/report/page"
)

// A look is how large an image on the page is at most.
type look struct{ side, bytes int }

var (
	shown = look{112, 3600} // a galaxy of a gallery, and where the network looked
	small = look{72, 1500}  // a neighbour, or a galaxy of the contact sheet
)

// pictures are the images of a cache as the page has them.
type pictures struct {
	*data.Cache
	dim bool // they are brightened for people
}

// Images are dim if, of half of a sample of them, all but one pixel in 50 are below dimBelow. Images from cameras with
// filters, of red, green and blue, always stay as they are.
const (
	dimBelow  = 48
	dimSample = 64
)

// newPictures returns the images of a cache.
func newPictures(cache *data.Cache) *pictures {
	p := &pictures{Cache: cache}
	if m := cache.Manifest(); m.Bands.IsZero() { // RGB
		return p
	}
	var bright []byte // of each image
	for _, i := range data.Spread(cache.Indices(data.Train), dimSample) {
		if pixels, err := p.read(i); err == nil {
			slices.Sort(pixels)
			bright = append(bright, pixels[len(pixels)*49/50])
		}
	}
	slices.Sort(bright)
	p.dim = len(bright) > 0 && bright[len(bright)/2] < dimBelow
	return p
}

// read returns an image, uint8 [Size, Size, Channels], brightened if it has to be: asinh of its values over 2 % of the
// largest, so that black stays black and the largest becomes white. A damaged image is an error that names the galaxy.
func (p *pictures) read(i int) ([]byte, error) {
	pixels := make([]byte, p.Shape().Bytes())
	if err := p.ReadImage(pixels, i); err != nil || !p.dim {
		return pixels, err
	}
	var brighter [256]byte
	const softening = 0.02
	for v, largest := 1, float64(max(slices.Max(pixels), 1)); v < len(brighter); v++ {
		brighter[v] = byte(math.Round(255 * math.Asinh(min(float64(v)/largest, 1)/softening) / math.Asinh(1/softening)))
	}
	for k, v := range pixels {
		pixels[k] = brighter[v]
	}
	return pixels, nil
}

// note says that images are brightened; "" if they are not.
func (p *pictures) note() template.HTML {
	if !p.dim {
		return ""
	}
	return `<p class="note">These images are dim, so the report shows them brightened (asinh, each up to white). The network sees them as they are.</p>`
}

// thumbnail returns an image as the page has it. A damaged image is an error that names the galaxy.
func (p *pictures) thumbnail(i int, l look) (page.Picture, error) {
	pixels, err := p.read(i)
	if err != nil {
		return page.Picture{}, err
	}
	return page.Encode(p.Shape().Picture(pixels), l.side, l.bytes)
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
