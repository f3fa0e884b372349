package synth

import (
	"math"

	"galaxy/data"
)

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
	side := data.ImageSide / float64(r90Pixels) // units of r90
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

// drawStars adds what the Gaussian core lacks: bright stars with haloes and
// diffraction spikes, the light they spread over the field, satellite trails.
func (p *painter) drawStars(g *galaxy, s stream) {
	half := data.ImageSide / float64(r90Pixels) / 2
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
