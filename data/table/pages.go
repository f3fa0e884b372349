package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The library trusts the sizes that a Parquet file claims, and would take gigabytes of memory for
// a damaged one of a kilobyte. The limits below are checked before it reads.
const (
	maxPageBytes  = 1 << 30  // of a page, unpacked
	maxPageValues = 1 << 24  // of a page
	maxPageRatio  = 1 << 11  // of the bytes of a page, unpacked and packed; Deflate reaches half of it
	minPageBytes  = 64 << 10 // below this the ratio does not matter
	maxHeader     = 1 << 20  // bytes of a page's header
)

// checkFooter checks that the metadata at the end of a Parquet file are in the file.
func checkFooter(s stream) error {
	tail := make([]byte, 8)
	if _, err := s.at.ReadAt(tail, s.size-int64(len(tail))); err != nil {
		return err
	}
	if magic := string(tail[4:]); magic != "PAR1" {
		return errors.New("it does not end as Parquet does")
	}
	if n := int64(binary.LittleEndian.Uint32(tail)); n > s.size-12 {
		return fmt.Errorf("metadata of %d bytes in a file of %d", n, s.size)
	}
	return nil
}

// checkPages reads the headers of all pages of a column in a row group, and compares the sizes
// that they claim with the file and with rows, the number of values.
func checkPages(s stream, m *format.ColumnMetaData, rows int64) error {
	at := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	if at < 0 || m.TotalCompressedSize < 0 || at > s.size-m.TotalCompressedSize || m.NumValues != rows {
		return fmt.Errorf("a column of %d values and %d bytes at byte %d, of %d rows in a file of %d bytes", m.NumValues, m.TotalCompressedSize, at, rows, s.size)
	}
	buf := make([]byte, 4<<10)
	for end := at + m.TotalCompressedSize; at < end; {
		n, h, err := pageHeader(s.at, at, end, &buf)
		if err != nil {
			return err
		}
		packed, unpacked := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
		if at += int64(n); packed < 0 || packed > end-at || unpacked < 0 || unpacked > maxPageBytes || unpacked > max(minPageBytes, maxPageRatio*packed) {
			return fmt.Errorf("a page of %d bytes that unpacks to %d", packed, unpacked)
		}
		if values := int64(max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues)); values > min(rows, maxPageValues) {
			return fmt.Errorf("a page of %d values in a group of %d rows", values, rows)
		}
		if values := int64(h.DictionaryPageHeader.V.NumValues); values > min(unpacked, maxPageValues) { // some may not be used
			return fmt.Errorf("a dictionary of %d values in %d bytes", values, unpacked)
		}
		// The library mistakes the runs of other writers for bytes of eight cells.
		if e := h.DataPageHeader.V.Encoding; m.Type == format.Boolean && (e == format.RLE || h.DataPageHeaderV2.V.Encoding == format.RLE) {
			return fmt.Errorf("%w: a column of booleans is encoded as run lengths; write the table again with another encoding", errors.ErrUnsupported)
		}
		if err := checkCodec(s.at, m.Codec, at, h); err != nil {
			return err
		}
		at += packed
	}
	return nil
}

// pageHeader reads the header of the page at a place before end, and returns its size. It uses
// and may enlarge buf.
func pageHeader(r io.ReaderAt, at, end int64, buf *[]byte) (int, *format.PageHeader, error) {
	for {
		b := (*buf)[:min(int64(len(*buf)), end-at)]
		if _, err := r.ReadAt(b, at); err != nil {
			return 0, nil, err
		}
		var protocol thrift.CompactProtocol
		p := protocol.NewReaderFromBytes(b)
		h := new(format.PageHeader)
		err := thrift.NewDecoder(p).Decode(h)
		if err == nil {
			return p.BytesRead(), h, nil
		}
		if len(b) < len(*buf) || len(*buf) >= maxHeader { // more bytes would not help
			return 0, nil, fmt.Errorf("the header of a page: %w", err)
		}
		*buf = make([]byte, maxHeader) // with the smallest and largest text of the page
	}
}

// checkCodec checks the size that the compressed data of the page at a place claim themselves.
func checkCodec(r io.ReaderAt, codec format.CompressionCodec, at int64, h *format.PageHeader) error {
	packed, unpacked := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	v2 := h.DataPageHeaderV2.V
	levels := int64(v2.RepetitionLevelsByteLength) + int64(v2.DefinitionLevelsByteLength) // before the data, not compressed
	if levels < 0 || levels > packed {
		return fmt.Errorf("levels of %d bytes in a page of %d", levels, packed)
	}
	if v2.IsCompressed.Valid && !v2.IsCompressed.V {
		return nil
	}
	start := make([]byte, min(packed-levels, zstd.HeaderMaxSize))
	if _, err := r.ReadAt(start, at+levels); err != nil {
		return err
	}
	var claimed uint64
	switch codec {
	case format.Uncompressed, format.Gzip, format.Brotli:
		return nil // the data make no claim
	case format.Snappy:
		claimed, _ = binary.Uvarint(start)
	case format.Zstd:
		var z zstd.Header
		if err := z.Decode(start); err != nil && len(start) > 0 {
			return err
		}
		claimed = z.FrameContentSize
	default: // the library's LZ4 doubles its memory until damaged data fit
		return fmt.Errorf("%w: a column is compressed by %v; write the table again with Snappy or zstd", errors.ErrUnsupported, codec)
	}
	if claimed > uint64(unpacked-levels) {
		return fmt.Errorf("compressed data claim %d bytes in a page of %d", claimed, unpacked)
	}
	return nil
}
