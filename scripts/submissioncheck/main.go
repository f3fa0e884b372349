// Command submissioncheck checks whether a file is a submission to the Galaxy
// Challenge for a sample file, all_zeros_benchmark.csv: the same columns,
// the same GalaxyIDs in the same order, fractions from 0 to 1, and the sums of the
// question tree to 1e-4. It prints its counts, or fails with the first wrong
// line.
//
//	submissioncheck [-sums=false] submission.csv sample.csv
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"galaxy/data"
	"galaxy/labels"
)

var schema = labels.GalaxyZoo()

// tolerance is how closely the competition's own rows satisfy the sum rules.
const tolerance = 1e-4

func main() {
	sums := flag.Bool("sums", true, "check the sums of the question tree")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: submissioncheck [-sums=false] SUBMISSION.csv SAMPLE.csv")
		os.Exit(2)
	}
	if err := check(os.Stdout, *sums, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "submissioncheck:", err)
		os.Exit(1)
	}
}

func check(out io.Writer, sums bool, submission, sample string) error {
	got, err := os.Open(submission)
	if err != nil {
		return err
	}
	defer got.Close()
	want, err := os.Open(sample)
	if err != nil {
		return err
	}
	defer want.Close()
	rows, err := compare(csv.NewReader(got), csv.NewReader(want), sums)
	if err != nil {
		return fmt.Errorf("%s: line %d: %w", submission, rows+1, err)
	}
	_, err = fmt.Fprintf(out, "%s: %d rows in the order of %s, all as they should be\n", submission, rows-1, sample)
	return err
}

// compare returns the number of rows, header included, that are right.
func compare(got, want *csv.Reader, sums bool) (rows int, err error) {
	header := append([]string{data.IDColumn}, schema.Columns()...)
	for ; ; rows++ {
		g, errG := got.Read()
		w, errW := want.Read()
		switch {
		case errors.Is(errG, io.EOF) && errors.Is(errW, io.EOF):
			if rows < 2 {
				return rows, errors.New("no rows")
			}
			return rows, nil
		case errors.Is(errG, io.EOF):
			return rows, fmt.Errorf("the file ends; the sample goes on with %s", w[0])
		case errors.Is(errW, io.EOF):
			return rows, fmt.Errorf("%s is a row too many: the sample has ended", g[0])
		case errG != nil || errW != nil:
			return rows, errors.Join(errG, errW)
		case rows == 0 && !slices.Equal(w, header):
			return rows, fmt.Errorf("the sample's header is not that of the challenge: %q", w)
		case rows == 0 && !slices.Equal(g, w):
			return rows, fmt.Errorf("the header is %q", g)
		case rows == 0:
			continue
		case g[0] != w[0]:
			return rows, fmt.Errorf("galaxy %s, where the sample has %s", g[0], w[0])
		}
		if err := checkRow(g[1:], sums); err != nil {
			return rows, fmt.Errorf("galaxy %s: %w", g[0], err)
		}
	}
}

func checkRow(fields []string, sums bool) error {
	row := make([]float32, len(fields))
	for i, field := range fields {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || !(v >= 0 && v <= 1) { // so that a NaN fails
			return fmt.Errorf("%s is %q; expected a number from 0 to 1", schema.Columns()[i], field)
		}
		row[i] = float32(v)
	}
	if !sums {
		return nil
	}
	return schema.CheckSums(row, tolerance)
}
