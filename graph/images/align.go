package images

import (
	"fmt"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
)

// How Input.Align measures a galaxy. Lengths are fractions of the image's side.
const (
	alignSide      = 32       // moments are computed on images of about this side, pixels
	alignThreshold = 3.0      // of 255: light above the sky that counts
	alignFirst     = 1.0 / 8  // width of the first window
	alignNarrowest = 1.0 / 20 // smallest width of the later windows
	alignWidest    = 1.0 / 4  // and the largest
	alignRounds    = 6        // near convergence each halves the error of the squared width
	alignWidth     = 0.17     // width of a galaxy that is not rescaled
	// alignRescaled is the fraction of the logarithm of size that is removed: small
	// galaxies show less detail, and the volunteers saw them small.
	alignRescaled = 0.7
)

// alignment is the orientation and size of the galaxies of a batch, float32 [N] each: the
// cosine and sine of the major axis' angle, measured from right to down, and the factor
// by which to enlarge the galaxy.
type alignment struct{ cos, sin, zoom tf.Output }

// findAlignment measures the galaxies in the middle of x, float32 [N, size, size, channels] on
// the scale 0…255, by adaptive moments (Bernstein & Jarvis 2002, astro-ph/0107431) with
// a round window: the second moments of the light above the sky, weighted with a
// Gaussian as wide as the measured galaxy, so that neighbours do not count. If there is
// no light, the angle is 0 and the width alignNarrowest.
func findAlignment(s *op.Scope, x tf.Output) alignment {
	shape, err := x.Shape().ToSlice()
	if err != nil {
		s.UpdateErr("AvgPool", fmt.Errorf("shape of the images: %w", err))
		return alignment{}
	}
	number := func(v float64) tf.Output { return tg.Const(s.SubScope("number"), float32(v)) }
	mul := func(a, b tf.Output) tf.Output { return op.Mul(s.SubScope("mul"), a, b) }
	add := func(a, b tf.Output) tf.Output { return op.AddV2(s.SubScope("add"), a, b) }
	sub := func(a, b tf.Output) tf.Output { return op.Sub(s.SubScope("sub"), a, b) }
	over := func(a, b tf.Output) tf.Output { return op.DivNoNan(s.SubScope("over"), a, b) }

	// Light on a coarser grid, one row of pixels per image.
	k := max(1, shape[1]/alignSide)
	pooled := op.AvgPool(s, x, []int64{1, k, k, 1}, []int64{1, k, k, 1}, "VALID")
	side := shape[1] / k
	light := op.Reshape(s, op.Mean(s, pooled, tg.Const(s, []int32{3})), tg.Const(s, []int32{-1, int32(side * side)}))
	var border []int32
	var radius2, cross, plus []float32
	centre := float32(shape[1]-1) / 2
	for row := range side {
		for column := range side {
			if row == 0 || column == 0 || row == side-1 || column == side-1 {
				border = append(border, int32(row*side+column))
			}
			// The centre of the pooled pixel, as a fraction of the side.
			at := func(i int64) float32 { return (float32(i*k) + float32(k-1)/2 - centre) / float32(shape[1]) }
			u, v := at(column), at(row)
			radius2, cross, plus = append(radius2, u*u+v*v), append(cross, 2*u*v), append(plus, u*u-v*v)
		}
	}
	weights := func(name string, values []float32) tf.Output {
		return op.Reshape(s.SubScope(name), tg.Const(s.SubScope(name), values), tg.Const(s.SubScope(name).SubScope("shape"), []int32{1, -1}))
	}
	r2, uv, uu := weights("radius2", radius2), weights("cross", cross), weights("plus", plus)

	// The sky: the median of the border, which a bright neighbour does not move.
	edge := op.GatherV2(s.SubScope("border"), light, tg.Const(s, border), tg.Const(s.SubScope("axis"), int32(1)))
	half := len(border) / 2
	upper, _ := op.TopKV2(s, edge, tg.Const(s.SubScope("half"), int32(half)))
	sky := op.Slice(s, upper, tg.Const(s.SubScope("begin"), []int32{0, int32(half - 1)}), tg.Const(s.SubScope("count"), []int32{-1, 1}))
	light = op.Relu(s, sub(light, add(sky, number(alignThreshold))))

	sum := func(w, weight tf.Output) tf.Output {
		return op.Sum(s.SubScope("sum"), mul(w, weight), tg.Const(s.SubScope("over_pixels"), int32(1)), op.SumKeepDims(true))
	}
	one := tg.Const(s.SubScope("one"), []float32{1})
	width2 := add(op.ZerosLike(s, sky), number(alignFirst*alignFirst))
	var seen, total tf.Output
	for range alignRounds {
		window := op.Exp(s.SubScope("window"), op.Neg(s.SubScope("exponent"), over(r2, add(width2, width2))))
		seen = mul(light, window)
		total = sum(seen, one)
		width2 = op.ClipByValue(s.SubScope("width"), over(sum(seen, r2), total), number(alignNarrowest*alignNarrowest), number(alignWidest*alignWidest))
	}
	squeeze := func(v tf.Output) tf.Output {
		return op.Squeeze(s.SubScope("squeeze"), v, op.SqueezeAxis([]int64{1}))
	}
	angle := mul(number(0.5), op.Atan2(s, squeeze(sum(seen, uv)), squeeze(sum(seen, uu))))
	return alignment{
		cos: op.Cos(s, angle), sin: op.Sin(s, angle),
		zoom: op.Pow(s, over(number(alignWidth), op.Sqrt(s, squeeze(width2))), number(alignRescaled)),
	}
}
