package data

import (
	"bytes"
	"slices"
	"testing"
)

// An image of one value everywhere is blank, and one of which one value is another is not.
func TestBlank(t *testing.T) {
	const size = 8
	all := func(v byte) []byte { return bytes.Repeat([]byte{v}, size*size*3) }
	dot := all(0)
	dot[len(dot)-1] = 1
	c := cacheOf(size, all(0), sky(size, 1), all(255), dot, all(127))
	if got := c.Blank(); !slices.Equal(got, []ID{"0", "2", "4"}) {
		t.Errorf("%v: expected 0, 2 and 4", got)
	}
}
