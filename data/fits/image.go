package fits

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Shape returns the size of an image in pixels and the number of its planes. An axis of length
// 1 does not count, so that an image of 64 × 64 × 1 × 1 has one plane. More than three other axes, or
// less than two in all, are an error.
func (h *HDU) Shape() (width, height, planes int, err error) {
	shape, _, err := h.shape(nil)
	return shape[0], shape[1], shape[2], h.wrap(err)
}

// shape returns the axes (width, height, planes) and the tile's lengths along them.
func (h *HDU) shape(tile []int) (shape, tiles [3]int, err error) {
	shape, tiles = [3]int{1, 1, 1}, [3]int{1, 1, 1}
	if h.Kind != Image {
		return [3]int{}, tiles, fmt.Errorf("expected an image, got: %s", h.Kind)
	}
	if len(h.Axes) < 2 {
		return [3]int{}, tiles, fmt.Errorf("expected an image with 2 or 3 axes, got %d: %v", len(h.Axes), h.Axes)
	}
	axes, tile := slices.Clone(h.Axes), slices.Clone(tile)
	for i := len(axes) - 1; i >= 0 && len(axes) > 2; i-- {
		if axes[i] == 1 {
			axes = slices.Delete(axes, i, i+1)
			if tile != nil {
				tile = slices.Delete(tile, i, i+1)
			}
		}
	}
	if len(axes) > 3 {
		return [3]int{}, tiles, fmt.Errorf("expected an image with 2 or 3 axes longer than 1, got %d: %v", len(axes), h.Axes)
	}
	copy(shape[:], axes)
	copy(tiles[:], tile)
	return shape, tiles, nil
}

// ReadPlane returns a plane of an image, from 0, as height rows of width pixels, in the order of the
// file: the bottom row first. It appends to dst[:0], so a slice that is large enough is used
// again.
//
// The values are those of astropy's hdu.data: BZERO + BSCALE · stored, computed in float32 where
// BITPIX is 8, 16 or -32, and in float64 otherwise. Unsigned integers (BZERO 32768 and the
// like) are exact; 64-bit ones are rounded to float64. Pixels that are BLANK are NaN, as the
// standard says; astropy keeps their values if BLANK is 0 or the integers are unsigned.
//
// Floating-point pixels that are absurd as they are and ordinary with their bytes reversed are an error.
func (h *HDU) ReadPlane(dst []float64, plane int) ([]float64, error) {
	width, height, planes, err := h.Shape()
	if err != nil {
		return dst[:0], err
	}
	if plane < 0 || plane >= planes {
		return dst[:0], h.wrap(fmt.Errorf("plane %d: expected one from 0 to %d", plane, planes-1))
	}
	if err := h.intact(); err != nil {
		return dst[:0], h.wrap(err)
	}
	n := product([]int{width, height}, math.MaxInt64)
	if n > h.file.limit/8 {
		return dst[:0], h.wrap(fmt.Errorf("expected at most %d pixels (the limit), got %d × %d", h.file.limit/8, width, height))
	}
	s, err := h.newScaling()
	if err != nil {
		return dst[:0], h.wrap(err)
	}
	if h.compressed {
		t, err := h.newTiles()
		if err != nil {
			return dst[:0], h.wrap(err)
		}
		dst = slices.Grow(dst[:0], int(n))[:n]
		return dst, h.wrap(t.read(dst, plane, &s))
	}
	dst = slices.Grow(dst[:0], int(n))[:n]
	err = h.readPlain(dst, int64(plane)*n, &s)
	if err == nil && h.bitpix < 0 && s.scale == 1 && s.zero == 0 { // as they are stored
		err = checkOrder(dst, h.bitpix)
	}
	return dst, h.wrap(err)
}

