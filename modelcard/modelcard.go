// Package modelcard writes the model card of a run: what the model is for, what it was trained on, how good it
// is, where it fails, and under which licence it may be used (Mitchell et al. 2019, arXiv 1810.03993).
//
//	text, err := modelcard.Card{Name: "run", Config: cfg, Step: step}.README()   // with Hugging Face's YAML
//	sections := card.Sections()                                                   // for a page
package modelcard

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"galaxy/data"
	"galaxy/graph/network"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// Card holds what the model card of a run's checkpoint says.
type Card struct {
	// Name is the model's name, such as the name of its run; required.
	Name string
	// Galaxy is the version of the program.
	Galaxy string
	// Config is the run's configuration, and Step the checkpoint's step.
	Config train.Config
	Step   int64
	// Precision is that of an exported model, "" for the run's.
	Precision network.Precision
	// Counts are the numbers of galaxies in the splits; nil if they are not known.
	Counts *data.Counts
	// Evaluation has the scores; nil if there are none.
	Evaluation *Evaluation
	// License is an identifier that Hugging Face knows, such as cc-by-4.0; "" says that it is to be
	// chosen.
	License string
}

// Evaluation holds the scores of the checkpoint on one split.
type Evaluation struct {
	Split data.Split
	metric.Result
	// Views is the number of views of each image that were averaged; 0 is 1. Projected is true if the
	// predictions were made to satisfy the sum rules.
	Views     int
	Projected bool
}

// Section is a part of the card: paragraphs of plain text, and then perhaps a table, whose first row is its
// header.
type Section struct {
	Title string
	Text  []string
	Table [][]string
}

// Sections returns the card's text, in order.
func (c Card) Sections() []Section {
	return []Section{c.model(), c.use(), c.data(), c.training(), c.metrics(), c.limits(), c.outputs(), c.license()}
}

// predicts describes the outputs.
func (c Card) predicts() string {
	source, target := c.schemas()
	switch {
	case source.OfClasses():
		return fmt.Sprintf("the probabilities of %d classes", target.Width())
	case target.Derived():
		return fmt.Sprintf("the probabilities of %d classes, which follow from the answers of volunteers to the questions of %s", target.Width(), source)
	case len(source.Questions()) == 1:
		return fmt.Sprintf("the fractions of volunteers who give each of %d answers to the question of %s", target.Width(), source)
	}
	return fmt.Sprintf("the fractions of volunteers who give each of %d answers to the %d questions of %s", target.Width(), len(source.Questions()), source)
}

// schemas returns the schema of the labels and the schema of the outputs.
func (c Card) schemas() (source, target *labels.Schema) {
	source = c.Config.Schema()
	if o, err := objective.New(c.Config.Objective, source); err == nil {
		return source, o.Target()
	}
	return source, source
}

func (c Card) model() Section {
	shape := c.Config.Model.Shape()
	return Section{Title: "Model", Text: []string{
		fmt.Sprintf("A %s that predicts, from an image of a galaxy, %s.", c.arch(), c.predicts()),
		fmt.Sprintf("It takes images of %[1]d × %[1]d pixels in %[2]s (%[3]v), made from %[4]s of a larger image.",
			shape.Size, usage.Count(shape.Channels, "channel"), bandsOf(c.Config), c.Config.Cache.Crop.Middle()),
	}}
}

func bandsOf(cfg train.Config) string {
	if cfg.Cache.Bands == nil {
		return "red, green, blue"
	}
	return strings.Join(cfg.Cache.Bands, ", ")
}

func (c Card) arch() string {
	name := cmp.Or(c.Config.Model.Arch, network.Default)
	if depth, ok := strings.CutPrefix(name, "resnet"); ok {
		return "ResNet-" + depth
	}
	return name
}

func (c Card) use() Section {
	return Section{Title: "Intended use", Text: []string{
		"Sorting and studying galaxies in large surveys, from images that were made like those it was trained on: the same survey or one of equal depth, resolution and pixel scale.",
		"It is not meant for single galaxies on which much depends without a person who looks at them, nor for images of anything else: the network gives an answer to every image.",
		"With galaxy: galaxy predict --model FOLDER --images IMAGES --out table.csv. TensorFlow Serving and every other program that reads a TensorFlow SavedModel use the signature serving_default (uint8 pixels) or, for colour and grey JPEGs, serving_jpeg (files).",
	}}
}

func (c Card) data() Section {
	cache := c.Config.Cache
	source, _ := c.schemas()
	kind := map[labels.Values]string{labels.Counts: "votes of volunteers, counted"}[source.Values()]
	switch {
	case source.OfClasses():
		kind = "one class for each galaxy"
	case kind == "":
		kind = "fractions of the votes of volunteers"
	}
	s := Section{Title: "Data", Text: []string{"Labels: " + kind + fmt.Sprintf(" (%s).", source)}}
	if c.Counts != nil {
		s.Table = [][]string{{"split", "galaxies"}, {"train", strconv.Itoa(c.Counts.Train)}, {"validation", strconv.Itoa(c.Counts.Validation)}, {"test", strconv.Itoa(c.Counts.Test)}}
	} else {
		s.Text = append(s.Text, "The number of galaxies is not known: the prepared data was not at hand when this card was written.")
	}
	split := "at random by the galaxy's id"
	if cache.Split != "" {
		split = "by " + cache.Split
	}
	s.Text = append(s.Text, fmt.Sprintf("Splits: %s, with seed %d. Only the train split moved the weights; the validation split chose the checkpoint.", split, cache.SplitSeed))
	if !cache.Stretch.IsZero() {
		s.Text = append(s.Text, fmt.Sprintf("Pixel values were brought to 8 bits by the stretch %v.", cache.Stretch))
	}
	s.Text = append(s.Text, "Where the images and labels come from, and who may use them, this card does not know: write it here.")
	return s
}

