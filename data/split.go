package data

import (
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// A Split is one of the three parts a catalogue is divided into, or all of it.
type Split uint8

// The parts: models learn from Train, are chosen by Validation and judged once
// by Test. All is every galaxy, for a catalogue that no model has learnt from.
const (
	Train Split = iota
	Validation
	Test
	All

	splits = 3
)

var splitNames = []string{"train", "validation", "test", "all"}

// String returns "train", "validation", "test" or "all".
func (s Split) String() string {
	if int(s) < len(splitNames) {
		return splitNames[s]
	}
	return fmt.Sprintf("split(%d)", uint8(s))
}

// ParseSplit returns the split of the given name: train, validation (or val),
// test or all.
func ParseSplit(name string) (Split, error) {
	if name == "val" {
		return Validation, nil
	}
	for i, n := range splitNames {
		if name == n {
			return Split(i), nil
		}
	}
	return 0, fmt.Errorf("unknown split %q; expected train, validation, test or all", name)
}

// SplitOf returns the part a galaxy belongs to: train with a chance of 80 %,
// validation and test with 10 % each. It depends on nothing but the id and the
// seed, so a galaxy never moves when others are added or dropped, and test
// galaxies stay unseen in every cache of the same split seed, for ever:
//
//	bucket = ⌊10·mix(mix(seed) XOR n) / 2⁶⁴⌋   0–7 train, 8 validation, 9 test
//
// where n is the id's value if it is an integer (ID.Integer), otherwise the xxh3 of its text,
// and mix is one step of SplitMix64 (Steele, Lea & Flood 2014).
func SplitOf(id ID, seed int64) Split {
	n := xxh3.HashString(string(id))
	if i, ok := id.Integer(); ok {
		n = uint64(i)
	}
	bucket, _ := bits.Mul64(mix(mix(uint64(seed))^n), 10)
	switch bucket {
	case 8:
		return Validation
	case 9:
		return Test
	default:
		return Train
	}
}

// golden is SplitMix64's increment, 2⁶⁴ divided by the golden ratio.
const golden = 0x9e3779b97f4a7c15

// mix is the output SplitMix64 gives from state x. Splits and batch orders are
// promises kept across versions of Go and of this program, which is why they
// rest on these few lines and not on math/rand.
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// permutation fills order with a shuffle of 0 … len(order)-1 that depends only
// on seed and epoch: Fisher–Yates from the top, whose k-th draw (k = 0, 1, …)
// below m is ⌊m·mix(state + k·golden) / 2⁶⁴⌋ with state = mix(mix(seed) XOR
// epoch). The draw's bias, at most m/2⁶⁴, is far below what any number of
// epochs could show.
func permutation(order []int32, seed, epoch int64) {
	for i := range order {
		order[i] = int32(i)
	}
	state := mix(mix(uint64(seed)) ^ uint64(epoch))
	for i := len(order) - 1; i > 0; i-- {
		j, _ := bits.Mul64(mix(state), uint64(i+1))
		order[i], order[j] = order[j], order[i]
		state += golden
	}
}
