package synth

import (
	"bytes"
	"image"
	"math"

	"galaxy/data"
)

const (
	// detectorPixel is the size of an SDSS pixel in arc seconds.
	detectorPixel = 0.396
	// r90Pixels is the size of r90 in the output image: the challenge's
	// images are cut at 0.02 r90 a pixel.
	r90Pixels = 50
	// jpegQuality gives files of about the real ones' size.
	jpegQuality = 75
	// storedQuality stands for that of the survey's own images. With it the sky has the real one's spectrum.
	storedQuality = 75
	// margin is a frame of detector pixels around the visible field, for
	// the point spread and the interpolation to draw on.
	margin = 4
	// maxGrid is the widest detector grid: one pixel per output pixel.
	maxGrid = data.ImageSide + 2*margin + 1
)

// painter draws galaxies one after the other into buffers it owns.
type painter struct {
	n     int          // detector grid is n×n
	scale float64      // output pixels per detector pixel
	unit  float64      // detector pixels per r90
	cx    float64      // centre of the target on the grid
	cy    float64      //
	plane [3][]float32 // light in R, G and B
	work  []float32    // for the separable filters
	out   *image.RGBA  // the finished image
	file  bytes.Buffer // its file
}

func newPainter() *painter {
	p := &painter{out: image.NewRGBA(image.Rect(0, 0, data.ImageSide, data.ImageSide))}
	for c := range p.plane {
		p.plane[c] = make([]float32, maxGrid*maxGrid)
	}
	p.work = make([]float32, maxGrid*maxGrid)
	return p
}

// paint returns the image of g. It is valid until the next call.
func (p *painter) paint(g *galaxy, s stream) *image.RGBA {
	p.shine(g, s)
	p.addSky(g, s)
	p.develop(g.black, s)
	return p.out
}

// shine draws the light of g and of what is around it, as the telescope blurs it, without noise.
func (p *painter) shine(g *galaxy, s stream) {
	p.scale = math.Max(1, detectorPixel*r90Pixels/g.r90)
	p.unit = r90Pixels / p.scale
	p.n = min(maxGrid, int(math.Ceil(data.ImageSide/p.scale))+2*margin)
	p.cx = float64(p.n)/2 + s.in(-0.5, 0.5)
	p.cy = float64(p.n)/2 + s.in(-0.5, 0.5)
	for c := range p.plane {
		clear(p.plane[c][:p.n*p.n])
	}
	if g.kind == artifact {
		p.drawArtifact(g, s)
	} else {
		p.drawBody(&g.main, s)
		if g.second.light > 0 {
			p.drawBody(&g.second, s)
		}
		p.drawOddities(g, s)
	}
	p.drawField(g, s)
	p.blur(g.sigma() * p.unit)
	p.drawStars(g, s)
}

// blob adds a round Gaussian of the given total light.
func (p *painter) blob(x, y, sigma, light float64, colour rgb) {
	px, py := p.cx+x*p.unit, p.cy+y*p.unit
	sg := math.Max(0.45, sigma*p.unit)
	r := 3.2 * sg
	x0, x1 := max(0, int(px-r)), min(p.n-1, int(px+r)+1)
	y0, y1 := max(0, int(py-r)), min(p.n-1, int(py+r)+1)
	k := light * p.unit * p.unit / (2 * math.Pi * sg * sg)
	for j := y0; j <= y1; j++ {
		dy := float64(j) - py
		ey := k * math.Exp(-dy*dy/(2*sg*sg))
		for i := x0; i <= x1; i++ {
			dx := float64(i) - px
			e := ey * math.Exp(-dx*dx/(2*sg*sg))
			at := j*p.n + i
			for c := range p.plane {
				p.plane[c][at] += float32(e * colour[c])
			}
		}
	}
}

// profile is a Sérsic profile tabulated over the square root of the radius.
type profile struct {
	table [512]float64
	reach float64
}

// newProfile tabulates I(r) = I_e exp(-b((r/re)^(1/n) - 1)), scaled so that
// an image of axis ratio q holds the given light (Graham & Driver 2005, eq. 4;
// b from Ciotti & Bertin 1999). It fades to nothing at reach, so that no edge
// shows where the painting stops.
func newProfile(light, re, n, q, reach float64) *profile {
	b := 2*n - 1.0/3 + 4/(405*n)
	total := 2 * math.Pi * n * re * re * q * math.Exp(b) * math.Pow(b, -2*n) * math.Gamma(2*n)
	t := &profile{reach: reach}
	for i := range t.table {
		f := float64(i) / float64(len(t.table)-1)
		fade := 1 - math.Pow(f, 8) // f*f is the radius
		t.table[i] = light / total * math.Exp(-b*(math.Pow(f*f*reach/re, 1/n)-1)) * fade
	}
	return t
}

