package modelcard

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// frontMatter is the YAML that Hugging Face reads at the start of a README.md:
// https://huggingface.co/docs/hub/model-cards
type frontMatter struct {
	License     string   `yaml:"license,omitempty"`
	LibraryName string   `yaml:"library_name"`
	PipelineTag string   `yaml:"pipeline_tag"`
	Tags        []string `yaml:"tags"`
	ModelIndex  []model  `yaml:"model-index,omitempty"`
}

type model struct {
	Name    string   `yaml:"name"`
	Results []result `yaml:"results"`
}

type result struct {
	Task    task     `yaml:"task"`
	Dataset dataset  `yaml:"dataset"`
	Metrics []scored `yaml:"metrics"`
}

type task struct {
	Type string `yaml:"type"`
}

type dataset struct {
	Type  string `yaml:"type"`
	Name  string `yaml:"name"`
	Split string `yaml:"split"`
}

type scored struct {
	Type  string  `yaml:"type"`
	Value float64 `yaml:"value"`
	Name  string  `yaml:"name"`
}

const imageClassification = "image-classification"

// README returns the card as Markdown with Hugging Face's YAML before it.
func (c Card) README() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("---\n")
	if c.License == "" {
		out.WriteString("# license: not chosen yet; write an identifier of https://huggingface.co/docs/hub/repositories-licenses here\n")
	}
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(c.frontMatter()); err != nil {
		return nil, fmt.Errorf("model card: %w", err)
	}
	fmt.Fprintf(&out, "---\n\n# %s\n", escape(c.Name))
	for _, s := range c.Sections() {
		fmt.Fprintf(&out, "\n## %s\n", escape(s.Title))
		for _, p := range s.Text {
			fmt.Fprintf(&out, "\n%s\n", escape(p))
		}
		for i, row := range s.Table {
			if i == 0 {
				out.WriteString("\n")
			}
			for _, cell := range row {
				fmt.Fprintf(&out, "| %s ", escape(cell))
			}
			out.WriteString("|\n")
			if i == 0 {
				out.WriteString(strings.Repeat("|---", len(row)) + "|\n")
			}
		}
	}
	return out.Bytes(), nil
}

func (c Card) frontMatter() frontMatter {
	front := frontMatter{License: c.License, LibraryName: "tensorflow", PipelineTag: imageClassification, Tags: c.tags()}
	texts, figures := c.scores()
	if figures == nil {
		return front
	}
	source, _ := c.schemas()
	name := cmp.Or(source.Name(), "galaxies")
	r := result{Task: task{imageClassification}, Dataset: dataset{Type: name, Name: name, Split: c.Evaluation.Split.String()}}
	for i, f := range figures {
		r.Metrics = append(r.Metrics, scored{Type: metricType(f.Name), Value: f.Value, Name: texts[i]})
	}
	front.ModelIndex = []model{{Name: c.Name, Results: []result{r}}}
	return front
}

// metricType returns Hugging Face's name of a metric, or for one that it does not have the last part of galaxy's.
func metricType(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return cmp.Or(map[string]string{"accuracy_argmax37": "accuracy", "question_accuracy": "accuracy", "macro_f1": "f1", "ece": "expected_calibration_error"}[last], last)
}

// escape returns text as Markdown that shows it as it is, on one line: names of classes and folders may hold
// anything.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			out.WriteString("&amp;")
		case r == '<':
			out.WriteString("&lt;")
		case strings.ContainsRune("\\`*_[]>#|~$", r):
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			out.WriteByte(' ')
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
