package synth

import (
	"math"

	"galaxy/labels"
)

var (
	// schema is what the volunteers of the challenge are asked. believe knows each of its
	// questions.
	schema    = labels.GalaxyZoo()
	questions = schema.Questions()

	// First columns of the questions, to write beliefs readably.
	q1, q2, q3, q4, q5 = first(1), first(2), first(3), first(4), first(5)
	q6, q7, q8, q9     = first(6), first(7), first(8), first(9)
	qA, qB             = first(10), first(11)
)

func first(number int) int { return questions[number-1].First }

// beliefs holds, for each question, what the image says for each answer:
// logits of the average volunteer's choice, laid out like the label columns.
type beliefs []float64

// sigma is the standard deviation of the point spread in units of r90.
func (g *galaxy) sigma() float64 { return g.seeing / 2.355 / g.r90 }

// survives is the fraction of a pattern of the given wavelength (units of r90)
// that is left after the seeing: the Fourier transform of a Gaussian.
func (g *galaxy) survives(wavelength float64) float64 {
	k := 2 * math.Pi / wavelength * g.sigma()
	return math.Exp(-k * k / 2)
}

// above is how well a surface brightness stands out of the sky noise, from 0
// to 1, when averaged over one resolution element. Half is reached at a signal
// of 14 times the noise: patterns are a small part of the light.
func (g *galaxy) above(brightness float64) float64 {
	pixels := math.Max(1, g.seeing/detectorPixel)
	x := brightness * pixels / g.sky
	return x * x / (x*x + 200)
}

// apparentAxis is the axis ratio after the seeing has rounded the image.
func (g *galaxy) apparentAxis() float64 {
	b := &g.main
	q := b.bulgeQ
	if g.kind == diskGalaxy || g.kind == irregularGalaxy {
		q = b.axis
		if b.edgeOn { // the bulge thickens the look of an edge-on disk
			q = math.Max(q, 0.12) + 0.25*b.bulge*b.bulgeQ
		}
	}
	s2 := g.sigma() * g.sigma() * 3
	const a2 = 0.35 * 0.35 // the extent of the bright part, squared
	return math.Sqrt((q*q*a2 + s2) / (a2 + s2))
}

// evidence is what is left of the truth in the image: each feature from 0
// (nothing to be seen) to 1 (plain to everybody).
type evidence struct {
	axis     float64 // apparent axis ratio
	tilt     float64 // 1 where the disk is open to the view, 0 edge-on
	resolved float64 // 1 where the seeing hides nothing

	arms, bar, ring                                 float64
	edge                                            float64 // an edge-on disk
	disk                                            float64 // a disk without pattern
	lens, disturbed, irregular, other, merger, dust float64
}

// look derives the evidence: true strength × what the seeing leaves of its
// scale × how far it stands out of the noise × how far it is open to the view.
func (g *galaxy) look() evidence {
	b := &g.main
	e := evidence{axis: g.apparentAxis(), resolved: g.survives(0.5)}
	if !b.edgeOn {
		e.tilt = clamp01((b.axis - 0.18) / 0.4)
	}
	disk := g.faint * (1 - b.bulge) * 0.35 // brightness at a typical radius
	if b.arms > 0 {
		// Distance between neighbouring arms at half of r90.
		apart := math.Min(1.2, 2*math.Pi*0.55*math.Tan(b.pitch)/float64(b.arms)*1.5)
		see := g.survives(apart) * g.above(disk*b.armDepth) * (0.35 + 0.65*e.tilt)
		e.arms = clamp01(1.45 * see * math.Sqrt(b.armDepth) * (0.6 + 0.4*b.young))
	}
	if b.bar > 0 {
		e.bar = clamp01(1.2 * b.bar * g.survives(1.4*b.barLen) * g.above(disk) * e.tilt)
	}
	if b.ring > 0 {
		e.ring = clamp01(1.4 * b.ring * g.survives(6*b.ringW) * g.above(disk*b.ring) * (0.3 + 0.7*e.tilt))
	}
	if g.kind == diskGalaxy && !b.edgeOn {
		e.disk = 0.55 * (1 - b.bulge) * (0.4 + 0.6*b.young) * e.resolved
	}
	e.edge = 1 / (1 + math.Exp((e.axis-0.42)/0.05))
	e.irregular = g.irregular * g.survives(0.4) * g.above(g.faint*0.3)
	e.disturbed = g.disturbed * g.survives(0.6) * g.above(g.faint*0.2)
	e.merger = g.merger * (0.4 + 0.6*e.resolved)
	e.lens = g.lens * (0.3 + 0.7*g.survives(0.4))
	e.dust = g.dust
	if b.edgeOn {
		e.dust += 0.15 * b.dust
	}
	e.dust = clamp01(e.dust) * g.survives(0.35)
	// Some take a merger's companion for something else.
	e.other = math.Max(g.other*(0.5+0.5*e.resolved), math.Max(0.5*g.trail, 0.45*e.merger))
	return e
}

