package data

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// These values are a promise: a change here would move galaxies between train
// and test in caches that people have already reported figures on. They were
// computed by an independent implementation of the formulas in the comments.
func TestSplitOfGolden(t *testing.T) {
	for _, c := range splitGolden {
		if got := SplitOf(numbered(c.id), c.seed); got != c.want {
			t.Errorf("SplitOf(%d, %d) = %v, want %v", c.id, c.seed, got, c.want)
		}
	}
}

func TestPermutationGolden(t *testing.T) {
	for _, c := range permutationGolden {
		got := make([]int32, len(c.want))
		permutation(got, c.seed, c.epoch)
		if !slices.Equal(got, c.want) {
			t.Errorf("permutation(%d, %d) = %v, want %v", c.seed, c.epoch, got, c.want)
		}
	}
}

func TestSplitProportions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, first := rapid.Int64().Draw(t, "seed"), rapid.Int64Range(0, 1e9).Draw(t, "first")
		step := rapid.Int64Range(1, 1000).Draw(t, "step")
		const n = 20000
		var counts [splits]int
		for i := range int64(n) {
			counts[SplitOf(numbered(first+i*step), seed)]++
		}
		for s, share := range []float64{0.8, 0.1, 0.1} {
			// Six standard deviations: one false alarm in 10⁸ draws.
			if d := math.Abs(float64(counts[s]) - n*share); d > 6*math.Sqrt(n*share*(1-share)) {
				t.Errorf("%d of %d galaxies are in %v", counts[s], n, Split(s))
			}
		}
	})
}

// TestShares compares shares with SplitOf's formula, and with exact arithmetic.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := rapid.Uint64().Draw(t, "place")
		bucket, _ := bits.Mul64(place, 10)
		want := Train
		if bucket >= 8 {
			want = Split(bucket - 7)
		}
		if got := (Shares{}).split(place); got != want {
			t.Errorf("place %d is in %v; expected %v", place, got, want)
		}
		var s Shares
		s[Train] = rapid.Int64Range(1, million).Draw(t, "train")
		s[Validation] = rapid.Int64Range(0, million-s[Train]).Draw(t, "validation")
		s[Test] = million - s[Train] - s[Validation]
		if got, err := ParseShares(s.String()); err != nil || got != s {
			t.Errorf("%v is read as %v, %v", s, got, err)
		}
		at := new(big.Int).Mul(new(big.Int).SetUint64(place), big.NewInt(million))
		millionth := at.Rsh(at, 64).Int64()
		if got := s.split(place); millionth < s[Train] != (got == Train) || millionth >= million-s[Test] != (got == Test) {
			t.Errorf("millionth %d is in %v of %v", millionth, got, s)
		}
		n := rapid.IntRange(0, 1<<40).Draw(t, "n")
		counts, sum := s.of(n, rapid.Bool().Draw(t, "test first")), 0
		for split, got := range counts {
			sum += got
			if d := new(big.Rat).Sub(big.NewRat(int64(got), 1), new(big.Rat).Mul(big.NewRat(int64(n), 1), big.NewRat(s[split], million))); d.Abs(d).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Errorf("%v gives %v of %d", s, counts, n)
			}
		}
		if sum != n {
			t.Errorf("%v gives %v of %d", s, counts, n)
		}
	})
	for _, c := range []struct {
		n         int
		testFirst bool
		want      [splits]int
	}{
		{0, false, [splits]int{}}, {1, false, [splits]int{1}}, {3, false, [splits]int{3}},
		{4, false, [splits]int{3, 1}}, {4, true, [splits]int{3, 0, 1}}, {10, true, [splits]int{8, 1, 1}}, {19, false, [splits]int{15, 2, 2}},
	} {
		if got := (Shares{}).of(c.n, c.testFirst); got != c.want {
			t.Errorf("%d galaxies are split into %v; expected %v", c.n, got, c.want)
		}
	}
}

func TestParseShares(t *testing.T) {
	for text, want := range map[string]Shares{
		"80/10/10": defaultShares, "70/15/15": {700_000, 150_000, 150_000}, " 0.7 / 0.15/0.15": {700_000, 150_000, 150_000},
		"33.3/33.3/33.4": {333_000, 333_000, 334_000}, "100/0/0": {million}, "1/0/0": {million}, "99.9999/0.0001/0": {999_999, 1, 0}, "0.5/0.5/0": {500_000, 500_000, 0},
	} {
		if got, err := ParseShares(text); err != nil || got != want {
			t.Errorf("%q is read as %v, %v; expected %v", text, [splits]int64(got), err, want)
		}
	}
	for text, want := range map[string]string{
		"": "1 number", "80/20": "2 numbers", "70/15/15/0": "4 numbers", "a/b/c": `"a" is no share`, "NaN/50/50": "is no share", "-1/50/51": "is no share", "1e3/0/0": "is no share",
		"70/20/20": "the sum is 110, not 100 or 1", "7/1.5/1.5": "the sum is 10", "0/50/50": "nothing is left for train", "0/0/0": "nothing is left for train",
		"33.33333/33.33333/33.33334": "more than four decimals",
	} {
		_, err := ParseShares(text)
		wantError(t, err, want, "such as 70/15/15")
	}
}

func TestPermutationIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		seed, epoch := rapid.Int64().Draw(t, "seed"), rapid.Int64Range(0, 1<<40).Draw(t, "epoch")
		order := make([]int32, n)
		permutation(order, seed, epoch)
		sorted := slices.Sorted(slices.Values(order))
		for i, v := range sorted {
			if int(v) != i {
				t.Fatalf("not a permutation of 0…%d: %v", n-1, order)
			}
		}
		other := make([]int32, n)
		permutation(other, seed, epoch+1)
		if n > 30 && slices.Equal(order, other) {
			t.Errorf("epochs %d and %d have the same order", epoch, epoch+1)
		}
	})
}

// Every place must be equally likely for every example.
func TestPermutationIsFair(t *testing.T) {
	const n, epochs = 5, 20000
	var counts [n][n]float64
	order := make([]int32, n)
	for e := range int64(epochs) {
		permutation(order, 1, e)
		for place, i := range order {
			counts[i][place]++
		}
	}
	chi := 0.0
	for i := range n {
		for place := range n {
			d := counts[i][place] - epochs/n
			chi += d * d / (epochs / n)
		}
	}
	// 16 degrees of freedom: 45 is exceeded once in 7,000 fair shuffles, and
	// the seed is fixed.
	if chi > 45 {
		t.Errorf("chi squared is %.1f with 16 degrees of freedom: %v", chi, counts)
	}
}

func TestParseSplit(t *testing.T) {
	for _, s := range []Split{Train, Validation, Test, All} {
		if got, err := ParseSplit(s.String()); err != nil || got != s {
			t.Errorf("ParseSplit(%q) = %v, %v", s, got, err)
		}
	}
	if got, err := ParseSplit("val"); err != nil || got != Validation {
		t.Errorf("ParseSplit(val) = %v, %v", got, err)
	}
	_, err := ParseSplit("dev")
	wantError(t, err, `"dev"`, "train, validation, test or all")
	if got := Split(7).String(); got != "split(7)" {
		t.Errorf("Split(7) is %q", got)
	}
}
