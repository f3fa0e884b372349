package data

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/edsrzf/mmap-go"
	"github.com/zeebo/xxh3"

	"galaxy/data/imagefile"
	"galaxy/data/table"
	"galaxy/internal/durable"
	"galaxy/labels"
)

// One record of examples.bin, little-endian: ID.key int64, xxh3 of the image
// uint64, split uint8, 7 zeros, labels float32, zeros up to a multiple of 8 bytes.
const (
	recordID     = 0
	recordSum    = 8
	recordSplit  = 16
	recordLabels = 24
)

// recordBytes is the size of a record with width labels.
func recordBytes(width int) int { return (recordLabels + 4*width + 7) / 8 * 8 }

// A Cache is a prepared data set: decoded images in a mapped file, or one that is read
// where the file system cannot map it, their labels and splits in memory. Its methods are safe for concurrent use. Examples are
// numbered from 0 to Len()-1, by ascending id (CompareIDs).
type Cache struct {
	dir      string
	manifest Manifest
	row      int // bytes of an image

	keys    []int64 // ID.key of each example
	texts   []ID    // the ids that are not integers: those of the last examples
	sums    []uint64
	labels  []float32
	indices [All + 1][]int

	// mu keeps the mapping alive while an image is copied out of it: reading
	// after Close would otherwise end the process.
	mu     sync.RWMutex
	images mmap.MMap // nil once closed, and where there is a file
	file   *os.File  // nil where there is a mapping
}

// Open opens a cache folder made by Prepare. It checks the format version, the
// manifest's checksum, the sizes of all files and the checksum of the labels;
// images are checked one by one when they are read, so that opening takes
// milliseconds whatever their number.
func Open(dir string) (*Cache, error) {
	c, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache %s: %w", dir, err)
	}
	return c, nil
}

func open(dir string) (*Cache, error) {
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; give the folder that galaxy prepare made", err)
	} else if err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, errors.New("not a folder; expected one made by galaxy prepare")
	}
	m, err := readManifest(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s in it: this is not a cache; make one with galaxy prepare", manifestName)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	c := &Cache{dir: dir, manifest: *m, row: m.Shape().Bytes()}

	if err := c.readExamples(filepath.Join(dir, examplesName)); err != nil {
		return nil, fmt.Errorf("%s: %w", examplesName, err)
	}
	if err := c.readIDs(filepath.Join(dir, idsName)); err != nil {
		return nil, fmt.Errorf("%s: %w", idsName, err)
	}
	if err := c.mapImages(filepath.Join(dir, imagesName)); err != nil {
		return nil, fmt.Errorf("%s: %w", imagesName, err)
	}
	return c, nil
}

// openSized opens a file that must have want bytes.
func openSized(name string, want int64) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != want {
		how := "truncated"
		if info.Size() > want {
			how = "too long"
		}
		err = fmt.Errorf("the file is %s: %d bytes; expected %d; %w", how, info.Size(), want, errAgain)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (c *Cache) readExamples(name string) error {
	n := c.manifest.Examples
	// The size is compared before memory is taken, so a manifest that claims
	// a trillion examples costs nothing.
	width := c.Schema().Width()
	record := recordBytes(width)
	if n > math.MaxInt/record {
		return fmt.Errorf("%d examples are impossible; %w", n, errAgain)
	}
	f, err := openSized(name, int64(n)*int64(record))
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, n*record)
	if _, err := io.ReadFull(f, b); err != nil {
		return err
	}
	if got := hex(xxh3.Hash(b)); got != c.manifest.ExamplesChecksum {
		return fmt.Errorf("the file was edited or damaged (checksum %s; expected %s); %w", got, clip(c.manifest.ExamplesChecksum), errAgain)
	}

	c.keys = make([]int64, n)
	c.sums = make([]uint64, n)
	c.labels = make([]float32, n*width)
	columns, values := c.Schema().Columns(), c.Schema().Values()
	for i := range n {
		r := b[i*record : (i+1)*record]
		c.keys[i] = int64(binary.LittleEndian.Uint64(r[recordID:]))
		c.sums[i] = binary.LittleEndian.Uint64(r[recordSum:])
		if i > 0 && c.keys[i] >= 0 && c.keys[i] <= c.keys[i-1] || c.keys[i] < 0 && c.manifest.Version != CacheVersionIDs {
			return fmt.Errorf("galaxy %d follows galaxy %d; expected ascending ids; %w", c.keys[i], c.keys[max(i-1, 0)], errAgain)
		}
		s := r[recordSplit]
		if s >= splits {
			return fmt.Errorf("galaxy %d: unknown split %d; %w", c.keys[i], s, errAgain)
		}
		c.indices[s], c.indices[All] = append(c.indices[s], i), append(c.indices[All], i)
		for j := range width {
			v := math.Float32frombits(binary.LittleEndian.Uint32(r[recordLabels+4*j:]))
			if !values.Holds(v) {
				return fmt.Errorf("galaxy %d: %s is %v; expected a number %s; %w", c.keys[i], columns[j], v, values.Range(), errAgain)
			}
			c.labels[i*width+j] = v
		}
	}
	for s := range Split(splits) {
		if got, want := len(c.indices[s]), c.manifest.Counts.Of(s); got != want {
			return fmt.Errorf("%d examples of the %s split; the manifest says %d; %w", got, s, want, errAgain)
		}
	}
	return nil
}

