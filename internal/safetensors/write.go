package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Values is a tensor to write.
type Values struct {
	Name string
	// DType is F32, F16, BF16 or I64. Values are rounded to the nearest, halves to even.
	DType  DType
	Shape  []int64
	Values []float32 // row-major
}

// Write writes tensors and metadata, which may be nil, to w. The bytes are those of the format's own writer
// for the same tensors: types with more bits come first, then names in the order of their bytes.
func Write(w io.Writer, tensors []Values, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Values) int {
		return cmp.Or(cmp.Compare(b.DType.rank(), a.DType.rank()), strings.Compare(a.Name, b.Name))
	})
	header, err := header(tensors, metadata)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if err := binary.Write(out, binary.LittleEndian, uint64(len(header))); err != nil {
		return err
	}
	if _, err := out.Write(header); err != nil {
		return err
	}
	var element [8]byte
	for _, t := range tensors {
		encode := encoders[t.DType]
		for _, x := range t.Values {
			if _, err := out.Write(encode(element[:0], x)); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// header returns the header of sorted tensors, with the spaces that align the data to 8 bytes.
func header(tensors []Values, metadata map[string]string) ([]byte, error) {
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out)
	var errs []error
	write := func(value any) { errs = append(errs, json.MarshalEncode(e, value)) }
	errs = append(errs, e.WriteToken(jsontext.BeginObject))
	if len(metadata) > 0 {
		write(metadataKey)
		write(metadata)
	}
	at := uint64(0)
	for _, t := range tensors {
		if encoders[t.DType] == nil {
			return nil, fmt.Errorf("tensor %q: dtype %s cannot be written", t.Name, t.DType)
		}
		d := entry{DType: t.DType, Shape: make([]uint64, len(t.Shape))}
		size := uint64(dtypes[t.DType.rank()].bits / 8)
		elements := uint64(1)
		for i, n := range t.Shape {
			d.Shape[i] = uint64(n)
			elements *= uint64(n)
		}
		if elements != uint64(len(t.Values)) {
			return nil, fmt.Errorf("tensor %q has %d values: expected %d, of shape %v", t.Name, len(t.Values), elements, t.Shape)
		}
		d.Offsets = []uint64{at, at + elements*size}
		at += elements * size
		write(t.Name)
		write(d)
	}
	errs = append(errs, e.WriteToken(jsontext.EndObject))
	header := bytes.TrimRight(out.Bytes(), "\n")
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	return header, errors.Join(errs...)
}

var encoders = map[DType]func(b []byte, x float32) []byte{
	F32:  func(b []byte, x float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(x)) },
	F16:  func(b []byte, x float32) []byte { return binary.LittleEndian.AppendUint16(b, floatToHalf(x)) },
	BF16: func(b []byte, x float32) []byte { return binary.LittleEndian.AppendUint16(b, floatToBFloat(x)) },
	I64: func(b []byte, x float32) []byte {
		return binary.LittleEndian.AppendUint64(b, uint64(int64(math.RoundToEven(float64(x)))))
	},
}

// floatToBFloat rounds to a bfloat16, the upper half of a float32.
func floatToBFloat(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 64 // rounding could make it infinite
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// floatToHalf rounds to an IEEE 754 binary16; what is too large becomes infinite.
func floatToHalf(x float32) uint16 {
	sign := uint16(math.Float32bits(x) >> 16 & 0x8000)
	a := math.Abs(float64(x))
	switch {
	case x != x:
		return sign | 0x7e00
	case a >= 65520: // half a unit above the largest, 65504
		return sign | 0x7c00
	case a < 1.0/(1<<14): // units of 2⁻²⁴, up to the smallest normal number
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	fraction, exponent := math.Frexp(a) // in [0.5, 1)
	// A fraction that rounds up to 2048 carries into the exponent, as it should.
	return sign | uint16((exponent+13)<<10) + uint16(math.RoundToEven(fraction*2048))
}
