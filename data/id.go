package data

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// An ID names a galaxy: it is the text in the column of ids, or the name of the image file
// without its extension. Examples are "100008", "1237648721210769659" and "J000411.19+020924.0".
// It is valid UTF-8 without control characters, of 1 to table.MaxID bytes.
type ID string

// Integer returns the number that an id is, if it is one from 0 to 2⁶³ − 1 in its plain decimal
// form: "100", but neither "0100" nor "+100". Caches and splits treat such an id as a number.
func (id ID) Integer() (n int64, ok bool) {
	if len(id) == 0 || id[0] < '0' || id[0] > '9' || id[0] == '0' && len(id) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(id), 10, 64)
	return n, err == nil
}

// CompareIDs returns the order of two ids: integers come first, by their value, and then the
// others, byte by byte.
func CompareIDs(a, b ID) int {
	m, first := a.Integer()
	n, second := b.Integer()
	switch {
	case first && second:
		return cmp.Compare(m, n)
	case first:
		return -1
	case second:
		return 1
	}
	return strings.Compare(string(a), string(b))
}

// key returns the number that stands for an id in the cache. An integer stands for itself.
// Other ids have a negative one: the sign bit, and 63 bits of the xxh3 of the text.
func (id ID) key() int64 {
	if n, ok := id.Integer(); ok {
		return n
	}
	return int64(xxh3.HashString(string(id)) | 1<<63)
}

// MarshalJSON writes an integer as a number, and others as a string.
func (id ID) MarshalJSON() ([]byte, error) {
	if _, ok := id.Integer(); ok {
		return []byte(id), nil
	}
	return json.Marshal(string(id))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (id *ID) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, (*string)(id))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*id = ID(n)
	return nil
}