// readIDs reads the ids that are not integers.
func (c *Cache) readIDs(name string) error {
	if c.manifest.Version != CacheVersionIDs {
		return nil
	}
	first := slices.IndexFunc(c.keys, func(key int64) bool { return key < 0 })
	if first < 0 {
		first = len(c.keys)
	}
	b, err := durable.ReadFile(name, int64(len(c.keys)-first)*(table.MaxID+1))
	if err != nil {
		return fmt.Errorf("%w; %w", err, errAgain)
	}
	if got := hex(xxh3.Hash(b)); got != c.manifest.IDsChecksum {
		return fmt.Errorf("the file was edited or damaged (checksum %s; expected %s); %w", got, clip(c.manifest.IDsChecksum), errAgain)
	}
	c.texts = make([]ID, 0, len(c.keys)-first)
	for text := range strings.Lines(string(b)) {
		id := ID(strings.TrimSuffix(text, "\n"))
		if n := len(c.texts); n == len(c.keys)-first || c.keys[first+n] != id.key() || n > 0 && c.texts[n-1] >= id {
			return fmt.Errorf("line %d is %q, which is not the id in %s; %w", n+1, clip(string(id)), examplesName, errAgain)
		}
		c.texts = append(c.texts, id)
	}
	if len(c.texts) != len(c.keys)-first {
		return fmt.Errorf("%d ids; expected %d; %w", len(c.texts), len(c.keys)-first, errAgain)
	}
	return nil
}

func (c *Cache) mapImages(name string) error {
	n, row := int64(c.manifest.Examples), int64(c.row)
	if n > math.MaxInt/row {
		return fmt.Errorf("%d examples of %d px are impossible; %w", n, c.manifest.Size, errAgain)
	}
	f, err := openSized(name, n*row)
	if err != nil {
		return err
	}
	if c.images, err = mmap.Map(f, mmap.RDONLY, 0); err != nil {
		c.images, c.file = nil, f // as on FUSE (ENODEV), or with little address space
		return nil
	}
	return f.Close() // the mapping stays
}

// Close releases the mapping. Images read from it must no longer be used;
// loaders still open return an error.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	switch {
	case c.images != nil:
		err = c.images.Unmap()
	case c.file != nil:
		err = c.file.Close()
	}
	c.images, c.file = nil, nil
	if err != nil {
		return fmt.Errorf("close cache %s: %w", c.dir, err)
	}
	return nil
}

// Len returns the number of examples.
func (c *Cache) Len() int { return len(c.keys) }

// Size returns the width and height of the images in pixels.
func (c *Cache) Size() int { return c.manifest.Size }

// Shape returns the shape of an image.
func (c *Cache) Shape() imagefile.Shape { return c.manifest.Shape() }

// Dir returns the folder the cache was opened from.
func (c *Cache) Dir() string { return c.dir }

// Manifest returns a copy of the manifest; its Broken list is shared.
func (c *Cache) Manifest() Manifest { return c.manifest }

// ID returns the id of example i.
func (c *Cache) ID(i int) ID {
	if integers := len(c.keys) - len(c.texts); i >= integers {
		return c.texts[i-integers]
	}
	return ID(strconv.FormatInt(c.keys[i], 10))
}

// Find returns the example with an id, and whether there is one.
func (c *Cache) Find(id ID) (i int, ok bool) {
	return sort.Find(c.Len(), func(i int) int { return CompareIDs(id, c.ID(i)) })
}

