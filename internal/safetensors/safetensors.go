// Package safetensors reads and writes files of named tensors in the format of
// https://github.com/huggingface/safetensors: the length of a header, uint64 in little-endian
// order; the header, a JSON object with the dtype, shape and place of each tensor; the
// tensors' bytes.
//
//	f, err := safetensors.Open(path)       // checks the header against the file's size
//	values, err := f.Floats(f.Tensors[0])  // float32, whatever float the file has
//	err = safetensors.Write(w, tensors, metadata)
//
// A file may come from anybody. Open checks everything that the header claims before any of
// it decides how much memory is taken. Errors name the tensor, what was expected and what came.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DType names the type of a tensor's elements as the format does.
type DType string

// The types that this package converts. Others are read as far as their place in the file.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
)

// dtypes lists all types of the format with the bits of an element, in the order in which the
// format's own writer sorts them (safetensors 0.8, tensor.rs).
var dtypes = []struct {
	name DType
	bits int64
}{
	{"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8},
	{"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
	{"I16", 16}, {"U16", 16}, {F16, 16}, {BF16, 16}, {"I32", 32}, {"U32", 32}, {F32, 32}, {"C64", 64}, {F64, 64}, {I64, 64}, {"U64", 64},
}

func (d DType) rank() int {
	return slices.IndexFunc(dtypes, func(t struct {
		name DType
		bits int64
	}) bool {
		return t.name == d
	})
}

const (
	// maxHeader is the format's own limit of the header, bytes.
	maxHeader = 100_000_000
	// maxEntry is the limit of a tensor's description in the header, bytes: a shape of a
	// million dimensions would take more memory than file.
	maxEntry = 4096
	// lengthBytes is the size of the header's length.
	lengthBytes = 8
	metadataKey = "__metadata__"
)

// Tensor describes a tensor of a file.
type Tensor struct {
	Name  string
	DType DType
	// Shape is in PyTorch's order; a scalar's is empty.
	Shape      []int64
	begin, end int64 // bytes, from the start of the data
}

// Elements is the number of values in the tensor.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is a file that is open for reading.
type File struct {
	// Tensors are in the order of their data.
	Tensors []Tensor
	// Metadata holds the texts that the file's writer added; nil for none.
	Metadata map[string]string
	data     *io.SectionReader
	close    func() error
}

// Open opens the file at path and checks its header. Close must be called.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("expected a file, found a folder or a device")
	}
	var file *File
	if err == nil {
		file, err = Read(f, info.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	file.close = f.Close
	return file, nil
}

// Close closes the file that Open opened.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// Read reads and checks the header of the size bytes of r.
func Read(r io.ReaderAt, size int64) (*File, error) {
	var length [lengthBytes]byte
	if size < lengthBytes {
		return nil, fmt.Errorf("it has %d bytes: expected a safetensors file, which starts with %d bytes of its header's length", size, lengthBytes)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("its header has %d bytes: expected at most %d; it is no safetensors file", n, int64(maxHeader))
	case int64(n) > size-lengthBytes:
		return nil, fmt.Errorf("its header has %d bytes and the file %d: it is truncated, or no safetensors file", n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, lengthBytes); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f := &File{data: io.NewSectionReader(r, lengthBytes+int64(n), size-lengthBytes-int64(n))}
	if err := f.parse(header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return f, f.check()
}

// entry is a tensor's description in the header.
type entry struct {
	DType   DType    `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`
}

// parse reads the header. jsontext rejects names that occur twice, and bytes that are not UTF-8.
func (f *File) parse(header []byte) error {
	if len(header) == 0 || header[0] != '{' {
		return errors.New("expected a JSON object, which starts with {")
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(header))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		if name == metadataKey {
			if err := json.Unmarshal(raw, &f.Metadata); err != nil {
				return fmt.Errorf("%s: expected texts by name: %w", metadataKey, err)
			}
			continue
		}
		if len(raw) > maxEntry {
			return fmt.Errorf("tensor %.80q is described in %d bytes: expected at most %d", name, len(raw), maxEntry)
		}
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("tensor %.80q: %w", name, err)
		}
		t, err := e.tensor(name)
		if err != nil {
			return fmt.Errorf("tensor %.80q: %w", name, err)
		}
		f.Tensors = append(f.Tensors, t)
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	// The format allows spaces after the object, which align the data.
	if rest := header[d.InputOffset():]; len(bytes.TrimLeft(rest, " ")) > 0 {
		return fmt.Errorf("%d bytes follow the JSON object: expected spaces", len(rest))
	}
	return nil
}

// tensor checks a description by itself: the place has the size that dtype and shape need.
func (e entry) tensor(name string) (Tensor, error) {
	t := Tensor{Name: name, DType: e.DType, Shape: make([]int64, len(e.Shape))}
	kind := e.DType.rank()
	if kind < 0 {
		return t, fmt.Errorf("dtype %.80q: expected one of the format's, such as F32", e.DType)
	}
	if e.Shape == nil {
		return t, errors.New("it has no shape")
	}
	if len(e.Offsets) != 2 || e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > math.MaxInt64 {
		return t, fmt.Errorf("data_offsets %v: expected where its bytes begin and end", e.Offsets)
	}
	elements := uint64(1)
	for i, d := range e.Shape {
		over, product := bits.Mul64(elements, d)
		if over != 0 || d > math.MaxInt64 || product > math.MaxInt64/64 {
			return t, fmt.Errorf("shape %v is larger than any file", e.Shape)
		}
		elements, t.Shape[i] = product, int64(d)
	}
	t.begin, t.end = int64(e.Offsets[0]), int64(e.Offsets[1])
	all := int64(elements) * dtypes[kind].bits
	if all%8 != 0 || t.end-t.begin != all/8 {
		return t, fmt.Errorf("%s of shape %v has %d bits, and data_offsets %v have %d bytes", t.DType, e.Shape, all, e.Offsets, t.end-t.begin)
	}
	return t, nil
}

// check sorts the tensors by their place and checks that they fill the data, each byte once.
func (f *File) check() error {
	slices.SortStableFunc(f.Tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at := int64(0)
	for _, t := range f.Tensors {
		switch {
		case t.begin < at:
			return fmt.Errorf("tensor %.80q begins at byte %d of the data, inside the tensor before it, which ends at %d", t.Name, t.begin, at)
		case t.begin > at:
			return fmt.Errorf("tensor %.80q begins at byte %d of the data, and the one before it ends at %d: no tensor has the bytes between", t.Name, t.begin, at)
		}
		at = t.end
	}
	switch has := f.data.Size(); {
	case at > has:
		return fmt.Errorf("its tensors have %d bytes and the file %d of them: it is truncated", at, has)
	case at < has:
		return fmt.Errorf("its tensors have %d bytes and the file has %d: no tensor has the rest", at, has)
	}
	return nil
}

// Floats returns the values of one of f's tensors, of dtype F64, F32, F16 or BF16, in row-major order of
// its shape. It takes 4 bytes of memory for each.
func (f *File) Floats(t Tensor) ([]float32, error) {
	decode, ok := decoders[t.DType]
	if !ok {
		return nil, fmt.Errorf("tensor %.80q is %s: expected floats (%s, %s, %s or %s)", t.Name, t.DType, F32, F16, BF16, F64)
	}
	size := dtypes[t.DType.rank()].bits / 8
	values := make([]float32, 0, t.Elements())
	r := io.NewSectionReader(f.data, t.begin, t.end-t.begin)
	chunk := make([]byte, min(1<<16, t.end-t.begin))
	for left := t.end - t.begin; left > 0; left -= int64(len(chunk)) {
		chunk = chunk[:min(int64(len(chunk)), left)]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, fmt.Errorf("read tensor %.80q: %w", t.Name, err)
		}
		for at := int64(0); at < int64(len(chunk)); at += size {
			values = append(values, decode(chunk[at:]))
		}
	}
	return values, nil
}

var decoders = map[DType]func(b []byte) float32{
	F64:  func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
	F32:  func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	F16:  func(b []byte) float32 { return halfToFloat(binary.LittleEndian.Uint16(b)) },
	BF16: func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
}

// halfToFloat returns the value of an IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // fraction·2⁻²⁴, exactly a float32
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}
