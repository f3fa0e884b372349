package synth

import "math"

// Lengths on the sky are in units of the galaxy's r90, the radius that holds
// 90 % of its light: the real images are cut so that it spans the same number
// of pixels in all of them. Brightness is in display units: 1 per unit area
// is about where the stretch turns from linear to logarithmic.

// rgb is a brightness in the red, green and blue channel (SDSS i, r and g).
type rgb [3]float64

// blend goes from a (t = 0) to b (t = 1).
func blend(a, b rgb, t float64) rgb {
	return rgb{a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1]), a[2] + t*(b[2]-a[2])}
}

// clamp01 limits x to [0, 1].
func clamp01(x float64) float64 { return math.Min(1, math.Max(0, x)) }

// Colours of stellar populations, mean of the channels about 1.
var (
	oldStars   = rgb{1.41, 1.06, 0.53}
	midStars   = rgb{1.20, 1.02, 0.78}
	youngStars = rgb{0.90, 0.95, 1.15}
	hotStars   = rgb{0.68, 0.86, 1.46}
	redDwarfs  = rgb{1.90, 0.75, 0.35}
)

// body is one galaxy as light: a bulge, a disk and what lies in the disk.
type body struct {
	x, y  float64 // centre
	size  float64 // its own r90
	angle float64 // of the major axis
	light float64 // total, per channel mean

	bulge     float64 // fraction of the light, the bulge-to-total ratio
	bulgeN    float64 // Sérsic index
	bulgeRe   float64 // half-light radius over size
	bulgeQ    float64 // apparent axis ratio
	bulgePow  float64 // isophotes |u|^p+|v/q|^p: 2 an ellipse, above 2 boxy
	diskH     float64 // scale length over size
	axis      float64 // apparent axis ratio of the disk; thickness when edge-on
	edgeOn    bool
	young     float64 // fraction of the disk's light in young stars
	oldColour rgb
	newColour rgb

	arms      int
	pitch     float64 // angle in radians
	armPhase  float64
	armDepth  float64 // contrast, 0 none to 1
	armSharp  float64
	armUneven float64 // difference between the arms
	clumps    float64 // of the young light, 0 smooth to 1
	bar       float64 // fraction of the disk's inner light, 0 to 1
	barLen    float64
	barAngle  float64
	ring      float64
	ringR     float64
	ringW     float64
	warp      float64 // bends and lopsides the body
	dust      float64 // optical depth of a lane along the major axis
	dustAt    float64 // its offset across
	knots     int
	noise     uint64 // key of the clumps
}

// kind is what a galaxy is, before anybody looks at it.
type kind int

const (
	elliptical kind = iota
	diskGalaxy
	irregularGalaxy
	artifact
)

// galaxy is everything true about one image's target: what the painter
// paints and what the volunteers would see if they saw it perfectly.
type galaxy struct {
	kind   kind
	main   body
	second body // the other galaxy of a merger or an overlap; light 0 if none

	r90    float64 // arc seconds
	seeing float64 // full width at half maximum of the point spread, arc seconds
	sky    float64 // noise per detector pixel, display units
	black  float64 // level of the empty sky, display units
	faint  float64 // mean surface brightness within half light, display units

	// How strongly an oddity is there, 0 to 1.
	lens, disturbed, irregular, other, merger, dust float64
	otherKind                                       int
	trail                                           float64 // satellite trail across the target
	spoiled                                         float64 // how little of a galaxy there is in an artifact
	// Normal deviates, one for each judgement: what sways everybody who looks
	// at this image and is in no parameter.
	wobble [10]float64
}

// The kinds of `other` oddity.
const (
	otherStar = iota // a foreground star on the galaxy
	otherOverlap
	otherColour
)

