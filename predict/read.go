package predict

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	tables "galaxy/data/table"
)

// EachRow reads a table of numbers that Run wrote, or another in one of its formats: it calls do for each row, in order,
// with its key (the first column, or the line of IDsFile) and its values, float32 [columns], which do must not keep.
// Every column but the first must hold numbers. The error of do ends it, and is returned as it is; other errors
// name the file and the line or row.
func EachRow(path string, do func(key string, values []float32) error) error {
	if extension(path) == ".npy" {
		return eachOfMatrix(path, do)
	}
	t, err := tables.Open(path, "")
	if err != nil {
		return err
	}
	err = eachOfTable(t, do)
	return errors.Join(err, t.Close())
}

func eachOfTable(t *tables.Table, do func(key string, values []float32) error) error {
	columns := len(t.Columns())
	if columns < 2 {
		return fmt.Errorf("%s has %d columns: expected ids and numbers", t.Name(), columns)
	}
	values := make([]float32, columns-1)
	for {
		if err := t.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for j := range values {
			v, err := t.Number(1 + j)
			if err != nil {
				return t.Errorf("%w", err)
			}
			values[j] = float32(v)
		}
		if err := do(t.Text(0), values); err != nil {
			return err
		}
	}
}

func eachOfMatrix(path string, do func(key string, values []float32) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, rows, columns, err := openNPY(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ids, err := os.Open(IDsFile(path))
	if err != nil {
		return fmt.Errorf("%w: the ids of %s, one per line, in the order of its rows, are expected in it", err, path)
	}
	defer func() { err = errors.Join(err, ids.Close()) }()
	keys := bufio.NewScanner(ids)
	raw, values := make([]byte, 4*columns), make([]float32, columns)
	for i := range rows {
		if !keys.Scan() {
			return fmt.Errorf("%s: %w", ids.Name(), errors.Join(fmt.Errorf("%d lines: expected the %d ids of %s", i, rows, path), keys.Err()))
		}
		if _, err := io.ReadFull(r, raw); err != nil {
			return fmt.Errorf("%s: row %d: %w", path, i+1, err)
		}
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
		}
		if err := do(keys.Text(), values); err != nil {
			return err
		}
	}
	if keys.Scan() {
		return fmt.Errorf("%s has more lines than the %d rows of %s", ids.Name(), rows, path)
	}
	return keys.Err()
}
