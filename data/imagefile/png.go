package imagefile

import (
	"bytes"
	"encoding/binary"

	"galaxy/data/filetype"
)

// The part IHDR, which comes first in a PNG (PNG specification, third edition, section 11.2.1): where
// the bits per channel and the colour type stand, where the part ends, and the colour types.
const (
	pngDepth, pngType, pngHeader                 = 24, 25, 33
	pngGrey, pngRGB, pngPalette, pngGreyAndAlpha = 0, 2, 3, 4
)

// greyAlphaPNG reports whether the file is a PNG of grey with alpha, which the standard library shows as
// colour.
func (f File) greyAlphaPNG() bool {
	return f.Kind.Name == filetype.PNG && len(f.Encoded) > pngType && f.Encoded[pngType] == pngGreyAndAlpha
}

// PlainPNG reports whether the file is a PNG of 8 bits per channel without transparency, whose
// pixels in the given channels (3 for RGB, 1 for grey) need no rule of Pixels: every decoder has the
// same. It reads the headers of the parts before the pixels (PNG specification, third edition,
// sections 5.3 and 11.2).
func (f File) PlainPNG(channels int) bool {
	b := f.Encoded
	if f.Kind.Name != filetype.PNG || len(b) < pngHeader || b[pngDepth] != 8 {
		return false
	}
	switch b[pngType] {
	case pngGrey:
	case pngRGB, pngPalette:
		if channels == 1 {
			return false
		}
	default:
		return false
	}
	for b = b[pngHeader:]; len(b) >= 8; {
		size, name := binary.BigEndian.Uint32(b), b[4:8]
		switch {
		case bytes.Equal(name, []byte("IDAT")):
			return true
		case bytes.Equal(name, []byte("tRNS")), uint64(size)+12 > uint64(len(b)):
			return false
		}
		b = b[size+12:]
	}
	return false
}