// newGalaxy draws the properties of galaxy i.
func newGalaxy(seed int64, i int) *galaxy {
	s := newStream(seed, i, streamMorphology)
	g := &galaxy{}
	for k := range g.wobble {
		g.wobble[k] = s.NormFloat64()
	}
	switch u := s.Float64(); {
	case u < 0.004:
		g.kind = artifact
	case u < 0.093:
		g.kind = irregularGalaxy
	case u < 0.40:
		g.kind = elliptical
	default:
		g.kind = diskGalaxy
	}
	g.r90 = math.Min(32, 2.6+3.8*math.Exp(s.normal(0, 0.5)))
	g.seeing = math.Max(0.9, s.normal(1.28, 0.16))
	g.sky = 0.026 * math.Exp(s.normal(0, 0.3))
	g.black = 0.004 * math.Exp(s.normal(0, 0.45))
	g.faint = 2.3 * math.Exp(s.normal(0, 0.42))

	b := &g.main
	*b = body{size: math.Exp(s.normal(0.1, 0.12)), bulgePow: 2, angle: s.in(0, 2*math.Pi), noise: s.Uint64()}
	b.oldColour = blend(oldStars, midStars, clamp01(s.normal(0.35, 0.3)))
	b.newColour = blend(youngStars, hotStars, clamp01(s.normal(0.25, 0.25)))
	switch g.kind {
	case elliptical:
		drawElliptical(b, s)
		g.faint *= 1.25
	case diskGalaxy:
		drawDisk(b, s)
	case irregularGalaxy:
		drawIrregular(b, s)
		g.irregular = s.in(0.45, 1)
		g.faint *= 0.55
	case artifact:
		drawElliptical(b, s)
		g.spoiled = s.in(0.4, 1)
		g.faint *= 1.5
	}
	b.light = g.faint * b.size * b.size
	drawOddities(g, s)
	return g
}

func drawElliptical(b *body, s stream) {
	b.bulge = 1
	b.bulgeN = s.in(2.2, 5)
	b.bulgeRe = 0.42
	b.bulgeQ = 1 - 0.62*s.beta(2, 3)
	b.diskH = 0.3
	b.axis = b.bulgeQ
	// Many early types carry a faint disk without pattern (S0).
	if s.chance(0.5) {
		b.bulge = s.in(0.4, 0.9)
		b.young = s.in(0, 0.35)
	}
	if s.chance(0.22) { // blue ellipticals
		b.oldColour = blend(b.oldColour, youngStars, s.in(0.3, 1))
	}
}

func drawDisk(b *body, s stream) {
	// Hubble stage: 0 early (big bulge, tight arms, red) to 1 late.
	stage := s.Float64()
	b.bulge = clamp01(0.62*math.Pow(1-stage, 1.3) + s.normal(0, 0.06))
	b.bulgeN = s.in(1, 2) + 2*(1-stage)
	b.bulgeRe = s.in(0.10, 0.16) + 0.08*b.bulge
	b.diskH = s.in(0.28, 0.36)
	b.young = clamp01(0.2 + 0.4*stage + s.normal(0, 0.15))
	b.oldColour = blend(b.oldColour, midStars, clamp01(0.6*stage))
	cosI := s.Float64()
	thick := s.in(0.10, 0.2)
	if cosI < 0.31 {
		b.edgeOn = true
		b.axis = thick + 0.4*cosI
		b.diskH *= 1.2 // r90 is measured in a round aperture
		b.bulgeQ = s.in(0.5, 0.9)
		b.bulgeRe *= 1.2
		if s.chance(0.22) && b.bulge > 0.1 {
			b.bulgePow = s.in(3, 5)
			b.bulgeRe *= 1.4
			b.bulgeQ = s.in(0.5, 0.65)
		}
		if s.chance(0.25) {
			b.dust = s.in(0.4, 2.5)
			b.dustAt = s.normal(0, 0.015)
		}
		return
	}
	b.axis = math.Sqrt(cosI*cosI + thick*thick*(1-cosI*cosI))
	b.bulgeQ = math.Sqrt(cosI*cosI + 0.36*(1-cosI*cosI))

	if s.chance(0.8) {
		u := s.Float64()
		switch {
		case u < 0.09:
			b.arms = 1
		case u < 0.58:
			b.arms = 2
		case u < 0.75:
			b.arms = 3
		case u < 0.87:
			b.arms = 4
		default:
			b.arms = 5 + s.IntN(2)
		}
		deg := 6 + 18*stage*s.in(0.5, 1.2) + s.in(0, 7)
		if b.arms == 1 {
			deg *= 0.8
		}
		b.pitch = deg * math.Pi / 180
		b.armPhase = s.in(0, 2*math.Pi)
		b.armDepth = s.in(0.2, 1)
		b.armSharp = s.in(1.2, 4)
		b.armUneven = s.in(0, 0.4)
		b.clumps = s.in(0.1, 0.6)
		b.knots = s.poisson(30 * b.young * b.armDepth)
	} else {
		b.young *= 0.6
	}
	if s.chance(0.58) {
		b.bar = s.beta(2, 2)
		b.barLen = s.in(0.2, 0.5)
		b.barAngle = s.in(0, math.Pi)
		if b.arms == 2 { // grand-design arms start at the bar's ends
			b.armPhase = 2 * b.barAngle
		}
	}
	if s.chance(0.18) {
		b.ring = s.in(0.45, 1)
		b.ringR = s.in(0.35, 0.75)
		b.ringW = s.in(0.05, 0.10)
		b.armDepth *= 0.4
	}
}

