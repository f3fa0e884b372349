package fits

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// tiles reads an image that is compressed in tiles, each a row of a binary table (FITS standard
// 4.0, section 10.1).
type tiles struct {
	hdu      *HDU
	shape    [3]int // of the image: width, height, planes
	tile     [3]int // of a tile
	count    [3]int // of tiles
	rowBytes int
	heap     int64 // offset in the file
	columns  map[string]tileColumn
	method   string
	dither   string // "", or SUBTRACTIVE_DITHER_1 or _2
	seed     int    // ZDITHER0

	riceBlock, riceBytes int // BLOCKSIZE and BYTEPIX
}

// tileColumn is a column of that table.
type tileColumn struct {
	form   byte // of the cell: P, Q, or that of its one number
	inHeap byte // the form of what P or Q points to
	offset int  // in the row
}

// sizes are the bytes of an element of a form.
var sizes = map[byte]int{'L': 1, 'X': 1, 'B': 1, 'I': 2, 'J': 4, 'K': 8, 'A': 1, 'E': 4, 'D': 8, 'C': 8, 'M': 16, 'P': 8, 'Q': 16}

func (h *HDU) newTiles() (*tiles, error) {
	t := &tiles{hdu: h, columns: map[string]tileColumn{}, method: h.string("ZCMPTYPE")}
	switch t.method {
	case "RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS":
	case "HCOMPRESS_1":
		return nil, fmt.Errorf("%w; the program funpack, which comes with CFITSIO, makes an uncompressed file of it", h.wrong("ZCMPTYPE", "RICE_1, GZIP_1, GZIP_2 or PLIO_1"))
	default:
		return nil, h.wrong("ZCMPTYPE", "RICE_1, GZIP_1, GZIP_2 or PLIO_1")
	}
	tile := make([]int, len(h.Axes))
	for i, length := range h.Axes {
		otherwise := 1 // a tile is a row of pixels unless the header says otherwise
		if i == 0 {
			otherwise = length
		}
		n, err := h.integer("ZTILE"+strconv.Itoa(i+1), 1, math.MaxInt64, int64(max(1, otherwise)))
		if err != nil {
			return nil, err
		}
		tile[i] = min(int(n), max(1, length))
	}
	var err error
	if t.shape, t.tile, err = h.shape(tile); err != nil {
		return nil, err
	}
	for i := range t.count {
		t.count[i] = (t.shape[i]-1)/t.tile[i] + 1
	}
	if pixels := product(t.tile[:], math.MaxInt64); pixels > h.file.limit/8 {
		return nil, fmt.Errorf("expected tiles of at most %d pixels (the limit), got %v", h.file.limit/8, t.tile)
	}
	if err := t.readLayout(); err != nil {
		return nil, err
	}
	if t.dither, t.seed, err = h.readDither(); err != nil {
		return nil, err
	}
	return t, t.readRice()
}

// readRice reads the settings of RICE_1, which are in pairs of cards (ZNAME1, ZVAL1).
func (t *tiles) readRice() error {
	t.riceBlock, t.riceBytes = 32, 4
	if t.method != "RICE_1" && t.method != "RICE_ONE" {
		return nil
	}
	for i := 1; ; i++ {
		key := "ZVAL" + strconv.Itoa(i)
		switch strings.ToUpper(t.hdu.string("ZNAME" + strconv.Itoa(i))) {
		case "":
			return nil
		case "BLOCKSIZE":
			n, err := t.hdu.integer(key, 1, 1<<20, -1)
			if err != nil {
				return err
			}
			t.riceBlock = int(n)
		case "BYTEPIX":
			n, err := t.hdu.integer(key, 1, 4, -1)
			if err != nil || n == 3 {
				return t.hdu.wrong(key, "a BYTEPIX of 1, 2 or 4")
			}
			t.riceBytes = int(n)
		}
	}
}

// readLayout finds the columns and the heap.
func (t *tiles) readLayout() error {
	h := t.hdu
	rowBytes, err := h.integer("NAXIS1", 0, h.end-h.start, -1)
	if err != nil {
		return err
	}
	rows, err := h.integer("NAXIS2", 0, h.end-h.start, -1)
	if err != nil {
		return err
	}
	if n := product(t.count[:], math.MaxInt64); rows != n {
		return h.wrong("NAXIS2", fmt.Sprintf("%d rows, one for each tile,", n))
	}
	heap, err := h.integer("THEAP", 0, h.end-h.start, rowBytes*rows)
	if err != nil {
		return err
	}
	t.rowBytes, t.heap = int(rowBytes), h.start+heap
	forms, err := h.readForms(t.rowBytes)
	if err != nil {
		return err
	}
	for _, f := range forms {
		if f.repeat > 0 { // otherwise a cell has no bytes
			t.columns[f.name] = tileColumn{f.form, f.inHeap, f.offset}
		}
	}
	if c := t.columns["COMPRESSED_DATA"]; c.form != 'P' && c.form != 'Q' {
		return fmt.Errorf("expected a column COMPRESSED_DATA of variable length, got none")
	}
	return nil
}

