package data

import (
	"archive/zip"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"galaxy/data/filetype"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/data/zipfile"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
)

// DefaultMaxBytes bounds one image file if nothing else is asked for. Kaggle's are 10 to 30 kB;
// 3,000×3,000 pixels of 16 bits in colour, without any compression, are 54 MB.
const DefaultMaxBytes = 64 << 20

// ImageSide is the width and height in pixels of every image of the challenge.
const ImageSide = 424

// Images is a set of image files: a folder, a zip read in place, or one file. Close it when
// done. Methods are safe for concurrent use, Close excepted.
type Images struct {
	// MaxBytes is the size of the largest file that is read; larger ones are broken. 0 is
	// DefaultMaxBytes.
	MaxBytes int
	// Side is the height and width in pixels that every image must have, 0 for any.
	Side int
	// Grey rejects images in colour.
	Grey bool
	// Bands and Stretch, if it is not zero, are of images whose pixels may have any range: FITS files.
	Bands   imagefile.Bands
	Stretch stretch.Stretch

	path  string
	files []imageFile // by ascending id, or by name if they have no ids
	ids   []ID        // of the galaxies; nil for OpenImagesByPath
	bands []string    // of the files of each galaxy, in this order; nil if it has one file
	other PassedOver
	dirs  []string // folders met below a folder, as name of files
	close io.Closer
}

// An imageFile is a file of a folder or a member of a zip.
type imageFile struct {
	name   string // path below the folder or in the zip, with slashes
	id     ID
	band   int       // index into Images.bands
	disk   string    // path of a folder's file
	member *zip.File // of a zip
}

// The names of Kaggle's zips start with these: of the labelled images, and of the images to
// predict.
const (
	TrainingImages = "images_training"
	TestImages     = "images_test"
)

// OpenImages lists a folder or a zip of images named <id>.jpg, .png and so on, which may
// be one folder deeper, as in Kaggle's zips; or path is one image. It reads no image that has an
// image's extension. Of other files the first bytes decide whether they are images (package
// imagefile). It passes over those that are not, hidden files and the __MACOSX folder of zips
// made on a Mac (PassedOver). It is an error when two files have the same id, when there is
// no image at all.
//
// A zip may hold another: Kaggle's outer zip, or a download of several files. OpenImages lists the
// images of the one inner zip whose name starts with inner (TrainingImages or TestImages) or, of a
// zip without images, of its only inner zip. It reads an
// uncompressed inner zip in place. It unpacks a compressed one to a nameless file in the
// system's folder for temporary files (TMPDIR), which takes the size of the inner zip until
// Close.
func OpenImages(path, inner string) (*Images, error) { return OpenImagesAs(path, inner, Layout{}) }

// OpenImagesByPath is OpenImages for files of any name, at any depth, and of any
// size in pixels. They have no ids, and are in the order of their names.
func OpenImagesByPath(path, inner string) (*Images, error) {
	return OpenImagesAs(path, inner, Layout{ByPath: true})
}

