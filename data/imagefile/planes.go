package imagefile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"galaxy/data/fits"
	"galaxy/data/stretch"
	"galaxy/internal/usage"
)

// fitsLimit is the largest buffer for reading a FITS file, in bytes: the pixels of the largest image as
// float64, or a compressed file when expanded.
const fitsLimit = 8 * MaxPixels

// FITS reports whether the file is a FITS file, which OpenPlanes reads and Pixels does not.
func (f File) FITS() bool { return f.fits != nil }

// openFITS reads the headers of a FITS file, compressed or not.
func (f *File) openFITS() (err error) {
	f.fits, err = fits.Open(bytes.NewReader(f.Encoded), int64(len(f.Encoded)), fitsLimit)
	if err != nil {
		return fmt.Errorf("read the FITS file: %w", err)
	}
	// The picture is the first image of two or more axes. Masks, errors and weights follow it by
	// convention.
	if f.picture, err = f.fits.First(fits.Image); err != nil {
		return fmt.Errorf("the FITS file has no image: %w", err)
	}
	for _, hdu := range f.fits.HDUs {
		if hdu.Kind == fits.Image && len(hdu.Axes) > 1 {
			f.picture = hdu
			break
		}
	}
	f.Width, f.Height, f.planes, err = f.picture.Shape() // an error if there is only one axis
	f.Grey = f.planes == 1
	return err
}

// Bands returns the bands of an image if nothing else is asked for: Grey or RGB, or of a FITS cube
// plane0, plane1 and so on.
func (f File) Bands() (Bands, error) {
	switch {
	case f.Grey:
		return Grey, nil
	case !f.FITS():
		return RGB, nil
	}
	if f.planes > MaxBands {
		return nil, fmt.Errorf("%v has %d planes; expected 1 to %d: name the planes to use as bands, such as plane0,plane2", f.picture, f.planes, MaxBands)
	}
	var b Bands
	for plane := range f.planes {
		b = append(b, planeBand+strconv.Itoa(plane))
	}
	return b, nil
}

// ErrFITS is OpenFor's error about a FITS file if there is no stretch.
var ErrFITS = errors.New("a FITS file, which needs a stretch, among images without one")

// OpenFor opens an image for a model of these bands: with Open a file of 8 bits, which needs no
// stretch, and otherwise with OpenPlanes.
func OpenFor(encoded [][]byte, bands Bands, s stretch.Stretch) (File, error) {
	if !s.IsZero() {
		return OpenPlanes(encoded, bands, s)
	}
	file, err := open(encoded[0], Pictures)
	if err == nil && file.FITS() {
		err = ErrFITS
	}
	return file, err
}

// A MismatchError is OpenPlanes' error about an image file that does not have the bands, or is not to be stretched.
type MismatchError struct {
	Has string // what the file has
	Try string // what to do, for a person who chooses the bands
}

func (e *MismatchError) Error() string { return e.Has + "; " + e.Try }

// A Plane is one band of an image whose pixels may have any range.
type Plane struct {
	Width, Height int // pixels

	hdu *fits.HDU
	n   int // of the HDU's planes

	decoded image.Image // instead of an HDU
	channel int         // of RGB
}

// OpenPlanes reads the headers of an image of any format but JPEG, whose pixels s will stretch. It
// is one file with all bands, or one file per band in the order of the bands. Errors about one of
// several files name its band.
//
// In one FITS file a band is
//
//   - hduN, the image in HDU N, from 0;
//   - planeN, plane N, from 0, of the picture, which is the first image with two axes or more;
//   - the image in the HDU with the band as EXTNAME, in any case;
//   - the plane N of the picture if its HDU has a card BANDN with the band;
//   - and if none of the bands is any of these, the plane at the band's place, if the picture has as
//     many planes as there are bands.
//
// Any other format has the one band of grey, or the three of RGB, in this order.
func OpenPlanes(encoded [][]byte, bands Bands, s stretch.Stretch) (f File, err error) {
	names := bands.Names()
	var planes []Plane
	for i, one := range encoded {
		of := names
		if len(encoded) > 1 {
			of = names[i : i+1]
		}
		var found []Plane
		if f, err = Open(one); err == nil {
			found, err = f.planesOf(of)
		}
		if err != nil && len(encoded) > 1 {
			err = fmt.Errorf("band %s: %w", names[i], err)
		}
		if err != nil {
			return File{}, err
		}
		planes = append(planes, found...)
	}
	f.Width, f.Height = planes[0].Width, planes[0].Height
	f.Planes, f.Names, f.Stretch = planes, names, s
	return f, nil
}