func (c Card) training() Section {
	cfg := c.Config
	initial := ""
	if cfg.InitFrom != "" {
		initial = filepath.Base(cfg.InitFrom) // the folders above are the trainer's own
	}
	rows := [][]string{
		{"setting", "value"},
		{"network", cmp.Or(cfg.Model.Arch, network.Default)},
		{"head and loss", cfg.Objective.String()},
		{"optimizer", fmt.Sprintf("%s, learning rate %v", cfg.Optimizer.Kind, cfg.Schedule.Rate)},
		{"steps", fmt.Sprintf("%d of %d, %d galaxies each", c.Step, cfg.Schedule.Total, cfg.Batch)},
		{"precision", string(cfg.Model.Precision)},
		{"seed", strconv.FormatInt(cfg.Seed, 10)},
	}
	for _, optional := range [][]string{{"padding", string(cfg.Model.Padding)}, {"normalised by", string(cfg.Normalise)}, {"recipe", cfg.Recipe}, {"initial weights", initial}, {"frozen layers", cfg.Freeze.About()}, {"machine", cfg.Machine}, {"galaxy", c.Galaxy}} {
		if optional[1] != "" {
			rows = append(rows, optional)
		}
	}
	return Section{Title: "Training", Table: rows}
}

// scores returns the main scores of the evaluation that are defined.
func (c Card) scores() (texts []string, figures []metric.Figure) {
	if c.Evaluation == nil {
		return nil, nil
	}
	all := c.Evaluation.ByName()
	source, _ := c.schemas()
	for _, h := range metric.Headlines(source) {
		if f, ok := all[h.Name]; ok && !math.IsNaN(f.Value) {
			texts, figures = append(texts, h.Text), append(figures, f)
		}
	}
	return texts, figures
}

func (c Card) metrics() Section {
	s := Section{Title: "Metrics"}
	if c.Evaluation == nil {
		s.Text = []string{"This model has not been scored. galaxy eval --json scores a run, and galaxy export --evaluation puts the result here."}
		return s
	}
	e := c.Evaluation
	text := fmt.Sprintf("Scores on %s", splitText(e.Split))
	if e.Examples > 0 {
		text += fmt.Sprintf(" (%s)", usage.Count(e.Examples, "galaxy"))
	}
	if e.Views > 1 {
		text += fmt.Sprintf(", averaged over %d views of each image", e.Views)
	}
	if e.Projected {
		text += ", made to satisfy the sum rules of the questions"
	}
	s.Text = []string{text + ". The interval is a 95 % bootstrap interval; the constant predictor answers every image with the mean of the train split."}
	if e.Split == data.Validation {
		s.Text = append(s.Text, "The checkpoint was chosen on these galaxies, so the scores are slightly too good.")
	}
	if c.Precision != "" && c.Precision != c.Config.Model.Precision {
		s.Text = append(s.Text, fmt.Sprintf("They are those of the run in %s. This model computes in %s, which changes predictions a little.", c.Config.Model.Precision, c.Precision))
	}
	s.Table = [][]string{{"metric", "value", "95 % interval", "constant predictor"}}
	texts, figures := c.scores()
	for i, f := range figures {
		interval := "–"
		if f.Interval.Varies() {
			interval = number(f.Interval[0]) + " to " + number(f.Interval[1])
		}
		s.Table = append(s.Table, []string{texts[i], number(f.Value), interval, number(f.Constant)})
	}
	return s
}

func splitText(s data.Split) string {
	if s == data.All {
		return "galaxies that the model was not trained on"
	}
	return fmt.Sprintf("the %v split", s)
}

func number(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

func (c Card) limits() Section {
	source, _ := c.schemas()
	text := []string{
		"Other surveys, instruments, filters, seeing or pixel scales change the predictions in unknown ways. Score some labelled galaxies of yours before you use the model on them: galaxy eval --split all.",
		"Rare kinds of galaxies are predicted worse than common ones, and the scores above are means that hide this.",
	}
	if !source.OfClasses() {
		text = append(text,
			"The predictions are what volunteers would have said about the image, not properties of the galaxy: small, faint and distant galaxies look smoother than they are, to people and so to the network.",
			"The answer to a question that few volunteers reach is uncertain, whatever its predicted fraction.")
	}
	return Section{Title: "Limits", Text: text}
}

func (c Card) outputs() Section {
	_, target := c.schemas()
	s := Section{Title: "Outputs", Text: []string{"Both outputs, logits and probabilities, have one number for each of these, in this order:"}}
	s.Table = [][]string{{"number", "name", "question", "answer"}}
	i := 0
	for _, q := range target.Questions() {
		for _, a := range q.Answers {
			s.Table = append(s.Table, []string{strconv.Itoa(i), a.Name, q.Text, a.Text})
			i++
		}
	}
	return s
}

func (c Card) license() Section {
	if c.License == "" {
		return Section{Title: "Licence", Text: []string{"No licence has been chosen. Without one nobody else may use this model: choose one, write it here and in the first lines of this file, and check that the licence of the images and labels allows it. galaxy export --license writes both."}}
	}
	return Section{Title: "Licence", Text: []string{"This model may be used under the licence " + c.License + ". The images and labels that it was trained on have licences of their own."}}
}

// tags are the words by which Hugging Face finds the model.
func (c Card) tags() []string {
	tags := []string{"astronomy", "galaxy", "galaxy-morphology", cmp.Or(c.Config.Model.Arch, network.Default)}
	return slices.Compact(tags)
}
