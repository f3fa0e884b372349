package imagefile

import (
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
)

// Crop says which square around the centre of an image is kept. A number above 1 is the side in
// pixels, a whole number; a number up to 1 is a fraction of the shorter side of each image. 1
// is the largest square. The zero value is no crop at all, and not valid.
//
// Being one number, it is one in JSON too, where older versions only had pixels.
type Crop float64

// ParseCrop reads a crop as a person writes it: "224" pixels, or a fraction, "0.53" or "53%".
func ParseCrop(text string) (Crop, error) {
	number, percent := strings.CutSuffix(text, "%")
	if percent {
		number += "e-2" // 53e-2 is the float64 closest to 0.53, which 53.0/100 need not be
	}
	v, err := strconv.ParseFloat(number, 64)
	if c := Crop(v); err == nil && c.Validate() == nil && (c <= 1 || !percent) {
		return c, nil
	}
	return 0, fmt.Errorf("crop %q: expected a number of pixels, such as 224, or a fraction of the shorter side, such as 0.53 or 53%%", text)
}

// String returns what ParseCrop reads.
func (c Crop) String() string {
	// A fraction of many digits may not be a multiple of 1e-8 %.
	percent := strconv.FormatFloat(math.Round(float64(c)*1e10)/1e8, 'f', -1, 64) + "%"
	if again, err := ParseCrop(percent); err == nil && again == c {
		return percent
	}
	return strconv.FormatFloat(float64(c), 'f', -1, 64)
}

// Middle describes the crop in a sentence: "the middle 224 px", "the middle 53%".
func (c Crop) Middle() string {
	if c > 1 {
		return "the middle " + c.String() + " px"
	}
	return "the middle " + c.String()
}

// Validate returns an error for a number that is no crop.
func (c Crop) Validate() error {
	if c > 0 && c <= 1 || c > 1 && c <= MaxSide && c == Crop(math.Trunc(float64(c))) {
		return nil
	}
	return fmt.Errorf("crop is %v; expected 2 to %d pixels, or a fraction above 0 and up to 1 of the shorter side", float64(c), MaxSide)
}

// Side returns the side in pixels of the square that is kept of an image of width × height
// pixels. A fraction is rounded to the nearest pixel, ties to even, as TensorFlow's Round does.
// If the crop is in pixels, the image may be smaller.
func (c Crop) Side(width, height int) int {
	if c > 1 {
		return int(c)
	}
	return int(math.RoundToEven(float64(min(width, height)) * float64(c)))
}

// Least returns the smallest side, pixels, of an image of which a square of size × size pixels or more is kept.
func (c Crop) Least(size int) int {
	if c > 1 {
		return int(c)
	}
	return int(math.Ceil(float64(size) / float64(c)))
}

// A TooSmallError is about an image that is smaller than its crop, or of which the crop keeps fewer pixels
// than the image to make has.
type TooSmallError struct {
	Width, Height int    // of the image, pixels
	Least         int    // the smallest side that is enough, pixels
	Message       string // for whoever chooses the crop
}

func (e *TooSmallError) Error() string { return e.Message }

// Square returns the square that is kept of an image of width × height pixels. Where a side minus
// the square's is odd, the square is half a pixel up or left of the centre. The error is a
// TooSmallError: the image is smaller than the crop, or less than 1 pixel of it is kept.
func (c Crop) Square(width, height int) (image.Rectangle, error) {
	side := c.Side(width, height)
	if side > min(width, height) || side < 1 {
		return image.Rectangle{}, &TooSmallError{Width: width, Height: height, Least: c.Least(1), Message: fmt.Sprintf(
			"the image is %d×%d pixels, smaller than the crop of %d×%d; choose a smaller crop, or a fraction", width, height, side, side)}
	}
	x, y := (width-side)/2, (height-side)/2
	return image.Rect(x, y, x+side, y+side), nil
}
