package table

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/zeebo/xxh3"

	"galaxy/data/filetype"
	"galaxy/data/zipfile"
)

// sampleBytes is how much of a file decides what it is.
const sampleBytes = 64 << 10

// maxLayers bounds how often a file may be packed in another: there are zips that hold
// themselves.
const maxLayers = 4

// Open opens the table at path. If path is a zip with several tables, Open takes the one whose
// name starts with prefer; this may be in a zip in the zip that has such a name itself, as
// in Kaggle's archives. If prefer is "", or there is no such table, a zip must hold one table.
func Open(path, prefer string) (*Table, error) {
	t := &Table{name: path}
	if err := t.open(prefer); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", t.name, err), t.Close())
	}
	t.selected = make([]int, len(t.columns))
	for i := range t.selected {
		t.selected[i] = i
	}
	t.rows.use(t.selected)
	return t, nil
}

func (t *Table) open(prefer string) error {
	f, err := os.Open(t.name)
	member := ""
	if errors.Is(err, syscall.ENOTDIR) {
		// The path may go on inside of a zip: it is the longest one that is there.
		for file := t.name; errors.Is(err, syscall.ENOTDIR); f, err = os.Open(file) {
			file = filepath.Dir(file)
			member = filepath.ToSlash(t.name[len(file)+1:])
		}
		t.name = strings.TrimSuffix(t.name[:len(t.name)-len(member)], string(filepath.Separator))
	}
	if err != nil {
		return unwrapPath(err)
	}
	t.closers = append(t.closers, f)
	info, err := f.Stat()
	if err != nil {
		return unwrapPath(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file; expected a table, such as a CSV, or the zip that holds it")
	}
	u := &unpacker{table: t, prefer: prefer, member: member, left: MaxUnpacked}
	return u.layer(stream{r: io.NewSectionReader(f, 0, info.Size()), at: f, size: info.Size()})
}

// unwrapPath removes the path from an error of the file system, since the table's name comes
// before it anyway.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// A stream is a file, or what comes out of one.
type stream struct {
	r    io.Reader
	at   io.ReaderAt // nil if it can only be read once, from start to end
	size int64       // if at is set
}

// checksum returns the xxh3 of a stream that has at.
func (s stream) checksum() uint64 {
	h := xxh3.New()
	_, _ = io.Copy(h, io.NewSectionReader(s.at, 0, s.size)) // a file that cannot be read has failed before
	return h.Sum64()
}

// An unpacker opens layer after layer until it has a table.
type unpacker struct {
	table  *Table
	prefer string // see Open
	member string // of a zip; "" to choose one
	left   int64  // bytes that may still be unpacked
	layers int
}

var errUnpacked = fmt.Errorf("it unpacks to more than %d bytes, which no table of labels does; unpack it and look at it", int64(MaxUnpacked))

// unpacked counts the bytes of a decompressor.
type unpacked struct {
	io.Reader
	u *unpacker
}

func (r unpacked) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.u.left -= int64(n); r.u.left < 0 {
		return 0, errUnpacked
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the compressed data end too early (%w): the file is truncated, get it again", err)
	case err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*fs.PathError)): // not the disk's
		err = fmt.Errorf("the compressed data are damaged (%w): get the file again", err)
	}
	return n, err
}

