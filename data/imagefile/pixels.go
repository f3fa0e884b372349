package imagefile

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
)

// JPEG reports whether the file is a JPEG, which Pixels does not decode.
func (f File) JPEG() bool { return f.Kind.jpeg }

// Pixels decodes the file and returns the pixels in r, uint8 [height of r, width of r, channels] in
// row-major order, in dst if it is large enough. r must lie in the image. channels is 3 for RGB or
// 1 for grey.
//
// Grey becomes three equal channels, and colour the one of luma. A value v of 16 bits becomes v/257, rounded to nearest: the
// full range stays the full range. Transparent pixels are seen over black: colour × alpha.
// The colours of a lossy WebP are those of libwebp.
func (f File) Pixels(dst []byte, r image.Rectangle, channels int) ([]byte, error) {
	if f.Kind.decode == nil {
		return dst, fmt.Errorf("decode %s: it is not decoded here", f.Kind.Name)
	}
	err := f.guard(func() error {
		m, err := f.Kind.decode(bytes.NewReader(f.Encoded))
		if err != nil {
			return err
		}
		if m.Bounds() != image.Rect(0, 0, f.Width, f.Height) || !r.In(m.Bounds()) {
			return errors.New("the image is not as large as its header says")
		}
		if n := 3 * r.Dx() * r.Dy(); cap(dst) < n {
			dst = make([]byte, n)
		} else {
			dst = dst[:n]
		}
		return toRGB(dst, m, r)
	})
	if err == nil && channels == 1 {
		dst = luma(dst)
	}
	return dst, err
}

// luma turns RGB pixels in place into Y' of ITU-R BT.601, rounded to nearest, and returns the part of
// them that holds it. The weights, in units of 2⁻¹⁶, are Pillow's for its mode L. They add up to
// 2¹⁶, so that grey stays what it is.
func luma(rgb []byte) []byte {
	grey := rgb[:len(rgb)/3]
	for i := range grey {
		red, green, blue := uint32(rgb[3*i]), uint32(rgb[3*i+1]), uint32(rgb[3*i+2])
		grey[i] = uint8((19595*red + 38470*green + 7471*blue + 1<<15) >> 16)
	}
	return grey
}

// toRGB fills dst with the pixels of m in r.
func toRGB(dst []byte, m image.Image, r image.Rectangle) error {
	switch m := m.(type) {
	case *image.Paletted:
		return paletteRGB(dst, m, r)
	case *image.YCbCr: // only WebP gives these two
		videoRGB(dst, m, r)
		return nil
	case *image.NYCbCrA:
		videoRGB(dst, &m.YCbCr, r)
		i := 0
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				a := uint32(m.A[m.AOffset(x, y)])
				for range 3 {
					dst[i] = uint8((uint32(dst[i])*a + 127) / 255)
					i++
				}
			}
		}
		return nil
	}
	// All others have this method, which multiplies by alpha and allocates nothing.
	pixels, ok := m.(image.RGBA64Image)
	if !ok {
		return fmt.Errorf("unsupported pixels %T", m)
	}
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := pixels.RGBA64At(x, y)
			dst[i], dst[i+1], dst[i+2] = to8(c.R), to8(c.G), to8(c.B)
			i += 3
		}
	}
	return nil
}

// paletteRGB is toRGB for an image with a palette. A TIFF's has 16 bits, and programs write a
// colour v as 256·v or as 257·v. The high byte is v in both.
func paletteRGB(dst []byte, m *image.Paletted, r image.Rectangle) error {
	colours := make([][3]byte, len(m.Palette))
	for i, c := range m.Palette {
		if c, ok := c.(color.RGBA64); ok {
			colours[i] = [3]byte{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)}
			continue
		}
		red, green, blue, _ := c.RGBA()
		colours[i] = [3]byte{to8(uint16(red)), to8(uint16(green)), to8(uint16(blue))}
	}
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			n := int(m.Pix[m.PixOffset(x, y)])
			if n >= len(colours) {
				return fmt.Errorf("colour %d of a palette of %d", n, len(colours))
			}
			i += copy(dst[i:], colours[n][:])
		}
	}
	return nil
}

// to8 is v/257, rounded to nearest. The 16-bit form of a value of 8 bits, 257·v, gives it back.
func to8(v uint16) uint8 { return uint8((uint32(v) + 128) / 257) }

// videoRGB converts the pixels of a VP8 frame in r, which are BT.601 video levels (16 to 235) with
// a quarter of the colour samples (RFC 6386, section 9.2). Go's color package would take them
// for JPEG's full range, and paler. A colour sample lies in the middle of four pixels; those of a
// pixel are interpolated with weights 9, 3, 3 and 1. The fixed-point arithmetic is libwebp's, so
// that the pixels are the ones that other programs show.
func videoRGB(dst []byte, m *image.YCbCr, r image.Rectangle) {
	width, height := (m.Rect.Dx()+1)/2, (m.Rect.Dy()+1)/2
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		near, far := neighbours(y, height)
		near, far = near*m.CStride, far*m.CStride
		for x := r.Min.X; x < r.Max.X; x++ {
			left, right := neighbours(x, width)
			mix := func(c []uint8) int {
				return (9*int(c[near+left]) + 3*int(c[near+right]) + 3*int(c[far+left]) + int(c[far+right]) + 8) >> 4
			}
			light, u, v := int(m.Y[y*m.YStride+x])*19077>>8, mix(m.Cb), mix(m.Cr)
			dst[i] = clamp6(light + v*26149>>8 - 14234)
			dst[i+1] = clamp6(light - u*6419>>8 - v*13320>>8 + 8708)
			dst[i+2] = clamp6(light + u*33050>>8 - 17685)
			i += 3
		}
	}
}

// neighbours returns the two of n colour samples between which pixel i lies along an axis, the
// nearer one first.
func neighbours(i, n int) (near, far int) {
	near = i / 2
	return near, min(max(near-1+i%2*2, 0), n-1)
}

// clamp6 rounds a number of 6 binary places down, into 0 to 255.
func clamp6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