// Schema returns what the columns of the labels are.
func (c *Cache) Schema() *labels.Schema { return c.manifest.Schema }

// Labels returns the vote fractions or counts of example i, float32 [Schema.Width], a view not to
// be changed.
func (c *Cache) Labels(i int) []float32 {
	width := c.Schema().Width()
	return c.labels[i*width : (i+1)*width : (i+1)*width]
}

// Indices returns the examples of one split, ascending, a view not to be
// changed.
func (c *Cache) Indices(s Split) []int {
	if int(s) >= len(c.indices) {
		return nil
	}
	return c.indices[s]
}

// Labelled returns the examples of one split that have a label of the target,
// ascending; not to be changed. The target is the cache's schema, which nil stands for
// and of which every example has a label, or its classes, or labels.None, which every example
// has too. Of another there are none.
func (c *Cache) Labelled(s Split, target *labels.Schema) []int {
	all := c.Indices(s)
	switch {
	case target == nil, target.IsNone():
		return all
	case !target.Source().Equal(c.Schema()):
		return nil
	case !target.Derived():
		return all
	}
	var labelled []int
	for _, i := range all {
		if target.Has(c.Labels(i)) {
			labelled = append(labelled, i)
		}
	}
	return labelled
}

// Spread returns up to n of some examples, evenly over all of them.
func Spread(all []int, n int) []int {
	if len(all) <= n {
		return all
	}
	out := make([]int, n)
	for k := range out {
		out[k] = all[k*len(all)/n]
	}
	return out
}

// ReadImage copies the pixels of example i to dst, uint8 [Size, Size, Channels], and
// checks them.
func (c *Cache) ReadImage(dst []byte, i int) error { return c.copyImages(dst, []int{i}) }

// Images reads the pixels of examples one after the other, uint8 [len(which), Size,
// Size, Channels], and checks them.
func (c *Cache) Images(which []int) io.Reader { return &imageReader{cache: c, which: which} }

type imageReader struct {
	cache *Cache
	which []int
	row   []byte // of the last example
	rest  []byte // of it, that is still to be read
}

func (r *imageReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if len(r.which) == 0 {
			return 0, io.EOF
		}
		if r.row == nil {
			r.row = make([]byte, r.cache.row)
		}
		if err := r.cache.ReadImage(r.row, r.which[0]); err != nil {
			return 0, err
		}
		r.rest, r.which = r.row, r.which[1:]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// copyImages gathers the given examples into dst, uint8 [len(which), Size,
// Size, Channels]. The checksum is taken of the copy: what was checked is what is
// used, and the bytes are still in the processor's cache.
func (c *Cache) copyImages(dst []byte, which []int) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.images == nil && c.file == nil {
		return fmt.Errorf("read cache %s: the cache is closed", c.dir)
	}
	at := 0 // the example at hand, for the message
	bad := -1
	var readErr error
	err := guard(func() {
		for k, i := range which {
			at = i
			to := dst[k*c.row : (k+1)*c.row]
			if c.file == nil {
				copy(to, c.images[i*c.row:])
			} else if _, readErr = c.file.ReadAt(to, int64(i)*int64(c.row)); readErr != nil {
				if errors.Is(readErr, io.EOF) {
					readErr = errCut
				}
				return
			}
			if xxh3.Hash(to) != c.sums[i] {
				bad = i
				return
			}
		}
	})
	switch err = cmp.Or(err, readErr); {
	case err != nil:
		return fmt.Errorf("read cache %s: galaxy %s: %w", c.dir, c.ID(at), err)
	case bad >= 0:
		return c.damaged(bad)
	}
	return nil
}

func (c *Cache) damaged(i int) error {
	return fmt.Errorf("read cache %s: galaxy %s: its image was edited or damaged in %s (checksum); %w", c.dir, c.ID(i), imagesName, errAgain)
}

var errCut = fmt.Errorf("%s can no longer be read: it was cut short while in use, or its disk fails; %w", imagesName, errAgain)

// guard runs f, which touches mapped memory. If the file behind it was cut
// short or its disk fails, the processor faults; Go would end the process,
// and guard returns an error instead.
func guard(f func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if _, ok := r.(interface{ Addr() uintptr }); !ok {
				panic(r)
			}
			err = errCut
		}
	}()
	f()
	return nil
}
