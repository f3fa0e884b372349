package objective

import (
	"maps"
	"slices"
	"strings"

	"galaxy/data"
)

// Head names what turns logits into probabilities.
type Head string

// The heads. See the package comment.
const (
	Independent Head = "answers"
	Tree        Head = "tree"
	Five        Head = "five"
)

// A headRow is what there is to know about a head. A new head is a row of the table below:
// validation and tests go over it.
type headRow struct {
	// about is a few words for the help text.
	about string
	// target is what the head's columns are labels of.
	target data.Target
	// groups are the head's columns in their order, each group after that of its parent. A
	// head of groups of one column is independent, and takes the binary form of a loss; one
	// of groups of several takes the categorical form.
	groups func() []group
	// weights says what class weights are of. There is one for each group, or, where the
	// columns of the only group are classes, for each of these (byClass): an example then
	// weighs as its class.
	weights string
	byClass bool
	// loss is the one that is taken if none is named.
	loss Loss
}

// A group is a run of columns of which every volunteer picks one, or a column by itself.
type group struct {
	first, count int
	parent       int // column of an earlier group, or data.Root
}

var heads = map[Head]headRow{
	Independent: {
		about:   "37 independent columns",
		target:  data.Fractions,
		groups:  func() []group { return singles(data.Answers) },
		weights: "one per column",
		loss:    Focal,
	},
	Tree: {
		about:   "satisfies the sum rules by construction",
		target:  data.Fractions,
		groups:  questions,
		weights: "one per question",
		loss:    CrossEntropy,
	},
	Five: {
		about:   "the clean classes",
		target:  data.Classes,
		groups:  func() []group { return []group{{0, data.CleanClasses, data.Root}} },
		weights: strings.Join(data.Classes.Names(), ", "),
		byClass: true,
		loss:    CrossEntropy,
	},
}

// Heads returns the names of the heads in alphabetical order.
func Heads() []Head { return slices.Sorted(maps.Keys(heads)) }

// About returns a few words for the help text; "" if there is no such head.
func (h Head) About() string { return heads[h].about }

// DefaultLoss returns the loss of a run that names none.
func (h Head) DefaultLoss() Loss { return heads[h].loss }

// ClassWeights returns the number of class weights that the head takes; 0 if there is no such head.
func (h Head) ClassWeights() int {
	row, ok := heads[h]
	if !ok {
		return 0
	}
	groups := row.groups()
	if row.byClass {
		return groups[0].count
	}
	return len(groups)
}

func singles(columns int) []group {
	var groups []group
	for i := range columns {
		groups = append(groups, group{i, 1, data.Root})
	}
	return groups
}

func questions() []group {
	var groups []group
	for _, q := range data.Tree() {
		groups = append(groups, group{q.First, len(q.Answers), q.Parent})
	}
	return groups
}

// independent reports whether every group is a column by itself.
func independent(groups []group) bool {
	return !slices.ContainsFunc(groups, func(g group) bool { return g.count > 1 })
}
