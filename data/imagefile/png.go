package imagefile

import (
	"bytes"
	"encoding/binary"

	"galaxy/data/filetype"
)

// PlainPNG reports whether the file is a PNG of 8 bits per channel without transparency, whose
// pixels in the given channels (3 for RGB, 1 for grey) need no rule of Pixels: every decoder has the
// same. It reads the headers of the parts before the pixels (PNG specification, third edition,
// sections 5.3 and 11.2).
func (f File) PlainPNG(channels int) bool {
	const (
		header          = 8 + 8 + 13 + 4 // signature, and the part IHDR with its length, name and checksum
		depthAt, typeAt = 24, 25
		grey, rgb, map8 = 0, 2, 3
	)
	b := f.Encoded
	if f.Kind.Name != filetype.PNG || len(b) < header || b[depthAt] != 8 {
		return false
	}
	switch b[typeAt] {
	case grey:
	case rgb, map8:
		if channels == 1 {
			return false
		}
	default:
		return false
	}
	for b = b[header:]; len(b) >= 8; {
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
