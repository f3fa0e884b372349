package data

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"galaxy/internal/usage"
)

// A Split is one of the three parts a catalogue is divided into, or all of it.
type Split uint8

// The parts: models learn from Train, are chosen by Validation and judged once
// by Test. All is every galaxy, for a catalogue that no model has learnt from.
const (
	Train Split = iota
	Validation
	Test
	All

	splits = 3
	// noSplit is that of a galaxy that a catalogue with splits puts into none.
	noSplit Split = 255
)

var splitNames = []string{"train", "validation", "test", "all"}

// String returns "train", "validation", "test" or "all".
func (s Split) String() string {
	if int(s) < len(splitNames) {
		return splitNames[s]
	}
	return fmt.Sprintf("split(%d)", uint8(s))
}

// ParseSplit returns the split of the given name: train, validation (or val),
// test or all.
func ParseSplit(name string) (Split, error) {
	if name == "val" {
		return Validation, nil
	}
	for i, n := range splitNames {
		if name == n {
			return Split(i), nil
		}
	}
	return 0, fmt.Errorf("unknown split %q; expected train, validation, test or all", name)
}

// splitWords are the words for splits in a column of a table and in the names of folders.
var splitWords = map[string]Split{
	"train": Train, "training": Train,
	"validation": Validation, "valid": Validation, "val": Validation, "dev": Validation,
	"test": Test, "testing": Test,
}

const splitWordsExpected = "train, validation (or valid, val, dev) or test"

// splitNamed returns the split that a word of a catalogue means, in any case.
func splitNamed(word string) (s Split, ok bool) {
	s, ok = splitWords[strings.ToLower(strings.TrimSpace(word))]
	return s, ok
}

// SplitOf returns the part a galaxy belongs to: train with a chance of 80 %,
// validation and test with 10 % each. It depends on nothing but the id and the
// seed, so a galaxy never moves when others are added or dropped, and test
// galaxies stay unseen in every cache of the same split seed, for ever:
//
//	bucket = ⌊10·place / 2⁶⁴⌋, place = mix(mix(seed) XOR n)   0–7 train, 8 validation, 9 test
//
// where n is the id's value if it is an integer (ID.Integer), otherwise the xxh3 of its text,
// and mix is one step of SplitMix64 (Steele, Lea & Flood 2014).
func SplitOf(id ID, seed int64) Split { return defaultShares.split(place(id, seed)) }

// place returns a number that is uniform over all uint64, the place of an id among those of a seed.
func place(id ID, seed int64) uint64 {
	n := xxh3.HashString(string(id))
	if i, ok := id.Integer(); ok {
		n = uint64(i)
	}
	return mix(mix(uint64(seed)) ^ n)
}

// Shares are the sizes of the train, validation and test splits, in millionths of the catalogue.
// They sum to 1,000,000, and train has a share. The zero value stands for 80 %, 10 % and 10 %.
type Shares [splits]int64

// million is the sum of Shares, which has four decimals of a per cent.
const million = 1_000_000

var defaultShares = Shares{800_000, 100_000, 100_000}

// ParseShares reads shares in per cent, "70/15/15", or as fractions, "0.7/0.15/0.15".
func ParseShares(text string) (Shares, error) {
	fail := func(why string) (Shares, error) {
		return Shares{}, fmt.Errorf("%q: %s; expected the shares of train, validation and test in per cent, such as 70/15/15, or as fractions, such as 0.7/0.15/0.15", clip(text), why)
	}
	parts := strings.Split(text, "/")
	if len(parts) != splits {
		return fail(usage.Count(len(parts), "number"))
	}
	var values [splits]float64
	sum := 0.0
	for i, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !(v >= 0 && v <= 100) { // written so that a NaN fails
			return fail(fmt.Sprintf("%q is no share", clip(part)))
		}
		values[i] = v
		sum += v
	}
	for _, unit := range []float64{million / 100, million} { // a per cent, and the whole
		var s Shares
		exact := true
		for i, v := range values {
			s[i] = int64(math.Round(v * unit))
			exact = exact && math.Abs(v*unit-float64(s[i])) < 1e-3
		}
		if !exact || s == (Shares{}) || s.Validate() != nil {
			continue
		}
		return s, nil
	}
	switch {
	case values[Train] == 0:
		return fail("nothing is left for train")
	case math.Abs(sum-100) < 1e-3 || math.Abs(sum-1) < 1e-5:
		return fail("the shares have more than four decimals of a per cent")
	}
	return fail(fmt.Sprintf("the sum is %.6g, not 100 or 1", sum))
}

