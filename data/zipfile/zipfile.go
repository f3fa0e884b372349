// Package zipfile reads zips as people have them: made on Windows or a Mac, with names in other
// encodings, encrypted, split, cut off, or compressed by other methods than Deflate. It only ever
// reads members in place. Nothing is written under a member's name, so no name is unsafe.
package zipfile

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
)

// Compression methods (APPNOTE.TXT 6.3.10, section 4.4.5).
const (
	methodBzip2 = 12
	methodZstd  = 93
)

// unread names the methods that are not read.
var unread = map[uint16]string{9: "Deflate64", 14: "LZMA", 95: "xz", 98: "PPMd"}

// maxWindow bounds the memory of a zstd decompressor, in bytes.
const maxWindow = 128 << 20

// ErrNotZip is the error of a file that does not end as a zip does. It may be a truncated one.
var ErrNotZip = zip.ErrFormat

// Split is what to do with a zip of several parts.
const Split = "put the parts into one folder and join them: zip -s 0 FILE.zip -O whole.zip for FILE.z01 … FILE.zip, or cat FILE.zip.* >whole.zip for FILE.zip.001 …"

// Read returns the files in a zip, in its order, without folders. Their names are changed so that
// they are paths below the zip: with slashes, without a drive, a root, "." and "..", in UTF-8.
// Two files may have the same name.
//
// A name that is not UTF-8 is in an encoding that the zip does not record. It is read in the
// zip format's own, IBM code page 437 (APPNOTE.TXT 6.3.10, appendix D), in which every byte is a
// character: the letters may be wrong, but the name is printable, different from others, and the
// one that Python's zipfile shows. A name in UTF-8 is taken as such even if its flags do not say
// so (bit 11), because Macs do not set the flag.
//
// The errors are ErrNotZip, a sentence about a zip of several parts, and those of reading r.
func Read(r io.ReaderAt, size int64) ([]*zip.File, error) {
	if IsLastPart(r, size) {
		return nil, errors.New("it is the last part of a split zip: " + Split)
	}
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // nothing is unpacked to such a path
		return nil, err
	}
	z.RegisterDecompressor(methodBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	// One goroutine: many members are read at the same time.
	z.RegisterDecompressor(methodZstd, zstd.ZipDecompressor(zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow)))
	slashes := slices.ContainsFunc(z.File, func(f *zip.File) bool { return strings.Contains(f.Name, "/") })
	var files []*zip.File
	for _, f := range z.File {
		name := decode(f.Name, !slashes)
		if strings.HasSuffix(name, "/") || f.Mode().IsDir() {
			continue
		}
		if len(name) > 1 && name[1] == ':' {
			name = name[2:]
		}
		f.Name = strings.TrimPrefix(path.Clean("/"+name), "/")
		files = append(files, f)
	}
	return files, nil
}

// decode returns a member's name in UTF-8 and with slashes. backslashes says that the zip has no
// slashes, so that a backslash may be a separator in any name.
//
// In UTF-8 a backslash always is one: programs on Windows write it against the standard. In other
// encodings the byte of a backslash is also the second byte of many characters: of Shift-JIS, GBK
// and Big5, whose first byte is 0x81 or more. Programs that write names in these encodings write
// slashes.
func decode(name string, backslashes bool) string {
	if utf8.ValidString(name) {
		return strings.ReplaceAll(name, `\`, "/")
	}
	b := []byte(name)
	for i := 0; backslashes && i < len(b); i++ {
		switch {
		case b[i] >= 0x81:
			i++ // the second byte of a character, or another character whose place does not matter
		case b[i] == '\\':
			b[i] = '/'
		}
	}
	// Every byte has a character, so this cannot fail.
	text, _ := charmap.CodePage437.NewDecoder().Bytes(b)
	return string(text)
}

// Hidden reports whether a file, named by a path with slashes, is hidden or in a hidden folder, or
// is one of the shadow files that a Mac adds to zips.
func Hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "__MACOSX" {
			return true
		}
	}
	return name == "" || strings.HasSuffix(name, "/")
}

// IsEncrypted reports whether a member needs a password, and its contents are unknown.
func IsEncrypted(f *zip.File) bool { return f.Flags&1 != 0 }

// Check returns an error that says what to do about a member that Open cannot read: one that is
// encrypted, or compressed by a method that this package does not know.
func Check(f *zip.File) error {
	switch f.Method {
	case zip.Store, zip.Deflate, methodBzip2, methodZstd:
	default:
		if !IsEncrypted(f) { // of which the method says nothing
			return fmt.Errorf("it is compressed by %s (method %d of zips), which is not read; unpack the zip (7z x FILE.zip) and give what was in it", cmp.Or(unread[f.Method], "an unknown method"), f.Method)
		}
	}
	if IsEncrypted(f) {
		return errors.New("it is encrypted; unpack the zip with its password (7z x FILE.zip) and give what was in it")
	}
	return nil
}

// Open opens a member. The error may be that of Check.
func Open(f *zip.File) (io.ReadCloser, error) {
	if err := Check(f); err != nil {
		return nil, err
	}
	return f.Open()
}

// IsLastPart reports whether a file ends as the last part of a split zip does: with an end of the
// central directory that is not on the first disk (APPNOTE.TXT 6.3.10, section 4.3.16).
func IsLastPart(r io.ReaderAt, size int64) bool {
	const (
		record    = 22        // bytes without the comment
		mostBytes = 1<<16 - 1 // of the comment
		zip64     = 0xffff    // the number is elsewhere
	)
	tail := make([]byte, min(size, record+mostBytes))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail) < at+record {
		return false
	}
	disk := binary.LittleEndian.Uint16(tail[at+4:])
	return disk > 0 && disk < zip64
}
