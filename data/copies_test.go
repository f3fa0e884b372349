package data

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

// cacheOf returns a cache in memory with RGB images of one size, whose ids are 0, 1, 2 …, in the
// splits train, validation, test, train …
func cacheOf(size int, images ...[]byte) *Cache {
	c := &Cache{manifest: Manifest{Size: size}, row: size * size * 3}
	pixels := make([]byte, 0, len(images)*c.row)
	for i, m := range images {
		pixels = append(pixels, m...)
		c.keys, c.sums = append(c.keys, int64(i)), append(c.sums, xxh3.Hash(m))
		c.indices[i%splits], c.indices[All] = append(c.indices[i%splits], i), append(c.indices[All], i)
	}
	c.images = mmap.MMap(pixels)
	return c
}

// sky returns a galaxy: a round shape on a sky with noise, different for every seed.
func sky(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	m := make([]byte, 0, size*size*3)
	width := float64(size) / (6 + 6*r.Float64())
	for y := range size {
		for x := range size {
			dx, dy := float64(x)-float64(size-1)/2, float64(y)-float64(size-1)/2
			v := 150*math.Exp(-(dx*dx+dy*dy)/(2*width*width)) + 30 + 6*r.NormFloat64()
			for range 3 {
				m = append(m, uint8(min(max(v+2*r.NormFloat64(), 0), 255)))
			}
		}
	}
	return m
}

// moved returns an image after quarter turns, in the mirror if turns is above 3.
func moved(m []byte, size, turns int) []byte {
	to := make([]byte, len(m))
	for y := range size {
		for x := range size {
			u, v := x, y
			for range turns % 4 {
				u, v = size-1-v, u
			}
			if turns > 3 {
				u = size - 1 - u
			}
			copy(to[3*(v*size+u):][:3], m[3*(y*size+x):])
		}
	}
	return to
}

// noisy returns an image that is brighter and has more noise.
func noisy(m []byte, gain, noise float64, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	to := make([]byte, len(m))
	for i, v := range m {
		to[i] = uint8(min(max(float64(v)*gain+noise*r.NormFloat64(), 0), 255))
	}
	return to
}

func copiesOf(t rapid.TB, c *Cache, near bool) *Copies {
	t.Helper()
	all, err := c.Copies(context.Background(), near)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// groupsOf gives galaxies that pairs connect the same number, the smallest member's.
func groupsOf(c *Cache, all *Copies) []int {
	group := make([]int, c.Len())
	number := map[ID]int{}
	for i := range group {
		group[i], number[c.ID(i)] = i, i
	}
	for range all.Pairs {
		for _, p := range all.Pairs {
			a, b := number[p.A], number[p.B]
			group[a] = min(group[a], group[b])
			group[b] = group[a]
		}
	}
	return group
}

// twinSimilarity is the correlation of Laplacians, by float64 and without tables.
func twinSimilarity(a, b []byte, size int) float64 {
	laplacian := func(m []byte) []float64 {
		grey := func(x, y int) float64 {
			x, y = min(max(x, 0), size-1), min(max(y, 0), size-1)
			p := m[3*(y*size+x):]
			return (float64(p[0]) + float64(p[1]) + float64(p[2])) / 3
		}
		var l []float64
		for y := range size {
			for x := range size {
				l = append(l, 4*grey(x, y)-grey(x-1, y)-grey(x+1, y)-grey(x, y-1)-grey(x, y+1))
			}
		}
		return l
	}
	best := -1.0
	first := laplacian(a)
	for turn := range 8 {
		var both, squaresA, squaresB float64
		for i, v := range laplacian(moved(b, size, turn)) {
			both, squaresA, squaresB = both+first[i]*v, squaresA+first[i]*first[i], squaresB+v*v
		}
		best = max(best, both/math.Sqrt(squaresA*squaresB))
	}
	return best
}

// Every copy is found in the group of its original, at once if its pixels are equal and with near if
// it was turned, mirrored, brightened or given noise; and no other images are connected. The twin
// compares all pairs.
func TestCopies(t *testing.T) {
	for _, size := range []int{32, 33, 64} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				n := rapid.IntRange(2, 8).Draw(rt, "originals")
				seed := rapid.Uint64Range(0, 1<<40).Draw(rt, "seed")
				var images [][]byte
				for i := range n {
					images = append(images, sky(size, seed+uint64(i)))
				}
				for k := range rapid.IntRange(0, 6).Draw(rt, "copies") {
					m := images[rapid.IntRange(0, n-1).Draw(rt, "of")]
					switch rapid.IntRange(0, 2).Draw(rt, "kind") {
					case 1:
						m = moved(m, size, rapid.IntRange(0, 7).Draw(rt, "turns"))
					case 2:
						m = noisy(moved(m, size, rapid.IntRange(0, 7).Draw(rt, "turns")), 1.1, 0.5, seed+uint64(k))
					}
					images = append(images, m)
				}
				rand.New(rand.NewPCG(seed, 3)).Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
				c := cacheOf(size, images...)
				least := alike
				if size < detailSide {
					least = alikeSmall
				}
				equal, near := &Copies{}, &Copies{}
				for b := range images {
					for a := range b {
						p := CopyPair{A: c.ID(a), B: c.ID(b)}
						if string(images[a]) == string(images[b]) {
							equal.Pairs = append(equal.Pairs, p)
						}
						if twinSimilarity(images[a], images[b], size) >= least {
							near.Pairs = append(near.Pairs, p)
						}
					}
				}
				if diff := cmp.Diff(groupsOf(c, equal), groupsOf(c, copiesOf(rt, c, false))); diff != "" {
					rt.Errorf("equal images: %s", diff)
				}
				got := copiesOf(rt, c, true)
				if diff := cmp.Diff(groupsOf(c, near), groupsOf(c, got)); diff != "" {
					rt.Errorf("nearly equal images: %s", diff)
				}
				for _, p := range got.Pairs {
					a, _ := p.A.Integer()
					b, _ := p.B.Integer()
					if want := twinSimilarity(images[a], images[b], size); math.Abs(p.Similarity-want) > 1e-4 {
						rt.Errorf("similarity of %s and %s: %v, want %v", p.A, p.B, p.Similarity, want)
					}
				}
			})
		})
	}
}