func (h *Header) readDither() (method string, seed int, err error) {
	switch method = h.string("ZQUANTIZ"); method {
	case "", "NO_DITHER", "NONE":
		return "", 0, nil
	case "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2":
		n, err := h.integer("ZDITHER0", 1, randoms, -1)
		return method, int(n), err
	}
	return "", 0, h.wrong("ZQUANTIZ", "NO_DITHER, SUBTRACTIVE_DITHER_1 or SUBTRACTIVE_DITHER_2")
}

// read decodes the tiles of a plane.
func (t *tiles) read(dst []float64, plane int, s *scaling) error {
	inPlane := t.count[0] * t.count[1]
	layer := plane / t.tile[2]
	if t.rowBytes > int(t.hdu.file.limit)/max(1, inPlane) {
		return t.hdu.wrong("NAXIS1", fmt.Sprintf("rows of at most %d bytes for %d tiles (the limit)", int(t.hdu.file.limit)/max(1, inPlane), inPlane))
	}
	d := tileDecoder{tiles: t, scaling: s, rows: make([]byte, inPlane*t.rowBytes)}
	if err := readAt(t.hdu.file.r, d.rows, t.hdu.start+int64(layer)*int64(len(d.rows))); err != nil {
		return err
	}
	for i := range inPlane {
		x, y := i%t.count[0]*t.tile[0], i/t.count[0]*t.tile[1]
		w, h := min(t.tile[0], t.shape[0]-x), min(t.tile[1], t.shape[1]-y)
		deep := min(t.tile[2], t.shape[2]-layer*t.tile[2])
		number := layer*inPlane + i
		values, err := d.decode(d.rows[i*t.rowBytes:][:t.rowBytes], number, w*h*deep)
		if err != nil {
			return fmt.Errorf("tile %d: %w", number+1, err)
		}
		values = values[(plane-layer*t.tile[2])*w*h:]
		for row := range h {
			copy(dst[(y+row)*t.shape[0]+x:][:w], values[row*w:])
		}
	}
	return nil
}

// tileDecoder decodes tiles one after the other, in buffers that it uses again.
type tileDecoder struct {
	*tiles
	*scaling
	rows   []byte // of the table
	cell   []byte
	bytes  []byte
	stored []int64
	values []float64
	gzip   *gzip.Reader
}

// decode returns the n values of the tile in a row of the table; number is the row's.
func (d *tileDecoder) decode(row []byte, number, n int) ([]float64, error) {
	d.stored = slices.Grow(d.stored[:0], n)[:n]
	d.values = slices.Grow(d.values[:0], n)[:n]
	for _, try := range []struct{ column, method string }{
		{"COMPRESSED_DATA", d.method},
		// Where floating-point pixels cannot be quantised well they are stored as they are.
		{"GZIP_COMPRESSED_DATA", "GZIP_1"},
		{"UNCOMPRESSED_DATA", "NOCOMPRESS"},
	} {
		column, ok := d.columns[try.column]
		if !ok {
			continue
		}
		if err := d.readCell(column, row); err != nil {
			return nil, fmt.Errorf("%s: %w", try.column, err)
		}
		if len(d.cell) == 0 {
			continue
		}
		if blank, ok := d.number("ZBLANK", row); ok {
			d.blank, d.hasBlank = int64(blank), true
		}
		scale, quantised := d.number("ZSCALE", row)
		quantised = quantised && try.column == "COMPRESSED_DATA" && d.hdu.bitpix < 0
		if err := d.expand(try.method, n, quantised); err != nil {
			return nil, fmt.Errorf("%s of %d pixels: %w", try.method, n, err)
		}
		if quantised {
			zero, _ := d.number("ZZERO", row)
			d.unquantise(number, scale, zero)
		}
		return d.values, nil
	}
	return nil, fmt.Errorf("expected data in one of the columns COMPRESSED_DATA, GZIP_COMPRESSED_DATA and UNCOMPRESSED_DATA, got none")
}

// readCell reads what a cell of variable length points to into d.cell.
func (d *tileDecoder) readCell(c tileColumn, row []byte) error {
	var count, offset uint64
	switch c.form {
	case 'P':
		count, offset = uint64(binary.BigEndian.Uint32(row[c.offset:])), uint64(binary.BigEndian.Uint32(row[c.offset+4:]))
	case 'Q':
		count, offset = binary.BigEndian.Uint64(row[c.offset:]), binary.BigEndian.Uint64(row[c.offset+8:])
	default:
		return fmt.Errorf("expected a column of variable length, got the form %c", c.form)
	}
	heap := uint64(max(0, d.hdu.end-d.heap))
	each := uint64(max(1, sizes[c.inHeap]))
	if offset > heap || count > (heap-offset)/each {
		return fmt.Errorf("expected at most the %d bytes of the heap, got %d elements at byte %d of it", heap, count, offset)
	}
	size := int(count * each)
	if int64(size) > d.hdu.file.limit {
		return fmt.Errorf("expected at most %d bytes (the limit), got %d", d.hdu.file.limit, size)
	}
	d.cell = slices.Grow(d.cell[:0], size)[:size]
	return readAt(d.hdu.file.r, d.cell, d.heap+int64(offset))
}

