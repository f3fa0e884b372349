package imagefile

import (
	"image"
	"image/color"
)

// Picture returns an image of pixels, uint8 [Size, Size, Channels], for people: the first three channels as red, green
// and blue, or the first as grey if there are fewer than three. It copies the pixels, and panics if there are fewer
// than s.Bytes().
func (s Shape) Picture(pixels []byte) image.Image {
	to := image.Rect(0, 0, s.Size, s.Size)
	if s.Channels < 3 {
		m := image.NewGray(to)
		for i := range m.Pix {
			m.Pix[i] = pixels[i*s.Channels]
		}
		return m
	}
	m := image.NewRGBA(to)
	for i := range s.Size * s.Size {
		p := pixels[i*s.Channels:]
		m.SetRGBA(i%s.Size, i/s.Size, color.RGBA{p[0], p[1], p[2], 255})
	}
	return m
}
