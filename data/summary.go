package data

import (
	"math"

	"galaxy/labels"
)

// A Summary is what the labels of a cache look like.
type Summary struct {
	Columns []ColumnSummary `json:"columns"`
	Classes []ClassSummary  `json:"classes"` // in the order of the schema's, the galaxies without one last
}

// A ClassSummary counts the galaxies of one class.
type ClassSummary struct {
	Name   string `json:"name"`
	Text   string `json:"text,omitempty"` // in a Balance: the schema's, if it is not the name
	Counts Counts `json:"counts"`
}

// A ColumnSummary tells of one answer over all examples.
type ColumnSummary struct {
	Name    string  `json:"name"`    // "Class7.2"
	Text    string  `json:"text"`    // "in between"
	Mean    float64 `json:"mean"`    // of the labels
	Std     float64 `json:"std"`     // its population standard deviation
	Largest int     `json:"largest"` // examples of which it is the largest of all columns
}

// Summary goes over the labels of all examples. It reads no image.
func (c *Cache) Summary() Summary {
	schema := c.Schema()
	var s Summary
	for _, q := range schema.Questions() {
		for _, a := range q.Answers {
			s.Columns = append(s.Columns, ColumnSummary{Name: a.Name, Text: a.Text})
		}
	}
	for _, name := range append(schema.Classes().Columns(), labels.Unclear) {
		s.Classes = append(s.Classes, ClassSummary{Name: name})
	}
	unclear := &s.Classes[len(s.Classes)-1]
	sum, squares := make([]float64, schema.Width()), make([]float64, schema.Width())
	for split := range Split(splits) {
		for _, i := range c.indices[split] {
			row := c.Labels(i)
			for j, y := range row {
				sum[j] += float64(y)
				squares[j] += float64(y) * float64(y)
			}
			if k := labels.Largest(row); k >= 0 { // none without labels
				s.Columns[k].Largest++
			}
			class := unclear
			if k := schema.ClassOf(row); k != labels.NoClass {
				class = &s.Classes[k]
			}
			class.Counts.add(split)
		}
	}
	n := float64(c.Len())
	for j := range s.Columns {
		mean := sum[j] / n
		s.Columns[j].Mean = mean
		// Cancellation can leave a tiny negative variance.
		s.Columns[j].Std = math.Sqrt(max(squares[j]/n-mean*mean, 0))
	}
	return s
}

// A Balance says how the galaxies of a catalogue of classes are spread over classes and splits.
type Balance struct {
	Classes []ClassSummary `json:"classes"` // in the order of the schema's
	// Imbalance is the number of train galaxies of the largest class over that of the smallest one that has any;
	// 0 if none has.
	Imbalance float64 `json:"imbalance"`
	// Absent are the classes that are missing in a split that others are in, in order.
	Absent []string `json:"absent,omitempty"`
	// Contradictions are pairs of examples with the same pixels and different classes: the first with these
	// pixels, and another.
	Contradictions [][2]ID `json:"contradictions,omitempty"`
}

// Balance counts the galaxies of the classes. It returns nil unless the cache is one of classes
// (labels.Schema.OfClasses). It reads no image.
func (c *Cache) Balance() *Balance {
	schema := c.Schema()
	if !schema.OfClasses() {
		return nil
	}
	b := &Balance{Classes: c.Summary().Classes[:schema.Width()]}
	smallest, largest := 0, 0
	for k, answer := range schema.Questions()[0].Answers {
		class := &b.Classes[k]
		if answer.Text != class.Name {
			class.Text = answer.Text
		}
		if n := class.Counts.Train; n > 0 {
			if largest = max(largest, n); smallest == 0 || n < smallest {
				smallest = n
			}
		}
		for s := range Split(splits) {
			if class.Counts.Of(s) == 0 && len(c.indices[s]) > 0 {
				b.Absent = append(b.Absent, class.Name)
				break
			}
		}
	}
	if smallest > 0 {
		b.Imbalance = float64(largest) / float64(smallest)
	}
	for i, first := range c.firstEqual() {
		if first < i && schema.ClassOf(c.Labels(i)) != schema.ClassOf(c.Labels(first)) {
			b.Contradictions = append(b.Contradictions, [2]ID{c.ID(first), c.ID(i)})
		}
	}
	return b
}