func drawIrregular(b *body, s stream) {
	b.bulge = 0.05 * s.Float64()
	b.bulgeN, b.bulgeRe, b.bulgeQ = 1, 0.15, 0.8
	b.diskH = s.in(0.28, 0.36)
	b.axis = s.in(0.4, 1)
	b.young = s.in(0.6, 0.95)
	b.oldColour = blend(midStars, youngStars, s.in(0.2, 0.9))
	b.clumps = s.in(0.9, 1.6)
	b.knots = 4 + s.poisson(8)
	b.warp = s.normal(0, 0.5)
}

// drawOddities adds what question 6 asks for. Rings are drawn with the disk.
func drawOddities(g *galaxy, s stream) {
	b := &g.main
	switch u := s.Float64(); {
	case u < 0.075:
		g.merger = s.in(0.3, 1)
		o := &g.second
		*o = body{bulgePow: 2, angle: s.in(0, 2*math.Pi), noise: s.Uint64()}
		o.oldColour, o.newColour = b.oldColour, b.newColour
		if s.chance(0.6) {
			drawDisk(o, s)
		} else {
			drawElliptical(o, s)
		}
		o.size = s.in(0.35, 0.9)
		// The closer the pair, the more it looks like one system.
		d, a := s.in(0.3, 0.6)+0.75*(1-g.merger)+0.3*o.size, s.in(0, 2*math.Pi)
		o.x, o.y = d*math.Cos(a), d*math.Sin(a)
		o.light = b.light * o.size * o.size * s.in(0.6, 1.3)
		b.warp = s.normal(0, 0.35) * g.merger
		o.warp = s.normal(0, 0.35) * g.merger
	case u < 0.105:
		g.disturbed = s.in(0.3, 1)
		b.warp = math.Copysign(s.in(0.3, 0.9), s.normal(0, 1)) * g.disturbed
	case u < 0.111:
		g.lens = s.in(0.3, 1)
	case u < 0.122:
		g.dust = s.in(0.3, 1)
		b.dust = math.Max(b.dust, 3*g.dust)
		b.dustAt = s.normal(0, 0.03)
	case u < 0.175:
		g.other = s.in(0.2, 1)
		g.otherKind = [6]int{otherStar, otherStar, otherStar, otherOverlap, otherOverlap, otherColour}[s.IntN(6)]
		switch g.otherKind {
		case otherOverlap:
			o := &g.second
			*o = body{bulgePow: 2, angle: s.in(0, 2*math.Pi), noise: s.Uint64()}
			o.oldColour, o.newColour = oldStars, youngStars
			drawElliptical(o, s)
			o.size = s.in(0.15, 0.35)
			a := s.in(0, 2*math.Pi)
			o.x, o.y = 0.5*math.Cos(a), 0.5*math.Sin(a)
			o.light = b.light * 0.5 * o.size * (0.4 + g.other)
		case otherColour:
			b.oldColour = blend(b.oldColour, rgb{0.75, 1.3, 0.95}, 0.5*g.other)
			b.newColour = blend(b.newColour, rgb{0.75, 1.3, 0.95}, 0.5*g.other)
		}
	}
	if s.chance(0.012) {
		g.trail = s.in(0.3, 1)
	}
}