// at returns the brightness at radius r ≥ 0.
func (t *profile) at(r float64) float64 {
	f := math.Sqrt(r/t.reach) * float64(len(t.table)-1)
	i := int(f)
	if i >= len(t.table)-1 {
		return 0
	}
	f -= float64(i)
	return t.table[i] + f*(t.table[i+1]-t.table[i])
}

// shader evaluates one body's light at a point.
type shader struct {
	b          *body
	sin, cos   float64 // of the major axis
	bsin, bcos float64 // of the bar
	bulge      *profile
	diskLight  float64 // central surface brightness
	h          float64 // scale length
	cot        float64 // of the pitch angle
	armMean    float64 // of the unnormalised arm profile over a turn
	armStart   float64 // radius
	reach      float64 // nothing is painted farther out
}

// newShader precomputes what is the same at every point of b.
func newShader(b *body) *shader {
	h := &shader{b: b, h: b.diskH * b.size}
	h.sin, h.cos = math.Sincos(b.angle)
	h.bsin, h.bcos = math.Sincos(b.barAngle)
	h.reach = 2.6 * b.size
	h.bulge = newProfile(b.light*b.bulge, b.bulgeRe*b.size, b.bulgeN, b.bulgeQ, h.reach)
	area := 2 * math.Pi * h.h * h.h * math.Max(b.axis, 0.3)
	h.diskLight = b.light * (1 - b.bulge) / area
	if b.arms > 0 {
		h.cot = 1 / math.Tan(b.pitch)
		// Mean of exp(k(cos ψ - 1)) over a turn: on a periodic function the
		// midpoint rule is exact to many digits with few points.
		for i := range 16 {
			h.armMean += math.Exp(b.armSharp*(math.Cos(2*math.Pi*float64(i)/16)-1)) / 16
		}
		h.armStart = 0.12 * b.size
		if b.bar > 0.2 {
			h.armStart = 0.8 * b.barLen * b.size
		}
	}
	return h
}

// at returns the light of old and of young stars at offset (x, y).
func (h *shader) at(x, y float64) (aged, fresh float64) {
	b := h.b
	u := x*h.cos + y*h.sin
	v := y*h.cos - x*h.sin
	if b.warp != 0 { // bend the major axis, and drag one side out
		u /= b.size
		v /= b.size
		v += b.warp * (u*u - 0.15*u) * 0.7
		u += 0.5 * b.warp * (v*v + 0.2*v)
		u *= b.size
		v *= b.size
	}
	if b.bulge > 0 {
		var r float64
		vq := v / b.bulgeQ
		if b.bulgePow == 2 {
			r = math.Sqrt(u*u + vq*vq)
		} else {
			r = math.Pow(math.Pow(math.Abs(u), b.bulgePow)+math.Pow(math.Abs(vq), b.bulgePow), 1/b.bulgePow)
		}
		aged = h.bulge.at(r)
	}
	if b.bulge >= 1 {
		return aged, 0
	}
	if b.edgeOn {
		z := v / (b.axis * h.h * 1.15)
		if z > 9 || z < -9 {
			return aged, 0
		}
		sech := 1 / math.Cosh(z)
		d := h.diskLight * math.Exp(-math.Abs(u)/h.h) * sech * sech
		d *= 1 + 0.25*lattice(b.noise, u*9/b.size, v*9/b.size)
		return aged + d*(1-b.young), d * b.young
	}
	o, f := h.inDisk(u, v/b.axis)
	return aged + o, f
}

