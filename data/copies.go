package data

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Copies lists the galaxies of a cache that have the same image, or nearly: of several splits they
// make a model look better than it is, because it has seen the test images.
type Copies struct {
	// Pairs connect the galaxies of each group: a group of n has n-1 of them. They are in the order
	// of the cache.
	Pairs    []CopyPair `json:"pairs"`
	Groups   int        `json:"groups"`   // sets of galaxies with copies of one image
	Galaxies int        `json:"galaxies"` // in groups
	Crossing int        `json:"crossing"` // groups with galaxies of several splits
	// Leaked counts the galaxies of the validation and test splits with a copy in the train split.
	Leaked Counts `json:"leaked"`
	// Near is true if nearly equal images were looked for. NotCompared is the number of images that
	// were compared for equality only: they show too little detail.
	Near        bool `json:"near"`
	NotCompared int  `json:"not_compared"`
}

// A CopyPair is two galaxies with the same image, or nearly.
type CopyPair struct {
	A          ID      `json:"a"`
	SplitA     string  `json:"split_a"`
	B          ID      `json:"b"`
	SplitB     string  `json:"split_b"`
	Similarity float64 `json:"similarity"` // 1 for equal pixels, otherwise as for Cache.Copies
}

// Limits of the search for images that are nearly equal. They were chosen on four catalogues of
// SDSS and synthetic galaxies at 64 px: 10,348 images, no two of which are the same. There the
// largest similarity of two images was below 0.5; at 32 px it was 0.92. An image that was stored again
// as JPEG (quality 50 and above), rotated by quarter turns, brightened or made noisier had a
// similarity of 0.8 to 1 to itself at 64 px in 95 of 100 cases.
const (
	detailSide  = 64   // the grid on which images are compared, pixels
	leastSide   = 32   // of the stored images that are compared
	alike       = 0.7  // the least similarity on a grid of detailSide
	alikeSmall  = 0.95 // the same on smaller grids
	leastDetail = 20   // pixels that hold the detail of an image (detail)
	hashUnlike  = 0.32 // the fraction of different bits of two hashes that excludes a copy
	copyWindow  = 64   // images that one is compared with, per part of its hash
)

// Copies finds the galaxies with the same stored pixels, by their checksums, without reading the
// images. With near, it reads all images and also finds those that are nearly equal: the same
// picture compressed again, brighter, rotated by quarter turns or mirrored. It does not find
// pictures that are shifted, cut out differently, or rotated by other angles.
//
// The similarity of two images is the correlation of their details (type detailer), the largest over
// the eight positions. Two galaxies that look alike have a small one, since the noise of the sky
// counts too. Images of sources on a black sky have too little detail for this, and count as
// NotCompared.
//
// Candidates share a part of a hash, the signs of an image's details: a Marr-Hildreth hash (Zauner
// 2010, Implementation and Benchmarking of Perceptual Image Hash Functions), of means over the
// eight positions, so that all positions have one hash. Searching it by parts is due to Norouzi,
// Punjani & Fleet 2012 (Fast Search in Hamming Space with Multi-Index Hashing). An image is
// compared with at most copyWindow others per part, so the time is proportional to the number of
// images, times its logarithm. A rotated or mirrored copy has the same hash up to rounding, so it is found unless more
// than copyWindow images share each of its parts; others are found with a probability that grows
// with the similarity.
func (c *Cache) Copies(ctx context.Context, near bool) (*Copies, error) {
	f := newForest(c.Len())
	var different []int // one image of each kind
	for i, first := range c.firstEqual() {
		if first < i {
			f.join(first, i, 1)
		} else {
			different = append(different, i)
		}
	}
	notCompared := 0
	if near {
		var err error
		if notCompared, err = c.nearCopies(ctx, different, f); err != nil {
			return nil, err
		}
	}
	all := c.copies(f)
	all.Near, all.NotCompared = near, notCompared
	return all, nil
}

// firstEqual returns for each example the first one with the same pixels, by their checksums; it is the
// example itself if there is none before it.
func (c *Cache) firstEqual() []int {
	out, first := make([]int, c.Len()), make(map[uint64]int, c.Len())
	for i, sum := range c.sums {
		if _, seen := first[sum]; !seen {
			first[sum] = i
		}
		out[i] = first[sum]
	}
	return out
}

// copies turns a forest into Copies.
func (c *Cache) copies(f *forest) *Copies {
	split := make([]Split, c.Len())
	for s := range Split(splits) {
		for _, i := range c.indices[s] {
			split[i] = s
		}
	}
	all := &Copies{Pairs: []CopyPair{}}
	slices.SortFunc(f.pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.a, b.a), cmp.Compare(a.b, b.b)) })
	groups := map[int]Counts{}
	for _, p := range f.pairs {
		all.Pairs = append(all.Pairs, CopyPair{c.ID(p.a), split[p.a].String(), c.ID(p.b), split[p.b].String(), p.similarity})
		groups[f.root(p.a)] = Counts{}
	}
	all.Groups = len(groups)
	for i := range c.Len() {
		if n, member := groups[f.root(i)]; member {
			n.add(split[i])
			groups[f.root(i)] = n
			all.Galaxies++
		}
	}
	for _, n := range groups {
		if n.Train > 0 {
			all.Leaked.Validation += n.Validation
			all.Leaked.Test += n.Test
		}
		if most := max(n.Train, n.Validation, n.Test); most < n.Train+n.Validation+n.Test {
			all.Crossing++
		}
	}
	return all
}

