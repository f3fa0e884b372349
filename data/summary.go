package data

import "math"

// A Summary is what the labels of a cache look like.
type Summary struct {
	Columns [Answers]ColumnSummary `json:"columns"`
	Classes [CleanClasses + 1]struct {
		Name   string `json:"name"`
		Counts Counts `json:"counts"`
	} `json:"classes"` // by CleanClass, Unclear last
}

// A ColumnSummary tells of one answer over all examples.
type ColumnSummary struct {
	Name    string  `json:"name"`    // "Class7.2"
	Text    string  `json:"text"`    // "in between"
	Mean    float64 `json:"mean"`    // of the vote fraction
	Std     float64 `json:"std"`     // its population standard deviation
	Largest int     `json:"largest"` // examples of which it is the largest of the 37
}

// Summary goes over the labels of all examples. It reads no image.
func (c *Cache) Summary() Summary {
	var s Summary
	for class := range s.Classes {
		s.Classes[class].Name = CleanClass(class).String()
	}
	var sum, squares [Answers]float64
	for split := range Split(splits) {
		for _, i := range c.indices[split] {
			labels := c.Labels(i)
			for j, y := range labels {
				sum[j] += float64(y)
				squares[j] += float64(y) * float64(y)
			}
			s.Columns[Largest(labels)].Largest++
			s.Classes[CleanClassOf(labels)].Counts.add(split)
		}
	}
	n := float64(c.Len())
	for _, q := range tree {
		for _, a := range q.Answers {
			mean := sum[a.Column] / n
			s.Columns[a.Column].Name, s.Columns[a.Column].Text = a.Name, a.Text
			s.Columns[a.Column].Mean = mean
			// Cancellation can leave a tiny negative variance.
			s.Columns[a.Column].Std = math.Sqrt(max(squares[a.Column]/n-mean*mean, 0))
		}
	}
	return s
}
