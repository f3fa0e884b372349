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

// A Search finds the most similar members of a set that is given part by part. It is not safe for concurrent use.
type Search struct {
	width, k              int
	units                 []float32 // queries of length 1
	members, similarities []float32 // a block
	count                 int       // of the members so far
	found                 [][]Neighbour
}

// NewSearch returns a Search for Q ≥ 0 queries, float32 [Q, width] in row-major order, width ≥ 1, among no members yet. k ≥ 1 is how
// many to find for each. A value that is not finite is an error.
func NewSearch(queries []float32, width, k int) (*Search, error) {
	if width < 1 || len(queries)%width != 0 {
		return nil, fmt.Errorf("nearest: %d values of queries: expected a multiple of the %d features", len(queries), width)
	}
	if k < 1 {
		return nil, fmt.Errorf("nearest: k is %d: expected 1 or more", k)
	}
	s := &Search{width: width, k: k, units: slices.Clone(queries), found: make([][]Neighbour, len(queries)/width)}
	if err := normalise(s.units, width); err != nil {
		return nil, fmt.Errorf("nearest: queries: %w", err)
	}
	s.members, s.similarities = make([]float32, 0, memberBlock*width), make([]float32, min(queryBlock, len(s.found))*memberBlock)
	return s, nil
}

// Add compares the next members of the set, float32 [M, width], with every query. It does not keep them.
func (s *Search) Add(set []float32) error {
	if len(set)%s.width != 0 {
		return fmt.Errorf("nearest: %d values of the set: expected a multiple of the %d features", len(set), s.width)
	}
	for part := range slices.Chunk(set, memberBlock*s.width) {
		s.members = append(s.members[:0], part...)
		if err := normalise(s.members, s.width); err != nil {
			return fmt.Errorf("nearest: set, from row %d: %w", s.count, err)
		}
		m := len(s.members) / s.width
		for first := 0; first < len(s.found); first += queryBlock {
			q := min(queryBlock, len(s.found)-first)
			blas32.Gemm(blas.NoTrans, blas.Trans, 1,
				blas32.General{Rows: q, Cols: s.width, Stride: s.width, Data: s.units[first*s.width:][:q*s.width]},
				blas32.General{Rows: m, Cols: s.width, Stride: s.width, Data: s.members}, 0,
				blas32.General{Rows: q, Cols: m, Stride: m, Data: s.similarities})
			for i := range q {
				s.found[first+i] = merge(s.found[first+i], s.similarities[i*m:][:m], s.count, s.k)
			}
		}
		s.count += m
	}
	return nil
}

// Found returns for each query its k most similar members, or all if there are fewer, most similar first,
// and the lower index first of two equally similar ones. The next Add changes them.
func (s *Search) Found() [][]Neighbour { return s.found }

// Nearest returns what a Search finds for queries, float32 [Q, width], in a set, float32 [M, width], both in row-major order. The
// search is exact: it compares every query with every member, and needs memory for a copy of the queries and one
// block of the set.
func Nearest(queries, set []float32, width, k int) ([][]Neighbour, error) {
	s, err := NewSearch(queries, width, k)
	if err != nil {
		return nil, err
	}
	if err := s.Add(set); err != nil {
		return nil, err
	}
	return s.Found(), nil
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