// A pair of examples that are copies; a < b.
type pair struct {
	a, b       int
	similarity float64
}

// A forest holds groups of examples (union-find), and the pairs that made them.
type forest struct {
	parent []int32
	pairs  []pair
}

func newForest(n int) *forest {
	f := &forest{parent: make([]int32, n)}
	for i := range f.parent {
		f.parent[i] = int32(i)
	}
	return f
}

func (f *forest) root(i int) int {
	for int(f.parent[i]) != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = int(f.parent[i])
	}
	return i
}

// join makes one group of two.
func (f *forest) join(i, j int, similarity float64) {
	f.pairs = append(f.pairs, pair{min(i, j), max(i, j), similarity})
	f.parent[f.root(i)] = int32(f.root(j))
}

// nearCopies joins images that are nearly equal and returns how many could not be compared.
func (c *Cache) nearCopies(ctx context.Context, images []int, f *forest) (notCompared int, err error) {
	if c.Size() < leastSide {
		return len(images), nil
	}
	d := newDetailer(c.Size())
	hashes, err := c.hashAll(ctx, images, d)
	if err != nil {
		return 0, err
	}
	kept := make([]int32, 0, len(images))
	for k := range images {
		if hashes[k] != nil {
			kept = append(kept, int32(k))
		}
	}
	// As many bits as the number of images, less two: some images share a part by accident.
	width := min(max(bits.Len(uint(len(kept)))-2, 8), 16)
	least := alike
	if d.side < detailSide {
		least = alikeSmall
	}
	keys := make([]uint64, 0, len(kept))
	tried := map[[2]int32]bool{}
	a, b := d.buffers(), d.buffers()
	for first := 0; first+width <= len(d.orbits); first += width {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		keys = keys[:0]
		for _, k := range kept {
			// No detail at all, as in a black corner, makes nobody alike.
			if part := hashes[k].part(first, width); part != 0 {
				keys = append(keys, part<<32|uint64(k))
			}
		}
		slices.Sort(keys)
		for x, key := range keys {
			for _, other := range keys[x+1 : min(x+1+copyWindow, len(keys))] {
				if other>>32 != key>>32 {
					break
				}
				p := [2]int32{int32(key & math.MaxUint32), int32(other & math.MaxUint32)}
				i, j := images[p[0]], images[p[1]]
				if float64(hashes[p[0]].distance(hashes[p[1]])) > hashUnlike*float64(len(d.orbits)) || tried[p] || f.root(i) == f.root(j) {
					continue
				}
				tried[p] = true
				if err := c.detailOf(d, a, i); err != nil {
					return 0, err
				}
				if err := c.detailOf(d, b, j); err != nil {
					return 0, err
				}
				if s := d.similarity(a.detail, b.detail); s >= least {
					f.join(i, j, s)
				}
			}
		}
	}
	return len(images) - len(kept), nil
}

// detailOf reads example i and computes its detail.
func (c *Cache) detailOf(d *detailer, b *detailBuffers, i int) error {
	if b.pixels == nil {
		b.pixels = make([]byte, c.row)
	}
	if err := c.ReadImage(b.pixels, i); err != nil {
		return err
	}
	d.fill(b)
	return nil
}

// hashAll returns the hashes of images, nil for one with too little detail.
func (c *Cache) hashAll(ctx context.Context, images []int, d *detailer) ([]imageHash, error) {
	hashes := make([]imageHash, len(images))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	const block = 256
	buffers := sync.Pool{New: func() any { return d.buffers() }}
	for start := 0; start < len(images); start += block {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := buffers.Get().(*detailBuffers)
			defer buffers.Put(b)
			for k := start; k < min(start+block, len(images)); k++ {
				if err := c.detailOf(d, b, images[k]); err != nil {
					return err
				}
				if b.pixelsOfDetail >= leastDetail {
					hashes[k] = d.hash(b.detail)
				}
			}
			return nil
		})
	}
	return hashes, g.Wait()
}

// An imageHash is one bit per orbit of a detailer.
type imageHash []uint64

func (h imageHash) distance(other imageHash) (n int) {
	for k, w := range h {
		n += bits.OnesCount64(w ^ other[k])
	}
	return n
}

// part returns width bits from one on; width is at most 32.
func (h imageHash) part(first, width int) uint64 {
	word, shift := first/64, first%64
	v := h[word] >> shift
	if shift+width > 64 {
		v |= h[word+1] << (64 - shift)
	}
	return v & (1<<width - 1)
}

