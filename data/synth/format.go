package synth

import (
	"cmp"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"

	"galaxy/data/fits"
)

// A Format is a format of images.
type Format string

// The formats.
const (
	// JPEG and PNG are the image as the challenge shows it, 424×424, in RGB or its luma.
	JPEG Format = "jpeg"
	PNG  Format = "png"
	// FITS is the light before that, in float32 on the detector's own pixels, without a stretch: a
	// square as large as the field of the image, with a plane for each band, from blue to red.
	FITS Format = "fits"
)

// Formats lists the formats.
func Formats() []string { return []string{string(JPEG), string(PNG), string(FITS)} }

// extension returns the end of a file's name.
func (f Format) extension() string {
	switch f {
	case PNG:
		return ".png"
	case FITS:
		return ".fits"
	}
	return ".jpg"
}

// encode draws g and returns the file of its image, valid until the next call.
func (p *painter) encode(g *galaxy, s stream, format Format, bands int) ([]byte, error) {
	if format == FITS {
		pixels, side := p.cutout(g, s, cmp.Or(bands, 1))
		return fits.AppendImage(nil, "", pixels, side, side), nil
	}
	var m image.Image = p.paint(g, s)
	if bands == 1 {
		grey := image.NewGray(m.Bounds())
		draw.Draw(grey, m.Bounds(), m, image.Point{}, draw.Src)
		m = grey
	}
	p.file.Reset()
	var err error
	if format == PNG {
		err = png.Encode(&p.file, m)
	} else {
		err = jpeg.Encode(&p.file, m, &jpeg.Options{Quality: jpegQuality})
	}
	return p.file.Bytes(), err
}

// bandAt returns the weights of the planes R, G and B in band k of n. The bands lie evenly between
// the blue plane and the red one, and one alone is the green plane.
func bandAt(k, n int) (weights [3]float64) {
	at := 1.0 // 0 is red, 1 green, 2 blue
	if n > 1 {
		at = 2 - 2*float64(k)/float64(n-1)
	}
	plane := min(int(at), 1)
	weights[plane], weights[plane+1] = 1-(at-float64(plane)), at-float64(plane)
	return weights
}

// cutout returns the light of g in bands, float32 [bands, side, side], the bottom row first. Bulges and
// other old stars are brighter in the last bands, young ones in the first. Each band has its own
// noise.
func (p *painter) cutout(g *galaxy, s stream, bands int) (pixels []float32, side int) {
	p.shine(g, s)
	side = p.n - 2*margin
	for k := range bands {
		weights := bandAt(k, bands)
		gain := 0.0
		for c, w := range weights {
			gain += w * skyGain[c]
		}
		sky2 := g.sky * gain * g.sky * gain
		for y := p.n - margin - 1; y >= margin; y-- {
			for x := margin; x < p.n-margin; x++ {
				light := 0.0
				for c, w := range weights {
					light += w * float64(p.plane[c][y*p.n+x])
				}
				pixels = append(pixels, float32(light+noise(light, sky2)*s.NormFloat64()))
			}
		}
	}
	return pixels, side
}

// noise returns the standard deviation of a pixel's value, from the sky's variance and the photons of the
// light.
func noise(light, sky2 float64) float64 { return math.Sqrt(sky2 + 0.0012*math.Max(0, light)) }
