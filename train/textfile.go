package train

import (
	"errors"
	"fmt"
	"io"
	"os"

	"galaxy/internal/durable"
)

// TextFile implements the file of a FileObserver that writes text lines. Embed a pointer
// to one, and call Write from OnStep or OnEvaluation with whole lines.
type TextFile struct {
	// Name is the file's name in the run folder.
	Name string
	// Header is written first to a new file; "" is none.
	Header string

	file *os.File
}

// FileName returns f.Name.
func (f *TextFile) FileName() string { return f.Name }

// Open implements FileObserver. A file with fewer than size bytes is an error.
func (f *TextFile) Open(path string, size int64) error {
	flags := os.O_RDWR
	if size == 0 {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < size {
		err = fmt.Errorf("%s has %d bytes, but had %d at the checkpoint: it was cut or replaced since; "+
			"put it back, or remove it to begin it anew", path, info.Size(), size)
	}
	if err == nil {
		err = file.Truncate(size)
	}
	if err == nil {
		_, err = file.Seek(size, io.SeekStart)
	}
	if err == nil && size == 0 {
		_, err = file.WriteString(f.Header)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file = file
	return nil
}

// Write appends lines to the file at once, so that others can follow it.
func (f *TextFile) Write(lines []byte) (int, error) {
	return f.file.Write(lines) // whose error names the file
}

// Size returns the number of bytes in the file.
func (f *TextFile) Size() (int64, error) { return f.file.Seek(0, io.SeekCurrent) }

// Sync returns when everything written is on the disk.
func (f *TextFile) Sync() error {
	return durable.SyncFile(f.file)
}

// Close closes the file.
func (f *TextFile) Close() error { return f.file.Close() }
