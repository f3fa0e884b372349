package explain

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Neighbour is a member of a set that is similar to a query.
type Neighbour struct {
	// Index is its row in the set.
	Index int
	// Similarity is the cosine of the angle between the features, −1 to 1, and 1 for equal
	// ones; 0 if all features of either are 0.
	Similarity float32
}

// Blocks of similarities, queries × members: 2 MB, so that they stay in a core's cache.
const (
	queryBlock  = 256
	memberBlock = 2048
)

// Nearest returns for each query its k most similar members of a set, or all if there are fewer,
// most similar first, and the lower index first of two equally similar ones. queries is float32
// [Q, width] and set float32 [M, width], in row-major order, width ≥ 1. The search is exact: it
// compares every query with every member, and needs memory for a copy of the queries and one
// block of the set. A value that is not finite is an error.
func Nearest(queries, set []float32, width, k int) ([][]Neighbour, error) {
	if width < 1 || len(queries)%width != 0 || len(set)%width != 0 {
		return nil, fmt.Errorf("nearest: %d values of queries and %d of the set: expected multiples of the %d features", len(queries), len(set), width)
	}
	if k < 1 {
		return nil, fmt.Errorf("nearest: k is %d: expected 1 or more", k)
	}
	units := slices.Clone(queries)
	if err := normalise(units, width); err != nil {
		return nil, fmt.Errorf("nearest: queries: %w", err)
	}
	found := make([][]Neighbour, len(queries)/width)
	members, similarities := make([]float32, 0, memberBlock*width), make([]float32, queryBlock*memberBlock)
	for start := 0; start < len(set); start += memberBlock * width {
		members = append(members[:0], set[start:min(start+memberBlock*width, len(set))]...)
		if err := normalise(members, width); err != nil {
			return nil, fmt.Errorf("nearest: set, from row %d: %w", start/width, err)
		}
		m := len(members) / width
		for first := 0; first < len(found); first += queryBlock {
			q := min(queryBlock, len(found)-first)
			blas32.Gemm(blas.NoTrans, blas.Trans, 1,
				blas32.General{Rows: q, Cols: width, Stride: width, Data: units[first*width:][:q*width]},
				blas32.General{Rows: m, Cols: width, Stride: width, Data: members}, 0,
				blas32.General{Rows: q, Cols: m, Stride: m, Data: similarities})
			for i := range q {
				found[first+i] = merge(found[first+i], similarities[i*m:][:m], start/width, k)
			}
		}
	}
	return found, nil
}

// normalise divides every row by its length.
func normalise(rows []float32, width int) error {
	for i := 0; i < len(rows); i += width {
		row := rows[i:][:width]
		var squares float64
		for _, x := range row {
			squares += float64(x) * float64(x)
		}
		if math.IsNaN(squares) || math.IsInf(squares, 0) {
			return fmt.Errorf("row %d has a feature that is not finite", i/width)
		}
		if squares == 0 {
			continue
		}
		scale := 1 / math.Sqrt(squares)
		for j, x := range row {
			row[j] = float32(float64(x) * scale)
		}
	}
	return nil
}

// merge adds the similarities of the members from number first on to best, which is in order and
// stays so, and has at most k.
func merge(best []Neighbour, similarities []float32, first, k int) []Neighbour {
	for j, similarity := range similarities {
		if len(best) == k && similarity <= best[k-1].Similarity {
			continue
		}
		// Behind all that are as similar: those have lower indices.
		at, _ := slices.BinarySearchFunc(best, similarity, func(n Neighbour, s float32) int {
			if n.Similarity >= s {
				return -1
			}
			return 1
		})
		if len(best) == k {
			best = best[:k-1]
		}
		best = slices.Insert(best, at, Neighbour{first + j, similarity})
	}
	return best
}
