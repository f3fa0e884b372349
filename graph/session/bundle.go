package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"

	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"

	"galaxy/internal/durable"
)

// CheckPath rejects a path from which TensorFlow cannot read variables.
func CheckPath(path string) error {
	if strings.ContainsAny(path, `*?[\`) {
		return fmt.Errorf(`%s: the path holds one of the characters * ? [ \, which TensorFlow takes for a pattern when it looks for variables; choose a path without them`, path)
	}
	return nil
}

// CheckBundle checks the index of a TensorFlow bundle, the file prefix.index, before TensorFlow
// reads it: TensorFlow allocates as much memory as the index claims, and ends the process if
// there is not enough. Every size in the index must match the existing files. TensorFlow checks
// the values themselves.
//
// The index is a LevelDB table (leveldb/doc/table_format.md), of protocol
// buffers (tensorflow/core/protobuf/tensor_bundle.proto).
func CheckBundle(prefix string) error {
	return readIndex(prefix, func(string, *pb.BundleEntryProto) {})
}

// readIndex does what CheckBundle does, and calls visit with every tensor's name and entry.
func readIndex(prefix string, visit func(name string, e *pb.BundleEntryProto)) error {
	path := prefix + ".index"
	raw, err := durable.ReadFile(path, maxIndexBytes)
	if err != nil {
		return err
	}
	err = checkIndex(raw, prefix, visit)
	if errors.Is(err, fs.ErrNotExist) { // a data file is missing, or the index names too many
		return err
	}
	if err != nil {
		return fmt.Errorf("%s is damaged, or no bundle's: %w", path, err)
	}
	return nil
}

const (
	maxIndexBytes = 64 << 20

	footerBytes  = 48 // two handles and the magic number
	tableMagic   = 0xdb4775248b80fb57
	trailerBytes = 5 // at the end of a block: its compression and a checksum
)

var errTable = errors.New("its table is not sound")

func checkIndex(raw []byte, prefix string, visit func(name string, e *pb.BundleEntryProto)) error {
	if len(raw) < footerBytes {
		return fmt.Errorf("it has %d bytes, fewer than the %d of a footer", len(raw), footerBytes)
	}
	footer := raw[len(raw)-footerBytes:]
	if binary.LittleEndian.Uint64(footer[footerBytes-8:]) != tableMagic {
		return errors.New("it does not end as one")
	}
	meta, rest, err := block(raw, footer)
	if err != nil {
		return err
	}
	if err := entries(meta, func(_, _ []byte) error { return nil }); err != nil {
		return err
	}
	index, _, err := block(raw, rest)
	if err != nil {
		return err
	}
	var header *pb.BundleHeaderProto
	var shards []int64 // bytes of each
	return entries(index, func(_, handle []byte) error {
		data, _, err := block(raw, handle)
		if err != nil {
			return err
		}
		return entries(data, func(key, value []byte) error {
			if header == nil { // the first entry, with the empty key
				header = new(pb.BundleHeaderProto)
				if err := proto.Unmarshal(value, header); err != nil || len(key) > 0 {
					return fmt.Errorf("its header is not sound (%q, %w)", key, err)
				}
				shards, err = shardSizes(prefix, header.GetNumShards())
				return err
			}
			e, err := checkEntry(value, shards)
			if err != nil {
				return fmt.Errorf("its entry of %.100q: %w", key, err)
			}
			visit(string(key), e)
			return nil
		})
	})
}

// block returns the content of a block of file. Its handle is at the start of handle;
// rest is what follows the handle.
func block(file, handle []byte) (content, rest []byte, err error) {
	offset, n := binary.Uvarint(handle)
	if n <= 0 {
		return nil, nil, errTable
	}
	size, m := binary.Uvarint(handle[n:])
	whole := uint64(len(file))
	if m <= 0 || offset > whole || size > whole-offset || trailerBytes > whole-offset-size {
		return nil, nil, errTable
	}
	content = file[offset:][:size]
	if file[offset+size] != 0 {
		return nil, nil, errors.New("it is compressed, which TensorFlow's bundles are not")
	}
	return content, handle[n+m:], nil
}

// entries calls do for each entry of a block. do must not keep key or value.
func entries(block []byte, do func(key, value []byte) error) error {
	if len(block) < 4 {
		return errTable
	}
	restarts := uint64(binary.LittleEndian.Uint32(block[len(block)-4:]))
	if restarts > uint64(len(block)/4)-1 {
		return errTable
	}
	for block, key := block[:uint64(len(block))-4*(restarts+1)], []byte(nil); len(block) > 0; {
		var lengths [3]uint64 // of the prefix shared with the previous key, of the rest, of the value
		for i := range lengths {
			x, n := binary.Uvarint(block)
			if n <= 0 || x > math.MaxUint32 {
				return errTable
			}
			lengths[i], block = x, block[n:]
		}
		shared, own, value := lengths[0], lengths[1], lengths[2]
		if shared > uint64(len(key)) || own+value > uint64(len(block)) {
			return errTable
		}
		key = append(key[:shared], block[:own]...)
		if err := do(key, block[own:][:value]); err != nil {
			return err
		}
		block = block[own+value:]
	}
	return nil
}

// shardSizes returns the sizes of a bundle's data files.
func shardSizes(prefix string, n int32) ([]int64, error) {
	const most = 1 << 16
	if n < 1 || n > most {
		return nil, fmt.Errorf("it has %d data files, expected 1 to %d", n, most)
	}
	sizes := make([]int64, n)
	for i := range sizes {
		name := fmt.Sprintf("%s.data-%05d-of-%05d", prefix, i, n)
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing, which %s.index names (%w)", name, prefix, fs.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
		sizes[i] = info.Size()
	}
	return sizes, nil
}

// widths holds the bytes per element of the types of fixed width.
var widths = map[typespb.DataType]int64{
	typespb.DataType_DT_FLOAT: 4, typespb.DataType_DT_DOUBLE: 8, typespb.DataType_DT_HALF: 2, typespb.DataType_DT_BFLOAT16: 2,
	typespb.DataType_DT_INT8: 1, typespb.DataType_DT_INT16: 2, typespb.DataType_DT_INT32: 4, typespb.DataType_DT_INT64: 8,
	typespb.DataType_DT_UINT8: 1, typespb.DataType_DT_UINT16: 2, typespb.DataType_DT_UINT32: 4, typespb.DataType_DT_UINT64: 8,
	typespb.DataType_DT_BOOL: 1, typespb.DataType_DT_COMPLEX64: 8, typespb.DataType_DT_COMPLEX128: 16,
}

// checkEntry decodes an entry, and checks that a tensor's shape matches its number of bytes, and that the
// files hold these bytes.
func checkEntry(raw []byte, shards []int64) (*pb.BundleEntryProto, error) {
	e := new(pb.BundleEntryProto)
	if err := proto.Unmarshal(raw, e); err != nil {
		return nil, err
	}
	shard, offset, size := e.GetShardId(), e.GetOffset(), e.GetSize()
	if shard < 0 || int(shard) >= len(shards) || offset < 0 || size < 0 || offset > shards[shard] || size > shards[shard]-offset {
		return nil, fmt.Errorf("%d bytes from byte %d of data file %d on are not there", size, offset, shard)
	}
	// Few bytes with many elements is valid only for a tensor without a fixed width.
	var there int64
	for _, bytes := range shards {
		there += bytes
	}
	want, empty := int64(1), false
	for _, d := range e.GetShape().GetDim() {
		n := d.GetSize()
		if n < 0 {
			return nil, fmt.Errorf("a dimension of %d", n)
		}
		switch {
		case n == 0:
			empty = true
		case n > there/want: // in all, for a tensor that is kept in slices
			want = there + 1
		default:
			want *= n
		}
	}
	if empty {
		want = 0
	}
	width, fixed := widths[e.GetDtype()]
	if !fixed {
		width = 1
	}
	sliced := len(e.GetSlices()) > 0
	if want > there || fixed && !sliced && want*width != size {
		return nil, fmt.Errorf("%v in the shape %v is not %d bytes", e.GetDtype(), e.GetShape().GetDim(), size)
	}
	return e, nil
}
