package synth

import (
	"bytes"
	"image"
	"math"
)

const (
	// detectorPixel is the size of an SDSS pixel in arc seconds.
	detectorPixel = 0.396
	// r90Pixels is the size of r90 in the output image: the challenge's
	// images are cut at 0.02 r90 a pixel.
	r90Pixels = 50
	// jpegQuality gives files of about the real ones' size.
	jpegQuality = 75
	// margin is a frame of detector pixels around the visible field, for
	// the point spread and the interpolation to draw on.
	margin = 4
	// maxGrid is the widest detector grid: one pixel per output pixel.
	maxGrid = Side + 2*margin + 1
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
	out   *image.RGBA  // the finished picture
	file  bytes.Buffer // its JPEG
}

func newPainter() *painter {
	p := &painter{out: image.NewRGBA(image.Rect(0, 0, Side, Side))}
	for c := range p.plane {
		p.plane[c] = make([]float32, maxGrid*maxGrid)
	}
	p.work = make([]float32, maxGrid*maxGrid)
	return p
}

// paint returns the picture of g. It is valid until the next call.
func (p *painter) paint(g *galaxy, s stream) *image.RGBA {
	p.scale = math.Max(1, detectorPixel*r90Pixels/g.r90)
	p.unit = r90Pixels / p.scale
	p.n = min(maxGrid, int(math.Ceil(Side/p.scale))+2*margin)
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
	p.addSky(g, s)
	p.develop(g.black, s)
	return p.out
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
// b from Ciotti & Bertin 1999).
func newProfile(light, re, n, q, reach float64) *profile {
	b := 2*n - 1.0/3 + 4/(405*n)
	total := 2 * math.Pi * n * re * re * q * math.Exp(b) * math.Pow(b, -2*n) * math.Gamma(2*n)
	t := &profile{reach: reach}
	for i := range t.table {
		f := float64(i) / float64(len(t.table)-1)
		t.table[i] = light / total * math.Exp(-b*(math.Pow(f*f*reach/re, 1/n)-1))
	}
	return t
}

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
	sin, cos   float64
	bsin, bcos float64 // of the bar
	bulge      *profile
	diskLight  float64 // central surface brightness
	h          float64
	cot        float64 // of the pitch angle
	armMean    float64
	armStart   float64
	reach      float64
}

