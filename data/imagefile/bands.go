package imagefile

import (
	"fmt"
	"slices"
	"strings"

	"galaxy/internal/usage"
)

// MaxBands is the largest number of channels of an image.
const MaxBands = 8

// Bands names the channels of images, in order. nil is RGB, as in files that name none.
type Bands []string

// The bands of pictures (JPEG, PNG, TIFF, WebP and BMP files).
var (
	RGB  = Bands{"red", "green", "blue"}
	Grey = Bands{"grey"}
)

// inNames are the characters of a band's name.
const inNames = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+."

// ParseBands reads what a person writes for bands: "rgb", "grey", or names with commas between
// them.
func ParseBands(text string) (Bands, error) {
	var b Bands
	switch strings.ToLower(text) {
	case "rgb":
		return RGB, nil
	case "grey", "gray":
		return Grey, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		b = append(b, strings.TrimSpace(name))
	}
	return b, b.Validate()
}

// Validate returns an error unless there are 1 to MaxBands bands, or none for RGB, with names that
// differ, each of 1 to 32 letters, digits and the characters - _ + and the dot.
func (b Bands) Validate() error {
	if len(b) > MaxBands {
		return &usage.Field{Name: "bands", Got: b, Expected: fmt.Sprintf("1 to %d bands", MaxBands)}
	}
	for i, name := range b {
		odd := func(r rune) bool { return !strings.ContainsRune(inNames, r) }
		switch {
		case name == "" || len(name) > 32 || strings.ContainsFunc(name, odd):
			return &usage.Field{Name: "bands", Got: b, Expected: "names of 1 to 32 letters, digits, - _ + and dots, with commas between them, such as g,r,z", Try: "or rgb or grey for pictures"}
		case slices.Contains(b[:i], name):
			return &usage.Field{Name: "bands", Got: b, Expected: "every band once"}
		}
	}
	return nil
}

// Channels returns the number of channels.
func (b Bands) Channels() int {
	if b == nil {
		return len(RGB)
	}
	return len(b)
}

// Equal reports whether both are the same bands in the same order.
func (b Bands) Equal(other Bands) bool { return slices.Equal(b.Names(), other.Names()) }

// Names returns the names, those of RGB for nil. The caller must not change them.
func (b Bands) Names() []string {
	if b == nil {
		return RGB
	}
	return b
}

// IsZero reports whether the bands are RGB, which files with the option omitzero do not name.
func (b Bands) IsZero() bool { return b.Equal(RGB) }

// Picture reports whether pictures have these bands: whether they are RGB or Grey.
func (b Bands) Picture() bool { return b.Equal(RGB) || b.Equal(Grey) }

// String returns what ParseBands reads: "rgb", "grey" or "g,r,z".
func (b Bands) String() string {
	if b.Equal(RGB) {
		return "rgb"
	}
	return strings.Join(b, ",")
}

// A Shape is the shape of an image that a network takes, uint8 [Size, Size, Channels].
type Shape struct {
	Size     int // height and width, pixels
	Channels int
}

// Bytes returns the number of bytes of an image.
func (s Shape) Bytes() int { return s.Size * s.Size * s.Channels }

// Count returns the number of images in pixels, uint8 [N, Size, Size, Channels], N ≥ 1. Another
// number of bytes is an error.
func (s Shape) Count(pixels []byte) (int, error) {
	if bytes := s.Bytes(); bytes == 0 || len(pixels) == 0 || len(pixels)%bytes != 0 {
		return 0, fmt.Errorf("%d bytes of images: expected a multiple of %v above 0", len(pixels), s)
	}
	return len(pixels) / s.Bytes(), nil
}

// String returns the shape as "64×64×3".
func (s Shape) String() string { return fmt.Sprintf("%[1]d×%[1]d×%[2]d", s.Size, s.Channels) }

// Turn fills dst with a view of every image of src, both uint8 [N, Size, Size,
// Channels]. The bits of view select operations, in this order: 4 exchanges rows and
// columns, 2 mirrors top to bottom, 1 left to right.
func (s Shape) Turn(dst, src []byte, view int) {
	// The source of the pixel in row y and column x: start + y·down + x·right.
	start, down, right := 0, s.Size*s.Channels, s.Channels
	if view&4 != 0 {
		down, right = right, down
	}
	if view&2 != 0 {
		start, down = start+(s.Size-1)*down, -down
	}
	if view&1 != 0 {
		start, right = start+(s.Size-1)*right, -right
	}
	image := s.Bytes()
	for from := 0; from < len(src); from += image {
		out := dst[from : from+image]
		for range s.Size {
			at := from + start
			for range s.Size {
				copy(out[:s.Channels], src[at:at+s.Channels])
				out, at = out[s.Channels:], at+right
			}
			start += down
		}
		start -= s.Size * down
	}
}
