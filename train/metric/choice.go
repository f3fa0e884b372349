package metric

import "galaxy/labels"

// none means no class.
const none = labels.NoClass

// target is a schema prepared for scoring: of vote fractions, of counts, or of classes.
type target struct {
	schema    *labels.Schema // of the labels
	predicted *labels.Schema // of the predictions
	counts    bool
	width     int
	// questions is nil for classes, which have no metrics by question.
	questions []labels.Question
	classes   []string // their names
}

func newTarget(schema *labels.Schema) *target {
	t := &target{
		schema: schema, predicted: schema.Predicted(), counts: schema.Values() == labels.Counts,
		width: schema.Width(), classes: schema.Classes().Columns(),
	}
	if !schema.Derived() {
		t.questions = schema.Questions()
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
	scores     []float32 // of the classes: labels.Schema.ClassScores
	all        []float32 // for labels.Schema.OfAll
}

// newChoices returns choices with room for every question and class.
func (t *target) newChoices() choices {
	return choices{question: make([]int, len(t.questions)), scores: make([]float32, len(t.classes)), all: make([]float32, t.width)}
}

// readColumns fills in the largest columns of a row of a schema. Counts, and fractions of those who were
// asked each question, become comparable as fractions of all volunteers.
func (t *target) readColumns(c *choices, of *labels.Schema, row []float32) {
	if c.column = labels.Largest(row); t.counts {
		of.OfAll(c.all, row)
		c.column = labels.Largest(c.all)
	}
	for i := range t.questions {
		q := &t.questions[i]
		c.question[i] = q.First + labels.Largest(row[q.First:q.First+len(q.Answers)])
	}
}

// readTruth fills in the choices of a row of labels.
func (t *target) readTruth(c *choices, row []float32) {
	if t.schema.Derived() {
		t.readAnswer(c, row)
		return
	}
	t.readColumns(c, t.schema, row)
	c.class = t.schema.ClassOf(row)
}

// readAnswer fills in the choices of a row of predictions. Its class is the one with the largest
// score.
func (t *target) readAnswer(c *choices, row []float32) {
	t.readColumns(c, t.predicted, row)
	c.class = none
	sum, largest := 0.0, float32(0)
	t.predicted.ClassScores(c.scores, row)
	for k, v := range c.scores {
		if c.class == none || v > largest {
			c.class, largest = k, v
		}
		sum += max(float64(v), 0)
	}
	if sum > 0 {
		c.confidence = max(float64(largest), 0) / sum
	} else {
		c.confidence = 1 / float64(len(c.scores))
	}
}
