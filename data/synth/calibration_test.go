package synth

import (
	"image"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"galaxy/data"
	"galaxy/labels"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// What the real catalogue looks like: means and standard deviations of the 37
// columns over 3,461 galaxies drawn from the challenge's training set (their
// standard error is at most 0.005), in file order.
var (
	realMean = []float64{
		0.4463, 0.5270, 0.0267, // smooth, features, artifact
		0.1086, 0.4184, // edge-on
		0.0964, 0.3221, // bar
		0.2023, 0.2161, // arms
		0.0427, 0.1698, 0.1710, 0.0350, // bulge
		0.2259, 0.7741, // odd
		0.1798, 0.2133, 0.0532, // roundness
		0.0319, 0.0138, 0.0310, 0.0379, 0.0667, 0.0405, 0.0041, // oddity
		0.0666, 0.0113, 0.0308, // edge-on bulge
		0.0910, 0.0775, 0.0339, // winding
		0.0134, 0.0883, 0.0161, 0.0066, 0.0070, 0.0708, // number of arms
	}
	realSD = []float64{
		0.2848, 0.2978, 0.0428,
		0.2169, 0.2977,
		0.1694, 0.2442,
		0.2782, 0.1795,
		0.0931, 0.1875, 0.1762, 0.0580,
		0.2241, 0.2241,
		0.2456, 0.2174, 0.1059,
		0.0964, 0.0276, 0.0500, 0.0773, 0.0950, 0.1061, 0.0241,
		0.1443, 0.0410, 0.0931,
		0.1479, 0.1321, 0.0898,
		0.0465, 0.1887, 0.0632, 0.0337, 0.0383, 0.1051,
	}
)

// sample is the labels of 20,000 galaxies, simulated without painting them.
var sample = sync.OnceValue(func() [][]float64 {
	rows := make([][]float64, 20_000)
	for i := range rows {
		rows[i] = challenge.vote(newGalaxy(1, i), newStream(1, i, streamVotes))
	}
	return rows
})

func moments(rows [][]float64) (mean, sd []float64) {
	mean, sd = make([]float64, schema.Width()), make([]float64, schema.Width())
	for _, r := range rows {
		for k, v := range r {
			mean[k] += v / float64(len(rows))
		}
	}
	for _, r := range rows {
		for k, v := range r {
			sd[k] += (v - mean[k]) * (v - mean[k]) / float64(len(rows))
		}
	}
	for k := range sd {
		sd[k] = math.Sqrt(sd[k])
	}
	return mean, sd
}

func TestColumnsLookLikeTheRealOnes(t *testing.T) {
	rows := sample()
	mean, sd := moments(rows)
	names := schema.Columns()
	variance := 0.0
	for k := range mean {
		// Of a rare answer the relative error counts, of a common one the
		// absolute.
		if d := math.Abs(mean[k] - realMean[k]); d > math.Min(0.025, 0.004+0.3*realMean[k]) {
			t.Errorf("%s: mean %.4f, real %.4f", names[k], mean[k], realMean[k])
		}
		if d := math.Abs(sd[k] - realSD[k]); d > math.Min(0.035, 0.02+0.1*realSD[k]) {
			t.Errorf("%s: standard deviation %.4f, real %.4f", names[k], sd[k], realSD[k])
		}
		variance += sd[k] * sd[k] / float64(schema.Width())
	}
	// The constant predictor's RMSE is 0.1615 on real galaxies.
	if rmse := math.Sqrt(variance); math.Abs(rmse-0.1615) > 0.004 {
		t.Errorf("RMSE of the constant predictor %.4f, want 0.1615 ± 0.004", rmse)
	}
}

func TestLargestColumn(t *testing.T) {
	rows := sample()
	share := make(map[string]float64)
	names := schema.Columns()
	for _, r := range rows {
		f := make([]float32, schema.Width())
		for k, v := range r {
			f[k] = float32(v)
		}
		share[names[labels.Largest(f)]] += 1 / float64(len(rows))
	}
	// Shares in all 61,578 galaxies of the challenge.
	for _, want := range []struct {
		column           string
		share, tolerance float64
	}{
		{"Class6.2", 0.596, 0.03}, {"Class1.2", 0.259, 0.03}, {"Class1.1", 0.088, 0.02}, {"Class6.1", 0.056, 0.02}, {"Class1.3", 0.001, 0.002},
	} {
		if got := share[want.column]; math.Abs(got-want.share) > want.tolerance {
			t.Errorf("%s is the largest column of %.4f, want %.3f ± %.3f", want.column, got, want.share, want.tolerance)
		}
		delete(share, want.column)
	}
	if len(share) > 0 {
		t.Errorf("other columns are the largest somewhere: %v", share)
	}
}

// The clean classes of Zhu et al. 2019, as shares of all 61,578 galaxies.
func TestFiveClasses(t *testing.T) {
	rows := sample()
	count := [5]float64{}
	for _, r := range rows {
		smooth, disk := r[q1] >= 0.469, r[q1+1] >= 0.430
		switch {
		case smooth && r[q7] >= 0.5:
			count[0]++
		case smooth && r[q7+1] >= 0.5:
			count[1]++
		case smooth && r[q7+2] >= 0.5:
			count[2]++
		case disk && r[q2] >= 0.602:
			count[3]++
		case disk && r[q2+1] >= 0.715 && r[q4] >= 0.619:
			count[4]++
		}
	}
	for k, want := range [5]float64{8434, 8069, 578, 3903, 7806} {
		got := count[k] / float64(len(rows))
		want /= 61578
		if math.Abs(got-want) > 0.01+0.3*want {
			t.Errorf("class %d: %.4f of the galaxies, real %.4f", k, got, want)
		}
	}
}

// What the volunteers see must follow what is there: the better a galaxy is
// resolved and the stronger its pattern, the more of them find it.
func TestFeaturesFade(t *testing.T) {
	disk := func() *galaxy {
		for i := 0; ; i++ {
			g := newGalaxy(5, i)
			if g.kind == diskGalaxy && g.main.arms == 2 && g.main.axis > 0.6 && g.main.armDepth > 0.6 && g.merger == 0 {
				g.wobble = [10]float64{}
				return g
			}
		}
	}
	share := func(change func(*galaxy)) (features, arms float64) {
		g := disk()
		change(g)
		const turns = 40
		for k := range turns {
			r := challenge.vote(g, newStream(9, k, streamVotes))
			features += r[q1+1] / turns
			arms += r[q4] / turns
		}
		return features, arms
	}
	f, a := share(func(g *galaxy) { g.r90, g.seeing = 15, 1.2 })
	if f < 0.8 || a < 0.7 {
		t.Errorf("large and clear spiral: features %.2f, arms %.2f, want most", f, a)
	}
	for name, change := range map[string]func(*galaxy){
		"small":    func(g *galaxy) { g.r90, g.seeing = 3, 1.6 },
		"faint":    func(g *galaxy) { g.r90, g.seeing = 15, 1.2; g.faint /= 30 },
		"shallow":  func(g *galaxy) { g.r90, g.seeing = 15, 1.2; g.main.armDepth = 0.05 },
		"featured": func(g *galaxy) { g.r90, g.seeing = 15, 1.2; g.main.arms, g.main.bar, g.main.ring = 0, 0, 0 },
	} {
		if _, got := share(change); got > a-0.25 {
			t.Errorf("%s: arms %.2f, clear %.2f: no fading", name, got, a)
		}
	}
}

// thumbnail is the mean colour of each of side×side cells of the middle 224
// pixels. The JPEG in between makes no difference to such means.
func thumbnail(img *image.RGBA, side int) []float64 {
	const crop = 224
	from := (data.ImageSide - crop) / 2
	cell := crop / side
	out := make([]float64, side*side*3)
	for j := range side * cell {
		for i := range side * cell {
			at := (j/cell*side + i/cell) * 3
			pixel := img.Pix[img.PixOffset(from+i, from+j):]
			for k := range 3 {
				out[at+k] += float64(pixel[k]) / 255 / float64(cell*cell)
			}
		}
	}
	return out
}

// A linear model on 8×8 thumbnails must not do what a deep network does: on
// the real images it gets to 0.92 of the constant predictor's RMSE, where a
// ResNet34 gets below 0.7.
func TestThumbnailsAreNotEnough(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("paints 1,500 galaxies, and has no shared state of its own to race for")
	}
	const n, fit, side, width = 1500, 1050, 8, 8*8*3 + 1
	answers := schema.Width()
	x, y := mat.NewDense(n, width, nil), mat.NewDense(n, answers, nil)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for first := range workers {
		wg.Go(func() {
			p := newPainter()
			for i := first; i < n; i += workers {
				g := newGalaxy(1, i)
				y.SetRow(i, challenge.vote(g, newStream(1, i, streamVotes)))
				x.SetRow(i, append(thumbnail(p.paint(g, newStream(1, i, streamSky)), side), 1))
			}
		})
	}
	wg.Wait()
	xFit, yFit := x.Slice(0, fit, 0, width), y.Slice(0, fit, 0, answers)
	xTest, yTest := x.Slice(fit, n, 0, width), y.Slice(fit, n, 0, answers)
	constant := 0.0
	for k := range answers {
		mean := mat.Sum(yFit.(*mat.Dense).ColView(k)) / fit
		for i := range n - fit {
			d := yTest.At(i, k) - mean
			constant += d * d
		}
	}
	best := math.Inf(1)
	for _, lambda := range []float64{0.3, 1, 3, 10} { // the best one: in the linear model's favour
		var gram, moment, weights, predicted mat.Dense
		gram.Mul(xFit.T(), xFit)
		for k := range width - 1 { // the intercept is not shrunk
			gram.Set(k, k, gram.At(k, k)+lambda)
		}
		moment.Mul(xFit.T(), yFit)
		if err := weights.Solve(&gram, &moment); err != nil {
			t.Fatal(err)
		}
		predicted.Mul(xTest, &weights)
		predicted.Sub(&predicted, yTest)
		best = math.Min(best, math.Pow(mat.Norm(&predicted, 2), 2))
	}
	ratio := math.Sqrt(best / constant)
	t.Logf("ridge regression reaches %.3f of the constant predictor's RMSE", ratio)
	if ratio < 0.87 || ratio > 0.97 {
		t.Errorf("ratio %.3f, want 0.87 to 0.97 (0.92 on real images)", ratio)
	}
}

