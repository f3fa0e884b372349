package data

import (
	"math"

	"galaxy/data/imagefile"
)

// Photometry holds the size and the brightness of the galaxy in the middle of an image,
// measured from its pixels. The zero value means that nothing in the middle is above the
// sky.
//
// The catalogue has no sizes and no magnitudes, and the images are not calibrated: they are
// colour composites, stretched by asinh to 8 bits per channel (Lupton et al. 2004), and each
// was scaled to 0.02 Petrosian radii R90 per pixel (Willett et al. 2013), so that R90 takes
// 50 pixels in all of them. So Radius is relative: it measures how concentrated the galaxy's
// light is. Times 0.02·R90 it would be arcseconds, but the images do not contain R90.
// Brightness orders galaxies by their mean surface brightness; no constant turns
// it into magnitudes. Compare them within one cache.
type Photometry struct {
	// Radius is the half-light radius in pixels of the original image, of the challenge's size
	// (ImageSide) if the crop is a fraction:
	// √(A/π), where A is the area of the brightest pixels that together give
	// half of the galaxy's light. For an ellipse it is the geometric mean of its
	// half axes.
	Radius float64
	// Brightness is the mean level above the sky within that area, averaged over
	// the channels, on the scale from 0 to 255.
	Brightness float64
}

const (
	greyLevels = imagefile.MaxBands*255 + 1 // of the sum of the channels, at most
	// A pixel of the galaxy is above the sky by at least detection standard
	// deviations, and by leastContrast levels of each channel, as compression can make the
	// sky smooth.
	detection     = 3
	leastContrast = 3
)

// A Photometer measures images of one size. It reuses its buffers, so it is for
// one goroutine.
type Photometer struct {
	shape  imagefile.Shape
	scale  float64  // pixels of the original per pixel of the image
	grey   []uint16 // sums of the channels
	seen   []bool
	object []int // pixels found so far
}

// NewPhotometer returns a photometer of the images of a cache.
func NewPhotometer(m Manifest) *Photometer {
	n := m.Size * m.Size
	return &Photometer{
		shape: m.Shape(), scale: float64(m.Crop.Side(ImageSide, ImageSide)) / float64(m.Size),
		grey: make([]uint16, n), seen: make([]bool, n), object: make([]int, 0, n),
	}
}

// Measure measures one image, uint8 [Size, Size, channels]. The level of the sky is the
// median of the image's frame, a sixteenth of the side wide. The scatter of the sky is
// computed from the median absolute deviation there, which a few stars do not
// change. The galaxy is the set of pixels above the sky and connected to the brightest
// pixel of the middle eighth. A star or a neighbour that touches it counts as a part of it,
// and light that is too faint is lost.
func (p *Photometer) Measure(image []byte) Photometry {
	channels := p.shape.Channels
	for i := range p.grey {
		p.grey[i] = 0
		for _, v := range image[i*channels : (i+1)*channels] {
			p.grey[i] += uint16(v)
		}
	}
	sky, scatter := p.sky()
	var pixels [greyLevels]int // of the galaxy, counted by level
	light := 0.0
	for _, i := range p.find(sky + max(detection*scatter, leastContrast*float64(channels))) {
		pixels[p.grey[i]]++
		light += float64(p.grey[i]) - sky
	}
	if light == 0 {
		return Photometry{}
	}
	area, sum := 0.0, 0.0
	for level := channels * 255; level >= 0 && sum < light/2; level-- {
		if pixels[level] == 0 {
			continue
		}
		above := float64(level) - sky
		// Of the last level, only as many as are still needed.
		n := min(float64(pixels[level]), (light/2-sum)/above)
		area, sum = area+n, sum+n*above
	}
	return Photometry{Radius: p.scale * math.Sqrt(area/math.Pi), Brightness: sum / area / float64(channels)}
}

// sky returns the median of the frame's grey levels and their standard
// deviation, which is 1.4826 median absolute deviations of a normal
// distribution.
func (p *Photometer) sky() (level, scatter float64) {
	width := max(p.shape.Size/16, 1)
	var counts, deviations [greyLevels]int
	n := 0
	for y := range p.shape.Size {
		for x := range p.shape.Size {
			if x == width && y >= width && y < p.shape.Size-width {
				x = p.shape.Size - width
			}
			counts[p.grey[y*p.shape.Size+x]]++
			n++
		}
	}
	middle := median(&counts, n)
	for g, c := range counts {
		deviations[max(g-middle, middle-g)] += c
	}
	return float64(middle), 1.4826 * float64(median(&deviations, n))
}

// median returns the lower median of n values counted by value.
func median(counts *[greyLevels]int, n int) int {
	rank := (n - 1) / 2
	for value, c := range counts {
		if rank < c {
			return value
		}
		rank -= c
	}
	return 0
}

// find returns the pixels above least that are connected by their sides to the brightest
// pixel of the middle eighth; none if that pixel is not above least.
func (p *Photometer) find(least float64) []int {
	clear(p.seen)
	p.object = p.object[:0]
	add := func(i int) {
		if !p.seen[i] && float64(p.grey[i]) > least {
			p.seen[i] = true
			p.object = append(p.object, i)
		}
	}
	reach := max(p.shape.Size/16, 1)
	brightest := p.shape.Size/2*p.shape.Size + p.shape.Size/2
	for y := max(p.shape.Size/2-reach, 0); y < min(p.shape.Size/2+reach, p.shape.Size); y++ {
		for x := max(p.shape.Size/2-reach, 0); x < min(p.shape.Size/2+reach, p.shape.Size); x++ {
			if i := y*p.shape.Size + x; p.grey[i] > p.grey[brightest] {
				brightest = i
			}
		}
	}
	add(brightest)
	for k := 0; k < len(p.object); k++ {
		i := p.object[k]
		x, y := i%p.shape.Size, i/p.shape.Size
		if x > 0 {
			add(i - 1)
		}
		if x < p.shape.Size-1 {
			add(i + 1)
		}
		if y > 0 {
			add(i - p.shape.Size)
		}
		if y < p.shape.Size-1 {
			add(i + p.shape.Size)
		}
	}
	return p.object
}
