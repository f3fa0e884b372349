package imagefile

import (
	"bytes"
	"errors"
	"fmt"
)

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
func scanJPEG(jpeg []byte) (h jpegHeader, err error) {
	if len(jpeg) < 2 || jpeg[0] != 0xff || jpeg[1] != markerSOI {
		return h, errors.New("not a JPEG file")
	}
	framed, scanned := false, false
	for s := (segments{jpeg: jpeg, at: 2}); ; {
		marker, body, err := s.next()
		switch {
		case err != nil:
			return h, err
		case marker == markerEOI && !scanned:
			return h, errors.New("the file is damaged: it holds no picture data")
		case marker == markerEOI:
			return h, nil
		case marker >= markerSOF0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG && marker != markerDAC:
			if framed {
				return h, errors.New("the file is damaged: it has two frame headers")
			}
			if h, err = frameHeader(marker, body); err != nil {
				return h, err
			}
			framed = true
		case marker == markerSOS:
			if !framed {
				return h, errors.New("the file is damaged: picture data before the frame header")
			}
			if err := s.skipScan(); err != nil {
				return h, err
			}
			scanned = true
		}
	}
}

// segments goes over the segments of a JPEG file.
type segments struct {
	jpeg []byte
	at   int // the next byte
}

// next returns the next marker that has a segment, with the segment's body, or markerEOI.
func (s *segments) next() (marker byte, body []byte, err error) {
	for {
		// A marker: 0xFF, any number of fill bytes 0xFF, its code.
		if s.at >= len(s.jpeg) {
			return 0, nil, errTruncated
		}
		if s.jpeg[s.at] != 0xff {
			return 0, nil, fmt.Errorf("the file is damaged: no marker at byte %d", s.at)
		}
		for s.at < len(s.jpeg) && s.jpeg[s.at] == 0xff {
			s.at++
		}
		if s.at == len(s.jpeg) {
			return 0, nil, errTruncated
		}
		marker = s.jpeg[s.at]
		s.at++
		switch {
		case marker == markerEOI:
			return marker, nil, nil
		case marker == 0 || marker == markerSOI:
			return 0, nil, fmt.Errorf("the file is damaged: unexpected marker 0x%02x at byte %d", marker, s.at-1)
		case marker != markerTEM && (marker < markerRST0 || marker > markerRST7): // these have no segment
			body, err = s.body()
			return marker, body, err
		}
	}
}

// body returns the body of the segment whose length, which counts its own two bytes,
// comes next.
func (s *segments) body() ([]byte, error) {
	if s.at+2 > len(s.jpeg) {
		return nil, errTruncated
	}
	length := int(s.jpeg[s.at])<<8 | int(s.jpeg[s.at+1])
	if length < 2 {
		return nil, fmt.Errorf("the file is damaged: a segment of length %d at byte %d", length, s.at)
	}
	if s.at+length > len(s.jpeg) {
		return nil, errTruncated
	}
	body := s.jpeg[s.at+2 : s.at+length]
	s.at += length
	return body, nil
}

// skipScan goes over entropy-coded data, which have no length, to the next 0xFF that is
// neither a stuffed byte nor a restart marker.
func (s *segments) skipScan() error {
	for {
		skip := bytes.IndexByte(s.jpeg[s.at:], 0xff)
		if skip < 0 || s.at+skip+1 >= len(s.jpeg) {
			return errTruncated
		}
		s.at += skip
		if next := s.jpeg[s.at+1]; next != 0 && (next < markerRST0 || next > markerRST7) {
			return nil
		}
		s.at += 2
	}
}

// frameHeader reads the body of a frame header.
func frameHeader(marker byte, body []byte) (jpegHeader, error) {
	switch {
	case marker > markerSOF2:
		return jpegHeader{}, fmt.Errorf("lossless, hierarchical and arithmetic-coded JPEGs are not supported (frame type 0x%02x)", marker)
	case len(body) < 6 || len(body) != 6+3*int(body[5]):
		return jpegHeader{}, errors.New("the file is damaged: bad frame header")
	case body[0] != 8:
		return jpegHeader{}, fmt.Errorf("%d bits per sample; expected 8", body[0])
	}
	return jpegHeader{
		Height:     int(body[1])<<8 | int(body[2]),
		Width:      int(body[3])<<8 | int(body[4]),
		Components: int(body[5]),
	}, nil
}

// check returns an error for a JPEG that is not decoded: with colours other than grey and RGB.
func (h jpegHeader) check() error {
	switch h.Components {
	case 1, 3:
		return nil
	case 4:
		return errors.New("a CMYK image; expected grey or colour (RGB)")
	}
	return fmt.Errorf("%d components; expected 1 (grey) or 3 (colour)", h.Components)
}
