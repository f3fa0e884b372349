package objective

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"galaxy/data"
	"galaxy/focal"
)

// Head names what turns logits into probabilities.
type Head string

// The heads. See the package comment.
const (
	Answers Head = "answers"
	Tree    Head = "tree"
	Five    Head = "five"
)

// Loss names what a network is trained to make small.
type Loss string

// The losses. See the package comment.
const (
	Focal        Loss = "focal"
	CrossEntropy Loss = "crossentropy"
	MSE          Loss = "mse"
)

// Config is a head and a loss with their constants.
type Config struct {
	Head Head `json:"head"`
	Loss Loss `json:"loss"`
	// Alpha and Gamma are focal loss's; both 0 with the others.
	Alpha float64 `json:"alpha,omitempty"`
	Gamma float64 `json:"gamma,omitempty"`
	// Weights are of the 37 columns (answers), the 11 questions (tree) or the
	// five classes, each above 0; none weighs all alike.
	Weights []float64 `json:"weights,omitempty"`
	// Smoothing is the share of the label that is spread evenly, in [0, 1); 0 is
	// none.
	Smoothing float64 `json:"label_smoothing,omitempty"`
}

// Validate says what is wrong with a field, or why fields do not go together.
func (c Config) Validate() error {
	weights := 0
	switch c.Head {
	case Answers:
		weights = data.Answers
	case Tree:
		weights = data.Questions
	case Five:
		weights = data.CleanClasses
	default:
		return fmt.Errorf("head %q: expected %s, %s or %s", c.Head, Answers, Tree, Five)
	}
	var errs []error
	switch c.Loss {
	case Focal:
		if c.Head != Answers {
			errs = append(errs, fmt.Errorf("focal loss with the %s head: its way back to vote fractions is one of independent answers, "+
				"and inside a softmax it would not be right; use --head answers, or --loss crossentropy or mse", c.Head))
		}
		errs = append(errs, c.focal().Validate())
	case CrossEntropy, MSE:
		if c.Alpha != 0 || c.Gamma != 0 {
			errs = append(errs, fmt.Errorf("alpha %v and gamma %v with the loss %s: they are constants of focal loss", c.Alpha, c.Gamma, c.Loss))
		}
	default:
		errs = append(errs, fmt.Errorf("loss %q: expected %s, %s or %s", c.Loss, Focal, CrossEntropy, MSE))
	}
	if n := len(c.Weights); n != 0 && n != weights {
		errs = append(errs, fmt.Errorf("%d class weights: the %s head takes %d (%s), or none", n, c.Head, weights, c.weighted()))
	}
	for _, w := range c.Weights {
		if !(w > 0) || math.IsInf(w, 0) {
			errs = append(errs, fmt.Errorf("class weight %v: expected a number above 0", w))
		}
	}
	switch {
	case !(c.Smoothing >= 0 && c.Smoothing < 1):
		errs = append(errs, fmt.Errorf("label smoothing %v: expected 0 ≤ share < 1", c.Smoothing))
	case c.Smoothing > 0 && c.Loss == MSE:
		errs = append(errs, errors.New("label smoothing with mse: it keeps logits from growing without end, which mse does not ask of them; leave it out, or use crossentropy"))
	}
	return errors.Join(errs...)
}

// weighted says what the head's weights are of.
func (c Config) weighted() string {
	switch c.Head {
	case Tree:
		return "one a question"
	case Five:
		return strings.Join(data.Classes.Names(), ", ")
	default:
		return "one a column"
	}
}

func (c Config) focal() focal.Params {
	if c.Loss != Focal {
		return focal.Params{Alpha: 0.5} // half of cross-entropy
	}
	return focal.Params{Alpha: c.Alpha, Gamma: c.Gamma}
}

// String is the head, the loss and the constants that are on.
func (c Config) String() string {
	text := fmt.Sprintf("%s head, %s", c.Head, c.Loss)
	if c.Loss == Focal {
		text += fmt.Sprintf(" (alpha %v, gamma %v)", c.Alpha, c.Gamma)
	}
	if len(c.Weights) > 0 {
		text += fmt.Sprintf(", weights %.3g", c.Weights)
	}
	if c.Smoothing > 0 {
		text += fmt.Sprintf(", labels smoothed by %v", c.Smoothing)
	}
	return text
}

// Target is what a network of this head learns.
func (c Config) Target() data.Target {
	if c.Head == Five {
		return data.Classes
	}
	return data.Fractions
}

// Objective is a Config that is known to make sense. Its methods Loss and
// Posterior build graphs; LossOf, PosteriorOf and LogitsFor are their twins in float64.
type Objective struct {
	config  Config
	groups  []group
	weights []float64 // of the columns; of the classes, for the five; nil for none
}

// group is a run of columns of which every volunteer picks one. With the answers
// head every column is one by itself.
type group struct {
	first, count int
	parent       int // column of an earlier group, or data.Root
}

// New checks c.
func New(c Config) (*Objective, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := &Objective{config: c, weights: c.Weights}
	switch c.Head {
	case Answers:
		for i := range data.Answers {
			o.groups = append(o.groups, group{i, 1, data.Root})
		}
	case Tree:
		for _, q := range data.Tree() {
			o.groups = append(o.groups, group{q.First, len(q.Answers), q.Parent})
		}
		if c.Weights != nil {
			o.weights = nil
			for i, q := range o.groups {
				o.weights = append(o.weights, slices.Repeat(c.Weights[i:i+1], q.count)...)
			}
		}
	case Five:
		o.groups = []group{{0, data.CleanClasses, data.Root}}
	}
	return o, nil
}