// planesOf returns the planes of one file that are these bands.
func (f File) planesOf(bands []string) ([]Plane, error) {
	switch {
	case f.FITS():
		return f.fitsPlanes(bands)
	case f.JPEG():
		return nil, &MismatchError{"a JPEG has been stretched already, and is not stretched again", "expected FITS, or PNG or TIFF of 16 bits"}
	}
	var m image.Image
	err := f.guard(func() (err error) {
		if m, err = f.Kind.decode(bytes.NewReader(f.Encoded)); err == nil && m.Bounds() != image.Rect(0, 0, f.Width, f.Height) {
			err = errors.New("the image is not as large as its header says")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	planes := []Plane{{Width: f.Width, Height: f.Height, decoded: m}}
	if !f.Grey {
		planes = []Plane{planes[0], planes[0], planes[0]}
		planes[1].channel, planes[2].channel = 1, 2
	}
	if len(planes) != len(bands) {
		return nil, &MismatchError{"the image has " + usage.Count(len(planes), "channel"), fmt.Sprintf("expected %d: %v", len(bands), Bands(bands))}
	}
	return planes, nil
}

// Bands by number start with these.
const (
	hduBand   = "hdu"
	planeBand = "plane"
)

// number returns N of a band hduN or planeN.
func number(band, prefix string) (n int, ok bool) {
	digits, ok := strings.CutPrefix(band, prefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0
}

// InFile reports whether a band is a place in a file, hduN or planeN, and so in no file's name.
func InFile(band string) bool {
	_, hdu := number(band, hduBand)
	_, plane := number(band, planeBand)
	return hdu || plane
}

func (f File) fitsPlanes(bands []string) ([]Plane, error) {
	var found []Plane
	missing := ""
	for _, band := range bands {
		if p, ok := f.findBand(band); ok {
			found = append(found, p)
		} else {
			missing = cmp.Or(missing, band)
		}
	}
	if len(found) == 0 && f.planes == len(bands) && !slices.ContainsFunc(bands, InFile) {
		missing = ""
		for n := range f.planes {
			found = append(found, Plane{hdu: f.picture, n: n})
		}
	}
	if missing != "" {
		return nil, &MismatchError{fmt.Sprintf("the FITS file has no band %s: %s", missing, f.contents()), "name as bands HDUs by EXTNAME or as hdu0, or planes as plane0"}
	}
	for i := range found {
		p := &found[i]
		width, height, planes, err := p.hdu.Shape()
		p.Width, p.Height = width, height
		if err == nil && p.n == wholeHDU && planes != 1 {
			err = fmt.Errorf("%v has %d planes; expected 1 for the band %s", p.hdu, planes, bands[i])
		}
		if err == nil && p.n >= planes {
			err = fmt.Errorf("%v has no %s: its planes are 0 to %d", p.hdu, bands[i], planes-1)
		}
		if err == nil {
			err = checkSize(p.Width, p.Height)
		}
		if err != nil {
			return nil, err
		}
		p.n = max(p.n, 0)
	}
	return found, nil
}

// wholeHDU is the number of a plane whose HDU has no others.
const wholeHDU = -1

// findBand returns the plane that a band is, if the file says so.
func (f File) findBand(band string) (Plane, bool) {
	if n, ok := number(band, planeBand); ok {
		return Plane{hdu: f.picture, n: n}, true
	}
	if n, ok := number(band, hduBand); ok {
		if n >= len(f.fits.HDUs) || f.fits.HDUs[n].Kind != fits.Image {
			return Plane{}, false
		}
		return Plane{hdu: f.fits.HDUs[n], n: wholeHDU}, true
	}
	for _, hdu := range f.fits.HDUs {
		if hdu.Kind == fits.Image && strings.EqualFold(hdu.Name, band) {
			return Plane{hdu: hdu, n: wholeHDU}, true
		}
	}
	for n := range MaxBands {
		if name, ok := f.picture.Lookup("BAND" + strconv.Itoa(n)); ok && name == band {
			return Plane{hdu: f.picture, n: n}, true
		}
	}
	return Plane{}, false
}

// contents lists the HDUs for a message.
func (f File) contents() string {
	const most = 6
	var has []string
	for _, hdu := range f.fits.HDUs[:min(len(f.fits.HDUs), most)] {
		what := string(hdu.Kind)
		if width, height, planes, err := hdu.Shape(); err == nil {
			what = fmt.Sprintf("%d×%d pixels", width, height)
			if planes > 1 {
				what += fmt.Sprintf(" and %d planes", planes)
			}
		}
		has = append(has, fmt.Sprintf("%v of %s", hdu, what))
	}
	if more := len(f.fits.HDUs) - most; more > 0 {
		has = append(has, fmt.Sprintf("%d more", more))
	}
	return "it has " + strings.Join(has, ", ")
}

// Values returns the pixels in r, float32 [height of r, width of r] in row-major order, in dst if it is
// large enough. r must lie in the image. The top row comes first, as for all images: FITS stores the bottom
// row first. Pixels that are not there (NaN, BLANK) or beyond float32 are not finite. buf is a buffer for
// the image, to use again.
func (p Plane) Values(dst []float32, r image.Rectangle, buf []float64) (_ []float32, _ []float64, err error) {
	dst = slices.Grow(dst[:0], r.Dx()*r.Dy())
	if p.hdu == nil {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				dst = append(dst, p.level(x, y))
			}
		}
		return dst, buf, nil
	}
	if buf, err = p.hdu.ReadPlane(buf, p.n); err != nil {
		return dst, buf, fmt.Errorf("read the FITS file: %w", err)
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := buf[(p.Height-1-y)*p.Width:]
		for _, v := range row[r.Min.X:r.Max.X] {
			dst = append(dst, float32(v))
		}
	}
	return dst, buf, nil
}

// level returns a pixel of an image that is no FITS, on the scale of its bits, 0 to 255 or to 65,535, and
// NaN where it is transparent.
func (p Plane) level(x, y int) float32 {
	switch m := p.decoded.(type) {
	case *image.Gray:
		return float32(m.GrayAt(x, y).Y)
	case *image.Gray16:
		return float32(m.Gray16At(x, y).Y)
	}
	c := color.NRGBA64Model.Convert(p.decoded.At(x, y)).(color.NRGBA64) //nolint:forcetypeassert // the model's own type
	if c.A == 0 {
		return float32(math.NaN())
	}
	v := [3]uint16{c.R, c.G, c.B}[p.channel]
	switch p.decoded.(type) {
	case *image.NRGBA64, *image.RGBA64:
		return float32(v)
	}
	return float32(v) / 257
}
