package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"galaxy/data"
	"galaxy/internal/usage"
)

// copiesShown is how many pairs of copies are named on the terminal.
const copiesShown = 10

// lookInto returns the galaxies of a cache that have equal images, those whose image is blank, and the balance of its
// classes if it is one of classes.
func lookInto(ctx context.Context, dir string) (copies *data.Copies, blank []data.ID, balance *data.Balance, err error) {
	cache, err := data.Open(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	copies, err = cache.Copies(ctx, false)
	return copies, cache.Blank(), cache.Balance(), err
}

// printBlank names galaxies whose image is blank.
func printBlank(w io.Writer, blank []data.ID) {
	if len(blank) == 0 {
		return
	}
	fmt.Fprintf(w, "%s kept whose image is blank, one value everywhere: ", usage.Count(len(blank), "galaxy"))
	for i, id := range blank {
		if i == copiesShown {
			fmt.Fprintf(w, " and %d more", len(blank)-i)
			break
		}
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprint(w, id)
	}
	fmt.Fprintln(w)
}

// printCopies prints what is known of images that several galaxies have.
func printCopies(w io.Writer, all *data.Copies) {
	kind := "the same image"
	if all.Near {
		kind = "the same or nearly the same image"
	}
	if all.Groups == 0 {
		fmt.Fprintf(w, "no two galaxies have %s\n", kind)
	} else {
		fmt.Fprintf(w, "%s with %s as another: %s, %d across splits\n", usage.Count(all.Galaxies, "galaxy"), kind, usage.Count(all.Groups, "group"), all.Crossing)
		printLeak(w, all)
	}
	if all.NotCompared > 0 {
		fmt.Fprintf(w, "%s with too little detail to find nearly equal ones\n", usage.Count(all.NotCompared, "image"))
	}
}

// printLeak names the copies that are in several splits.
func printLeak(w io.Writer, all *data.Copies) {
	shown, crossing := 0, 0
	for _, p := range all.Pairs {
		if p.SplitA == p.SplitB {
			continue
		}
		if crossing++; shown < copiesShown {
			shown++
			fmt.Fprintf(w, "  %s (%s) = %s (%s)", p.A, p.SplitA, p.B, p.SplitB)
			if p.Similarity < 1 {
				fmt.Fprintf(w, ", similarity %.3f", p.Similarity)
			}
			fmt.Fprintln(w)
		}
	}
	if more := crossing - shown; more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	if n := all.Leaked; n.Test+n.Validation > 0 {
		fmt.Fprintf(w, "%d test and %d validation galaxies have a copy in the train split, so their scores are too good: remove the copies from the table of labels, or keep them in one split with galaxy prepare --split-by-group\n", n.Test, n.Validation)
	}
}

// copiesCSV is a table of pairs.
func copiesCSV(all *data.Copies) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{"a", "split_a", "b", "split_b", "similarity"}) // a buffer takes all
	for _, p := range all.Pairs {
		_ = w.Write([]string{string(p.A), p.SplitA, string(p.B), p.SplitB, strconv.FormatFloat(p.Similarity, 'f', 4, 64)})
	}
	w.Flush()
	return out.Bytes()
}