// layer opens what a stream holds: a table, or something with a table in it.
func (u *unpacker) layer(s stream) error {
	if u.layers++; u.layers > maxLayers {
		return fmt.Errorf("it is packed more than %d times; unpack it", maxLayers-1)
	}
	b := bufio.NewReaderSize(s.r, sampleBytes)
	head, err := b.Peek(sampleBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return unwrapPath(err)
	}
	if len(head) == 0 {
		return errors.New("the file is empty; expected a table")
	}
	s.r = b
	packed, err := decompressor(head, b)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be unpacked (%w): the file is damaged, get it again", err)
	case packed != nil:
		return u.layer(stream{r: unpacked{packed, u}})
	case filetype.Of(head) == filetype.Zip:
		return u.zip(s)
	case filetype.Of(head) == filetype.FITS:
		if s, err = u.seekable(s); err != nil {
			return err
		}
		return u.table.openFITS(s, u.member)
	case u.member != "":
		return fmt.Errorf("%s is looked for in it, but it is neither a zip nor a FITS file", clip(u.member))
	case bytes.HasPrefix(head, []byte("PAR1")) && bytes.IndexByte(head, 0) >= 0:
		if s, err = u.seekable(s); err != nil {
			return err
		}
		return u.table.openParquet(s)
	}
	if err := otherFormat(head, s); err != nil {
		return err
	}
	return u.table.openText(b)
}

// decompressor returns a reader of what is compressed in r, nil if nothing is.
func decompressor(head []byte, r io.Reader) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 10 && string(head[4:10]) == "\x31\x41\x59\x26\x53\x59":
		return bzip2.NewReader(r), nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return newZstd(r)
	case bytes.HasPrefix(head, []byte("\x04\x22\x4d\x18")):
		return lz4.NewReader(r), nil
	}
	return nil, nil
}

// newZstd returns a decompressor without goroutines, so that it need not be closed.
func newZstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
}

// seekable returns a stream that can be read at any place.
func (u *unpacker) seekable(s stream) (stream, error) {
	if s.at != nil {
		return s, nil
	}
	spool, err := os.CreateTemp("", "galaxy-table-")
	if err != nil {
		return s, err
	}
	u.table.closers = append(u.table.closers, spool)
	// Nameless from now on: it disappears with the process, however that ends.
	if err := os.Remove(spool.Name()); err != nil {
		return s, err
	}
	n, err := io.Copy(spool, s.r)
	if err != nil {
		return s, fmt.Errorf("unpack to %s: %w", os.TempDir(), err)
	}
	return stream{r: io.NewSectionReader(spool, 0, n), at: spool, size: n}, nil
}

func (u *unpacker) zip(s stream) error {
	s, err := u.seekable(s)
	if err != nil {
		return err
	}
	files, err := zipfile.Read(s.at, s.size)
	if errors.Is(err, zipfile.ErrNotZip) {
		return errors.New("the zip is truncated or damaged: compare its size with the original's, and get it again; if it is one of several parts, " + zipfile.Split)
	}
	if err != nil {
		return fmt.Errorf("read the zip: %w", err)
	}
	f, err := u.choose(files)
	if err != nil {
		return err
	}
	u.table.name += "/" + f.Name
	r, err := zipfile.Open(f)
	if err != nil {
		return err
	}
	u.table.closers = append(u.table.closers, r)
	return u.layer(stream{r: unpacked{r, u}})
}

// Names of tables end with these, the surest first. Of a zip, a table of an earlier row
// is taken before those of a later one: a list of labels comes with a read-me in .txt.
var extensions = [][]string{
	{".csv", ".tsv", ".parquet", ".fits", ".fit"},
	{".txt", ".dat", ".tab"},
}

