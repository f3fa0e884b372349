package metric

import (
	"fmt"
	"slices"
)

// Trait is a property of every example by which examples are grouped.
type Trait struct {
	Name   string // "size"
	Unit   string // of Values, "px"
	Values []float64
}

// parts is the number of slices of a trait: its quartiles.
const parts = 4

// sliced holds the slices of each example.
type sliced struct {
	names []SliceScores // of each trait in turn, without metrics
	of    [][]int8      // [trait][example]: index into names
}

// cut cuts n examples at the quartiles of each trait's values. Equal values
// stay together, so slices may differ in size, and empty slices are omitted.
func cut(traits []Trait, n int) (*sliced, error) {
	s := new(sliced)
	for _, t := range traits {
		if len(t.Values) != n {
			return nil, fmt.Errorf("%d values of %s for %d examples", len(t.Values), t.Name, n)
		}
		sorted := slices.Sorted(slices.Values(t.Values))
		upper := [parts]float64{parts - 1: sorted[n-1]}
		for k := range parts - 1 {
			upper[k] = quantile(sorted, float64(k+1)/parts)
		}
		first := len(s.names)
		of := make([]int8, n)
		var counts [parts]int
		for i, v := range t.Values {
			k := 0
			for k < parts-1 && v > upper[k] {
				k++
			}
			of[i] = int8(k)
			counts[k]++
		}
		var at [parts]int8 // index of a part into names
		from := sorted[0]
		for k, count := range counts {
			if count > 0 {
				at[k] = int8(len(s.names))
				s.names = append(s.names, SliceScores{By: t.Name, Unit: t.Unit, Quartile: k + 1, From: from, To: upper[k], Examples: count})
			}
			from = upper[k]
		}
		if len(s.names) == first+1 { // all values are equal: nothing to compare
			s.names = s.names[:first]
			continue
		}
		for i, k := range of {
			of[i] = at[k]
		}
		s.of = append(s.of, of)
	}
	return s, nil
}