// Validate returns an error unless the shares are the zero value or sum to 1,000,000, none of them
// negative and train's above 0.
func (s Shares) Validate() error {
	if s != (Shares{}) && (s[Train] <= 0 || s[Validation] < 0 || s[Test] < 0 || s[Train]+s[Validation]+s[Test] != million) {
		return fmt.Errorf("the shares are %v: expected a sum of %d and some for train", [splits]int64(s), million)
	}
	return nil
}

// String returns the shares in per cent, as ParseShares reads them.
func (s Shares) String() string {
	var parts []string
	for _, v := range s.filled() {
		parts = append(parts, strconv.FormatFloat(float64(v)/(million/100), 'f', -1, 64))
	}
	return strings.Join(parts, "/")
}

// MarshalText writes String.
func (s Shares) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseShares reads.
func (s *Shares) UnmarshalText(text []byte) (err error) {
	*s, err = ParseShares(string(text))
	return err
}

func (s Shares) filled() Shares {
	if s == (Shares{}) {
		return defaultShares
	}
	return s
}

// split returns the split of the galaxy at a place: the first of the shares of all places is train's, and so on.
func (s Shares) split(place uint64) Split {
	s = s.filled()
	at, _ := bits.Mul64(place, million)
	switch {
	case int64(at) < s[Train]:
		return Train
	case int64(at) < s[Train]+s[Validation]:
		return Validation
	}
	return Test
}

// of returns how many of n galaxies each split gets: its exact share rounded down or up, so that the sum is
// n. What is left after rounding down goes to the largest remainders (Hamilton's method); of
// equal ones to train and then to validation, or to test first if testFirst.
func (s Shares) of(n int, testFirst bool) (counts [splits]int) {
	order := []Split{Train, Validation, Test}
	if testFirst {
		order = []Split{Train, Test, Validation}
	}
	left := n
	var remainder [splits]uint64
	for i, share := range s.filled() {
		// n · share needs more than 64 bits only above 10¹³ galaxies.
		exact := uint64(n) * uint64(share)
		counts[i], remainder[i] = int(exact/million), exact%million
		left -= counts[i]
	}
	slices.SortStableFunc(order, func(a, b Split) int { return cmp.Compare(remainder[b], remainder[a]) })
	for _, split := range order[:left] {
		counts[split]++
	}
	return counts
}

// A SplitRule says which galaxies of a cache are for training, validation and test. The zero value is
// SplitOf for every galaxy. Of Stratify and Group at most one is set. If Column or Folders is set, the other
// fields divide the galaxies that the catalogue has for training, and do so only if Shares is set: those of
// a catalogue without a validation split, for example, by 90/10/0.
type SplitRule struct {
	// Column is the column of the labels with each galaxy's split in words: train, validation (or valid,
	// val, dev) or test, in any case. Galaxies with an empty cell are left out.
	Column string `json:"column,omitzero"`
	// Folders is true if the images are in folders of these names. Prepare sets it.
	Folders bool `json:"folders,omitzero"`
	// Shares are the sizes of the splits.
	Shares Shares `json:"shares,omitzero"`
	// Stratify gives each class its shares, rounded to whole galaxies. Which galaxies of a class are
	// in which split depends on their ids and the split seed, and on which others there are.
	Stratify bool `json:"stratify,omitzero"`
	// Group is the column of the labels whose value decides instead of the id, so that all galaxies with
	// one value are in one split. A galaxy with an empty cell is a group of its own.
	Group string `json:"group,omitzero"`
}