// choose returns the member of a zip that is the table, or has it in it. Then u.member becomes
// the name in that member.
func (u *unpacker) choose(all []*zip.File) (*zip.File, error) {
	var files []*zip.File
	for _, f := range all {
		if rest, ok := strings.CutPrefix(u.member, f.Name); ok && u.member != "" && (rest == "" || rest[0] == '/') {
			u.member = strings.TrimPrefix(rest, "/")
			return f, nil
		}
		if !zipfile.Hidden(f.Name) {
			files = append(files, f)
		}
		switch {
		case f.Name == "xl/workbook.xml":
			return nil, errors.New("it is an Excel workbook; save the sheet as CSV and give that")
		case f.Name == "mimetype" && f == all[0]: // OpenDocument 1.3, part 2, section 3.3
			return nil, errors.New("it is a document of an office program, such as an OpenDocument sheet; save the sheet as CSV and give that")
		}
	}
	if u.member != "" {
		return nil, fmt.Errorf("the zip holds no %s; there are %s", quote(u.member), memberNames(files))
	}
	match := func(prefix string, extensions ...string) (found []*zip.File) {
		for _, f := range files {
			name := path.Base(f.Name)
			if strings.HasPrefix(name, prefix) && slices.Contains(extensions, ending(name)) {
				found = append(found, f)
			}
		}
		return found
	}
	var tries [][]*zip.File
	if u.prefer != "" {
		tries = append(tries, match(u.prefer, extensions[0]...), match(u.prefer, ".zip"))
	}
	for _, e := range extensions {
		tries = append(tries, match("", e...))
	}
	if len(files) == 1 {
		tries = append(tries, files)
	}
	for _, found := range tries {
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return nil, fmt.Errorf("the zip holds %d tables (%s); say which, as in %s/%s", len(found), memberNames(found), path.Base(filepath.ToSlash(u.table.name)), clip(found[0].Name))
		}
	}
	if len(files) == 0 {
		return nil, errors.New("the zip holds no files; expected a table, such as a CSV")
	}
	return nil, fmt.Errorf("the zip holds no table that could be told by its name (….csv, .tsv, .parquet, .fits, .txt, .dat, .tab), but %s; if one of them is the table, give %s/NAME", memberNames(files), path.Base(filepath.ToSlash(u.table.name)))
}

// ending returns the extension of a name in lower case, without that of a compression.
func ending(name string) string {
	name = strings.ToLower(name)
	for _, packed := range []string{".gz", ".bz2", ".zst", ".lz4"} {
		name = strings.TrimSuffix(name, packed)
	}
	return path.Ext(name)
}

func memberNames(files []*zip.File) string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	return list(names, 5)
}

// advice is what to do about files that are no tables, or none that can be read. Files of other
// names (package filetype) are tables, or are opened in other ways.
var advice = map[string]string{
	filetype.XZ:       "unpack it: xz -dk FILE",
	filetype.SevenZip: "unpack it: 7z x FILE",
	filetype.RAR:      "unpack it: unrar x FILE",
	filetype.Tar:      "unpack it: tar xf FILE",
	filetype.Compress: "unpack it: uncompress FILE",
	filetype.ZipPart:  zipfile.Split,
	filetype.PDF:      giveTable,
	filetype.Excel:    "save the sheet as CSV and give that",
	filetype.HDF5:     "write the table as Parquet or CSV (pandas: read_hdf(…).to_parquet(…))",
	filetype.Pickle:   "write the table as Parquet or CSV (pandas: read_pickle(…).to_parquet(…))",
	filetype.RData:    "write the table as CSV (R: write.csv(…, row.names = FALSE))",
	filetype.NumPy:    "write it as CSV with the names of the columns",
	filetype.SQLite:   "write the table as CSV: sqlite3 -header -csv FILE 'select * from …'",
	filetype.Arrow:    "write the table as Parquet (pandas: read_feather(…).to_parquet(…))",
	filetype.Avro:     "write the table as Parquet or CSV",
	filetype.UTF32:    "convert it: iconv -f UTF-32 -t UTF-8",
	filetype.Program:  giveTable,
}

const giveTable = "give the table of labels"

// otherFormat returns an error that names the format of a binary file which is no table.
func otherFormat(head []byte, s stream) error {
	name := filetype.Of(head)
	todo := advice[name]
	if strings.HasSuffix(name, " image") {
		todo = giveTable
	}
	if todo != "" {
		return fmt.Errorf("the file is %s; %s", name, todo)
	}
	if encodingOf(head) == nil && bytes.IndexByte(head, 0) >= 0 {
		if s.at != nil && zipfile.IsLastPart(s.at, s.size) {
			return fmt.Errorf("the file is the last part of a split zip; %s", zipfile.Split)
		}
		return errors.New("the file is binary and of an unknown format; expected text (CSV and the like), Parquet or FITS")
	}
	return nil
}
