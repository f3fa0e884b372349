// Package tfrecord writes and reads TFRecords, TensorFlow's files of records
// (tensorflow/core/lib/io/record_writer.h): the length of the payload as a little-endian uint64,
// the masked CRC-32C of those eight bytes, the payload and its masked CRC-32C.
package tfrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// HeaderSize is the size of a record's length and its checksum, FooterSize of the payload's checksum, bytes.
const (
	HeaderSize = 8 + 4
	FooterSize = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedChecksum is a rotated and shifted CRC-32C, as TFRecord requires, so that
// a checksum of data that contains checksums is still a good one.
func maskedChecksum(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// Append appends a record with a payload to b.
func Append(b, payload []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, maskedChecksum(b[from:]))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, maskedChecksum(payload))
}

// ErrHeader is the error of bytes that start no record.
var ErrHeader = errors.New("no record")

// ReadHeader reads the header of a record, and returns the length of its payload. At the end of r the error
// is io.EOF.
func ReadHeader(r io.Reader) (length uint64, err error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(header[8:]) != maskedChecksum(header[:8]) {
		return 0, ErrHeader
	}
	return binary.LittleEndian.Uint64(header[:8]), nil
}

// Next splits the first record off b. A damaged or truncated record is an error.
func Next(b []byte) (payload, rest []byte, err error) {
	if len(b) < HeaderSize+FooterSize {
		return nil, nil, io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(b[8:]) != maskedChecksum(b[:8]) {
		return nil, nil, ErrHeader
	}
	length, rest := binary.LittleEndian.Uint64(b), b[HeaderSize:]
	if length > uint64(len(rest)-FooterSize) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	payload, rest = rest[:length], rest[length:]
	if sum := binary.LittleEndian.Uint32(rest); sum != maskedChecksum(payload) {
		return nil, nil, fmt.Errorf("the checksum of the record is %08x: expected %08x", sum, maskedChecksum(payload))
	}
	return payload, rest[FooterSize:], nil
}
