package fits

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is what an HDU holds, as errors call it. There are others than those below: an
// extension of another type is called by that.
type Kind string

// The kinds that the standard knows.
const (
	NoData     Kind = "no data"
	Image      Kind = "image"
	Table      Kind = "binary table"
	ASCIITable Kind = "ASCII table"
	Groups     Kind = "random groups"
)

// File is an open FITS file.
type File struct {
	// HDUs are the header and data units in the order of the file.
	HDUs []*HDU

	r     io.ReaderAt
	size  int64
	limit int64
	// Of a compressed file, r are the bytes that are expanded, and size is their number.
	expander *expander
}

// HDU is a header and data unit.
type HDU struct {
	Header
	// Index counts from 0, the primary HDU.
	Index int
	// Name is EXTNAME, or "".
	Name string
	Kind Kind
	// Axes are the lengths of the axes, the fastest first: NAXIS1, NAXIS2, … or, for an
	// image compressed in tiles, ZNAXIS1, ZNAXIS2, …
	Axes []int

	file       *File
	compressed bool  // an image in tiles
	bitpix     int   // of the pixels
	start      int64 // of the data: bytes from start to end
	end        int64
}

// Open reads the headers of the file of size bytes in r, which may be compressed by gzip or
// bzip2. The HDUs of one that is compressed are expanded into memory, as large as the headers say.
//
// No buffer is larger than limit bytes: the expanded file, the float64 pixels of a plane or of a
// tile, a tile's data, a row of a table. What would need a larger one is an error, and nothing is
// allocated for it.
func Open(r io.ReaderAt, size, limit int64) (*File, error) {
	f := &File{r: r, size: size, limit: min(limit, 1<<50)} // sums with it must not overflow
	if err := f.startExpanding(); err != nil {
		return nil, err
	}
	magic, err := f.start(0, len(simple))
	if err != nil {
		return nil, err
	}
	if magic != simple {
		return nil, fmt.Errorf("byte 0: expected a FITS file, which starts with %q, got %q", simple, magic)
	}
	for at, more := int64(0), true; more; {
		h, err := f.readHDU(at)
		if err == nil {
			err = f.expandHDU(h)
		}
		if err == nil && at == 0 {
			err = h.conforms()
		}
		if err != nil {
			return nil, fmt.Errorf("HDU %d: %w", len(f.HDUs), err)
		}
		f.HDUs = append(f.HDUs, h)
		at = padded(h.end)
		start, err := f.start(at, len(extension))
		if err != nil {
			return nil, err
		}
		more = start == extension // the standard lets anything follow the last HDU
	}
	return f, f.finishExpanding()
}

// simple and extension are how headers start, the first one and the others.
const simple, extension = "SIMPLE  =", "XTENSION"

// start returns the first n bytes of an HDU, or fewer at the end of the file.
func (f *File) start(at int64, n int) (string, error) {
	if err := f.expand(at + int64(n)); err != nil {
		return "", err
	}
	b := make([]byte, min(int64(n), max(0, f.size-at)))
	return string(b), readAt(f.r, b, at)
}

// conforms returns an error if the primary header says that the file departs from the standard.
func (h *HDU) conforms() error {
	if value, _ := h.Lookup("SIMPLE"); value == false {
		return errors.New("card 1: SIMPLE is F, by which the file says that it departs from the FITS standard, so that its values may mean anything; expected T: write it again with a program that follows the standard, such as astropy")
	}
	return nil
}

// readHDU reads the header at an offset.
func (f *File) readHDU(at int64) (*HDU, error) {
	header, start, err := f.readHeader(at)
	if err != nil {
		return nil, err
	}
	h := &HDU{Header: header, Index: len(f.HDUs), file: f, start: start}
	h.Name = strings.TrimSpace(h.string("EXTNAME"))
	if h.bitpix, err = h.readBitpix("BITPIX"); err != nil {
		return nil, err
	}
	if h.Axes, err = h.readAxes("NAXIS"); err != nil {
		return nil, err
	}
	dataBytes, err := h.dataBytes()
	if err != nil {
		return nil, err
	}
	h.end = start + dataBytes
	kind := h.string(extension)
	switch {
	case h.Index == 0 && h.bool("GROUPS"):
		h.Kind = Groups
	case kind == "BINTABLE" || kind == "A3DTABLE":
		h.Kind = Table
	case kind == "TABLE":
		h.Kind = ASCIITable
	case h.Index > 0 && kind != "IMAGE" && kind != "IUEIMAGE":
		h.Kind = Kind("extension " + strconv.Quote(kind))
	case dataBytes == 0:
		h.Kind = NoData
	default:
		h.Kind = Image
	}
	if h.Kind == Table && h.bool("ZIMAGE") {
		return h, h.readTileAxes()
	}
	return h, nil
}

