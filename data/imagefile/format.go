package imagefile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"galaxy/data/filetype"
	"galaxy/data/fits"
	"galaxy/data/stretch"
)

const (
	// MaxPixels is the largest image that is decoded, 8,192 × 8,192 pixels. Decoding takes up to
	// 8 bytes per pixel, for each image decoded at the same time.
	MaxPixels = 1 << 26
	// MaxSide is the largest side in pixels of any format.
	MaxSide = 1<<16 - 1
	// HeadBytes is how much of a file Sniff looks at.
	HeadBytes = filetype.HeadBytes
)

// A Kind is what a file is by its first bytes.
type Kind struct {
	Name string // with an article: "a PNG image", "an HTML page"
	todo string // what to do about a file that is not read

	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	jpeg   bool
	fits   bool
}

// Readable reports whether files of this kind are images that Open reads.
func (k Kind) Readable() bool { return k.jpeg || k.fits || k.decode != nil }

const (
	convert = "save it as PNG or TIFF"
	unpack  = "unpack it"
)

// kinds are the files that Open reads, or that it says more about than their name (package
// filetype).
var kinds = map[string]Kind{
	filetype.JPEG:     {jpeg: true},
	filetype.PNG:      {config: png.DecodeConfig, decode: png.Decode},
	filetype.TIFF:     {config: tiff.DecodeConfig, decode: tiff.Decode},
	filetype.WebP:     {config: webp.DecodeConfig, decode: webp.Decode},
	filetype.BMP:      {config: bmp.DecodeConfig, decode: bmp.Decode},
	filetype.FITS:     {fits: true},
	filetype.BigTIFF:  {todo: convert},
	filetype.GIF:      {todo: convert},
	filetype.AVIF:     {todo: convert},
	filetype.HEIC:     {todo: convert},
	filetype.JPEGXL:   {todo: convert},
	filetype.JPEG2000: {todo: convert},
	filetype.NumPy:    {todo: convert},
	filetype.LFS:      {todo: "git lfs pull fetches the file that it stands for"},
	filetype.Gzip:     {todo: unpack},
	filetype.Bzip2:    {todo: unpack},
	filetype.XZ:       {todo: unpack},
}

// again is what to do about a file that a website or a disk has replaced by something else.
const again = "get the file again"

// Sniff returns what a file is by its first HeadBytes bytes, or by all of a shorter file.
func Sniff(head []byte) Kind {
	head = head[:min(len(head), HeadBytes)]
	if len(head) == 0 {
		return Kind{Name: "an empty file", todo: again}
	}
	name := filetype.Of(head)
	if name == filetype.Gzip && filetype.Of(gunzip(head)) == filetype.FITS {
		name = filetype.FITS
	}
	if name != "" {
		kind := kinds[name]
		kind.Name = name
		return kind
	}
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n"))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return Kind{Name: "an HTML page", todo: "it is probably a website's message: " + again}
	case strings.HasPrefix(text, "<svg"), strings.HasPrefix(text, "<?xml"):
		return Kind{Name: "an XML file"}
	case isText(head):
		return Kind{Name: "a text file"}
	case len(bytes.Trim(head, "\x00")) == 0:
		return Kind{Name: "a file of zeros", todo: again}
	}
	return Kind{Name: "a file of an unknown format"}
}

// gunzip returns the first bytes of a file of which head is the compressed start.
func gunzip(head []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	start := make([]byte, 16)     // enough for FITS
	n, _ := io.ReadFull(z, start) // what follows is cut off
	return start[:n]
}

// isText reports whether head is UTF-8, up to a character that its end may cut, without control
// characters other than white space.
func isText(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(head)
		}
		if r < ' ' && !strings.ContainsRune("\t\r\n\f", r) {
			return false
		}
		head = head[n:]
	}
	return true
}

// A File is an encoded image whose header has been read.
type File struct {
	Kind          Kind
	Width, Height int    // pixels
	Grey          bool   // its header says that it has no colours
	Encoded       []byte // the file

	// Planes are the bands of an image to be stretched by Stretch, and Names their names. Both
	// are nil but of OpenPlanes.
	Planes  []Plane
	Names   []string
	Stretch stretch.Stretch

	fits    *fits.File
	picture *fits.HDU // of fits
	planes  int       // of picture
}

// Open reads the header of an image file and checks that it may be decoded: that it has at most
// MaxPixels, and, of a JPEG, that it is complete, since decoding a JPEG does not show that.
// It decodes nothing. The File refers to encoded.
func Open(encoded []byte) (File, error) { return open(encoded, "JPEG, PNG, TIFF, WebP, BMP or FITS") }

// Pictures names the formats that need no stretch.
const Pictures = "JPEG, PNG, TIFF, WebP or BMP"

// open is Open; formats are those that its error about another file names.
func open(encoded []byte, formats string) (File, error) {
	f := File{Kind: Sniff(encoded), Encoded: encoded}
	switch {
	case len(encoded) == 0:
		return File{}, errors.New("the file is empty")
	case f.Kind.jpeg:
		h, err := scanJPEG(encoded)
		if err == nil {
			err = h.check()
		}
		if err != nil {
			return File{}, err
		}
		f.Width, f.Height, f.Grey = h.Width, h.Height, h.Components == 1
	case f.Kind.fits || f.Kind.Name == filetype.Bzip2:
		if err := f.openFITS(); err != nil {
			return File{}, err
		}
	case f.Kind.config != nil:
		var c image.Config
		err := f.guard(func() (err error) {
			c, err = f.Kind.config(bytes.NewReader(encoded))
			return err
		})
		if err != nil {
			return File{}, err
		}
		f.Width, f.Height, f.Grey = c.Width, c.Height, greyModel(c.ColorModel) || f.greyAlphaPNG()
	case f.Kind.todo != "":
		return File{}, fmt.Errorf("the file is %s: %s", f.Kind.Name, f.Kind.todo)
	default:
		return File{}, fmt.Errorf("the file is %s; expected an image: %s", f.Kind.Name, formats)
	}
	if err := checkSize(f.Width, f.Height); err != nil {
		return File{}, err
	}
	return f, nil
}

// greyModel reports whether the colours of a header are grey: levels, or a palette of greys.
func greyModel(m color.Model) bool {
	if palette, ok := m.(color.Palette); ok {
		return !slices.ContainsFunc(palette, func(c color.Color) bool {
			red, green, blue, _ := c.RGBA()
			return red != green || green != blue
		})
	}
	return m == color.GrayModel || m == color.Gray16Model
}

// checkSize returns an error for an image that is not decoded.
func checkSize(width, height int) error {
	if width < 1 || height < 1 {
		return fmt.Errorf("the image has no pixels (%d×%d)", width, height)
	}
	// Each side first: their product may be larger than an int.
	if max(width, height) > MaxPixels || width*height > MaxPixels {
		return fmt.Errorf("the image is %d×%d pixels; expected at most %d, as many as 8192×8192: cut out the galaxy, or make the image smaller", width, height, MaxPixels)
	}
	return nil
}

// guard calls a decoder. Its errors are those of the file: it reads from memory. So are its panics:
// the decoders are not made for bytes that were changed with intent.
func (f File) guard(decode func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: decoding it as %s failed (%v)", f.Kind.Name, p)
		}
	}()
	err = decode()
	switch {
	case err != nil && strings.Contains(err.Error(), "unsupported"):
		return fmt.Errorf("%s of a variant that is not read (%w): %s", f.Kind.Name, err, convert)
	case err != nil:
		return fmt.Errorf("the file is truncated or damaged: %w", err)
	}
	return nil
}