// A detailer computes the details of images: the grey image on a grid of side × side, by means of
// areas, through the Laplacian, divided by its norm. Large shapes, in which galaxies are alike,
// count little, and noise and small shapes, in which they differ, count much. All of its fields are
// read-only.
type detailer struct {
	size, side int
	turns      [8][]int32 // where pixel i of an image is in each of the eight positions
	orbits     [][]int32  // pixels that the positions exchange, from the centre outwards
}

// detailBuffers are the memory of a detailer for one image at a time.
type detailBuffers struct {
	pixels         []byte
	grey, rows     []float32
	detail         []float32 // [side, side]
	pixelsOfDetail float64   // (Σd²)²/Σd⁴: between how many pixels the detail is shared out
}

func newDetailer(size int) *detailer {
	d := &detailer{size: size, side: min(size, detailSide)}
	n := d.side
	for t := range d.turns {
		d.turns[t] = make([]int32, n*n)
	}
	for y := range n {
		for x := range n {
			u, v := x, y
			for t := range d.turns {
				d.turns[t][y*n+x] = int32(v*n + u)
				if t == 3 {
					u, v = v, u // the mirror image
				} else {
					u, v = n-1-v, u // a quarter turn
				}
			}
		}
	}
	for i := range n * n {
		orbit := make([]int32, 0, len(d.turns))
		for _, turn := range d.turns {
			orbit = append(orbit, turn[i])
		}
		if slices.Min(orbit) == int32(i) {
			d.orbits = append(d.orbits, orbit)
		}
	}
	radius := func(orbit []int32) int {
		x, y := 2*int(orbit[0])%(2*n)-n+1, 2*(int(orbit[0])/n)-n+1
		return x*x + y*y
	}
	slices.SortStableFunc(d.orbits, func(a, b []int32) int { return cmp.Compare(radius(a), radius(b)) })
	return d
}

func (d *detailer) buffers() *detailBuffers {
	return &detailBuffers{
		grey: make([]float32, d.size*d.size), rows: make([]float32, d.size*d.side), detail: make([]float32, d.side*d.side),
	}
}

// fill computes the detail of b.pixels.
func (d *detailer) fill(b *detailBuffers) {
	channels := len(b.pixels) / len(b.grey)
	for i := range b.grey {
		sum := 0
		for _, v := range b.pixels[i*channels : (i+1)*channels] {
			sum += int(v)
		}
		b.grey[i] = float32(sum) / float32(channels)
	}
	n, grey := d.side, b.grey
	if d.side < d.size {
		shrinkRows(b.rows, b.grey, d.size, d.side)
		shrinkRows(b.grey[:n*n], b.rows, d.size, d.side)
		grey = b.grey[:n*n] // transposed twice, and so as it was
	}
	var squares, fourths float64
	for y := range n {
		for x := range n {
			i := y*n + x
			v := 4*grey[i] - grey[i-min(x, 1)] - grey[i+min(n-1-x, 1)] - grey[i-n*min(y, 1)] - grey[i+n*min(n-1-y, 1)]
			b.detail[i] = v
			s := float64(v) * float64(v)
			squares += s
			fourths += s * s
		}
	}
	if b.pixelsOfDetail = 0; fourths > 0 {
		b.pixelsOfDetail = squares * squares / fourths
		norm := float32(1 / math.Sqrt(squares))
		for i := range b.detail {
			b.detail[i] *= norm
		}
	}
}

// shrinkRows makes each row of from, [len/size, size], shorter by means of areas, and writes it as a
// column of to, [side, len/size].
func shrinkRows(to, from []float32, size, side int) {
	rows, step := len(from)/size, float64(size)/float64(side)
	for y := range rows {
		row := from[y*size : (y+1)*size]
		k, sum, before := 0, 0.0, 0.0 // sum of row[:k], integral up to the last edge
		for j := range side {
			edge := float64(j+1) * step
			for k+1 <= int(edge) && k < size {
				sum += float64(row[k])
				k++
			}
			integral := sum
			if k < size {
				integral += (edge - float64(k)) * float64(row[k])
			}
			to[j*rows+y] = float32((integral - before) / step)
			before = integral
		}
	}
}

// hash returns the sign of the mean detail of each orbit.
func (d *detailer) hash(detail []float32) imageHash {
	h := make(imageHash, (len(d.orbits)+63)/64)
	for k, orbit := range d.orbits {
		var sum float32
		for _, i := range orbit {
			sum += detail[i]
		}
		if sum > 0 {
			h[k/64] |= 1 << (k % 64)
		}
	}
	return h
}

// similarity returns the largest correlation of two details over the eight positions.
func (d *detailer) similarity(a, b []float32) float64 {
	best := -1.0
	for _, turn := range d.turns {
		var sum float32
		for i, v := range a {
			sum += v * b[turn[i]]
		}
		best = max(best, float64(sum))
	}
	return min(best, 1)
}
