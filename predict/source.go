package predict

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"galaxy/data"
	"galaxy/internal/durable"
)

// A Source holds the images of a table, one for each row. Its methods may be called concurrently.
type Source interface {
	// Len returns the number of rows.
	Len() int
	// Key returns what identifies the image of a row, and Keys describes all of them.
	Key(row int) string
	Keys() Keys
	// Path returns where the images are, for messages.
	Path() string
	// Decode writes the pixels of a row's image to dst, uint8 [Size, Size, Channels]. The error is the
	// reason why the image is broken, unless it wraps data.ErrUnread. Decode uses buf for the bytes of a file,
	// and returns it, or a larger one, for the next call.
	Decode(dst []byte, row int, buf []byte) ([]byte, error)
	// Checksums identify the images, and which of them are the rows.
	Checksums() (images, order string, err error)
}

// Keys describes the first column of a table, which identifies the image of each row.
type Keys struct {
	Name     string
	Integers bool // every key is one
}

// idKeys are the keys of galaxies with n ids in the order of data.CompareIDs, in which those that are no integers come
// last.
func idKeys(n int, id func(i int) data.ID) Keys {
	_, integers := id(n - 1).Integer()
	return Keys{data.IDColumn, integers}
}

// orderSum is the checksum of which images are the rows.
func orderSum(order []int) string {
	h := xxh3.New()
	for _, i := range order {
		_ = binary.Write(h, binary.LittleEndian, int64(i)) // a hash takes all
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// Files is a Source of image files. A row's key is the id, or the path if images have no ids.
type Files struct {
	Images *data.Images
	// Order is the index of each row's image.
	Order []int
	// Decoder makes the pixels.
	Decoder data.Decoder
}

// Len implements Source.
func (f Files) Len() int { return len(f.Order) }

// Key implements Source.
func (f Files) Key(row int) string {
	if ids := f.Images.IDs(); ids != nil {
		return string(ids[f.Order[row]])
	}
	return f.Images.Name(f.Order[row])
}

// Keys implements Source.
func (f Files) Keys() Keys {
	ids := f.Images.IDs()
	if ids == nil {
		return Keys{Name: "path"}
	}
	return idKeys(len(ids), func(i int) data.ID { return ids[i] })
}

// Path implements Source.
func (f Files) Path() string { return f.Images.Path() }

// Decode implements Source.
func (f Files) Decode(dst []byte, row int, buf []byte) ([]byte, error) {
	return f.Images.Decode(dst, f.Order[row], f.Decoder, buf)
}

// Checksums implements Source.
func (f Files) Checksums() (images, order string, err error) {
	sum, err := f.Images.Checksum()
	return fmt.Sprintf("%016x", sum), orderSum(f.Order), err
}

// Galaxies is a Source of the images of a cache, whose keys are their ids.
type Galaxies struct {
	Cache *data.Cache
	// Which is the example of each row.
	Which []int
}

// Len implements Source.
func (g Galaxies) Len() int { return len(g.Which) }

// Key implements Source.
func (g Galaxies) Key(row int) string { return string(g.Cache.ID(g.Which[row])) }

// Keys implements Source.
func (g Galaxies) Keys() Keys { return idKeys(g.Cache.Len(), g.Cache.ID) }

// Path implements Source.
func (g Galaxies) Path() string { return g.Cache.Dir() }

// Decode implements Source.
func (g Galaxies) Decode(dst []byte, row int, buf []byte) ([]byte, error) {
	err := g.Cache.ReadImage(dst, g.Which[row])
	if durable.IsSystem(err) {
		err = fmt.Errorf("%w; %w", err, data.ErrUnread)
	}
	return buf, err
}

// Checksums implements Source.
func (g Galaxies) Checksums() (images, order string, err error) {
	return g.Cache.Manifest().Checksum, orderSum(g.Which), nil
}