// The counts, by hand: two groups, one of them across splits.
func TestCopiesCounts(t *testing.T) {
	a, b, x, y := sky(32, 1), sky(32, 2), sky(32, 3), sky(32, 4)
	c := cacheOf(32, a, x, a, y, b, moved(a, 32, 1), y) // train, validation, test, train …
	got := copiesOf(t, c, false)
	want := &Copies{
		Pairs: []CopyPair{
			{"0", "train", "2", "test", 1},
			{"3", "train", "6", "train", 1},
		},
		Groups: 2, Galaxies: 4, Crossing: 1, Leaked: Counts{Test: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = copiesOf(t, c, true)
	if got.Groups != 2 || got.Galaxies != 5 || got.Leaked != (Counts{Test: 2}) || !got.Near || got.NotCompared != 0 {
		t.Errorf("%+v", got)
	}
}

// Images without detail are equal or are not compared: black ones, and sources of a few pixels,
// which look alike.
func TestCopiesOfLittleDetail(t *testing.T) {
	dot := func(at int) []byte {
		m := make([]byte, 64*64*3)
		m[at] = 255
		return m
	}
	c := cacheOf(64, dot(0), dot(3), dot(0), dot(1000), dot(4000))
	got := copiesOf(t, c, true)
	if got.Groups != 1 || got.Galaxies != 2 || got.NotCompared != 4 {
		t.Errorf("%+v", got)
	}
	if small := copiesOf(t, cacheOf(8, sky(8, 1), sky(8, 1), sky(8, 2)), true); small.Groups != 1 || small.NotCompared != 2 {
		t.Errorf("%+v", small)
	}
}

// Many images that share parts of their hashes take time in proportion to their number.
func TestCopiesOfOneShape(t *testing.T) {
	var images [][]byte
	for i := range 400 {
		images = append(images, noisy(sky(32, 1), 1, 0.2, uint64(i)))
	}
	if got := copiesOf(t, cacheOf(32, images...), true); got.Groups != 1 || got.Galaxies != 400 {
		t.Errorf("%+v", got)
	}
}

func TestCopiesErrors(t *testing.T) {
	c := cacheOf(32, sky(32, 1), sky(32, 2))
	c.images[5] ^= 1
	_, err := c.Copies(context.Background(), true)
	wantError(t, err, "galaxy 0: its image was edited or damaged")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := cacheOf(32, sky(32, 1), sky(32, 2)).Copies(ctx, true); err == nil {
		t.Error("no error of a context that was cancelled")
	}
}

// shrinkRows twice is the mean of areas.
func TestShrinkRows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(2, 20).Draw(rt, "size")
		side := rapid.IntRange(1, size).Draw(rt, "side")
		from := rapid.SliceOfN(rapid.Float32Range(0, 255), size*size, size*size).Draw(rt, "pixels")
		rows, got := make([]float32, size*side), make([]float32, side*side)
		shrinkRows(rows, from, size, side)
		shrinkRows(got, rows, size, side)
		step := float64(size) / float64(side)
		covered := func(pixel, cell int) float64 {
			return max(0, min(float64(pixel+1), float64(cell+1)*step)-max(float64(pixel), float64(cell)*step))
		}
		for v := range side {
			for u := range side {
				want := 0.0
				for y := range size {
					for x := range size {
						want += covered(x, u) * covered(y, v) * float64(from[y*size+x]) / (step * step)
					}
				}
				if math.Abs(want-float64(got[v*side+u])) > 1e-2 {
					rt.Errorf("cell %d, %d is %v, want %v", u, v, got[v*side+u], want)
				}
			}
		}
	})
}

func BenchmarkCopies(b *testing.B) {
	var images [][]byte
	for i := range 2000 {
		images = append(images, sky(64, uint64(i)))
	}
	c := cacheOf(64, images...)
	for _, near := range []bool{false, true} {
		b.Run(fmt.Sprint("near ", near), func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Copies(context.Background(), near); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/float64(c.Len()), "µs/image")
		})
	}
}
