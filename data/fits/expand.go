package fits

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"sort"
)

// expander expands a compressed file from its start, as far as the headers ask for.
type expander struct {
	format string
	from   io.Reader
	parts  []part
	ended  bool // the parts are the file
}

// part is a part of the expanded file. Several parts need no copy to grow.
type part struct {
	at    int64
	bytes []byte
}

// largestPart bounds a part, so that a header that promises more bytes than there are costs no memory for them.
const largestPart = 16 << 20

// ReadAt reads what has been expanded.
func (e *expander) ReadAt(b []byte, at int64) (n int, _ error) {
	i := sort.Search(len(e.parts), func(i int) bool { return e.parts[i].at > at }) - 1
	for ; i >= 0 && i < len(e.parts) && n < len(b); i++ {
		p := e.parts[i]
		if at+int64(n) < p.at { // in data that is not kept
			break
		}
		n += copy(b[n:], p.bytes[min(at+int64(n)-p.at, int64(len(p.bytes))):])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// startExpanding makes an expander if the file is compressed.
func (f *File) startExpanding() error {
	magic := make([]byte, min(4, f.size))
	if err := readAt(f.r, magic, 0); err != nil {
		return err
	}
	whole := io.NewSectionReader(f.r, 0, f.size)
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(whole)
		if err != nil {
			return fmt.Errorf("expand the file by gzip: %w", err)
		}
		f.expander = &expander{format: "gzip", from: z}
	case bytes.HasPrefix(magic, []byte("BZh")):
		f.expander = &expander{format: "bzip2", from: bzip2.NewReader(whole)}
	default:
		return nil
	}
	f.r, f.size = f.expander, 0
	return nil
}

// expand makes the bytes of a compressed file up to end available, or as many as it has and the limit allows.
func (f *File) expand(end int64) error {
	e := f.expander
	end = min(end, f.limit)
	if e == nil || e.ended || end <= f.size {
		return nil
	}
	for !e.ended && f.size < end {
		p := part{f.size, make([]byte, min(end-f.size, largestPart))}
		have := 0
		for !e.ended && have < len(p.bytes) {
			n, err := e.from.Read(p.bytes[have:])
			have += n
			if e.ended = err == io.EOF; !e.ended && err != nil {
				return fmt.Errorf("expand the file by %s: %w", e.format, err)
			}
		}
		p.bytes = p.bytes[:have]
		e.parts, f.size = append(e.parts, p), f.size+int64(have)
	}
	return nil
}

// expandHDU makes the data of an HDU available. It does not keep an image that is larger than what ReadPlane reads.
func (f *File) expandHDU(h *HDU) error {
	e := f.expander
	if e == nil {
		return nil
	}
	if h.end > f.limit {
		return f.tooLarge()
	}
	width, height, _, err := h.Shape()
	if err == nil && product([]int{width, height}, math.MaxInt64) > f.limit/8 && !e.ended && h.end > f.size {
		n, err := io.Copy(io.Discard, io.LimitReader(e.from, h.end-f.size))
		if f.size += n; err != nil {
			return fmt.Errorf("expand the file by %s: %w", e.format, err)
		}
	}
	return f.expand(padded(h.end) + int64(len(extension)))
}

// finishExpanding reads a compressed file to its end, whose checksum shows whether it is damaged. What follows the
// last HDU is only counted.
func (f *File) finishExpanding() error {
	e := f.expander
	if e == nil || e.ended {
		return nil
	}
	n, err := io.Copy(io.Discard, io.LimitReader(e.from, f.limit+1-f.size))
	if err != nil {
		return fmt.Errorf("expand the file by %s: %w", e.format, err)
	}
	if f.size += n; f.size > f.limit {
		return f.tooLarge()
	}
	return nil
}

func (f *File) tooLarge() error {
	return fmt.Errorf("expand the file by %s: expected at most %d bytes (the limit), got more", f.expander.format, f.limit)
}
