package imagefile

import (
	"image/color"
	"testing"
)

func TestPicture(t *testing.T) {
	for _, c := range []struct {
		channels int
		want     color.Color // of the pixel at x = 1, y = 0, whose channels are 10, 11, 12, …
	}{
		{1, color.Gray{10}},
		{2, color.Gray{10}},
		{3, color.RGBA{10, 11, 12, 255}},
		{8, color.RGBA{10, 11, 12, 255}},
	} {
		s := Shape{Size: 2, Channels: c.channels}
		pixels := make([]byte, s.Bytes())
		for k := range c.channels {
			pixels[c.channels+k] = byte(10 + k)
		}
		if got := s.Picture(pixels).At(1, 0); got != c.want {
			t.Errorf("%d channels: got %v, expected %v", c.channels, got, c.want)
		}
	}
}
