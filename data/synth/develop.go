package synth

import (
	"image"
	"image/color"
	"image/jpeg"
	"math"

	"galaxy/data"
)

// blur convolves the planes with the Gaussian point spread.
func (p *painter) blur(sigma float64) {
	r := int(math.Ceil(3 * sigma))
	kernel := make([]float32, r+1)
	sum := 0.0
	for k := -r; k <= r; k++ {
		sum += math.Exp(-float64(k*k) / (2 * sigma * sigma))
	}
	for k := range kernel {
		kernel[k] = float32(math.Exp(-float64(k*k)/(2*sigma*sigma)) / sum)
	}
	n := p.n
	for c := range p.plane {
		src, dst := p.plane[c][:n*n], p.work[:n*n]
		for j := range n { // along rows
			row, to := src[j*n:(j+1)*n], dst[j*n:(j+1)*n]
			for i := range to {
				to[i] = kernel[0] * row[i]
			}
			for k := 1; k <= r; k++ {
				w := kernel[k]
				for i := k; i < n; i++ {
					to[i] += w * row[i-k]
				}
				for i := 0; i < n-k; i++ {
					to[i] += w * row[i+k]
				}
			}
		}
		for j := range n { // along columns, a row at a time
			to := src[j*n : (j+1)*n]
			for i, v := range dst[j*n : (j+1)*n] {
				to[i] = kernel[0] * v
			}
			for k := 1; k <= r; k++ {
				w := kernel[k]
				if j-k >= 0 {
					for i, v := range dst[(j-k)*n : (j-k+1)*n] {
						to[i] += w * v
					}
				}
				if j+k < n {
					for i, v := range dst[(j+k)*n : (j+k+1)*n] {
						to[i] += w * v
					}
				}
			}
		}
	}
}

// skyGain is the sky's noise in R, G and B.
var skyGain = [3]float64{1.25, 1, 0.8}

// storedSky is the noise of the sky before the image is stored, relative to what is left of it.
const storedSky = 1.8

// addSky adds sky and photon noise to every detector pixel.
func (p *painter) addSky(g *galaxy, s stream) {
	n := p.n * p.n
	for c := range p.plane {
		sky := storedSky * g.sky * skyGain[c]
		for i, v := range p.plane[c][:n] {
			p.plane[c][i] = v + float32(noise(float64(v), sky*sky)*s.NormFloat64())
		}
	}
}

// develop turns light into the image: the colour-preserving asinh stretch of
// Lupton et al. 2004 on the detector's grid, where the image is stored, then interpolation to 424×424.
func (p *painter) develop(black float64, s stream) {
	const softening = 6.5
	r, g, b := p.plane[0], p.plane[1], p.plane[2]
	for i := range p.n * p.n {
		x, y, z := float64(r[i])+black, float64(g[i])+black, float64(b[i])+0.5*black
		mean := (x + y + z) / 3
		k := 255.0
		if mean > 1e-4 {
			k = 255 * math.Asinh(softening*mean) / softening / mean
		}
		// Brighter than white: dim all channels alike, so the colour stays.
		if m := k * math.Max(x, math.Max(y, z)); m > 255 {
			k *= 255 / m
		}
		r[i], g[i], b[i] = float32(math.Max(0, k*x)), float32(math.Max(0, k*y)), float32(math.Max(0, k*z))
	}
	p.store()
	p.resample(s)
}

// store makes of the planes what JPEG leaves of them. The survey's own images are JPEG files on the detector's grid, and
// the challenge's were cut out of them: so the sky of real ones has almost no colour noise, which JPEG halves in resolution and
// rounds away, and what is left of the noise of its light is coarse.
func (p *painter) store() {
	m := image.NewRGBA(image.Rect(0, 0, p.n, p.n))
	for i := range p.n * p.n {
		for c := range p.plane {
			m.Pix[4*i+c] = uint8(min(255, p.plane[c][i]+0.5))
		}
	}
	p.file.Reset()
	err := jpeg.Encode(&p.file, m, &jpeg.Options{Quality: storedQuality})
	var stored image.Image
	if err == nil {
		stored, err = jpeg.Decode(&p.file)
	}
	if err != nil {
		panic(err) // a buffer takes all, and gives back what was encoded
	}
	y := stored.(*image.YCbCr) // as Decode returns all colour images that Encode makes
	for i := range p.n * p.n {
		light, colour := y.YOffset(i%p.n, i/p.n), y.COffset(i%p.n, i/p.n)
		r, g, b := color.YCbCrToRGB(y.Y[light], y.Cb[colour], y.Cr[colour])
		p.plane[0][i], p.plane[1][i], p.plane[2][i] = float32(r), float32(g), float32(b)
	}
}

// tap is where an output pixel finds its four source pixels, and their weights.
type tap struct {
	at int
	w  [4]float32
}

// taps returns Catmull-Rom weights for every output pixel.
// shift moves the image by that many detector pixels.
func (p *painter) taps(shift float64) [data.ImageSide]tap {
	var out [data.ImageSide]tap
	for i := range out {
		// The middle of the output is the middle of the grid.
		x := (float64(i)+0.5-data.ImageSide/2.0)/p.scale + float64(p.n)/2 - 0.5 + shift
		f := math.Floor(x)
		t := x - f
		out[i] = tap{at: max(0, min(p.n-4, int(f)-1)), w: [4]float32{
			float32(t * (-0.5 + t*(1-0.5*t))),
			float32(1 + t*t*(-2.5+1.5*t)),
			float32(t * (0.5 + t*(2-1.5*t))),
			float32(t * t * (-0.5 + 0.5*t)),
		}}
	}
	return out
}

// resample interpolates the planes to the output's size. The bands of a
// survey are registered to a fraction of a pixel only, which gives small
// sources coloured fringes.
func (p *painter) resample(s stream) {
	n := p.n
	for c := range p.plane {
		down, right := p.taps(s.normal(0, 0.2)), p.taps(s.normal(0, 0.2))
		src := p.plane[c]
		for j, t := range down { // rows: data.ImageSide of them, still n wide
			a, b := src[t.at*n:(t.at+1)*n], src[(t.at+1)*n:(t.at+2)*n]
			d, e := src[(t.at+2)*n:(t.at+3)*n], src[(t.at+3)*n:(t.at+4)*n]
			to := p.work[j*n : (j+1)*n]
			for i := range to {
				to[i] = t.w[0]*a[i] + t.w[1]*b[i] + t.w[2]*d[i] + t.w[3]*e[i]
			}
		}
		for j := range data.ImageSide {
			row := p.work[j*n : (j+1)*n]
			pix := p.out.Pix[j*p.out.Stride : j*p.out.Stride+4*data.ImageSide]
			for i := range right {
				t := &right[i]
				r := row[t.at : t.at+4 : t.at+4]
				v := t.w[0]*r[0] + t.w[1]*r[1] + t.w[2]*r[2] + t.w[3]*r[3] + 0.5
				pix[4*i+c] = uint8(max(0, min(255, v)))
			}
		}
	}
	for i := 3; i < len(p.out.Pix); i += 4 {
		p.out.Pix[i] = 255
	}
}
