package fits

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// A writer as slow and simple as can be, for the tests.

// cards returns a header of the cards, each 'KEY = value'; without END.
func cards(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		key, value, ok := strings.Cut(line, " = ")
		if ok {
			line = fmt.Sprintf("%-8s= %20s", key, value)
			if strings.HasPrefix(value, "'") {
				line = fmt.Sprintf("%-8s= %-20s", key, value)
			}
		}
		fmt.Fprintf(&b, "%-80s", line)
	}
	return b.String()
}

// pad fills a block.
func pad(b []byte, with byte) []byte {
	for len(b)%block != 0 {
		b = append(b, with)
	}
	return b
}

// hdu returns an HDU.
func hdu(data []byte, lines ...string) []byte {
	header := pad([]byte(cards(lines...)+cards("END")), ' ')
	return append(header, pad(bytes.Clone(data), 0)...)
}

// axisCards returns NAXIS and NAXISn, with a prefix.
func axisCards(prefix string, axes ...int) []string {
	lines := []string{fmt.Sprintf("%sNAXIS = %d", prefix, len(axes))}
	for i, n := range axes {
		lines = append(lines, fmt.Sprintf("%sNAXIS%d = %d", prefix, i+1, n))
	}
	return lines
}

// imageHDU returns a primary HDU with an image.
func imageHDU(bitpix int, axes []int, data []byte, more ...string) []byte {
	lines := append([]string{"SIMPLE = T", fmt.Sprintf("BITPIX = %d", bitpix)}, axisCards("", axes...)...)
	return hdu(data, append(lines, more...)...)
}

// tableHDU returns an extension with a binary table; data has the rows and the heap.
func tableHDU(rowBytes, rows int, data []byte, more ...string) []byte {
	lines := append([]string{"XTENSION= 'BINTABLE'", "BITPIX = 8"}, axisCards("", rowBytes, rows)...)
	lines = append(lines, fmt.Sprintf("PCOUNT = %d", len(data)-rowBytes*rows), "GCOUNT = 1")
	return hdu(data, append(lines, more...)...)
}

// empty is a primary HDU without data.
func empty() []byte { return hdu(nil, "SIMPLE = T", "BITPIX = 8", "NAXIS = 0") }

// bigEndian returns integers or floats as FITS stores them.
func bigEndian(values any) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, values); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// stored returns integers of bitpix bits.
func stored(bitpix int, values []int64) []byte {
	var b []byte
	for _, v := range values {
		for shift := bitpix - 8; shift >= 0; shift -= 8 {
			b = append(b, byte(v>>shift))
		}
	}
	return b
}

// bitWriter writes bits, the most significant first.
type bitWriter struct {
	b    []byte
	free int
}

func (w *bitWriter) put(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>i&1) << w.free
	}
}

// riceEncode is RICE_1 with a chosen number of low bits for each block: -1 where all differences
// are 0, or the plain form for split ≥ 25 (14, 6).
func riceEncode(values []int64, size, length int, split func(block []uint64) int) []byte {
	width := map[int]int{1: 3, 2: 4, 4: 5}[size]
	plain := map[int]int{1: 6, 2: 14, 4: 25}[size]
	mask := uint64(1)<<(8*size) - 1
	var w bitWriter
	last := values[0]
	w.put(uint64(last)&mask, 8*size)
	for len(values) > 0 {
		n := min(length, len(values))
		var folded []uint64
		for _, v := range values[:n] {
			// The difference as a signed number of size bytes, folded to 0, -1, 1, -2, …
			d := (v - last) << (64 - 8*size) >> (64 - 8*size)
			last = v
			if d >= 0 {
				folded = append(folded, uint64(2*d)&mask)
			} else {
				folded = append(folded, uint64(-2*d-1)&mask)
			}
		}
		k := min(split(folded), plain)
		w.put(uint64(k+1), width)
		for _, f := range folded {
			switch {
			case k < 0:
			case k == plain:
				w.put(f, 8*size)
			default:
				for range f >> k {
					w.put(0, 1)
				}
				w.put(1, 1)
				w.put(f, k)
			}
		}
		values = values[n:]
	}
	return w.b
}

// plioEncode is PLIO_1 without any cleverness: each pixel sets the high value and writes it.
func plioEncode(values []int64) []byte {
	words := []int16{0, 7, -100, 0, 0, 0, 0}
	for _, v := range values {
		words = append(words, int16(1<<12|v&0xfff), int16(v>>12), 4<<12|1)
	}
	words[3], words[4] = int16(len(words)&0x7fff), int16(len(words)>>15)
	return bigEndian(words)
}
