package objective

import (
	"maps"
	"slices"
	"strings"

	"galaxy/labels"
)

// Head names how logits become probabilities.
type Head string

// The heads. See the package comment.
const (
	Independent Head = "answers"
	Tree        Head = "tree"
	Classes     Head = "classes"
)

// formerHeads are former names of heads, which files and flags may still have.
var formerHeads = map[string]Head{"five": Classes}

// UnmarshalText reads a head from a flag or a file, by its name or a former one. Config.Validate
// reports a name that no head has.
func (h *Head) UnmarshalText(text []byte) error {
	*h = Head(text)
	if now, ok := formerHeads[string(text)]; ok {
		*h = now
	}
	return nil
}

// A headRow describes a head. A new head is a row of the table below: validation and tests
// cover every row.
type headRow struct {
	// about is a few words for the help text.
	about string
	// byClass is true for a head that predicts the classes of a schema, false for its vote
	// fractions.
	byClass bool
	// groups returns the predicted columns in order, each group after its parents. If each
	// group has one column, the head is independent and uses the binary form of a loss;
	// otherwise it uses the categorical form.
	groups func(target *labels.Schema) []group
	// weights names what the class weights apply to: each group or, if byClass, each class;
	// an example then has the weight of its class.
	weights func(target *labels.Schema) string
	// loss is the default loss for fractions and classes.
	loss Loss
}

// A group is consecutive columns of which every volunteer picks one, or a single column.
type group struct {
	first, count int
	parents      []int // columns of earlier groups; the group's columns sum to their sum, or to 1 without parents
}

var heads = map[Head]headRow{
	Independent: {
		about:   "independent columns",
		groups:  singles,
		weights: each("one per column"),
		loss:    Focal,
	},
	Tree: {
		about:   "satisfies the sum rules by construction",
		groups:  questions,
		weights: each("one per question"),
		loss:    CrossEntropy,
	},
	Classes: {
		about:   "the schema's classes",
		byClass: true,
		groups:  questions,
		weights: func(target *labels.Schema) string { return strings.Join(target.Columns(), ", ") },
		loss:    CrossEntropy,
	},
}

// Heads returns the names of the heads in alphabetical order.
func Heads() []Head { return slices.Sorted(maps.Keys(heads)) }

// About returns a few words for the help text; "" if there is no such head.
func (h Head) About() string { return heads[h].about }

// DefaultHead returns the head of a run that does not name one: Tree for a schema of counts, Classes
// for one of plain classes, Independent for other fractions.
func DefaultHead(schema *labels.Schema) Head {
	switch {
	case schema.Values() == labels.Counts:
		return Tree
	case schema.OfClasses():
		return Classes
	}
	return Independent
}

// DefaultLoss returns the loss of a run that does not name one.
func (h Head) DefaultLoss(schema *labels.Schema) Loss {
	if h.Target(schema).Values() == labels.Counts {
		return Dirichlet
	}
	return heads[h].loss
}

// Target returns the schema of the labels that the head learns: schema or its classes. The network
// predicts the same columns, for counts as fractions (labels.Schema.Predicted).
func (h Head) Target(schema *labels.Schema) *labels.Schema {
	if heads[h].byClass {
		return schema.Classes()
	}
	return schema
}

// ClassWeights returns the number of class weights that the head takes; 0 if there is no such head.
func (h Head) ClassWeights(schema *labels.Schema) int {
	row, ok := heads[h]
	switch target := h.Target(schema); {
	case !ok:
		return 0
	case row.byClass:
		return target.Width()
	default:
		return len(row.groups(target))
	}
}

func singles(target *labels.Schema) []group {
	var groups []group
	for i := range target.Width() {
		groups = append(groups, group{first: i, count: 1})
	}
	return groups
}

func questions(target *labels.Schema) []group {
	var groups []group
	for _, q := range target.Questions() {
		groups = append(groups, group{q.First, len(q.Answers), q.Parents()})
	}
	return groups
}

func each(text string) func(*labels.Schema) string {
	return func(*labels.Schema) string { return text }
}

// independent reports whether every group is a single column.
func independent(groups []group) bool {
	return !slices.ContainsFunc(groups, func(g group) bool { return g.count > 1 })
}
