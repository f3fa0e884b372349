package data

import (
	"bytes"
	"errors"
	"fmt"
)

// ImageSide is the width and height in pixels of every Galaxy Zoo image.
const ImageSide = 424

// JPEG markers (ITU-T T.81, table B.1), the second byte after 0xFF.
const (
	markerTEM  = 0x01
	markerSOF0 = 0xc0 // baseline
	markerSOF2 = 0xc2 // progressive
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
)

var errTruncated = errors.New("the file is truncated: no end-of-image marker")

// A jpegHeader holds the fields of a JPEG's frame header.
type jpegHeader struct {
	Width, Height int // pixels
	Components    int // 1 grey, 3 colour, 4 CMYK
}

// scanJPEG walks a JPEG from its start-of-image to its end-of-image marker and
// returns its frame header. It decodes nothing, so it costs microseconds. It is
// needed because a decoder that only needs the centre of an image never reads
// the end of the file, and so accepts a truncated file. Bytes after the
// end-of-image marker are ignored. The error is a reason that can follow a
// file name.
func scanJPEG(jpeg []byte) (jpegHeader, error) {
	var h jpegHeader
	if len(jpeg) == 0 {
		return h, errors.New("the file is empty")
	}
	if len(jpeg) < 2 || jpeg[0] != 0xff || jpeg[1] != markerSOI {
		return h, errors.New("not a JPEG file")
	}
	framed, scanned := false, false
	for at := 2; ; {
		// A marker: 0xFF, any number of fill bytes 0xFF, its code.
		if at >= len(jpeg) {
			return h, errTruncated
		}
		if jpeg[at] != 0xff {
			return h, fmt.Errorf("the file is damaged: no marker at byte %d", at)
		}
		for at < len(jpeg) && jpeg[at] == 0xff {
			at++
		}
		if at == len(jpeg) {
			return h, errTruncated
		}
		marker := jpeg[at]
		at++
		switch {
		case marker == markerEOI:
			if !scanned {
				return h, errors.New("the file is damaged: it holds no picture data")
			}
			return h, nil
		case marker == markerTEM, marker >= markerRST0 && marker <= markerRST7:
			continue // markers without a segment
		case marker == 0 || marker == markerSOI:
			return h, fmt.Errorf("the file is damaged: unexpected marker 0x%02x at byte %d", marker, at-1)
		}

		// A segment: its length, which counts its own two bytes, then its body.
		if at+2 > len(jpeg) {
			return h, errTruncated
		}
		length := int(jpeg[at])<<8 | int(jpeg[at+1])
		if length < 2 {
			return h, fmt.Errorf("the file is damaged: a segment of length %d at byte %d", length, at)
		}
		if at+length > len(jpeg) {
			return h, errTruncated
		}
		body := jpeg[at+2 : at+length]
		at += length

		switch {
		case marker >= markerSOF0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG && marker != markerDAC:
			if framed {
				return h, errors.New("the file is damaged: it has two frame headers")
			}
			if marker > markerSOF2 {
				return h, fmt.Errorf("lossless, hierarchical and arithmetic-coded JPEGs are not supported (frame type 0x%02x)", marker)
			}
			if len(body) < 6 || len(body) != 6+3*int(body[5]) {
				return h, errors.New("the file is damaged: bad frame header")
			}
			if body[0] != 8 {
				return h, fmt.Errorf("%d bits per sample; expected 8", body[0])
			}
			h = jpegHeader{
				Height:     int(body[1])<<8 | int(body[2]),
				Width:      int(body[3])<<8 | int(body[4]),
				Components: int(body[5]),
			}
			framed = true
		case marker == markerSOS:
			if !framed {
				return h, errors.New("the file is damaged: picture data before the frame header")
			}
			scanned = true
			// Entropy-coded data follow, without a length: look for the next
			// 0xFF that is neither a stuffed byte nor a restart marker.
			for {
				skip := bytes.IndexByte(jpeg[at:], 0xff)
				if skip < 0 || at+skip+1 >= len(jpeg) {
					return h, errTruncated
				}
				at += skip
				next := jpeg[at+1]
				if next != 0 && (next < markerRST0 || next > markerRST7) {
					break
				}
				at += 2
			}
		}
	}
}

// checkImage returns why a file is not a complete colour JPEG, of Galaxy Zoo's size if
// fixed is set.
func checkImage(jpeg []byte, fixed bool) error {
	h, err := scanJPEG(jpeg)
	if err != nil {
		return err
	}
	if fixed && (h.Width != ImageSide || h.Height != ImageSide) {
		return fmt.Errorf("%d×%d pixels; expected %d×%d", h.Width, h.Height, ImageSide, ImageSide)
	}
	if h.Components != 3 {
		kind := fmt.Sprintf("%d components", h.Components)
		switch h.Components {
		case 1:
			kind = "greyscale"
		case 4:
			kind = "CMYK"
		}
		return fmt.Errorf("%s; expected colour (3 components)", kind)
	}
	return nil
}
