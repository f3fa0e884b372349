package data

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"galaxy/data/filetype"
	"galaxy/data/imagefile"
	"galaxy/data/zipfile"
	"galaxy/internal/durable"
)

// openFolder lists the images of a folder and of its subfolders, and also of deeper ones with
// anyDepth or if there are none further up.
func openFolder(root string, anyDepth bool) (*Images, error) {
	m := &Images{}
	var list func(dir, prefix string) error
	list = func(dir, prefix string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			disk, name := filepath.Join(dir, e.Name()), prefix+e.Name()
			if e.IsDir() {
				if (anyDepth || prefix == "") && !zipfile.Hidden(e.Name()) {
					m.dirs = append(m.dirs, name)
					if err := list(disk, name+"/"); err != nil {
						return err
					}
				}
				continue
			}
			if err := m.consider(e, disk, name); err != nil {
				return err
			}
		}
		return nil
	}
	err := list(root, "")
	if err == nil && !anyDepth && len(m.files) == 0 {
		anyDepth = true
		m.other, m.dirs = nil, nil
		err = list(root, "")
	}
	return m, err
}

// consider adds a file of a folder to m's, or to those passed over.
func (m *Images) consider(e fs.DirEntry, disk, name string) error {
	if zipfile.Hidden(e.Name()) {
		m.other.add("a hidden file", name)
		return nil
	}
	known := hasExtension(name)
	// Reading a pipe that happens to be named 1.jpg would wait for ever.
	if !e.Type().IsRegular() {
		info, err := os.Stat(disk)
		switch {
		case known && err != nil:
			return fmt.Errorf("%w: the link leads nowhere; fetch the file that it stands for (git annex get, dvc pull), or remove it", err)
		case known && !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file", disk)
		case err != nil || !info.Mode().IsRegular():
			m.other.add("a link to a folder, a broken link or a device", name)
			return nil
		}
	}
	if !known {
		kind, err := sniffFile(disk)
		if errors.Is(err, fs.ErrPermission) {
			m.other.add("a file without permission to read it", name)
			return nil
		}
		if err != nil {
			return err
		}
		if !kind.Readable() {
			m.other.add(kind.Name, name)
			return nil
		}
	}
	m.files = append(m.files, imageFile{name: name, disk: disk})
	return nil
}

// sniffFile returns what a file is.
func sniffFile(name string) (imagefile.Kind, error) {
	f, err := os.Open(name)
	if err != nil {
		return imagefile.Kind{}, err
	}
	defer f.Close()
	return sniff(f)
}

func sniff(r io.Reader) (imagefile.Kind, error) {
	head := make([]byte, imagefile.HeadBytes)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return imagefile.Kind{}, err
	}
	return imagefile.Sniff(head[:n]), nil
}

// openFile opens one image, or a zip of images.
func openFile(name, inner string) (*Images, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	kind, err := sniff(f)
	if err != nil || kind.Readable() {
		m := &Images{files: []imageFile{{name: filepath.Base(name), disk: name}}}
		return m, errors.Join(err, f.Close())
	}
	m, err := newZipImages(f, info.Size(), inner)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if m.close != nil { // an unpacked inner zip
		return m, f.Close()
	}
	m.close = f
	return m, nil
}

// newZipImages lists the images of a zip, or of an inner zip (OpenImages).
func newZipImages(r io.ReaderAt, size int64, inner string) (*Images, error) {
	files, err := readZip(r, size)
	if err != nil {
		return nil, err
	}
	member, err := innerZip(files, inner)
	if err != nil {
		return nil, err
	}
	var m *Images
	if member == nil {
		if m, err = zipImages(files); err != nil || len(m.files) > 0 {
			return m, err
		}
		if member, err = innerZip(files, ""); member == nil || err != nil {
			return m, err
		}
	}
	if m, err = openInner(r, member); err != nil {
		return nil, fmt.Errorf("%s in it: %w", clip(member.Name), err)
	}
	return m, nil
}

// innerZip finds the one zip among files whose base name starts with prefix, nil if there is none.
func innerZip(files []*zip.File, prefix string) (found *zip.File, err error) {
	for _, f := range files {
		base := path.Base(f.Name)
		if zipfile.Hidden(f.Name) || !strings.HasPrefix(base, prefix) || !strings.EqualFold(path.Ext(base), ".zip") {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the zip holds several zips (%s, %s): unpack it and give one of them", clip(found.Name), clip(f.Name))
		}
		found = f
	}
	return found, nil
}

// Limits of unpacking from an outer zip. Kaggle's inner zips are 1 GB, and JPEGs hardly
// compress further.
const (
	maxInnerBytes = 64 << 30
	innerRatio    = 20
)

// openInner opens a zip of images that is a member of the zip outer.
func openInner(outer io.ReaderAt, member *zip.File) (_ *Images, err error) {
	if err := zipfile.Check(member); err != nil {
		return nil, err
	}
	size := int64(min(member.UncompressedSize64, math.MaxInt64))
	if member.Method == zip.Store {
		at, err := member.DataOffset()
		if err != nil {
			return nil, err
		}
		return listZip(io.NewSectionReader(outer, at, size), size)
	}
	if size > maxInnerBytes || member.UncompressedSize64/innerRatio > member.CompressedSize64 {
		return nil, fmt.Errorf("it would unpack from %d to %d bytes, far more than zips of images do: if you trust it, unpack the outer zip and give the inner one", member.CompressedSize64, size)
	}
	spool, err := os.CreateTemp("", "galaxy-zip-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, spool.Close())
		}
	}()
	// Nameless from now on: it disappears with the process, however that ends.
	if err := os.Remove(spool.Name()); err != nil {
		return nil, err
	}
	r, err := zipfile.Open(member)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// The reader itself rejects a member that is longer than its declared size.
	if _, err := io.Copy(spool, r); err != nil {
		return nil, fmt.Errorf("unpack to %s: %w; give the inner zip itself, or set TMPDIR to a folder with room for it", os.TempDir(), err)
	}
	m, err := listZip(spool, size)
	if err != nil {
		return nil, err
	}
	m.close = spool
	return m, nil
}

