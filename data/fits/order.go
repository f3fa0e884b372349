package fits

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

const (
	orderSample  = 512 // pixels looked at
	orderLeast   = 16  // of them, that are not 0
	ordinaryFrom = 1e-30
	ordinaryTo   = 1e30
	ordinarySpan = 1e6 // on either side of the median
)

// checkOrder returns an error if floating-point pixels, as they are stored, are in the wrong byte order:
// FITS has the largest byte first, and programs that dump arrays forget it. Nothing in the file says so, but such
// pixels have magnitudes from anywhere, and those of a few decades when their bytes are reversed. Values that are
// odd in both orders are let through.
func checkOrder(pixels []float64, bitpix int) error {
	var sample [orderSample]float64
	stored, odd := sample[:0], 0
	step := (len(pixels)-1)/orderSample + 1
	for i := 0; i < len(pixels); i += step {
		// The pixels from one to the next differ in their column, whatever the width is.
		v := pixels[i+(i/step)%min(step, len(pixels)-i)]
		if v == 0 || v != v {
			continue
		}
		stored = append(stored, v)
		if m := math.Abs(v); m < ordinaryFrom || m > ordinaryTo {
			odd++
		}
	}
	// Of wrong float32 a quarter is that odd, and of wrong float64 nearly all.
	if len(stored) < orderLeast || odd*16 < len(stored) {
		return nil
	}
	var swapped []float64
	for _, v := range stored {
		if w := reversed(v, bitpix); w != 0 && w == w {
			swapped = append(swapped, w)
		}
	}
	if len(swapped) < orderLeast || ordinary(stored) > 0.5 || ordinary(swapped) < 0.9 {
		return nil
	}
	return fmt.Errorf("pixels of which most are absurd, such as %.2g, and ordinary with their bytes reversed, %.2g: the bytes are in the wrong order, the smallest first; FITS has the largest first, as astropy writes it; write the file again",
		stored[0], reversed(stored[0], bitpix))
}

// reversed returns the value of the same bytes in reverse.
func reversed(v float64, bitpix int) float64 {
	if bitpix == -32 {
		return float64(math.Float32frombits(bits.ReverseBytes32(math.Float32bits(float32(v)))))
	}
	return math.Float64frombits(bits.ReverseBytes64(math.Float64bits(v)))
}

// ordinary returns the fraction of values, none of them 0 or NaN, that have a magnitude which pixels have, near that
// of the others.
func ordinary(values []float64) float64 {
	magnitudes := make([]float64, len(values))
	for i, v := range values {
		magnitudes[i] = math.Abs(v)
	}
	slices.Sort(magnitudes)
	median := magnitudes[len(magnitudes)/2]
	n := 0
	for _, m := range magnitudes {
		if m >= max(ordinaryFrom, median/ordinarySpan) && m <= min(ordinaryTo, median*ordinarySpan) {
			n++
		}
	}
	return float64(n) / float64(len(magnitudes))
}
