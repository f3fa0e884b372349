// Package filetype names files by their first bytes. What to do about a file is the matter of the
// packages that read images and tables.
package filetype

import "strings"

// HeadBytes is how much of a file Of looks at.
const HeadBytes = 512

// Names that packages ask for, each with an article.
const (
	JPEG     = "a JPEG image"
	PNG      = "a PNG image"
	TIFF     = "a TIFF image"
	WebP     = "a WebP image"
	BMP      = "a BMP image"
	BigTIFF  = "a BigTIFF image"
	GIF      = "a GIF image"
	AVIF     = "an AVIF image"
	HEIC     = "a HEIC image"
	JPEGXL   = "a JPEG XL image"
	JPEG2000 = "a JPEG 2000 image"
	FITS     = "a FITS file"
	LFS      = "a Git LFS pointer"
	Gzip     = "a gzip file"
	Bzip2    = "a bzip2 file"
	XZ       = "an xz file"
	Compress = "a file of compress"
	Zip      = "a zip file"
	ZipPart  = "the first part of a split zip"
	SevenZip = "a 7z archive"
	RAR      = "a RAR archive"
	Tar      = "a tar archive"
	PDF      = "a PDF file"
	NumPy    = "a NumPy array"
	HDF5     = "an HDF5 file"
	Parquet  = "a Parquet file"
	Excel    = "an old Excel workbook"
	SQLite   = "an SQLite database"
	Arrow    = "an Arrow (Feather) file"
	Avro     = "an Avro file"
	Pickle   = "a Python pickle"
	RData    = "an R data file"
	UTF32    = "a text in UTF-32"
	Program  = "a program"
)

// signatures are fixed bytes at fixed places, with what the file starts with if that is another
// place. FITS: standard 4.0, section 4.4.1; the others as in the formats' specifications.
var signatures = []struct {
	start string
	at    int
	bytes string
	name  string
}{
	{"", 0, "\xff\xd8", JPEG},
	{"", 0, "\x89PNG\r\n\x1a\n", PNG},
	{"", 0, "II*\x00", TIFF},
	{"", 0, "MM\x00*", TIFF},
	{"RIFF", 8, "WEBPVP8", WebP},
	{"BM", 6, "\x00\x00\x00\x00", BMP}, // letters with which a text may start
	{"", 0, "II+\x00", BigTIFF},
	{"", 0, "MM\x00+", BigTIFF},
	{"", 0, "GIF8", GIF},
	{"", 0, "SIMPLE  =", FITS},
	{"", 4, "ftypavif", AVIF},
	{"", 4, "ftyphei", HEIC},
	{"", 0, "\xff\x0a", JPEGXL},
	{"", 4, "JXL \r\n", JPEGXL},
	{"", 4, "jP  \r\n", JPEG2000},
	{"", 0, "version https://git-lfs.github.com/spec/", LFS},
	{"", 0, "\x1f\x8b", Gzip},
	{"", 0, "BZh", Bzip2},
	{"", 0, "\xfd7zXZ\x00", XZ},
	{"", 0, "\x1f\x9d", Compress},
	{"", 0, "PK\x03\x04", Zip},
	{"", 0, "PK\x05\x06", Zip},
	{"", 0, "PK00PK\x03\x04", Zip}, // of one part, where several were allowed
	{"", 0, "PK\x07\x08", ZipPart},
	{"", 0, "7z\xbc\xaf\x27\x1c", SevenZip},
	{"", 0, "Rar!\x1a\x07", RAR},
	{"", 257, "ustar", Tar},
	{"", 0, "%PDF", PDF},
	{"", 0, "\x93NUMPY", NumPy},
	{"", 0, "\x89HDF\r\n\x1a\n", HDF5},
	{"", 0, "PAR1", Parquet},
	{"", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Excel},
	{"", 0, "SQLite format 3\x00", SQLite},
	{"", 0, "ARROW1\x00\x00", Arrow},
	{"", 0, "Obj\x01", Avro},
	{"", 0, "\x80\x03", Pickle},
	{"", 0, "\x80\x04", Pickle},
	{"", 0, "\x80\x05", Pickle},
	{"", 0, "RDX3\n", RData},
	{"", 0, "\xff\xfe\x00\x00", UTF32},
	{"", 0, "\x7fELF", Program},
}

// Of returns what a file is by its first HeadBytes bytes, or by all of a shorter file: one of the names above, or ""
// if no fixed bytes tell.
func Of(head []byte) string {
	text := string(head[:min(len(head), HeadBytes)])
	for _, s := range signatures {
		if len(text) > s.at && strings.HasPrefix(text, s.start) && strings.HasPrefix(text[s.at:], s.bytes) {
			return s.name
		}
	}
	return ""
}