func readZip(r io.ReaderAt, size int64) ([]*zip.File, error) {
	files, err := zipfile.Read(r, size)
	if errors.Is(err, zipfile.ErrNotZip) {
		kind, err := sniff(io.NewSectionReader(r, 0, size))
		if err != nil {
			return nil, err
		}
		if kind.Name == filetype.Zip {
			return nil, fmt.Errorf("the zip has no end: it is truncated (compare its size with the original's), or the first of several parts: %s", zipfile.Split)
		}
		return nil, fmt.Errorf("not a zip file, or a truncated one (it is %s): give a folder of images, a zip of them or one image; if it is a zip from elsewhere, compare its size with the original's; if it is one of several parts, %s", kind.Name, zipfile.Split)
	}
	return files, err
}

// listZip lists the images of a zip that is not an outer zip.
func listZip(r io.ReaderAt, size int64) (*Images, error) {
	files, err := readZip(r, size)
	if err != nil {
		return nil, err
	}
	return zipImages(files)
}

func zipImages(files []*zip.File) (*Images, error) {
	m := &Images{}
	readable := false
	for _, f := range files {
		if zipfile.Hidden(f.Name) {
			m.other.add("a hidden file", f.Name)
			continue
		}
		known := hasExtension(f.Name)
		if known && !f.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is a link or a device, without the image itself; make the zip again with the files that links point to", clip(f.Name))
		}
		if !known {
			kind, err := sniffMember(f)
			if err != nil {
				return nil, err
			}
			if !kind.Readable() {
				m.other.add(kind.Name, f.Name)
				continue
			}
		}
		m.files = append(m.files, imageFile{name: f.Name, member: f})
		readable = readable || zipfile.Check(f) == nil
	}
	if len(m.files) > 0 && !readable {
		f := m.files[0]
		return nil, fmt.Errorf("none of its images can be read, such as %s: %w", clip(f.name), zipfile.Check(f.member))
	}
	return m, nil
}

// sniffMember returns what a member of a zip is. The error is one of the machine.
func sniffMember(f *zip.File) (imagefile.Kind, error) {
	if zipfile.IsEncrypted(f) {
		return imagefile.Kind{Name: "an encrypted file"}, nil
	}
	r, err := zipfile.Open(f)
	if err == nil {
		defer r.Close()
		var kind imagefile.Kind
		if kind, err = sniff(r); err == nil {
			return kind, nil
		}
	}
	if durable.IsSystem(err) {
		return imagefile.Kind{}, fmt.Errorf("read %s: %w", clip(f.Name), err)
	}
	return imagefile.Kind{Name: "a file that cannot be unpacked"}, nil
}

// index sorts the files and finds their ids.
func (m *Images) index(anyName bool, n namer) error {
	if len(m.files) == 0 {
		want := "named <id>.jpg, such as 100008.jpg, or .png and so on"
		if anyName {
			want = "of JPEG, PNG, TIFF, WebP, BMP or FITS"
		}
		if len(m.other) > 0 {
			return fmt.Errorf("no images in it, only %v; expected files %s%s", m.other, want, m.other.advice())
		}
		return fmt.Errorf("no images in it; expected files %s", want)
	}
	if anyName {
		slices.SortFunc(m.files, func(a, b imageFile) int { return strings.Compare(a.name, b.name) })
		for i, f := range m.files {
			if !utf8.ValidString(f.name) {
				return fmt.Errorf("the file name %q is not UTF-8; rename it", clip(f.name))
			}
			if i > 0 && f.name == m.files[i-1].name {
				return fmt.Errorf("two images have the name %s; make the zip again", clip(f.name))
			}
		}
		return nil
	}
	if err := m.group(n); err != nil {
		return err
	}
	if len(m.files) == 0 {
		return fmt.Errorf("no images of these names in it, only %v", m.other)
	}
	return nil
}

// extensions are those of the formats of package imagefile, fitsExtensions those of FITS files, and
// compressed those that may follow the latter.
var (
	extensions     = append([]string{".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}, fitsExtensions...)
	fitsExtensions = []string{".fits", ".fit", ".fts", ".fz"}
	compressed     = []string{".gz", ".bz2", ".fz"}
)

// hasExtension reports whether a file's name has the extension of an image. Then it counts as an
// image whatever it holds: if it is something else, the image is broken.
func hasExtension(name string) bool { return hasOneOf(uncompressed(name), extensions) }

// uncompressed returns the name of a compressed FITS file without the extension of its compression: "1.fits" of
// "1.fits.gz". Other names stay as they are.
func uncompressed(name string) string {
	if rest := strings.TrimSuffix(name, path.Ext(name)); hasOneOf(name, compressed) && hasOneOf(rest, fitsExtensions) {
		return rest
	}
	return name
}

// hasOneOf reports whether a name ends with one of some extensions, in any case.
func hasOneOf(name string, extensions []string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}
