package objective

import (
	"fmt"
	"maps"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"

	"galaxy/focal"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// Loss names what training minimizes.
type Loss string

// A lossRow describes a loss. Each loss registers its row in its own file. A new loss needs
// nothing else: validation, flags and tests cover every row.
type lossRow struct {
	// constants lists the loss's constants.
	constants []Constant
	// binary is the loss of columns that are independent of each other. It may read
	// only the constants of c.
	binary func(c Config) binary
	// categorical is the loss of columns of which every volunteer picks one.
	categorical func(c Config) categorical
	// votes is the loss of counts of votes for such columns.
	votes func(c Config) likelihood
	// A form that the loss does not have is nil; then lacks gives the reason.
	lacks string
	// noSmoothing is the reason that labels cannot be smoothed; "" if they can.
	noSmoothing string
}

// A binary is a loss of independent columns, each of them the answer to a yes-or-no question.
// focal.Params is one. Labels are fractions in [0, 1].
type binary interface {
	// Elements adds the loss of each element to the graph: float32, the shape of logits and
	// labels, both float32.
	Elements(s *op.Scope, logits, labels tf.Output) tf.Output
	// Posterior adds the fractions that logits represent after training, float32 of the same
	// shape.
	Posterior(s *op.Scope, logits tf.Output) tf.Output
	// LossAt and PosteriorAt compute the same for one element, in float64.
	LossAt(logit, label float64) float64
	PosteriorAt(logit float64) float64
	// LogitFor is the inverse of PosteriorAt: the logit that minimizes the loss for a
	// label. It need be finite only inside (0, 1).
	LogitFor(label float64) float64
}

// has reports whether the loss has the form for labels of target, which is predicted in groups.
func (row lossRow) has(target *labels.Schema, groups []group) bool {
	switch {
	case target.Values() == labels.Counts:
		return row.votes != nil
	case independent(groups):
		return row.binary != nil
	}
	return row.categorical != nil
}

// A categorical is a loss of columns that are answers to questions: every volunteer who is asked
// a question picks one. Labels are fractions.
type categorical interface {
	ofQuestion
	// Elements adds the loss of each element to the graph: float32 [N, Outputs], as labels.
	Elements(s *op.Scope, x outputs, labels tf.Output) tf.Output
	// LossAt computes the same for one element, in float64.
	LossAt(x output, label float64) float64
}

// A likelihood is a loss of counts of votes: the negative logarithm of the probability of a
// question's votes. The objective adds the number of orders in which volunteers may give them
// (votes.LogOrders), which does not depend on the network.
type likelihood interface {
	ofQuestion
	// Log adds the logarithm of the probability of the votes to the graph: float64 [N, 1], of
	// logits and votes, both float64 [N, answers]. It is exactly 0 without votes, and so is its
	// gradient, which may be multiplied by a positive factor.
	Log(s *op.Scope, logits, votes tf.Output) tf.Output
	// LogOf computes the same in float64.
	LogOf(logits, votes []float64) float64
	// Spread returns the spread of the votes of one question (votes.Distribution).
	Spread(logits []float64) float64
}

// An ofQuestion turns the logits of one question into fractions and back.
type ofQuestion interface {
	// Posterior adds the fractions of those asked one question, float32 [N, answers], that its
	// logits represent after training. They sum to 1.
	Posterior(s *op.Scope, logits tf.Output) tf.Output
	// PosteriorOf computes the same for one example, in float64.
	PosteriorOf(logits []float64) []float64
	// LogitsFor is the inverse of PosteriorOf: logits that minimize the loss for the labels
	// of one question, which may sum to less than 1. For counts the labels are concentrations, and
	// the mean loss over votes drawn with them is minimized. It need be finite only if all labels
	// are above 0.
	LogitsFor(labels []float64) []float64
}

// outputs computes values from the logits of a batch, for a categorical loss. Each method adds
// float32 [N, Outputs] to the graph.
type outputs struct {
	objective *Objective
	logits    tf.Output
}

// logFractions returns the logarithm of the fraction of those asked the question.
func (x outputs) logFractions(s *op.Scope) tf.Output {
	return x.objective.perGroup(s, x.logits, func(s *op.Scope, ofGroup tf.Output, _ group) tf.Output {
		return op.LogSoftmax(s, ofGroup)
	})
}

// probabilities returns the product of the fractions down to the answer: the fraction of all
// volunteers.
func (x outputs) probabilities(s *op.Scope) tf.Output {
	return x.objective.products(s, x.logits, func(s *op.Scope, ofGroup tf.Output, _ group) tf.Output {
		return op.Softmax(s, ofGroup)
	})
}

// An output is one element of outputs, in float64.
type output struct {
	logFraction, probability float64
}

// A Constant is a constant of a loss.
type Constant struct {
	// Name is the key in config.json and, with - for _, the flag. It is unique among all
	// losses: a shared name would have two defaults.
	Name string
	// Loss is the loss it belongs to.
	Loss Loss
	// Usage is a few words for the help text.
	Usage string
	// Default is the usual value in the literature.
	Default float64
	// Low and High are the ends of the range, which excludes them if Open is set.
	Low, High float64
	Open      bool
}

// validate reports a value outside the range.
func (k Constant) validate(value float64) error {
	inside, ends := value >= k.Low && value <= k.High, "from %v to %v"
	if k.Open {
		inside, ends = value > k.Low && value < k.High, "above %v and below %v"
	}
	if !inside {
		return &usage.Field{Name: k.Name, Got: value, Expected: fmt.Sprintf("a number "+ends+", the constant of %s loss", k.Low, k.High, k.Loss)}
	}
	return nil
}

var losses = map[Loss]lossRow{}

// register adds a loss to the table. A duplicate name of a loss or constant is a programming
// error, which every test of the package shows.
func register(name Loss, row lossRow) {
	if _, taken := losses[name]; taken {
		panic("objective: two losses " + name)
	}
	for i, k := range row.constants {
		for _, other := range Constants() {
			if k.Name == other.Name {
				panic("objective: " + k.Name + " is a constant of " + string(other.Loss) + " already")
			}
		}
		row.constants[i].Loss = name
	}
	losses[name] = row
}

// Losses returns the names of the losses in alphabetical order.
func Losses() []Loss { return slices.Sorted(maps.Keys(losses)) }

// Constants returns the constants of all losses, in the order of Losses.
func Constants() []Constant {
	var all []Constant
	for _, l := range Losses() {
		all = append(all, losses[l].constants...)
	}
	return all
}

// sigmoid is half of the binary cross-entropy, whose posterior is the sigmoid.
var sigmoid = focal.Params{Alpha: 0.5}

// properBinary is embedded by binary losses whose minimum is at sigmoid = label.
type properBinary struct{}

func (properBinary) Posterior(s *op.Scope, logits tf.Output) tf.Output { return op.Sigmoid(s, logits) }
func (properBinary) PosteriorAt(logit float64) float64                 { return sigmoid.PosteriorAt(logit) }
func (properBinary) LogitFor(label float64) float64                    { return sigmoid.LogitFor(label) }

// properCategorical is embedded by categorical losses whose minimum is at softmax = labels.
type properCategorical struct{}

func (properCategorical) Posterior(s *op.Scope, logits tf.Output) tf.Output {
	return op.Softmax(s, logits)
}

func (properCategorical) PosteriorOf(logits []float64) []float64 {
	logSum := logSumExp(logits)
	p := make([]float64, len(logits))
	for k, x := range logits {
		p[k] = math.Exp(x - logSum)
	}
	return p
}

func (properCategorical) LogitsFor(labels []float64) []float64 {
	logits := make([]float64, len(labels))
	for k, y := range labels {
		logits[k] = math.Log(y)
	}
	return logits
}

// logSumExp returns log Σ exp(x).
func logSumExp(x []float64) float64 {
	largest, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - largest)
	}
	return largest + math.Log(sum)
}