func newShader(b *body) *shader {
	h := &shader{b: b, h: b.diskH * b.size}
	h.sin, h.cos = math.Sincos(b.angle)
	h.bsin, h.bcos = math.Sincos(b.barAngle)
	h.reach = 2.6 * b.size
	h.bulge = newProfile(b.light*b.bulge, b.bulgeRe*b.size, b.bulgeN, b.bulgeQ, 1.4*h.reach)
	area := 2 * math.Pi * h.h * h.h * math.Max(b.axis, 0.3)
	h.diskLight = b.light * (1 - b.bulge) / area
	if b.arms > 0 {
		h.cot = 1 / math.Tan(b.pitch)
		// Mean of exp(k(cos-1)) over a turn, by eight-point quadrature: exact
		// enough for the sharpness used, and free of special functions.
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
	if b.warp != 0 {
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
		if b.clumps == 0 {
			d *= 1 + 0.25*lattice(b.noise, u*9/b.size, v*9/b.size)
		}
		return aged + d*(1-b.young), d * b.young
	}
	Y := v / b.axis
	R := math.Sqrt(u*u + Y*Y)
	if R > h.reach {
		return aged, 0
	}
	d := h.diskLight * math.Exp(-R/h.h)
	// Disks end: a truncation near four scale lengths keeps them compact.
	d *= 1 / (1 + math.Exp((R-1.3*b.size)/(0.13*b.size)))
	o, f := d*(1-b.young), d*b.young
	if b.arms > 0 && R > 0 {
		start := 1 / (1 + math.Exp((h.armStart-R)/(0.05*b.size)))
		lnR := math.Log(R/b.size + 0.02)
		theta := math.Atan2(Y, u)
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
		// The bar has swept the disk beside it.
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
	return aged + o, f
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

// stroke paints a chain of blobs along an arc of a spiral: tails, arcs,
// bridges. Angles in radians, radii from r0 to r1.
func (p *painter) stroke(x, y, r0, r1, a0, a1, width, light float64, colour rgb) {
	const steps = 48
	for k := range steps {
		t := (float64(k) + 0.5) / steps
		r, a := r0+t*(r1-r0), a0+t*(a1-a0)
		fade := 2 * (1 - t)
		if r0 == r1 {
			fade = 1.5 * (1 - (2*t-1)*(2*t-1))
		}
		p.blob(x+r*math.Cos(a), y+r*math.Sin(a), width, light*fade/steps, colour)
	}
}

// drawOddities adds what only question 8 asks for.
func (p *painter) drawOddities(g *galaxy, s stream) {
	b := &g.main
	if g.lens > 0 {
		a, r := s.in(0, 2*math.Pi), s.in(0.5, 0.8)
		span := s.in(0.8, 2.2)
		p.stroke(0, 0, r, r, a, a+span, 0.03, b.light*0.12*g.lens*span/1.5, hotStars)
		if s.chance(0.5) {
			p.stroke(0, 0, 0.8*r, 0.8*r, a+math.Pi, a+math.Pi+0.4*span, 0.03, b.light*0.05*g.lens, hotStars)
		}
	}
	if g.disturbed > 0 {
		a := s.in(0, 2*math.Pi)
		turn := math.Copysign(s.in(0.6, 2), s.normal(0, 1))
		p.stroke(0, 0, 0.4, s.in(1, 1.7), a, a+turn, 0.09, b.light*0.16*g.disturbed, blend(b.oldColour, b.newColour, 0.5))
		if s.chance(0.5) {
			p.stroke(0, 0, 0.4, s.in(0.9, 1.5), a+math.Pi, a+math.Pi+turn, 0.11, b.light*0.1*g.disturbed, b.newColour)
		}
	}
	if g.merger > 0 {
		o := &g.second
		a := math.Atan2(o.y, o.x)
		turn := math.Copysign(s.in(0.5, 1.8), s.normal(0, 1))
		mix := blend(b.oldColour, b.newColour, 0.5)
		p.stroke(0, 0, 0.4, s.in(0.9, 1.8), a+math.Pi, a+math.Pi+turn, 0.09, b.light*0.16*g.merger, mix)
		p.stroke(o.x, o.y, 0.3*o.size, s.in(0.8, 1.6)*o.size, a, a+turn, 0.07, o.light*0.2*g.merger, mix)
		p.stroke(0, 0, 0.2, math.Hypot(o.x, o.y), a, a+0.2*turn, 0.07, b.light*0.06*g.merger, mix)
	}
	if g.other > 0 && g.otherKind == otherStar {
		a, r := s.in(0, 2*math.Pi), s.in(0.15, 0.6)
		colour := starColour(s)
		p.blob(r*math.Cos(a), r*math.Sin(a), 0, g.faint*(0.02+0.12*g.other)*s.in(0.6, 1.5), colour)
	}
}

// drawArtifact puts something that is no galaxy where the target should be.
func (p *painter) drawArtifact(g *galaxy, s stream) {
	switch s.IntN(3) {
	case 0: // a star, its spikes are added with the other stars
		p.blob(0, 0, 0, 0.3+2*s.Float64(), starColour(s))
	case 1: // a double star
		a := s.in(0, 2*math.Pi)
		p.blob(0, 0, 0, 0.4+s.Float64(), starColour(s))
		p.blob(0.25*math.Cos(a), 0.25*math.Sin(a), 0, 0.2+s.Float64(), starColour(s))
	default: // a piece of a diffraction spike
		colour := [3]rgb{{1.8, 0.5, 0.6}, {0.5, 1.7, 0.6}, {0.5, 0.6, 1.8}}[s.IntN(3)]
		a := s.in(0, 2*math.Pi)
		const steps = 100
		for k := range steps {
			t := float64(k)/steps*2 - 1
			p.blob(2*t*math.Cos(a), 2*t*math.Sin(a), 0.03, 0.03*(1-math.Abs(t)), colour)
		}
	}
}

func starColour(s stream) rgb {
	switch u := s.Float64(); {
	case u < 0.3:
		return blend(hotStars, youngStars, s.Float64())
	case u < 0.65:
		return blend(youngStars, oldStars, s.Float64())
	}
	return blend(oldStars, redDwarfs, s.Float64())
}

// drawField adds the neighbours: faint stars and galaxies by sky area.
func (p *painter) drawField(g *galaxy, s stream) {
	side := Side / float64(r90Pixels) // units of r90
	area := side * g.r90 / 60
	area *= area // square arc minutes
	half := side / 2
	// Total light of a source of one display unit per detector pixel.
	pixel := 1 / (p.unit * p.unit)
	for range s.poisson(math.Min(6*area, 60)) {
		x, y := s.in(-half, half), s.in(-half, half)
		if math.Hypot(x, y) < 0.6 { // those on the target are drawn on purpose
			continue
		}
		// Number counts rise tenfold for a hundredth of the light.
		light := math.Min(120, 2.0*math.Pow(1-s.Float64(), -1/0.9))
		colour := starColour(s)
		if s.chance(0.5) {
			p.blob(x, y, 0, light*pixel, colour)
			continue
		}
		b := body{x: x, y: y, bulge: 1, bulgeN: s.in(1, 2.5), bulgePow: 2, angle: s.in(0, 2*math.Pi)}
		b.size = math.Min(0.8, (1.2+0.9*math.Sqrt(light))/g.r90)
		b.bulgeRe, b.bulgeQ = 0.36, s.in(0.35, 1)
		b.light = 2 * light * pixel
		b.oldColour = blend(oldStars, youngStars, s.Float64())
		p.drawBody(&b, s)
	}
}

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

// drawStars adds what the Gaussian core lacks: bright stars with haloes and
// diffraction spikes, the light they spread over the field, satellite trails.
func (p *painter) drawStars(g *galaxy, s stream) {
	half := Side / float64(r90Pixels) / 2
	if s.chance(math.Min(0.25, 0.02*g.r90/6)) || g.trail > 0.9 {
		// A bright star in or just outside the field.
		x, y := s.in(-1.2*half, 1.2*half), s.in(-1.2*half, 1.2*half)
		if math.Hypot(x, y) > 1.3 {
			p.brightStar(x, y, math.Exp(s.normal(1.2, 1)), starColour(s), g.r90)
		}
	}
	if g.kind == artifact && g.spoiled > 0.6 {
		p.brightStar(0, 0, math.Exp(s.normal(0.5, 0.5)), starColour(s), g.r90)
	}
	if g.trail > 0 || s.chance(0.01) {
		reach := 0.4
		if g.trail == 0 {
			reach = 3.5
		}
		p.trail(s.in(0, math.Pi), math.Copysign(s.in(0.1, reach), s.normal(0, 1)), s)
	}
}

// brightStar adds a Moffat-like halo and four spikes around (x, y).
func (p *painter) brightStar(x, y, light float64, colour rgb, r90 float64) {
	px, py := p.cx+x*p.unit, p.cy+y*p.unit
	core := 1.6 / r90 * p.unit // arc seconds to detector pixels
	for j := range p.n {
		dy := float64(j) - py
		for i := range p.n {
			dx := float64(i) - px
			r2 := (dx*dx + dy*dy) / (core * core)
			m := 1 + r2
			v := light * (6/(m*m) + 0.03/m)
			// Spikes along rows and columns of the detector.
			ax, ay := math.Abs(dx)/core, math.Abs(dy)/core
			if ax < 1.5 {
				v += light * 0.5 * math.Exp(-ax*ax*2) / (1 + ay*ay/4)
			}
			if ay < 1.5 {
				v += light * 0.5 * math.Exp(-ay*ay*2) / (1 + ax*ax/4)
			}
			at := j*p.n + i
			for c := range p.plane {
				p.plane[c][at] += float32(v * colour[c])
			}
		}
	}
}

// trail draws a straight satellite trail in one or all channels.
func (p *painter) trail(angle, offset float64, s stream) {
	sin, cos := math.Sincos(angle)
	width := s.in(1.2, 2.2) // detector pixels
	light := s.in(0.1, 0.5)
	colour := [4]rgb{{1, 1, 1}, {1.8, 0.1, 0.1}, {0.1, 1.8, 0.1}, {0.1, 0.3, 1.8}}[s.IntN(4)]
	for j := range p.n {
		for i := range p.n {
			d := ((float64(i)-p.cx)*sin - (float64(j)-p.cy)*cos - offset*p.unit) / width
			if d > 4 || d < -4 {
				continue
			}
			v := light * math.Exp(-d*d/2)
			at := j*p.n + i
			for c := range p.plane {
				p.plane[c][at] += float32(v * colour[c])
			}
		}
	}
}

// addSky adds sky and photon noise to every detector pixel.
func (p *painter) addSky(g *galaxy, s stream) {
	gain := [3]float64{1.25, 1, 0.8}
	n := p.n * p.n
	for c := range p.plane {
		sky2 := g.sky * gain[c] * g.sky * gain[c]
		for i, v := range p.plane[c][:n] {
			noise := math.Sqrt(sky2 + 0.0012*math.Max(0, float64(v)))
			p.plane[c][i] = v + float32(noise*s.NormFloat64())
		}
	}
}

// develop turns light into the picture: the colour-preserving asinh stretch of
// Lupton et al. 2004 on the detector's grid, then interpolation to 424×424.
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
	p.resample(s)
}

// tap is where an output pixel finds its four source pixels, and their weights.
type tap struct {
	at int
	w  [4]float32
}

// taps returns Catmull-Rom weights for every output pixel.
// shift moves the picture by that many detector pixels.
func (p *painter) taps(shift float64) [Side]tap {
	var out [Side]tap
	for i := range out {
		// The middle of the output is the middle of the grid.
		x := (float64(i)+0.5-Side/2.0)/p.scale + float64(p.n)/2 - 0.5 + shift
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
		for j, t := range down { // rows: Side of them, still n wide
			a, b := src[t.at*n:(t.at+1)*n], src[(t.at+1)*n:(t.at+2)*n]
			d, e := src[(t.at+2)*n:(t.at+3)*n], src[(t.at+3)*n:(t.at+4)*n]
			to := p.work[j*n : (j+1)*n]
			for i := range to {
				to[i] = t.w[0]*a[i] + t.w[1]*b[i] + t.w[2]*d[i] + t.w[3]*e[i]
			}
		}
		for j := range Side {
			row := p.work[j*n : (j+1)*n]
			pix := p.out.Pix[j*p.out.Stride : j*p.out.Stride+4*Side]
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