// number returns the number in a column, or that of the keyword of the same name.
func (d *tileDecoder) number(name string, row []byte) (x float64, ok bool) {
	c, ok := d.columns[name]
	if !ok {
		_, ok = d.hdu.Lookup(name)
		x, err := d.hdu.number(name, 0)
		return x, ok && err == nil
	}
	column := Column{form: c.form, scale: 1}
	switch c.form {
	case 'B', 'I', 'J', 'K':
		return float64(column.integer(row[c.offset:])), true
	case 'E', 'D':
		return column.float(row[c.offset:]), true
	}
	return 0, false
}

// expand decodes d.cell into the quantised d.stored, or into d.values.
func (d *tileDecoder) expand(method string, n int, quantised bool) error {
	raw := d.cell
	switch method {
	case "RICE_1", "RICE_ONE":
		if err := rice(d.stored, d.cell, d.riceBytes, d.riceBlock); err != nil {
			return err
		}
	case "PLIO_1":
		if err := plio(d.stored, d.cell); err != nil {
			return err
		}
	case "GZIP_1", "GZIP_2":
		if err := d.gunzip(n); err != nil {
			return err
		}
		raw = d.bytes
		fallthrough
	default:
		each := len(raw) / n
		if len(raw)%n != 0 || !slices.Contains([]int{1, 2, 4, 8}, each) {
			return fmt.Errorf("expected 1, 2, 4 or 8 bytes a pixel, got %d in all", len(raw))
		}
		if method == "GZIP_2" {
			// All first bytes, then all second bytes, …
			d.cell = slices.Grow(d.cell[:0], len(raw))[:len(raw)]
			for k := range each {
				for i, b := range raw[k*n:][:n] {
					d.cell[i*each+k] = b
				}
			}
			raw = d.cell
		}
		if d.hdu.bitpix < 0 && !quantised {
			if each < 4 {
				return fmt.Errorf("expected 4 or 8 bytes a pixel, got %d", each)
			}
			decodeFloats(d.values, raw)
			d.linear(d.values)
			return nil
		}
		decodeInts(d.stored, raw)
	}
	if !quantised {
		if d.hdu.bitpix < 0 {
			return fmt.Errorf("expected a scale (ZSCALE) for floating-point pixels, got none")
		}
		d.ints(d.values, d.stored)
	}
	return nil
}

// gunzip expands d.cell, which is at most 8 bytes a pixel, into d.bytes.
func (d *tileDecoder) gunzip(n int) (err error) {
	from := bytes.NewReader(d.cell)
	if d.gzip == nil {
		d.gzip, err = gzip.NewReader(from)
	} else {
		err = d.gzip.Reset(from)
	}
	if err != nil {
		return err
	}
	to := bytes.NewBuffer(d.bytes[:0])
	_, err = io.Copy(to, io.LimitReader(d.gzip, 8*int64(n)+1))
	d.bytes = to.Bytes()
	return err
}

// unquantise makes values of the quantised d.stored: (v - r + 0.5) · scale + zero, where r is a
// random number in [0, 1), the same for everybody (standard, section 10.2), or 0.5 without dithering.
func (d *tileDecoder) unquantise(number int, scale, zero float64) {
	const zeroValue = -2147483646 // pixels of exactly 0 in SUBTRACTIVE_DITHER_2
	dithered, zeros := d.dither != "", d.dither == "SUBTRACTIVE_DITHER_2"
	random := randomNumbers()
	seed := (number + max(d.seed, 1) - 1) % randoms
	next := int(random[seed] * 500)
	for i, v := range d.stored {
		x := float64(v)
		if dithered {
			x = x - float64(random[next]) + 0.5
			if next++; next == randoms {
				seed = (seed + 1) % randoms
				next = int(random[seed] * 500)
			}
		}
		// The conversion keeps Go from rounding once instead of twice.
		x = float64(x*scale) + zero
		switch {
		case d.hasBlank && v == d.blank:
			x = math.NaN()
		case zeros && v == zeroValue:
			x = 0
		}
		if d.hdu.bitpix == -32 {
			x = float64(float32(x))
		}
		d.values[i] = x
	}
	d.linear(d.values)
}

// randoms is the length of the standard's sequence of random numbers.
const randoms = 10000

// randomNumbers returns that sequence: appendix I of the standard, from Park and Miller, 'Random
// number generators: good ones are hard to find', Communications of the ACM 31, 1988.
var randomNumbers = sync.OnceValue(func() *[randoms]float32 {
	var r [randoms]float32
	seed := int64(1)
	for i := range r {
		seed = seed * 16807 % math.MaxInt32
		r[i] = float32(float64(seed) / math.MaxInt32)
	}
	return &r
})
