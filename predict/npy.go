package predict

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
)

// NumPy's format, version 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html): npyMagic, the length of
// the header as uint16, the header, a line of Python that ends where a multiple of npyAlign bytes do, and the values.
const (
	npyMagic = "\x93NUMPY\x01\x00"
	npyAlign = 64
)

// npyTable is a float32 matrix without the keys.
type npyTable struct {
	w   io.Writer
	row []byte
}

func newNPY(w io.Writer, l layout) (table, error) {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", l.rows, len(l.columns))
	start := len(npyMagic) + 2
	length := (start+len(header)+npyAlign)/npyAlign*npyAlign - start
	_, err := fmt.Fprintf(w, "%s%s%-*s\n", npyMagic, binary.LittleEndian.AppendUint16(nil, uint16(length)), length-1, header)
	return &npyTable{w: w}, err
}

func (t *npyTable) add(_ string, values []float32, _ string) error {
	t.row = t.row[:0]
	for _, v := range values {
		t.row = binary.LittleEndian.AppendUint32(t.row, math.Float32bits(v))
	}
	_, err := t.w.Write(t.row)
	return err
}

func (t *npyTable) close() error { return nil }

// npyShape is the header of a float32 matrix in row-major order, as NumPy and this package write it.
var npyShape = regexp.MustCompile(`^\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d{1,15}), (\d{1,7})\), \} *\n$`)

// openNPY reads the header of a float32 matrix, and checks that f has as many values as it says.
func openNPY(f *os.File) (r *bufio.Reader, rows, columns int, err error) {
	r = bufio.NewReaderSize(f, 1<<20)
	start := make([]byte, len(npyMagic)+2)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:len(npyMagic)]) != npyMagic {
		return nil, 0, 0, errors.New("this is not a .npy file of version 1.0: expected what galaxy embed or numpy.save writes")
	}
	header := make([]byte, binary.LittleEndian.Uint16(start[len(npyMagic):]))
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, 0, 0, fmt.Errorf("the file is cut off in its header: %w", err)
	}
	shape := npyShape.FindSubmatch(header)
	if shape == nil {
		return nil, 0, 0, fmt.Errorf("the array is %.100q: expected a float32 matrix with a row per galaxy, in C's order (numpy.save(FILE, features.astype('float32')))", header)
	}
	rows, _ = strconv.Atoi(string(shape[1])) // of few digits
	columns, _ = strconv.Atoi(string(shape[2]))
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, err
	}
	if want := int64(len(start)+len(header)) + 4*int64(rows)*int64(columns); info.Size() != want || columns == 0 {
		return nil, 0, 0, fmt.Errorf("the file has %d bytes: expected %d for a matrix of %d×%d", info.Size(), want, rows, columns)
	}
	return r, rows, columns, nil
}
