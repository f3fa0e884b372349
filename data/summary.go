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
			s.Columns[labels.Largest(row)].Largest++
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
