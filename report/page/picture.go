package page

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
)

// Picture is an image that a page contains.
type Picture struct {
	URL           template.URL // a data: URI
	Width, Height int          // px
}

// maxPicture is the largest side of an image that Encode takes, in px.
const maxPicture = 4096

// smallestPicture is the side, in px, below which Encode does not shrink an image.
const smallestPicture = 16

// Encode returns an image of at most budget bytes: a PNG if that fits, otherwise a JPEG. To get there it lowers the
// JPEG's quality from 90 to 40 and then halves the image. pixels holds height × width × channels bytes,
// row by row: 1 channel is grey, 3 are red, green and blue, of 2 the first is shown grey, of more the first three
// as red, green and blue.
func Encode(pixels []byte, width, height, channels, budget int) (Picture, error) {
	if width < 1 || height < 1 || channels < 1 || width > maxPicture || height > maxPicture || channels > maxPicture {
		return Picture{}, fmt.Errorf("encode picture: expected sides of 1 to %d px and a channel, got %d × %d × %d", maxPicture, height, width, channels)
	}
	if len(pixels) != width*height*channels {
		return Picture{}, fmt.Errorf("encode picture: expected %d × %d × %d = %d bytes, got %d", height, width, channels, width*height*channels, len(pixels))
	}
	source := toImage(pixels, width, height, channels)
	for {
		for _, quality := range []int{0, 90, 80, 70, 60, 50, 40} {
			var b bytes.Buffer
			kind, err := "png", error(nil)
			if quality == 0 {
				err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, source)
			} else {
				kind, err = "jpeg", jpeg.Encode(&b, source, &jpeg.Options{Quality: quality})
			}
			if err != nil {
				return Picture{}, fmt.Errorf("encode picture: %w", err)
			}
			if b.Len() <= budget {
				return Picture{template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes())), width, height}, nil //nolint:gosec // base64
			}
		}
		bounds := source.Bounds()
		if min(bounds.Dx(), bounds.Dy()) < 2*smallestPicture {
			return Picture{}, fmt.Errorf("encode picture: expected a budget that holds an image of %d × %d px, got %d bytes", bounds.Dx(), bounds.Dy(), budget)
		}
		source = halved(source)
	}
}

func toImage(pixels []byte, width, height, channels int) draw.Image {
	if channels < 3 {
		grey := image.NewGray(image.Rect(0, 0, width, height))
		for i := range grey.Pix {
			grey.Pix[i] = pixels[i*channels]
		}
		return grey
	}
	rgb := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		copy(rgb.Pix[4*i:], pixels[i*channels:i*channels+3])
		rgb.Pix[4*i+3] = 255
	}
	return rgb
}

// halved keeps grey images grey: they take a third of the bytes.
func halved(source draw.Image) draw.Image {
	size := image.Rect(0, 0, source.Bounds().Dx()/2, source.Bounds().Dy()/2)
	var small draw.Image = image.NewRGBA(size)
	if _, grey := source.(*image.Gray); grey {
		small = image.NewGray(size)
	}
	draw.ApproxBiLinear.Scale(small, size, source, source.Bounds(), draw.Src, nil)
	return small
}

// HTML returns the img element. alt describes the image for readers who cannot see it: "spiral galaxy, seen
// from above". The browser shows it in the size that Encode got.
func (p Picture) HTML(alt string) template.HTML {
	return render("picture", struct {
		Picture
		Alt string
	}{p, alt})
}
