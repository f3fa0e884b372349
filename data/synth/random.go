package synth

import (
	"math"
	"math/rand/v2"
)

// Each galaxy draws from three independent streams, so that a change to how
// the sky is painted leaves every label as it was, and the reverse.
const (
	streamMorphology = iota + 1
	streamVotes
	streamSky
)

// mix is the finaliser of splitmix64 (Steele, Lea & Flood 2014): a bijection
// on 64 bits whose output looks random even for consecutive inputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// stream is a random number generator with the distributions used here.
type stream struct{ *rand.Rand }

// newStream returns the generator of one purpose for galaxy i. It depends on
// (seed, i, purpose) only.
func newStream(seed int64, i int, purpose uint64) stream {
	a := mix(uint64(seed))
	b := mix(a ^ uint64(i))
	return stream{rand.New(rand.NewPCG(mix(b^purpose), mix(b+purpose*0x9e3779b97f4a7c15)))}
}

// in returns a uniform number in [lo, hi).
func (s stream) in(lo, hi float64) float64 { return lo + (hi-lo)*s.Float64() }

// normal returns a normal deviate.
func (s stream) normal(mean, sd float64) float64 { return mean + sd*s.NormFloat64() }

// chance is true with probability p.
func (s stream) chance(p float64) bool { return s.Float64() < p }

// poisson returns a Poisson deviate (Knuth's product method; mean below ~100).
func (s stream) poisson(mean float64) int {
	limit, n := math.Exp(-mean), 0
	for p := s.Float64(); p > limit; p *= s.Float64() {
		n++
	}
	return n
}

// beta returns a deviate of the beta distribution with small integer
// parameters, as the a-th smallest of a+b-1 uniforms.
func (s stream) beta(a, b int) float64 {
	u := make([]float64, a+b-1)
	for i := range u {
		u[i] = s.Float64()
		for j := i; j > 0 && u[j] < u[j-1]; j-- {
			u[j], u[j-1] = u[j-1], u[j]
		}
	}
	return u[a-1]
}

// lattice is smooth two-dimensional value noise in [-1, 1] with unit cells:
// random values at integer points, joined by a smoothstep.
func lattice(key uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int64(fx), int64(fy)
	x -= fx
	y -= fy
	at := func(dx, dy int64) float64 {
		h := mix(key ^ uint64(ix+dx)*0x9e3779b97f4a7c15 ^ uint64(iy+dy)*0xd1b54a32d192ed03)
		return float64(h>>11)*(2.0/(1<<53)) - 1
	}
	x *= x * (3 - 2*x)
	y *= y * (3 - 2*y)
	a := at(0, 0) + x*(at(1, 0)-at(0, 0))
	b := at(0, 1) + x*(at(1, 1)-at(0, 1))
	return a + y*(b-a)
}
