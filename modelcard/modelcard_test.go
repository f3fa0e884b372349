package modelcard

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"galaxy/data"
	"galaxy/graph/network"
	"galaxy/labels"
	"galaxy/train"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// evil is text that must not change the page around it.
const evil = "</td><script>alert(1)</script> | `x` [a](b)\n---\n# *no* &amp; \u2028: {yaml: ["

func schemaOf(t testing.TB, values labels.Values, questions ...labels.Question) *labels.Schema {
	t.Helper()
	s, err := labels.New(labels.Definition{Name: "a survey", Values: values, Questions: questions})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func question(text string, answers ...string) labels.Question {
	q := labels.Question{Text: text}
	for i, a := range answers {
		q.Answers = append(q.Answers, labels.Answer{Name: fmt.Sprint(text, i), Text: a})
	}
	return q
}

func cardOf(schema *labels.Schema, head objective.Head) Card {
	undefined := metric.Value(math.NaN())
	return Card{
		Name: "a run", Galaxy: "1.2.3", Step: 70,
		Config: train.Config{
			Cache:     train.CacheRef{Schema: schema, SplitSeed: 4},
			Model:     network.Config{Arch: "resnet6", Size: 32, Outputs: schema.Width(), Precision: network.BFloat16, Mean: make([]float64, 3), Std: make([]float64, 3)},
			Objective: objective.Config{Head: head, Loss: objective.Focal},
			InitFrom:  "/home/somebody/secret/pretrained",
		},
		Counts: &data.Counts{Train: 70, Validation: 20, Test: 11},
		Evaluation: &Evaluation{Split: data.Test, Result: metric.Result{
			Scores: metric.Scores{
				Examples: 11, RMSE: 0.125, RMSEInterval: &metric.Interval{0.1, 0.15}, AccuracyArgmax: 0.75, QuestionAccuracy: undefined, Loss: undefined,
				Questions: []metric.QuestionScore{{Question: 1}},
			},
			Baseline: &metric.Scores{RMSE: 0.25, AccuracyArgmax: undefined, Loss: undefined, Questions: []metric.QuestionScore{}},
		}},
	}
}

// front splits a card into its YAML, read by a parser, and its Markdown.
func front(t rapid.TB, text []byte) (map[string]any, string) {
	t.Helper()
	parts := bytes.SplitN(text, []byte("---\n"), 3)
	if len(parts) != 3 || len(parts[0]) != 0 {
		t.Fatalf("expected YAML between two lines of ---:\n%s", text)
	}
	var meta map[string]any
	decoder := yaml.NewDecoder(bytes.NewReader(parts[1]))
	if err := decoder.Decode(&meta); err != nil {
		t.Fatalf("%v in\n%s", err, parts[1])
	}
	return meta, string(parts[2])
}

func TestREADME(t *testing.T) {
	c := cardOf(schemaOf(t, "", question("Is it smooth?", "yes", "no | "+evil)), objective.Independent)
	text, err := c.README()
	if err != nil {
		t.Fatal(err)
	}
	meta, body := front(t, text)
	if meta["library_name"] != "tensorflow" || meta["pipeline_tag"] != "image-classification" || meta["license"] != nil {
		t.Errorf("front matter: %v", meta)
	}
	index := meta["model-index"].([]any)[0].(map[string]any)
	results := index["results"].([]any)[0].(map[string]any)
	var got []string
	for _, m := range results["metrics"].([]any) {
		m := m.(map[string]any)
		got = append(got, fmt.Sprint(m["type"], "=", m["value"]))
	}
	if want := []string{"rmse=0.125", "accuracy=0.75"}; !slices.Equal(got, want) {
		t.Errorf("metrics %v, expected %v", got, want)
	}
	if d := results["dataset"].(map[string]any); d["split"] != "test" || d["name"] != "a survey" || index["name"] != "a run" {
		t.Errorf("results: %v", results)
	}
	for _, want := range []string{
		"# a run\n", "| RMSE | 0.1250 | 0.1000 to 0.1500 | 0.2500 |", "| train | 70 |", "| initial weights | pretrained |",
		"A ResNet-6 that predicts, from an image of a galaxy, the fractions of volunteers who give each of 2 answers to the question of a survey.",
		"No licence has been chosen", "32 × 32 pixels in 3 channels (red, green, blue)", "| 1 | Is it smooth?1 | Is it smooth? | no",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	for _, never := range []string{"<script", "secret", "NaN", "[a](b)"} {
		if strings.Contains(string(text), never) {
			t.Errorf("%q in\n%s", never, text)
		}
	}
}

// What differs between kinds of catalogues, evaluations and exports.
func TestSections(t *testing.T) {
	zoo := labels.GalaxyZoo()
	classes, err := labels.FromClasses([]string{"round", evil})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		schema *labels.Schema
		head   objective.Head
		change func(*Card)
		want   []string
		never  []string
	}{
		"tree":       {zoo, objective.Tree, nil, []string{"37 answers to the 11 questions of", "fractions of the votes"}, []string{"probabilities of"}},
		"counts":     {schemaOf(t, labels.Counts, question("q", "a", "b"), question("r", "c", "d")), objective.Tree, nil, []string{"votes of volunteers, counted", "to the 2 questions"}, nil},
		"classes":    {classes, objective.Classes, nil, []string{"the probabilities of 2 classes", "one class for each galaxy"}, []string{"volunteers"}},
		"derived":    {zoo, objective.Classes, nil, []string{"which follow from the answers of volunteers"}, nil},
		"validation": {zoo, objective.Tree, func(c *Card) { c.Evaluation.Split = data.Validation }, []string{"chosen on these galaxies", "the validation split (11 galaxies)"}, nil},
		"all":        {zoo, objective.Tree, func(c *Card) { c.Evaluation.Split = data.All }, []string{"galaxies that the model was not trained on"}, nil},
		"views":      {zoo, objective.Tree, func(c *Card) { c.Evaluation.Views, c.Evaluation.Projected = 4, true }, []string{"4 views", "sum rules"}, nil},
		"int8":       {zoo, objective.Tree, func(c *Card) { c.Precision = network.Int8 }, []string{"run in bfloat16. This model computes in int8"}, nil},
		"unscored":   {zoo, objective.Tree, func(c *Card) { c.Evaluation, c.Counts = nil, nil }, []string{"has not been scored", "not at hand"}, []string{"| metric |"}},
		"license":    {zoo, objective.Tree, func(c *Card) { c.License = "cc-by-4.0" }, []string{"licence cc-by-4.0."}, []string{"No licence"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cardOf(test.schema, test.head)
			if test.head == objective.Classes {
				c.Config.Objective.Loss = objective.CrossEntropy
			}
			if test.change != nil {
				test.change(&c)
			}
			text, err := c.README()
			if err != nil {
				t.Fatal(err)
			}
			meta, body := front(t, text)
			if (meta["license"] == "cc-by-4.0") != (name == "license") || (meta["model-index"] == nil) != (name == "unscored") {
				t.Errorf("front matter: %v", meta)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
			for _, never := range test.never {
				if strings.Contains(body, never) {
					t.Errorf("%q in\n%s", never, body)
				}
			}
		})
	}
}

// Any name gives YAML with that name, and Markdown with one line for each row.
func TestAnyName(t *testing.T) {
	zoo := labels.GalaxyZoo()
	rapid.Check(t, func(r *rapid.T) {
		c := cardOf(zoo, objective.Tree)
		c.Name = rapid.OneOf(rapid.String(), rapid.Just(evil)).Draw(r, "name")
		text, err := c.README()
		if err != nil {
			r.Fatal(err)
		}
		meta, body := front(r, text)
		got := meta["model-index"].([]any)[0].(map[string]any)["name"]
		if want := strings.ToValidUTF8(c.Name, "\ufffd"); got != want {
			r.Fatalf("name %q, expected %q", got, want)
		}
		if lines := strings.Count(body, "\n# "); lines != 1 {
			r.Fatalf("%d titles in\n%s", lines, body)
		}
	})
}

func Example() {
	card := Card{Name: "smooth-or-not", Step: 1000, License: "mit", Config: train.Config{Model: network.Config{Arch: "resnet18", Size: 64, Mean: make([]float64, 1)}, Objective: objective.Config{Head: objective.Tree, Loss: objective.Focal}}}
	text, err := card.README()
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Stdout.Write(text[:bytes.Index(text, []byte("\n## "))])
	// Output:
	// ---
	// license: mit
	// library_name: tensorflow
	// pipeline_tag: image-classification
	// tags:
	//   - astronomy
	//   - galaxy
	//   - galaxy-morphology
	//   - resnet18
	// ---
	//
	// # smooth-or-not
}
