package fits

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// bitReader reads bits, the most significant first.
type bitReader struct {
	b    []byte
	word uint64 // the next bits, from the top
	have int    // how many of them
}

// fill gets 32 bits or more, if there are so many.
func (r *bitReader) fill() {
	for r.have <= 56 && len(r.b) > 0 {
		r.word |= uint64(r.b[0]) << (56 - r.have)
		r.b = r.b[1:]
		r.have += 8
	}
}

// take returns the next n bits, at most 32.
func (r *bitReader) take(n int) (uint32, bool) {
	if r.have < n {
		if r.fill(); r.have < n {
			return 0, false
		}
	}
	v := uint32(r.word >> (64 - n)) // 0 for n = 0
	r.word <<= n
	r.have -= n
	return v, true
}

// zeros returns the number of zeros before the next one, and drops them all.
func (r *bitReader) zeros() (uint32, bool) {
	n := 0
	for {
		r.fill()
		k := bits.LeadingZeros64(r.word)
		if k < r.have {
			r.word <<= k + 1
			r.have -= k + 1
			return uint32(n + k), true
		}
		n += r.have
		r.word, r.have = 0, 0
		if len(r.b) == 0 {
			return 0, false
		}
	}
}

// rice decodes RICE_1 (FITS standard 4.0, section 10.4.1) into integers of 1 (unsigned), 2 or
// 4 bytes. Differences of neighbours come in blocks: each has a number of low bits that are
// stored as they are, after the high bits in unary.
func rice(dst []int64, b []byte, size, block int) error {
	// The bits of a block's number, and the number that means 'as they are'.
	width, plain := 5, 25
	switch size {
	case 1:
		width, plain = 3, 6
	case 2:
		width, plain = 4, 14
	}
	r := bitReader{b: b}
	last, ok := r.take(8 * size)
	for start := 0; ok && start < len(dst); start += block {
		var low uint32
		if low, ok = r.take(width); !ok {
			break
		}
		split := int(low) - 1 // -1: no differences in this block
		pixels := dst[start:min(start+block, len(dst))]
		for i := range pixels {
			var d, high uint32
			switch {
			case split < 0:
			case split >= plain:
				d, ok = r.take(8 * size)
			default:
				if high, ok = r.zeros(); ok {
					d, ok = r.take(split)
					d |= high << split
				}
			}
			if !ok {
				break
			}
			last += d>>1 ^ -(d & 1) // 0, -1, 1, -2, …
			switch size {
			case 1:
				pixels[i] = int64(uint8(last))
			case 2:
				pixels[i] = int64(int16(last))
			default:
				pixels[i] = int64(int32(last))
			}
		}
	}
	if !ok {
		return fmt.Errorf("expected more than the %d bytes that there are", len(b))
	}
	return nil
}

// plio decodes PLIO_1 (FITS standard 4.0, section 10.4.3): big-endian words of 16 bits, each an
// operation in 4 bits and a number in 12.
func plio(dst []int64, b []byte) error {
	words := len(b) / 2
	word := func(i int) int { return int(int16(binary.BigEndian.Uint16(b[2*i:]))) }
	if words < 3 {
		return fmt.Errorf("expected a header of 3 words or more, got %d", words)
	}
	length, first := word(2), 3
	if length <= 0 {
		if words < 5 {
			return fmt.Errorf("expected a header of 5 words or more, got %d", words)
		}
		length, first = word(4)<<15+word(3), word(1)
	}
	if length > words || first < 3 {
		return fmt.Errorf("expected %d words, the instructions from word %d on, got %d words", length, first, words)
	}
	clear(dst)
	high, at := int64(1), 0
	for i := first; i < length; i++ {
		op, n := uint16(word(i))>>12, word(i)&0xfff
		run, value := 0, int64(0)
		switch op {
		case 0:
			run = n
		case 1:
			if i++; i >= length {
				return fmt.Errorf("expected a word after word %d, got the end", i-1)
			}
			high = int64(word(i))<<12 + int64(n)
		case 2:
			high += int64(n)
		case 3:
			high -= int64(n)
		case 4:
			run, value = n, high
		case 5:
			run = n
		case 6:
			high += int64(n)
			run, value = 1, high
		case 7:
			high -= int64(n)
			run, value = 1, high
		default:
			return fmt.Errorf("word %d: expected an operation from 0 to 7, got %d", i, op)
		}
		end := min(at+run, len(dst))
		if value != 0 {
			for j := at; j < end; j++ {
				dst[j] = value
			}
		}
		if op == 5 && run > 0 && at+run <= len(dst) {
			dst[end-1] = high
		}
		at = end
	}
	return nil
}
