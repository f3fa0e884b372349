package fits

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkReadPlane opens a file and reads its image; parity has the same with astropy.
func BenchmarkReadPlane(b *testing.B) {
	for _, c := range []struct{ bitpix, size int }{{-32, 64}, {16, 2048}} {
		b.Run(fmt.Sprintf("%d px BITPIX %d", c.size, c.bitpix), func(b *testing.B) {
			size := c.size * c.size * max(c.bitpix, -c.bitpix) / 8
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * 7 % 120)
				if c.bitpix < 0 && i%4 == 0 {
					data[i] = 64 // from 2 to 32
				}
			}
			file := imageHDU(c.bitpix, []int{c.size, c.size}, data)
			var pixels []float64
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f, err := Open(bytes.NewReader(file), int64(len(file)), 1<<30)
				if err != nil {
					b.Fatal(err)
				}
				if pixels, err = f.HDUs[0].ReadPlane(pixels, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
