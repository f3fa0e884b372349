package data

import (
	"math"

	"galaxy/data/imagefile"
)

// channelTotals holds a total of each channel.
type channelTotals [imagefile.MaxBands]uint64

// levels holds v and v² of every byte value in one word: one load and one addition
// update both sums, three times as fast as multiplying.
var levels = func() (t [256]uint64) {
	for v := range t {
		t[v] = uint64(v)<<32 | uint64(v*v)
	}
	return t
}()

// addChannels adds the pixels of an image to the sums of each of its channels.
func addChannels(pixels []byte, channels int, sum, squares *channelTotals) {
	// 2¹⁶ squares of at most 255² still fit into the lower half of a word.
	most := channels << 16
	for len(pixels) > 0 {
		part := pixels[:min(most, len(pixels))]
		pixels = pixels[len(part):]
		var totals channelTotals
		if channels == 3 {
			totals[0], totals[1], totals[2] = addRGB(part)
		} else {
			for c := range channels {
				for i := c; i < len(part); i += channels {
					totals[c] += levels[part[i]]
				}
			}
		}
		for c, total := range totals[:channels] {
			sum[c] += total >> 32
			squares[c] += total & math.MaxUint32
		}
	}
}

// addHoles counts the pixels of each channel that are 0.
func addHoles(pixels []byte, channels int, holes *channelTotals) {
	for c := range channels {
		for i := c; i < len(pixels); i += channels {
			if pixels[i] == 0 {
				holes[c]++
			}
		}
	}
}

// addRGB returns the sums of levels of each channel of RGB pixels.
func addRGB(pixels []byte) (r, g, b uint64) {
	for ; len(pixels) >= 6; pixels = pixels[6:] {
		p := (*[6]byte)(pixels)
		r += levels[p[0]]
		g += levels[p[1]]
		b += levels[p[2]]
		r += levels[p[3]]
		g += levels[p[4]]
		b += levels[p[5]]
	}
	if len(pixels) == 3 { // an odd number of pixels
		r += levels[pixels[0]]
		g += levels[pixels[1]]
		b += levels[pixels[2]]
	}
	return r, g, b
}