// readTileAxes makes of a binary table the image that it holds.
func (h *HDU) readTileAxes() (err error) {
	h.Kind, h.compressed = Image, true
	if h.bitpix, err = h.readBitpix("ZBITPIX"); err != nil {
		return err
	}
	h.Axes, err = h.readAxes("ZNAXIS")
	return err
}

func (h *Header) readBitpix(key string) (int, error) {
	n, err := h.integer(key, -64, 64, 0)
	if err == nil && slices.Contains([]int64{8, 16, 32, 64, -32, -64}, n) {
		return int(n), nil
	}
	return 0, h.wrong(key, "8, 16, 32, 64, -32 or -64")
}

func (h *Header) readAxes(key string) ([]int, error) {
	n, err := h.integer(key, 0, 999, -1)
	if err != nil {
		return nil, err
	}
	axes := make([]int, n)
	for i := range axes {
		length, err := h.integer(key+strconv.Itoa(i+1), 0, math.MaxInt64, -1)
		if err != nil {
			return nil, err
		}
		axes[i] = int(length)
	}
	return axes, nil
}

// dataBytes returns the size of the data by the standard's equation 2:
// |BITPIX|/8 · GCOUNT · (PCOUNT + NAXIS1 · NAXIS2 · …).
func (h *HDU) dataBytes() (int64, error) {
	axes := h.Axes
	if h.Index == 0 && h.bool("GROUPS") && len(axes) > 0 && axes[0] == 0 {
		axes = axes[1:]
	}
	parameters, err := h.integer("PCOUNT", 0, math.MaxInt64, 0)
	if err != nil {
		return 0, err
	}
	groups, err := h.integer("GCOUNT", 0, math.MaxInt64, 1)
	if err != nil || len(axes) == 0 {
		return 0, err
	}
	elements := product(axes, math.MaxInt64)
	each := int64(max(h.bitpix, -h.bitpix)/8) * min(groups, math.MaxInt32)
	// A file that large does not exist, and sums of offsets must not overflow.
	if each > 0 && (elements > 1<<60/each || parameters > 1<<60/each) {
		return 0, fmt.Errorf("header at byte %d: the axes %v with PCOUNT %d and GCOUNT %d make more bytes than a file can have", h.at, h.Axes, parameters, groups)
	}
	return each * (parameters + elements), nil
}

// product returns the product of lengths, or the limit if that is smaller.
func product(lengths []int, limit int64) int64 {
	p := int64(1)
	for _, n := range lengths {
		if n == 0 {
			return 0
		}
		if p > limit/int64(n) {
			p = limit
			continue // a length of 0 may follow
		}
		p *= int64(n)
	}
	return p
}

// First returns the first HDU of a kind. The error lists what the file has.
func (f *File) First(kind Kind) (*HDU, error) {
	var has []string
	for _, h := range f.HDUs {
		if h.Kind == kind {
			return h, nil
		}
		if len(has) < 10 {
			has = append(has, fmt.Sprintf("%s: %s", h, h.Kind))
		}
	}
	text := strings.Join(has, "; ")
	if more := len(f.HDUs) - len(has); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	if rest := f.size - f.HDUs[len(f.HDUs)-1].end; rest >= block {
		text += fmt.Sprintf("; then %d bytes that are no HDU", rest)
	}
	return nil, fmt.Errorf("expected an HDU of the kind '%s', got %s", kind, text)
}

// String returns 'HDU 1 (SCI)'.
func (h *HDU) String() string {
	if h.Name == "" {
		return fmt.Sprintf("HDU %d", h.Index)
	}
	return fmt.Sprintf("HDU %d (%s)", h.Index, h.Name)
}

// wrap puts the HDU before an error, if there is one.
func (h *HDU) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", h, err)
}

// intact returns an error if the file ends before the data.
func (h *HDU) intact() error {
	if h.end > h.file.size {
		return fmt.Errorf("expected data from byte %d to byte %d, got a file of %d bytes: it is truncated, or an axis is wrong", h.start, h.end, h.file.size)
	}
	return nil
}