// features is how far anything but a smooth, round galaxy is to be seen.
func (e *evidence) features(b *body) float64 {
	// A thin dim streak without bulge or young stars passes for a
	// cigar-shaped smooth galaxy.
	edge := math.Min(0.97, 0.47+0.9*b.bulge+0.65*b.young) * e.edge
	none := (1 - e.arms) * (1 - 0.9*e.bar) * (1 - e.ring) * (1 - edge) * (1 - e.disk) *
		(1 - 0.6*e.irregular) * (1 - 0.5*e.merger) * (1 - 0.4*e.disturbed)
	return 1 - none
}

// believe turns the evidence into answers. The numbers are fitted to the real
// catalogue: its column means, their spread and their correlations.
func (g *galaxy) believe() beliefs {
	l := make(beliefs, schema.Width())
	b := &g.main
	e := g.look()

	// 1: smooth, features or disk, star or artifact.
	l[q1+1] = -1.6 + 6.45*e.features(b) + 0.35*g.wobble[0]
	l[q1+2] = -3.9 + 1.0*(1-e.resolved) + 1.2*g.trail + 0.8*g.other + 6*g.spoiled*g.spoiled + 0.5*g.wobble[1]
	// 2: edge-on?
	l[q2] = math.Max(-5, math.Min(3.2, (0.475-e.axis)/0.05)) + 0.7*g.wobble[2]
	// 3: a bar?
	l[q3] = -2.8 + 7*e.bar + 0.7*(1-e.tilt) + 0.6*g.wobble[3]
	// 4: spiral arms?
	l[q4] = -1.95 + 7.6*e.arms + 0.8*e.ring + 0.6*e.irregular + 0.6*g.wobble[4]
	// 5: bulge prominence, an ordered scale.
	prominence := 0.95*math.Sqrt(b.bulge) - 0.03
	switch g.kind {
	case irregularGalaxy:
		prominence *= 0.6
	case elliptical, artifact:
		// Who takes an elliptical for a disk sees a large bulge in it, but
		// seldom nothing else.
		prominence = math.Min(prominence, 0.62)
	}
	prominence += 0.12*(1-e.resolved) + 0.10*g.wobble[5]
	ordered(l[q5:q5+4], prominence, []float64{-0.22, 0.34, 0.66, 1.04}, 0.22)
	// 8, then 6: which oddity, and is there any?
	strange := [7]float64{e.ring, e.lens, e.disturbed, e.irregular, e.other, e.merger, e.dust}
	guess := [7]float64{0.05, 0.09, 0.20, 0.15, 0.42, 0.10, 0.02} // where nothing stands out
	calm := 1.0
	for k, s := range strange {
		calm *= 1 - 0.85*s
		l[q8+k] = math.Log(guess[k] + 8*s*s)
	}
	l[q6] = -2.38 + 6.2*(1-calm) + 0.4*(e.arms-0.3) + 0.5*g.wobble[6]
	// 7: how rounded, an ordered scale.
	ordered(l[q7:q7+3], 1-e.axis+0.04*g.wobble[7], []float64{0.04, 0.36, 0.615}, 0.125)
	// 9: bulge shape of an edge-on disk.
	boxy := clamp01((b.bulgePow - 2) / 2)
	l[q9] = 5 * (math.Min(b.bulge, 0.6) - 0.1)
	l[q9+1] = -1.4 + 4*boxy*e.resolved
	l[q9+2] = 0.9 - 6*b.bulge
	// 10: winding, an ordered scale in the logarithm of the pitch angle; who
	// sees arms where there are none sees them tight.
	degrees := 15.0
	if b.arms > 0 {
		degrees = b.pitch * 180 / math.Pi
	}
	ordered(l[qA:qA+3], math.Log(degrees)+0.22*g.wobble[8], []float64{2.62, 3.02, 3.48}, 0.33)
	// 11: number of arms; two is the answer of habit, and who cannot count
	// them says so.
	habit := [5]float64{-1.4, 0, -1.4, -2.0, -1.9}
	for k := range habit {
		l[qB+k] = habit[k]
		if b.arms > 0 {
			off := math.Abs(float64(min(b.arms, 5) - k - 1))
			l[qB+k] += e.arms * (6.2 - 3.2*math.Min(off, 2))
		}
	}
	l[qB+5] = 1.7 + 0.6*g.wobble[9]
	return l
}

// ordered fills logits of an ordered scale: answer k is chosen around
// centres[k], with the given width.
func ordered(logits []float64, x float64, centres []float64, width float64) {
	for k := range logits {
		d := (x - centres[k]) / width
		logits[k] = -d * d / 2
	}
}

// choose returns the index that the uniform number u picks from weights p.
func choose(p []float64, u float64) int {
	sum := 0.0
	for _, v := range p {
		sum += v
	}
	u *= sum
	for k, v := range p {
		if u < v {
			return k
		}
		u -= v
	}
	return len(p) - 1
}