// readPlain reads len(dst) pixels from the first on.
func (h *HDU) readPlain(dst []float64, first int64, s *scaling) error {
	each := max(h.bitpix, -h.bitpix) / 8
	at := h.start + first*int64(each)
	const chunk = 32 << 10
	raw := make([]byte, min(chunk, len(dst)*each))
	var ints [chunk / 8]int64
	for len(dst) > 0 {
		n := min(len(dst), len(raw)/each, len(ints))
		b := raw[:n*each]
		if err := readAt(h.file.r, b, at); err != nil {
			return err
		}
		switch {
		case h.bitpix < 0:
			decodeFloats(dst[:n], b)
			s.linear(dst[:n])
		case s.hasBlank || s.unsigned64: // which need the integers
			decodeInts(ints[:n], b)
			s.ints(dst[:n], ints[:n])
		default:
			decodeInts(dst[:n], b)
			s.linear(dst[:n])
		}
		dst = dst[n:]
		at += int64(len(b))
	}
	return nil
}

// decodeInts decodes big-endian integers of len(b)/len(dst) bytes; those of one byte are
// unsigned.
func decodeInts[T int64 | float64](dst []T, b []byte) {
	switch len(b) / max(1, len(dst)) {
	case 1:
		for i := range dst {
			dst[i] = T(b[i])
		}
	case 2:
		for i := range dst {
			dst[i] = T(int16(binary.BigEndian.Uint16(b[2*i:])))
		}
	case 4:
		for i := range dst {
			dst[i] = T(int32(binary.BigEndian.Uint32(b[4*i:])))
		}
	case 8:
		for i := range dst {
			dst[i] = T(int64(binary.BigEndian.Uint64(b[8*i:])))
		}
	}
}

// decodeFloats decodes big-endian floating-point numbers of len(b)/len(dst) bytes.
func decodeFloats(dst []float64, b []byte) {
	if len(b) == 4*len(dst) {
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(b[4*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = math.Float64frombits(binary.BigEndian.Uint64(b[8*i:]))
	}
}

// scaling makes physical values of stored ones.
type scaling struct {
	scale, zero float64
	blank       int64
	hasBlank    bool
	single      bool // computed in float32, as astropy does for 16 bits or less, and for float32
	unsigned64  bool
}

func (h *HDU) newScaling() (s scaling, err error) {
	if s.scale, err = h.number("BSCALE", 1); err != nil {
		return s, err
	}
	if s.zero, err = h.number("BZERO", 0); err != nil {
		return s, err
	}
	s.single = h.bitpix >= -32 && h.bitpix <= 16
	s.unsigned64 = h.bitpix == 64 && s.scale == 1 && s.zero == 1<<63
	// BLANK means nothing for floating point, but for what it was quantised to.
	if _, s.hasBlank = h.Lookup("BLANK"); s.hasBlank && (h.bitpix > 0 || h.compressed) {
		s.blank, err = h.integer("BLANK", math.MinInt64, math.MaxInt64, 0)
	}
	return s, err
}

// ints makes values of integers.
func (s *scaling) ints(dst []float64, src []int64) {
	if s.unsigned64 {
		for i, v := range src {
			dst[i] = float64(uint64(v) ^ 1<<63) // one rounding, not two
		}
	} else {
		for i, v := range src {
			dst[i] = float64(v)
		}
		s.linear(dst)
	}
	if s.hasBlank {
		for i, v := range src {
			if v == s.blank {
				dst[i] = math.NaN()
			}
		}
	}
}

// linear computes zero + scale · v. A step that changes nothing is left out: adding 0 would make
// 0 of -0.
func (s *scaling) linear(v []float64) {
	switch {
	case s.scale == 1:
	case s.single:
		scale := float32(s.scale)
		for i, x := range v {
			v[i] = float64(float32(x) * scale)
		}
	default:
		for i, x := range v {
			v[i] = x * s.scale
		}
	}
	switch {
	case s.zero == 0 || s.unsigned64:
	case s.single:
		zero := float32(s.zero)
		for i, x := range v {
			v[i] = float64(float32(x) + zero)
		}
	default:
		for i, x := range v {
			v[i] = x + s.zero
		}
	}
}
