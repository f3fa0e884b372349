package data

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxImageBytes bounds one image file. Kaggle's are 10 to 30 kB, and a 424×424
// picture without any compression is 540 kB.
const maxImageBytes = 4 << 20

// Images is a set of JPEG files named <GalaxyID>.jpg: a folder, or a zip read
// in place. The files may lie one folder deeper, as in Kaggle's zips. Close it
// when done. Methods are safe for concurrent use, Close excepted.
type Images struct {
	path  string
	ids   []int64             // ascending
	files map[int64]string    // of a folder: paths
	zip   map[int64]*zip.File // of a zip
	close io.Closer
}

// OpenImages lists a folder or a zip; it reads no image. Files that are not
// .jpg or .jpeg are ignored, and so are hidden files and the __MACOSX folder of
// zips made on a Mac. It is an error when a .jpg is not named after a GalaxyID,
// when two files have the same GalaxyID, when there is no image at all, or when
// a zip holds an absolute path or one with "..".
func OpenImages(path string) (*Images, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	var m *Images
	switch {
	case info.IsDir():
		m, err = openFolder(path)
	case info.Mode().IsRegular():
		m, err = openZip(path)
	default:
		err = errors.New("neither a folder nor a file")
	}
	if err != nil {
		return nil, fmt.Errorf("open images %s: %w", path, err)
	}
	return m, nil
}

// IDs returns the GalaxyIDs in ascending order. The caller must not change it.
func (m *Images) IDs() []int64 { return m.ids }

// Path returns the folder or zip as it was given to OpenImages.
func (m *Images) Path() string { return m.path }

// Read returns the bytes of one image file, in buf if it is large enough, else
// in a new buffer. Files above 4 MiB are refused. The error does not repeat
// the id.
func (m *Images) Read(id int64, buf []byte) ([]byte, error) {
	if f, ok := m.zip[id]; ok {
		return readMember(f, buf)
	}
	if name, ok := m.files[id]; ok {
		return readFile(name, buf)
	}
	return nil, fs.ErrNotExist
}

// Close releases the zip.
func (m *Images) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close.Close()
}

func openFolder(dir string) (*Images, error) {
	m := &Images{path: dir, files: make(map[int64]string)}
	var list func(dir string, deeper bool) error
	list = func(dir string, deeper bool) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if e.IsDir() {
				if deeper && !isJunk(e.Name()) {
					if err := list(name, false); err != nil {
						return err
					}
				}
				continue
			}
			id, ok, err := imageID(e.Name())
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			// Reading a pipe that happens to be called 1.jpg would wait for ever.
			if !e.Type().IsRegular() {
				if info, err := os.Stat(name); err != nil {
					return err
				} else if !info.Mode().IsRegular() {
					return fmt.Errorf("%s is not a regular file", name)
				}
			}
			if other, dup := m.files[id]; dup {
				return fmt.Errorf("galaxy %d has two images (%s, %s); remove one", id, other, name)
			}
			m.files[id] = name
		}
		return nil
	}
	if err := list(dir, true); err != nil {
		return nil, err
	}
	return m, m.index(keys(m.files))
}

func openZip(name string) (*Images, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var m *Images
		if m, err = newZipImages(f, info.Size()); err == nil {
			m.path, m.close = name, f
			return m, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

func newZipImages(r io.ReaderAt, size int64) (*Images, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		if errors.Is(err, zip.ErrFormat) {
			return nil, errors.New("not a zip file, or one that is cut off; give the folder of images or Kaggle's zip, and compare its size with Kaggle's")
		}
		return nil, err
	}
	m := &Images{zip: make(map[int64]*zip.File)}
	for _, f := range z.File {
		if err := checkMemberName(f.Name); err != nil {
			return nil, err
		}
		if isJunk(f.Name) {
			continue
		}
		id, ok, err := imageID(path.Base(f.Name))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if !f.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", clip(f.Name))
		}
		if other, dup := m.zip[id]; dup {
			return nil, fmt.Errorf("galaxy %d has two images (%s, %s); make the zip again", id, clip(other.Name), clip(f.Name))
		}
		m.zip[id] = f
	}
	return m, m.index(keys(m.zip))
}

func (m *Images) index(ids []int64) error {
	if len(ids) == 0 {
		return errors.New("no images in it; want files named <GalaxyID>.jpg, such as 100008.jpg")
	}
	slices.Sort(ids)
	m.ids = ids
	return nil
}

func keys[V any](m map[int64]V) []int64 {
	out := make([]int64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// imageID returns the GalaxyID in a file's base name, and whether it is an
// image at all.
func imageID(base string) (id int64, ok bool, err error) {
	ext := path.Ext(base)
	if isJunk(base) || !strings.EqualFold(ext, ".jpg") && !strings.EqualFold(ext, ".jpeg") {
		return 0, false, nil
	}
	id, err = parseID(strings.TrimSuffix(base, ext))
	if err != nil {
		return 0, false, fmt.Errorf("%q is not named after a galaxy; want <GalaxyID>.jpg, such as 100008.jpg: rename or remove it", clip(base))
	}
	return id, true, nil
}

// isJunk reports whether a member is a folder, hidden, or one of the shadow
// files that a Mac adds to zips.
func isJunk(name string) bool {
	return strings.HasPrefix(name, "__MACOSX") || strings.HasSuffix(name, "/") || strings.HasPrefix(path.Base(name), ".")
}

// checkMemberName refuses zip members that point out of the zip. Nothing is
// ever unpacked here, but such a file was made to do harm.
func checkMemberName(name string) error {
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00") ||
		len(name) > 1 && name[1] == ':' || slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Errorf("the zip holds the unsafe path %q; it is not one of Kaggle's, do not use it", clip(name))
	}
	return nil
}

func readFile(name string, buf []byte) ([]byte, error) {
	buf, err := readRegular(name, buf)
	// The reason goes into the manifest, which must not depend on where the
	// folder lies.
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		err = fmt.Errorf("%s: %w", pathError.Op, pathError.Err)
	}
	return buf, err
}

func readRegular(name string, buf []byte) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkImageBytes(uint64(info.Size())); err != nil {
		return nil, err
	}
	buf = grow(buf, int(info.Size()))
	if _, err := io.ReadFull(f, buf); err != nil && len(buf) > 0 {
		return nil, err
	}
	return buf, nil
}

func readMember(f *zip.File, buf []byte) ([]byte, error) {
	if err := checkImageBytes(f.UncompressedSize64); err != nil {
		return nil, err
	}
	if f.Flags&1 != 0 {
		return nil, errors.New("the file is encrypted in the zip")
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", clip(f.Name), err)
	}
	defer r.Close()
	buf = grow(buf, int(f.UncompressedSize64)+1)
	body, end := buf[:len(buf)-1], buf[len(buf)-1:]
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read %s: %w", clip(f.Name), err)
	}
	// Only the read that meets the end compares the checksum. The reader
	// itself refuses a member that goes on behind its declared size.
	if _, err := io.ReadFull(r, end); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", clip(f.Name), err)
	}
	return body, nil
}

func checkImageBytes(n uint64) error {
	if n > maxImageBytes {
		return fmt.Errorf("%d bytes is too large for a Galaxy Zoo image (at most %d)", n, maxImageBytes)
	}
	return nil
}

// grow returns a slice of length n, buf's memory if it is large enough. New
// memory has room for larger files to come.
func grow(buf []byte, n int) []byte {
	if cap(buf) < n {
		buf = make([]byte, n, n+n/4+512)
	}
	return buf[:n]
}
