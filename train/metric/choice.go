package metric

import "galaxy/labels"

// none means no class.
const none = labels.NoClass

// target is a schema prepared for scoring: of vote fractions, or of classes.
type target struct {
	schema *labels.Schema
	width  int
	// questions is nil for classes, which have no metrics by question.
	questions []labels.Question
	// classes are the names of the classes; deciding holds each class's column. The
	// predicted class is the one with the largest deciding column.
	classes  []string
	deciding []int
}

func newTarget(schema *labels.Schema) *target {
	t := &target{schema: schema, width: schema.Width(), classes: schema.Classes().Columns()}
	if schema.Derived() {
		for j := range t.classes {
			t.deciding = append(t.deciding, j)
		}
	} else {
		t.questions, t.deciding = schema.Questions(), schema.LastColumns()
	}
	return t
}

// choices are the largest columns of a row.
type choices struct {
	column   int   // the largest of all
	question []int // the largest within each question
	// class is the clean class, or none; confidence is its fraction of their sum.
	class      int
	confidence float64
}

// newChoices returns choices with room for every question.
func (t *target) newChoices() choices { return choices{question: make([]int, len(t.questions))} }

// readTruth fills in the choices of a row of labels.
func (t *target) readTruth(c *choices, row []float32) {
	t.readAnswer(c, row)
	if !t.schema.Derived() {
		c.class = t.schema.ClassOf(row)
	}
}

// readAnswer fills in the choices of a row of predictions. Its class is the one whose deciding
// column is the largest.
func (t *target) readAnswer(c *choices, row []float32) {
	c.column = labels.Largest(row)
	for i := range t.questions {
		q := &t.questions[i]
		c.question[i] = q.First + labels.Largest(row[q.First:q.First+len(q.Answers)])
	}
	c.class = none
	sum, largest := 0.0, float32(0)
	for k, column := range t.deciding {
		v := row[column]
		if c.class == none || v > largest {
			c.class, largest = k, v
		}
		sum += max(float64(v), 0)
	}
	if sum > 0 {
		c.confidence = max(float64(largest), 0) / sum
	} else {
		c.confidence = 1 / float64(len(t.deciding))
	}
}
