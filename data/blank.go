package data

import (
	"bytes"

	"github.com/zeebo/xxh3"
)

// Blank returns the galaxies whose image shows nothing: all stored values of all its pixels are the same, as in an image that is
// black, white or grey everywhere. Nothing can be learned from it, and some programs write such an image where a survey
// has no data. It compares checksums, and reads no image.
func (c *Cache) Blank() []ID {
	blank := make(map[uint64]bool, 256)
	for v := range 256 {
		blank[xxh3.Hash(bytes.Repeat([]byte{byte(v)}, c.row))] = true
	}
	ids := []ID{} // as JSON a list, not null
	for i, sum := range c.sums {
		if blank[sum] {
			ids = append(ids, c.ID(i))
		}
	}
	return ids
}