// String describes the rule without the split seed, after "a split by": "ids, 80/10/10", "the column fold".
func (r SplitRule) String() string {
	text := "ids"
	switch {
	case r.Group != "":
		text = "groups of " + r.Group
	case r.Stratify:
		text = "ids within each class"
	}
	text += ", " + r.Shares.String()
	if !r.given() {
		return text
	}
	by := "the folders"
	if r.Column != "" {
		by = "the words in the column " + r.Column
	}
	if r.Shares == (Shares{}) {
		return by
	}
	return by + ", whose train galaxies are split by " + text
}

// given reports whether the catalogue has splits.
func (r SplitRule) given() bool { return r.Column != "" || r.Folders }

// validate checks a rule, and that it goes with a split seed.
func (r SplitRule) validate(seed int64) error {
	switch {
	case r.Stratify && r.Group != "":
		return usage.Errorf("{stratify} and {split_by_group} together: the groups decide how many galaxies of a class are in a split; give one of the two")
	case r.given() && r.Shares == (Shares{}) && (r.Stratify || r.Group != "" || seed != 0):
		return usage.Errorf("{stratify}, {split_by_group} and {split_seed} have no effect, because %v decide on the splits; leave them out, or divide its train galaxies with {split}", r)
	}
	return r.Shares.Validate()
}

// normal returns the rule in the form that a manifest has: equal splits have equal rules.
func (r SplitRule) normal() SplitRule {
	if !r.given() && r.Shares == defaultShares {
		r.Shares = Shares{}
	}
	return r
}

// assign returns the split of every one of rows, by row of the catalogue.
func (r SplitRule) assign(c *Catalog, rows []int, seed int64) []Split {
	out := make([]Split, len(c.IDs))
	if r.given() {
		copy(out, c.splits)
		if r.Shares == (Shares{}) {
			return out
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(row int) bool { return out[row] != Train })
	}
	if r.Stratify {
		r.stratify(c, rows, seed, out)
		return out
	}
	for _, row := range rows {
		id := c.IDs[row]
		if r.Group != "" && c.groups[row] != "" {
			id = c.groups[row]
		}
		out[row] = r.Shares.split(place(id, seed))
	}
	return out
}

// stratify sets the split of rows in out: each class in the order of places, the first for train.
func (r SplitRule) stratify(c *Catalog, rows []int, seed int64, out []Split) {
	members := map[int][]int{}
	for _, row := range rows {
		class := c.Schema.ClassOf(c.Row(row))
		members[class] = append(members[class], row)
	}
	places := make([]uint64, len(c.IDs))
	for _, row := range rows {
		places[row] = place(c.IDs[row], seed)
	}
	for class, rows := range members {
		slices.SortFunc(rows, func(a, b int) int {
			return cmp.Or(cmp.Compare(places[a], places[b]), CompareIDs(c.IDs[a], c.IDs[b]))
		})
		// If many small classes had the same remainder, one of the two small splits would get all.
		testFirst := place(ID(c.Schema.ClassName(class)), seed)>>63 == 1
		for split, n := range r.Shares.of(len(rows), testFirst) {
			for _, row := range rows[:n] {
				out[row] = Split(split)
			}
			rows = rows[n:]
		}
	}
}

// golden is SplitMix64's increment, 2⁶⁴ divided by the golden ratio.
const golden = 0x9e3779b97f4a7c15

// mix is the output SplitMix64 gives from state x. Splits and batch orders are
// promises kept across versions of Go and of this program, which is why they
// rest on these few lines and not on math/rand.
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// permutation fills order with a shuffle of 0 … len(order)-1 that depends only
// on seed and epoch: Fisher–Yates from the top, whose k-th draw (k = 0, 1, …)
// below m is ⌊m·mix(state + k·golden) / 2⁶⁴⌋ with state = mix(mix(seed) XOR
// epoch). The draw's bias, at most m/2⁶⁴, is far below what any number of
// epochs could show.
func permutation(order []int32, seed, epoch int64) {
	for i := range order {
		order[i] = int32(i)
	}
	state := mix(mix(uint64(seed)) ^ uint64(epoch))
	for i := len(order) - 1; i > 0; i-- {
		j, _ := bits.Mul64(mix(state), uint64(i+1))
		order[i], order[j] = order[j], order[i]
		state += golden
	}
}
