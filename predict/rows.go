package predict

import (
	"encoding/binary"
	"errors"
	"math"
	"os"

	"github.com/zeebo/xxh3"
)

// rowsName is the file of the partial folder that holds the predicted rows.
const rowsName = "rows.bin"

// A rowFile holds rows in blocks. Each block ends with its own xxh3, which distinguishes
// complete blocks from half-written ones. docs/predict.md describes the layout.
type rowFile struct {
	*os.File
	columns int
	batch   int // rows of a block; the last may have fewer
	total   int // rows of the table
}

// A block holds the predictions of a batch.
type block struct {
	columns int
	values  []float32 // [rows, columns]; zeros for a broken image
	broken  []bool    // of each row
}

func newBlock(rows, columns int) block {
	return block{columns, make([]float32, rows*columns), make([]bool, rows)}
}

func (b block) row(i int) []float32 { return b.values[i*b.columns : (i+1)*b.columns] }

// count returns the number of broken images.
func (b block) count() (n int) {
	for _, broken := range b.broken {
		if broken {
			n++
		}
	}
	return n
}

const sumBytes = 8

// blockBytes returns the size of a block of n rows.
func (f rowFile) blockBytes(n int) int { return n*(1+4*f.columns) + sumBytes }

// offset returns the position of the block that starts with a row, or, for total, the end.
func (f rowFile) offset(row int) int64 {
	at := int64(row/f.batch) * int64(f.blockBytes(f.batch))
	if rest := row % f.batch; rest > 0 {
		at += int64(f.blockBytes(rest))
	}
	return at
}

// write writes the block that starts with a row, in one call.
func (f rowFile) write(row int, b block) error {
	raw := make([]byte, 0, f.blockBytes(len(b.broken)))
	for i, broken := range b.broken {
		flag := byte(0)
		if broken {
			flag = 1
		}
		raw = append(raw, flag)
		for _, v := range b.row(i) {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	raw = binary.LittleEndian.AppendUint64(raw, xxh3.Hash(raw))
	_, err := f.WriteAt(raw, f.offset(row))
	return err
}

var errBlock = errors.New("a block of rows is damaged")

// read reads the block that starts with a row. It is an error if the block is missing or
// damaged.
func (f rowFile) read(row int) (block, error) {
	b := newBlock(min(f.batch, f.total-row), f.columns)
	raw := make([]byte, f.blockBytes(len(b.broken)))
	if _, err := f.ReadAt(raw, f.offset(row)); err != nil {
		return block{}, err
	}
	body := raw[:len(raw)-sumBytes]
	if binary.LittleEndian.Uint64(raw[len(body):]) != xxh3.Hash(body) {
		return block{}, errBlock
	}
	for i := range b.broken {
		b.broken[i] = body[0] != 0
		values := b.row(i)
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(body[1+4*j:]))
		}
		body = body[1+4*f.columns:]
	}
	return b, nil
}

// each calls do for every row in order. do must not keep values.
func (f rowFile) each(do func(row int, values []float32, broken bool) error) error {
	for row := 0; row < f.total; row += f.batch {
		b, err := f.read(row)
		if err != nil {
			return err
		}
		for i, broken := range b.broken {
			if err := do(row+i, b.row(i), broken); err != nil {
				return err
			}
		}
	}
	return nil
}

// mean returns the mean of all rows whose image is not broken.
func (f rowFile) mean() ([]float32, error) {
	sum, n := make([]float64, f.columns), 0
	err := f.each(func(_ int, values []float32, broken bool) error {
		if !broken {
			n++
			for j, v := range values {
				sum[j] += float64(v)
			}
		}
		return nil
	})
	mean := make([]float32, f.columns)
	for j := range mean {
		mean[j] = float32(sum[j] / float64(n))
	}
	return mean, err
}