// OpenImagesAs is OpenImages for files that are named in other ways.
func OpenImagesAs(path, inner string, layout Layout) (*Images, error) {
	n, err := newNamer(layout)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; give the folder of images, the zip that holds them, or one image", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	var m *Images
	switch {
	case info.IsDir():
		m, err = openFolder(path, layout.ByPath || n.deep())
	case info.Mode().IsRegular():
		m, err = openFile(path, inner)
	default:
		err = errors.New("neither a folder nor a file")
	}
	if err == nil {
		if err = m.index(layout.ByPath, n); err != nil {
			err = errors.Join(err, m.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open images %s: %w", path, err)
	}
	m.path = path
	return m, nil
}

// Len returns the number of images.
func (m *Images) Len() int { return len(m.files) / m.perImage() }

// perImage returns how many files an image has.
func (m *Images) perImage() int { return max(1, len(m.bands)) }

// of returns the files of image i.
func (m *Images) of(i int) []imageFile {
	n := m.perImage()
	return m.files[i*n : (i+1)*n]
}

// IDs returns the ids in the order of CompareIDs, nil for OpenImagesByPath. The
// caller must not change it.
func (m *Images) IDs() []ID { return m.ids }

// Name returns the path of image i below the folder or in the zip, with slashes; of an image with
// several files, of the first.
func (m *Images) Name(i int) string {
	for _, f := range m.of(i) {
		if !f.absent() {
			return f.name
		}
	}
	return ""
}

// Find returns the index of the image with an id, or with a path for OpenImagesByPath, and
// whether there is one.
func (m *Images) Find(key string) (i int, ok bool) {
	if m.ids != nil {
		return slices.BinarySearchFunc(m.ids, ID(key), CompareIDs)
	}
	return slices.BinarySearchFunc(m.files, key, func(f imageFile, key string) int { return strings.Compare(f.name, key) })
}

// key returns what identifies image i for Find.
func (m *Images) key(i int) string { return m.keyOf(m.of(i)[0]) }

func (m *Images) keyOf(f imageFile) string {
	if m.ids == nil {
		return f.name
	}
	return string(f.id)
}

// compare is the order of the images' keys.
func (m *Images) compare(a, b string) int {
	if m.ids == nil {
		return strings.Compare(a, b)
	}
	return CompareIDs(ID(a), ID(b))
}

// Path returns the folder, zip or image given to OpenImages.
func (m *Images) Path() string { return m.path }

// PassedOver returns the files that are not used: no images, or not named as the Layout says.
func (m *Images) PassedOver() PassedOver { return m.other }

// empty returns the folders without any image below them whose parent has some.
func (m *Images) empty() (folders []string) {
	used := map[string]bool{".": true}
	for _, f := range m.files {
		for dir := path.Dir(f.name); !used[dir]; dir = path.Dir(dir) {
			used[dir] = true
		}
	}
	for _, dir := range m.dirs {
		if !used[dir] && used[path.Dir(dir)] {
			folders = append(folders, dir)
		}
	}
	slices.Sort(folders)
	return folders
}

// PassedOver counts files that are not used, by what they are, in the order in which they were
// met.
type PassedOver []PassedOverKind

// PassedOverKind is a row of PassedOver.
type PassedOverKind struct {
	Kind  string `json:"kind"`  // with an article: "a text file"
	Files int    `json:"files"` // how many
	First string `json:"first"` // the path of one of them
}

func (p *PassedOver) add(kind, name string) {
	i := slices.IndexFunc(*p, func(k PassedOverKind) bool { return k.Kind == kind })
	if i < 0 {
		i = len(*p)
		*p = append(*p, PassedOverKind{Kind: kind, First: name})
	}
	(*p)[i].Files++
}

// String returns a part of a sentence: "3 files: a text file (2, such as
// notes.txt), a FITS file (m31.fits)".
func (p PassedOver) String() string {
	total := 0
	var kinds []string
	for _, k := range p {
		total += k.Files
		example := clip(k.First)
		if k.Files > 1 {
			example = fmt.Sprintf("%d, such as %s", k.Files, example)
		}
		kinds = append(kinds, fmt.Sprintf("%s (%s)", k.Kind, example))
	}
	return usage.Count(total, "file") + ": " + strings.Join(kinds, ", ")
}

// advice says how to get at images in files that were passed over.
func (p PassedOver) advice() string {
	for _, k := range p {
		switch k.Kind {
		case filetype.Zip:
			return ": unpack the zip, or give it itself"
		case "an encrypted file":
			return ": unpack the zip with its password (7z x FILE.zip) and give the folder"
		}
	}
	return ""
}

// Read returns the bytes of the file of image i, in buf if it is large enough,
// otherwise in a new buffer. A file above MaxBytes is an error. An error wraps ErrUnread
// unless it is about the contents of the file; then it does not repeat the name.
func (m *Images) Read(i int, buf []byte) ([]byte, error) { return m.read(m.of(i)[0], buf) }

func (m *Images) read(f imageFile, buf []byte) ([]byte, error) {
	most := cmp.Or(m.MaxBytes, DefaultMaxBytes)
	switch {
	case f.absent():
		return buf, fmt.Errorf("band %s: there is no file for it", m.bands[f.band])
	case f.member != nil:
		buf, err := readMember(f.member, buf, most)
		return buf, unread(f.name, err)
	}
	buf, err := readFile(f.disk, buf, most)
	return buf, unread(f.name, err)
}

// readBands is Read for all files of image i. The bytes may be in buf, or a larger one for the next call,
// which it returns too.
func (m *Images) readBands(i int, buf []byte) (encoded [][]byte, _ []byte, err error) {
	free, total := buf[:0], 0
	for _, f := range m.of(i) {
		one, err := m.read(f, free)
		if err != nil {
			return nil, buf, err
		}
		encoded, total = append(encoded, one), total+len(one)+1 // of a zip's member the end is read too
		if cap(free) >= len(one) {                              // or one has a buffer of its own
			free = free[len(one):len(one)]
		}
	}
	if total > cap(buf) {
		buf = make([]byte, total+total/4)
	}
	return encoded, buf, nil
}

// ErrUnread is an error of the machine (a limit, a disk, a network) in reading or decoding
// an image: nothing is known about the image itself.
var ErrUnread = errors.New("this is an error of the machine, not of the image, and nothing is recorded about the image: fix the cause and repeat the command, which continues from here")

// unread makes an error of the machine an ErrUnread.
func unread(name string, err error) error {
	if durable.IsSystem(err) && !errors.Is(err, ErrUnread) {
		return fmt.Errorf("image %s: %w; %w", clip(name), err, ErrUnread)
	}
	return err
}

// Decode reads image i, checks its header (imagefile.Open) and its size, if Side is set, and
// decodes it into dst. The error is the
// reason why the image is broken, unless it wraps ErrUnread. Decode uses buf for the
// file's bytes, and returns it, or a larger one, for the next call.
func (m *Images) Decode(dst []byte, i int, decoder Decoder, buf []byte) ([]byte, error) {
	file, buf, err := m.open(i, buf)
	if err != nil {
		return buf, err
	}
	if m.Side != 0 && (file.Width != m.Side || file.Height != m.Side) {
		return buf, fmt.Errorf("%d×%d pixels; expected the challenge's %d×%d: for images of other sizes set a crop, such as 100%%", file.Width, file.Height, m.Side, m.Side)
	}
	if m.Grey && !file.Grey {
		return buf, errors.New("a colour image, among grey ones")
	}
	return buf, unread(m.Name(i), decoder.Decode(dst, file))
}

// open reads image i and its header. It returns the buffer too.
func (m *Images) open(i int, buf []byte) (imagefile.File, []byte, error) {
	if m.Stretch.IsZero() {
		encoded, err := m.Read(i, buf)
		if err != nil {
			return imagefile.File{}, buf, err
		}
		file, err := imagefile.OpenFor([][]byte{encoded}, m.Bands, m.Stretch)
		return file, encoded, err
	}
	encoded, buf, err := m.readBands(i, buf)
	if err != nil {
		return imagefile.File{}, buf, err
	}
	file, err := imagefile.OpenFor(encoded, m.Bands, m.Stretch)
	return file, buf, err
}

// Checksum returns the xxh3 of the id and size (both int64, little-endian) of
// every file, in their order: cheap to compute, and the same for a folder and a
// zip of it. The size of a band that a galaxy lacks is -1. An id that is not an integer is represented by its text, and a file without an id by
// its path; a zero byte ends both.
func (m *Images) Checksum() (uint64, error) {
	b := make([]byte, 0, 16*len(m.files))
	for _, f := range m.files {
		size := uint64(math.MaxUint64)
		if f.member != nil {
			size = f.member.UncompressedSize64
		} else if !f.absent() {
			info, err := os.Stat(f.disk)
			if err != nil {
				return 0, err
			}
			size = uint64(info.Size())
		}
		if n, ok := f.id.Integer(); ok {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		} else {
			b = append(append(b, m.keyOf(f)...), 0)
		}
		b = binary.LittleEndian.AppendUint64(b, size)
	}
	return xxh3.Hash(b), nil
}

// Close releases the zip.
func (m *Images) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close.Close()
}

func readFile(name string, buf []byte, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkImageBytes(uint64(info.Size()), most); err != nil {
		return nil, err
	}
	buf = grow(buf, int(info.Size()))
	if _, err := io.ReadFull(f, buf); durable.IsSystem(err) {
		return nil, err
	} else if err != nil && len(buf) > 0 {
		return nil, fmt.Errorf("%s was cut short while it was read; %w", name, ErrUnread)
	}
	return buf, nil
}

func readMember(f *zip.File, buf []byte, most int) ([]byte, error) {
	if err := checkImageBytes(f.UncompressedSize64, most); err != nil {
		return nil, err
	}
	r, err := zipfile.Open(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf = grow(buf, int(f.UncompressedSize64)+1)
	body, end := buf[:len(buf)-1], buf[len(buf)-1:]
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read it in the zip: %w", err)
	}
	// Only the read that reaches the end compares the checksum. The reader
	// itself rejects a member that is longer than its declared size.
	if _, err := io.ReadFull(r, end); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read it in the zip: %w", err)
	}
	return body, nil
}

func checkImageBytes(n uint64, most int) error {
	if n > uint64(most) {
		return fmt.Errorf("the file is too large: %d bytes, the limit is set to %d", n, most)
	}
	return nil
}

// grow returns a slice of length n, in buf's memory if it is large enough. New
// memory has room for larger files that may follow.
func grow(buf []byte, n int) []byte {
	if cap(buf) < n {
		buf = make([]byte, n, n+n/4+512)
	}
	return buf[:n]
}