// The sky of real images, in the corners without stars, scatters by 3.4 of 255 in light and by 1.1 in colour, R - B: the median
// of 466 corners of 150 images. Without the survey's compression the colours scatter more than the light.
func TestSkyHasLittleColour(t *testing.T) {
	const side, from = 64, 20
	p := newPainter()
	var light, colour []float64
	for i := range 40 {
		m := p.paint(newGalaxy(7, i), newStream(7, i, streamSky))
		for _, at := range []image.Point{{from, from}, {data.ImageSide - from - side, from}, {from, data.ImageSide - from - side}} {
			var l, c, brightest float64
			var lights, colours []float64
			for y := range side {
				for x := range side {
					px := m.RGBAAt(at.X+x, at.Y+y)
					l, c = (float64(px.R)+float64(px.G)+float64(px.B))/3, float64(px.R)-float64(px.B)
					lights, colours, brightest = append(lights, l), append(colours, c), max(brightest, l)
				}
			}
			if brightest <= 40 {
				light, colour = append(light, stat.StdDev(lights, nil)), append(colour, stat.StdDev(colours, nil))
			}
		}
	}
	slices.Sort(light)
	slices.Sort(colour)
	l, c := light[len(light)/2], colour[len(colour)/2]
	t.Logf("scatter of light %.2f, of colour %.2f", l, c)
	if !(l > 2.5 && l < 4.2) || !(c < 2.5) {
		t.Errorf("the sky scatters by %.2f in light and %.2f in colour, expected about 3.4 and 1.1", l, c)
	}
}
