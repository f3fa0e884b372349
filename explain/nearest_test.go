package explain

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// nearestTwin compares every pair in float64 and sorts.
func nearestTwin(queries, set []float32, width, k int) (all [][]Neighbour) {
	length := func(row []float32) (sum float64) {
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		return math.Sqrt(sum)
	}
	for q := range slices.Chunk(queries, width) {
		var found []Neighbour
		for i := range len(set) / width {
			row, sum := set[i*width:][:width], 0.0
			for j := range row {
				sum += float64(q[j]) * float64(row[j])
			}
			if lengths := length(q) * length(row); lengths > 0 {
				sum /= lengths
			}
			found = append(found, Neighbour{i, float32(sum)})
		}
		slices.SortStableFunc(found, func(a, b Neighbour) int { return cmp.Compare(b.Similarity, a.Similarity) })
		all = append(all, found[:min(k, len(found))])
	}
	return all
}

func TestNearestAgainstTwin(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		width := rapid.IntRange(1, 70).Draw(r, "width")
		// Few values, and so many equal rows and rows of zeros.
		row := rapid.SliceOfN(rapid.SampledFrom([]float32{0, 0, 1, -1, 2}), width, width)
		rows := func(name string, most int) (all []float32) {
			for _, one := range rapid.SliceOfN(row, 0, most).Draw(r, name) {
				all = append(all, one...)
			}
			return all
		}
		queries, set := rows("queries", 5), rows("set", 30)
		k := rapid.IntRange(1, 40).Draw(r, "k")
		got, err := Nearest(queries, set, width, k)
		if err != nil {
			r.Fatal(err)
		}
		want := nearestTwin(queries, set, width, k)
		if len(got) != len(want) {
			r.Fatalf("%d lists for %d queries", len(got), len(want))
		}
		for q := range want {
			compareNeighbours(r, got[q], want[q])
			for i, n := range got[q] { // equal rows are equally similar, and in order
				for _, later := range got[q][i+1:] {
					same := slices.Equal(set[n.Index*width:][:width], set[later.Index*width:][:width])
					if same && (n.Similarity != later.Similarity || n.Index > later.Index) {
						r.Fatalf("query %d: equal rows %d and %d have similarities %v and %v", q, n.Index, later.Index, n.Similarity, later.Similarity)
					}
				}
			}
		}
	})
}

// compareNeighbours compares similarities at every rank, and members except where rounding may swap them.
func compareNeighbours(t rapid.TB, got, want []Neighbour) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d neighbours, expected %d", len(got), len(want))
	}
	for i := range want {
		if math.Abs(float64(got[i].Similarity-want[i].Similarity)) > 1e-5 {
			t.Fatalf("neighbour %d: %v, expected %v", i, got[i], want[i])
		}
	}
}

// More queries and members than a block holds.
func TestNearestInBlocks(t *testing.T) {
	t.Parallel()
	const width, n = 3, memberBlock + 10
	rng := rand.New(rand.NewPCG(1, 2))
	set := make([]float32, n*width)
	for i := range set {
		set[i] = float32(rng.NormFloat64())
	}
	copy(set[(n-1)*width:], set[:width]) // in another block
	queries := set[:(queryBlock+5)*width]
	got, err := Nearest(queries, set, width, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := nearestTwin(queries, set, width, 3)
	for q := range want {
		compareNeighbours(t, got[q], want[q])
		if got[q][0].Index != q {
			t.Errorf("query %d: nearest is %v, expected itself", q, got[q][0])
		}
	}
	if got[0][1].Index != n-1 || got[0][1].Similarity != got[0][0].Similarity {
		t.Errorf("copy in another block: %v", got[0])
	}
}

func TestNearestRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		queries, set []float32
		width, k     int
		want         string
	}{
		{[]float32{1}, []float32{1, 2}, 2, 1, "a multiple of the 2 features"},
		{[]float32{1, 2}, []float32{1}, 2, 1, "a multiple of the 2 features"},
		{nil, nil, 0, 1, "a multiple of the 0 features"},
		{[]float32{1}, []float32{1}, 1, 0, "k is 0"},
		{[]float32{1, nan}, []float32{1}, 1, 1, "queries: row 1 has"},
		{[]float32{1}, []float32{1, 1, inf}, 1, 1, "set, from row 0: row 2 has"},
	} {
		if _, err := Nearest(c.queries, c.set, c.width, c.k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: expected an error with %q", err, c.want)
		}
	}
}

func ExampleNearest() {
	set := []float32{1, 0, 3, 4, 0, 1, 6, 8} // four galaxies with two features each
	found, err := Nearest([]float32{0.3, 0.4}, set, 2, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range found[0] {
		fmt.Printf("galaxy %d: %.2f\n", n.Index, n.Similarity)
	}
	// Output:
	// galaxy 1: 1.00
	// galaxy 3: 1.00
	// galaxy 2: 0.80
}

func BenchmarkNearest(b *testing.B) {
	const width, queries, n = 512, 256, 16384
	rng := rand.New(rand.NewPCG(1, 2))
	set := make([]float32, n*width)
	for i := range set {
		set[i] = rng.Float32()
	}
	for b.Loop() {
		if _, err := Nearest(set[:queries*width], set, width, 6); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*queries*n*width*2/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// A set that is given in parts has the neighbours that it has as one.
func TestSearchInParts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const width = 3
		values := rapid.SliceOfN(rapid.SampledFrom([]float32{0, 1, -1, 2}), 6*width, 6*width).Draw(r, "set")
		queries, k := values[:2*width], rapid.IntRange(1, 8).Draw(r, "k")
		want, err := Nearest(queries, values, width, k)
		if err != nil {
			r.Fatal(err)
		}
		s, err := NewSearch(queries, width, k)
		if err != nil {
			r.Fatal(err)
		}
		for cut := rapid.IntRange(0, 6).Draw(r, "cut") * width; ; cut = len(values) {
			if err := s.Add(values[:cut]); err != nil {
				r.Fatal(err)
			}
			if values = values[cut:]; len(values) == 0 {
				break
			}
		}
		if !slices.EqualFunc(s.Found(), want, slices.Equal[[]Neighbour]) {
			r.Errorf("%v in parts, %v as one", s.Found(), want)
		}
	})
}