// Config is what o was made of.
func (o *Objective) Config() Config { return o.config }

// Outputs is the number of logits and of probabilities.
func (o *Objective) Outputs() int { return o.config.Target().Width() }

// BalancedWeights are weights of classes by which each of them counts as much as
// any other: inversely proportional to counts, with a mean of 1 over the
// examples. A class without examples is an error.
func BalancedWeights(counts []int) ([]float64, error) {
	total := 0
	for _, n := range counts {
		total += n
	}
	weights := make([]float64, len(counts))
	for i, n := range counts {
		if n == 0 {
			return nil, fmt.Errorf("balanced class weights: no training example is %v: give weights by hand, or prepare a cache of more galaxies", data.Classes.Names()[i])
		}
		weights[i] = float64(total) / float64(len(counts)*n)
	}
	return weights, nil
}

// LossOf returns the loss of one example in float64: logits and labels have
// Outputs values, labels in [0, 1].
func (o *Objective) LossOf(logits, labels []float32) float64 {
	total := 0.0
	smooth := o.smooth(float64s(labels))
	if o.config.Head == Answers {
		p := o.config.focal()
		for j, y := range smooth {
			loss := 0.0
			switch x := float64(logits[j]); o.config.Loss {
			case Focal:
				loss = p.LossAt(x, y)
			case CrossEntropy:
				loss = 2 * p.LossAt(x, y)
			case MSE:
				loss = square(1/(1+math.Exp(-x)) - y)
			}
			total += o.weight(j) * loss
		}
		return total / float64(len(labels))
	}
	products := make([]float64, len(labels))
	for _, g := range o.groups {
		share := 1.0
		if g.parent != data.Root {
			share = products[g.parent]
		}
		x := logits[g.first : g.first+g.count]
		logSum := logSumExp(x)
		for k, v := range x {
			j := g.first + k
			logQ := float64(v) - logSum
			products[j] = share * math.Exp(logQ)
			loss := square(products[j] - smooth[j])
			if o.config.Loss == CrossEntropy {
				loss = 0 // and not 0·∞
				if smooth[j] != 0 {
					loss = -smooth[j] * logQ
				}
			}
			if o.config.Head == Tree {
				loss *= o.weight(j)
			}
			total += loss
		}
	}
	if o.config.Head == Five {
		weight := 0.0
		for j, y := range labels {
			weight += o.weight(j) * float64(y)
		}
		total *= weight
	}
	return total / float64(len(labels))
}

// PosteriorOf returns the probabilities that the logits of one example stand for
// after training with Loss, worked out in float64: both have Outputs values.
func (o *Objective) PosteriorOf(logits []float32) []float32 {
	out := make([]float32, len(logits))
	products := make([]float64, len(logits))
	for _, g := range o.groups {
		x, p := logits[g.first:g.first+g.count], products[g.first:g.first+g.count]
		if g.count == 1 {
			p[0] = o.config.focal().PosteriorAt(float64(x[0]))
		} else {
			logSum := logSumExp(x)
			for k, v := range x {
				p[k] = math.Exp(float64(v) - logSum)
			}
		}
		if smoothing := o.config.Smoothing; smoothing > 0 {
			sum := 0.0
			for k := range p {
				p[k] = max(0, p[k]-smoothing*g.even())
				sum += p[k]
			}
			if g.count == 1 {
				sum = 1 - smoothing
			}
			for k := range p {
				p[k] = min(1, p[k]/sum)
			}
		}
		for k := range p {
			if g.parent != data.Root {
				p[k] *= products[g.parent]
			}
			out[g.first+k] = float32(p[k])
		}
	}
	return out
}

// LogitsFor returns the logits at which the mean loss over examples is smallest
// whose labels have the given means, all inside (0, 1).
func (o *Objective) LogitsFor(means []float64) []float64 {
	if o.config.Head == Five { // an example weighs as its class
		sum := 0.0
		weighted := make([]float64, len(means))
		for j, y := range means {
			weighted[j] = o.weight(j) * y
			sum += weighted[j]
		}
		for j := range weighted {
			weighted[j] /= sum
		}
		means = weighted
	}
	logits := o.smooth(means)
	for j, y := range logits {
		if o.config.Head == Answers {
			logits[j] = o.config.focal().LogitFor(y)
		} else {
			logits[j] = math.Log(y)
		}
	}
	return logits
}

// smooth returns the labels that the loss is taken of.
func (o *Objective) smooth(labels []float64) []float64 {
	smooth := slices.Clone(labels)
	if o.config.Smoothing == 0 {
		return smooth
	}
	for _, g := range o.groups {
		share := 1.0
		if g.parent != data.Root {
			share = labels[g.parent]
		}
		for j := g.first; j < g.first+g.count; j++ {
			smooth[j] = (1-o.config.Smoothing)*labels[j] + o.config.Smoothing*share*g.even()
		}
	}
	return smooth
}

// even is the share of an answer when nobody knows better.
func (g group) even() float64 { return 1 / float64(max(2, g.count)) } // alone, an answer is yes or no

func (o *Objective) weight(j int) float64 {
	if o.weights == nil {
		return 1
	}
	return o.weights[j]
}

func float64s(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func square(x float64) float64 { return x * x }

// logSumExp returns log Σ exp(x).
func logSumExp(x []float32) float64 {
	largest, sum := float64(slices.Max(x)), 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - largest)
	}
	return largest + math.Log(sum)
}
