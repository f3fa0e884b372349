package objective

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train/votes"
)

// Config is a head and a loss with their constants.
type Config struct {
	Head Head `json:"head"`
	Loss Loss `json:"loss"`
	// Alpha and Gamma are the constants of focal loss; 0 for other losses.
	Alpha float64 `json:"alpha,omitempty"`
	Gamma float64 `json:"gamma,omitempty"`
	// Constants holds the constants of the other losses, by Constant.Name; a missing one is
	// 0.
	Constants map[string]float64 `json:"constants,omitempty"`
	// Weights are the weights of the columns (independent), the questions (tree) or the
	// classes (classes), each above 0; nil is equal weights.
	Weights []float64 `json:"weights,omitempty"`
	// Smoothing is the fraction of the label that is spread evenly, in [0, 1); 0 is
	// none.
	Smoothing float64 `json:"label_smoothing,omitempty"`
}

// Default returns the loss with its default constants.
func Default(head Head, loss Loss) Config {
	c := Config{Head: head, Loss: loss}
	for _, k := range losses[loss].constants {
		c.SetConstant(k.Name, k.Default)
	}
	return c
}

// SetConstant sets the constant with that name (see Constants), of any loss. Copies of c do not
// change.
func (c *Config) SetConstant(name string, value float64) {
	switch name {
	case "alpha":
		c.Alpha = value
	case "gamma":
		c.Gamma = value
	default:
		given := map[string]float64{name: value}
		for other, v := range c.Constants {
			if other != name {
				given[other] = v
			}
		}
		c.Constants = given
	}
}

// Constant returns the constant with that name, 0 if it is not set.
func (c Config) Constant(name string) float64 { return c.given()[name] }

// given returns the constants that are set, by name.
func (c Config) given() map[string]float64 {
	given := map[string]float64{}
	maps.Copy(given, c.Constants)
	if c.Alpha != 0 {
		given["alpha"] = c.Alpha
	}
	if c.Gamma != 0 {
		given["gamma"] = c.Gamma
	}
	return given
}

// Validate checks each field, and that the fields fit together, for labels of a schema. Its errors
// are usage.Fields.
func (c Config) Validate(schema *labels.Schema) error {
	head, ok := heads[c.Head]
	if !ok {
		return &usage.Field{Name: "head", Got: c.Head, Expected: usage.OneOf(Heads())}
	}
	loss, ok := losses[c.Loss]
	if !ok {
		return &usage.Field{Name: "loss", Got: c.Loss, Expected: usage.OneOf(Losses())}
	}
	target := c.Head.Target(schema)
	if target.Width() == 0 {
		return &usage.Field{Name: "head", Got: c.Head, Expected: fmt.Sprintf("another head, because this one predicts classes, and the label schema %v has none", schema), Try: fmt.Sprintf("use {head=%s}", Independent)}
	}
	groups, counts := head.groups(target), target.Values() == labels.Counts
	if counts && independent(groups) {
		return &usage.Field{Name: "head", Got: c.Head, Expected: fmt.Sprintf("a head that predicts questions, because the labels of the schema %v are counts of votes: every volunteer gives one answer to a question", schema), Try: fmt.Sprintf("use {head=%s}", Tree)}
	}
	var errs []error
	if !loss.has(target, groups) {
		wrong := &usage.Field{
			Name: "loss", Got: c.Loss, Expected: fmt.Sprintf("another loss with {head:%s}: %s", c.Head, loss.lacks),
			Try: fmt.Sprintf("use {loss=%s}", c.Head.DefaultLoss(schema)),
		}
		if counts {
			wrong.Expected = fmt.Sprintf("another loss with labels that are counts of votes: %s", loss.lacks)
		}
		errs = append(errs, wrong)
	}
	errs = append(errs, c.validateConstants(loss.constants))
	if n, takes := len(c.Weights), c.Head.ClassWeights(schema); n != 0 && n != takes {
		errs = append(errs, &usage.Field{Name: "weights", Got: c.Weights, Expected: fmt.Sprintf("%d numbers with {head:%s} (%s), or none", takes, c.Head, head.weights(target))})
	}
	if slices.ContainsFunc(c.Weights, func(w float64) bool { return !(w > 0) || math.IsInf(w, 0) }) {
		errs = append(errs, &usage.Field{Name: "weights", Got: c.Weights, Expected: "numbers above 0"})
	}
	switch {
	case !(c.Smoothing >= 0 && c.Smoothing < 1):
		errs = append(errs, &usage.Field{Name: "label_smoothing", Got: c.Smoothing, Expected: "0 ≤ fraction < 1"})
	case c.Smoothing > 0 && counts:
		errs = append(errs, &usage.Field{Name: "label_smoothing", Got: c.Smoothing, Expected: "0 with labels that are counts of votes: how far few votes can be trusted is in their likelihood", Try: "leave it out"})
	case c.Smoothing > 0 && loss.noSmoothing != "":
		errs = append(errs, &usage.Field{Name: "label_smoothing", Got: c.Smoothing, Expected: fmt.Sprintf("0 with {loss:%s}: %s", c.Loss, loss.noSmoothing), Try: fmt.Sprintf("leave it out, or use {loss=%s}", CrossEntropy)})
	}
	return errors.Join(errs...)
}