// inDisk is the light of the disk at (u, Y) in its own plane, u along the line
// of nodes.
func (h *shader) inDisk(u, Y float64) (aged, fresh float64) {
	b := h.b
	R := math.Sqrt(u*u + Y*Y)
	if R > h.reach {
		return 0, 0
	}
	d := h.diskLight * math.Exp(-R/h.h)
	// Disks end: a truncation near four scale lengths keeps them compact.
	d *= 1 / (1 + math.Exp((R-1.3*b.size)/(0.13*b.size)))
	o, f := d*(1-b.young), d*b.young
	if b.arms > 0 && R > 0 {
		start := 1 / (1 + math.Exp((h.armStart-R)/(0.05*b.size)))
		lnR := math.Log(R/b.size + 0.02)
		theta := math.Atan2(Y, u)
		// A logarithmic spiral: its angle grows as ln R / tan(pitch).
		psi := float64(b.arms)*(theta-h.cot*(lnR+0.5)) - b.armPhase
		a := math.Exp(b.armSharp*(math.Cos(psi)-1))/h.armMean - 1
		a *= 1 + b.armUneven*math.Cos(theta-b.armPhase)
		depth := b.armDepth * start
		o *= 1 + 0.45*depth*a
		f *= math.Max(0.05, 1+0.95*depth*a)
	}
	if b.clumps > 0 {
		k := 4.0 / b.size
		n := lattice(b.noise, u*k, Y*k)*0.6 + lattice(b.noise+1, u*k*2.3, Y*k*2.3)*0.5
		f *= math.Max(0, 1+1.5*b.clumps*n)
		if b.clumps > 0.8 { // irregular throughout
			o *= math.Max(0, 1+0.9*b.clumps*n)
		}
	}
	if b.bar > 0 {
		s := u*h.bcos + Y*h.bsin
		t := Y*h.bcos - u*h.bsin
		l := b.barLen * b.size
		e := (s*s + t*t*9) / (l * l)
		o += h.diskLight * b.bar * 0.5 * math.Exp(-e*e*1.2)
		// The bar has swept the disk next to it.
		in := R / l
		o *= 1 - 0.45*b.bar*math.Exp(-in*in)*(1-math.Exp(-e))
	}
	if b.ring > 0 {
		t := (R/b.size - b.ringR) / b.ringW
		f += h.diskLight * math.Exp(-b.ringR/b.diskH) * b.ring * 2.2 * math.Exp(-t*t/2)
		if R < b.ringR*b.size {
			o *= 1 - 0.5*b.ring*clamp01(-t/2)*clamp01(R/(0.3*b.size))
		}
	}
	return o, f
}

// drawBody adds one galaxy to the planes.
func (p *painter) drawBody(b *body, s stream) {
	h := newShader(b)
	px, py := p.cx+b.x*p.unit, p.cy+b.y*p.unit
	r := h.reach * p.unit
	x0, x1 := max(0, int(px-r)), min(p.n-1, int(px+r)+1)
	y0, y1 := max(0, int(py-r)), min(p.n-1, int(py+r)+1)
	const core = 4 // detector pixels around the centre that are oversampled
	for j := y0; j <= y1; j++ {
		dy := float64(j) - py
		for i := x0; i <= x1; i++ {
			dx := float64(i) - px
			if dx*dx+dy*dy > r*r {
				continue
			}
			var o, f float64
			if math.Abs(dx) < core && math.Abs(dy) < core {
				for sy := -2; sy <= 2; sy++ {
					for sx := -2; sx <= 2; sx++ {
						so, sf := h.at((dx+0.2*float64(sx))/p.unit, (dy+0.2*float64(sy))/p.unit)
						o += so / 25
						f += sf / 25
					}
				}
			} else {
				o, f = h.at(dx/p.unit, dy/p.unit)
			}
			c := [3]float64{
				o*b.oldColour[0] + f*b.newColour[0],
				o*b.oldColour[1] + f*b.newColour[1],
				o*b.oldColour[2] + f*b.newColour[2],
			}
			if b.dust > 0 {
				v := ((dy*h.cos-dx*h.sin)/p.unit/b.size - b.dustAt) / 0.03
				u := (dx*h.cos + dy*h.sin) / p.unit / b.size / 0.6
				tau := b.dust * math.Exp(-v*v/2-u*u)
				c[0] *= math.Exp(-0.7 * tau)
				c[1] *= math.Exp(-tau)
				c[2] *= math.Exp(-1.4 * tau)
			}
			at := j*p.n + i
			for k := range p.plane {
				p.plane[k][at] += float32(c[k])
			}
		}
	}
	// Star-forming knots, on the arms where there are any.
	for range b.knots {
		R := b.size * b.diskH * (s.ExpFloat64() + s.ExpFloat64()*0.7 + 0.4)
		a := s.in(0, 2*math.Pi)
		if b.arms > 0 {
			a = (b.armPhase+2*math.Pi*float64(s.IntN(b.arms)))/float64(b.arms) +
				h.cot*(math.Log(R/b.size+0.02)+0.5) + s.normal(0, 0.15)
		}
		q := b.axis
		u, v := R*math.Cos(a), R*math.Sin(a)*q
		light := b.light * 0.009 * s.ExpFloat64() * (0.3 + b.armDepth)
		if b.arms == 0 {
			light += b.light * 0.009
		}
		if R < 1.3*b.size {
			p.blob(b.x+u*h.cos-v*h.sin, b.y+u*h.sin+v*h.cos, s.in(0.015, 0.06)*b.size, light, b.newColour)
		}
	}
}