// validateConstants reports constants that are out of range or belong to another loss.
func (c Config) validateConstants(takes []Constant) error {
	var errs []error
	given := c.given()
	for _, k := range takes {
		errs = append(errs, k.validate(given[k.Name]))
		delete(given, k.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		belongs := "it is of no loss"
		for _, k := range Constants() {
			if k.Name == name {
				belongs = fmt.Sprintf("it is a constant of %s loss", k.Loss)
			}
		}
		errs = append(errs, &usage.Field{Name: name, Got: given[name], Expected: fmt.Sprintf("none with {loss:%s}: %s", c.Loss, belongs)})
	}
	return errors.Join(errs...)
}

// String returns the head, the loss and the constants in use.
func (c Config) String() string {
	text := fmt.Sprintf("%s head, %s", c.Head, c.Loss)
	var constants []string
	for _, k := range losses[c.Loss].constants {
		constants = append(constants, fmt.Sprintf("%s %v", k.Name, c.Constant(k.Name)))
	}
	if constants != nil {
		text += " (" + strings.Join(constants, ", ") + ")"
	}
	if len(c.Weights) > 0 {
		text += fmt.Sprintf(", weights %.3g", c.Weights)
	}
	if c.Smoothing > 0 {
		text += fmt.Sprintf(", labels smoothed by %v", c.Smoothing)
	}
	return text
}

// Objective is a validated Config. Its methods Loss and Posterior build graphs; LossOf,
// PosteriorOf and LogitsFor compute the same in float64.
type Objective struct {
	config  Config
	head    headRow
	target  *labels.Schema
	groups  []group
	weights []float64 // of the columns, or of the classes (head.byClass); nil is equal weights
	// The form of the loss is one of these: binary for a head of independent columns, categorical
	// for a head with groups of several columns, likelihood for labels that are counts.
	binary      binary
	categorical categorical
	likelihood  likelihood
	ofQuestion  ofQuestion // categorical or likelihood
}

// New checks c, for labels of a schema.
func New(c Config, schema *labels.Schema) (*Objective, error) {
	if err := c.Validate(schema); err != nil {
		return nil, err
	}
	o := &Objective{config: c, head: heads[c.Head], target: c.Head.Target(schema), weights: c.Weights}
	o.groups = o.head.groups(o.target)
	switch loss := losses[c.Loss]; {
	case o.target.Values() == labels.Counts:
		o.likelihood = loss.votes(c)
		o.ofQuestion = o.likelihood
	case independent(o.groups):
		o.binary = loss.binary(c)
	default:
		o.categorical = loss.categorical(c)
		o.ofQuestion = o.categorical
	}
	if c.Weights != nil && !o.head.byClass {
		o.weights = nil
		for i, g := range o.groups {
			o.weights = append(o.weights, slices.Repeat(c.Weights[i:i+1], g.count)...)
		}
	}
	return o, nil
}

// Config returns the Config of o.
func (o *Objective) Config() Config { return o.config }

// Target returns the schema of the labels: fractions, counts or classes (see Head.Target).
func (o *Objective) Target() *labels.Schema { return o.target }

// Outputs returns the number of logits and of probabilities.
func (o *Objective) Outputs() int { return o.target.Width() }

// BalancedWeights returns class weights that make all classes count equally: n/(K·n_k) for the
// n_k of n examples that are of class k of K (King & Zeng 2001, "Logistic Regression in Rare
// Events Data"; scikit-learn's "balanced"). Their mean over the examples is 1. A class without
// examples is an error.
func BalancedWeights(classes *labels.Schema, counts []int) ([]float64, error) {
	total := 0
	for _, n := range counts {
		total += n
	}
	weights := make([]float64, len(counts))
	for i, n := range counts {
		if n == 0 {
			return nil, fmt.Errorf("balanced class weights: no training example is %v: give weights by hand, or prepare a cache of more galaxies", classes.Columns()[i])
		}
		weights[i] = float64(total) / float64(len(counts)*n)
	}
	return weights, nil
}

// Spread returns the spread of each question's votes (votes.Distribution), float64 [questions],
// that the logits of one example represent; nil if the labels are not counts.
func (o *Objective) Spread(logits []float32) []float64 {
	if o.likelihood == nil {
		return nil
	}
	var all []float64
	for _, g := range o.groups {
		all = append(all, o.likelihood.Spread(float64s(logits[g.first:g.first+g.count])))
	}
	return all
}

// LossOf returns the loss of one example in float64: logits and labels have
// Outputs values, labels in [0, 1] or counts.
func (o *Objective) LossOf(logits, labels []float32) float64 {
	total := 0.0
	if o.likelihood != nil {
		for _, g := range o.groups {
			x, k := logits[g.first:g.first+g.count], labels[g.first:g.first+g.count]
			total -= o.weight(g.first) * (o.likelihood.LogOf(float64s(x), float64s(k)) + votes.LogOrders(k))
		}
		return total
	}
	smooth := o.smooth(float64s(labels))
	if o.binary != nil {
		for j, y := range smooth {
			total += o.weight(j) * o.binary.LossAt(float64(logits[j]), y)
		}
		return total / float64(len(labels))
	}
	products := make([]float64, len(labels))
	for _, g := range o.groups {
		asked := g.asked(products)
		x := float64s(logits[g.first : g.first+g.count])
		logSum := logSumExp(x)
		for k, v := range x {
			j := g.first + k
			logQ := v - logSum
			products[j] = asked * math.Exp(logQ)
			loss := o.categorical.LossAt(output{logQ, products[j]}, smooth[j])
			if !o.head.byClass {
				loss *= o.weight(j)
			}
			total += loss
		}
	}
	if o.head.byClass {
		weight := 0.0
		for j, y := range labels {
			weight += o.weight(j) * float64(y)
		}
		total *= weight
	}
	return total / float64(len(labels))
}

// PosteriorOf returns the probabilities that the logits of one example represent
// after training with Loss, computed in float64: both have Outputs values.
func (o *Objective) PosteriorOf(logits []float32) []float32 {
	out := make([]float32, len(logits))
	products := make([]float64, len(logits))
	for _, g := range o.groups {
		x, p := float64s(logits[g.first:g.first+g.count]), products[g.first:g.first+g.count]
		if o.binary != nil {
			p[0] = o.binary.PosteriorAt(x[0])
		} else {
			copy(p, o.ofQuestion.PosteriorOf(x))
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
		asked := g.asked(products)
		for k := range p {
			p[k] *= asked
			out[g.first+k] = float32(p[k])
		}
	}
	return out
}

// LogitsFor returns the logits that minimize the mean loss over examples whose
// labels have the given means, all inside (0, 1). For counts means are concentrations, and
// the examples' votes are drawn with them.
func (o *Objective) LogitsFor(means []float64) []float64 {
	if o.head.byClass {
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
	for _, g := range o.groups {
		of := logits[g.first : g.first+g.count]
		if o.binary != nil {
			of[0] = o.binary.LogitFor(of[0])
		} else {
			copy(of, o.ofQuestion.LogitsFor(of))
		}
	}
	return logits
}

// smooth returns the labels after label smoothing.
func (o *Objective) smooth(labels []float64) []float64 {
	smooth := slices.Clone(labels)
	if o.config.Smoothing == 0 {
		return smooth
	}
	for _, g := range o.groups {
		asked := g.asked(labels)
		for j := g.first; j < g.first+g.count; j++ {
			smooth[j] = (1-o.config.Smoothing)*labels[j] + o.config.Smoothing*asked*g.even()
		}
	}
	return smooth
}

// asked returns the sum of the group's columns in a row: the sum of its parents, or 1.
func (g group) asked(row []float64) float64 {
	if len(g.parents) == 0 {
		return 1
	}
	sum := 0.0
	for _, column := range g.parents {
		sum += row[column]
	}
	return sum
}

// even returns the fraction of each answer if all are equally likely.
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
